//! The reactor on real sockets. In (almost) every test fifty control clients run beside what is
//! tested; none of them may be closed, and each of their pings is answered. Tests assert which side
//! closed, with which code and cause, never how fast.

use crate::sockets::{
    Child, Client, Controls, Event, Host, PATIENCE, Seen, config, eventually, frame, policy,
    upgrade,
};
use pulsegate::cause::{Cause, EndCode, EndedBy};
use pulsegate::reactor::{Reactor, listen};
use pulsegate::wire::frame::{BINARY, CLOSE, TEXT};
use pulsegate::{Config, ConnId, Handler, Io, Message, Micros, Request, SendOutcome, Verdict};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The stale timeout of [`policy`].
const TIMEOUT: Duration = Duration::from_secs(3);

fn sent_to(seen: &[Seen], wanted: &str) -> Vec<SendOutcome> {
    let sent = seen.iter().filter_map(|s| match s {
        Seen::Sent { path, sent } if path == wanted => Some(*sent),
        _ => None,
    });
    sent.collect()
}

// ---- many ----

#[test]
fn a_storm_of_connects_is_served_to_the_last() {
    const STORM: usize = 2_000;
    const THREADS: usize = 8;
    let host = Host::start();
    let controls = Controls::start(host.addr);
    std::thread::scope(|scope| {
        for t in 0..THREADS {
            let addr = host.addr;
            scope.spawn(move || {
                // All of them connect before the first is served.
                let mut clients: Vec<_> = (0..STORM / THREADS)
                    .map(|i| {
                        let mut client = Client::connect(addr);
                        client.write(upgrade(&format!("/storm/{t}/{i}")).as_bytes());
                        client
                    })
                    .collect();
                clients.iter_mut().for_each(Client::switched);
            });
        }
    });
    // Their sockets are closed now.
    host.wait_for("the ends of all", |seen| {
        let closed = seen.iter().filter(|s| matches!(s, Seen::Close { .. }));
        (closed.count() == STORM).then_some(())
    });
    controls.finish();
    let stats = host.stop();
    assert_eq!(stats.classes[0].opened, STORM as u64);
    assert_eq!(stats.rejected.iter().sum::<u64>(), 0);
    for seen in stats.classes[0].closed.iter().enumerate() {
        // A slow test may be slow enough to look dead; it must have been served all the same.
        let peer = [
            Cause::PEER_EOF,
            Cause::PEER_RESET,
            Cause::STALE,
            Cause::READ_ERROR,
            Cause::WRITE_ERROR,
        ];
        assert!(
            *seen.1 == 0 || peer.iter().any(|c| c.index() == seen.0),
            "{seen:?}"
        );
    }
}

