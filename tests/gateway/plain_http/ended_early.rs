//! Plain HTTP requests that end early: an operator ends them, or the token of the client expires.

use super::rig::{answer, assert_answer, assert_end, get, read, read_answer, serve, status};
use crate::bridge::identities::{Rig, SECRET};
use crate::sockets::{Client, Server, eventually};
use crate::tokens;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const JWT: &str = "auth = 'jwt'\nidentity = 'jwt:sub'";

/// Sends a request that the service does not answer yet.
#[track_caller]
fn ask(rig: &Rig, path: &str) -> (Client, Server) {
    let mut client = Client::connect(rig.gateway.addr);
    client.write(get(path, "").as_bytes());
    let mut leg = rig.service.accept();
    leg.read_head();
    (client, leg)
}

/// Sends a request whose answer begins and does not end.
#[track_caller]
fn stream(rig: &Rig, path: &str) -> (Client, Server) {
    let (mut client, mut leg) = ask(rig, path);
    leg.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    leg.write(b"data: 1\n\n");
    client.refusal();
    assert_eq!(read(&mut client, 14), "9\r\ndata: 1\n\n\r\n");
    (client, leg)
}

fn listed(rig: &Rig) -> Vec<Value> {
    let list = rig.gateway.api("/api/v1/http-requests");
    list["requests"].as_array().expect("a list").clone()
}

#[track_caller]
fn kick(rig: &Rig, id: &Value, body: &str) -> (u16, Value) {
    let id = id.as_str().expect("an id");
    let path = format!("/api/v1/connections/{id}/kick");
    rig.gateway.act("POST", &path, body)
}

#[track_caller]
fn assert_ended(rig: &Rig, cause: &str, count: f64) {
    let series = format!("pulsegate_http_requests_ended_total{{cause=\"{cause}\"}}");
    assert_eq!(rig.gateway.metrics().get(&series), count);
}

#[test]
fn requests_in_progress_are_listed_and_kicked() {
    let rig = Rig::start("identity = 'query:user'", &[("HTTP_MAX_REQUESTS", "7")]);
    let (mut first, first_leg) = stream(&rig, "/events?user=ada");
    let (mut second, second_leg) = ask(&rig, "/slow?user=bea");
    let requests = listed(&rig);
    assert_eq!(requests.len(), 2, "{requests:?}");
    let of = |path: &str| requests.iter().find(|r| r["path"] == path).expect(path);
    let row = of("/events");
    for (key, value) in [
        ("route", json!("r")),
        ("upstream", json!(rig.service.socket_addr().to_string())),
        ("address", json!("127.0.0.1")),
        ("user", json!("ada")),
        ("method", json!("GET")),
    ] {
        assert_eq!(row[key], value, "{row}");
    }
    let metrics = rig.gateway.metrics();
    assert_eq!(metrics.get("pulsegate_http_requests_in_progress"), 2.0);
    assert_eq!(metrics.get("pulsegate_http_requests_in_progress_max"), 7.0);
    // Pages follow each other.
    let page = rig.gateway.api("/api/v1/http-requests?limit=1");
    let next = page["next"].as_str().expect("a second page");
    let rest = rig
        .gateway
        .api(&format!("/api/v1/http-requests?after={next}"));
    assert_eq!(rest["requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["next"], Value::Null);

    let (code, answer) = kick(&rig, &row["id"], r#"{"reason":"by hand"}"#);
    assert_eq!((code, &answer["blocked"]), (200, &json!(false)), "{answer}");
    assert_end(&mut first);
    first_leg.expect_end();
    let (code, _) = kick(&rig, &of("/slow")["id"], "{}");
    assert_eq!(code, 200);
    assert_eq!(second.response().status, 403);
    second_leg.expect_end();
    eventually("an empty list", || listed(&rig).is_empty().then_some(()));
    assert_eq!(kick(&rig, &row["id"], "{}").0, 404);
    assert_ended(&rig, "kicked", 2.0);
    rig.gateway.end();
}

#[test]
fn a_block_ends_the_requests_of_its_identity() {
    let rig = Rig::start("identity = 'query:user'", &[]);
    let (mut stays, mut stays_leg) = stream(&rig, "/1?user=bea");
    let (mut first, first_leg) = stream(&rig, "/2?user=ada");
    let (mut second, second_leg) = stream(&rig, "/3?user=ada");
    let requests = listed(&rig);
    let one = requests.iter().find(|r| r["path"] == "/2").expect("a row");
    let (code, answer) = kick(&rig, &one["id"], r#"{"reason":"out","block_ms":60000}"#);
    assert_eq!((code, &answer["blocked"]), (200, &json!(true)), "{answer}");
    for (client, leg) in [(&mut first, first_leg), (&mut second, second_leg)] {
        assert_end(client);
        leg.expect_end();
    }
    let mut refused = Client::connect(rig.gateway.addr);
    refused.write(get("/?user=ada", "").as_bytes());
    assert_eq!(status(&read_answer(&mut refused).0), 403);
    stays_leg.write(b"data: 2\n\n");
    assert_eq!(read(&mut stays, 14), "9\r\ndata: 2\n\n\r\n");
    rig.gateway.end();
}

#[test]
fn a_request_ends_when_the_token_of_its_client_expires() {
    let settings = [("AUTH_JWT_SECRET", SECRET), ("AUTH_JWT_LEEWAY_MS", "10")];
    let rig = Rig::start(JWT, &settings);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
    let claims = |left: u64| json!({"sub": "ada", "exp": now.as_secs() + left});
    let path = |left| format!("/?token={}", tokens::sign(SECRET, &claims(left)));
    let (mut first, first_leg) = stream(&rig, &path(3));
    let (mut second, second_leg) = ask(&rig, &path(3));
    let (mut third, mut third_leg) = ask(&rig, &path(3_000));
    assert_end(&mut first);
    first_leg.expect_end();
    let response = second.response();
    assert_eq!(response.status, 401, "{response:?}");
    assert!(response.body.contains("the token has expired"));
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    second_leg.expect_end();
    third_leg.write(answer("in time").as_bytes());
    assert_answer(&mut third, "in time");
    assert_ended(&rig, "unauthorized", 2.0);
    // The connection of one that is in time goes on.
    third.write(get(&path(3_000), "").as_bytes());
    serve(&mut third_leg, "again");
    assert_answer(&mut third, "again");
    rig.gateway.end();
}
