//! Quantiles, and intervals that say how much a figure depends on the units that were drawn.

/// Resamples of a bootstrap.
const RESAMPLES: usize = 4_000;

/// Returns the quantile `q` of the values, 0 for none: the smallest value that is not exceeded by a
/// share `q` of them.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// Returns the 95 % interval of a figure by the percentile bootstrap (B. Efron, 1979) over whole
/// units: recordings, not samples, because the samples of one recording depend on each other.
/// Resamples for which the figure does not exist are left out.
pub fn interval<T>(
    rng: &mut fastrand::Rng,
    units: &[T],
    figure: impl Fn(&[&T]) -> Option<f64>,
) -> (f64, f64) {
    let mut figures = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn: Vec<&T> = units
            .iter()
            .map(|_| &units[rng.usize(..units.len())])
            .collect();
        figures.extend(figure(&drawn));
    }
    (quantile(&figures, 0.025), quantile(&figures, 0.975))
}

/// Returns the one-sided 95 % upper bound of the mean of a Poisson distribution of which `count`
/// events were seen: the mean with which so few are seen in 5 % of cases.
pub fn poisson_upper(count: u64) -> f64 {
    let at_most = |mean: f64| {
        let mut term = (-mean).exp();
        let mut sum = term;
        for n in 1..=count {
            term *= mean / n as f64;
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (count as f64, 2.0 * count as f64 + 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match at_most(middle) > 0.05 {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

/// Checks the functions against known values.
pub fn check() {
    let values = [4.0, 1.0, 3.0, 2.0];
    assert_eq!(
        [0.0, 0.5, 0.51, 1.0].map(|q| quantile(&values, q)),
        [1.0, 2.0, 3.0, 4.0]
    );
    // Tables of the chi-squared distribution: half of its 0.95 quantile with 2, 4 and 20 degrees.
    for (count, bound) in [(0, 2.996), (1, 4.744), (9, 15.705)] {
        assert!((poisson_upper(count) - bound).abs() < 0.001, "{count}");
    }
    let mut rng = fastrand::Rng::with_seed(1);
    let (low, high) = interval(&mut rng, &[0.0, 1.0].repeat(50), |drawn| {
        Some(drawn.iter().copied().sum::<f64>() / drawn.len() as f64)
    });
    assert!(
        (low - 0.4).abs() < 0.03 && (high - 0.6).abs() < 0.03,
        "{low} {high}"
    );
}
