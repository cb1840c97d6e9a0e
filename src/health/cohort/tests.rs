use super::*;

/// The same with floating-point numbers and a list, and without a table of weights.
#[derive(Default)]
struct Model {
    score: f64,
    peers: Vec<u32>,
    is_alarmed: bool,
}

impl Model {
    fn on_late(&mut self, peer: u32, usual: f64) {
        if self.score == 0.0 {
            self.peers.clear();
        }
        let weight = match self.peers.contains(&peer) {
            // Half of it, rounded up to 1/16 nat.
            true => 26.0 / 16.0,
            false => (0.5 / usual).ln(),
        };
        self.score = (self.score + weight).min(30.0);
        if !self.peers.contains(&peer) && self.peers.len() < 8 {
            self.peers.push(peer);
        }
        self.is_alarmed |= self.score >= 24.0 && self.peers.len() >= 5;
    }

    fn on_answered(&mut self, usual: f64) {
        self.score = (self.score + (0.5 / (1.0 - usual)).ln()).max(0.0);
        self.is_alarmed &= self.score > 0.0;
    }
}

#[test]
fn the_weights_are_log_likelihood_ratios() {
    for (permille, late, answered) in WEIGHTS {
        let p = f64::from(permille) / 1_000.0;
        let exact = [(0.5 / p).ln() * 16.0, (0.5 / (1.0 - p)).ln() * -16.0];
        assert!(
            (0.0..1.0).contains(&(exact[0] - f64::from(late))),
            "{permille}: {exact:?}"
        );
        assert!(
            (0.0..1.0).contains(&(f64::from(answered) - exact[1])),
            "{permille}: {exact:?}"
        );
    }
}

/// Outages of every extent and length: both agree, except that rounding delays the integers.
#[test]
fn it_raises_the_alarms_of_the_plain_model() {
    let (mut rng, mut alarms) = (fastrand::Rng::with_seed(12), 0);
    for _ in 0..2_000 {
        let (mut cohort, mut model) = (Cohort::default(), Model::default());
        let (share, peers) = (rng.f64(), rng.u32(1..30));
        // The share of late heartbeats is not learned here: only the score is compared.
        let (mut raised, mut expected) = (None::<u32>, None::<u32>);
        for step in 0..200 {
            if rng.f64() < share {
                let peer = rng.u32(0..peers);
                model.on_late(peer, 0.02);
                let change = cohort.on_late(peer, 1);
                assert!(change != Some(CohortChange::Cleared));
                raised = raised.or(change.map(|_| step));
            } else {
                model.on_answered(0.02);
                assert!(cohort.on_answered() != Some(CohortChange::Alarmed));
                (cohort.heartbeats, cohort.lates) = (0, 0);
            }
            expected = expected.or(model.is_alarmed.then_some(step));
        }
        if let Some(raised) = raised {
            let expected = expected.expect("the model raises it, too");
            // The integers reach zero sooner, and then a peer counts as new once more. With few
            // late heartbeats, that decides.
            let is_near = share < 0.5 || u32::abs_diff(raised, expected) <= 20;
            assert!(is_near, "{share}: {raised}, {expected}");
            alarms += 1;
        } else if let Some(expected) = expected {
            assert!(expected > 100 || share < 0.25, "{share}: {expected}");
        }
    }
    assert!((500..1_900).contains(&alarms), "{alarms}");
}

#[test]
fn eight_peers_that_are_late_raise_the_alarm_and_answers_end_it() {
    let mut cohort = Cohort::default();
    for n in 0..7 {
        assert_eq!(cohort.on_late(n, 100), None);
    }
    assert_eq!((cohort.score_percent(), cohort.late_peers()), (92, 7));
    assert_eq!(cohort.on_late(7, 103), Some(CohortChange::Alarmed));
    assert_eq!(cohort.on_late(9, 104), None, "it was told");
    assert_eq!(cohort.alarmed_since(), Some(103));
    let answers = (1..100).find(|_| cohort.on_answered() == Some(CohortChange::Cleared));
    assert_eq!(answers, Some(42));
    assert_eq!((cohort.alarmed_since(), cohort.late_peers()), (None, 0));
    assert_eq!(cohort.usual_late_permille(), 20, "an outage is not usual");
}

