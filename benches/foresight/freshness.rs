//! The detectors of the literature, at our pings: each suspects a peer when the answer that it
//! expects next is not there by its freshness point.

use crate::link::Ping;
use crate::suspicion::{Suspicion, Suspicions};
use std::collections::VecDeque;

/// A detector that computes, whenever an answer arrives, until when the peer is trusted.
pub trait FreshnessDetector {
    /// Records the answer to the heartbeat that was sent at `sent`, at this time. `interval` is the
    /// time from one heartbeat to the next. Returns until when the peer is trusted.
    fn on_answer(&mut self, sent: f64, at: f64) -> f64;
}

/// Returns the suspicions of a detector about a peer with these answers.
pub fn watch(detector: &mut dyn FreshnessDetector, pings: &[Ping]) -> Vec<Suspicion> {
    let mut suspicions = Suspicions::default();
    let mut trusted_until = f64::INFINITY;
    for ping in pings {
        let Some(answered) = ping.answered else {
            continue;
        };
        let at = answered.as_secs_f64();
        if trusted_until < at {
            suspicions.begin(trusted_until);
        }
        trusted_until = detector.on_answer(ping.sent.as_secs_f64(), at);
        if trusted_until > at {
            suspicions.end(at);
        }
    }
    if trusted_until.is_finite() {
        suspicions.begin(trusted_until);
    }
    suspicions.into_all()
}

/// The latest values, of which the mean and the deviation are used.
struct Window {
    values: VecDeque<f64>,
    most: usize,
}

impl Window {
    fn new(most: usize, values: &[f64]) -> Window {
        let values = values.iter().copied().collect();
        Window { values, most }
    }

    fn push(&mut self, value: f64) {
        if self.values.len() == self.most {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / self.values.len() as f64).sqrt()
    }
}

/// Akka's φ detector (`PhiAccrualFailureDetector.scala`, after N. Hayashibara et al., "The φ
/// Accrual Failure Detector", SRDS 2004): times between two arrivals are normally distributed, and
/// φ is minus the logarithm of the probability that the next one comes later than now.
///
/// The settings are those of Akka's cluster by default: threshold 8, acceptable pause 3 s, 1 000
/// samples, a deviation of at least 100 ms. The estimate for the first interval is our interval, as
/// Akka's is its own.
pub struct AkkaPhi {
    intervals: Window,
    latest: Option<f64>,
    trusted_until: f64,
}

impl AkkaPhi {
    const PAUSE: f64 = 3.0;
    const DEVIATION_MIN: f64 = 0.1;
    const SAMPLES: usize = 1_000;
    /// φ is 8 at this many deviations above the mean, by Akka's approximation of the normal
    /// distribution: e / (1 + e) = 10⁻⁸ with e = exp(-y (1.5976 + 0.070566 y²)).
    const DEVIATIONS: f64 = 5.225_987;

    /// Creates a detector for heartbeats with this interval in seconds.
    pub fn new(interval: f64) -> AkkaPhi {
        let deviation = interval / 4.0;
        let first = [interval - deviation, interval + deviation];
        AkkaPhi {
            intervals: Window::new(Self::SAMPLES, &first),
            latest: None,
            trusted_until: f64::INFINITY,
        }
    }
}

impl FreshnessDetector for AkkaPhi {
    fn on_answer(&mut self, _sent: f64, at: f64) -> f64 {
        // The interval that ends a suspicion is left out, as Akka does.
        if let Some(latest) = self.latest.filter(|_| at < self.trusted_until) {
            self.intervals.push(at - latest);
        }
        self.latest = Some(at);
        let deviation = self.intervals.deviation().max(Self::DEVIATION_MIN);
        let mean = self.intervals.mean() + Self::PAUSE;
        self.trusted_until = at + mean + Self::DEVIATIONS * deviation;
        self.trusted_until
    }
}

/// Cassandra's φ detector (`FailureDetector.java`): times between two arrivals are exponentially
/// distributed, so φ is the time since the latest one over the mean, times log₁₀ e.
///
/// The settings are those of Cassandra by default: threshold 8, 1 000 samples. The first interval
/// counts as two intervals, and longer ones than that are left out.
pub struct CassandraPhi {
    intervals: Window,
    latest: Option<f64>,
    longest: f64,
}

