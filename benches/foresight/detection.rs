//! How soon a death is flagged, and how often a peer that lives is.
//!
//! All detectors see the same answers to the same heartbeats, so they cost the same. Their measures
//! are those of Chen, Toueg and Aguilera (IEEE Transactions on Computers 51, 2002): the detection
//! time T_D, the rate of mistakes, and the duration of a mistake.

use crate::burst_model::BurstModel;
use crate::claims::Claims;
use crate::freshness::{AkkaPhi, CassandraPhi, ExpectedArrival, FreshnessDetector};
use crate::link::Link;
use crate::options::Options;
use crate::pulsegate_health::{Sign, heartbeats};
use crate::statistics::{interval, quantile};
use crate::suspicion::{Suspicion, detection_time};
use crate::table::{Table, secs};
use crate::traces::Traces;
use crate::{freshness, parallel, pulsegate_health};

/// Seconds from one heartbeat to the next: the default.
const INTERVAL: f64 = 15.0;

/// No peer dies before, so each detector has seen some answers.
const WARM_UP: f64 = 75.0;

/// Seconds after a death in which heartbeats are sent: the slowest of our rules needs three.
const AFTERMATH: f64 = 60.0;

const SECONDS_A_DAY: f64 = 86_400.0;

/// A detector with its parameters.
enum Detector {
    Pulsegate(Sign),
    Literature(fn() -> Box<dyn FreshnessDetector>),
}

/// All detectors, the product's first.
const DETECTORS: [(&str, Detector); 10] = [
    (
        "**late** (`Health::late_after`)",
        Detector::Pulsegate(Sign::Late),
    ),
    (
        "1 unanswered ping",
        Detector::Pulsegate(Sign::Unanswered(1)),
    ),
    (
        "2 unanswered pings",
        Detector::Pulsegate(Sign::Unanswered(2)),
    ),
    (
        "Akka's φ, 8, pause 3 s",
        Detector::Literature(|| Box::new(AkkaPhi::new(INTERVAL))),
    ),
    (
        "Cassandra's φ, 8",
        Detector::Literature(|| Box::new(CassandraPhi::new(INTERVAL))),
    ),
    (
        "NFD-E, n = 32, α = 1 s",
        Detector::Literature(|| Box::new(ExpectedArrival::nfd_e(INTERVAL, 1.0))),
    ),
    (
        "NFD-E, n = 32, α = 2 s",
        Detector::Literature(|| Box::new(ExpectedArrival::nfd_e(INTERVAL, 2.0))),
    ),
    (
        "NFD-E, n = 32, α = 4 s",
        Detector::Literature(|| Box::new(ExpectedArrival::nfd_e(INTERVAL, 4.0))),
    ),
    (
        "2W-FD, 1 and 1 000, 1 s",
        Detector::Literature(|| Box::new(ExpectedArrival::two_windows(INTERVAL, 1.0))),
    ),
    (
        "2W-FD, 1 and 1 000, 2 s",
        Detector::Literature(|| Box::new(ExpectedArrival::two_windows(INTERVAL, 2.0))),
    ),
];

impl Detector {
    fn watch(&self, seed: u64, pings: &[crate::link::Ping]) -> Vec<Suspicion> {
        match self {
            Detector::Pulsegate(sign) => pulsegate_health::watch(*sign, seed, pings),
            Detector::Literature(create) => freshness::watch(create().as_mut(), pings),
        }
    }
}

/// Links of one kind, and how much of them is replayed.
struct Source {
    name: &'static str,
    /// What the links do, in a sentence.
    about: &'static str,
    /// Whether TCP's back-off may keep an answer back for longer than any outage lasts.
    backs_off: bool,
    links: Vec<Link>,
    replays: u64,
    deaths_a_replay: u64,
}

/// What one detector did on one link.
#[derive(Default, Clone)]
struct Outcome {
    observed: f64,
    /// Durations of mistakes in seconds, each with that of the outage at that time.
    mistakes: Vec<(f64, f64)>,
    detection_times: Vec<f64>,
}

