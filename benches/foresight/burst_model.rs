//! A connection with three states: calm, in a burst of misses, and dead. Its parameters are fitted
//! to the recordings, so a claim can be checked on as much data as it takes.
//!
//! From one poll to the next a calm connection enters a burst with some probability, and one in a
//! burst leaves it. In each of the two states polls are lost with a probability of their own. That
//! is Gilbert's and Elliott's model of a channel with bursts of errors (E. N. Gilbert, Bell System
//! Technical Journal 39, 1960; E. O. Elliott, 42, 1963). A dead connection answers nothing; the
//! parts that measure detection choose when a connection dies.

use crate::link::{Link, LinkState};

/// Seconds between two polls of the recordings: the median.
pub const POLL: f64 = 14.0;

/// The fit ends after this many rounds, or when a round changes no parameter by more than this.
const ROUNDS: usize = 2_000;
const PRECISION: f64 = 1e-6;

/// RTTs in seconds, lowest, mean and highest, as on the recordings.
const CALM_RTT: [f64; 3] = [0.07, 0.08, 0.11];
const BURST_RTT: [f64; 3] = [0.075, 0.13, 0.5];

/// The parameters of the model, all of them probabilities from one poll to the next.
#[derive(Clone, Copy, Debug)]
pub struct BurstModel {
    /// That a calm connection enters a burst.
    pub enter: f64,
    /// That a burst ends.
    pub leave: f64,
    /// That a poll is lost: calm, and in a burst.
    pub miss: [f64; 2],
}

/// The misses of one connection, one after the other.
pub struct Misses {
    model: BurstModel,
    is_burst: bool,
    /// The polls until the state changes or one is lost, calm and in a burst.
    quiet: [Geometric; 2],
}

impl BurstModel {
    /// What [`fit`](Self::fit) found on the 15 recordings.
    pub const FITTED: BurstModel = BurstModel {
        enter: 0.014_4,
        leave: 0.093_1,
        miss: [1e-6, 0.191_2],
    };

    /// Fits the model to sequences of misses by the Baum-Welch algorithm (L. E. Baum et al.,
    /// "A Maximization Technique", Annals of Mathematical Statistics 41, 1970).
    pub fn fit(sequences: &[Vec<bool>]) -> BurstModel {
        let mut model = BurstModel {
            enter: 0.02,
            leave: 0.1,
            miss: [0.005, 0.3],
        };
        for _ in 0..ROUNDS {
            let mut counts = Counts::default();
            for sequence in sequences {
                model.count(sequence, &mut counts);
            }
            let former = std::mem::replace(&mut model, counts.model());
            if model.distance(&former) < PRECISION {
                break;
            }
        }
        model
    }

    /// Returns the model with another share of misses: bursts are more or less frequent, but the
    /// same.
    pub fn with_base_rate(self, rate: f64) -> BurstModel {
        let factor = rate / self.base_rate();
        let calm = self.miss[0] * factor;
        // Of all polls, the share that must be in a burst.
        let burst = (rate - calm) / (self.miss[1] - calm);
        BurstModel {
            enter: self.leave * burst / (1.0 - burst),
            miss: [calm, self.miss[1]],
            ..self
        }
    }

    /// Returns a model with this share of misses that are independent of each other.
    pub fn independent(rate: f64) -> BurstModel {
        BurstModel {
            enter: 0.0,
            leave: 1.0,
            miss: [rate, rate],
        }
    }

    /// Returns the share of polls that are lost.
    pub fn base_rate(&self) -> f64 {
        let burst = self.burst_share();
        (1.0 - burst) * self.miss[0] + burst * self.miss[1]
    }

    /// Returns the share of polls that are in a burst.
    pub fn burst_share(&self) -> f64 {
        self.enter / (self.enter + self.leave)
    }

    /// Returns the misses of one connection.
    pub fn misses(self, rng: &mut fastrand::Rng) -> Misses {
        let quiet = |changes: f64, miss: f64| Geometric::new(changes + miss - changes * miss);
        Misses {
            model: self,
            is_burst: rng.f64() < self.burst_share(),
            quiet: [
                quiet(self.enter, self.miss[0]),
                quiet(self.leave, self.miss[1]),
            ],
        }
    }

    /// Makes a link whose polls are lost as the model says. Each poll stands for about 14 s.
    pub fn link(self, length: f64, rng: &mut fastrand::Rng) -> Link {
        let mut misses = self.misses(rng);
        let (mut at, mut states) = (0.0, Vec::new());
        while at < length {
            let is_miss = misses.next(rng);
            let rtt = match misses.is_burst {
                true => BURST_RTT,
                false => CALM_RTT,
            };
            let state = match is_miss {
                true => LinkState::Holding,
                false => LinkState::Up { rtt, loss: 0.0 },
            };
            states.push((at, state));
            at += POLL - 1.0 + 2.0 * rng.f64();
        }
        Link::new(states, at)
    }

