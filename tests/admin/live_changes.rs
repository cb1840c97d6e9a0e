//! Policies and the log level change while the gateway runs.

use crate::peers::{glasses, quiet};
use crate::sockets::Event;
use serde_json::json;

#[test]
fn a_policy_is_changed_live_within_the_bounds_of_the_start() {
    let gateway = quiet();
    let mut frozen = glasses(&gateway, "frozen");
    let path = "/api/v1/policies/glasses";
    let (status, answer) = gateway.act(
        "PATCH",
        path,
        r#"{"heartbeat_interval_ms":5,"connection_timeout_ms":3}"#,
    );
    let error = answer["error"].as_str().expect("words");
    assert_eq!(status, 400);
    assert!(
        error.contains("heartbeat_interval") && error.contains("connection_timeout"),
        "all faults: {error}"
    );
    let (status, answer) = gateway.act("PATCH", path, r#"{"connection_timeout_ms":20000}"#);
    assert_eq!(status, 400, "not more than the interval: {answer}");
    let before = gateway.api("/api/v1/policies");
    assert_eq!(before["glasses"]["connection_timeout_ms"], 60_000);
    let body = r#"{"heartbeat_interval_ms":1000,"connection_timeout_ms":3000}"#;
    let (status, answer) = gateway.act("PATCH", path, body);
    assert_eq!(
        (status, &answer["connection_timeout_ms"]),
        (200, &json!(3_000)),
        "{answer}"
    );
    assert_eq!(
        gateway.api("/api/v1/policies")["app"]["connection_timeout_ms"],
        60_000
    );
    gateway.line(&["operator action=policy class=glasses"]);
    // No warning yet: it comes when one lost ping would close a live peer, as at the start.
    assert_eq!(gateway.lines(&["[WARN]", "one lost ping"]), [""; 0]);
    let (status, _) = gateway.act("PATCH", path, r#"{"connection_timeout_ms":1999}"#);
    assert_eq!(status, 200);
    gateway.line(&[
        "[WARN] connection_timeout_ms of class glasses is 1999, less than twice \
         heartbeat_interval_ms, which is 1000: one lost ping would close a live peer; set it to at \
         least 2000",
    ]);
    // Under the old policy it would have had a minute.
    let (_, event) = frozen.next_mute();
    assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
    gateway.end();
}

#[test]
fn the_log_level_is_changed_live() {
    let gateway = quiet();
    assert_eq!(gateway.api("/api/v1/log-level")["level"], "info");
    drop(glasses(&gateway, "unseen"));
    gateway.line(&["close ", "user=unseen"]);
    let (status, _) = gateway.act("PUT", "/api/v1/log-level", r#"{"level":"debug"}"#);
    assert_eq!(status, 200);
    drop(glasses(&gateway, "seen"));
    gateway.line(&["[DEBUG] open ", "user=seen"]);
    assert_eq!(gateway.lines(&["open ", "user=unseen"]), [""; 0]);
    assert_eq!(
        gateway
            .act("PUT", "/api/v1/log-level", r#"{"level":"off"}"#)
            .0,
        400
    );
    gateway.end();
}
