//! Proxies: PROXY headers and X-Forwarded-For name the client.

use crate::commands::gateway_with;
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, field, upgrade};

fn v2_header(source: [u8; 4], port: u16) -> Vec<u8> {
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
    let closed = gateway.api(&format!("/api/v1/closed?user={user}&address={block}"));
    assert_eq!(closed["closed"][0]["peer"], peer, "{closed}");
}

/// Returns whose acknowledgements the kernel sees, as `explain` says.
fn kernel(gateway: &Gateway, connection: &serde_json::Value) -> String {
    let id = connection["id"].as_str().expect("an id");
    let told = gateway.api(&format!("/api/v1/connections/{id}"));
    let kernel = told["explain"]["kernel"].as_str();
    kernel.expect("an explanation").to_owned()
}

#[test]
fn a_proxy_that_is_trusted_names_the_client() {
    for (version, header) in [
        (
            "v1",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 443\r\n".to_vec(),
        ),
        ("v2", v2_header([192, 0, 2, 7], 56_324)),
    ] {
        let gateway = gateway_with(&[
            ("LOG_LEVEL", "debug"),
            ("PROXY_PROTOCOL", version),
            ("TRUSTED_PROXIES", "127.0.0.1"),
        ]);
        let mut client = Client::connect(gateway.addr);
        client.write(&[&header[..], upgrade("/glasses-ws?user=ada").as_bytes()].concat());
        client.switched();
        found_at(&gateway, client, "ada", "192.0.2.0/24", "192.0.2.7:56324");
        // In two pieces.
        let mut client = Client::connect(gateway.addr);
        client.write(&header[..9]);
        client.write(&[&header[9..], upgrade("/glasses-ws?user=bob").as_bytes()].concat());
        client.switched();
        found_at(&gateway, client, "bob", "192.0.2.7", "192.0.2.7:56324");
        // Without the header: refused.
        let mut bare = Client::connect(gateway.addr);
        bare.write(upgrade("/glasses-ws?user=eve").as_bytes());
        assert_eq!(bare.response().status, 400);
        gateway.line(&["close class=none", "cause=bad_request", "PROXY"]);
        gateway.end();
    }
}

#[test]
fn x_forwarded_for_is_believed_of_trusted_proxies_only() {
    let upgrade_with = |user: &str, field: &[u8]| {
        let plain = upgrade(&format!("/glasses-ws?user={user}"));
        [
            plain.trim_end_matches("\r\n").as_bytes(),
            b"\r\n",
            field,
            b"\r\n\r\n",
        ]
        .concat()
    };
    let trusting = gateway_with(&[
        ("LOG_LEVEL", "debug"),
        ("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"),
    ]);
    for (user, line, peer) in [
        ("one", &b"X-Forwarded-For: 192.0.2.7"[..], "192.0.2.7:0"),
        (
            "forged",
            b"X-Forwarded-For: 203.0.113.9, 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "chain",
            b"X-Forwarded-For: 203.0.113.9, 192.0.2.7, 10.1.1.1",
            "192.0.2.7:0",
        ),
        (
            "lines",
            b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.7:99",
            "192.0.2.7:99",
        ),
        (
            "not-ascii",
            b"X-Forwarded-For: caf\xe9, 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "line-not-ascii",
            b"X-Forwarded-For: \xff\r\nX-Forwarded-For: 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "behind-proxies",
            b"X-Forwarded-For: \xe9,203.0.113.9 , 192.0.2.7,\t10.1.1.1 ,",
            "192.0.2.7:0",
        ),
    ] {
        let mut client = Client::connect(trusting.addr);
        client.write(&upgrade_with(user, line));
        client.switched();
        found_at(&trusting, client, user, "192.0.2.7", peer);
    }
    trusting.end();
    let wary = gateway_with(&[]);
    let mut client = Client::connect(wary.addr);
    client.write(&upgrade_with("liar", b"X-Forwarded-For: 192.0.2.7"));
    client.switched();
    let connection = wary.connection("user=liar");
    assert_eq!(kernel(&wary, &connection), "peer");
    let peer = connection["peer"].clone();
    assert!(
        peer.as_str().is_some_and(|p| p.starts_with("127.0.0.1:")),
        "{peer}"
    );
    drop(client);
    wary.end();
}

#[test]
fn a_trust_in_every_address_is_warned_of_at_the_start_in_a_check_and_in_a_reload() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "trusted_proxies = ['127.0.0.1']\n");
    let settings = [("DRAIN_MS", "0"), ("CONFIG_FILE", &*file)];
    let gateway = Gateway::start(&settings);
    folder.file("settings.toml", "trusted_proxies = ['0.0.0.0/0']\n");
    gateway.signal("HUP");
    gateway.line(&["[WARN] TRUSTED_PROXIES=\"0.0.0.0/0\""]);
    gateway.end();
    let gateway = Gateway::start(&settings);
    gateway.line(&["[WARN] TRUSTED_PROXIES=\"0.0.0.0/0\""]);
    gateway.end();
    let check = Gateway::command(&settings).arg("--check").output();
    let check = check.expect("the gateway");
    assert_eq!(check.status.code(), Some(0));
    let told = String::from_utf8_lossy(&check.stderr);
    assert!(
        told.contains("warning: TRUSTED_PROXIES=\"0.0.0.0/0\""),
        "{told}"
    );
}
