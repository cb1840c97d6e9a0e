//! Upgrade requests of existing clients: origins, subprotocols, names, and TLS on the plain port.

use crate::commands::gateway_with;
use crate::peers::asked;
use crate::sockets::{Client, Gateway};

/// Starts a gateway for pages of two origins.
fn with_origins() -> Gateway {
    gateway_with(&[("ALLOWED_ORIGINS", "file://,null")])
}

/// Sends an upgrade request with this origin.
fn from_origin(gateway: &Gateway, origin: &str) -> Client {
    asked(
        gateway,
        "/glasses-ws?user=ada",
        &format!("Origin: {origin}\r\n"),
    )
}

#[test]
fn a_refused_origin_stands_in_the_log_and_in_the_reply() {
    let gateway = with_origins();
    let response = from_origin(&gateway, "https://evil.example:1/a?b").response();
    assert_eq!(response.status, 403, "{response:?}");
    let why = r#"origin \"https://evil.example:1/a?b\" is not in ALLOWED_ORIGINS"#;
    assert!(response.body.contains(why), "{response:?}");
    let origin = "https://evil.example:1/a?b";
    gateway.line(&["cause=blocked", origin, "ALLOWED_ORIGINS"]);
    gateway.end();
}

#[test]
fn a_long_origin_is_escaped_and_cut() {
    let gateway = with_origins();
    let long = format!("https://\u{e9}\t\"{}", "x".repeat(4_000));
    let response = from_origin(&gateway, &long).response();
    assert_eq!(response.status, 403, "{response:?}");
    let is_cut = response.body.len() < 200 && response.body.contains("xx…");
    assert!(is_cut, "{response:?}");
    let line = gateway.line(&["cause=blocked", "xxxx"]);
    assert!(line.len() < 600 && !line.contains('\t'), "{line}");
    gateway.end();
}

/// The requested address, too, as Python's websocket-client sends it.
#[test]
fn an_allowed_origin_and_that_of_the_gateway_are_let_in() {
    let gateway = with_origins();
    let own = format!("http://{}", gateway.addr);
    for origin in ["file://", "null", &own] {
        from_origin(&gateway, origin).switched();
    }
    gateway.end();
}

const GLASSES: &str = "/glasses-ws?user=ada";
const APP: &str = "/app-ws?user=ada&package=p.x";

/// Starts a gateway where apps must offer one of two subprotocols.
fn with_subprotocols() -> Gateway {
    gateway_with(&[
        ("APP_SUBPROTOCOLS", "v2.apps, v1.apps"),
        ("APP_SUBPROTOCOL_REQUIRED", "1"),
    ])
}

/// Sends an upgrade request that offers these subprotocols.
fn offering(gateway: &Gateway, path: &str, offer: &str) -> Client {
    let line = format!("Sec-WebSocket-Protocol: {offer}\r\n");
    asked(gateway, path, &line)
}

#[test]
fn a_client_that_offers_subprotocols_gets_one() {
    let gateway = with_subprotocols();
    let chosen = |path: &str, offer: &str| {
        let head = offering(&gateway, path, offer).refusal();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut lines = head.lines();
        let chosen = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        chosen.expect("a subprotocol").to_owned()
    };
    assert_eq!(chosen(GLASSES, "a, b"), "a");
    assert_eq!(chosen(APP, "v1.apps,\tv2.apps"), "v2.apps");
    assert_eq!(chosen(APP, "v1.apps"), "v1.apps");
    let head = asked(&gateway, GLASSES, "").refusal();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.contains("-Protocol"), "{head}");
    gateway.end();
}

#[test]
fn a_client_without_a_required_subprotocol_is_told_so() {
    let gateway = with_subprotocols();
    let refused = offering(&gateway, APP, "v3.apps").response();
    assert_eq!(refused.status, 400, "{refused:?}");
    let accepted = "accepted: v2.apps, v1.apps";
    assert!(refused.body.contains(accepted), "{refused:?}");
    let why = "none of the offered subprotocols is accepted";
    gateway.line(&["cause=bad_request", why]);
    let refused = asked(&gateway, APP, "").response();
    let why = "a subprotocol is required";
    assert!(refused.body.contains(why), "{refused:?}");
    gateway.end();
}

#[test]
fn tls_on_the_plain_port_is_named() {
    let gateway = gateway_with(&[]);
    let mut client = Client::connect(gateway.addr);
    client.write(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    let line = gateway.line(&["close class=none", "cause=bad_request"]);
    assert!(line.contains("but this port has none"), "{line}");
    gateway.end();
}

/// On an open gateway, where users choose their own names.
#[test]
fn control_characters_in_a_name_are_refused() {
    let gateway = gateway_with(&[]);
    for query in ["user=a%0Ab", "user=%00", "user=a%7f", "user=a%c2%85"] {
        let response = Client::refused(gateway.addr, &format!("/glasses-ws?{query}"));
        assert_eq!(response.status, 400, "{query}: {response:?}");
        let why = "no control characters";
        assert!(response.body.contains(why), "{response:?}");
    }
    let response = Client::refused(gateway.addr, "/tpa-ws?user=ada&package=p%1b");
    assert_eq!(response.status, 400, "{response:?}");
    drop(Client::open(gateway.addr, "/glasses-ws?user=zo%c3%ab%20b"));
    gateway.end();
}
