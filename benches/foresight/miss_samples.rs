//! What is known at a poll, and whether one of the next four is lost whole.

use crate::traces::Poll;
use pulsegate::health::LateHistory;

/// The next polls in which a miss is predicted.
const AHEAD: usize = 4;

/// What is known when a poll has ended, and what the next ones bring.
pub struct Sample {
    /// The product's record of the latest polls.
    pub history: LateHistory,
    /// Whether each of the polls until now was lost, the latest one last. At most 16.
    pub latest: Vec<bool>,
    /// The score of the design, without and with the client's network, in 1/16 nat.
    pub scores: [i32; 2],
    /// Seconds to the next miss, if it is among the next four polls.
    pub miss_in: Option<f64>,
}

impl Sample {
    /// Returns whether one of the latest `count` polls was lost.
    pub fn missed_within(&self, count: usize) -> bool {
        self.latest.iter().rev().take(count).any(|is_miss| *is_miss)
    }
}

/// Returns a sample for each poll that has four successors.
pub fn samples(polls: &[Poll]) -> Vec<Sample> {
    let mut history = LateHistory::default();
    let mut rtt = RttTrend::default();
    let mut latest = Vec::new();
    let mut samples = Vec::new();
    for (index, poll) in polls.iter().enumerate() {
        history.on_sent();
        if poll.is_miss() {
            history.on_late();
        }
        if let Some([_, mean, _]) = poll.rtt {
            rtt.sample(mean);
        }
        latest.push(poll.is_miss());
        if latest.len() > 16 {
            latest.remove(0);
        }
        let Some(next) = polls.get(index + 1..=index + AHEAD) else {
            break;
        };
        let miss = next.iter().find(|next| next.is_miss());
        samples.push(Sample {
            history,
            scores: scores(&latest, &rtt, poll.is_old_network),
            latest: latest.clone(),
            miss_in: miss.map(|miss| miss.at - poll.at),
        });
    }
    samples
}

/// Returns the score that was designed first: a sum of weights. What these recordings do not have
/// (the state of TCP, the identity's history, data saver) counts nothing.
fn scores(latest: &[bool], rtt: &RttTrend, is_old_network: bool) -> [i32; 2] {
    let misses = |count: usize| {
        latest
            .iter()
            .rev()
            .take(count)
            .filter(|miss| **miss)
            .count() as i32
    };
    let prior = -54;
    let known = prior
        + 14 * misses(4).min(2)
        + 6 * misses(16).min(4)
        + if rtt.is_rising() { 10 } else { 0 };
    [known, known + if is_old_network { 27 } else { 0 }]
}

/// The RTT over a long and a short time.
#[derive(Default)]
struct RttTrend {
    /// The smoothed RTT, its variation, and the one over a short time.
    values: Option<[f64; 3]>,
}

impl RttTrend {
    /// Adds a measurement: as RFC 6298 §2 has it, and with half of the weight for the short time.
    fn sample(&mut self, rtt: f64) {
        self.values = Some(match self.values {
            None => [rtt, rtt / 2.0, rtt],
            Some([smooth, variation, short]) => [
                0.875 * smooth + 0.125 * rtt,
                0.75 * variation + 0.25 * (smooth - rtt).abs(),
                0.5 * short + 0.5 * rtt,
            ],
        });
    }

    fn is_rising(&self) -> bool {
        let is_high = |[smooth, variation, short]: [f64; 3]| short > smooth + 2.0 * variation;
        self.values.is_some_and(is_high)
    }
}
