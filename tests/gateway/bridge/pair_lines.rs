//! The line of a pair in the log.

use super::identities::{Rig, SECRET, now, token};
use super::legs::{Bridge, request};
use crate::sockets::{Client, eventually, field};
use pulsegate::wire::frame::{CLOSE, TEXT};
use serde_json::json;

/// Everything that the line says, against what both sides have seen.
#[test]
fn a_pair_that_has_ended_has_one_line_with_both_legs() {
    let rig = Rig::start("identity = 'query:user'", &[]);
    let (mut client, mut leg) = rig.pair("/?user=ada", "User-Agent: tabs/7\r\n");
    let connection = leg.fields("x-pulsegate-connection")[0].to_owned();
    let (_, id) = connection.split_once('.').expect("the id of the run");
    let upstream_id = rig.gateway.connection("class=upstream")["id"].clone();
    for _ in 0..3 {
        client.send_text("12345");
        leg.next_answering();
    }
    leg.send(TEXT, b"1234567");
    client.next_answering();
    leg.send(CLOSE, &[&4002_u16.to_be_bytes()[..], b"enough"].concat());
    assert_eq!(client.expect_close(), (4002, "enough".to_owned()));
    let peer = client.stream.local_addr().expect("an address").to_string();
    let line = rig.gateway.line(&["[INFO] pair "]);
    for (key, value) in [
        ("route", "r"),
        ("upstream", &*rig.service.socket_addr().to_string()),
        ("user", "ada"),
        ("client", id),
        ("upstream_id", upstream_id.as_str().expect("an id")),
        ("peer", &peer),
        ("user_agent", "tabs/7"),
        ("connection", &connection),
        ("cause", "peer_closed"),
        ("by", "upstream"),
        ("reason", "enough"),
        ("code_client", "4002"),
        ("code_upstream", "4002"),
        ("messages_up", "3"),
        ("messages_down", "1"),
        ("rtt_client_us", "-"),
    ] {
        assert_eq!(field(&line, key), Some(value), "{key}: {line}");
    }
    let bytes = |key: &str| field(&line, key).and_then(|n| n.parse::<u64>().ok());
    // A frame of a client has a header of 6 bytes, one of a service 2. The handshakes count, too.
    assert!(bytes("bytes_up") > Some(3 * 11), "{line}");
    assert!(bytes("bytes_down") > Some(9), "{line}");
    drop((client, leg));
    rig.gateway.end();
}

/// The legs have their lines at debug; the level of the pair is that of the worse leg.
#[test]
fn a_silent_leg_makes_the_line_of_its_pair_a_warning() {
    let bridge = Bridge::start(&[
        ("HEARTBEAT_INTERVAL_MS", "300"),
        ("CONNECTION_TIMEOUT_MS", "900"),
        ("LOG_LEVEL", "debug"),
    ]);
    let (client, leg) = bridge.pair();
    assert_eq!(leg.expect_close().0, 1001);
    let line = bridge.gateway.line(&["[WARN] pair ", "cause=stale"]);
    let id = field(&line, "client").expect("an id");
    let upstream_id = field(&line, "upstream_id").expect("an id");
    for (class, id, partner) in [("client", id, upstream_id), ("upstream", upstream_id, id)] {
        let parts = [
            "[DEBUG] close ",
            &*format!(" class={class} "),
            &format!(" id={id} "),
            &format!(" partner={partner}"),
        ];
        assert_eq!(bridge.gateway.lines(&parts).len(), 1, "{parts:?}");
    }
    assert_eq!(bridge.gateway.lines(&[" pair "]).len(), 1);
    drop(client);
    bridge.gateway.end();
}