impl CassandraPhi {
    const THRESHOLD: f64 = 8.0;
    const SAMPLES: usize = 1_000;

    /// Creates a detector for heartbeats with this interval in seconds.
    pub fn new(interval: f64) -> CassandraPhi {
        let longest = 2.0 * interval;
        CassandraPhi {
            intervals: Window::new(Self::SAMPLES, &[longest]),
            latest: None,
            longest,
        }
    }
}

impl FreshnessDetector for CassandraPhi {
    fn on_answer(&mut self, _sent: f64, at: f64) -> f64 {
        let interval = self.latest.map(|latest| at - latest);
        if let Some(interval) = interval.filter(|interval| *interval <= self.longest) {
            self.intervals.push(interval);
        }
        self.latest = Some(at);
        at + Self::THRESHOLD * std::f64::consts::LN_10 * self.intervals.mean()
    }
}

/// Chen's NFD-E (W. Chen, S. Toueg, M. K. Aguilera, "On the Quality of Service of Failure
/// Detectors", IEEE Transactions on Computers 51, 2002, §6.3), and with a second window 2W-FD (A.
/// Tomsic et al., "2W-FD: A Failure Detector Algorithm with QoS", IPDPS 2015).
///
/// The next answer is expected when the next heartbeat is sent, plus the mean delay of the answers
/// in a window. It may be late by a margin α; with two windows, by α after the later expectation.
/// NFD-E's window has 32 answers, as in the paper; those of 2W-FD have 1 and 1 000, as in that one.
/// The largest detection time is the interval plus α.
pub struct ExpectedArrival {
    windows: Vec<Window>,
    interval: f64,
    margin: f64,
}

impl ExpectedArrival {
    /// Creates NFD-E for heartbeats with this interval, and with this margin α, in seconds.
    pub fn nfd_e(interval: f64, margin: f64) -> ExpectedArrival {
        Self::with_windows(&[32], interval, margin)
    }

    /// Creates 2W-FD for heartbeats with this interval, and with this margin, in seconds.
    pub fn two_windows(interval: f64, margin: f64) -> ExpectedArrival {
        Self::with_windows(&[1, 1_000], interval, margin)
    }

    fn with_windows(sizes: &[usize], interval: f64, margin: f64) -> ExpectedArrival {
        let windows = sizes.iter().map(|size| Window::new(*size, &[])).collect();
        ExpectedArrival {
            windows,
            interval,
            margin,
        }
    }
}

impl FreshnessDetector for ExpectedArrival {
    fn on_answer(&mut self, sent: f64, at: f64) -> f64 {
        let delays = self.windows.iter_mut().map(|window| {
            window.push(at - sent);
            window.mean()
        });
        let delay = delays.fold(0.0, f64::max);
        sent + self.interval + delay + self.margin
    }
}

/// Checks the detectors on an even sequence of answers, after which the peer is silent.
pub fn check() {
    let y = AkkaPhi::DEVIATIONS;
    let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
    assert!(
        ((-(e / (1.0 + e)).log10()) - 8.0).abs() < 1e-3,
        "{}",
        -e.log10()
    );

    let last = |detector: &mut dyn FreshnessDetector| {
        let until = (1..3_000).map(|n| {
            let sent = f64::from(n) * 15.0;
            detector.on_answer(sent, sent + 0.1) - sent
        });
        until.last().expect("there are answers")
    };
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.01, "{found}");
    near(last(&mut AkkaPhi::new(15.0)), 15.1 + 3.0 + 0.1 * y);
    near(
        last(&mut CassandraPhi::new(15.0)),
        0.1 + 8.0 * 10_f64.ln() * 15.0,
    );
    near(last(&mut ExpectedArrival::nfd_e(15.0, 2.0)), 17.1);
    near(last(&mut ExpectedArrival::two_windows(15.0, 2.0)), 17.1);

    // One late answer moves the mean of 32 by a 32nd, and that of one answer whole.
    let mut chen = ExpectedArrival::nfd_e(15.0, 2.0);
    let mut two = ExpectedArrival::two_windows(15.0, 2.0);
    last(&mut chen);
    last(&mut two);
    near(chen.on_answer(0.0, 3.3), 17.1 + 3.2 / 32.0);
    near(two.on_answer(0.0, 3.3), 20.3);
}