/// Runs the part.
pub fn run(options: &Options, traces: Option<&Traces>, model: &BurstModel, claims: &mut Claims) {
    println!("\n## Detection: from a death to the flag, and mistakes\n");
    println!("A heartbeat every 15 s. Detection times of 0 belong to peers that were suspected");
    println!("when they died. Intervals (95 %) are those of a bootstrap over links.");
    for source in sources(options, traces, model) {
        let outcomes = replay(options, &source);
        report(options, &source, &outcomes);
        judge(&source, &outcomes, claims);
    }
}

fn sources(options: &Options, traces: Option<&Traces>, model: &BurstModel) -> Vec<Source> {
    let mut sources = Vec::new();
    if let Some(traces) = traces {
        let polls = |name, about, loses| Source {
            name,
            about,
            backs_off: loses,
            links: traces
                .recordings
                .iter()
                .map(|polls| Link::of_polls(polls, loses))
                .collect(),
            replays: options.size(6, 200),
            deaths_a_replay: options.size(20, 4),
        };
        let about = "After a poll that was lost whole, heartbeats wait until the link works again.";
        sources.push(polls("cellular polls", about, false));
        let about = "Heartbeats are lost as the poll's pings were. TCP sends them again, and \
                     doubles its timeout each time.";
        sources.push(polls("cellular polls with TCP's back-off", about, true));
        sources.push(Source {
            name: "delivery gaps",
            about: "Heartbeats and answers wait for the end of a gap.",
            backs_off: false,
            links: traces.gap_traces.iter().map(Link::of_gaps).collect(),
            replays: options.size(16, 400),
            deaths_a_replay: options.size(20, 4),
        });
    }
    let hours = options.size(4.0, 24.0);
    let link = |index| model.link(hours * 3_600.0, &mut options.rng("link", index));
    sources.push(Source {
        name: "burst model",
        about: "As the first, but the polls are lost as the fitted model says.",
        backs_off: false,
        links: parallel::map(options.size(8, 100), link),
        replays: 1,
        deaths_a_replay: options.size(100, 40),
    });
    sources
}

/// Returns the outcomes of each link, each with those of all detectors.
fn replay(options: &Options, source: &Source) -> Vec<Vec<Outcome>> {
    let count = source.links.len() as u64 * source.replays;
    let replays = parallel::map(count, |index| {
        let link = &source.links[(index / source.replays) as usize];
        let mut rng = options.rng(source.name, index);
        replay_once(link, source.deaths_a_replay, &mut rng)
    });
    let merge = |replays: &[Vec<Outcome>]| {
        (0..DETECTORS.len())
            .map(|detector| total(replays, detector))
            .collect()
    };
    replays.chunks(source.replays as usize).map(merge).collect()
}

fn replay_once(link: &Link, deaths: u64, rng: &mut fastrand::Rng) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::default(); DETECTORS.len()];
    let seed = rng.u64(..);
    let pings = link.answers(&heartbeats(seed, link.length()), None, rng);
    for ((_, detector), outcome) in DETECTORS.iter().zip(&mut outcomes) {
        outcome.observed = link.length();
        for suspicion in detector.watch(seed, &pings) {
            // What begins after the last heartbeat is due to the end of the replay.
            let Some(until) = suspicion.until else {
                continue;
            };
            let outage = link.outage_within(suspicion.from - INTERVAL, until);
            outcome.mistakes.push((until - suspicion.from, outage));
        }
    }
    for _ in 0..deaths {
        let seed = rng.u64(..);
        let death = WARM_UP + (link.length() - WARM_UP) * rng.f64();
        let pings = link.answers(&heartbeats(seed, death + AFTERMATH), Some(death), rng);
        for ((_, detector), outcome) in DETECTORS.iter().zip(&mut outcomes) {
            let suspicions = detector.watch(seed, &pings);
            outcome
                .detection_times
                .push(detection_time(&suspicions, death));
        }
    }
    outcomes
}

