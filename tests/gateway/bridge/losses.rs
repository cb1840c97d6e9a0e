//! Legs that are lost: ended without a close frame, or silent.

use super::legs::{Bridge, Told};
use crate::sockets::{Event, eventually, frame};
use pulsegate::wire::frame::{FIN, Header, PONG, TEXT};

#[test]
fn a_client_that_ends_the_stream_is_told_to_the_service_as_lost() {
    let bridge = Bridge::start(&[]);
    let (client, leg) = bridge.pair();
    drop(client);
    let reason = "client lost: eof".to_owned();
    assert_eq!(leg.expect_close(), (1001, reason));
    bridge.assert_ended(
        Told::unclean("peer_eof", "none", "client", ""),
        Told::clean("partner_ended", "1001", "client", "client lost: eof"),
    );
    bridge.gateway.end();
}

#[test]
fn a_client_that_ends_only_its_own_direction_gets_what_the_service_still_sends() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    client.send_fin();
    assert_eq!(
        leg.next_answering(),
        Event::Close(1001, "client lost: eof".to_owned())
    );
    leg.send(TEXT, b"late");
    assert_eq!(client.next(), Event::Text("late".to_owned()));
    leg.send(8, &1001_u16.to_be_bytes());
    drop(leg);
    let end = client.next();
    assert!(matches!(end, Event::Close(1001, _) | Event::Eof), "{end:?}");
    bridge.assert_ended(
        Told::unclean("peer_eof", "none", "client", ""),
        Told::clean("partner_ended", "1001", "client", "client lost: eof"),
    );
    bridge.gateway.end();
}

#[test]
fn a_client_that_resets_is_told_to_the_service_as_lost() {
    let bridge = Bridge::start(&[]);
    let (client, leg) = bridge.pair();
    client.reset();
    let reason = "client lost: reset".to_owned();
    assert_eq!(leg.expect_close(), (1001, reason));
    bridge.assert_ended(
        Told::unclean("peer_reset", "none", "network", ""),
        Told::clean("partner_ended", "1001", "network", "client lost: reset"),
    );
    bridge.gateway.end();
}

#[test]
fn a_service_that_is_lost_is_a_restart_to_the_client() {
    for (resets, cause, by) in [
        (false, "peer_eof", "upstream"),
        (true, "peer_reset", "network"),
    ] {
        let bridge = Bridge::start(&[]);
        let (mut client, leg) = bridge.pair();
        match resets {
            true => leg.reset(),
            false => drop(leg),
        }
        assert_eq!(client.expect_close(), (1012, "upstream lost".to_owned()));
        bridge.assert_ended(
            Told::clean("partner_ended", "1012", by, "upstream lost"),
            Told::unclean(cause, "none", by, ""),
        );
        bridge.gateway.end();
    }
}

/// Settings under which clients are found silent within a second, and connections to the service
/// are not.
const QUICK_CLIENTS: [(&str, &str); 2] = [
    ("HEARTBEAT_INTERVAL_MS", "300"),
    ("CONNECTION_TIMEOUT_MS", "900"),
];

#[test]
fn a_silent_client_is_closed_and_told_to_the_service() {
    let bridge = Bridge::start(&QUICK_CLIENTS);
    let (mut client, leg) = bridge.pair();
    let (pings, event) = client.next_mute();
    assert!(pings >= 1, "it was pinged");
    let Event::Close(3008, reason) = event else {
        panic!("{event:?}");
    };
    let (silence, _) = reason.split_once(',').expect("silence and pings");
    assert!(silence.starts_with("nothing heard for "), "{reason}");
    let (code, told) = leg.expect_close();
    assert_eq!((code, told), (1001, format!("client lost: {silence}")));
    drop(client);
    bridge.assert_ended(
        Told::unclean("stale", "3008", "gateway", "nothing heard for "),
        Told::clean(
            "partner_ended",
            "1001",
            "gateway",
            "client lost: nothing heard for ",
        ),
    );
    bridge.gateway.end();
}

/// Settings under which connections to the service are found silent within a second.
const QUICK_UPSTREAM: [(&str, &str); 2] = [
    ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "300"),
    ("UPSTREAM_CONNECTION_TIMEOUT_MS", "900"),
];

