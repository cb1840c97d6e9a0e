//! How well a miss is predicted: a poll lost whole within the next four.
//!
//! All folds and intervals are by recording, because the polls of one recording depend on each
//! other.

use crate::burst_model::{BurstModel, POLL};
use crate::claims::Claims;
use crate::miss_samples::{Sample, samples};
use crate::options::Options;
use crate::statistics::{interval, quantile};
use crate::table::{Table, share_within};
use crate::traces::{Poll, Traces};
use pulsegate::health::{LateHistory, Risk};

/// The samples of each recording.
type Recordings = Vec<Vec<Sample>>;

/// How often a rule was right, on one recording or on all.
#[derive(Clone, Copy, Default)]
struct Tally {
    samples: f64,
    flagged: f64,
    right: f64,
    misses: f64,
}

impl Tally {
    fn of(samples: &[Sample], flags: impl Iterator<Item = bool>) -> Tally {
        let mut tally = Tally::default();
        for (sample, is_flagged) in samples.iter().zip(flags) {
            let is_missed = sample.miss_in.is_some();
            tally.samples += 1.0;
            tally.flagged += f64::from(u8::from(is_flagged));
            tally.misses += f64::from(u8::from(is_missed));
            tally.right += f64::from(u8::from(is_flagged && is_missed));
        }
        tally
    }

    fn sum<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Tally {
        tallies
            .into_iter()
            .fold(Tally::default(), |sum, tally| Tally {
                samples: sum.samples + tally.samples,
                flagged: sum.flagged + tally.flagged,
                right: sum.right + tally.right,
                misses: sum.misses + tally.misses,
            })
    }

    fn precision(&self) -> Option<f64> {
        (self.flagged > 0.0).then(|| self.right / self.flagged)
    }

    fn recall(&self) -> Option<f64> {
        (self.misses > 0.0).then(|| self.right / self.misses)
    }
}

/// Runs the part.
pub fn run(options: &Options, traces: Option<&Traces>, model: &BurstModel, claims: &mut Claims) {
    println!("\n## Misses: a poll lost whole within the next four\n");
    println!("Intervals (95 %) are those of a bootstrap over recordings.");
    if let Some(traces) = traces {
        let all: Recordings = traces
            .recordings
            .iter()
            .map(|polls| samples(polls))
            .collect();
        report(options, "recordings", &all, &[0, 1]);
        calibrate(options, &all, claims);
    }
    // Without the client's network and RTTs, which the model does not have.
    let made = |index| {
        made_polls(
            model,
            options.size(1_000, 5_000),
            &mut options.rng("polls", index),
        )
    };
    let all: Recordings = (0..40).map(|index| samples(&made(index))).collect();
    report(options, "burst model", &all, &[0]);
}

fn made_polls(model: &BurstModel, count: usize, rng: &mut fastrand::Rng) -> Vec<Poll> {
    let mut misses = model.misses(rng);
    let poll = |index| {
        let is_miss = misses.next(rng);
        Poll {
            at: index as f64 * POLL,
            rtt: (!is_miss).then_some([0.08; 3]),
            loss: f64::from(u8::from(is_miss)),
            is_old_network: false,
        }
    };
    (0..count).map(poll).collect()
}