/// Each of five peers that die has two late heartbeats before it is closed, with the usual timeout
/// of three intervals.
#[test]
fn a_cohort_of_five_that_dies_raises_the_alarm_before_its_peers_are_closed() {
    let mut cohort = Cohort::default();
    let changes = (0..10).map(|n| cohort.on_late(n % 5, 100 + 3 * n));
    let changes: Vec<_> = changes.collect();
    assert_eq!(changes.iter().position(Option::is_some), Some(9));
}

#[test]
fn one_phone_that_dies_three_times_is_no_cohort() {
    let mut cohort = Cohort::default();
    for n in 0..50 {
        assert_eq!(cohort.on_late(n % 4, n), None);
    }
    assert_eq!(
        cohort.on_late(4, 51),
        Some(CohortChange::Alarmed),
        "the fifth peer"
    );
}

#[test]
fn an_alarm_of_peers_that_have_gone_ends() {
    let mut cohort = Cohort::default();
    for n in 0..8 {
        cohort.on_late(n, 1_000);
    }
    assert_eq!(cohort.expire(1_059), None);
    assert_eq!(cohort.expire(1_060), Some(CohortChange::Cleared));
    assert_eq!(cohort.expire(9_999), None);
    // A few late ones that raised no alarm are forgotten as well, and count as usual.
    cohort.on_late(1, 2_000);
    assert_eq!(cohort.expire(3_000), None);
    assert!(!cohort.is_warm() && cohort.lates == 1);
}

#[test]
fn late_heartbeats_that_are_our_fault_are_forgotten() {
    let mut cohort = Cohort::default();
    cohort.on_late(1, 50);
    assert_eq!(cohort.acquit(), None);
    assert_eq!((cohort.is_warm(), cohort.lates), (false, 0));
    for n in 0..8 {
        cohort.on_late(n, 60);
    }
    assert_eq!(cohort.acquit(), Some(CohortChange::Cleared));
    assert_eq!(cohort.alarmed_since(), None);
}

/// The chart would flood with a background of 5 or 10 % if it did not learn it.
#[test]
fn the_usual_share_of_late_heartbeats_is_learned() {
    for (percent, permille, most) in [(2, 15..26, 0), (5, 42..62, 1), (10, 85..118, 3)] {
        let (mut cohort, mut rng) = (Cohort::default(), fastrand::Rng::with_seed(13));
        let mut alarms = 0;
        for second in 0..100_000 {
            match rng.u32(0..100) < percent {
                true => alarms += u32::from(cohort.on_late(rng.u32(0..200), second).is_some()),
                false => _ = cohort.on_answered(),
            }
            if rng.u8(0..16) == 0 {
                cohort.count(16);
            }
        }
        assert!(
            permille.contains(&cohort.usual_late_permille()),
            "{percent}: {cohort:?}"
        );
        assert!(alarms <= most, "{percent}: {alarms}");
    }
}

/// A network that has become worse is not in an outage for ever.
#[test]
fn an_alarm_that_lasts_becomes_usual() {
    let (mut cohort, mut rng) = (Cohort::default(), fastrand::Rng::with_seed(14));
    let mut cleared = None;
    for second in 0..20_000 {
        let change = match rng.u32(0..100) < 22 {
            true => cohort.on_late(rng.u32(0..200), second),
            false => cohort.on_answered(),
        };
        if second % 16 == 0 {
            cohort.count(12);
        }
        if change == Some(CohortChange::Cleared) {
            cleared.get_or_insert(second);
        }
    }
    assert!(cleared.is_some(), "{cohort:?}");
    assert!(cohort.alarmed_since().is_none(), "{cohort:?}");
}

#[test]
fn it_has_60_bytes() {
    assert_eq!(size_of::<Cohort>(), 60);
}

#[test]
fn nothing_overflows() {
    let mut cohort = Cohort::default();
    for n in 0..200_000 {
        cohort.on_late(n, u32::MAX);
        cohort.count(u32::MAX);
    }
    assert!(cohort.usual_late_permille() <= 1_000);
    assert_eq!(cohort.score_percent(), 125);
}