#[test]
fn a_silent_service_is_closed_and_its_client_is_asked_to_come_back() {
    let bridge = Bridge::start(&QUICK_UPSTREAM);
    let (mut client, mut leg) = bridge.pair();
    let (code, reason) = client.expect_close();
    assert_eq!(code, 1012);
    assert!(
        reason.starts_with("upstream lost: nothing heard for "),
        "{reason}"
    );
    assert!(matches!(leg.next(), Event::Ping(_)), "it was pinged");
    bridge.assert_ended(
        Told::clean(
            "partner_ended",
            "1012",
            "gateway",
            "upstream lost: nothing heard for ",
        ),
        Told::unclean("stale", "3008", "gateway", "nothing heard for "),
    );
    bridge.gateway.end();
}

/// A peer that answers pings is alive, however little it says, and its pongs to us stay here.
#[test]
fn heartbeats_of_the_gateway_stay_on_their_leg() {
    // One thread answers for both legs, so while it waits for a ping of one, the other is silent.
    let bridge = Bridge::start(&[
        ("HEARTBEAT_INTERVAL_MS", "300"),
        ("CONNECTION_TIMEOUT_MS", "30000"),
        ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "300"),
        ("UPSTREAM_CONNECTION_TIMEOUT_MS", "30000"),
    ]);
    let (mut client, mut leg) = bridge.pair();
    for _ in 0..5 {
        let Event::Ping(payload) = client.next() else {
            panic!("no ping for the client");
        };
        client.write(&frame(PONG, &payload));
        let Event::Ping(payload) = leg.next() else {
            panic!("no ping for the service");
        };
        leg.send(PONG, &payload);
    }
    // A pong that answers no ping of ours is the client's own, and passes.
    client.write(&frame(PONG, b"unsolicited"));
    let pong = loop {
        match leg.next() {
            Event::Ping(payload) => leg.send(PONG, &payload),
            event => break event,
        }
    };
    assert_eq!(pong, Event::Pong(b"unsolicited".to_vec()));
    Bridge::assert_linked(&mut client, &mut leg);
    drop((client, leg));
    bridge.gateway.end();
}

#[test]
fn a_silent_connection_may_be_only_reported() {
    let settings = [&QUICK_CLIENTS[..], &[("CLIENT_JUDGE", "report")]].concat();
    let bridge = Bridge::start(&settings);
    let (mut client, mut leg) = bridge.pair();
    let line = bridge
        .gateway
        .line(&["[WARN] stale class=client", "would_close=true"]);
    assert!(line.contains("not closed: judge=report"), "{line}");
    Bridge::assert_linked(&mut client, &mut leg);
    bridge
        .gateway
        .line(&["[WARN] heard class=client", "would_close=wrong"]);
    let (silent, wrong) = eventually("a count of wrong reports", || {
        let metrics = bridge.gateway.metrics();
        let [silent, wrong] = ["would_close", "would_close_wrong"]
            .map(|name| metrics.get(&format!("pulsegate_{name}_total{{class=\"client\"}}")));
        (wrong >= 1.0).then_some((silent, wrong))
    });
    // The client is mute again, so on a slow machine it is reported again.
    assert!(silent >= wrong, "{silent} reported, {wrong} wrongly");
    drop((client, leg));
    bridge.gateway.end();
}

/// The service ends in the middle of a frame, of which the client has a part: no close frame can
/// follow.
#[test]
fn a_frame_that_is_cut_is_followed_by_no_close() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    let mut begun = Vec::new();
    Header::new(FIN | 2, 200_000, None).write(&mut begun);
    begun.extend([7; 150_000]);
    leg.write(&begun);
    while client.unparsed() < 70_000 {
        client.read_some(64 * 1024);
    }
    drop(leg);
    let end = client.next();
    assert_eq!(end, Event::Eof);
    drop(client);
    bridge.assert_ended(
        Told::unclean("partner_ended", "none", "upstream", "upstream lost"),
        Told::unclean("peer_eof", "none", "upstream", ""),
    );
    let metrics = bridge.gateway.metrics();
    assert_eq!(metrics.get("pulsegate_frames_cut_total"), 1.0);
    bridge.gateway.end();
}
