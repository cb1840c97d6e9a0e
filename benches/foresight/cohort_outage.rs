//! How soon the alarm of a cohort is raised when its network dies.

use crate::burst_model::BurstModel;
use crate::claims::Claims;
use crate::options::Options;
use crate::parallel;
use crate::statistics::quantile;
use crate::table::Table;
use pulsegate::Micros;
use pulsegate::engine::wheel::PING_GRID;
use pulsegate::health::{Cohort, CohortChange, Health, Policy};

/// All connections of the gateway. Those of other cohorts do not change the score of this one.
const CONNECTIONS: u64 = 18_000;

/// Seconds between the first and the last connection that opens, and from then to the outage. In
/// this time the cohort learns how many heartbeats are late as a rule.
const OPENING: f64 = 600.0;
const BEFORE: f64 = 3_600.0;

/// The share of heartbeats that are late while the network works.
const BACKGROUND: f64 = 0.02;

/// One answer in this many is counted for the usual share, as the engine does.
pub const SAMPLE: u64 = 16;

/// Runs the part.
pub fn run(options: &Options, model: &BurstModel, claims: &mut Claims) {
    let columns = [
        "peers that go dark",
        "runs",
        "alarm p50",
        "p90",
        "p99",
        "max",
    ];
    let mut table = Table::new(&columns);
    let model = model.with_base_rate(BACKGROUND);
    let runs = options.size(60, 4_000);
    for (peers, most) in [(200, 3.0), (20, 9.0)] {
        let times = parallel::map(runs, |index| {
            alarm_after(peers, &model, &mut options.rng("outage", index))
        });
        let at = |q| quantile(&times, q);
        let quantiles = [0.5, 0.9, 0.99, 1.0].map(|q| format!("{:.2} s", at(q)));
        let mut row = vec![format!("{peers} of {CONNECTIONS}"), runs.to_string()];
        row.extend(quantiles);
        table.row(row);
        claims.require(
            at(0.5) <= most,
            format!(
                "{peers} peers of one block go dark: alarm after {:.2} s, p50 (≤ {most}); p90 \
                 {:.2} s, p99 {:.2} s",
                at(0.5),
                at(0.9),
                at(0.99)
            ),
        );
    }
    table.print("From an outage to the alarm of its cohort, background of 2 % in bursts");
}

/// What happens to the heartbeats of a cohort.
enum Event {
    Answered,
    Late(u32),
}

/// Returns the seconds from the outage to the alarm.
fn alarm_after(peers: u64, model: &BurstModel, rng: &mut fastrand::Rng) -> f64 {
    let policy = Policy::DEFAULT;
    let interval = policy.heartbeat_interval;
    let outage = Micros(((OPENING + BEFORE + 15.0 * rng.f64()) * 1e6) as u64);
    let mut events = Vec::new();
    for peer in 0..peers {
        // Each n-th slot belongs to the cohort, and the generation of its connection is any.
        let slot = peer * CONNECTIONS / peers;
        let seed = slot << 32 | u64::from(rng.u32(..));
        let opened = Micros((OPENING * 1e6 * rng.f64()) as u64);
        let health = Health::new(&policy, opened, seed);
        let mut sent = on_grid(health.ping_due(&policy));
        let mut misses = model.misses(rng);
        while sent < outage + Micros::from_secs(60) {
            let is_lost = misses.next(rng) || sent >= outage;
            events.push(match is_lost {
                true => (late_at(sent), Event::Late(peer as u32)),
                false => (sent + Micros::from_millis(80), Event::Answered),
            });
            sent = on_grid(sent + interval);
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let mut cohort = Cohort::default();
    let mut answers = rng.u64(..SAMPLE);
    for (at, event) in events {
        let second = at.as_secs() as u32;
        cohort.expire(second);
        let change = match event {
            Event::Late(peer) => cohort.on_late(peer, second),
            Event::Answered => {
                answers += 1;
                if answers.is_multiple_of(SAMPLE) {
                    cohort.count(SAMPLE as u32);
                }
                cohort.on_answered()
            }
        };
        if change == Some(CohortChange::Alarmed) && at >= outage {
            return (at - outage).as_secs_f64();
        }
    }
    f64::INFINITY
}

/// Returns when a heartbeat is late that is not answered: after 2 s, on the grid.
fn late_at(sent: Micros) -> Micros {
    on_grid(sent + Micros::from_secs(2))
}

fn on_grid(at: Micros) -> Micros {
    Micros(at.0.next_multiple_of(PING_GRID.0))
}
