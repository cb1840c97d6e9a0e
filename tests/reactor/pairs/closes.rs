//! Close frames of peers, and closes of the host: what each side gets.

use super::rows::{listeners, pair};
use crate::dial_host::DialHost;
use crate::folder::Folder;
use crate::sockets::Event;
use pulsegate::wire::frame::CLOSE;
use pulsegate::{Cause, Micros};
use std::time::{Duration, Instant};

#[test]
fn a_close_frame_reaches_the_other_side_as_it_is_and_its_answer_comes_back() {
    let folder = Folder::named("close");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        for is_client in [true, false] {
            for (payload, expected) in [
                (&b"\x0F\xA1bye"[..], (4_001, "bye")),
                (b"\x03\xE8", (1000, "")),
                (b"", (1005, "")),
            ] {
                let mut pair = pair(&host, &upstream, is_client);
                pair.one.send_text("first");
                pair.one.send(CLOSE, payload);
                pair.other.expect_text("first");
                pair.other.expect_close(expected.0, expected.1);
                // The other side has the last word.
                pair.other.send_text("last");
                pair.other.send_close(4_002, "ok");
                pair.one.expect_text("last");
                pair.one.expect_close(4_002, "ok");
                // The side of the server ends the stream first.
                match is_client {
                    true => pair.other.send_fin(),
                    false => pair.one.send_fin(),
                }
                pair.one.expect_eof();
                pair.other.expect_eof();
                let (one, other) = pair.endings(&host);
                assert_eq!((one.cause, one.clean), (Cause::PEER_CLOSED, true));
                assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
            }
        }
        host.stop();
    }
}

#[test]
fn a_close_frame_without_an_answer_is_answered_with_itself_after_the_close_timeout() {
    let folder = Folder::named("echo");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        for is_client in [true, false] {
            let mut pair = pair(&host, &upstream, is_client);
            let asked = Instant::now();
            pair.one.send_close(4_001, "bye");
            pair.one.expect_close(4_001, "bye");
            let waited = asked.elapsed();
            assert!(waited >= Duration::from_secs(1), "{waited:?}");
            pair.other.expect_close(4_001, "bye");
            let (one, other) = pair.endings(&host);
            assert_eq!((one.cause, one.clean), (Cause::PEER_CLOSED, true));
            assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, false));
        }
        host.stop();
    }
}

#[test]
fn closes_of_both_sides_are_answered_each_with_its_own() {
    let folder = Folder::named("cross");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        let mut pair = pair(&host, &upstream, true);
        let gate = host.hold();
        pair.one.send_close(4_001, "client");
        pair.other.send_close(4_002, "server");
        drop(gate);
        pair.one.expect_close(4_001, "client");
        pair.other.expect_close(4_002, "server");
        pair.other.send_fin();
        let (one, other) = pair.endings(&host);
        for end in [one, other] {
            assert_eq!((end.cause, end.clean), (Cause::PEER_CLOSED, true));
        }
        host.stop();
    }
}

#[test]
fn a_kick_of_either_side_is_told_to_the_other() {
    let folder = Folder::named("kick");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        for (is_client, code) in [(true, 1001), (false, 1012)] {
            let mut pair = pair(&host, &upstream, is_client);
            let id = pair.ids.0;
            host.with_io(move |io| io.close(id, 4_000, "kicked"));
            pair.one.expect_close(4_000, "kicked");
            pair.other.expect_close(code, "kicked");
            pair.expect_pair_end(&host, Cause::KICKED);
            pair.one.send_close(4_000, "");
            pair.other.send_close(code, "");
            pair.one.send_fin();
            pair.other.send_fin();
            let (one, other) = pair.endings(&host);
            assert_eq!((one.cause, one.clean), (Cause::KICKED, true));
            assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
        }
        host.stop();
    }
}

#[test]
fn a_drain_closes_clients_with_1012_and_their_servers_with_1001() {
    let folder = Folder::named("drain");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        let mut pairs: Vec<_> = (0..5).map(|_| pair(&host, &upstream, true)).collect();
        host.with_io(|io| io.drain(Micros::ZERO, Micros::from_millis(200)));
        for pair in &mut pairs {
            pair.one.expect_close(1012, "service restart");
            pair.other.expect_close(1001, "service restart");
            pair.one.send_close(1012, "");
            pair.other.send_close(1001, "");
            pair.one.expect_eof();
            pair.other.send_fin();
            pair.other.expect_eof();
            let (one, other) = pair.endings(&host);
            assert_eq!((one.cause, one.clean), (Cause::DRAINING, true));
            assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
        }
        host.stop();
    }
}

#[test]
fn a_planned_close_waits_for_the_frame_in_progress() {
    let folder = Folder::named("frame");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        for is_client in [true, false] {
            let mut pair = pair(&host, &upstream, is_client);
            // It is forwarded in parts.
            let payload = vec![7; 300_000];
            let frame = pair.other.frame(2, &payload);
            let (first, rest) = frame.split_at(150_000);
            pair.other.write(first);
            let id = pair.ids.0;
            host.await_io("a part", move |io| {
                io.view(id).is_some_and(|v| v.traffic.bytes_out > 100_000)
            });
            host.with_io(move |io| io.close(id, 4_000, "kicked"));
            pair.other.write(rest);
            assert_eq!(pair.one.next_answering(), Event::Binary(payload));
            pair.one.expect_close(4_000, "kicked");
            assert_eq!(host.stats().cut_mid_frame, 0);
            pair.one.send_fin();
            pair.other.send_fin();
            pair.endings(&host);
        }
        host.stop();
    }
}
