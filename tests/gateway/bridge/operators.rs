//! What operators do: drains, kicks, limits.

use super::legs::{Bridge, Told};
use crate::commands::in_shell;
use crate::sockets::{Client, Event, Gateway, Listener, Server, eventually};
use std::process::Command;
use std::time::{Duration, SystemTime};

#[test]
fn a_drain_asks_clients_to_come_back_and_tells_the_service_that_they_go() {
    let bridge = Bridge::start(&[("DRAIN_MS", "600")]);
    let pairs: Vec<(Client, Server)> = (0..10).map(|_| bridge.pair()).collect();
    let Bridge { mut gateway, .. } = bridge;
    gateway.signal("TERM");
    let mut clients = Vec::new();
    for (mut client, leg) in pairs {
        // It is not answered: so the gateway alone decides when it ends.
        let asked = Event::Close(1012, "service restart".to_owned());
        assert_eq!(client.next_answering(), asked);
        clients.push(client);
        assert_eq!(leg.expect_close(), (1001, "service restart".to_owned()));
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let parts = ["pair ", "cause=draining", "code_client=1012"];
    let lines = gateway.lines(&[&parts[..], &["code_upstream=1001", "by=operator"]].concat());
    assert_eq!(lines.len(), 10);
    let mut at: Vec<_> = lines.iter().map(|line| time_of(line)).collect();
    at.sort();
    let spread = at[9].duration_since(at[0]).expect("sorted");
    assert!(
        spread >= Duration::from_millis(60),
        "closed within {spread:?}"
    );
}

/// Returns the time stamp of a log line.
#[track_caller]
fn time_of(line: &str) -> SystemTime {
    let (time, _) = line.split_once(' ').expect("a time stamp");
    humantime::parse_rfc3339(time).expect("a time stamp")
}

#[test]
fn a_client_that_comes_during_a_drain_is_refused() {
    let bridge = Bridge::start(&[("DRAIN_MS", "20000")]);
    let (mut client, leg) = bridge.pair();
    bridge.gateway.signal("TERM");
    assert_eq!(client.expect_close().0, 1012);
    let refused = bridge.ask("/", "").response();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(
        bridge.service.try_accept().is_none(),
        "the service is not bothered"
    );
    let health = Client::get(bridge.gateway.addr, "/.well-known/pulsegate/health");
    assert_eq!(health.status, 503);
    drop(leg);
}

/// Returns the id of the only connection of a class.
#[track_caller]
fn id_of(gateway: &Gateway, class: &str) -> String {
    let connection = gateway.connection(&format!("class={class}"));
    connection["id"].as_str().expect("an id").to_owned()
}

/// Kicks the only connection of a class. The answer and the log name the other leg.
#[track_caller]
fn kick(gateway: &Gateway, class: &str) {
    let partner = gateway.connection(&format!("class={class}"))["partner"].clone();
    let path = format!("/api/v1/connections/{}/kick", id_of(gateway, class));
    let (status, answer) = gateway.act("POST", &path, r#"{"reason":"abuse"}"#);
    assert_eq!((status, &answer["partner"]), (200, &partner), "{answer}");
    let partner = partner.as_str().expect("an id");
    gateway.line(&["operator action=kick", &format!(" partner={partner}")]);
}

#[test]
fn a_client_that_is_kicked_leaves_its_service() {
    let bridge = Bridge::start(&[]);
    let (mut client, leg) = bridge.pair();
    kick(&bridge.gateway, "client");
    assert_eq!(client.expect_close(), (4000, "abuse".to_owned()));
    assert_eq!(leg.expect_close(), (1001, "abuse".to_owned()));
    bridge.assert_ended(
        Told::clean("kicked", "4000", "operator", "abuse"),
        Told::clean("partner_ended", "1001", "operator", "abuse"),
    );
    bridge.gateway.end();
}

#[test]
fn a_connection_to_the_service_that_is_kicked_asks_its_client_to_come_back() {
    let bridge = Bridge::start(&[]);
    let (mut client, leg) = bridge.pair();
    kick(&bridge.gateway, "upstream");
    assert_eq!(client.expect_close(), (1012, "abuse".to_owned()));
    assert_eq!(leg.expect_close(), (4000, "abuse".to_owned()));
    bridge.assert_ended(
        Told::clean("partner_ended", "1012", "operator", "abuse"),
        Told::clean("kicked", "4000", "operator", "abuse"),
    );
    bridge.gateway.end();
}

#[test]
fn a_pair_without_a_name_is_not_closed_by_a_kick_that_cannot_block_it() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    let body = r#"{"reason":"abuse","block_ms":60000}"#;
    for class in ["upstream", "client"] {
        let id = id_of(&bridge.gateway, class);
        let path = format!("/api/v1/connections/{id}/kick");
        let (status, answer) = bridge.gateway.act("POST", &path, body);
        let error = answer["error"].as_str().expect("words");
        assert!(status == 409 && error.contains("no identity"), "{answer}");
        Bridge::assert_linked(&mut client, &mut leg);
    }
    assert!(bridge.gateway.lines(&["operator action=kick"]).is_empty());
    let list = bridge.gateway.api("/api/v1/blocks");
    assert_eq!(list["blocks"], serde_json::json!([]), "{list}");
    bridge.gateway.end();
}

/// The drain of either class ends its pairs. While it refuses new ones, the service is not dialled.
#[test]
fn a_class_of_a_bridge_can_be_drained() {
    for (class, to_client, to_service) in [("client", 1012, 1001), ("upstream", 1012, 1012)] {
        let bridge = Bridge::start(&[]);
        let (mut client, leg) = bridge.pair();
        let row = |class: &str| bridge.gateway.connection(&format!("class={class}"));
        let rows = [row("client"), row("upstream")];
        assert_eq!(rows[0]["partner"], rows[1]["id"]);
        assert_eq!(rows[1]["partner"], rows[0]["id"]);
        let body = format!(r#"{{"class":"{class}","spread_ms":0,"refuse_ms":3600000}}"#);
        let (status, answer) = bridge.gateway.act("POST", "/api/v1/drain", &body);
        assert_eq!(status, 202, "{answer}");
        assert_eq!(client.expect_close().0, to_client, "{class}");
        assert_eq!(leg.expect_close().0, to_service, "{class}");
        let refused = bridge.ask("/", "").response();
        assert_eq!(refused.status, 503, "{class}: {refused:?}");
        assert!(refused.header("retry-after").is_some(), "{class}");
        // A dial would have been made before the refusal.
        assert!(bridge.service.try_accept().is_none(), "{class}");
        let path = format!("/api/v1/drain/{class}");
        assert_eq!(bridge.gateway.act("DELETE", &path, "").0, 204, "{class}");
        let (mut client, mut leg) = bridge.pair();
        Bridge::assert_linked(&mut client, &mut leg);
        drop((client, leg));
        bridge.gateway.end();
    }
}

#[test]
fn max_connections_counts_clients_only() {
    let bridge = Bridge::start(&[("MAX_CONNECTIONS", "3")]);
    let mut pairs: Vec<_> = (0..3).map(|_| bridge.pair()).collect();
    let refused = bridge.ask("/", "").response();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(bridge.service.try_accept().is_none());
    let upstream = bridge.service.socket_addr();
    let labels = format!("{{route=\"default\",upstream=\"{upstream}\"}}");
    for (metric, value) in [("pulsegate_pairs", 3.0), ("pulsegate_upstream_up", 1.0)] {
        let metrics = bridge.gateway.metrics();
        assert_eq!(metrics.get(&format!("{metric}{labels}")), value);
    }
    let (client, leg) = pairs.pop().expect("a pair");
    drop(client);
    leg.expect_close();
    let mut pair = eventually("a place for another client", || {
        let mut client = bridge.ask("/", "");
        let mut leg = leg_or_answer(&bridge, &client)?;
        leg.agree("");
        client.switched();
        Some((client, leg))
    });
    Bridge::assert_linked(&mut pair.0, &mut pair.1);
    drop((pairs, pair));
    bridge.gateway.end();
}

/// Returns the connection to the service for a client's request; `None` if the client has an answer
/// without one.
pub fn leg_or_answer(bridge: &Bridge, client: &Client) -> Option<Server> {
    eventually("an answer", || match bridge.service.try_accept() {
        Some(leg) => Some(Some(leg)),
        None => client_has_answer(client).then_some(None),
    })
}

/// Returns whether bytes for this client have arrived, or the end of its stream.
fn client_has_answer(client: &Client) -> bool {
    client.stream.set_nonblocking(true).expect("non-blocking");
    let has_some = client.stream.peek(&mut [0]).is_ok();
    client.stream.set_nonblocking(false).expect("blocking");
    has_some
}

#[test]
fn a_pair_needs_two_descriptors() {
    let service = Listener::tcp();
    let settings = [("UPSTREAM", &*service.url), ("MAX_CONNECTIONS", "1000")];
    let command = in_shell("ulimit -n 200 && exec \"$0\"", &settings);
    let gateway = Gateway::start_unread(command).read();
    // Of 200 descriptors, 83 are for the loop itself, and a quarter is reserved.
    gateway.line(&["[WARN] MAX_CONNECTIONS=\"1000\": is lowered to 33:"]);
    let bridge = Bridge { gateway, service };
    let pairs: Vec<_> = (0..33).map(|_| bridge.pair()).collect();
    let refused = bridge.ask("/", "").response();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(bridge.gateway.lines(&["accept paused"]), [""; 0]);
    drop(pairs);
}

/// Lowers the limit of descriptors of a gateway, so that it can open only one more.
fn leave_one_descriptor(gateway: &Gateway) {
    let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("descriptors");
    let open: Vec<u32> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let second = (0..).filter(|fd| !open.contains(fd)).nth(1);
    let limit = format!("--nofile={}", second.expect("a free number"));
    let done = Command::new("prlimit")
        .args(["--pid", &gateway.pid().to_string(), &limit])
        .status();
    assert!(done.expect("prlimit").success());
}

/// The shortage is the gateway's, so the service is not blamed for it.
#[test]
fn without_a_descriptor_for_the_service_the_client_is_asked_to_come_later() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    let mut others = Vec::new();
    let refused = eventually("no descriptor is left", || {
        leave_one_descriptor(&bridge.gateway);
        let mut client = bridge.ask("/", "");
        match leg_or_answer(&bridge, &client) {
            // One that was in use when they were counted became free.
            Some(leg) => {
                others.push((client, leg));
                None
            }
            None => Some(client.response()),
        }
    });
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(
        refused.body.contains("the gateway has no room"),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let parts = ["close class=none", "cause=at_capacity", "by=gateway"];
    let line = bridge.gateway.line(&parts);
    assert!(
        line.contains("code=http_503") && line.contains("open files"),
        "{line}"
    );
    Bridge::assert_linked(&mut client, &mut leg);
    drop((client, leg));
}
