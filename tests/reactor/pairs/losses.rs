//! Ends without a close frame of the peer: what the other side gets.

use super::rows::{listeners, pair};
use crate::dial_host::{DialHost, config};
use crate::folder::Folder;
use crate::sockets::{Event, Listener};
use pulsegate::engine::LinkRules;
use pulsegate::wire::frame::{BINARY, CLOSE};
use pulsegate::{Cause, Config, Micros};

#[test]
fn a_client_that_ends_its_stream_still_gets_what_the_server_sends() {
    let folder = Folder::named("eof");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        let mut pair = pair(&host, &upstream, true);
        pair.one.send_text("question");
        pair.one.send_fin();
        pair.other.expect_text("question");
        pair.other.expect_close(1001, "client lost: peer_eof");
        pair.other.send_text("answer");
        pair.other.send(BINARY, &vec![1; 200_000]);
        pair.other.send(CLOSE, &1000_u16.to_be_bytes());
        pair.one.expect_text("answer");
        assert_eq!(pair.one.next(), Event::Binary(vec![1; 200_000]));
        pair.one.expect_close(1000, "");
        pair.one.expect_eof();
        pair.other.send_fin();
        let (one, other) = pair.endings(&host);
        assert_eq!((one.cause, one.lost), (Cause::PEER_EOF, true));
        assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
        host.stop();
    }
}

#[test]
fn a_client_that_ends_its_stream_is_left_after_the_close_timeout() {
    let folder = Folder::named("left");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        let mut pair = pair(&host, &upstream, true);
        pair.one.send_fin();
        pair.other.expect_close(1001, "client lost: peer_eof");
        // The server says nothing.
        pair.one.expect_eof();
        let (one, other) = pair.endings(&host);
        assert_eq!((one.cause, one.clean), (Cause::PEER_EOF, false));
        assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, false));
        host.stop();
    }
}

#[test]
fn a_reset_of_either_side_is_told_to_the_other() {
    let upstream = Listener::tcp();
    let host = DialHost::in_front_of(&upstream);
    for (is_client, code, reason) in [
        (true, 1001, "client lost: peer_reset"),
        (false, 1012, "upstream lost: peer_reset"),
    ] {
        // At rest, and inside a frame that is short enough to be gathered.
        for begun in [0, 20] {
            let mut pair = pair(&host, &upstream, is_client);
            let frame = pair.one.frame(1, &[b'x'; 100]);
            pair.one.write(&frame[..begun]);
            let (one, ids) = (pair.one, pair.ids);
            one.reset();
            pair.other.expect_close(code, reason);
            pair.other.send_close(code, "");
            pair.other.send_fin();
            assert_eq!(host.ending(ids.0).cause, Cause::PEER_RESET);
            let end = host.ending(ids.1);
            assert_eq!((end.cause, end.clean), (Cause::PARTNER_ENDED, true));
        }
    }
    host.stop();
}

#[test]
fn a_server_that_ends_its_stream_is_told_to_the_client() {
    let folder = Folder::named("server-eof");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        let mut pair = pair(&host, &upstream, false);
        pair.one.send_text("last words");
        pair.one.send_fin();
        pair.other.expect_text("last words");
        pair.other.expect_close(1012, "upstream lost: peer_eof");
        pair.one.expect_eof();
        pair.other.send_close(1012, "");
        pair.other.expect_eof();
        pair.expect_pair_end(&host, Cause::PEER_EOF);
        let (one, other) = pair.endings(&host);
        assert_eq!((one.cause, one.lost), (Cause::PEER_EOF, true));
        assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
        host.stop();
    }
}

#[test]
fn a_silent_side_is_stale_and_the_other_told() {
    let folder = Folder::named("stale");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        let pairs = [true, false].map(|is_client| pair(&host, &upstream, is_client));
        // Both pairs wait at the same time. The sides that answer do so on threads of their own.
        std::thread::scope(|scope| {
            for (mut pair, (code, lost)) in pairs
                .into_iter()
                .zip([(1001, "client"), (1012, "upstream")])
            {
                let host = &host;
                scope.spawn(move || {
                    let Event::Close(got, reason) = pair.other.next_answering() else {
                        panic!("no close frame");
                    };
                    let expected = format!("{lost} lost: nothing heard for ");
                    assert!(
                        got == code && reason.starts_with(&expected),
                        "{got} {reason}"
                    );
                    let close = pair.one.next_mute();
                    assert!(matches!(close, Event::Close(3008, _)), "{close:?}");
                    pair.expect_pair_end(host, Cause::STALE);
                    pair.other.send_close(code, "");
                    pair.other.send_fin();
                    let (one, other) = pair.endings(host);
                    assert!(one.silence >= Micros::from_secs(3), "{one:?}");
                    assert_eq!((one.cause, one.lost), (Cause::STALE, true));
                    assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
                });
            }
        });
        host.stop();
    }
}

