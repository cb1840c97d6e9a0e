use super::*;
use crate::base::id::Class;
use crate::base::network_block::NetworkBlock;

/// A fleet whose heartbeats are counted in each second: accepted and dialled, answered and late.
struct Fleet {
    watch: FleetWatch,
    cohorts: Cohorts,
    lateness: Histogram,
    now: Micros,
}

impl Fleet {
    fn new() -> Self {
        Fleet {
            watch: FleetWatch::default(),
            cohorts: Cohorts::default(),
            lateness: Histogram::default(),
            now: Micros::from_secs(1_000),
        }
    }

    /// Lets a second pass. Late heartbeats of accepted connections come from `blocks` blocks.
    fn second(&mut self, accepted: [u64; 2], dialed: [u64; 2], blocks: u32) -> FleetView {
        for (role, [answered, late]) in [(Role::Server, accepted), (Role::Client, dialed)] {
            (0..answered).for_each(|_| self.watch.count_answer(role));
            (0..late).for_each(|_| self.watch.count_late(role));
        }
        for n in 0..blocks {
            let ip = std::net::Ipv4Addr::from_bits(n << 8).into();
            let which = self.cohorts.join(Class(0), NetworkBlock::of(ip), self.now);
            self.cohorts.on_late(which, n, self.now);
        }
        self.now += SECOND;
        assert!(self.watch.is_second_over(self.now));
        self.watch
            .end_second(&self.lateness, &self.cohorts, self.now);
        self.watch.view(self.now)
    }
}

#[test]
fn a_third_of_a_thousand_in_two_blocks_is_a_late_fleet() {
    for (answered, late, blocks, is_late) in [
        (690, 310, 2, true),
        (700, 300, 2, false),
        (690, 310, 1, false),
        (680, 310, 2, false),
        (0, 5_000, 3, true),
    ] {
        let view = Fleet::new().second([answered, late], [0, 0], blocks);
        assert_eq!(view.is_late, is_late, "{answered} {late} {blocks}");
        assert_eq!((view.judged, view.late), (answered + late, late));
    }
}

#[test]
fn the_latest_thousand_count_however_long_they_take() {
    let mut fleet = Fleet::new();
    for _ in 0..100 {
        assert!(!fleet.second([100, 0], [0, 0], 0).is_late);
    }
    assert_eq!(fleet.watch.view(fleet.now).judged, 1_000);
    let late = (1..20).find(|_| fleet.second([50, 50], [0, 0], 2).is_late);
    assert_eq!(late, Some(7), "more than 30 % of the latest thousand");
    let well = (1..20).find(|_| !fleet.second([100, 0], [0, 0], 0).is_late);
    assert_eq!(well, Some(4), "the oldest of them have gone");
}

#[test]
fn a_small_fleet_is_never_judged_and_nothing_grows() {
    let mut fleet = Fleet::new();
    for _ in 0..5_000 {
        assert!(!fleet.second([0, 1], [0, 0], 2).is_late);
    }
    assert_eq!(fleet.watch.seconds.len(), SECONDS_MAX);
    assert_eq!(fleet.watch.view(fleet.now).judged, SECONDS_MAX as u64);
}

#[test]
fn a_stall_excuses_late_heartbeats_for_five_seconds() {
    let mut fleet = Fleet::new();
    fleet.watch.on_stall(fleet.now);
    assert_eq!(fleet.watch.own_fault(fleet.now), Some(OwnFault::Stall));
    let view = fleet.second([0, 2_000], [0, 0], 2);
    assert_eq!(
        (view.is_late, view.own_fault),
        (false, Some(OwnFault::Stall))
    );
    let after = fleet.now + Micros::from_secs(4);
    assert_eq!(fleet.watch.own_fault(after), None);
}

#[test]
fn a_loop_that_is_behind_blames_itself() {
    let mut fleet = Fleet::new();
    (0..99).for_each(|_| fleet.lateness.record(200));
    fleet.lateness.record(140_000);
    let view = fleet.second([0, 2_000], [0, 0], 2);
    assert_eq!(
        (view.is_late, view.own_fault),
        (false, Some(OwnFault::Lateness))
    );
    // Only what is new counts; one in 200 is punctual enough.
    (0..199).for_each(|_| fleet.lateness.record(200));
    fleet.lateness.record(140_000);
    fleet.now += AFTER_FAULT;
    let view = fleet.second([0, 2_000], [0, 0], 2);
    assert_eq!((view.is_late, view.own_fault), (true, None));
}

#[test]
fn servers_that_do_not_answer_either_excuse_the_clients() {
    for (dialed, fault) in [
        ([14, 6], None),
        ([13, 7], Some(OwnFault::Upstreams)),
        ([9, 10], None),
    ] {
        let view = Fleet::new().second([500, 500], dialed, 2);
        assert_eq!(view.own_fault, fault, "{dialed:?}");
        assert_eq!(view.is_late, fault.is_none());
    }
    // Servers alone are what other alerts are for.
    assert_eq!(Fleet::new().second([1_000, 0], [0, 50], 0).own_fault, None);
}
