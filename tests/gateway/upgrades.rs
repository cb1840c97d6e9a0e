//! Upgrade requests of existing clients: origins, subprotocols, names, and TLS on the plain port.

use crate::commands::gateway_with;
use crate::peers::asked;
use crate::sockets::{Client, Gateway};

#[test]
fn a_refused_origin_stands_in_the_log_and_in_the_reply() {
    let settings = [("DRAIN_MS", "0"), ("ALLOWED_ORIGINS", "file://,null")];
    let gateway = Gateway::start(&settings);
    let with = |origin: &str| asked(&gateway, "/glasses-ws?user=ada", origin);
    let mut refused = with("Origin: https://evil.example:1/a?b\r\n");
    let response = refused.response();
    assert_eq!(response.status, 403, "{response:?}");
    let why = r#"origin \"https://evil.example:1/a?b\" is not in ALLOWED_ORIGINS"#;
    assert!(response.body.contains(why), "{response:?}");
    drop(refused);
    gateway.line(&[
        "cause=blocked",
        "https://evil.example:1/a?b",
        "ALLOWED_ORIGINS",
    ]);
    // Escaped and cut, so that neither line becomes too long.
    let mut long = with(&format!(
        "Origin: https://\u{e9}\t\"{}\r\n",
        "x".repeat(4_000)
    ));
    let response = long.response();
    assert_eq!(response.status, 403, "{response:?}");
    assert!(
        response.body.len() < 200 && response.body.contains("xx…"),
        "{response:?}"
    );
    drop(long);
    let line = gateway.line(&["cause=blocked", "xxxx"]);
    assert!(line.len() < 600 && !line.contains('\t'), "{line}");
    // The name in the request, and the requested address, as Python's websocket-client sends it.
    let own = format!("http://{}", gateway.addr);
    for origin in ["file://", "null", &own] {
        with(&format!("Origin: {origin}\r\n")).switched();
    }
    gateway.end();
}

#[test]
fn a_client_that_offers_subprotocols_gets_one_and_where_one_is_required_is_told_so() {
    let gateway = gateway_with(&[
        ("APP_SUBPROTOCOLS", "v2.apps, v1.apps"),
        ("APP_SUBPROTOCOL_REQUIRED", "1"),
    ]);
    let offering = |path: &str, offer: &str| {
        let line = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        asked(&gateway, path, &line)
    };
    let chosen = |path: &str, offer: &str| {
        let head = offering(path, offer).refusal();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let chosen = head
            .lines()
            .find_map(|l| l.strip_prefix("Sec-WebSocket-Protocol: "));
        chosen.map(str::to_owned)
    };
    let (glasses, app) = ("/glasses-ws?user=ada", "/app-ws?user=ada&package=p.x");
    assert_eq!(chosen(glasses, "a, b").as_deref(), Some("a"));
    assert_eq!(chosen(app, "v1.apps,\tv2.apps").as_deref(), Some("v2.apps"));
    assert_eq!(chosen(app, "v1.apps").as_deref(), Some("v1.apps"));
    let head = asked(&gateway, glasses, "").refusal();
    assert!(
        head.starts_with("HTTP/1.1 101 ") && !head.contains("-Protocol"),
        "{head}"
    );
    let refused = offering(app, "v3.apps").response();
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.body.contains("accepted: v2.apps, v1.apps"),
        "{refused:?}"
    );
    gateway.line(&[
        "cause=bad_request",
        "none of the offered subprotocols is accepted",
    ]);
    let refused = asked(&gateway, app, "").response();
    assert!(
        refused.body.contains("a subprotocol is required"),
        "{refused:?}"
    );
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
        assert!(
            response.body.contains("no control characters"),
            "{response:?}"
        );
    }
    let response = Client::refused(gateway.addr, "/tpa-ws?user=ada&package=p%1b");
    assert_eq!(response.status, 400, "{response:?}");
    drop(Client::open(gateway.addr, "/glasses-ws?user=zo%c3%ab%20b"));
    gateway.end();
}
