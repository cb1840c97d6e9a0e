//! What is forwarded on real sockets: bytes as they came, at any speed.

use super::rows::listeners;
use crate::dial_host::{DialHost, config};
use crate::folder::Folder;
use crate::sockets::{Client, Event, Listener, Server, frame, policy, server_frame};
use pulsegate::engine::LinkRules;
use pulsegate::wire::frame::{FIN, write_frame};
use pulsegate::{ClassConfig, Config, Micros, Policy};
use std::time::Duration;

/// Returns a configuration without pings, which would stand between the forwarded bytes.
fn without_pings() -> Config {
    let quiet = Policy {
        heartbeat_interval: Micros::from_secs(1_000),
        connection_timeout: Micros::from_secs(3_000),
        ..policy()
    };
    let class = |name: &str| ClassConfig {
        name: name.to_owned(),
        policy: quiet,
    };
    Config {
        classes: vec![class("client"), class("server")],
        ..config()
    }
}

/// Returns about this many bytes of frames of all lengths: whole messages, fragments, pings and
/// pongs between them.
fn random_frames(seed: u64, bytes: usize, is_client: bool) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut all = Vec::new();
    let mut is_begun = false;
    while all.len() < bytes || is_begun {
        let len = match rng.u8(..10) {
            0 => 0,
            1..=5 => rng.usize(..200),
            6..=7 => rng.usize(..5_000),
            8 => rng.usize(60_000..70_000),
            _ => rng.usize(..300_000),
        };
        let is_last = rng.bool() || all.len() > bytes;
        let opcode = if is_begun { 0 } else { 2 };
        let mut push = |first, len| {
            let payload: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            let mask = is_client.then(|| [rng.u8(..), rng.u8(..), rng.u8(..), rng.u8(..)]);
            write_frame(&mut all, first, &payload, mask);
        };
        push(opcode | if is_last { FIN } else { 0 }, len);
        is_begun = !is_last;
        if len % 3 == 0 {
            push(FIN | 9, len % 126);
            push(FIN | 10, len % 100);
        }
    }
    all
}

/// Writes all of these bytes in pieces of random lengths.
fn write_in_pieces(bytes: &[u8], seed: u64, mut write: impl FnMut(&[u8])) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rng.usize(1..=rest.len().min(100_000)));
        write(piece);
        rest = behind;
    }
}