#[test]
fn five_hundred_ghosts_are_closed_and_none_of_them_early() {
    const GHOSTS: usize = 500;
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut ghosts = Vec::new();
    for i in 0..GHOSTS {
        let client = Client::connect(host.addr);
        // It was last heard at or after its last message.
        let spoke = Instant::now();
        ghosts.push((spoke, client.upgraded(&format!("/ghost/{i}"))));
    }
    let ends = host.wait_for("the ends of all ghosts", |seen| {
        let ends = seen.iter().filter_map(|s| match s {
            Seen::Close { path, end, at } => Some((path.clone(), end.clone(), *at)),
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        (ends.len() == GHOSTS).then_some(ends)
    });
    let mut late = Vec::new();
    for (path, end, at) in ends {
        let i: usize = path["/ghost/".len()..].parse().expect("its number");
        assert_eq!(
            (end.cause, end.by),
            (Cause::STALE, EndedBy::Server),
            "{path}"
        );
        let lived = at - ghosts[i].0;
        assert!(lived >= TIMEOUT, "{path} was closed after {lived:?}");
        assert!(end.silence >= TIMEOUT.into(), "{path}: {end:?}");
        late.push((end.silence - TIMEOUT.into()).0);
    }
    late.sort_unstable();
    println!(
        "lateness of {GHOSTS} ghosts: p50 {} us, p99 {} us, most {} us",
        late[GHOSTS / 2],
        late[GHOSTS * 99 / 100],
        late[GHOSTS - 1]
    );
    controls.finish();
    assert_eq!(host.stop().closed(Cause::STALE.index()), GHOSTS as u64);
}

/// Runs `flood` on its own connection beside others, which must be served. The flood ends when it
/// is told so.
fn flood_beside_others(flood: impl FnOnce(&mut Client, &AtomicBool) + Send, hold: bool) {
    /// The limit of bytes that the reactor reads from one connection in one turn.
    const READ_BUDGET: usize = 256 * 1024;
    /// A frame is finished, so this much more may be read: the largest frame used here, begun in
    /// the turn before.
    const FRAME: usize = 16 * 1024 + 8;
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let stop = AtomicBool::new(false);
    let mut flooder = Client::open(host.addr, "/mute/flood");
    let mut quiet = Client::open(host.addr, "/quiet");
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || flood(&mut flooder, stop));
        for i in 0..20 {
            if hold {
                // Enough waits in the kernel then to need several turns.
                let gate = host.hold();
                std::thread::sleep(Duration::from_millis(50));
                drop(gate);
            }
            quiet.expect_echo(&i.to_string());
        }
        controls.await_pings(2);
        stop.store(true, SeqCst);
    });
    controls.finish();
    let mut turns = std::collections::BTreeMap::<u64, usize>::new();
    for seen in host.seen() {
        if let Seen::Message {
            path, turn, len, ..
        } = seen
            && path == "/mute/flood"
        {
            *turns.entry(turn).or_default() += len;
        }
    }
    let (turn, most) = turns
        .iter()
        .max_by_key(|(_, bytes)| **bytes)
        .expect("messages");
    println!("flood: {} turns, at most {most} bytes in one", turns.len());
    assert!(
        *most <= READ_BUDGET + FRAME,
        "{most} bytes were read from one connection in turn {turn}"
    );
    host.stop();
}

#[test]
fn a_flood_of_small_frames_starves_no_other_peer() {
    let burst = frame(TEXT, b"x").repeat(64 * 1024);
    flood_beside_others(
        |client, stop| {
            while !stop.load(SeqCst) {
                client.write(&burst);
            }
        },
        false,
    );
}

#[test]
fn a_flood_of_bytes_is_read_within_a_budget() {
    let burst = frame(BINARY, &[0; 16 * 1024]).repeat(16);
    flood_beside_others(
        |client, stop| {
            while !stop.load(SeqCst) {
                client.write(&burst);
            }
        },
        true,
    );
}

// ---- ghosts ----

