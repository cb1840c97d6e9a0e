//! Proxies: PROXY headers and X-Forwarded-For name the client.

use crate::commands::gateway_with;
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, eventually, field, upgrade};
use serde_json::Value;

pub fn v2_header(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x21, 0x11, 0, 12]);
    header.extend(source);
    header.extend([127, 0, 0, 1]);
    header.extend(port.to_be_bytes());
    header.extend(443u16.to_be_bytes());
    header
}

/// Asserts the client's address in the log, in a filter of the API, and in the record of the end.
fn found_at(gateway: &Gateway, client: Client, user: &str, block: &str, peer: &str) {
    let connection = gateway.connection(&format!("user={user}&address={block}"));
    assert_eq!(connection["peer"], peer, "{connection}");
    assert_eq!(kernel(gateway, &connection), "proxy");
    let line = gateway.line(&["open ", &format!("user={user} ")]);
    assert_eq!(field(&line, "peer"), Some(peer), "{line}");
    drop(client);
    let line = gateway.line(&["close ", &format!("user={user} ")]);
    assert_eq!(field(&line, "peer"), Some(peer), "{line}");
    let closed = eventually("the record of the end", || {
        let list = gateway.api(&format!("/api/v1/closed?user={user}&address={block}"));
        list["closed"].get(0).cloned()
    });
    assert_eq!(closed["peer"], peer, "{closed}");
}

/// Returns whose acknowledgements the kernel sees, as `explain` says.
fn kernel(gateway: &Gateway, connection: &Value) -> String {
    let id = connection["id"].as_str().expect("an id");
    let told = gateway.api(&format!("/api/v1/connections/{id}"));
    let kernel = told["explain"]["kernel"].as_str();
    kernel.expect("an explanation").to_owned()
}

/// Opens a WebSocket for a user on a connection that begins with these pieces.
fn opened(gateway: &Gateway, pieces: &[&[u8]], user: &str) -> Client {
    let mut client = Client::connect(gateway.addr);
    let (last, first) = pieces.split_last().expect("a piece");
    first.iter().for_each(|piece| client.write(piece));
    let request = upgrade(&format!("/glasses-ws?user={user}"));
    client.write(&[last, request.as_bytes()].concat());
    client.switched();
    client
}

