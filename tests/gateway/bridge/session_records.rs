//! What the log, records and explanations say of connections of sessions.

use super::legs::Bridge;
use super::pulse_settings::{open, resume};
use crate::sockets::{Client, Server, eventually, field, frame};
use pulsegate::wire::frame::CLOSE;
use serde_json::Value;

/// Opens a session whose client has proved that it has the hello.
#[track_caller]
fn proved(bridge: &Bridge) -> (Client, Server, Value) {
    let (mut client, service, hello) = open(bridge, "/?pulse=1");
    client.send_text("\u{1}{\"probe\":1}");
    client.next();
    (client, service, hello)
}

/// Returns the cause, the side and the partner in the records of both connections, when both have
/// ended.
#[track_caller]
fn records(bridge: &Bridge) -> [Value; 2] {
    let records = ["client", "upstream"].map(|class| bridge.record(class));
    let [client, upstream] = &records;
    assert_eq!(client["partner"], upstream["id"], "{client}");
    assert_eq!(upstream["partner"], client["id"], "{upstream}");
    assert_eq!(client["route"], "default", "{client}");
    assert_eq!(client["upstream"], upstream["upstream"], "{client}");
    records
}

#[track_caller]
fn assert_ended(bridge: &Bridge, client: [&str; 2], upstream: [&str; 2]) {
    for (record, [cause, by]) in records(bridge).iter().zip([client, upstream]) {
        assert_eq!(record["cause"], cause, "{record}");
        assert_eq!(record["by"], by, "{record}");
    }
}

fn pulse(more: &[(&'static str, &'static str)]) -> Bridge {
    Bridge::start(&[&[("PULSE", "1")], more].concat())
}

#[test]
fn both_records_name_the_service_that_has_closed() {
    let bridge = pulse(&[]);
    let (mut client, mut service, _) = proved(&bridge);
    service.send(CLOSE, &[&4_321_u16.to_be_bytes()[..], b"done"].concat());
    client.next();
    client.send_text("\u{1}{\"rx\":1}");
    client.next();
    drop((client, service));
    assert_ended(
        &bridge,
        ["partner_ended", "upstream"],
        ["peer_closed", "upstream"],
    );
    let line = bridge.gateway.line(&["close class=client"]);
    assert_eq!(field(&line, "session"), Some("1"), "{line}");
}

#[test]
fn both_records_name_the_client_that_has_left() {
    let bridge = pulse(&[]);
    let (mut client, service, _) = proved(&bridge);
    client.write(&frame(CLOSE, &1_000_u16.to_be_bytes()));
    service.expect_close();
    drop(client);
    assert_ended(
        &bridge,
        ["peer_closed", "client"],
        ["partner_ended", "client"],
    );
}

#[test]
fn both_records_name_the_operator_that_has_kicked() {
    let bridge = pulse(&[]);
    let (client, service, _) = proved(&bridge);
    let id = bridge.gateway.connection("class=client")["id"].clone();
    let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
    assert_eq!(bridge.gateway.act("POST", &path, "{}").0, 200);
    service.expect_close();
    drop(client);
    assert_ended(
        &bridge,
        ["kicked", "operator"],
        ["partner_ended", "operator"],
    );
}

#[test]
fn both_records_name_the_gateway_that_has_refused_a_frame() {
    let bridge = pulse(&[]);
    let (mut client, service, _) = proved(&bridge);
    client.send_text("\u{1}no json");
    service.expect_close();
    drop(client);
    assert_ended(
        &bridge,
        ["protocol", "gateway"],
        ["partner_ended", "gateway"],
    );
}

/// The service hears of the loss long after it. Its record still says what happened.
#[test]
fn after_a_hold_the_record_names_the_loss() {
    let bridge = pulse(&[("HOLD_MS", "300")]);
    let (client, service, _) = proved(&bridge);
    drop(client);
    service.expect_close();
    assert_ended(&bridge, ["peer_eof", "client"], ["partner_ended", "client"]);
    let line = bridge.gateway.line(&["hold_end "]);
    assert_eq!(field(&line, "why"), Some("expired"), "{line}");
    assert_eq!(field(&line, "route"), Some("default"), "{line}");
    let lost = bridge.record("client")["id"].clone();
    assert_eq!(field(&line, "id"), lost.as_str(), "{line}");
}

#[test]
fn a_hold_that_the_age_of_its_session_ends_says_so() {
    let bridge = pulse(&[("PULSE_SESSION_MAX_MS", "1000")]);
    let (client, service, _) = proved(&bridge);
    drop(client);
    service.expect_close();
    let line = bridge.gateway.line(&["hold_end "]);
    assert_eq!(field(&line, "why"), Some("too_old"), "{line}");
}

#[test]
fn the_connection_that_is_replaced_leads_to_its_session() {
    let bridge = pulse(&[]);
    let (_client, _service, hello) = proved(&bridge);
    let _second = resume(&bridge, &hello);
    let line = bridge.gateway.line(&["close ", "cause=replaced"]);
    assert_eq!(field(&line, "route"), Some("default"), "{line}");
    assert_eq!(field(&line, "session"), Some("1"), "{line}");
    assert!(field(&line, "partner").is_some(), "{line}");
}

#[test]
fn a_session_that_is_not_here_is_told_in_the_log() {
    let bridge = pulse(&[]);
    let hello = serde_json::json!({"resume": "0123456789abcdef0123456789abcdef"});
    let _client = resume(&bridge, &hello);
    let _service = bridge.service.open();
    let line = bridge.gateway.line(&["pulse_reset "]);
    assert_eq!(field(&line, "why"), Some("unknown"), "{line}");
    assert_eq!(field(&line, "route"), Some("default"), "{line}");
}

#[test]
fn an_explanation_says_what_becomes_of_the_session() {
    let bridge = pulse(&[]);
    let (client, _service, _) = proved(&bridge);
    let explain = |class: &str| {
        let id = bridge.gateway.connection(&format!("class={class}"))["id"].clone();
        let path = format!("/api/v1/connections/{}", id.as_str().expect("an id"));
        bridge.gateway.api(&path)["explain"].clone()
    };
    for class in ["client", "upstream"] {
        let explained = explain(class);
        assert_eq!(explained["session"]["session"], 1, "{explained}");
        assert_eq!(explained["session"]["state"], "attached", "{explained}");
    }
    drop(client);
    let explained = eventually("a session that waits", || {
        let explained = explain("upstream");
        (explained["session"]["state"] == "held").then_some(explained)
    });
    let left = explained["session"]["left_ms"].as_u64().expect("a time");
    let end = &explained["end"];
    assert_eq!(end["cause"], "partner_ended", "{explained}");
    assert!(
        end["in_ms"]
            .as_u64()
            .is_some_and(|at| at.abs_diff(left) < 5)
    );
}
