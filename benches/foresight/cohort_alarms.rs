//! How many alarms cohorts raise although nothing has happened.
//!
//! A cohort of 20 peers has 3.5 million heartbeats in 30 days. Stretches in which nothing is late
//! and the score is zero are skipped; everything else is told to the product's [`Cohort`].

use crate::burst_model::{BurstModel, Misses};
use crate::claims::Claims;
use crate::options::Options;
use crate::parallel;
use crate::statistics::poisson_upper;
use crate::table::Table;
use pulsegate::health::{Cohort, CohortChange};

const COHORTS: u64 = 1_000;
const DAYS: u64 = 30;
const INTERVAL_SECS: u64 = 15;

/// The most false alarms in 30 days.
const ALARMS_MAX: f64 = 0.1;

/// Cohorts of one kind.
struct Case {
    name: &'static str,
    model: BurstModel,
    peers: u64,
    /// How many cohorts are run for 30 days: 1 000 are one repetition.
    cohorts: u64,
    /// The most alarms in 30 days, if that is a claim.
    most: Option<f64>,
}

/// Runs the part.
pub fn run(options: &Options, model: &BurstModel, claims: &mut Claims) {
    let in_bursts = |rate| model.with_base_rate(rate);
    let case = |name, model, peers, cohorts, most| Case {
        name,
        model,
        peers,
        cohorts,
        most,
    };
    let independent = BurstModel::independent;
    let cases = [
        case(
            "2 % in bursts",
            in_bursts(0.02),
            20,
            32_000,
            Some(ALARMS_MAX),
        ),
        case("2 % independent", independent(0.02), 20, 1_000, None),
        case("2 % in bursts", in_bursts(0.02), 200, 100, None),
        case("5 % in bursts", in_bursts(0.05), 20, 1_000, None),
        case("5 % in bursts", in_bursts(0.05), 200, 100, None),
    ];
    let columns = [
        "late heartbeats",
        "peers a cohort",
        "repetitions",
        "alarms",
        "alarms in 30 days of 1 000 cohorts",
        "95 % bound",
    ];
    let mut table = Table::new(&columns);
    for case in cases {
        // In a short run, one day of some cohorts.
        let cohorts = options.size(50, case.cohorts);
        let days = options.size(1, DAYS);
        let alarms: u64 = parallel::map(cohorts, |index| {
            let mut rng = options.rng(case.name, index << 8 | case.peers);
            false_alarms(case.peers, &case.model, days, &mut rng)
        })
        .into_iter()
        .sum();
        let done = (cohorts * days) as f64 / (COHORTS * DAYS) as f64;
        let (rate, bound) = (alarms as f64 / done, poisson_upper(alarms) / done);
        // All of them take minutes.
        eprintln!(
            "{} of {} peers, {}: {alarms} alarms",
            cohorts, case.peers, case.name
        );
        table.row(vec![
            case.name.to_string(),
            case.peers.to_string(),
            format!("{done:.1}"),
            alarms.to_string(),
            format!("{rate:.3}"),
            format!("{bound:.3}"),
        ]);
        if let Some(most) = case.most.filter(|_| !options.is_short) {
            claims.require(
                rate <= most,
                format!(
                    "{rate:.3} false alarms (≤ {most}) in 30 days with 1 000 cohorts of {}, {}; \
                     95 % bound {bound:.3}",
                    case.peers, case.name
                ),
            );
        }
    }
    table.print("False alarms: nothing happens, but heartbeats are late");
}

/// Returns the alarms of one cohort.
fn false_alarms(peers: u64, model: &BurstModel, days: u64, rng: &mut fastrand::Rng) -> u64 {
    let rounds = days * 86_400 / INTERVAL_SECS;
    let mut lates = Lates::new(peers, model, rng);
    let mut cohort = Cohort::default();
    let (mut heartbeats, mut alarms) = (0, 0);
    loop {
        let (round, peer) = lates.next(rng);
        if round >= rounds {
            return alarms;
        }
        let number = round * peers + peer;
        let answers = number - heartbeats;
        heartbeats = number + 1;
        // In the engine a sample of the answers stands for all of them.
        cohort.count(u32::try_from(answers).unwrap_or(u32::MAX));
        for _ in 0..answers {
            if !cohort.is_warm() {
                break;
            }
            cohort.on_answered();
        }
        let second = number * INTERVAL_SECS / peers;
        let change = cohort.on_late(peer as u32, second as u32);
        alarms += u64::from(change == Some(CohortChange::Alarmed));
    }
}

/// The late heartbeats of a cohort, in order. In each round each peer has one, in the same order.
struct Lates {
    /// The round of the next late heartbeat of each peer.
    next: Vec<u64>,
    misses: Vec<Misses>,
}

impl Lates {
    fn new(peers: u64, model: &BurstModel, rng: &mut fastrand::Rng) -> Lates {
        let mut misses: Vec<Misses> = (0..peers).map(|_| model.misses(rng)).collect();
        let next = misses
            .iter_mut()
            .map(|misses| misses.next_miss_in(rng))
            .collect();
        Lates { next, misses }
    }

    /// Returns the round and the peer of the next late heartbeat.
    fn next(&mut self, rng: &mut fastrand::Rng) -> (u64, u64) {
        let rounds = self.next.iter().copied().enumerate();
        let (peer, round) = rounds
            .min_by_key(|(_, round)| *round)
            .expect("there are peers");
        self.next[peer] = round + self.misses[peer].next_miss_in(rng);
        (round, peer as u64)
    }
}