/// Asserts that a PROXY header names the client, and that a connection without one is refused.
fn names_the_client(version: &str, header: &[u8]) {
    let gateway = gateway_with(&[
        ("LOG_LEVEL", "debug"),
        ("PROXY_PROTOCOL", version),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let client = opened(&gateway, &[header], "ada");
    found_at(&gateway, client, "ada", "192.0.2.0/24", "192.0.2.7:56324");
    let client = opened(&gateway, &[&header[..9], &header[9..]], "bob");
    found_at(&gateway, client, "bob", "192.0.2.7", "192.0.2.7:56324");
    let refused = Client::refused(gateway.addr, "/glasses-ws?user=eve");
    assert_eq!(refused.status, 400);
    gateway.line(&["close class=none", "cause=bad_request", "PROXY"]);
    gateway.end();
}

#[test]
fn a_header_of_version_1_names_the_client() {
    names_the_client("v1", b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 443\r\n");
}

#[test]
fn a_header_of_version_2_names_the_client() {
    names_the_client("v2", &v2_header([192, 0, 2, 7], 56_324));
}

/// Opens a WebSocket for a user with these header lines in its request.
fn forwarded(gateway: &Gateway, user: &str, lines: &[u8]) -> Client {
    let request = upgrade(&format!("/glasses-ws?user={user}"));
    let request = request.strip_suffix("\r\n").expect("an empty line");
    let mut client = Client::connect(gateway.addr);
    client.write(&[request.as_bytes(), lines, b"\r\n\r\n"].concat());
    client.switched();
    client
}

#[test]
fn the_last_address_in_x_forwarded_for_that_is_no_proxy_is_the_client() {
    let gateway = gateway_with(&[
        ("LOG_LEVEL", "debug"),
        ("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"),
    ]);
    let found = |user: &str, list: &[u8], peer: &str| {
        let lines = [b"X-Forwarded-For: ", list].concat();
        let client = forwarded(&gateway, user, &lines);
        found_at(&gateway, client, user, "192.0.2.7", peer);
    };
    found("one", b"192.0.2.7", "192.0.2.7:0");
    found("forged", b"203.0.113.9, 192.0.2.7", "192.0.2.7:0");
    found("chain", b"203.0.113.9, 192.0.2.7, 10.1.1.1", "192.0.2.7:0");
    let lines = b"203.0.113.9\r\nX-Forwarded-For: 192.0.2.7:99";
    found("lines", lines, "192.0.2.7:99");
    found("not-ascii", b"caf\xe9, 192.0.2.7", "192.0.2.7:0");
    let lines = b"\xff\r\nX-Forwarded-For: 192.0.2.7";
    found("line-not-ascii", lines, "192.0.2.7:0");
    let list = b"\xe9,203.0.113.9 , 192.0.2.7,\t10.1.1.1 ,";
    found("behind-proxies", list, "192.0.2.7:0");
    gateway.end();
}

#[test]
fn x_forwarded_for_of_a_peer_that_is_no_proxy_is_not_believed() {
    let gateway = gateway_with(&[]);
    let client = forwarded(&gateway, "liar", b"X-Forwarded-For: 192.0.2.7");
    let connection = gateway.connection("user=liar");
    assert_eq!(kernel(&gateway, &connection), "peer");
    let peer = connection["peer"].as_str().expect("an address");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    drop(client);
    gateway.end();
}

const TRUSTS_ALL: &str = "trusted_proxies = ['0.0.0.0/0']\n";

#[test]
fn a_trust_in_every_address_is_warned_of_in_a_reload() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "trusted_proxies = ['127.0.0.1']\n");
    let gateway = gateway_with(&[("CONFIG_FILE", &file)]);
    folder.file("settings.toml", TRUSTS_ALL);
    gateway.signal("HUP");
    gateway.line(&["[WARN] TRUSTED_PROXIES=\"0.0.0.0/0\""]);
    gateway.end();
}

#[test]
fn a_trust_in_every_address_is_warned_of_at_the_start_and_in_a_check() {
    let folder = Folder::new();
    let settings = [("CONFIG_FILE", &*folder.file("settings.toml", TRUSTS_ALL))];
    let gateway = gateway_with(&settings);
    gateway.line(&["[WARN] TRUSTED_PROXIES=\"0.0.0.0/0\""]);
    gateway.end();
    let check = Gateway::command(&settings).arg("--check").output();
    let check = check.expect("the gateway");
    assert_eq!(check.status.code(), Some(0));
    let told = String::from_utf8_lossy(&check.stderr);
    let warning = "warning: TRUSTED_PROXIES=\"0.0.0.0/0\"";
    assert!(told.contains(warning), "{told}");
}

/// Its clients would all have its address, and no line would say why.
#[test]
fn a_proxy_that_is_not_trusted_is_named() {
    let gateway = gateway_with(&[]);
    for _ in 0..3 {
        let mut client = Client::connect(gateway.addr);
        let request = upgrade("/glasses-ws?user=ada");
        let fields = "\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
        client.write(request.replace("\r\n\r\n", fields).as_bytes());
        client.switched();
    }
    let warning = gateway.line(&["[WARN] untrusted_proxy ", "is not in TRUSTED_PROXIES"]);
    assert_eq!(field(&warning, "address"), Some("127.0.0.1"), "{warning}");
    assert_eq!(
        field(&warning, "field"),
        Some("x-forwarded-for"),
        "{warning}"
    );
    assert_eq!(gateway.lines(&["untrusted_proxy"]).len(), 1);
    gateway.end();
}
