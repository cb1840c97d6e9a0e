//! The life table beside plain models in floating point.

use super::*;

fn history(survived: [u16; BUCKETS], died: [u16; BUCKETS]) -> GapHistory {
    GapHistory { survived, died }
}

#[test]
fn the_edges_are_evenly_spaced_on_a_logarithmic_scale() {
    for (k, edge) in EDGES_MS.iter().enumerate() {
        let exact = 15_000.0 * 240_f64.powf(k as f64 / 15.0);
        assert_eq!(f64::from(*edge), exact.round());
    }
    assert_eq!(size_of::<GapHistory>(), 64);
}

#[test]
fn a_gap_reaches_the_edges_that_it_is_not_much_shorter_than() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..100_000 {
        let most = 1 << rng.u32(20..40);
        let gap = Micros(rng.u64(0..most));
        let ms = gap.as_millis() as f64;
        let reached = EDGES_MS
            .iter()
            .filter(|edge| ms >= (f64::from(**edge) * 15.0 / 16.0).ceil());
        let bucket = GapBucket::of(gap).map_or(0, |bucket| bucket.index() + 1);
        assert_eq!(bucket, reached.count(), "{gap}");
    }
    let of = |ms| GapBucket::of(Micros::from_millis(ms)).map(GapBucket::index);
    assert_eq!(
        (of(14_062), of(14_063), of(u64::MAX)),
        (None, Some(0), Some(15))
    );
}

/// The one-sided upper bound of Wilson's score interval.
fn upper_bound(n: f64, d: f64) -> f64 {
    const Z: f64 = 1.28;
    let p = d / n;
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    (middle + half) / (1.0 + Z * Z / n)
}

#[test]
fn a_bucket_is_safe_when_the_upper_bound_of_its_hazard_is_below_a_percent() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut both = [0; 2];
    for _ in 0..200_000 {
        let most = 1 << rng.u32(4..20);
        let reached = rng.u64(1..most);
        let died = rng.u64(0..=(reached / 60).max(2)).min(reached);
        let bound = upper_bound(reached as f64, died as f64);
        if (bound - 0.01).abs() > 1e-7 {
            let is_safe = Evidence { reached, died }.is_safe();
            assert_eq!(is_safe, bound < 0.01, "{died} of {reached}: {bound}");
            both[usize::from(is_safe)] += 1;
        }
    }
    assert!(both.iter().all(|n| *n > 10_000), "{both:?}");
    let safe = |reached, died| Evidence { reached, died }.is_safe();
    assert!(safe(163, 0) && !safe(162, 0) && !safe(0, 0) && !safe(300, 1) && safe(340, 1));
}

/// The longest safe gap, if of the deaths `spare` less or more are explained than computed.
fn plain_safe(history: &GapHistory, former: usize, spare: f64) -> usize {
    let counts: Vec<(f64, f64)> = history
        .counts()
        .map(|(s, d)| (s as f64, d as f64))
        .collect();
    let (mut deaths, mut exposure) = (0_f64, 0_f64);
    for (bucket, (survived, died)) in counts.iter().enumerate() {
        let edge = f64::from(EDGES_MS[bucket]);
        let rate = match exposure {
            0.0 => 0.0,
            _ => (deaths - deaths.sqrt().floor()) / exposure,
        };
        let explained = (survived + died) * (rate * edge).min(1.0 / 16.0) + spare;
        let died_by_gap = (died - explained.max(0.0).floor()).max(0.0);
        let reached: f64 = counts[bucket..].iter().map(|(s, d)| s + d).sum();
        let is_safe = reached > 0.0 && upper_bound(reached, died_by_gap) < 0.01;
        let stays_safe = bucket < former && reached > 100.0 * died_by_gap;
        if !(is_safe || stays_safe) {
            return bucket;
        }
        deaths += died;
        exposure += (survived + died) * edge;
    }
    BUCKETS
}

#[test]
fn the_safe_gap_is_what_a_plain_model_says() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut seen = [0; BUCKETS + 1];
    for _ in 0..50_000 {
        let most = rng.usize(0..=BUCKETS);
        let mut table = GapHistory::default();
        for bucket in 0..BUCKETS {
            let size = 1 << rng.u32(4..15);
            let trials = rng.u32(0..size);
            // Beyond `most` a NAT kills nearly all; otherwise few die, longer gaps more often.
            let permille = match bucket >= most {
                true => rng.u32(5..1_000),
                false => rng.u32(0..3) * (1 + bucket as u32 / 4),
            };
            let died = trials * permille / 1_000;
            table.survived[bucket] = (trials - died) as u16;
            table.died[bucket] = died as u16;
        }
        let former = rng.usize(0..=BUCKETS);
        let index = former.checked_sub(1).and_then(GapBucket::from_index);
        let safe = table.safe(index).map_or(0, |bucket| bucket.index() + 1);
        let [least, most] = [-1.0, 1.0].map(|spare| plain_safe(&table, former, spare));
        assert!(
            (least..=most).contains(&safe),
            "{table:?}: {least} {safe} {most}"
        );
        seen[safe] += 1;
    }
    assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
}

#[test]
fn a_nat_is_found_however_many_connections_die_for_other_reasons() {
    let mut survived = [1_000; BUCKETS];
    let mut died = [300; BUCKETS];
    survived[9..].fill(0);
    died[9..].fill(1_000);
    let table = history(survived, died);
    assert_eq!(
        table.safe(GapBucket::from_index(15)),
        None,
        "a hazard of 23 % from the start"
    );
    let mut died = [0, 1, 2, 3, 4, 5, 6, 8, 11, 0, 0, 0, 0, 0, 0, 0];
    died[9..].fill(100);
    survived[9] = 900;
    let safe = history(survived, died).safe(None).map(GapBucket::index);
    assert_eq!(
        safe,
        Some(8),
        "deaths in proportion to the gap, then one in ten"
    );
}

#[test]
fn counts_stay_bounded_and_keep_their_proportion() {
    let mut rng = fastrand::Rng::with_seed(6);
    let (mut table, bucket) = (GapHistory::default(), GapBucket(7));
    for _ in 0..1_000_000 {
        match rng.u8(0..50) {
            0 => table.die(bucket),
            _ => table.survive(bucket, 1),
        }
    }
    let (survived, died) = table.counts().nth(7).expect("16 buckets");
    assert!((u64::from(TRIALS_MAX) / 2 - 2..u64::from(TRIALS_MAX)).contains(&(survived + died)));
    let percent = died as f64 * 100.0 / (survived + died) as f64;
    assert!((1.7..2.3).contains(&percent), "{percent}");
    table.age();
    assert_eq!(table.counts().nth(7), Some((survived / 2, died / 2)));
    table.forget_from(GapBucket(8));
    assert_eq!(table.counts().nth(7), Some((survived / 2, died / 2)));
    table.forget_from(bucket);
    assert_eq!(table, GapHistory::default());
}
