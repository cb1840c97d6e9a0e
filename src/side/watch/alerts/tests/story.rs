//! One trouble is one alert: the exact list of posts for each of some troubles, from before it
//! until everything that counts it is over.

use super::super::super::verdicts::VerdictGrowth;
use super::super::alert_table::AlertState::{Firing, Resolved};
use super::fleet_harness::FleetHarness;
use super::upstreams;
use crate::base::cause::Cause;
use crate::gateway::{EndVerdict, UpstreamCondition};

/// Sets how many connections of a class ended with a verdict, in the last 10 minutes and before.
pub(super) fn ended(
    fleet: &mut FleetHarness,
    class: usize,
    verdict: EndVerdict,
    [recent, before]: [u64; 2],
) {
    fleet.sample.verdicts = vec![VerdictGrowth {
        class,
        verdict,
        recent,
        before,
        before_minutes: 60,
    }];
}

/// Lets the clients of a class come back at once: as many are opened as ended.
pub(super) fn come_back(fleet: &mut FleetHarness, class: usize, many: u64) {
    let counters = fleet.counters();
    counters.live[class] += many;
    counters.opened[class] += many;
}

/// Lets half an hour pass; the ends with the verdict leave the last 10 minutes meanwhile.
pub(super) fn pass(fleet: &mut FleetHarness, class: usize, verdict: EndVerdict, many: u64) {
    fleet.evaluate_times(59);
    ended(fleet, class, verdict, [0, many]);
    fleet.evaluate_times(120);
}

#[test]
fn a_block_goes_dark() {
    let mut fleet = FleetHarness::new();
    // First its connections do not answer, then they are stale, a third each time.
    fleet.counters().suspects[0] = 300;
    fleet.evaluate_times(3);
    for third in 1..=3 {
        fleet.lose(0, 100, 7, Cause::STALE);
        fleet.counters().suspects[0] -= 100;
        ended(&mut fleet, 0, EndVerdict::NetworkLost, [100 * third, 0]);
        fleet.evaluate();
    }
    come_back(&mut fleet, 0, 300);
    pass(&mut fleet, 0, EndVerdict::NetworkLost, 300);
    fleet.expect_reports(&[("mass_death", Firing), ("mass_death", Resolved)]);
}

#[test]
fn a_service_is_killed() {
    let mut fleet = upstreams::fleet();
    // All of its connections end at once, and with them those of its clients.
    fleet.sample.upstreams[0].state = UpstreamCondition::Avoided;
    fleet.sample.upstreams[0].pairs = 0;
    fleet.lose(2, 500, 7, Cause::PEER_RESET);
    ended(&mut fleet, 2, EndVerdict::UpstreamLost, [500, 0]);
    fleet.evaluate_times(2);
    come_back(&mut fleet, 2, 500);
    fleet.evaluate_times(4);
    fleet.sample.upstreams[0].state = UpstreamCondition::Up;
    fleet.sample.upstreams[0].pairs = 500;
    pass(&mut fleet, 2, EndVerdict::UpstreamLost, 500);
    fleet.expect_reports(&[("upstream_down", Firing), ("upstream_down", Resolved)]);
}

#[test]
fn a_service_freezes() {
    let mut fleet = upstreams::fleet();
    fleet.sample.upstreams[0].suspects = 500;
    fleet.counters().suspects[3] = 500;
    fleet.evaluate_times(6);
    // Its health checks fail, too, and the gateway gives its connections up, bit by bit.
    fleet.sample.upstreams[0].is_frozen = true;
    fleet.sample.upstreams[0].state = UpstreamCondition::Unhealthy;
    for tenth in 1..=10 {
        fleet.lose(2, 50, tenth as u8, Cause::PEER_RESET);
        fleet.counters().suspects[3] -= 50;
        fleet.counters().stale[3] += 50;
        ended(&mut fleet, 2, EndVerdict::UpstreamLost, [50 * tenth, 0]);
        fleet.evaluate();
    }
    come_back(&mut fleet, 2, 500);
    let row = &mut fleet.sample.upstreams[0];
    (row.suspects, row.is_frozen, row.state) = (0, false, UpstreamCondition::Up);
    pass(&mut fleet, 2, EndVerdict::UpstreamLost, 500);
    fleet.expect_reports(&[
        ("upstream_unresponsive", Firing),
        ("upstream_unresponsive", Resolved),
    ]);
}

#[test]
fn the_gateway_stalls() {
    let mut fleet = upstreams::fleet();
    // Clients give up, upstreams do not answer in time, and all of them come back at once.
    fleet.counters().stalls += 1;
    fleet.sample.upstreams[0].suspects = 400;
    fleet.counters().suspects = vec![0, 0, 400, 400];
    fleet.lose(2, 400, 7, Cause::PEER_EOF);
    ended(&mut fleet, 2, EndVerdict::GatewayStall, [400, 0]);
    fleet.evaluate();
    fleet.sample.upstreams[0].suspects = 0;
    fleet.counters().suspects = vec![0, 0, 0, 0];
    come_back(&mut fleet, 2, 400);
    pass(&mut fleet, 2, EndVerdict::GatewayStall, 400);
    fleet.expect_reports(&[("loop_stalls", Firing), ("loop_stalls", Resolved)]);
}

#[test]
fn a_rolling_deploy() {
    let mut fleet = FleetHarness::new();
    // This gateway drains: all of its connections are closed, and opened elsewhere.
    fleet.counters().draining = vec![true, true];
    for _ in 0..10 {
        for class in [0, 1] {
            let counters = fleet.counters();
            counters.live[class] -= 90;
            counters.ended[class] += 90;
            // Some do not wait for the close frame.
            fleet.lose(class, 10, 7, Cause::PEER_EOF);
        }
        ended(&mut fleet, 0, EndVerdict::PeerLeft, [500, 0]);
        fleet.evaluate();
    }
    fleet.expect_reports(&[]);
    // Its successor starts, and all of them come.
    let mut fleet = FleetHarness::of(super::super::sample::Counters::zero(
        super::fleet_harness::classes(),
    ));
    for _ in 0..10 {
        come_back(&mut fleet, 0, 100);
        come_back(&mut fleet, 1, 100);
        fleet.evaluate();
    }
    pass(&mut fleet, 0, EndVerdict::GatewayAction, 1_000);
    fleet.expect_reports(&[]);
}

#[test]
fn what_would_explain_an_alert_is_waited_for_and_only_that_long() {
    // An upstream that is down for less than ten seconds explains nothing.
    let mut fleet = upstreams::fleet();
    fleet.sample.upstreams[0].state = UpstreamCondition::Avoided;
    ended(&mut fleet, 2, EndVerdict::Outage, [100, 0]);
    fleet.evaluate();
    fleet.expect_reports(&[]);
    fleet.sample.upstreams[0].state = UpstreamCondition::Up;
    fleet.evaluate();
    fleet.expect_reports(&[("verdict_jump", Firing)]);
}
