//! A healthy fleet.

use super::super::alerting::Evaluator;
use super::super::sample::Counters;
use super::fleet_harness::{FleetHarness, classes};
use crate::base::cause::Cause;

/// A day of everything that is normal in a healthy fleet, behind one proxy's block: no alert.
#[test]
fn a_healthy_day_is_silent() {
    let mut random = fastrand::Rng::with_seed(6);
    for most in [3, 20, 60, 300, 2_000, 18_000] {
        let mut fleet = FleetHarness::new();
        fleet.evaluator = Evaluator::default();
        *fleet.counters() = Counters::zero(classes());
        let (evaluations, mut lost) = (6 * 60 * 24, 0.0);
        for nth in 0..evaluations {
            // From 22:00 to 06:00 a third of them is connected; all connect within the first
            // minutes.
            let hour = nth as f64 / 360.0;
            let share = if hour < 16.0 { 1.0 } else { 0.33 };
            let wanted = (most as f64 * share) as u64;
            for class in 0..2 {
                let live = fleet.counters().live[class];
                let pace = (most / 30).max(1);
                let (come, leave) = (
                    wanted.saturating_sub(live).min(pace),
                    live.saturating_sub(wanted).min(pace / 10 + 1),
                );
                // One in fifty leaves and comes back each minute; one in two hundred is lost.
                let churn = live / 300;
                lost += live as f64 / 1_200.0 * random.f64() * 2.0;
                let losses = (lost as u64).min(live - leave);
                lost -= losses as f64;
                fleet.lose(class, losses, 1, Cause::STALE);
                let counters = fleet.counters();
                counters.live[class] = counters.live[class] + come + losses - leave;
                counters.opened[class] += come + churn + losses;
                counters.ended[class] += leave + churn;
                counters.suspects[class] = counters.live[class] * random.u64(0..4) / 100;
                let pongs = counters.live[class];
                for _ in 0..pongs.min(200) {
                    let slow = random.u32(0..200) == 0;
                    let us = if slow { 6_000_000 } else { 80_000 };
                    counters.rtt.record(us);
                }
            }
            fleet.evaluate();
        }
        assert_eq!(fleet.reports, [], "{most}");
    }
}