#[test]
fn half_open_peers_are_stale_and_told_so() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    // They read, and send nothing.
    let mut mute: Vec<_> = (0..10)
        .map(|i| Client::open(host.addr, &format!("/deaf/{i}")))
        .collect();
    // They neither read nor send.
    let mut frozen: Vec<_> = (0..10)
        .map(|i| Client::open(host.addr, &format!("/frozen/{i}")))
        .collect();
    for (i, client) in mute.iter_mut().enumerate() {
        let (pings, event) = client.next_mute();
        let Event::Close(3008, reason) = event else {
            panic!("{event:?}");
        };
        assert!(pings >= 1, "{reason}");
        assert_eq!(
            client.next(),
            Event::Eof,
            "FIN stands behind the close frame"
        );
        let end = host.ending(&format!("/deaf/{i}"));
        let plural = if pings == 1 { "" } else { "s" };
        let silence = end.silence;
        let words = reason
            .strip_prefix("nothing heard for ")
            .and_then(|rest| rest.split_once(" ms, "));
        let (ms, rest) = words.unwrap_or_else(|| panic!("{reason}"));
        let ms: u64 = ms.parse().expect("milliseconds");
        assert!((3_000..=silence.as_millis()).contains(&ms), "{reason}");
        assert_eq!(rest, format!("{pings} ping{plural} unanswered"));
        assert!(silence >= TIMEOUT.into(), "{end:?}");
        assert_eq!((end.cause, end.by), (Cause::STALE, EndedBy::Server));
        assert_eq!((end.code, &*end.reason), (EndCode::Close(3008), &*reason));
        assert_eq!((end.clean, usize::from(end.unanswered)), (false, pings));
    }
    for i in 0..10 {
        assert_eq!(host.ending(&format!("/frozen/{i}")).cause, Cause::STALE);
    }
    // What was sent to them is in their own kernel, and the end after it.
    for client in &mut frozen {
        let (_, event) = client.next_mute();
        assert!(
            matches!(event, Event::Close(3008, _) | Event::Reset),
            "{event:?}"
        );
    }
    controls.finish();
    let seen = host.seen();
    let suspects = seen.iter().filter(|s| {
        matches!(s, Seen::Health { path, change }
            if path.starts_with("/deaf") && change.state == pulsegate::HealthState::Suspect)
    });
    assert_eq!(suspects.count(), 10, "each was suspect before it was stale");
    assert_eq!(host.stop().closed(Cause::STALE.index()), 20);
}

#[test]
fn an_answer_saves_a_suspect_peer() {
    let mut config = config();
    config.classes[0].policy.connection_timeout = Micros::from_secs(20);
    let host = Host::start_with(config, 10_000);
    let controls = Controls::start(host.addr);
    let mut client = Client::open(host.addr, "/late");
    for _ in 0..3 {
        // No ping is answered before the connection is suspect.
        host.wait_for("a suspect", |seen| {
            let last = seen
                .iter()
                .rfind(|s| matches!(s, Seen::Health { path, .. } if path == "/late"));
            matches!(last, Some(Seen::Health { change, .. })
                if change.state == pulsegate::HealthState::Suspect)
            .then_some(())
        });
        // Any frame is enough.
        client.expect_echo("I am");
        host.wait_for("a healthy one", |seen| {
            let last = seen
                .iter()
                .rfind(|s| matches!(s, Seen::Health { path, .. } if path == "/late"));
            matches!(last, Some(Seen::Health { change, .. })
                if change.state == pulsegate::HealthState::Healthy)
            .then_some(())
        });
    }
    controls.finish();
    host.stop();
}

// ---- heads ----

