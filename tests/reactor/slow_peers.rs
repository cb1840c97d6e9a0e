//! Peers that read slowly, or not at all.

use crate::seen::{TIMEOUT, sent_to};
use crate::sockets::{Client, Controls, Event, Host, Seen, frame};
use pulsegate::SendOutcome;
use pulsegate::cause::{Cause, EndCode, EndedBy};
use pulsegate::wire::frame::{BINARY, CLOSE, TEXT};
use std::time::{Duration, Instant};

#[test]
fn a_slow_consumer_is_one_that_does_not_read() {
    const GIFT: usize = 1 << 20;
    let host = Host::start();
    let controls = Controls::start(host.addr);
    // Five of these are more than the pending limit, nine more than twice as much.
    let order = frame(TEXT, format!("give {GIFT}").as_bytes());
    let connect = |path| Client::connect_with(host.addr, Some(4_096)).upgraded(path);
    let mut reads = connect("/patient/reads");
    let mut late = connect("/patient/late");
    let mut never = connect("/never");
    let mut greedy = connect("/greedy");
    reads.write(&order.repeat(6));
    late.write(&order.repeat(6));
    never.write(&order.repeat(6));
    greedy.write(&order.repeat(10));
    // A burst to a peer that reads is allowed.
    for nth in 0..6 {
        match reads.next_answering() {
            Event::Binary(gift) => assert_eq!(gift.len(), GIFT, "gift {nth}"),
            other => panic!("gift {nth}: {other:?}"),
        }
    }
    for path in ["/greedy", "/never"] {
        let end = host.ending(path);
        assert_eq!((end.cause, end.clean), (Cause::SLOW_CONSUMER, false));
    }
    // This one was over the limit before that, and has a longer close timeout. It gets the rest of
    // the current frame, and then the close frame.
    let (code, reason) = loop {
        match late.next_answering() {
            Event::Binary(gift) => assert_eq!(gift.len(), GIFT),
            Event::Close(code, reason) => break (code, reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 1013);
    assert!(reason.contains(" bytes unsent for "), "{reason}");
    late.write(&frame(CLOSE, &code.to_be_bytes()));
    assert_eq!(late.next(), Event::Eof);
    let end = host.ending("/patient/late");
    assert_eq!((end.cause, end.by), (Cause::SLOW_CONSUMER, EndedBy::Server));
    assert_eq!((end.code, end.clean), (EndCode::Close(1013), true));
    assert_eq!(&*end.reason, &*reason);
    let sent = sent_to(&host.seen(), "/greedy");
    let refused = SendOutcome::Refused(pulsegate::SendError::OverLimit);
    let taken = sent.iter().take_while(|s| **s != refused).count();
    assert!((7..=8).contains(&taken), "twice the limit fits: {sent:?}");
    let after = sent.iter().skip(taken + 1);
    assert_eq!(after.count(), 0, "nothing is delivered after the close");
    reads.write(&frame(CLOSE, &1000u16.to_be_bytes()));
    assert_eq!(reads.next_answering(), Event::Close(1000, String::new()));
    controls.finish();
    host.stop();
}

const MIB: usize = 1 << 20;
/// The pieces of a megabyte that is sent, or read, at a steady pace.
const PIECES: u32 = 200;
/// The time for all pieces: several times the timeout.
const STEADY: Duration = Duration::from_millis(TIMEOUT.as_millis() as u64 * 3 + 500);

/// Sends a megabyte in one frame at a steady pace. Meanwhile the peer cannot answer a ping: it is
/// in the middle of a frame.
fn upload_steadily(host: &Host) {
    let mut client = Client::open(host.addr, "/upload");
    let bytes = frame(BINARY, &vec![1; MIB]);
    let started = Instant::now();
    for piece in bytes.chunks(bytes.len().div_ceil(PIECES as usize)) {
        client.write(piece);
        std::thread::sleep(STEADY / PIECES);
    }
    assert!(started.elapsed() >= TIMEOUT * 3);
    let event = client.next_answering();
    assert_eq!(event, Event::Binary(vec![1; MIB]), "the echo");
    client.expect_echo("still here");
}

/// Reads a megabyte at a steady pace. Meanwhile the peer cannot answer a ping: it has not read it
/// yet.
fn download_steadily(host: &Host) {
    let mut client = Client::connect_with(host.addr, Some(16 * 1024)).upgraded("/download");
    let started = Instant::now();
    client.send_text(&format!("give {MIB}"));
    while client.unparsed() < MIB {
        assert_ne!(client.read_some(MIB / PIECES as usize), 0, "closed");
        std::thread::sleep(STEADY / PIECES);
    }
    assert!(started.elapsed() >= TIMEOUT * 3);
    assert_eq!(client.next_answering(), Event::Binary(vec![b'x'; MIB]));
    client.expect_echo("still here");
    let pending = sent_to(&host.seen(), "/download");
    assert_eq!(pending, [SendOutcome::Flowing; 2]);
}

#[test]
fn a_megabyte_at_a_steady_pace_is_life_and_without_progress_it_is_not() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    std::thread::scope(|scope| {
        let host = &host;
        scope.spawn(move || upload_steadily(host));
        scope.spawn(move || download_steadily(host));
        scope.spawn(move || {
            let mut client = Client::open(host.addr, "/upload-stands");
            let bytes = frame(BINARY, &vec![1; MIB]);
            client.write(&bytes[..MIB / 2]);
            let (_, event) = client.next_mute();
            assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
        });
        scope.spawn(move || {
            let mut client = Client::open(host.addr, "/upload-drips");
            let bytes = frame(BINARY, &vec![1; MIB]);
            // Far below 4 KiB within a timeout.
            let mut drops = bytes.iter();
            while drops.next().is_some_and(|b| client.try_write(&[*b])) {
                std::thread::sleep(Duration::from_millis(50));
            }
            host.ending("/upload-drips");
        });
        scope.spawn(move || {
            let mut client = Client::connect_with(host.addr, Some(16 * 1024));
            client = client.upgraded("/download-stands");
            client.send_text(&format!("give {MIB}"));
            host.ending("/download-stands");
        });
    });
    for path in ["/upload-stands", "/upload-drips", "/download-stands"] {
        let end = host.ending(path);
        assert_eq!(
            (end.cause, end.by),
            (Cause::STALE, EndedBy::Server),
            "{path}"
        );
        assert!(end.silence >= TIMEOUT.into(), "{path}: {end:?}");
    }
    assert_eq!(host.ending("/upload").cause, Cause::PEER_EOF);
    assert_eq!(host.ending("/download").cause, Cause::PEER_EOF);
    let seen = host.seen();
    let writable = |wanted: &str| {
        let told = seen
            .iter()
            .any(|s| matches!(s, Seen::Writable { path } if path == wanted));
        assert!(told, "{wanted}: on_writable");
    };
    writable("/download");
    controls.finish();
    host.stop();
}
