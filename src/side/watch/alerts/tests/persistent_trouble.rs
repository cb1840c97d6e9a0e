//! The alert about identities with persistent trouble: one post a day.

use super::super::super::troubled::{PersistentTrouble, RankedIdentity};
use super::super::alert_table::AlertEvent;
use super::super::alert_table::AlertState::{self, Firing, Resolved};
use super::fleet_harness::FleetHarness;
use crate::base::time::UnixMillis;

const DAY_EVALUATIONS: u64 = 24 * 60 * 6;

fn trouble(count: usize) -> PersistentTrouble {
    let ranked = |n: usize| RankedIdentity {
        user: format!("user-{n}").into(),
        package: (n == 1).then(|| "org.a".into()),
        address: (n == 2).then(|| [192, 0, 2, 7].into()),
        score: 20.0,
        pattern: String::new(),
        drops: 20,
        stale: 0,
        slow: 0,
        failed_resumes: 0,
        first_at: UnixMillis(0),
        last_at: UnixMillis(0),
    };
    PersistentTrouble {
        count,
        worst: (0..count.min(20)).map(ranked).collect(),
    }
}

/// Returns the states of all posts, and forgets them.
fn posts(fleet: &mut FleetHarness) -> Vec<AlertState> {
    fleet.reports.clear();
    let events = std::mem::take(&mut fleet.events).into_iter();
    events
        .map(|event| match event {
            AlertEvent::Changed(alert) | AlertEvent::Repeated(alert) => alert.state,
        })
        .collect()
}

#[test]
fn at_most_20_are_named() {
    let mut fleet = FleetHarness::new();
    fleet.sample.trouble = trouble(23);
    fleet.evaluate();
    let summary = fleet.expect_firing("persistent_trouble").summary;
    let start = "23 identities have lost connections for hours: user-0, user-1 with org.a, user-2 \
                 at 192.0.2.7, user-3, ";
    assert!(summary.starts_with(start), "{summary}");
    assert!(summary.ends_with(", user-19 and 3 more"), "{summary}");
}

#[test]
fn it_is_posted_once_a_day_however_it_comes_and_goes() {
    let mut fleet = FleetHarness::new();
    for evaluation in 0..3 * DAY_EVALUATIONS {
        // An hour with trouble, an hour without.
        let is_bad = evaluation / 360 % 2 == 0;
        fleet.sample.trouble = trouble(usize::from(is_bad));
        fleet.evaluate();
    }
    assert_eq!(posts(&mut fleet), [Firing, Firing, Firing], "one a day");
    fleet.sample.trouble = trouble(0);
    fleet.evaluate_times(DAY_EVALUATIONS / 2);
    assert_eq!(posts(&mut fleet), [Resolved]);
    // It begins again, and the last post was less than a day ago.
    fleet.sample.trouble = trouble(1);
    fleet.evaluate_times(DAY_EVALUATIONS / 2 - 10);
    assert_eq!(posts(&mut fleet), []);
    fleet.evaluate_times(20);
    assert_eq!(posts(&mut fleet), [Firing]);
    // The setting ends it at once.
    fleet.settings.persistent_trouble = 0;
    fleet.evaluate();
    assert_eq!(posts(&mut fleet), [Resolved]);
}