    /// Returns the largest difference between two parameters.
    fn distance(&self, other: &BurstModel) -> f64 {
        let all = |model: &BurstModel| [model.enter, model.leave, model.miss[0], model.miss[1]];
        let pairs = all(self).into_iter().zip(all(other));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// Returns the probability of what was seen in each state.
    fn seen(&self, is_miss: bool) -> [f64; 2] {
        self.miss.map(|miss| match is_miss {
            true => miss,
            false => 1.0 - miss,
        })
    }

    /// Adds the expected numbers of states and transitions in a sequence: forward and backward,
    /// scaled in each step.
    fn count(&self, sequence: &[bool], counts: &mut Counts) {
        let step = [
            [1.0 - self.enter, self.enter],
            [self.leave, 1.0 - self.leave],
        ];
        let burst = self.burst_share();
        let mut forward: Vec<[f64; 2]> = Vec::new();
        for is_miss in sequence {
            let before = forward.last().map_or([1.0 - burst, burst], |last| {
                [0, 1].map(|to| last[0] * step[0][to] + last[1] * step[1][to])
            });
            let seen = self.seen(*is_miss);
            forward.push(scaled([0, 1].map(|state| before[state] * seen[state])));
        }
        let mut backward = [1.0; 2];
        for (index, is_miss) in sequence.iter().enumerate().rev() {
            let state = scaled([0, 1].map(|state| forward[index][state] * backward[state]));
            for (from, share) in state.into_iter().enumerate() {
                counts.polls[from] += share;
                counts.misses[from] += share * f64::from(u8::from(*is_miss));
            }
            let seen = self.seen(*is_miss);
            if let Some(former) = index.checked_sub(1).map(|index| forward[index]) {
                let pair = |from: usize, to: usize| {
                    former[from] * step[from][to] * seen[to] * backward[to]
                };
                let pairs = [[pair(0, 0), pair(0, 1)], [pair(1, 0), pair(1, 1)]];
                let all: f64 = pairs.iter().flatten().sum();
                for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    counts.steps[from][to] += pairs[from][to] / all;
                }
            }
            let towards = |from: usize| {
                (0..2)
                    .map(|to| step[from][to] * seen[to] * backward[to])
                    .sum::<f64>()
            };
            backward = scaled([towards(0), towards(1)]);
        }
    }
}

/// Expected numbers, by state: calm, burst.
#[derive(Default)]
struct Counts {
    polls: [f64; 2],
    misses: [f64; 2],
    steps: [[f64; 2]; 2],
}

impl Counts {
    fn model(&self) -> BurstModel {
        let share = |part: f64, all: f64| (part / all).clamp(1e-6, 1.0 - 1e-6);
        let [calm, burst] = self.steps;
        BurstModel {
            enter: share(calm[1], calm[0] + calm[1]),
            leave: share(burst[0], burst[0] + burst[1]),
            miss: [0, 1].map(|state| share(self.misses[state], self.polls[state])),
        }
    }
}

impl Misses {
    /// Returns whether the next poll is lost.
    pub fn next(&mut self, rng: &mut fastrand::Rng) -> bool {
        self.is_burst ^= rng.f64() < self.chances().0;
        rng.f64() < self.chances().1
    }

    /// Returns how many polls it is until the next one that is lost: 1 for the next poll. This
    /// skips the polls between, which takes far less time.
    pub fn next_miss_in(&mut self, rng: &mut fastrand::Rng) -> u64 {
        let mut polls = 0;
        loop {
            let (changes, _) = self.chances();
            // At most polls nothing happens: the state stays, and the poll is not lost.
            polls += self.quiet[usize::from(self.is_burst)].next(rng);
            let something = self.quiet[usize::from(self.is_burst)].probability;
            if rng.f64() * something >= changes {
                return polls;
            }
            // The poll after the change has the probability of the new state.
            self.is_burst ^= true;
            if rng.f64() < self.chances().1 {
                return polls;
            }
        }
    }

    /// Returns the probabilities that the state changes, and that a poll is lost in this state.
    fn chances(&self) -> (f64, f64) {
        match self.is_burst {
            true => (self.model.leave, self.model.miss[1]),
            false => (self.model.enter, self.model.miss[0]),
        }
    }
}

/// Draws the number of the first success among trials, from 1.
struct Geometric {
    probability: f64,
    /// 1 / ln(1 - probability).
    scale: f64,
}

impl Geometric {
    fn new(probability: f64) -> Geometric {
        let scale = (1.0 - probability).ln().recip();
        Geometric { probability, scale }
    }

    fn next(&self, rng: &mut fastrand::Rng) -> u64 {
        let failures = (1.0 - rng.f64()).ln() * self.scale;
        failures as u64 + 1
    }
}

fn scaled([a, b]: [f64; 2]) -> [f64; 2] {
    [a / (a + b), b / (a + b)]
}

/// Checks that the fit finds the parameters that a sequence was made with, and that both ways to
/// draw misses agree.
pub fn check() {
    let made = BurstModel {
        enter: 0.02,
        leave: 0.08,
        miss: [0.004, 0.4],
    };
    let mut rng = fastrand::Rng::with_seed(3);
    let draw = |_| {
        let mut misses = made.misses(&mut rng);
        (0..2_000).map(|_| misses.next(&mut rng)).collect()
    };
    let sequences: Vec<Vec<bool>> = (0..10).map(draw).collect();
    let found = BurstModel::fit(&sequences);
    let pairs = [(found.enter, made.enter), (found.leave, made.leave)];
    let pairs = pairs.into_iter().chain([(found.miss[1], made.miss[1])]);
    for (found, made) in pairs {
        assert!((found / made - 1.0).abs() < 0.25, "{found} for {made}");
    }
    for model in [
        made,
        made.with_base_rate(0.05),
        BurstModel::independent(0.02),
    ] {
        let mut misses = model.misses(&mut rng);
        let polls: u64 = (0..20_000).map(|_| misses.next_miss_in(&mut rng)).sum();
        let rate = 20_000.0 / polls as f64;
        assert!(
            (rate / model.base_rate() - 1.0).abs() < 0.1,
            "{rate} {model:?}"
        );
    }
}
