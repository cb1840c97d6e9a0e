//! Exactly once and in order, both ways, over connections that are cut at random bytes.

use fastrand::Rng;
use pulsegate::Message;
use pulsegate::client::{ClientEvent, FakePulse};

use crate::rig::{Rig, options};

/// What both sides have sent, and how the session has done.
#[derive(Default)]
struct Run {
    up: Vec<Message>,
    down: Vec<Message>,
    cuts: u32,
}

fn message(rng: &mut Rng, n: usize) -> Message {
    let len = match rng.u8(0..10) {
        0 => rng.usize(0..40_000),
        _ => rng.usize(0..200),
    };
    let fill = "x".repeat(len);
    match rng.u8(0..4) {
        0 => Message::binary(format!("{n} {fill}").into_bytes()),
        1 => Message::text(format!("\u{1}{{\"rx\":{n}}}")),
        _ => Message::text(format!("{n} {fill}")),
    }
}

fn step(rig: &mut Rig, rng: &mut Rng, run: &mut Run) {
    for _ in 0..rng.usize(0..4) {
        let up = message(rng, run.up.len());
        let sent = rig.client(|clients, io, id| clients.send(io, id, up.clone()));
        if sent.is_ok() {
            run.up.push(up);
        }
        let down = message(rng, run.down.len());
        let sent = rig.serve(|gateway, io| match gateway.session() {
            Some(session) => gateway.send(io, session, down.clone()).is_ok(),
            None => false,
        });
        if sent {
            run.down.push(down);
        }
    }
    if rng.u8(0..3) == 0 && rig.nets.live() > 0 {
        run.cuts += 1;
        rig.nets.cut_after(rng.usize(0..3_000), rng.usize(0..3_000));
    } else if rng.u8(0..40) == 0 {
        run.cuts += 1;
        rig.nets.silence();
    }
    rig.advance(rng.u64(0..1_500));
}

fn check(rig: &mut Rig, run: &Run, seed: u64) {
    let received: Vec<Message> = rig
        .gateway()
        .received
        .iter()
        .map(|(_, m)| m.clone())
        .collect();
    assert_eq!(received.len(), run.up.len(), "seed {seed}");
    assert!(received == run.up, "seed {seed}: what the service received");
    let events = rig.events();
    let delivered: Vec<&Message> = events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Message(message) => Some(message),
            _ => None,
        })
        .collect();
    assert_eq!(delivered.len(), run.down.len(), "seed {seed}");
    assert!(
        delivered.iter().copied().eq(&run.down),
        "seed {seed}: what the client received"
    );
    let is_reset = |event: &ClientEvent| matches!(event, ClientEvent::Reset(_));
    assert!(!events.iter().any(is_reset), "seed {seed}: a reset");
}

#[test]
fn every_message_arrives_once_over_any_number_of_cuts() {
    let (mut cuts, mut resumes) = (0, 0);
    for seed in 0..12 {
        let mut rng = Rng::with_seed(seed);
        let mut options = options();
        options.seed = seed as u32;
        let mut gateway = FakePulse::new();
        // A hold that no wait for the next try outlives.
        gateway.hello.hold_ms = 600_000;
        let mut rig = Rig::new(options, gateway);
        rig.nets.set_latency(rng.u64(0..100));
        rig.advance(1_000);
        let mut run = Run::default();
        for _ in 0..150 {
            step(&mut rig, &mut rng, &mut run);
        }
        // The last connection is whole, and flapping has ended.
        rig.nets.cut_after(usize::MAX, usize::MAX);
        rig.advance(200_000);
        check(&mut rig, &run, seed);
        cuts += run.cuts;
        resumes += rig.gateway().resumes;
    }
    assert!(
        cuts > 100 && resumes > 100,
        "{cuts} cuts, {resumes} resumes"
    );
}
