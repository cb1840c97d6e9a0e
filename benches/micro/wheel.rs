//! The timer wheel alone: the cost of a deadline, with 1 000 to 1 000 000 of them.
//!
//! `insert` fills an empty wheel. `fire` empties a full one tick by tick. `cycle` is normal
//! operation: a full wheel goes through one interval, and each entry that fires is armed again for
//! an interval later.

use criterion::{
    BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use fastrand::Rng;
use pulsegate::engine::wheel::{TICK, Wheel};
use pulsegate::time::Micros;
use std::hint::black_box;

const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Deadlines are spread over this time.
const INTERVAL: Micros = Micros::from_secs(15);

fn wheel(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for n in SIZES {
        let dues = dues(n);
        group.throughput(Throughput::Elements(n.into()));
        group.bench_function(BenchmarkId::new("insert", n), |b| {
            b.iter_batched_ref(
                Wheel::new,
                |wheel| fill(wheel, &dues),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("fire", n), |b| {
            let full = || {
                let mut wheel = Wheel::new();
                fill(&mut wheel, &dues);
                wheel
            };
            b.iter_batched_ref(
                full,
                |wheel| {
                    assert_eq!(
                        interval(wheel, Micros::ZERO, |_, slot, _| _ = black_box(slot)),
                        n
                    );
                    assert_eq!(wheel.entries(), 0);
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("cycle", n), |b| {
            let (mut wheel, mut now) = (Wheel::new(), Micros::ZERO);
            fill(&mut wheel, &dues);
            b.iter(|| {
                let fired = interval(&mut wheel, now, |wheel, slot, at| {
                    wheel.arm(slot, at + INTERVAL);
                });
                assert_eq!(fired, n);
                now += INTERVAL;
            });
            assert_eq!(wheel.entries(), n as usize);
        });
    }
    group.finish();
}

/// Returns the deadline of each slot: spread evenly, in no order.
fn dues(n: u32) -> Vec<Micros> {
    let mut rng = Rng::with_seed(15);
    (0..n).map(|_| Micros(rng.u64(1..=INTERVAL.0))).collect()
}

fn fill(wheel: &mut Wheel, dues: &[Micros]) {
    for (slot, due) in (0..).zip(dues) {
        wheel.arm(slot, *due);
    }
}

/// Moves the wheel through one interval from `start`, tick by tick like the loop. Returns how many
/// entries fired.
fn interval(
    wheel: &mut Wheel,
    start: Micros,
    mut each: impl FnMut(&mut Wheel, u32, Micros),
) -> u32 {
    let (mut now, mut count) = (start, 0);
    while now < start + INTERVAL {
        now += TICK;
        while let Some((_, fired)) = wheel.next(now) {
            for slot in fired {
                each(wheel, slot, now);
                count += 1;
            }
        }
    }
    count
}

criterion_group!(benches, wheel);
criterion_main!(benches);
