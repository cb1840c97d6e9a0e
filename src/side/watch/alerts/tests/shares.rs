//! Rules about shares of a class: suspects, stale closes, round trips, storms.

use super::super::book::AlertState::Resolved;
use super::bench::{Bench, labels};

#[test]
fn suspects_of_a_class() {
    let mut bench = Bench::new();
    bench.counters().suspects = vec![99, 99];
    bench.looks(100);
    bench.told(&[]);
    bench.counters().suspects[0] = 100;
    bench.looks(12);
    bench.told(&[]);
    bench.look();
    let alert = bench.fires("many_suspects");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        "10.0 % of glasses are suspect, 100 of 1000 (threshold 10 %)"
    );
    // Up and down between the bounds.
    for n in [99, 101, 80, 150, 81, 99, 100] {
        bench.counters().suspects[0] = n;
        bench.looks(10);
    }
    bench.told(&[]);
    bench.counters().suspects[0] = 79;
    bench.looks(6);
    bench.told(&[]);
    bench.resolves("many_suspects");
}

#[test]
fn a_value_at_the_threshold_does_not_flap() {
    let mut bench = Bench::new();
    for n in 0..1_000 {
        bench.counters().suspects[0] = if n % 2 == 0 { 101 } else { 99 };
        bench.look();
    }
    bench.told(&[]);
    bench.counters().suspects[0] = 101;
    bench.looks(20);
    bench.fires("many_suspects");
    for n in 0..1_000 {
        bench.counters().suspects[0] = if n % 2 == 0 { 101 } else { 60 };
        bench.look();
    }
    bench.told(&[]);
}

#[test]
fn a_handful_of_connections_has_no_share() {
    let mut bench = Bench::new();
    let counters = bench.counters();
    (counters.live[1], counters.suspects[1]) = (49, 49);
    bench.looks(100);
    bench.told(&[]);
}

#[test]
fn a_class_that_is_sent_away_is_not_judged() {
    let mut bench = Bench::new();
    bench.counters().draining = vec![true; 2];
    bench.counters().suspects[0] = 900;
    bench.looks(100);
    bench.told(&[]);
}

#[test]
fn stale_closes() {
    // One after the other, from everywhere: no mass death.
    let trickle = |n: u64| {
        move |bench: &mut Bench| {
            bench.counters().stale[1] += n;
            bench.counters().ended[1] += n;
        }
    };
    let mut bench = Bench::new();
    bench.looks_with(100, trickle(8));
    bench.told(&[]);
    bench.looks_with(30, trickle(9));
    let alert = bench.fires("stale_closes");
    assert_eq!(alert.labels, labels([("class", "app")]));
    assert!(alert.summary.starts_with("5"), "{}", alert.summary);
    bench.resolves("stale_closes");
    // The share is high, but there are few.
    bench.counters().live[1] = 100;
    bench.looks(10);
    bench.looks_with(100, trickle(8));
    bench.told(&[]);
}

#[test]
fn round_trips() {
    let mut bench = Bench::new();
    let pongs = |slow: u64, us: u64| {
        move |bench: &mut Bench| {
            for _ in 0..1_000 - slow {
                bench.counters().rtt.record(50_000);
            }
            for _ in 0..slow {
                bench.counters().rtt.record(us);
            }
        }
    };
    bench.looks_with(100, pongs(9, 20_000_000));
    bench.looks_with(100, pongs(20, 4_000_000));
    bench.told(&[]);
    bench.looks_with(30, pongs(20, 6_000_000));
    bench.told(&[]);
    bench.looks_with(10, pongs(20, 6_000_000));
    let alert = bench.fires("rtt_high");
    assert!(alert.value >= 5_000.0 && alert.threshold == 5_000.0);
    bench.looks_with(30, pongs(0, 0));
    bench.told(&[("rtt_high", Resolved)]);
    // Slow round trips, but hardly any.
    bench.looks_with(100, |bench| bench.counters().rtt.record(60_000_000));
    bench.told(&[]);
}

#[test]
fn a_storm_counts_arrivals_and_departures() {
    let mut bench = Bench::new();
    let churn = |n: u64| {
        move |bench: &mut Bench| {
            bench.counters().opened[0] += n;
            bench.counters().ended[0] += n;
        }
    };
    bench.looks_with(100, churn(83));
    bench.told(&[]);
    bench.looks_with(18, churn(84));
    bench.told(&[]);
    bench.looks_with(10, churn(84));
    let alert = bench.fires("reconnect_storm");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    bench.resolves("reconnect_storm");
    // A fleet that only connects is not a storm, however fast.
    for _ in 0..40 {
        let more = bench.counters().live[0] / 5;
        bench.counters().opened[0] += more;
        bench.counters().live[0] += more;
        bench.look();
    }
    bench.told(&[]);
}