/// Returns the figures of one detector over all links.
fn total(outcomes: &[Vec<Outcome>], detector: usize) -> Outcome {
    let mut all = Outcome::default();
    for outcome in outcomes.iter().map(|link| &link[detector]) {
        all.observed += outcome.observed;
        all.mistakes.extend(&outcome.mistakes);
        all.detection_times.extend(&outcome.detection_times);
    }
    all
}

impl Outcome {
    fn mistakes_a_day(&self) -> f64 {
        self.mistakes.len() as f64 / self.observed * SECONDS_A_DAY
    }

    fn detection(&self, q: f64) -> f64 {
        quantile(&self.detection_times, q)
    }
}

fn report(options: &Options, source: &Source, outcomes: &[Vec<Outcome>]) {
    let mut table = Table::new(&[
        "detector",
        "T_D p50",
        "T_D p99",
        "mistakes a day and connection",
        "mistake p50",
        "mistake max",
    ]);
    for (detector, (name, _)) in DETECTORS.iter().enumerate() {
        let all = total(outcomes, detector);
        let rates: Vec<(f64, f64)> = outcomes
            .iter()
            .map(|link| {
                (
                    link[detector].mistakes.len() as f64,
                    link[detector].observed,
                )
            })
            .collect();
        let (low, high) = interval(&mut options.rng("intervals", 0), &rates, |drawn| {
            let observed: f64 = drawn.iter().map(|(_, observed)| observed).sum();
            Some(drawn.iter().map(|(count, _)| count).sum::<f64>() / observed * SECONDS_A_DAY)
        });
        let durations: Vec<f64> = all.mistakes.iter().map(|(duration, _)| *duration).collect();
        table.row(vec![
            (*name).to_string(),
            secs(all.detection(0.5)),
            secs(all.detection(0.99)),
            format!("{:.1} ({low:.1} to {high:.1})", all.mistakes_a_day()),
            secs(quantile(&durations, 0.5)),
            secs(quantile(&durations, 1.0)),
        ]);
    }
    let late = total(outcomes, 0);
    table.print(&format!(
        "**{}**: {} links, {:.0} hours of connections, {} deaths. {}",
        source.name,
        source.links.len(),
        late.observed / 3_600.0,
        late.detection_times.len(),
        source.about
    ));
}

fn judge(source: &Source, outcomes: &[Vec<Outcome>], claims: &mut Claims) {
    let name = source.name;
    let late = total(outcomes, 0);
    let (p50, p99) = (late.detection(0.5), late.detection(0.99));
    claims.require(
        p50 <= 10.0 && p99 <= 18.0,
        format!("{name}: death to late p50 {p50:.1} s (≤ 10), p99 {p99:.1} s (≤ 18)"),
    );
    let is_better = |index: &usize| {
        let baseline = total(outcomes, *index);
        baseline.detection(0.5) < p50 && baseline.mistakes_a_day() < late.mistakes_a_day()
    };
    let better: Vec<&str> = (1..DETECTORS.len())
        .filter(is_better)
        .map(|index| DETECTORS[index].0)
        .collect();
    claims.require(
        better.is_empty(),
        format!("{name}: no baseline has a smaller p50 of T_D and fewer mistakes {better:?}"),
    );
    let excess = |(duration, outage): &(f64, f64)| duration - outage;
    let excesses: Vec<f64> = late.mistakes.iter().map(excess).collect();
    let worst = quantile(&excesses, 1.0);
    let longer = excesses.iter().filter(|excess| **excess > INTERVAL).count();
    let what = format!(
        "{name}: a mistake lasts no longer than the outage and one interval: {longer} of {} do; \
         the largest difference to the outage is {worst:.1} s (≤ {INTERVAL})",
        excesses.len()
    );
    match source.backs_off {
        true => claims.state(longer == 0, what),
        false => claims.require(longer == 0, what),
    }
}