/// Prints how the rules and the score do. `scores`: 0 without the client's network, 1 with it.
fn report(options: &Options, name: &str, all: &Recordings, scores: &[usize]) {
    let columns = [
        "rule",
        "flagged",
        "precision",
        "recall",
        "lead time p50",
        "p10 to p90",
    ];
    let mut table = Table::new(&columns);
    let mut tell = |rule: &str, flags: &[Vec<bool>]| {
        let tallies = tallies(all, flags);
        let sum = Tally::sum(&tallies);
        let within = |figure: fn(&Tally) -> Option<f64>| {
            let drawn = |drawn: &[&Tally]| figure(&Tally::sum(drawn.iter().copied()));
            let bounds = interval(&mut options.rng("misses", 0), &tallies, drawn);
            share_within(figure(&sum).unwrap_or(0.0), bounds)
        };
        let leads = lead_times(all, flags);
        table.row(vec![
            rule.to_string(),
            format!("{:.1} %", 100.0 * sum.flagged / sum.samples),
            within(Tally::precision),
            within(Tally::recall),
            format!("{:.0} s", quantile(&leads, 0.5)),
            format!(
                "{:.0} to {:.0} s",
                quantile(&leads, 0.1),
                quantile(&leads, 0.9)
            ),
        ]);
        tallies
    };
    let high = flags(all, |sample| sample.history.risk() == Risk::High);
    let raised = flags(all, |sample| sample.history.risk() >= Risk::Raised);
    // The product's rules are the one-line rules: this is checked, not told twice.
    assert!(high == flags(all, |sample| sample.missed_within(2)));
    assert!(raised == flags(all, |sample| sample.missed_within(4)));
    let operating = [
        ("`high`: a miss in the last 2", &high),
        ("`raised` or `high`: a miss in the last 4", &raised),
    ];
    let bases: Vec<Vec<Tally>> = operating
        .iter()
        .map(|(rule, flags)| tell(rule, flags))
        .collect();
    tell(
        "the latest was a miss",
        &flags(all, |sample| sample.missed_within(1)),
    );
    tell(
        "a miss in the last 8",
        &flags(all, |sample| sample.missed_within(8)),
    );
    tell(
        "a miss in the last 16",
        &flags(all, |sample| sample.missed_within(16)),
    );
    let mut differences = Vec::new();
    for ((rule, flags), base) in operating.iter().zip(&bases) {
        let rule = rule.split(": ").last().unwrap_or(rule);
        for score in scores {
            let network = ["without", "with"][*score];
            let found = score_flags(all, *score, flags);
            let tallies = tell(
                &format!("score {network} network, recall as {rule:?}"),
                &found,
            );
            differences.push((network, rule, paired(options, &tallies, base)));
        }
    }
    let sum = Tally::sum(&bases[0]);
    let base_rate = sum.misses / sum.samples;
    table.print(&format!(
        "**{name}**: {} recordings, {} samples, base rate {base_rate:.3}",
        all.len(),
        sum.samples
    ));
    println!("\nDifference between the score and the rule, on the same resamples:\n");
    for (network, rule, [precision, recall]) in differences {
        println!("- score {network} network, {rule:?}: precision {precision}, recall {recall}");
    }
}

/// Returns which samples of each recording a rule flags.
fn flags(all: &Recordings, rule: impl Fn(&Sample) -> bool) -> Vec<Vec<bool>> {
    all.iter()
        .map(|samples| samples.iter().map(&rule).collect())
        .collect()
}

fn tallies(all: &Recordings, flags: &[Vec<bool>]) -> Vec<Tally> {
    let pairs = all.iter().zip(flags);
    pairs
        .map(|(samples, flags)| Tally::of(samples, flags.iter().copied()))
        .collect()
}

/// Returns the seconds from each right flag to the miss.
fn lead_times(all: &Recordings, flags: &[Vec<bool>]) -> Vec<f64> {
    let pairs = all.iter().flatten().zip(flags.iter().flatten());
    pairs
        .filter(|(_, flag)| **flag)
        .filter_map(|(sample, _)| sample.miss_in)
        .collect()
}

/// Returns which samples a score flags. For each recording the threshold is the highest with which
/// the score has the recall of the rule on the other recordings.
fn score_flags(all: &Recordings, score: usize, rule: &[Vec<bool>]) -> Vec<Vec<bool>> {
    let of_rule = tallies(all, rule);
    let flagged = |index: usize| {
        let others = || {
            all.iter()
                .enumerate()
                .filter(move |(other, _)| *other != index)
        };
        let target = Tally::sum(others().map(|(other, _)| &of_rule[other])).right;
        let right = |threshold: i32| {
            let rights = others().flat_map(|(_, samples)| samples);
            rights
                .filter(|s| s.miss_in.is_some() && s.scores[score] >= threshold)
                .count() as f64
        };
        let threshold = (-54..=64)
            .rev()
            .find(|threshold| right(*threshold) >= target);
        let threshold = threshold.expect("the lowest score flags everything");
        all[index]
            .iter()
            .map(|sample| sample.scores[score] >= threshold)
            .collect()
    };
    (0..all.len()).map(flagged).collect()
}