#[test]
fn a_slow_head_is_answered_408() {
    let config = Config {
        handshake_timeout: Micros::from_secs(1),
        ..config()
    };
    let host = Host::start_with(config, 10_000);
    let controls = Controls::start(host.addr);
    let head = upgrade("/slow");
    let mut silent = Client::connect(host.addr);
    let mut partial = Client::connect(host.addr);
    partial.write(&head.as_bytes()[..head.len() - 2]);
    // Sending byte by byte makes no difference.
    let mut dripping = Client::connect(host.addr);
    let mut drops = head.as_bytes()[..head.len() - 2].iter();
    let answered = AtomicBool::new(false);
    let dripping = std::thread::scope(|scope| {
        let answered = &answered;
        let mut writer = dripping.writer();
        scope.spawn(move || {
            while !answered.load(SeqCst) && drops.next().is_some_and(|b| writer.try_write(&[*b])) {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let response = dripping.response();
        answered.store(true, SeqCst);
        response
    });
    // A client that never sent a byte gets no answer.
    assert_eq!(silent.next(), Event::Eof);
    for response in [partial.response(), dripping] {
        assert_eq!(response.status, 408, "{response:?}");
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.body.contains("\"status\":408"), "{response:?}");
    }
    drop((silent, partial));
    controls.finish();
    let stats = host.stop();
    assert!(stats.rejected[Cause::HANDSHAKE_TIMEOUT.index()] >= 2);
    assert!(stats.rejected[Cause::PROBE.index()] >= 1);
    assert_eq!(stats.opened(), Controls::MANY as u64);
}

#[test]
fn a_peer_that_leaves_before_the_request_is_answered_is_told_apart() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    drop(Client::connect(host.addr));
    assert_eq!(host.rejected(1)[0].cause, Cause::PROBE);
    Client::connect(host.addr).reset();
    assert_eq!(host.rejected(2)[1].cause, Cause::PROBE);
    let mut client = Client::connect(host.addr);
    client.write(b"GET / HT");
    drop(client);
    assert_eq!(host.rejected(3)[2].cause, Cause::ABORTED);
    let response = Client::get(host.addr, "/healthz");
    assert_eq!(
        (response.status, &*response.body),
        (200, "{\"status\":\"ok\"}")
    );
    assert_eq!(host.rejected(4)[3].cause, Cause::ANSWERED);
    // A whole head, a message and the end, in one segment.
    let mut client = Client::connect(host.addr);
    client.cork();
    client.write(upgrade("/brief").as_bytes());
    client.send_text("all at once");
    client.send_fin();
    host.message("/brief", "all at once");
    assert_eq!(host.ending("/brief").cause, Cause::PEER_EOF);
    controls.finish();
    host.stop();
}

// ---- ends that arrive with data ----

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

// ---- slow peers ----

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

#[test]
fn a_megabyte_at_a_steady_pace_is_life_and_without_progress_it_is_not() {
    const MIB: usize = 1 << 20;
    const PIECES: u32 = 200;
    let steady = TIMEOUT * 3 + Duration::from_millis(500);
    let host = Host::start();
    let controls = Controls::start(host.addr);
    std::thread::scope(|scope| {
        let host = &host;
        // Neither can answer a ping meanwhile: one is in the middle of a frame, the other has not
        // read it yet.
        scope.spawn(move || {
            let mut client = Client::open(host.addr, "/upload");
            let bytes = frame(BINARY, &vec![1; MIB]);
            let started = Instant::now();
            for piece in bytes.chunks(bytes.len().div_ceil(PIECES as usize)) {
                client.write(piece);
                std::thread::sleep(steady / PIECES);
            }
            assert!(started.elapsed() >= TIMEOUT * 3);
            let event = client.next_answering();
            assert_eq!(event, Event::Binary(vec![1; MIB]), "the echo");
            client.expect_echo("still here");
        });
        scope.spawn(move || {
            let mut client = Client::connect_with(host.addr, Some(16 * 1024)).upgraded("/download");
            let started = Instant::now();
            client.send_text(&format!("give {MIB}"));
            while client.unparsed() < MIB {
                assert_ne!(client.read_some(MIB / PIECES as usize), 0, "closed");
                std::thread::sleep(steady / PIECES);
            }
            assert!(started.elapsed() >= TIMEOUT * 3);
            assert_eq!(client.next_answering(), Event::Binary(vec![b'x'; MIB]));
            client.expect_echo("still here");
            let pending = sent_to(&host.seen(), "/download");
            assert_eq!(pending, [SendOutcome::Flowing; 2]);
        });
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

// ---- the connection limit ----

#[test]
fn without_descriptors_accepting_pauses_and_recovers() {
    const MORE: usize = 20;
    let child = Child::start("reactor::emfile_child", 64);
    let controls = Controls::start(child.addr);
    // About six are accepted; the others wait in the kernel's queue.
    let mut clients: Vec<_> = (0..MORE)
        .map(|i| {
            let mut client = Client::connect(child.addr);
            client.write(upgrade(&format!("/more/{i}")).as_bytes());
            client
        })
        .collect();
    controls.await_pings(2);
    // In the order of their arrival: each that closes makes room for the next.
    for mut client in clients.drain(..) {
        client.switched();
        client.expect_echo("served");
    }
    // And from zero.
    for i in 0..MORE {
        Client::open(child.addr, &format!("/again/{i}")).expect_echo("served");
    }
    controls.finish();
    let report = child.stop();
    let pauses = report
        .split_once("accept_pauses=")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    assert!(pauses.is_some_and(|n: u64| n >= 1), "{report}");
    assert!(
        report.contains(&format!("accepted={}", Controls::MANY + 2 * MORE)),
        "{report}"
    );
}

#[test]
#[ignore = "the other process of without_descriptors_accepting_pauses_and_recovers"]
fn emfile_child() {
    crate::sockets::main_of_child();
}

#[test]
fn above_the_cap_503_and_below_it_with_some_room_service() {
    // A fiftieth of the limit must be free again before accepting resumes.
    const CAP: usize = 150;
    const ROOM: usize = 3;
    let host = Host::start_with(config(), CAP);
    let controls = Controls::start(host.addr);
    let mut guests: Vec<_> = (Controls::MANY..CAP)
        .map(|i| Client::open(host.addr, &format!("/guest/{i}")))
        .collect();
    let mut before = String::new();
    let mut refuse = |n: usize| {
        for i in 0..n {
            let response = Client::refused(host.addr, &format!("/over/{i}"));
            assert_eq!(response.status, 503, "{response:?}");
            let after = response.header("retry-after").expect("Retry-After");
            let is_allowed = after.parse().is_ok_and(|s: u32| (5..=20).contains(&s));
            assert!(is_allowed, "{after}");
            assert_ne!(after, before, "each is told another time");
            before = after.to_owned();
        }
    };
    refuse(40);
    assert_eq!(
        Client::get(host.addr, "/healthz").status,
        200,
        "we are well"
    );
    // One closed connection is not enough room yet, nor are two.
    for left in 1..ROOM {
        let path = format!("/guest/{}", CAP - left);
        guests.pop().expect("a guest").reset();
        host.ending(&path);
        refuse(3);
    }
    guests.pop().expect("a guest").reset();
    host.ending(&format!("/guest/{}", CAP - ROOM));
    let mut served: Vec<_> = (0..ROOM)
        .map(|i| Client::open(host.addr, &format!("/served/{i}")))
        .collect();
    for client in &mut served {
        client.expect_echo("welcome");
    }
    refuse(3);
    drop(guests);
    controls.finish();
    let stats = host.stop();
    assert_eq!(stats.rejected[Cause::AT_CAPACITY.index()], 49);
    assert!(stats.accept_pauses >= 1);
}

/// Without control clients: their pings would wake the loop, which must wake by itself.
#[test]
fn room_that_comes_free_is_used_at_once() {
    const CAP: usize = 2;
    let slow = pulsegate::Policy {
        heartbeat_interval: Micros::from_secs(1_000),
        connection_timeout: Micros::from_secs(3_000),
        ..policy()
    };
    let mut config = config();
    config.handshake_timeout = Micros::from_secs(1_000);
    config.classes.iter_mut().for_each(|c| c.policy = slow);
    let host = Host::start_with(config, CAP);
    let mut guests: Vec<_> = (0..CAP)
        .map(|i| Client::open(host.addr, &format!("/guest/{i}")))
        .collect();
    assert_eq!(Client::refused(host.addr, "/over").status, 503);
    guests.pop().expect("a guest").reset();
    host.ending("/guest/1");
    Client::open(host.addr, "/served").expect_echo("welcome");
    host.stop();
}

/// Clients that must be refused and do not leave: silent ones, ones that have begun a request, and
/// ones that were answered.
#[test]
fn the_health_check_is_answered_at_the_cap_whatever_newcomers_do() {
    const CAP: usize = Controls::MANY;
    let host = Host::start_with(config(), CAP);
    let controls = Controls::start(host.addr);
    let mut here = Vec::new();
    let mut took = Vec::new();
    for round in 0..10 {
        // More than there are slots, all of them before the probe in the queue.
        for i in 0..60 {
            let mut client = Client::connect(host.addr);
            match i % 3 {
                0 => {}
                1 => client.write(b"GET / HTTP/1.1\r\nHost: a"),
                _ => client.write(upgrade("/over").as_bytes()),
            }
            here.push(client);
        }
        let asked = Instant::now();
        let health = Client::get(host.addr, "/healthz");
        assert_eq!(health.status, 200, "round {round}: {health:?}");
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    println!("/healthz at the cap: {took:?}");
    // It takes 100 ms on an idle machine; behind the others' timeouts it would take tens of
    // seconds.
    assert!(took[5] < Duration::from_millis(500), "{took:?}");
    let stats = host.stats();
    assert_eq!(stats.live(), CAP as u64);
    assert!(stats.opening() <= 80, "{} sockets", stats.opening());
    // All but the last were told to reconnect, also those that never sent a request.
    let (last, told) = (here.split_off(500), here);
    for (i, mut client) in told.into_iter().enumerate() {
        // Its time ran out on a busy machine before it was told: there is nothing to answer.
        if i % 3 == 0 && client.ends_unanswered() {
            continue;
        }
        let head = client.refusal();
        // Not because of a newer one, but of its time, if this machine was busy for a second.
        let is_refusal = ["HTTP/1.1 503 ", "HTTP/1.1 408 "]
            .iter()
            .any(|s| head.starts_with(s));
        assert!(is_refusal, "{head}");
    }
    drop(last);
    controls.finish();
    host.stop();
}

#[test]
fn half_open_connections_do_not_fill_the_room() {
    const CAP: usize = 256;
    let host = Host::start_with(config(), CAP);
    let controls = Controls::start(host.addr);
    let heads: Vec<_> = (0..2 * CAP)
        .map(|_| {
            let mut client = Client::connect(host.addr);
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n");
            client
        })
        .collect();
    eventually("all of them were accepted", || {
        (host.stats().accepted == (Controls::MANY + 2 * CAP) as u64).then_some(())
    });
    // The waiting ones are the youngest, and all others are accepted.
    let mut guests: Vec<_> = (0..20)
        .map(|i| Client::open(host.addr, &format!("/guest/{i}")))
        .collect();
    guests.iter_mut().for_each(|g| g.expect_echo("welcome"));
    let stats = host.stats();
    assert!(stats.opening() <= 64, "{}", stats.opening());
    assert_eq!(stats.rejected[Cause::AT_CAPACITY.index()], 0);
    for mut client in heads.into_iter().take(2 * CAP - 64) {
        let head = client.refusal();
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert!(head.contains("Retry-After: "), "{head}");
    }
    drop(guests);
    controls.finish();
    host.stop();
}

// ---- stalls of the loop ----

#[test]
fn a_loop_that_was_away_blames_itself() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    controls.await_pings(1);
    let gate = host.hold();
    std::thread::sleep(TIMEOUT + Duration::from_secs(1));
    drop(gate);
    controls.await_pings(2);
    controls.finish();
    let stats = host.stop();
    assert!(stats.stalls >= 1);
    assert!(stats.stalled >= TIMEOUT.into());
    assert_eq!(stats.closed(Cause::STALE.index()), 0);
}

// ---- other threads ----

#[test]
fn other_threads_send_and_close() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut client = Client::open(host.addr, "/patient/remote");
    let id: ConnId = host.wait_for("its id", |seen| {
        seen.iter().find_map(|s| match s {
            Seen::Open { path, id } if path == "/patient/remote" => Some(*id),
            _ => None,
        })
    });
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let remote = host.remote.clone();
            std::thread::spawn(move || {
                (0..100).for_each(|_| remote.try_send(id, Message::text("x")).expect("room"));
            })
        })
        .collect();
    for _ in 0..400 {
        assert_eq!(client.next_answering(), Event::Text("x".to_owned()));
    }
    threads.into_iter().for_each(|t| t.join().expect("sent"));
    host.remote
        .try_close(id, 4_321, "as you like")
        .expect("room");
    assert_eq!(client.expect_close(), (4_321, "as you like".to_owned()));
    let end = host.ending("/patient/remote");
    assert_eq!((end.cause, end.by), (Cause::KICKED, EndedBy::Operator));
    assert!(end.clean);
    controls.finish();
    host.stop();
}

#[test]
fn stopped_from_another_thread_it_ends_without_a_word() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut half = Client::connect(host.addr);
    half.write(b"GET / HT");
    controls.await_pings(1);
    host.remote.stop();
    for control in controls.wait_for_end() {
        assert_eq!(control.close, None, "no close frame");
        assert!(control.end.is_some());
    }
    let stats = host.wait_for_end();
    assert_eq!(stats.classes[1].closed[Cause::SHUTDOWN.index()], 50);
    assert!(Host::refuses(host.addr), "the listener is gone");
}

