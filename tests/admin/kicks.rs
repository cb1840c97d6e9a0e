//! Kicks and blocks.

use crate::peers::{app, glasses, quiet, until_closed};
use crate::sockets::{Client, Event};
use serde_json::json;
use std::io::Write;

#[test]
fn a_kick_with_a_block_shuts_the_identity_out_and_a_lift_lets_it_in() {
    let gateway = quiet();
    let other = app(&gateway, "eve", "q");
    let kicked = app(&gateway, "eve", "p");
    let id = gateway.connection("user=eve&package=p")["id"].clone();
    let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
    let (status, answer) = gateway.act("POST", &path, r#"{"block_ms":600000}"#);
    assert_eq!(
        (status, &answer["blocked"]),
        (200, &json!(true)),
        "{answer}"
    );
    // For an app this is a stop, with the reason that its SDK knows.
    let mut kicked = kicked;
    assert!(matches!(kicked.next_answering(), Event::Text(t) if t.contains("app_stopped")));
    assert_eq!(until_closed(kicked), (1000, "App stopped".to_owned()));
    let refused = Client::refused(gateway.addr, "/tpa-ws?user=eve&package=p");
    assert_eq!(refused.status, 403);
    let after = refused.header("retry-after").and_then(|s| s.parse().ok());
    assert!(
        after.is_some_and(|s: u32| (1..=600).contains(&s)),
        "{refused:?}"
    );
    gateway.line(&["close class=none", "cause=blocked", "code=http_403"]);
    gateway.line(&[
        "operator action=kick",
        "user=eve package=p address=- block_ms=600000 blocked=true",
    ]);
    let blocks = gateway.api("/api/v1/blocks");
    assert_eq!(blocks["blocks"][0]["user"], "eve", "{blocks}");
    assert_eq!(gateway.metrics().get("pulsegate_blocked_identities"), 1.0);
    // Only that identity is blocked.
    let same_user = app(&gateway, "eve", "r");
    let (status, _) = gateway.act("DELETE", "/api/v1/blocks?user=eve&package=p", "");
    assert_eq!(status, 204);
    assert_eq!(
        gateway
            .act("DELETE", "/api/v1/blocks?user=eve&package=p", "")
            .0,
        404
    );
    gateway.line(&["operator action=unblock user=eve package=p address=all lifted=1"]);
    let back = app(&gateway, "eve", "p");
    assert_eq!(gateway.act("POST", &path, "{}").0, 404, "it is gone");
    drop((other, same_user, back));
    gateway.end();
}

#[test]
fn what_a_kick_could_not_do_is_said_and_logged() {
    let gateway = quiet();
    // A generated name is never used again, so it is not blocked.
    let mut unnamed = Client::open(gateway.addr, "/glasses-ws");
    let id = gateway.connection("class=glasses")["id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    let path = format!("/api/v1/connections/{id}/kick");
    for reason in ["App stopped", "now: User session ended!"] {
        let body = json!({ "reason": reason }).to_string();
        let (status, answer) = gateway.act("POST", &path, &body);
        assert_eq!(status, 400, "{reason}: {answer}");
    }
    let (status, answer) = gateway.act("POST", &path, r#"{"block_ms":1000,"reason":"a b"}"#);
    let error = answer["error"].as_str().expect("words");
    assert!(status == 409 && error.contains("generated"), "{answer}");
    // Nothing was done.
    assert_eq!(gateway.connection("class=glasses")["id"], *id);
    let (status, answer) = gateway.act("POST", &path, r#"{"reason":"a b"}"#);
    assert_eq!(status, 200, "{answer}");
    let line = gateway.line(&["operator action=kick", &format!("id={id} ")]);
    assert!(
        line.contains("block_ms=0 blocked=false reason=\"a b\""),
        "{line}"
    );
    // It has not answered the close frame yet.
    let (status, answer) = gateway.act("POST", &path, "{}");
    let error = answer["error"].as_str().expect("words");
    assert!(status == 409 && error.contains("already"), "{answer}");
    assert!(matches!(unnamed.next(), Event::Close(4000, reason) if reason == "a b"));
    assert_eq!(gateway.lines(&["operator action=kick"]).len(), 1);
    // A client that does not wait for the answer.
    let eve = glasses(&gateway, "eve");
    let id = gateway.connection("user=eve")["id"].clone();
    let id = id.as_str().expect("an id");
    let request = format!(
        "POST /api/v1/connections/{id}/kick HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    let mut hasty = gateway.admin_stream();
    hasty.write_all(request.as_bytes()).expect("room");
    drop(hasty);
    // The log records the action, whether the answer was read or not.
    drop(eve);
    let line = gateway.line(&["close ", "user=eve"]);
    let logged = gateway.lines(&["operator action=kick", &format!("id={id} ")]);
    assert_eq!(line.contains("cause=kicked"), logged.len() == 1, "{line}");
    drop(unnamed);
    gateway.end();
}
