//! A burst leaves no memory behind. Buffers belong to the loop, so when all connections are quiet
//! again the process is as large as before.

use crate::sockets::{Client, Event, Gateway, PATIENCE, eventually, frame, upgrade};
use pulsegate::wire::frame::BINARY;
use std::time::{Duration, Instant};

/// Connections that stay; each sends a message in every cycle.
const CONNECTIONS: usize = 10_000;
/// Concurrent handshakes, in every cycle.
const HANDSHAKES: usize = 2_000;
const MESSAGE: usize = 64 * 1024;
const CYCLES: usize = 5;
/// The limit, relative to the memory before the first burst. What the allocator keeps varies by
/// some MB with the order in which memory is freed; it does not add up over the cycles.
const MOST: f64 = 1.4;

/// Returns the anonymous memory of the process (heap and stacks, no program text), in bytes.
fn anonymous(gateway: &Gateway) -> u64 {
    let rollup = format!("/proc/{}/smaps_rollup", gateway.pid());
    let text = std::fs::read_to_string(rollup).expect("smaps_rollup");
    let line = text.lines().find_map(|l| l.strip_prefix("Anonymous:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
    kib.and_then(|n| n.parse::<u64>().ok()).expect("a number") * 1024
}

/// Sends the first half of a message on all connections before any second half, so that all are in
/// the middle of a message at once: `in_the_middle` is called then. The answer to the ping after it
/// shows that each message was read to its end.
fn messages(clients: &mut [Client], in_the_middle: impl FnOnce()) {
    let message = frame(BINARY, &vec![0x55; MESSAGE]);
    let (first, second) = message.split_at(MESSAGE / 2);
    clients.iter_mut().for_each(|c| c.write(first));
    in_the_middle();
    for client in clients {
        client.write(second);
        client.send_text(r#"{"type":"ping"}"#);
        let answer = client.next_answering();
        assert!(
            matches!(&answer, Event::Text(text) if text.contains("pong")),
            "{answer:?}"
        );
    }
}

/// Sends requests in pieces on all connections at once. Half of the connections complete their
/// request; the others close before that.
fn handshakes(gateway: &Gateway) {
    let request = |i| upgrade(&format!("/glasses-ws?user=late-{i}&{}", "x".repeat(4_000)));
    let mut clients: Vec<_> = (0..HANDSHAKES)
        .map(|i| (Client::connect(gateway.addr), request(i)))
        .collect();
    for piece in [0..1_000, 1_000..3_000] {
        for (client, request) in &mut clients {
            client.write(&request.as_bytes()[piece.clone()]);
        }
    }
    for (client, request) in &mut clients[..HANDSHAKES / 2] {
        client.write(&request.as_bytes()[3_000..]);
        client.switched();
    }
}

/// Fills the record of the last 10 000 ended connections, which is kept on purpose, before anything
/// is measured.
fn remember(gateway: &Gateway) {
    const REMEMBERED: u64 = 10_000;
    let remembered = || gateway.api("/api/v1/closed?limit=1")["remembered"].as_u64();
    for i in 0..REMEMBERED {
        drop(Client::open(
            gateway.addr,
            &format!("/glasses-ws?user=gone-{i}"),
        ));
    }
    eventually("10 000 are remembered", || {
        (remembered() == Some(REMEMBERED)).then_some(())
    });
}

#[test]
fn a_burst_leaves_nothing_behind() {
    let room = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of descriptors");
    assert!(
        room > 13_000,
        "13 000 descriptors are needed: ulimit -n says {room}"
    );
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "600000"),
        ("CONNECTION_TIMEOUT_MS", "3600000"),
        ("HANDSHAKE_TIMEOUT_MS", "60000"),
    ]);
    let mut clients: Vec<_> = (0..CONNECTIONS)
        .map(|i| Client::open(gateway.addr, &format!("/glasses-ws?user={i}")))
        .collect();
    // Tables grow to the most entries that existed at once, and stay. Connections that end late
    // overlap with the next ones.
    drop(
        (0..2 * HANDSHAKES)
            .map(|_| Client::connect(gateway.addr))
            .collect::<Vec<_>>(),
    );
    remember(&gateway);
    let before = anonymous(&gateway);
    for cycle in 1..=CYCLES {
        let mut peak = 0;
        messages(&mut clients, || {
            eventually("the halves of the messages in memory", || {
                peak = anonymous(&gateway);
                (peak > 2 * before).then_some(())
            });
        });
        handshakes(&gateway);
        let limit = (before as f64 * MOST) as u64;
        let deadline = Instant::now() + PATIENCE;
        let after = loop {
            let now = anonymous(&gateway);
            if now <= limit || Instant::now() > deadline {
                break now;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        println!("cycle {cycle}: {before} B before, {peak} B in its middle, {after} B when quiet");
        assert!(
            after <= limit,
            "cycle {cycle}: {before} B before, {after} B after"
        );
    }
    gateway.end();
}