#[test]
fn drained_from_another_thread_it_closes_all_and_ends() {
    let mut config = config();
    config.classes[1].policy.close_timeout = Micros::from_secs(20);
    let host = Host::start_with(config, 10_000);
    let controls = Controls::start(host.addr);
    controls.await_pings(1);
    host.remote
        .drain(Micros::from_secs(1), Micros::from_secs(2));
    let response = Client::get(host.addr, "/healthz");
    let draining = "{\"status\":\"draining\"}";
    assert_eq!((response.status, &*response.body), (503, draining));
    for control in controls.wait_for_end() {
        let (code, reason, _) = control.close.expect("a close frame");
        assert_eq!((code, &*reason), (1012, "service restart"));
        assert_eq!(control.end, Some(Event::Eof));
    }
    let stats = host.wait_for_end();
    assert_eq!(stats.classes[1].closed[Cause::DRAINING.index()], 50);
    assert!(Host::refuses(host.addr), "the listener is gone");
}

// ---- sockets and the host's own loop ----

#[test]
fn two_listeners_share_a_port() {
    let first = listen(([127, 0, 0, 1], 0).into(), true).expect("a listener");
    let addr = first.local_addr().expect("an address");
    let error = listen(addr, false).expect_err("the port is taken");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let second = listen(addr, true).expect("the same port again");
    let hosts = [first, second].map(|l| Host::start_on(config(), 10_000, l));
    let controls = Controls::start(addr);
    let mut clients: Vec<_> = (0..100)
        .map(|i| Client::open(addr, &format!("/shared/{i}")))
        .collect();
    clients.iter_mut().for_each(|c| c.expect_echo("served"));
    controls.finish();
    drop(clients);
    let served = hosts.map(|h| h.stop().opened());
    assert_eq!(served.iter().sum::<u64>(), 150);
    assert!(served.iter().all(|n| *n > 0), "{served:?}");
}