#[test]
fn a_side_that_breaks_the_protocol_gets_1002_and_the_other_is_told() {
    let folder = Folder::named("broken");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        for (is_client, code, reason) in [
            (true, 1001, "client lost: protocol"),
            (false, 1011, "upstream closed: protocol"),
        ] {
            let mut pair = pair(&host, &upstream, is_client);
            // With the other side's kind of mask.
            let wrong = pair.other.frame(1, b"x");
            pair.one.send_text("before");
            pair.one.write(&wrong);
            pair.other.expect_text("before");
            pair.other.expect_close(code, reason);
            // What the other side says until it answers would still arrive.
            pair.other.send_close(code, "");
            let close = pair.one.next_answering();
            assert!(matches!(close, Event::Close(1002, _)), "{close:?}");
            pair.expect_pair_end(&host, Cause::PROTOCOL);
            pair.one.send_fin();
            pair.other.send_fin();
            let (one, other) = pair.endings(&host);
            assert_eq!(one.cause, Cause::PROTOCOL);
            assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
        }
        host.stop();
    }
}

#[test]
fn a_message_above_the_limit_gets_1009_and_no_byte_of_it_is_forwarded() {
    let folder = Folder::named("long");
    for upstream in listeners(&folder) {
        let rules = LinkRules {
            max_message_bytes: 100_000,
            ..LinkRules::default()
        };
        let host = DialHost::start_with(config(), Some(upstream.address()), rules);
        for (is_client, code, reason) in [
            (true, 1001, "client lost: too_big"),
            (false, 1011, "upstream closed: too_big"),
        ] {
            let mut pair = pair(&host, &upstream, is_client);
            pair.one.send(BINARY, &vec![1; 100_000]);
            let frame = pair.one.frame(BINARY, &vec![1; 100_001]);
            pair.one.write(&frame[..14]);
            assert_eq!(pair.other.next_answering(), Event::Binary(vec![1; 100_000]));
            pair.other.expect_close(code, reason);
            pair.other.send_close(code, "");
            let close = pair.one.next_answering();
            assert!(matches!(close, Event::Close(1009, _)), "{close:?}");
            pair.one.send_fin();
            pair.other.send_fin();
            let (one, other) = pair.endings(&host);
            assert_eq!(one.cause, Cause::TOO_BIG);
            assert_eq!((other.cause, other.clean), (Cause::PARTNER_ENDED, true));
        }
        host.stop();
    }
}

#[test]
fn a_side_that_does_not_read_is_left_and_the_other_told() {
    let folder = Folder::named("slow");
    for upstream in listeners(&folder) {
        let slow = Config {
            link_slow_after: Micros::from_millis(300),
            ..config()
        };
        let host = DialHost::start_with(slow, Some(upstream.address()), LinkRules::default());
        for (is_client, own, code, reason) in [
            (true, 1013, 1001, "client lost: slow_consumer"),
            (false, 1001, 1013, "upstream lost: slow_consumer"),
        ] {
            let mut pair = pair(&host, &upstream, is_client);
            let mut writer = pair.other.writer();
            let flood = std::thread::spawn(move || {
                let frame = writer.frame(BINARY, &vec![9; 50_000]);
                // Until the connection is closed.
                while writer.try_write(&frame) {}
            });
            pair.other.expect_close(code, reason);
            pair.expect_pair_end(&host, Cause::SLOW_CONSUMER);
            // What its kernel has taken, and then the close.
            let close = loop {
                match pair.one.next_mute() {
                    Event::Binary(payload) => assert_eq!(payload.len(), 50_000),
                    other => break other,
                }
            };
            assert!(matches!(close, Event::Close(c, _) if c == own), "{close:?}");
            let ids = pair.ids;
            drop(pair);
            flood.join().expect("no panic");
            assert_eq!(host.ending(ids.0).cause, Cause::SLOW_CONSUMER);
            assert_eq!(host.ending(ids.1).cause, Cause::PARTNER_ENDED);
        }
        host.stop();
    }
}

#[test]
fn an_end_inside_a_frame_is_a_fin_for_the_other_side_and_nothing_else() {
    let folder = Folder::named("cut");
    for upstream in listeners(&folder) {
        for (is_client, resets) in [(true, false), (true, true), (false, false), (false, true)] {
            let host = DialHost::in_front_of(&upstream);
            let mut pair = pair(&host, &upstream, is_client);
            let mut frame = pair.one.frame(BINARY, &vec![7; 300_000]);
            frame.truncate(150_000);
            pair.one.write(&frame);
            host.await_io("a part", |io| io.stats().bytes_out > 100_000);
            let (mut one, ids) = (pair.one, pair.ids);
            match resets {
                true => one.reset(),
                false => one.send_fin(),
            }
            let got = pair.other.read_to_end();
            assert!(
                got.len() > 100_000 && frame.starts_with(&got),
                "{}",
                got.len()
            );
            pair.other.send_fin();
            let cause = host.ending(ids.0).cause;
            assert!(
                [Cause::PEER_EOF, Cause::PEER_RESET].contains(&cause),
                "{cause}"
            );
            assert_eq!(host.ending(ids.1).cause, Cause::PARTNER_ENDED);
            assert_eq!(host.stop().cut_mid_frame, 1);
        }
    }
}
