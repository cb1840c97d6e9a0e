use super::*;
use std::net::{IpAddr, Ipv4Addr};

fn block(n: u32) -> NetworkBlock {
    NetworkBlock::of(IpAddr::V4(Ipv4Addr::from_bits(n << 8 | 7)))
}

const AT: Micros = Micros::from_secs(100);

fn join(cohorts: &mut Cohorts, n: u32) -> CohortRef {
    cohorts.join(Class(0), block(n), AT)
}

/// Makes eight peers late.
fn go_dark(cohorts: &mut Cohorts, which: CohortRef) -> Option<CohortNews> {
    (0..8).filter_map(|n| cohorts.on_late(which, n, AT)).last()
}

#[test]
fn connections_of_one_class_in_one_block_share_a_cohort() {
    let mut cohorts = Cohorts::default();
    let (a, b) = (join(&mut cohorts, 1), join(&mut cohorts, 1));
    let other_class = cohorts.join(Class(1), block(1), AT);
    let other_block = join(&mut cohorts, 2);
    assert!(a == b && a != other_class && a != other_block);
    assert_eq!(cohorts.view(a, AT).map(|view| view.connections), Some(2));
    cohorts.leave(a);
    let view = cohorts.view(b, AT).expect("a cohort");
    assert_eq!(
        (view.connections, view.class, view.block),
        (1, Class(0), block(1))
    );
    assert_eq!(cohorts.len(), 3);
    assert_eq!(cohorts.view(CohortRef::default(), AT), None);
}

#[test]
fn only_warm_cohorts_and_one_answer_of_sixteen_are_looked_at() {
    let mut cohorts = Cohorts::default();
    let (a, b) = (join(&mut cohorts, 1), join(&mut cohorts, 2));
    assert!(!cohorts.wants_answer(a, 17) && cohorts.wants_answer(a, 32));
    cohorts.on_late(a, 1, AT);
    assert!(cohorts.wants_answer(a, 17) && !cohorts.wants_answer(b, 17));
    for _ in 0..5 {
        assert_eq!(cohorts.on_answered(a, 17, AT), None);
    }
    assert!(!cohorts.wants_answer(a, 17), "it has cooled down");
    assert_eq!(cohorts.quiet_at(), None);
}

#[test]
fn an_alarm_is_told_with_the_cohort_when_it_begins_and_when_it_ends() {
    let mut cohorts = Cohorts::default();
    let which = join(&mut cohorts, 3);
    let (change, view) = go_dark(&mut cohorts, which).expect("an alarm");
    assert_eq!((change, view.block), (CohortChange::Alarmed, block(3)));
    assert_eq!((view.late_peers, view.alarmed_for), (8, Some(Micros::ZERO)));
    assert!(cohorts.alarmed() == 1);
    assert!(cohorts.expire(AT + Micros::from_secs(59)).is_empty());
    let ended = cohorts.expire(AT + Micros::from_secs(60));
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].0, ended[0].1.block),
        (CohortChange::Cleared, block(3))
    );
    assert_eq!((cohorts.alarmed(), cohorts.quiet_at()), (0, None));
    go_dark(&mut cohorts, which);
    assert_eq!(cohorts.acquit(AT).len(), 1);
    assert_eq!(cohorts.alarmed(), 0);
}

#[test]
fn the_blocks_with_late_heartbeats_are_counted_once_for_all_classes() {
    let mut cohorts = Cohorts::default();
    let blocks = [1, 2, 3].map(|n| join(&mut cohorts, n));
    let other_class = cohorts.join(Class(1), block(1), AT);
    for which in [blocks[0], other_class] {
        cohorts.on_late(which, 1, AT);
    }
    assert_eq!(cohorts.late_blocks_since(AT, 2), 1);
    cohorts.on_late(blocks[1], 1, AT);
    assert_eq!(cohorts.late_blocks_since(AT, 2), 2);
    assert_eq!(cohorts.late_blocks_since(AT + Micros::from_secs(1), 2), 0);
}

/// A flood of peers from ever new blocks displaces neither an alarm nor cohorts that are in use.
#[test]
fn new_cohorts_displace_empty_ones_and_never_an_alarm() {
    let mut cohorts = Cohorts::default();
    let busy: Vec<CohortRef> = (0..5).map(|_| join(&mut cohorts, 0)).collect();
    let dark = join(&mut cohorts, 1);
    go_dark(&mut cohorts, dark);
    let displaced = join(&mut cohorts, 2);
    for n in 3..40_000 {
        let which = join(&mut cohorts, n);
        assert_ne!(which, CohortRef::default());
        if n % 3 == 0 {
            cohorts.leave(which);
        }
    }
    assert_eq!(cohorts.len(), COHORTS_MAX);
    assert_eq!(
        cohorts.view(busy[0], AT).map(|view| view.connections),
        Some(5)
    );
    let view = cohorts.view(dark, AT).expect("it keeps its place");
    assert!(view.alarmed_for.is_some());
    // What its members do counts for no other cohort.
    assert_eq!(cohorts.view(displaced, AT), None);
    assert_eq!(cohorts.on_late(displaced, 1, AT), None);
    cohorts.leave(displaced);
    #[cfg(feature = "testing")]
    assert_eq!(cohorts.audit(), Ok(()));
}

/// A place is used again and again: a reference from long ago is still recognized.
#[test]
fn a_reference_does_not_become_valid_again() {
    let mut cohorts = Cohorts::default();
    let first = join(&mut cohorts, 0);
    let mut generations = 0;
    for n in 1..200_000 {
        let which = join(&mut cohorts, n);
        generations += u32::from(which.index() == first.index());
        assert!(n < 5_000 || cohorts.is_gone(first));
    }
    assert!(generations > 32, "{generations}");
    let again = join(&mut cohorts, 0);
    assert!(!cohorts.is_gone(again));
}

/// What was learned of gaps is the last to go of cohorts that have few connections.
#[test]
fn new_cohorts_displace_those_that_have_learned_nothing_first() {
    let mut cohorts = Cohorts::default();
    for n in 0..COHORTS_MAX as u32 {
        let which = join(&mut cohorts, n);
        if n % 2 == 0 {
            cohorts.cadence_mut(which);
        }
        cohorts.leave(which);
    }
    let learned = |cohorts: &Cohorts| {
        let entries = cohorts.entries.iter();
        entries.filter(|entry| entry.cadence.is_some()).count()
    };
    let before = learned(&cohorts);
    for n in 0..1_000 {
        join(&mut cohorts, 100_000 + n);
    }
    assert_eq!(
        (before, learned(&cohorts)),
        (COHORTS_MAX / 2, COHORTS_MAX / 2)
    );
}

#[test]
fn a_connection_has_no_cohort_if_all_that_may_make_room_have_an_alarm() {
    let mut cohorts = Cohorts::default();
    for n in 0..COHORTS_MAX as u32 {
        let which = join(&mut cohorts, n);
        assert!(go_dark(&mut cohorts, which).is_some());
    }
    assert_eq!(cohorts.alarmed(), COHORTS_MAX);
    assert_eq!(join(&mut cohorts, 9_999), CohortRef::default());
    assert_eq!(
        cohorts.expire(AT + Micros::from_secs(99)).len(),
        COHORTS_MAX
    );
    assert_ne!(join(&mut cohorts, 9_999), CohortRef::default());
}