#[test]
fn accepted_sockets_do_not_delay() {
    let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
    let same = listener.try_clone().expect("another descriptor of it");
    let (addr, _) = (same.local_addr().expect("an address"), ());
    let reactor = Reactor::new(config(), listener, 10, Nothing).expect("a reactor");
    // The reactor does not turn, so we remove one from its queue.
    let _client = Client::connect(addr);
    let (accepted, _) = eventually("somebody to accept", || same.accept().ok());
    assert!(accepted.nodelay().expect("TCP_NODELAY"));
    drop(reactor);
}

struct Nothing;

impl Handler for Nothing {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::refuse(Cause::BAD_REQUEST, 404, "nothing is here")
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
}

/// Runs a host's own loop over the reactor's descriptor, until `done`. Returns the number of turns.
fn turn_until(
    reactor: &mut Reactor<crate::sockets::Scribe>,
    mut done: impl FnMut(&mut Reactor<crate::sockets::Scribe>) -> bool,
) -> u64 {
    let mut poll = mio::Poll::new().expect("epoll");
    let fd = reactor.as_raw_fd();
    let mut source = mio::unix::SourceFd(&fd);
    poll.registry()
        .register(&mut source, mio::Token(0), mio::Interest::READABLE)
        .expect("registered");
    let mut events = mio::Events::with_capacity(8);
    let deadline = Instant::now() + PATIENCE;
    let mut turns = 0;
    while !done(reactor) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "not done within {PATIENCE:?} and {turns} turns"
        );
        let wait = reactor.next_due().map_or(left, |due| due.min(left));
        match poll.poll(&mut events, Some(wait)) {
            Err(e) if e.kind() != std::io::ErrorKind::Interrupted => panic!("{e}"),
            _ => {}
        }
        reactor.run_turn(Some(Duration::ZERO)).expect("a turn");
        turns += 1;
    }
    turns
}

