//! What exploring costs, in the worst case.

use super::*;

const BUCKET: GapBucket = GapBucket::FIRST;

/// Explores once a minute for so many days; each trial ends in a death in `permille` of 1 000
/// cases. Returns the deaths, by hour, and the most explorers at a time.
fn explore(members: u32, days: u32, permille: u32, seed: u64) -> (Vec<u32>, u32) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut exploration = Exploration::default();
    let (mut deaths, mut most) = (vec![0; (days * 24) as usize], 0);
    for minute in 0..days * 24 * 60 {
        let now = minute * 60;
        exploration.begin(BUCKET, members, now);
        while exploration.has_room(BUCKET, members, now) {
            exploration.join();
        }
        most = most.max(u32::from(exploration.explorers()));
        for _ in 0..exploration.explorers() {
            if rng.u32(0..1_000) < permille {
                exploration.leave();
                exploration.on_died(BUCKET, members, now);
                deaths[(now / HOUR) as usize] += 1;
            } else {
                exploration.on_survived(BUCKET, members, 0);
            }
        }
    }
    (deaths, most)
}

#[test]
fn a_gap_that_kills_costs_one_connection_a_round() {
    let (deaths, most) = explore(2_000, 30, 1_000, 1);
    let by_day: Vec<u32> = deaths.chunks(24).map(|day| day.iter().sum()).collect();
    assert_eq!((by_day[0], most), (5, 1), "after 0, 1, 3, 7 and 15 hours");
    assert!(by_day[1..].iter().all(|day| *day <= 1), "{by_day:?}");
    assert!(by_day.iter().sum::<u32>() > 25, "it never gives up");
}

#[test]
fn no_day_costs_more_than_a_200th_and_the_connections_that_explore_already() {
    for members in [20, 100, 400, 2_000, 20_000] {
        for (seed, permille) in [1, 3, 10, 30, 60, 120, 500, 1_000].into_iter().enumerate() {
            let (deaths, most) = explore(members, 40, permille, seed as u64);
            assert!(most <= members / 20, "5 %");
            let worst = deaths.windows(24).map(|day| day.iter().sum::<u32>()).max();
            let bound = (members / 200).max(1) + most;
            assert!(
                worst.is_some_and(|worst| worst <= bound),
                "{members} {permille}: {worst:?}"
            );
            // Over a long time the price decides: 1/400 a day, and a day in advance.
            let all: u32 = deaths.iter().sum();
            let bound = (41 * members).div_ceil(400) + most;
            assert!(all <= bound, "{members} {permille}: {all} of {bound}");
        }
    }
}

#[test]
fn survivals_let_more_connections_explore() {
    let (deaths, most) = explore(2_000, 1, 0, 1);
    assert_eq!((deaths.iter().sum::<u32>(), most), (0, 100));
    assert_eq!(explore(19, 1, 0, 1).1, 0, "5 % of 19 is less than one");
}

#[test]
fn deaths_that_have_other_reasons_are_paid_for() {
    let mut exploration = Exploration::default();
    exploration.begin(BUCKET, 1_000, 0);
    for _ in 0..50 {
        exploration.on_survived(BUCKET, 1_000, 0);
    }
    for _ in 0..4 {
        exploration.on_died(BUCKET, 1_000, 0);
    }
    assert!(
        !exploration.is_under_way(BUCKET, 0),
        "four deaths of 1 000 in a day are too many"
    );
    // One gap of 64 ends so.
    for _ in 0..128 {
        exploration.on_survived(BUCKET, 1_000, 1_024);
    }
    assert!(exploration.is_under_way(BUCKET, 0));
}

#[test]
fn a_round_pauses_longer_after_each_failure_and_starts_small() {
    let mut exploration = Exploration::default();
    let mut now = 0;
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        assert!(exploration.begin(BUCKET, 20_000, now));
        assert!(exploration.has_room(BUCKET, 20_000, now));
        exploration.join();
        assert!(!exploration.has_room(BUCKET, 20_000, now), "one at first");
        exploration.on_died(BUCKET, 20_000, now);
        exploration.leave();
        assert_eq!(exploration.pause(now), hours * HOUR);
        now += hours * HOUR - 1;
        assert!(!exploration.begin(BUCKET, 20_000, now));
        now += 1;
    }
    // Another gap starts anew.
    let next = BUCKET.longer().expect("16 buckets");
    assert!(exploration.begin(next, 20_000, now));
    exploration.on_died(next, 20_000, now);
    assert_eq!(exploration.pause(now), HOUR);
    assert!(size_of::<Exploration>() <= 20);
}
