//! What foresight can do and what it cannot: `docs/foresight.md` has the tables.
//!
//! ```text
//! cargo bench --bench foresight                       # all parts
//! cargo bench --bench foresight -- misses --seed 3    # one part, from another seed
//! cargo bench --bench foresight -- --short            # a few seconds, as CI runs it
//! ```
//!
//! Recordings of cellular networks are read from `../shared/traces`, or from the folder that
//! `FORESIGHT_TRACES` names. Without them the parts run on models alone. All that is random follows
//! from the seed, which is printed. All claims are printed at the end. The program fails if one is
//! missed that was met when it was written.

mod burst_model;
mod claims;
mod cohort_alarms;
mod cohort_outage;
mod detection;
mod freshness;
mod link;
mod miss_samples;
mod misses;
mod nat;
mod options;
mod parallel;
mod pulsegate_health;
mod statistics;
mod suspicion;
mod table;
mod traces;

use burst_model::BurstModel;
use claims::Claims;
use options::Options;
use std::process::ExitCode;
use traces::{Poll, Traces};

const PARTS: [&str; 4] = ["detection", "misses", "cohorts", "nat"];

fn main() -> ExitCode {
    let options = Options::from_args(&PARTS);
    println!(
        "# Foresight: seed {}, {} run",
        options.seed,
        options.size("short", "full")
    );
    statistics::check();
    link::check();
    freshness::check();
    pulsegate_health::check();
    burst_model::check();
    let traces = Traces::read();
    let model = model(traces.as_ref());
    let mut claims = Claims::default();
    if options.runs("detection") {
        detection::run(&options, traces.as_ref(), &model, &mut claims);
    }
    if options.runs("misses") {
        misses::run(&options, traces.as_ref(), &model, &mut claims);
    }
    if options.runs("cohorts") {
        println!("\n## Cohorts");
        cohort_outage::run(&options, &model, &mut claims);
        cohort_alarms::run(&options, &model, &mut claims);
    }
    if options.runs("nat") {
        nat::run(&options, &mut claims);
    }
    match claims.print() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Returns the model of bursts, fitted to the recordings if they are there, and prints it.
fn model(traces: Option<&Traces>) -> BurstModel {
    let model = match traces {
        None => {
            println!("\nThere are no traces: all parts run on models alone.");
            BurstModel::FITTED
        }
        Some(traces) => {
            let misses = |polls: &Vec<Poll>| polls.iter().map(Poll::is_miss).collect();
            let sequences: Vec<Vec<bool>> = traces.recordings.iter().map(misses).collect();
            let polls: usize = sequences.iter().map(Vec::len).sum();
            let missed = sequences
                .iter()
                .flatten()
                .filter(|is_miss| **is_miss)
                .count();
            println!(
                "\nTraces: {} recordings with {polls} polls, of which {missed} were lost ({:.3}); \
                 {} links with gaps.",
                sequences.len(),
                missed as f64 / polls as f64,
                traces.gap_traces.len()
            );
            BurstModel::fit(&sequences)
        }
    };
    println!(
        "\nModel of bursts: of all polls {:.3} are lost. A burst begins every {:.0} polls and has \
         {:.1}, of which {:.2} are lost; of the others, {:.6}.",
        model.base_rate(),
        1.0 / model.enter,
        1.0 / model.leave,
        model.miss[1],
        model.miss[0]
    );
    model
}
