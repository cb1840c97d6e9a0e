//! The state machine of one connection: the cost of receiving a frame, a pong, and a whole
//! heartbeat.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pulsegate::health::{Health, HealthAction, Policy};
use pulsegate::time::Micros;
use std::hint::black_box;

/// The number of connections, used in turn: they fit into the first-level cache, so only the
/// instructions are measured.
const PEERS: usize = 256;

const RTT: Micros = Micros::from_millis(20);

fn health(c: &mut Criterion) {
    let policy = Policy::default();
    let mut group = c.benchmark_group("health");
    group.throughput(Throughput::Elements(PEERS as u64));

    group.bench_function("heard", |b| {
        let (mut peers, mut now) = (peers(&policy), Micros::ZERO);
        b.iter(|| {
            now += Micros(1);
            for peer in &mut peers {
                assert!(black_box(peer).on_heard(now).is_none());
            }
        });
    });

    group.bench_function("pong", |b| {
        let sent = Micros::from_secs(15);
        b.iter_batched_ref(
            || {
                let mut peers = peers(&policy);
                for peer in &mut peers {
                    assert!(matches!(
                        peer.on_due(&policy, sent),
                        HealthAction::Heartbeat { ping: true, .. }
                    ));
                    peer.on_ping_sent(&policy, sent, false);
                }
                peers
            },
            |peers| {
                for peer in peers {
                    let payload = black_box(peer.ping_payload());
                    assert_eq!(peer.on_pong(&payload, sent + RTT), Some(RTT));
                }
            },
            BatchSize::SmallInput,
        );
    });

    // A deadline, its ping, the pong after 20 ms, and the next deadline.
    group.bench_function("heartbeat", |b| {
        let (mut peers, mut now) = (peers(&policy), Micros::ZERO);
        b.iter(|| {
            now += policy.heartbeat_interval;
            for peer in &mut peers {
                assert!(matches!(
                    peer.on_due(&policy, now),
                    HealthAction::Heartbeat { ping: true, .. }
                ));
                let payload = black_box(peer.ping_payload());
                peer.on_ping_sent(&policy, now, false);
                assert!(peer.on_heard(now + RTT).is_none());
                assert_eq!(peer.on_pong(&payload, now + RTT), Some(RTT));
                black_box(peer.due(&policy));
            }
        });
    });
    group.finish();
}

fn peers(policy: &Policy) -> Vec<Health> {
    let peer = |seed| Health::new(policy, Micros::ZERO, seed as u64);
    (0..PEERS).map(peer).collect()
}

criterion_group!(benches, health);
criterion_main!(benches);
