//! Ends that arrive with data.

use crate::sockets::{Client, Controls, Event, Host, Seen, frame};
use pulsegate::cause::{Cause, EndCode, EndedBy};
use pulsegate::wire::frame::{BINARY, CLOSE, TEXT};
use std::time::Duration;

#[test]
fn an_rst_is_the_peers_reset() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    Client::open(host.addr, "/at-rest").reset();
    let mut client = Client::open(host.addr, "/in-a-frame");
    client.write(&frame(BINARY, &[0; 1_000])[..500]);
    client.reset();
    let mut client = Client::open(host.addr, "/in-a-message");
    let mut fragment = frame(TEXT, b"to be continued");
    fragment[0] &= 0x7f;
    client.write(&fragment);
    client.reset();
    for path in ["/at-rest", "/in-a-frame", "/in-a-message"] {
        let end = host.ending(path);
        assert_eq!(
            (end.cause, end.by),
            (Cause::PEER_RESET, EndedBy::Network),
            "{path}"
        );
        assert_eq!((end.code, end.clean), (EndCode::None, false), "{path}");
    }
    controls.finish();
    host.stop();
}

#[test]
fn data_with_a_fin_in_one_segment_is_delivered() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    // The same while the loop is held, so that it is one event for sure; and in one segment, which
    // needs a cork.
    for (held, corked) in [(false, true), (true, true), (true, false)] {
        let name = |what| format!("/{what}/{held}/{corked}");
        let mut data = Client::open(host.addr, &name("data"));
        let mut close = Client::open(host.addr, &name("close"));
        let mut both = Client::open(host.addr, &name("both"));
        let mut half = Client::open(host.addr, &name("half"));
        let gate = held.then(|| host.hold());
        for client in [&mut data, &mut close, &mut both, &mut half] {
            if corked {
                client.cork();
            }
        }
        data.send_text("last words");
        close.write(&frame(CLOSE, &1001u16.to_be_bytes()));
        both.send_text("and goodbye");
        both.write(&frame(CLOSE, b""));
        half.write(&frame(BINARY, &[7; 300])[..200]);
        for client in [&mut data, &mut close, &mut both, &mut half] {
            client.send_fin();
        }
        drop(gate);
        host.message(&name("data"), "last words");
        host.message(&name("both"), "and goodbye");
        for (what, cause, code, clean) in [
            ("data", Cause::PEER_EOF, EndCode::None, false),
            ("half", Cause::PEER_EOF, EndCode::None, false),
            ("close", Cause::PEER_CLOSED, EndCode::Close(1001), true),
            ("both", Cause::PEER_CLOSED, EndCode::Close(1005), true),
        ] {
            let end = host.ending(&name(what));
            assert_eq!((end.cause, end.code, end.clean), (cause, code, clean));
            assert_eq!(end.by, EndedBy::Peer);
        }
        // A client that has only shut down its sending side still gets the answer to its close
        // frame.
        assert_eq!(close.next_answering(), Event::Close(1001, String::new()));
        assert_eq!(close.next(), Event::Eof);
        assert_eq!(both.next_answering(), Event::Text("and goodbye".to_owned()));
        assert_eq!(both.next_answering(), Event::Close(1005, String::new()));
        let end = data.next_answering();
        assert!(matches!(end, Event::Eof | Event::Reset), "{end:?}");
    }
    controls.finish();
    host.stop();
}

#[test]
fn more_data_than_a_turn_reads_with_a_fin_behind_it() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut client = Client::open(host.addr, "/mute/much");
    let gate = host.hold();
    // As much as the kernel takes, above the 256 KiB that a turn reads.
    let writer = std::thread::spawn(move || {
        for i in 0..40u8 {
            client.write(&frame(BINARY, &[i; 16 * 1024]));
        }
        client.send_fin();
        client
    });
    std::thread::sleep(Duration::from_millis(100)); // the more data waits, the better
    drop(gate);
    let client = writer.join().expect("written");
    assert_eq!(host.ending("/mute/much").cause, Cause::PEER_EOF);
    let seen = host.seen();
    let got = seen.iter().filter_map(|s| match s {
        Seen::Message {
            path, len, start, ..
        } if path == "/mute/much" => Some((*len, start[0])),
        _ => None,
    });
    assert!(got.eq((0..40u8).map(|i| (16 * 1024, i))));
    drop(client);
    controls.finish();
    host.stop();
}

#[test]
fn data_with_an_rst_in_one_event_is_delivered() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut data = Client::open(host.addr, "/data");
    let mut much = Client::open(host.addr, "/mute/much");
    let mut close = Client::open(host.addr, "/close");
    let gate = host.hold();
    data.send_text("last words");
    data.reset();
    // More than the loop's read buffer of 64 KiB.
    for i in 0..5 {
        much.send_text(&i.to_string().repeat(20_000));
    }
    much.reset();
    close.write(&frame(CLOSE, &1000u16.to_be_bytes()));
    close.reset();
    drop(gate);
    host.message("/data", "last words");
    let end = host.ending("/data");
    assert_eq!((end.cause, end.by), (Cause::PEER_RESET, EndedBy::Network));
    assert_eq!(host.ending("/mute/much").cause, Cause::PEER_RESET);
    let seen = host.seen();
    let much = seen
        .iter()
        .filter(|s| matches!(s, Seen::Message { path, len: 20_000, .. } if path == "/mute/much"));
    assert_eq!(
        much.count(),
        5,
        "whatever had come before the RST was delivered"
    );
    // Its close frame had arrived; that our answer could not be written makes no difference.
    let end = host.ending("/close");
    assert_eq!((end.cause, end.by), (Cause::PEER_CLOSED, EndedBy::Peer));
    controls.finish();
    host.stop();
}