/// Returns the differences of precision and recall between a score and a rule, with their
/// intervals on the same resamples.
fn paired(options: &Options, score: &[Tally], rule: &[Tally]) -> [String; 2] {
    let pairs: Vec<(Tally, Tally)> = score.iter().copied().zip(rule.iter().copied()).collect();
    [Tally::precision as fn(&Tally) -> Option<f64>, Tally::recall].map(|figure| {
        let difference = |drawn: &[&(Tally, Tally)]| {
            let score = figure(&Tally::sum(drawn.iter().map(|(score, _)| score)))?;
            Some(score - figure(&Tally::sum(drawn.iter().map(|(_, rule)| rule)))?)
        };
        let drawn: Vec<&(Tally, Tally)> = pairs.iter().collect();
        let (low, high) = interval(&mut options.rng("paired", 0), &pairs, difference);
        format!(
            "{:+.2} ({low:+.2} to {high:+.2})",
            difference(&drawn).unwrap_or(0.0)
        )
    })
}

/// The names of the bins of [`LateHistory::LATE_SOON_PERCENT`].
const BINS: [&str; 5] = ["0 or 1", "2 or 3", "4 to 7", "8 to 15", "none of 16"];

/// Returns the bin of a sample: how many polls ago the latest miss was.
fn bin(sample: &Sample) -> usize {
    match sample.history.sent_since_late() {
        Some(0..=1) => 0,
        Some(2..=3) => 1,
        Some(4..=7) => 2,
        Some(_) => 3,
        None => 4,
    }
}

/// Compares the probability in each bin with the one that the other recordings predict.
fn calibrate(options: &Options, all: &Recordings, claims: &mut Claims) {
    let columns = [
        "polls since the latest miss",
        "samples",
        "predicted from the other recordings",
        "observed",
        "the product says",
    ];
    let mut table = Table::new(&columns);
    let mut worst: f64 = 0.0;
    let mut fewest = f64::INFINITY;
    for (index, name) in BINS.iter().enumerate() {
        let of_bin = |samples: &Vec<Sample>| {
            Tally::of(samples, samples.iter().map(|sample| bin(sample) == index))
        };
        let tallies: Vec<Tally> = all.iter().map(of_bin).collect();
        let sum = Tally::sum(&tallies);
        let predictions = tallies.iter().map(|tally| {
            let (right, flagged) = (sum.right - tally.right, sum.flagged - tally.flagged);
            tally.flagged * right / flagged
        });
        let predicted = predictions.sum::<f64>() / sum.flagged;
        let observed = sum.precision().unwrap_or(0.0);
        let bounds = interval(&mut options.rng("calibration", 0), &tallies, |drawn| {
            Tally::sum(drawn.iter().copied()).precision()
        });
        worst = worst.max((predicted - observed).abs());
        fewest = fewest.min(sum.flagged);
        let said = f64::from(LateHistory::LATE_SOON_PERCENT[index]) / 100.0;
        assert!(
            (said - observed).abs() < 0.01,
            "{name}: {said} for {observed}"
        );
        table.row(vec![
            (*name).to_string(),
            format!("{}", sum.flagged),
            format!("{predicted:.3}"),
            share_within(observed, bounds),
            format!("{said:.2}"),
        ]);
    }
    table.print("Calibration: the share of samples with a miss within the next four polls");
    claims.require(
        worst <= 0.05 && fewest >= 50.0,
        format!(
            "predicted and observed differ by at most {:.1} points (≤ 5) in 5 bins of at least \
             {fewest} samples (≥ 50)",
            100.0 * worst
        ),
    );
}
