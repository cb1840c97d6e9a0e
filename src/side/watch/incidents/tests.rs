//! The counts of ends and of identities, on a virtual clock.

use super::ended_traits::EndedTraits;
use super::returns::{IdentityCounts, IdentityOpening, Returns};
use super::space_saving::{COUNTERS_MAX, SpaceSaving};
use super::trait_value::{Dimension, TraitValue};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::engine::Ending;
use crate::gateway::{Classes, ClosedConn, RELAY_CLASSES};

const S: fn(u64) -> Micros = Micros::from_secs;

/// A moment of a gateway that has run for a while.
const START: Micros = Micros::from_secs(10_000);

fn classes() -> Classes {
    Classes::new(RELAY_CLASSES)
}

/// Returns the record of a lost connection that had been silent for a second.
fn lost(user: Option<&str>, at: Micros, n: u32, address: [u8; 4]) -> ClosedConn {
    ClosedConn {
        at: Timestamp {
            raw: at,
            wall: UnixMillis::default(),
        },
        id: ConnId::new(n, 1),
        generated: false,
        user: user.map(Box::from),
        package: None,
        address: None,
        user_agent: None,
        target: None,
        partner: None,
        end: Ending {
            peer_addr: (address, 4_242).into(),
            age: S(100),
            silence: S(40),
            unanswered: 2,
            ..Ending::sample(Cause::STALE)
        },
        history: None,
        session: None,
        judged: None,
        report: None,
    }
}

fn opening(user: Option<&str>, n: u32) -> IdentityOpening<'_> {
    IdentityOpening {
        id: ConnId::new(n, 2),
        user,
        package: None,
        address: Some([10, 0, 0, 9].into()),
    }
}

#[test]
fn a_frequent_value_is_counted_among_any_number_of_others() {
    let mut counters = SpaceSaving::default();
    for n in 0..30_000_u32 {
        // One in ten is the same; the others occur once.
        counters.count(if n % 10 == 0 { 0 } else { n });
    }
    assert_eq!(counters.len(), COUNTERS_MAX);
    let frequent = counters.least().find(|(value, _)| **value == 0);
    let count = frequent.expect("it is among them").1;
    assert!((2_500..=3_000).contains(&count), "{count}");
    let mut others = counters.least().filter(|(value, _)| **value != 0);
    assert!(others.all(|(_, count)| count == 1), "never too many");
}

#[test]
fn few_values_are_counted_exactly() {
    let mut counters = SpaceSaving::default();
    (0..6_400_usize).for_each(|n| counters.count(n % COUNTERS_MAX));
    assert!(counters.least().all(|(_, count)| count == 100));
    assert_eq!(counters.least().count(), COUNTERS_MAX);
}

#[test]
fn memory_is_bounded_however_many_end_and_however_long() {
    let mut traits = EndedTraits::new(classes());
    for minute in 0..500_u64 {
        for n in 0..200_u32 {
            let [.., c, d] = n.to_be_bytes();
            let at = START + S(60 * minute);
            traits.record([&lost(None, at, n, [10, c, d, minute as u8])]);
        }
    }
    let most = 120 * Dimension::ALL.len() * COUNTERS_MAX;
    assert!(traits.counters() <= most, "{}", traits.counters());
    assert!(
        traits.counters() >= 120 * COUNTERS_MAX,
        "two hours of blocks"
    );
}

