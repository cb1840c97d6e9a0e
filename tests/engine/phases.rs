//! Connections of all phases: pings are spread, and silent peers are closed on time, never early.

use crate::bare::Bare;
use crate::frames::text;
use crate::nets::one_class;
use pulsegate::cause::Cause;
use pulsegate::engine::Config;
use pulsegate::engine::wheel::TICK;
use pulsegate::health::Policy;
use pulsegate::testing::upgrade_request;
use pulsegate::{ConnId, Micros};

#[test]
fn peers_that_come_together_are_pinged_apart_and_each_once_an_interval() {
    const CLIENTS: usize = 16_000;
    const INTERVAL: u64 = 15;
    let mut bare = Bare::new(Config::default());
    for _ in 0..CLIENTS {
        let id = bare.accept(false);
        let now = bare.now;
        bare.engine
            .on_bytes(id, upgrade_request("/").as_bytes(), now);
    }
    bare.turn();
    let (mut seconds, mut most) = ([0; INTERVAL as usize], 0);
    let mut before = bare.engine.stats().pings();
    while bare.now < Micros::from_secs(INTERVAL) {
        bare.now += TICK;
        bare.turn();
        let pings = bare.engine.stats().pings() - before;
        before += pings;
        most = most.max(pings);
        seconds[((bare.now.0 - 1) / 1_000_000) as usize] += pings;
    }
    assert_eq!(seconds.iter().sum::<u64>(), CLIENTS as u64);
    let share = CLIENTS as u64 / INTERVAL;
    for pings in seconds {
        assert!((share / 2..share * 3 / 2).contains(&pings), "{seconds:?}");
    }
    // Ten in a tick if they were spread evenly; sixteen neighbours share one, and some of those
    // groups meet.
    assert!(most <= 8 * 16, "{most} in one tick");
}

#[test]
fn ten_thousand_phases_are_closed_on_time_and_never_early() {
    let mut rng = fastrand::Rng::with_seed(2);
    let policy = Policy::default();
    let mut bare = Bare::new(Config {
        stale_closes_per_second: 0,
        ..one_class(policy)
    });
    let mut heard: Vec<(Micros, ConnId)> = Vec::new();
    // Each opens at its own microsecond; half of them send a last frame at another one.
    let mut plan: Vec<u64> = (0..10_000).map(|_| rng.u64(1..40_000_000)).collect();
    plan.sort_unstable();
    for at in plan.into_iter().map(Micros) {
        bare.sleep_until(at);
        let id = bare.accept(false);
        bare.engine
            .on_bytes(id, upgrade_request("/sink").as_bytes(), at);
        if rng.bool()
            && let Some(index) = (!heard.is_empty()).then(|| rng.usize(0..heard.len()))
        {
            let (last, early) = &mut heard[index];
            bare.engine.on_bytes(*early, &text("still here"), at);
            *last = at;
        }
        heard.push((at, id));
    }
    bare.sleep_until(Micros::from_secs(200));
    assert_eq!(bare.endings.len(), 10_000);
    let when: std::collections::HashMap<ConnId, Micros> = bare.endings.iter().copied().collect();
    let mut worst = Micros::ZERO;
    for (heard, id) in heard {
        let (due, closed) = (heard + policy.connection_timeout, when[&id]);
        assert!(closed >= due, "{id} {} µs early", due.0 - closed.0);
        assert!(closed - due <= TICK, "{id} {} µs late", (closed - due).0);
        worst = worst.max(closed - due);
    }
    assert!(
        worst.0 > 4_500,
        "phases of all kinds were there, up to {} µs late",
        worst.0
    );
    assert_eq!(bare.engine.stats().closed(Cause::STALE.index()), 10_000);
}
