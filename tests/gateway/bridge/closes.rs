//! Close frames: what one side sends, the other gets.

use super::legs::{Bridge, Told};
use crate::sockets::{Client, Event, Server, frame, server_frame};
use pulsegate::wire::frame::CLOSE;

/// Returns the payload of a close frame.
fn payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

fn close(code: u16, reason: &str) -> Event {
    Event::Close(code, reason.to_owned())
}

/// Waits for the end of both streams, the service's first: a client leaves it to the server to
/// close TCP first.
#[track_caller]
fn end(mut client: Client, leg: Server) {
    drop(leg);
    let end = client.next();
    assert!(matches!(end, Event::Eof | Event::Reset), "{end:?}");
}

#[test]
fn a_clients_close_and_the_services_answer_pass_as_they_came() {
    for (code, reason, told) in [
        (1000, "", Told::clean("peer_closed", "1000", "client", "")),
        (
            4001,
            "bye",
            Told::clean("peer_closed", "4001", "client", "bye"),
        ),
        // A forwarded code is not judged.
        (
            2999,
            "odd",
            Told::clean("peer_closed", "2999", "client", "odd"),
        ),
    ] {
        let bridge = Bridge::start(&[]);
        let (mut client, mut leg) = bridge.pair();
        client.write(&frame(CLOSE, &payload(code, reason)));
        assert_eq!(leg.next_answering(), close(code, reason));
        // The answer is the service's own, and may say something else.
        leg.send(CLOSE, &payload(4321, "seen"));
        assert_eq!(client.next(), close(4321, "seen"));
        end(client, leg);
        let cause = "partner_ended";
        bridge.assert_ended(told, Told { cause, ..told });
        bridge.gateway.end();
    }
}

#[test]
fn a_services_close_and_the_clients_answer_pass_as_they_came() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    leg.send(CLOSE, &payload(1011, "no database"));
    assert_eq!(client.next(), close(1011, "no database"));
    client.write(&frame(CLOSE, &payload(1000, "")));
    assert_eq!(leg.next_answering(), close(1000, ""));
    end(client, leg);
    let told = Told::clean("peer_closed", "1011", "upstream", "no database");
    let cause = "partner_ended";
    bridge.assert_ended(Told { cause, ..told }, told);
    bridge.gateway.end();
}

#[test]
fn an_empty_close_stays_empty() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    client.write(&frame(CLOSE, b""));
    assert_eq!(leg.next_answering(), close(1005, ""), "no payload");
    leg.send(CLOSE, b"");
    assert_eq!(client.next(), close(1005, ""), "no payload");
    end(client, leg);
    let told = Told::clean("peer_closed", "1005", "client", "");
    let cause = "partner_ended";
    bridge.assert_ended(told, Told { cause, ..told });
    bridge.gateway.end();
}

#[test]
fn a_close_that_is_not_answered_is_echoed_after_the_close_timeout() {
    let bridge = Bridge::start(&[("CLOSE_TIMEOUT_MS", "300")]);
    let (mut client, mut leg) = bridge.pair();
    client.write(&frame(CLOSE, &payload(4001, "bye")));
    assert_eq!(leg.next_answering(), close(4001, "bye"));
    assert_eq!(client.next(), close(4001, "bye"));
    let answered = client.next();
    assert!(
        matches!(answered, Event::Eof | Event::Reset),
        "{answered:?}"
    );
    leg.expect_end();
    bridge.assert_ended(
        Told::clean("peer_closed", "4001", "client", "bye"),
        Told::unclean("partner_ended", "4001", "client", "bye"),
    );
    bridge.gateway.end();
}

/// The closes cross: each of the two is on its way when the other is sent.
#[test]
fn closes_of_both_sides_at_once_are_each_answered() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    // While the process stands still, both closes arrive.
    bridge.gateway.signal("STOP");
    client.write(&frame(CLOSE, &payload(4001, "client")));
    leg.write(&server_frame(CLOSE, &payload(4002, "service")));
    bridge.gateway.signal("CONT");
    let (to_client, to_service) = (client.next(), leg.next_answering());
    let crossed = (close(4002, "service"), close(4001, "client"));
    let answered = (close(4001, "client"), close(4002, "service"));
    let seen = (to_client, to_service);
    assert!(seen == crossed || seen == answered, "{seen:?}");
    end(client, leg);
    let clients = Told::clean("peer_closed", "4001", "client", "client");
    let services = Told::clean("peer_closed", "4002", "upstream", "service");
    let cause = "partner_ended";
    if seen == answered {
        bridge.assert_ended(clients, services);
    } else if bridge.record("client")["cause"] == "peer_closed" {
        // The client's close was read first, and the service's passed as the answer to it.
        bridge.assert_ended(clients, Told { cause, ..clients });
    } else {
        bridge.assert_ended(Told { cause, ..services }, services);
    }
    bridge.gateway.end();
}

#[test]
fn data_of_the_service_reaches_a_client_that_has_closed() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    client.write(&frame(CLOSE, &payload(1000, "")));
    assert_eq!(leg.next_answering(), close(1000, ""));
    leg.send(1, b"the last words");
    leg.send(CLOSE, &payload(1000, ""));
    assert_eq!(client.next(), Event::Text("the last words".to_owned()));
    assert_eq!(client.next(), close(1000, ""));
    end(client, leg);
    bridge.gateway.end();
}
