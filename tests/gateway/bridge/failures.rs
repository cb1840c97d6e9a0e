//! Services that do not answer, and clients that do not wait.

use super::legs::{Bridge, Told};
use super::operators::leg_or_answer;
use crate::commands::ended;
use crate::folder::Folder;
use crate::sockets::{Client, Event, Gateway, Listener, eventually};
use std::net::TcpListener;

/// Asserts the answer to a client.
#[track_caller]
fn assert_failed(mut client: Client, status: u16, error: &str) {
    let response = client.response();
    assert_eq!(response.status, status, "{response:?}");
    let body = format!("{{\"status\":{status},\"error\":\"{error}\"}}");
    assert_eq!(response.body, body);
}

#[test]
fn a_service_that_is_not_there_is_a_502() {
    let bridge = Bridge::start(&[]);
    let url = bridge.service.url.clone();
    // The port is free again, and refuses.
    let Bridge { gateway, service } = bridge;
    drop(service);
    let client = || {
        let mut client = Client::connect(gateway.addr);
        client.write(super::legs::request("/", "").as_bytes());
        client
    };
    assert_failed(client(), 502, "the upstream cannot be reached");
    let cause = "cause=connect_failed";
    let parts = ["close class=none", cause, "code=http_502", "by=network"];
    let line = gateway.line(&parts);
    // In an outage a line and a record of each dial would tell nothing else.
    assert!(
        line.contains("the upstream cannot be reached: Connection refused"),
        "{line}"
    );
    assert_eq!(gateway.lines(&["close class=upstream"]), [""; 0]);
    let closed = gateway.api("/api/v1/closed");
    assert_eq!(closed["remembered"], 1, "{closed}");
    let metrics = gateway.metrics();
    for (name, labels, n) in [
        ("connections_rejected", "{cause=\"connect_failed\"}", 1.0),
        ("dials_failed", "{cause=\"connect_failed\"}", 1.0),
        ("dials", "", 1.0),
    ] {
        assert_eq!(metrics.get(&format!("pulsegate_{name}_total{labels}")), n);
    }
    assert_eq!(metrics.get("pulsegate_dials_in_progress"), 0.0);
    // It is asked anew for each client.
    let listener = TcpListener::bind(url.trim_start_matches("http://")).expect("the same port");
    let mut client = client();
    listener.accept().expect("a connection");
    drop(listener);
    let response = client.response();
    assert_eq!(response.status, 502, "{response:?}");
    gateway.end();
}

#[test]
fn a_service_that_ends_the_stream_unanswered_is_a_502() {
    let bridge = Bridge::start(&[]);
    for resets in [false, true] {
        let client = bridge.ask("/", "");
        let mut leg = bridge.service.accept();
        leg.read_head();
        match resets {
            true => leg.reset(),
            false => drop(leg),
        }
        let error = "the upstream closed the connection without an answer";
        assert_failed(client, 502, error);
    }
    let parts = [
        "close class=none",
        "cause=bad_answer",
        "code=http_502",
        "by=upstream",
    ];
    eventually("a line for each", || {
        (bridge.gateway.lines(&parts).len() == 2).then_some(())
    });
    bridge.gateway.end();
}

#[test]
fn a_service_that_does_not_answer_is_a_504() {
    let bridge = Bridge::start(&[("UPSTREAM_ANSWER_TIMEOUT_MS", "300")]);
    let client = bridge.ask("/", "");
    let mut leg = bridge.service.accept();
    leg.read_head();
    let error = "the upstream has not answered within 300 ms";
    assert_failed(client, 504, error);
    leg.expect_end();
    let told = Told::unclean("answer_timeout", "http_504", "upstream", error);
    told.assert_is(&bridge.record("none"));
    bridge.gateway.end();
}

#[test]
fn the_time_for_a_head_ends_with_the_head() {
    let bridge = Bridge::start(&[("HANDSHAKE_TIMEOUT_MS", "200")]);
    let mut client = bridge.ask("/", "");
    let mut leg = bridge.service.accept();
    // The time of a later client runs out first.
    let mut later = Client::connect(bridge.gateway.addr);
    later.write(b"GET / HTTP/1.1\r\n");
    assert_eq!(later.response().status, 408);
    leg.agree("");
    client.switched();
    bridge.gateway.end();
}

/// A listener whose queue is full drops what arrives, so a connect to it takes for ever.
#[test]
fn a_service_that_does_not_accept_is_a_502_within_the_connect_timeout() {
    let listener = Listener::tcp_with_queue(0);
    let queue = listener.fill();
    let gateway = Gateway::start(&[
        ("UPSTREAM", &listener.url),
        ("UPSTREAM_CONNECT_TIMEOUT_MS", "300"),
        ("DRAIN_MS", "0"),
    ]);
    let mut client = Client::connect(gateway.addr);
    client.write(super::legs::request("/", "").as_bytes());
    assert_failed(client, 502, "the upstream cannot be reached");
    gateway.line(&[
        "close class=none",
        "cause=connect_timeout",
        "code=http_502",
        "by=network",
    ]);
    drop(queue);
    gateway.end();
}

#[test]
fn a_client_that_leaves_before_the_101_aborts_the_dial() {
    let bridge = Bridge::start(&[("LOG_LEVEL", "debug")]);
    for resets in [false, true] {
        let client = bridge.ask("/", "");
        let mut leg = bridge.service.accept();
        leg.read_head();
        match resets {
            true => client.reset(),
            false => drop(client),
        }
        leg.expect_end();
    }
    let gateway = &bridge.gateway;
    let lines = |parts: &[&str]| {
        eventually(&format!("two lines with {parts:?}"), || {
            (gateway.lines(parts).len() == 2).then_some(())
        });
    };
    lines(&["close class=none", "cause=aborted", "by=client"]);
    lines(&[
        "[DEBUG] close class=upstream",
        "cause=partner_ended",
        "by=client",
        "client lost",
        " route=default upstream=127.0.0.1:",
    ]);
    bridge.gateway.end();
}

