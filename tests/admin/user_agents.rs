//! User agents in log, API and closed ring.

use crate::peers::{glasses, quiet};
use crate::sockets::{Client, Gateway, eventually, field, upgrade};
use serde_json::Value;

/// Opens a WebSocket as this user's glasses, with this `User-Agent`.
fn glasses_with(gateway: &Gateway, user: &str, user_agent: &[u8]) -> Client {
    let mut client = Client::connect(gateway.addr);
    let head = upgrade(&format!("/glasses-ws?user={user}"));
    let head = head.trim_end().as_bytes();
    client.write(&[head, b"\r\nUser-Agent: ", user_agent, b"\r\n\r\n"].concat());
    client.switched();
    client
}

#[test]
fn log_api_and_closed_ring_name_the_user_agent() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("LOG_LEVEL", "debug")]);
    let client = glasses_with(&gateway, "ada", b"glasses-os/3.2 (rev 7)");
    let connection = gateway.connection("user=ada");
    assert_eq!(connection["user_agent"], "glasses-os/3.2 (rev 7)");
    let path = format!(
        "/api/v1/connections/{}",
        connection["id"].as_str().expect("an id")
    );
    let detail = gateway.api(&path);
    assert_eq!(detail["connection"]["user_agent"], "glasses-os/3.2 (rev 7)");
    let said = r#"its user agent is "glasses-os/3.2 (rev 7)""#;
    assert_eq!(detail["explain"]["text"][1], said, "{detail}");
    // A client that calls itself `other` looks like one for whose name there was no room.
    let lumped = glasses_with(&gateway, "ann", b"other");
    let id = gateway.connection("user=ann")["id"].clone();
    let detail = gateway.api(&format!(
        "/api/v1/connections/{}",
        id.as_str().expect("an id")
    ));
    let said = "its user agent is shown as other: 4096 different user agents are connected already";
    assert_eq!(detail["explain"]["text"][1], said, "{detail}");
    lumped.reset();
    let other = glasses_with(&gateway, "eve", b"glasses-os/3.1");
    let nameless = glasses(&gateway, "joe");
    assert_eq!(gateway.connection("user=joe")["user_agent"], Value::Null);
    let found = gateway.connection("user_agent=glasses-os/3.1");
    assert_eq!(found["user"], "eve");
    assert_eq!(gateway.metrics().get("pulsegate_user_agents"), 2.0);
    gateway.line(&[
        "[DEBUG] open class=glasses user=ada",
        r#" user_agent="glasses-os/3.2 (rev 7)" how=first"#,
    ]);
    for client in [client, other, nameless] {
        client.reset();
    }
    gateway.line(&[
        "close class=glasses user=ada",
        r#" user_agent="glasses-os/3.2 (rev 7)" age_ms="#,
    ]);
    gateway.line(&["close class=glasses user=joe", " user_agent=- age_ms="]);
    let closed = gateway.api("/api/v1/closed?user_agent=glasses-os/3.2%20(rev%207)");
    let closed = closed["closed"].as_array().expect("records");
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0]["user"], "ada");
    assert_eq!(closed[0]["user_agent"], "glasses-os/3.2 (rev 7)");
    let id = closed[0]["id"].as_str().expect("an id");
    let one = gateway.api(&format!("/api/v1/closed/{id}"));
    assert_eq!(one["user_agent"], "glasses-os/3.2 (rev 7)");
    eventually("all of them have ended", || {
        (gateway.metrics().get("pulsegate_user_agents") == 0.0).then_some(())
    });
    // The record of a refused connection has the user agent, too.
    let mut refused = Client::connect(gateway.addr);
    refused.write(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nUser-Agent: scanner/1\r\n\r\n");
    assert_eq!(refused.response().status, 404);
    let line = gateway.line(&["close class=none", "user_agent=scanner/1"]);
    assert_eq!(field(&line, "code"), Some("http_404"), "{line}");
    gateway.end();
}

/// Also for a connection that the loop itself refuses because it is full.
#[test]
fn a_client_that_is_refused_for_lack_of_room_is_named() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("MAX_CONNECTIONS", "1")]);
    let first = glasses_with(&gateway, "ada", b"glasses/1");
    let mut second = Client::connect(gateway.addr);
    let request = upgrade("/glasses-ws?user=bob");
    let request = request.replacen("\r\n", "\r\nUser-Agent: glasses/2\r\n", 1);
    second.write(request.as_bytes());
    assert_eq!(second.response().status, 503);
    gateway.line(&["cause=at_capacity", "user_agent=glasses/2"]);
    let closed = gateway.api("/api/v1/closed?cause=at_capacity");
    assert_eq!(closed["closed"][0]["user_agent"], "glasses/2", "{closed}");
    drop(first);
    gateway.end();
}

#[test]
fn a_user_agent_forges_nothing_in_log_and_api() {
    let gateway = quiet();
    let sent = "Zo\u{eb}\t\" cause=stale \\\u{202e}<script>alert(1)</script>".as_bytes();
    let kept = "Zo%C3%AB%09%22 cause=stale %5C%E2%80%AE<script>alert(1)</script>";
    let client = glasses_with(&gateway, "eve", sent);
    let long = glasses_with(&gateway, "bob", &[b'x'; 5_000]);
    assert_eq!(gateway.connection("user=eve")["user_agent"], kept);
    assert_eq!(
        gateway.connection("user=bob")["user_agent"],
        "x".repeat(128)
    );
    // In the shown form, and in the sent form.
    let encode = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("%{b:02x}")).collect() };
    for wanted in [kept.as_bytes(), sent] {
        let found = gateway.connection(&format!("user_agent={}", encode(wanted)));
        assert_eq!(found["user"], "eve");
    }
    assert!(!gateway.metrics().0.contains("alert(1)"));
    client.reset();
    long.reset();
    let line = gateway.line(&["close class=glasses user=eve"]);
    assert_eq!(
        field(&line, "cause"),
        Some("stale"),
        "it stands in quotes: {line}"
    );
    assert!(
        line.contains(&format!(r#" user_agent="{kept}" age_ms="#)),
        "{line}"
    );
    assert!(line.contains(" cause=peer_reset code="), "{line}");
    let line = gateway.line(&["close class=glasses user=bob"]);
    assert!(line.len() < 600, "{line}");
    gateway.end();
}
