//! Many connections at once: storms, ghosts and floods.

use crate::seen::TIMEOUT;
use crate::sockets::{Client, Controls, Host, Seen, frame, upgrade};
use pulsegate::cause::{Cause, EndedBy};
use pulsegate::wire::frame::{BINARY, TEXT};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

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
                clients
                    .iter_mut()
                    .for_each(|client| drop(client.switched()));
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