#[test]
fn a_host_turns_the_loop_itself() {
    let (mut reactor, seen) = crate::sockets::turned(config());
    let addr = reactor.local_addr();
    let remote = reactor.remote();
    let clients = std::thread::spawn(move || {
        let controls = Controls::start(addr);
        let mut ghost = Client::open(addr, "/ghost");
        let mut client = Client::open(addr, "/guest");
        client.expect_echo("served");
        drop(client);
        controls.await_pings(2);
        let (pings, event) = ghost.next_mute();
        assert!(
            pings >= 1 && matches!(event, Event::Close(3008, _)),
            "{event:?}"
        );
        controls.finish();
        FINISHED.store(true, SeqCst);
        remote.wake();
    });
    static FINISHED: AtomicBool = AtomicBool::new(false);
    let turns = turn_until(&mut reactor, |_| FINISHED.load(SeqCst));
    clients.join().expect("all went well");
    assert_eq!(crate::sockets::guest(&seen(), "/ghost"), Some(Cause::STALE));
    assert_eq!(
        crate::sockets::guest(&seen(), "/guest"),
        Some(Cause::PEER_EOF)
    );
    let stats = reactor.engine().stats();
    let done = stats.pings + stats.pongs + stats.accepted * 4 + stats.messages_in;
    println!("host: {turns} turns for {done} things to do");
    assert!(
        turns < 20 * done + 1_000,
        "{turns} turns for {done} things: the loop did not sleep"
    );
    assert_eq!(turns, stats.turns, "each was asked for by the host");
}