/// What is kept of the first leg is charged, and freed with the second one.
#[test]
fn the_line_waits_for_the_second_leg() {
    let bridge = Bridge::start(&[("CLOSE_TIMEOUT_MS", "60000")]);
    let kept = || bridge.gateway.metrics().get("pulsegate_host_bytes");
    let (client, mut leg) = bridge.pair();
    assert_eq!(kept(), 0.0);
    client.reset();
    let record = bridge.record("client");
    assert_eq!(record["cause"], "peer_reset", "{record}");
    assert!(kept() > 0.0);
    assert_eq!(bridge.gateway.lines(&[" pair "]), [""; 0]);
    // The record of the client names the upstream, although the other leg is still there.
    assert_eq!(record["route"], "default", "{record}");
    leg.next_answering();
    leg.send(CLOSE, &1001_u16.to_be_bytes());
    drop(leg);
    bridge.gateway.line(&["[INFO] pair ", "cause=peer_reset"]);
    eventually("nothing is kept", || (kept() == 0.0).then_some(()));
    bridge.gateway.end();
}

/// At a shutdown no leg ends because of the other one.
#[test]
fn a_shutdown_ends_both_legs_and_each_pair_has_its_line() {
    let bridge = Bridge::start(&[("DRAIN_MS", "60000"), ("DRAIN_DELAY_MS", "60000")]);
    let pairs: Vec<_> = (0..3).map(|_| bridge.pair()).collect();
    let Bridge { mut gateway, .. } = bridge;
    gateway.signal("TERM");
    gateway.line(&["signal effect=drain"]);
    gateway.signal("TERM");
    gateway.wait_for_exit();
    let parts = ["[INFO] pair ", "cause=shutdown by=operator "];
    let codes = ["code_client=none", "code_upstream=none"];
    let lines = gateway.lines(&[parts, codes].concat());
    assert_eq!(lines.len(), 3, "{lines:?}");
    drop(pairs);
}

/// What a client has asked for, and what the service was told, whatever became of it.
#[test]
fn a_refused_client_has_a_line_and_a_record_with_route_and_upstream() {
    let settings = [("LOG_LEVEL", "debug"), ("AUTH_JWT_SECRET", SECRET)];
    let rig = Rig::start("auth = 'jwt'", &settings);
    let refused = |path: &str| {
        let mut client = Client::connect(rig.gateway.addr);
        client.write(request(path, "").as_bytes());
        client
    };
    // The route refuses it, and no upstream is asked.
    let mut client = refused("/none");
    assert_eq!(client.response().status, 401);
    let line = rig
        .gateway
        .line(&["[INFO] close class=none", "code=http_401"]);
    assert_eq!(field(&line, "route"), Some("r"), "{line}");
    assert_eq!(field(&line, "upstream"), Some("-"), "{line}");
    assert_eq!(field(&line, "partner"), None, "{line}");

    let user = token(json!({"sub": "ada", "exp": now() + 60}));
    let mut client = refused(&format!("/?token={user}"));
    let mut leg = rig.service.accept();
    leg.read_head();
    let connection = leg.fields("x-pulsegate-connection")[0].to_owned();
    leg.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 403);
    let upstream = rig.service.socket_addr().to_string();
    let line = rig
        .gateway
        .line(&["[INFO] close class=none", "code=http_403"]);
    let dial = rig
        .gateway
        .line(&["[DEBUG] close class=upstream", " route=r "]);
    let (_, id) = connection.split_once('.').expect("the id of the run");
    for (key, value) in [
        ("id", Some(id)),
        ("connection", Some(&*connection)),
        ("route", Some("r")),
        ("upstream", Some(&*upstream)),
        ("partner", field(&dial, "id")),
    ] {
        assert_eq!(field(&line, key), value, "{key}: {line}");
    }
    let record = eventually("the record of the end", || {
        let (status, record) = rig.gateway.act("GET", &format!("/api/v1/closed/{id}"), "");
        (status == 200).then_some(record)
    });
    assert_eq!(
        (&record["route"], &record["upstream"]),
        (&json!("r"), &json!(upstream))
    );
    assert_eq!(record["partner"].as_str(), field(&dial, "id"), "{record}");
    eventually("the records of both legs", || {
        let found = rig.gateway.api("/api/v1/closed?route=r");
        (found["closed"].as_array().map(Vec::len) == Some(2)).then_some(())
    });
    rig.gateway.end();
}
