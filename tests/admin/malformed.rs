//! Malformed requests to the API.

use crate::peers::{glasses, quiet};
use crate::sockets::Gateway;

const KICK: &str = "/api/v1/connections/0.1/kick";

/// Asserts that this request is refused with this status and an explanation.
#[track_caller]
fn refused(gateway: &Gateway, status: u16, method: &str, path: &str, body: &str) {
    let (got, answer) = gateway.act(method, path, body);
    assert_eq!(got, status, "{method} {path} {body:.80}: {answer}");
    assert_eq!(answer["status"], status);
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(error.len() > 5, "{method} {path}: {answer}");
}

/// Runs `ask` against a gateway with one connection, which must be as healthy as before.
fn without_harm(ask: impl FnOnce(&Gateway)) {
    let gateway = quiet();
    let client = glasses(&gateway, "ada");
    ask(&gateway);
    let state = &gateway.connection("user=ada")["state"];
    assert_eq!(*state, "healthy", "no connection was hurt");
    drop(client);
    gateway.end();
}

#[test]
fn a_question_with_a_wrong_path_or_parameter_gets_a_clear_4xx() {
    without_harm(|gateway| {
        let get = |status, path| refused(gateway, status, "GET", path, "");
        get(404, "/nowhere");
        get(404, "/api/v1");
        get(404, "/api/v2/overview");
        get(405, KICK);
        get(400, "/api/v1/connections?limit=0");
        get(400, "/api/v1/http-requests?limit=0");
        get(400, "/api/v1/http-requests?limit=1001");
        get(400, "/api/v1/http-requests?after=x");
        get(400, "/api/v1/http-requests?user=ada");
        get(400, "/api/v1/connections?limit=1001");
        get(400, "/api/v1/connections?limit=-1");
        get(400, "/api/v1/connections?limit=99999999999999999999");
        get(400, "/api/v1/connections?limit=ten");
        get(400, "/api/v1/connections?class=phones");
        get(400, "/api/v1/connections?state=dead");
        get(400, "/api/v1/connections?sort=name");
        get(400, "/api/v1/connections?order=up");
        get(400, "/api/v1/connections?after=zzz");
        get(400, "/api/v1/connections?after=-");
        get(400, "/api/v1/connections?address=localhost");
        get(400, "/api/v1/connections?address=10.0.0.0/33");
        get(400, "/api/v1/connections?usr=ada");
        get(400, "/api/v1/connections?class=app&class=app");
        get(400, "/api/v1/connections/x");
        get(400, "/api/v1/connections/0");
        get(400, "/api/v1/connections/-1.2");
        get(400, "/api/v1/connections/4294967296.1");
        get(400, "/api/v1/connections/%ff");
        get(404, "/api/v1/connections/9.9");
        get(404, "/api/v1/closed/9.9");
        get(400, "/api/v1/closed?cause=boredom");
        get(400, "/api/v1/closed?before=x");
        get(400, "/api/v1/causes?minutes=0");
        get(400, "/api/v1/causes?minutes=61");
        get(400, "/api/v1/sessions?limit=5000");
    });
}

#[test]
fn a_malformed_kick_gets_a_clear_4xx() {
    without_harm(|gateway| {
        let kick = |status, body: &str| refused(gateway, status, "POST", KICK, body);
        kick(415, "");
        kick(400, "{");
        kick(400, "[]");
        kick(400, "null");
        kick(400, r#"{"reason":5}"#);
        kick(400, r#"{"reason":"a","because":"b"}"#);
        kick(400, r#"{"block_ms":-1}"#);
        kick(400, r#"{"block_ms":86400001}"#);
        kick(400, r#"{"block_ms":1e3}"#);
        kick(413, &"x".repeat(20_000));
    });
}

#[test]
fn a_malformed_action_gets_a_clear_4xx() {
    without_harm(|gateway| {
        let act = |status, method, path, body| refused(gateway, status, method, path, body);
        act(405, "POST", "/api/v1/overview", "{}");
        act(405, "DELETE", "/metrics", "");
        act(404, "POST", "/api/v1/connections/9.9/kick", "{}");
        act(400, "POST", "/api/v1/drain", "{}");
        act(400, "POST", "/api/v1/drain", r#"{"class":null}"#);
        act(400, "POST", "/api/v1/drain", r#"{"class":"both"}"#);
        act(400, "POST", "/api/v1/drain", r#"["all"]"#);
        act(
            400,
            "POST",
            "/api/v1/drain",
            r#"{"class":"app","delay_ms":1}"#,
        );
        act(
            400,
            "POST",
            "/api/v1/drain",
            r#"{"class":"all","refuse_ms":1}"#,
        );
        act(
            400,
            "POST",
            "/api/v1/drain",
            r#"{"class":"all","spread_ms":86400001}"#,
        );
        act(400, "DELETE", "/api/v1/drain/all", "");
        act(404, "DELETE", "/api/v1/drain/app", "");
        act(400, "DELETE", "/api/v1/blocks", "");
        act(404, "DELETE", "/api/v1/blocks?user=ada", "");
    });
}

#[test]
fn a_malformed_change_of_a_policy_or_the_log_level_gets_a_clear_4xx() {
    without_harm(|gateway| {
        let policy = |status, body| refused(gateway, status, "PATCH", "/api/v1/policies/app", body);
        let level = |status, body| refused(gateway, status, "PUT", "/api/v1/log-level", body);
        refused(gateway, 400, "PATCH", "/api/v1/policies/phones", "{}");
        policy(400, r#"{"suspect_after":0}"#);
        policy(400, r#"{"suspect_after":65536}"#);
        policy(400, r#"{"heartbeat_mode":"never"}"#);
        policy(400, r#"{"heartbeat_interval_ms":9}"#);
        policy(400, r#"{"connection_timeout_ms":86400001}"#);
        policy(400, r#"{"close_timeout_ms":0}"#);
        level(400, r#"{"level":"loud"}"#);
        level(400, "{}");
        level(400, r#"["debug"]"#);
        level(400, r#""debug""#);
        level(400, r#"{"level":"debug","level":"info"}"#);
        policy(400, "[20000]");
    });
}

#[test]
fn what_is_not_http_gets_a_clear_4xx() {
    without_harm(|gateway| {
        let ask = |status, request: &[u8]| {
            let response = gateway.admin_raw(request);
            let request = String::from_utf8_lossy(request);
            assert_eq!(response.status, status, "{request:.60}: {response:?}");
        };
        ask(400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
        ask(400, b"nonsense\r\n\r\n");
        ask(400, b"GET / HTTP/9.9\r\n\r\n");
        ask(400, b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"); // no Host
        ask(400, b"GET /metrics HTTP/1.0\r\n\r\n");
        ask(
            400,
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\n\r\n",
        );
        ask(
            400,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        );
        let long = "x".repeat(70_000);
        ask(
            431,
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").as_bytes(),
        );
    });
}