/// Without control clients: their events would wake the host, but the leftover events must wake it.
#[test]
fn a_host_is_told_of_more_events_than_one_turn_takes() {
    /// A turn takes 1 024 events.
    const MANY: usize = 1_500;
    let quiet = pulsegate::Policy {
        heartbeat_interval: Micros::from_secs(1_000),
        connection_timeout: Micros::from_secs(3_000),
        ..policy()
    };
    let mut config = config();
    config.classes.iter_mut().for_each(|c| c.policy = quiet);
    let (mut reactor, _) = crate::sockets::turned(config);
    let addr = reactor.local_addr();
    static FINISHED: AtomicBool = AtomicBool::new(false);
    let remote = reactor.remote();
    let clients = std::thread::spawn(move || -> Vec<Client> {
        let open = |i| Client::open(addr, &format!("/mute/{i}"));
        let clients = (0..MANY).map(open).collect();
        FINISHED.store(true, SeqCst);
        remote.wake();
        clients
    });
    turn_until(&mut reactor, |_| FINISHED.load(SeqCst));
    let mut clients = clients.join().expect("all are open");
    for client in &mut clients {
        client.send_text("all at once");
    }
    turn_until(&mut reactor, |reactor| {
        reactor.engine().stats().messages_in == MANY as u64
    });
}
