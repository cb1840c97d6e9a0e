//! Peers that break the protocol, send too much, or read too little.

use super::legs::{Bridge, Told};
use crate::sockets::{Event, eventually, frame, server_frame};
use pulsegate::wire::frame::{BINARY, FIN, Header, TEXT};

#[test]
fn a_client_that_breaks_the_protocol_is_closed_and_told_to_the_service() {
    let bridge = Bridge::start(&[]);
    let (mut client, leg) = bridge.pair();
    client.write(&server_frame(TEXT, b"not masked"));
    // The service is told first: what it has said before still reaches the client.
    let (code, told) = leg.expect_close();
    assert_eq!(code, 1001);
    let (code, reason) = client.expect_close();
    assert_eq!(code, 1002);
    assert_eq!(told, format!("client closed: {reason}"));
    bridge.assert_ended(
        Told::unclean("protocol", "1002", "gateway", "Received an unmasked frame"),
        Told::clean("partner_ended", "1001", "gateway", "client closed: "),
    );
    bridge.gateway.end();
}

#[test]
fn a_service_that_breaks_the_protocol_is_closed_and_told_to_the_client() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    leg.write(&frame(TEXT, b"masked"));
    let (code, told) = client.expect_close();
    assert_eq!(code, 1011);
    let (code, reason) = leg.expect_close();
    assert_eq!(code, 1002);
    assert_eq!(told, format!("upstream closed: {reason}"));
    bridge.assert_ended(
        Told::clean("partner_ended", "1011", "gateway", "upstream closed: "),
        Told::unclean("protocol", "1002", "gateway", "Received a masked frame"),
    );
    bridge.gateway.end();
}

/// RSV1 is the mark of a compressed message, and nothing was agreed on.
#[test]
fn a_compressed_message_without_an_agreement_breaks_the_protocol() {
    let bridge = Bridge::start(&[]);
    let (mut client, leg) = bridge.pair();
    let mut compressed = frame(TEXT, b"\xf2\x00");
    compressed[0] |= 0x40;
    client.write(&compressed);
    assert_eq!(leg.expect_close().0, 1001);
    assert_eq!(client.expect_close().0, 1002);
    bridge.gateway.end();
}

/// The limit is judged on the header of a frame, before a byte of it is forwarded.
#[test]
fn a_message_above_the_limit_ends_the_pair() {
    let limit = [("UPSTREAM_MAX_MESSAGE_BYTES", "1000")];
    let bridge = Bridge::start(&limit);
    let (mut client, mut leg) = bridge.pair();
    client.write(&frame(BINARY, &[7; 1_000]));
    assert_eq!(leg.next_answering(), Event::Binary(vec![7; 1_000]));
    let mut header = Vec::new();
    Header::new(FIN | BINARY, 1_001, Some([1, 2, 3, 4])).write(&mut header);
    client.write(&header);
    let (code, told) = leg.expect_close();
    assert_eq!(code, 1001);
    let (code, reason) = client.expect_close();
    assert_eq!(code, 1009);
    assert_eq!(told, format!("client closed: {reason}"));
    bridge.assert_ended(
        Told::unclean(
            "too_big",
            "1009",
            "gateway",
            "Message too long: 1001 > 1000",
        ),
        Told::clean("partner_ended", "1001", "gateway", "client closed: "),
    );
    bridge.gateway.end();
    let bridge = Bridge::start(&limit);
    let (mut client, mut leg) = bridge.pair();
    leg.send(BINARY, &[7; 1_001]);
    let (code, told) = client.expect_close();
    assert_eq!(code, 1011);
    let (code, reason) = leg.expect_close();
    assert_eq!(code, 1009);
    assert_eq!(told, format!("upstream closed: {reason}"));
    bridge.gateway.end();
}

/// Neither side's message has a limit by default. A large one is cut through, and its sender is not
/// read further than its reader reads.
#[test]
fn a_large_message_passes_at_the_pace_of_its_reader() {
    const LEN: usize = 20 << 20;
    let bridge = Bridge::start(&[("MAX_BUFFERED_BYTES", "8388608")]);
    let (mut client, mut leg) = bridge.pair();
    let mut writer = client.writer();
    let sent = std::thread::spawn(move || writer.write(&frame(BINARY, &vec![7; LEN])));
    let pending = eventually("the client is paused", || {
        let pending = bridge.gateway.connection("class=upstream")["pending_bytes"].as_u64();
        let pending = pending.expect("a number");
        (pending > 64 << 10 && is_paused(&bridge, "client")).then_some(pending)
    });
    assert!(pending < 300 << 10, "{pending} bytes wait in the gateway");
    let Event::Binary(message) = leg.next_answering() else {
        panic!("no message");
    };
    assert!(message.len() == LEN && message.iter().all(|b| *b == 7));
    sent.join().expect("written");
    Bridge::assert_linked(&mut client, &mut leg);
    drop((client, leg));
    bridge.gateway.end();
}

/// Returns whether the only connection of this class is not read, because of its partner.
#[track_caller]
fn is_paused(bridge: &Bridge, class: &str) -> bool {
    let connection = bridge.gateway.connection(&format!("class={class}"));
    let id = connection["id"].as_str().expect("an id");
    let detail = bridge.gateway.api(&format!("/api/v1/connections/{id}"));
    let explained = detail["explain"].to_string();
    explained.contains("reading from it is paused")
}

/// Sends until the gateway closes.
fn flooded(mut write: impl FnMut(&[u8]) -> bool, message: &[u8]) {
    while write(message) {}
}

#[test]
fn a_client_that_does_not_read_is_closed_and_told_to_the_service() {
    let bridge = Bridge::start(&[("SLOW_MS", "300"), ("CLOSE_TIMEOUT_MS", "300")]);
    let (client, leg) = bridge.pair();
    let mut writer = leg.writer();
    let flood = std::thread::spawn(move || {
        let message = server_frame(BINARY, &[7; 60_000]);
        flooded(|bytes| writer.try_write(bytes), &message);
    });
    let (code, reason) = leg.expect_close();
    assert_eq!(code, 1001);
    assert!(reason.starts_with("client lost: "), "{reason}");
    flood.join().expect("no panic");
    // The service's flood goes on, so its answer is not seen.
    for (class, told) in [
        ("client", ["slow_consumer", "none", "gateway"]),
        ("upstream", ["partner_ended", "1001", "gateway"]),
    ] {
        let record = bridge.record(class);
        let seen = ["cause", "code", "by"].map(|key| record[key].as_str().expect("a word"));
        assert_eq!(seen, told, "{record}");
    }
    drop(client);
    bridge.gateway.end();
}

#[test]
fn a_service_that_does_not_read_is_closed_and_its_client_may_come_back() {
    let bridge = Bridge::start(&[("SLOW_MS", "300"), ("CLOSE_TIMEOUT_MS", "300")]);
    let (mut client, leg) = bridge.pair();
    let mut writer = client.writer();
    let flood = std::thread::spawn(move || {
        let message = frame(BINARY, &[7; 60_000]);
        flooded(|bytes| writer.try_write(bytes), &message);
    });
    let (code, reason) = client.expect_close();
    assert_eq!(code, 1013);
    assert!(reason.starts_with("upstream lost: "), "{reason}");
    drop(client);
    flood.join().expect("no panic");
    let record = bridge.record("upstream");
    assert_eq!(record["cause"], "slow_consumer", "{record}");
    assert_eq!(record["by"], "gateway", "{record}");
    drop(leg);
    bridge.gateway.end();
}
