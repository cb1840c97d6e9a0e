//! Which interval a connection has, and why.

use super::*;

fn bucket(index: usize) -> GapBucket {
    GapBucket::from_index(index).expect("16 buckets")
}

const NOW: u32 = 1_000;

/// A calm connection of a cohort of 100, with an interval of 15 s that may grow up to an hour.
fn calm() -> PaceInput {
    PaceInput {
        configured: Micros::from_secs(15),
        longest: Micros::from_secs(3_600),
        is_calm: true,
        is_at_risk: false,
        unanswered: 0,
        may_grow: true,
        members: 100,
        now: NOW,
    }
}

/// How the latest heartbeats were; late ones are `x`. The last one is the latest.
fn lates(text: &str) -> PaceInput {
    let is_late = |latest| text.chars().rev().take(latest).any(|late| late == 'x');
    PaceInput {
        is_calm: !is_late(3),
        is_at_risk: is_late(2),
        ..calm()
    }
}

/// What is known if connections have survived each gap up to this bucket.
fn known(safe: usize) -> Cadence {
    let mut cadence = Cadence::default();
    for _ in 0..200 {
        for index in 0..=safe {
            cadence.on_survived(bucket(index).edge(), Pace::Configured, 1, 100);
        }
    }
    assert_eq!(cadence.safe(), Some(bucket(safe)));
    cadence
}

#[test]
fn a_calm_connection_grows_step_by_step_up_to_what_is_safe() {
    let mut cadence = known(5);
    let mut pace = Pace::Configured;
    let input = PaceInput {
        members: 19,
        ..calm()
    };
    for index in 1..=5 {
        pace = cadence.choose(pace, &input);
        assert_eq!(pace, Pace::Safe(bucket(index)));
        let waits = PaceInput {
            may_grow: false,
            ..input
        };
        assert_eq!(
            cadence.choose(pace, &waits),
            pace,
            "four heartbeats test it"
        );
    }
    assert_eq!(
        cadence.choose(pace, &input),
        pace,
        "19 connections explore nothing"
    );
    assert_eq!(
        pace.interval(input.configured),
        Micros::from_millis(79_234) + Micros(450)
    );
}

#[test]
fn the_longest_allowed_interval_is_never_exceeded() {
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..200 {
        let mut cadence = known(rng.usize(1..16));
        let configured = Micros::from_secs(rng.u64(1..100));
        let longest = configured + Micros::from_secs(rng.u64(0..2_000));
        let mut pace = Pace::Configured;
        for _ in 0..50 {
            let input = PaceInput {
                configured,
                longest,
                may_grow: rng.bool(),
                now: NOW + rng.u32(0..100_000),
                ..lates(["", "x...", "..x", "....x...."][rng.usize(0..4)])
            };
            pace = cadence.choose(pace, &input);
            let interval = pace.interval(configured);
            assert!(interval <= longest, "{pace:?}");
            let policy = Policy {
                heartbeat_interval: configured,
                connection_timeout: configured + configured,
                ..Policy::DEFAULT
            };
            let effective = pace.policy(&policy);
            assert!(effective.connection_timeout >= policy.connection_timeout);
            if interval > configured {
                assert_eq!(
                    effective.connection_timeout.0,
                    policy.connection_timeout.0.max(interval.0 * 3)
                );
            }
            assert!(effective.validate().is_ok());
        }
    }
}

#[test]
fn a_late_heartbeat_makes_the_interval_short_for_a_while() {
    let mut cadence = known(5);
    for (history, unanswered, pace) in [
        ("....", 0, Pace::Safe(bucket(5))),
        ("...x", 1, Pace::AtRisk(None)),
        ("..x.", 0, Pace::AtRisk(None)),
        ("...x", 24, Pace::AtRisk(None)),
        ("...x", 25, Pace::Configured),
    ] {
        let input = PaceInput {
            unanswered,
            may_grow: false,
            ..lates(history)
        };
        assert_eq!(
            cadence.choose(Pace::Safe(bucket(5)), &input),
            pace,
            "{history}"
        );
    }
    let over = lates(".x..");
    assert_eq!(cadence.choose(Pace::AtRisk(None), &over), Pace::Configured);
    assert_eq!(
        cadence.choose(Pace::Configured, &over),
        Pace::Configured,
        "not calm yet"
    );
    let short = PaceInput {
        configured: Micros::from_secs(4),
        ..lates("x")
    };
    assert_eq!(cadence.choose(Pace::Configured, &short), Pace::Configured);
}

#[test]
fn one_connection_explores_the_next_gap_and_the_others_follow() {
    let mut cadence = known(5);
    let most = Pace::Safe(bucket(5));
    let explorer = cadence.choose(most, &calm());
    assert_eq!(explorer, Pace::Exploring(bucket(6)));
    assert_eq!(cadence.choose(most, &calm()), most, "one at a time");
    for _ in 0..200 {
        cadence.on_survived(bucket(6).edge(), explorer, 1, 100);
        assert!(cadence.exploration().explorers() <= 5);
    }
    assert_eq!(cadence.safe(), Some(bucket(6)));
    assert_eq!(cadence.choose(most, &calm()), Pace::Safe(bucket(6)));
    assert_eq!(
        cadence.choose(explorer, &calm()),
        Pace::Exploring(bucket(7))
    );
    assert_eq!(cadence.exploration().explorers(), 1);
    cadence.leave(Pace::Exploring(bucket(7)));
    assert_eq!(cadence.exploration().explorers(), 0);
}