#[test]
fn a_host_name_stands_for_its_addresses() {
    let service = Listener::tcp();
    let settings = [("UPSTREAM_HOST_HEADER", "upstream")];
    let bridge = Bridge::before(service.named("localhost"), &settings);
    let (mut client, mut leg) = bridge.pair();
    let host = format!("localhost:{}", bridge.service.socket_addr().port());
    assert_eq!(leg.fields("host"), [host]);
    Bridge::assert_linked(&mut client, &mut leg);
    drop((client, leg));
    bridge.gateway.end();
}

#[test]
fn a_service_may_listen_on_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.dir().join("service.sock");
    let service = Listener::unix(&path, 128);
    let bridge = Bridge::before(service, &[("UPSTREAM_HOST_HEADER", "upstream")]);
    let (mut client, mut leg) = bridge.pair();
    assert_eq!(leg.fields("host"), ["localhost"]);
    Bridge::assert_linked(&mut client, &mut leg);
    drop(leg);
    assert_eq!(client.expect_close(), (1012, "upstream lost".to_owned()));
    let Bridge { gateway, service } = bridge;
    drop(service);
    std::fs::remove_file(&path).expect("the socket");
    let mut client = Client::connect(gateway.addr);
    client.write(super::legs::request("/", "").as_bytes());
    assert_failed(client, 502, "the upstream cannot be reached");
    gateway.end();
}

/// It would dial itself for each client, and again for each dial.
#[test]
fn a_gateway_that_is_its_own_service_does_not_start() {
    let port = Listener::tcp().socket_addr().port();
    for (setting, own, upstream) in [
        ("LISTEN_ADDR", "127.0.0.1", "127.0.0.1"),
        ("LISTEN_ADDR", "127.0.0.1", "0.0.0.0"),
        ("LISTEN_ADDR", "0.0.0.0", "127.0.0.1"),
        ("LISTEN_ADDR", "127.0.0.1", "localhost"),
        ("ADMIN_ADDR", "127.0.0.1", "127.0.0.1"),
    ] {
        let own = format!("{own}:{port}");
        let upstream = format!("http://{upstream}:{port}");
        let settings = [("UPSTREAM", &*upstream), (setting, &own), ("DRAIN_MS", "x")];
        let (code, told) = ended(Gateway::command(&settings));
        assert_eq!(code, Some(2), "{told}");
        let why = format!("must be another address than {setting}, which is {own} (env): ");
        assert!(told.contains("2 settings are wrong"), "{told}");
        assert!(
            told.contains(&why) && told.contains("it would dial itself"),
            "{told}"
        );
    }
}

/// A name is looked up after the start, and its other addresses may be right.
#[test]
fn an_address_of_a_name_that_is_the_gateway_itself_is_left_out() {
    let port = Listener::tcp().socket_addr().port();
    let (listen, upstream) = (
        format!("0.0.0.0:{port}"),
        // The resolver reads this as 127.0.0.1 (inet_aton(3)).
        format!("http://127.1:{port}"),
    );
    let gateway = Gateway::start(&[("UPSTREAM", &*upstream), ("LISTEN_ADDR", &listen)]);
    gateway.line(&["[WARN] dns host=127.1", "it would dial itself"]);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    client.write(super::legs::request("/", "").as_bytes());
    assert_failed(client, 502, "the name of the upstream was not found");
    gateway.end();
}

/// A reset would end a Node service that handles no error of the socket that it has refused.
#[test]
fn a_refused_dial_ends_without_a_reset() {
    let bridge = Bridge::start(&[]);
    let mut client = bridge.ask("/", "");
    let mut leg = bridge.service.accept();
    leg.read_head();
    leg.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 404);
    assert_eq!(leg.next_answering(), Event::Eof);
    bridge.gateway.end();
}

/// A client that leaves frees its place at once. Its connection to the service keeps a descriptor
/// until it is closed.
#[test]
fn there_are_never_more_legs_to_the_service_than_clients_may_be() {
    let bridge = Bridge::start(&[("MAX_CONNECTIONS", "2"), ("CLOSE_TIMEOUT_MS", "60000")]);
    let legs: Vec<_> = (0..2)
        .map(|_| {
            let (client, leg) = bridge.pair();
            client.reset();
            leg
        })
        .collect();
    let live = "pulsegate_connections{class=\"client\",state=\"healthy\"}";
    eventually("the clients have left", || {
        (bridge.gateway.metrics().get(live) == 0.0).then_some(())
    });
    let refused = bridge.ask("/", "").response();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(
        refused.body.contains("the gateway has no room"),
        "{refused:?}"
    );
    assert!(bridge.service.try_accept().is_none());
    // The service answers the close of one: there is room for one client.
    legs.into_iter().next_back().expect("a leg").expect_close();
    let (mut client, mut leg) = eventually("a pair", || {
        let mut client = bridge.ask("/", "");
        let mut leg = leg_or_answer(&bridge, &client)?;
        leg.agree("");
        client.switched();
        Some((client, leg))
    });
    Bridge::assert_linked(&mut client, &mut leg);
    drop((client, leg));
    bridge.gateway.end();
}