/// Reads as many bytes as are expected, in pieces, slowly if `slow`, and compares them.
fn read_and_compare(expected: &[u8], slow: bool, mut read: impl FnMut(usize) -> Vec<u8>) {
    let mut at = 0;
    while at < expected.len() {
        let piece = read((expected.len() - at).min(40_000));
        assert!(!piece.is_empty(), "the end after {at} bytes");
        assert!(expected[at..].starts_with(&piece), "other bytes after {at}");
        at += piece.len();
        if slow {
            // This paces the test; nothing depends on how long it is.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn the_bytes_of_both_sides_arrive_as_they_were_sent() {
    const BYTES: usize = 3_000_000;
    let folder = Folder::named("bytes");
    for upstream in listeners(&folder) {
        let host = DialHost::start_with(
            without_pings(),
            Some(upstream.address()),
            LinkRules::default(),
        );
        for (seed, slow_client, slow_server) in [
            (1, false, false),
            (2, true, false),
            (3, false, true),
            (4, true, true),
        ] {
            let (mut client, mut server) = host.pair(&upstream);
            let up = random_frames(seed, BYTES, true);
            let down = random_frames(seed + 100, BYTES, false);
            let (mut client_writes, mut server_writes) = (client.writer(), server.writer());
            std::thread::scope(|scope| {
                scope.spawn(|| write_in_pieces(&up, seed, |piece| client_writes.write(piece)));
                scope.spawn(|| write_in_pieces(&down, seed, |piece| server_writes.write(piece)));
                scope.spawn(|| read_and_compare(&up, slow_server, |most| server.read_up_to(most)));
                scope
                    .spawn(|| read_and_compare(&down, slow_client, |most| client.read_up_to(most)));
            });
            host.await_io("a pair at rest", |io| {
                (io.stats().pending_bytes, io.stats().held_bytes) == (0, 0)
            });
        }
        host.stop();
    }
}

/// Returns whether reading from one of the two connections of a pair is paused.
fn is_paused(host: &DialHost, ids: (pulsegate::ConnId, pulsegate::ConnId)) -> bool {
    host.with_io(move |io| {
        let view = |id| io.view(id).is_some_and(|view| view.paused);
        view(ids.0) || view(ids.1)
    })
}

#[test]
fn a_slow_side_pauses_the_other_and_no_other_pair() {
    let folder = Folder::named("pause");
    for upstream in listeners(&folder) {
        let host = DialHost::in_front_of(&upstream);
        for slow_client in [true, false] {
            let (mut client, mut server) = host.pair(&upstream);
            let ids = host.last_pair();
            let (mut up, mut down) = (client.writer(), server.writer());
            let flood = std::thread::spawn(move || {
                for i in 0..400_u32 {
                    let payload = [&i.to_be_bytes()[..], &[7; 50_000]].concat();
                    match slow_client {
                        true => down.write(&server_frame(2, &payload)),
                        false => up.write(&frame(2, &payload)),
                    }
                }
            });
            crate::sockets::eventually("a pause", || is_paused(&host, ids).then_some(()));
            let pending = host.with_io(move |io| io.pending(ids.0).max(io.pending(ids.1)));
            assert!((1..300 << 10).contains(&pending), "{pending}");
            let (mut other, mut its_server) = host.pair(&upstream);
            for i in 0..100 {
                let text = format!("beside {i}");
                other.send_text(&text);
                assert_eq!(its_server.next_answering(), Event::Text(text.clone()));
                its_server.send_text(&text);
                assert_eq!(other.next_answering(), Event::Text(text));
            }
            for i in 0..400_u32 {
                let event = match slow_client {
                    true => client.next_answering(),
                    false => server.next_answering(),
                };
                let Event::Binary(payload) = event else {
                    panic!("{event:?}");
                };
                assert_eq!(payload[..4], i.to_be_bytes());
            }
            flood.join().expect("no panic");
            assert!(!is_paused(&host, ids));
        }
        host.stop();
    }
}

#[test]
fn pings_and_pongs_of_the_peers_pass_and_ours_do_not() {
    let upstream = Listener::tcp();
    let host = DialHost::in_front_of(&upstream);
    let (mut client, mut server) = host.pair(&upstream);
    let ours = |payload: &[u8]| payload.len() == 8;
    for round in 0..5_u8 {
        client.write(&frame(9, &[round; 3]));
        client.send_text("behind the ping");
        assert_eq!(next_but_ours(&mut server), Event::Ping(vec![round; 3]));
        let text = Event::Text("behind the ping".to_owned());
        assert_eq!(next_but_ours(&mut server), text);
        server.send_text("before the pong");
        server.write(&server_frame(10, &[round; 3]));
        let text = Event::Text("before the pong".to_owned());
        assert_eq!(next_of_client(&mut client, ours), text);
        assert_eq!(
            next_of_client(&mut client, ours),
            Event::Pong(vec![round; 3])
        );
    }
    // Ours are answered meanwhile, and their answers go no further.
    let before = host.stats().pongs();
    while host.stats().pongs() < before + 4 {
        client.send_text("on");
        assert_eq!(next_but_ours(&mut server), Event::Text("on".to_owned()));
        server.send_text("and on");
        let text = Event::Text("and on".to_owned());
        assert_eq!(next_of_client(&mut client, ours), text);
    }
    host.stop();
}

/// Returns the next event that is no heartbeat of ours, which is answered.
fn next_but_ours(server: &mut Server) -> Event {
    loop {
        match server.next() {
            Event::Ping(payload) if payload.len() == 8 => server.write(&server_frame(10, &payload)),
            event => return event,
        }
    }
}

/// Returns the next event that is no heartbeat of ours, which is answered.
fn next_of_client(client: &mut Client, is_ours: impl Fn(&[u8]) -> bool) -> Event {
    loop {
        match client.next() {
            Event::Ping(payload) if is_ours(&payload) => client.write(&frame(10, &payload)),
            event => return event,
        }
    }
}