#[test]
fn an_explorer_that_dies_ends_the_round() {
    let mut cadence = known(5);
    let most = Pace::Safe(bucket(5));
    let explorer = cadence.choose(most, &calm());
    cadence.on_died(bucket(6).edge(), explorer, 100, NOW);
    cadence.leave(explorer);
    assert_eq!(cadence.choose(most, &calm()), most);
    assert_eq!(cadence.choose(explorer, &calm()), most, "others stop, too");
    assert_eq!(
        (cadence.safe(), cadence.exploration().explorers()),
        (Some(bucket(5)), 0)
    );
}

#[test]
fn an_explorer_at_risk_counts_until_it_is_answered_or_lost() {
    for is_answered in [true, false] {
        let mut cadence = known(5);
        let explorer = cadence.choose(Pace::Safe(bucket(5)), &calm());
        let late = PaceInput {
            unanswered: 1,
            ..lates("x")
        };
        let at_risk = cadence.choose(explorer, &late);
        assert_eq!(at_risk, Pace::AtRisk(Some(bucket(6))));
        assert_eq!(cadence.exploration().explorers(), 1);
        let after = match is_answered {
            true => cadence.choose(at_risk, &lates("x..")),
            false => cadence.choose(
                at_risk,
                &PaceInput {
                    unanswered: 25,
                    ..late
                },
            ),
        };
        assert_eq!(
            (after, cadence.exploration().explorers()),
            (Pace::Configured, 0)
        );
        assert_eq!(cadence.exploration().pause(NOW) > 0, !is_answered);
    }
}

#[test]
fn deaths_almost_in_a_row_convict_a_gap_however_old_its_evidence_is() {
    let mut cadence = known(5);
    for _ in 0..30_000 {
        cadence.on_survived(bucket(5).edge(), Pace::Safe(bucket(5)), 1, 100);
    }
    for deaths in 1..=8 {
        assert_eq!(cadence.safe(), Some(bucket(5)), "{deaths}");
        cadence.on_died(bucket(4).edge(), Pace::Safe(bucket(5)), 100, NOW);
    }
    assert_eq!(cadence.safe(), Some(bucket(3)));
    let input = PaceInput {
        may_grow: false,
        ..calm()
    };
    assert_eq!(
        cadence.choose(Pace::Safe(bucket(5)), &input),
        Pace::Safe(bucket(3))
    );
    assert_eq!(cadence.exploration().pause(NOW), 3_600);
    // One death among 20 survivals is none.
    let mut cadence = known(5);
    for trial in 0..4_000 {
        match trial % 20 {
            0 => cadence.on_died(bucket(1).edge(), Pace::Configured, 100, NOW),
            _ => cadence.on_survived(bucket(1).edge(), Pace::Configured, 1, 100),
        }
        assert!(cadence.streaks.iter().all(|streak| *streak < STREAK_MAX));
    }
    assert_eq!(
        cadence.safe(),
        Some(bucket(0)),
        "but it is more than a percent"
    );
}

#[test]
fn an_alarm_excuses_deaths_for_three_minutes_and_not_soon_again() {
    let mut cadence = known(5);
    let hour = 3_600;
    for (now, is_excused) in [
        (NOW, true),
        (NOW + 179, true),
        (NOW + 180, false),
        (NOW + hour, false),
        (NOW + 6 * hour, true),
        (NOW + 6 * hour + 180, false),
    ] {
        assert_eq!(cadence.is_excused_by_alarm(now), is_excused, "{now}");
    }
}

#[test]
fn evidence_ages_once_a_day() {
    let mut cadence = known(2);
    let before: u64 = cadence
        .history()
        .counts()
        .map(|(survived, _)| survived)
        .sum();
    for (hours, halvings) in [(23, 0), (24, 1), (25, 1), (47, 1), (48, 2)] {
        let input = PaceInput {
            members: 1,
            now: hours * 3_600,
            ..calm()
        };
        cadence.choose(Pace::Configured, &input);
        let now: u64 = cadence
            .history()
            .counts()
            .map(|(survived, _)| survived)
            .sum();
        assert_eq!(now, before >> halvings, "{hours}");
    }
}

#[test]
fn a_number_stands_for_each_pace() {
    let buckets =
        GapBucket::all().flat_map(|b| [Pace::Safe(b), Pace::Exploring(b), Pace::AtRisk(Some(b))]);
    let all: Vec<Pace> = [Pace::Configured, Pace::AtRisk(None)]
        .into_iter()
        .chain(buckets)
        .collect();
    assert_eq!(all.len(), Pace::COUNT);
    for pace in all {
        assert!(pace.index() < Pace::COUNT);
        assert_eq!(Pace::from_index(pace.index()), pace);
    }
    assert!(size_of::<Cadence>() <= 112);
}