#[test]
fn causes_are_compared_with_the_hour_before() {
    let mut traits = EndedTraits::new(classes());
    let minute = |n: u64| START.as_secs() / 60 + n;
    let mut record = lost(None, START, 1, [10, 0, 0, 1]);
    for n in 0..60 {
        record.at.raw = START + S(60 * n);
        record.end.cause = if n % 4 == 0 {
            Cause::STALE
        } else {
            Cause::PEER_EOF
        };
        traits.record([&record]);
    }
    record.at.raw = START + S(60 * 60);
    record.end.cause = Cause::STALE;
    (0..10).for_each(|_| traits.record([&record]));
    let summary = traits.summary(minute(60)..=minute(60), None);
    assert_eq!(summary.ended, 10);
    let of = |value| summary.traits.iter().find(|common| common.value == value);
    let stale = of(TraitValue::Cause(Cause::STALE)).expect("all ended so");
    assert_eq!(
        (stale.share, stale.before, stale.living),
        (1.0, Some(0.25), None)
    );
    // Upstream legs, and what never was a WebSocket, are no clients.
    record.end.class = None;
    traits.record([&record]);
    assert_eq!(traits.summary(minute(60)..=minute(60), None).ended, 10);
}

#[test]
fn lost_identities_return_soon_or_later_or_are_missing() {
    let mut returns = Returns::new(classes());
    let records =
        ["ada", "bob", "cyd", "dan"].map(|user| lost(Some(user), START, 1, [10, 0, 0, 1]));
    returns.record_ends(&records);
    // One that is lost twice was lost once.
    returns.record_ends(&records[..1]);
    returns.record_opening(opening(Some("ada"), 5), START + S(60));
    returns.record_opening(opening(Some("bob"), 6), START + S(61));
    returns.record_opening(opening(Some("eve"), 7), START + S(61));
    let wanted = IdentityCounts {
        affected: 4,
        returned_within_minute: 1,
        returned_later: 1,
    };
    let minute = START.as_secs() / 60;
    assert_eq!(returns.lost_in(&(minute..=minute)), wanted);
    assert_eq!(returns.totals(), wanted);
    assert_eq!(returns.missing(START + S(120)), 2);
    // An hour later they are not looked for any more; the totals stay.
    assert_eq!(returns.missing(START + S(3_601)), 0);
    assert_eq!(returns.totals(), wanted);
}

#[test]
fn a_client_that_came_back_before_its_loss_was_noticed_is_back() {
    let mut returns = Returns::new(classes());
    // Its dead connection was last heard 40 s before the end; it opened a new one 30 s before it.
    returns.record_opening(opening(Some("ada"), 5), START - S(30));
    // This one opened before that, and no new one since.
    returns.record_opening(opening(Some("bob"), 6), START - S(50));
    // The opening of the lost connection is no return.
    returns.record_opening(opening(Some("cyd"), 7), START - S(10));
    let mut records = ["ada", "bob", "cyd"].map(|user| lost(Some(user), START, 1, [10, 0, 0, 1]));
    records[2].id = ConnId::new(7, 2);
    returns.record_ends(&records);
    let counts = returns.totals();
    assert_eq!((counts.affected, counts.returned_within_minute), (3, 1));
    assert_eq!(returns.missing(START), 2);
}

#[test]
fn the_opening_of_the_lost_connection_is_no_return_when_it_is_told_late() {
    let mut returns = Returns::new(classes());
    let record = lost(Some("ada"), START, 1, [10, 0, 0, 1]);
    returns.record_ends([&record]);
    let late = IdentityOpening {
        id: record.id,
        ..opening(Some("ada"), 5)
    };
    returns.record_opening(late, START + S(1));
    assert_eq!(returns.missing(START + S(1)), 1);
    returns.record_opening(opening(Some("ada"), 6), START + S(2));
    assert_eq!(returns.missing(START + S(2)), 0);
    assert_eq!(returns.totals().returned_within_minute, 1);
}

#[test]
fn without_a_name_an_address_counts() {
    let mut returns = Returns::new(classes());
    returns.record_ends(&[
        lost(None, START, 1, [10, 0, 0, 9]),
        lost(None, START, 2, [10, 0, 0, 8]),
    ]);
    returns.record_opening(opening(None, 5), START + S(1));
    let counts = returns.totals();
    assert_eq!((counts.affected, counts.returned_within_minute), (2, 1));
}
