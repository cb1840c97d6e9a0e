//! The recordings of cellular networks, which are read from beside the project.
//!
//! `cellular-polls.csv` is derived from D. Raca et al., "Beyond Throughput, The Next Generation: a
//! 5G Dataset with Channel and Context Metrics" (MMSys 2020), `delivery-gaps.csv` from K. Winstein
//! et al., "Stochastic Forecasts Achieve High Throughput and Low Delay over Cellular Networks"
//! (NSDI 2013).

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Names another folder than `../shared/traces`.
const FOLDER_VARIABLE: &str = "FORESIGHT_TRACES";

/// About five pings in a row. Polls are about 13 s apart.
pub struct Poll {
    /// Seconds since the recording began.
    pub at: f64,
    /// The lowest, mean and highest RTT of its pings in seconds; `None` if all were lost.
    pub rtt: Option<[f64; 3]>,
    /// The share of its pings that were lost.
    pub loss: f64,
    /// Whether the phone was in a network older than 4G.
    pub is_old_network: bool,
}

impl Poll {
    /// Returns whether the poll was lost whole: the miss that is to be predicted.
    pub fn is_miss(&self) -> bool {
        self.loss >= 1.0
    }
}

/// A link that was saturated, and the times for which it delivered nothing.
pub struct GapTrace {
    /// The network.
    pub name: String,
    /// Its length in seconds.
    pub length: f64,
    /// Start and length of each gap in seconds, in order.
    pub gaps: Vec<(f64, f64)>,
}

/// All that was recorded.
pub struct Traces {
    /// The polls of each recording, in order.
    pub recordings: Vec<Vec<Poll>>,
    /// The links with gaps.
    pub gap_traces: Vec<GapTrace>,
}

impl Traces {
    /// Reads the traces; `None` if there is no such folder.
    pub fn read() -> Option<Traces> {
        let folder = env::var_os(FOLDER_VARIABLE).map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
            PathBuf::from,
        );
        if !folder.is_dir() {
            return None;
        }
        Some(Traces {
            recordings: read_polls(&folder.join("cellular-polls.csv")),
            gap_traces: read_gaps(&folder.join("delivery-gaps.csv")),
        })
    }
}

fn read_polls(file: &Path) -> Vec<Vec<Poll>> {
    let mut recordings: Vec<(String, Vec<Poll>)> = Vec::new();
    let columns = "recording,kind,t_s,rtt_avg_ms,rtt_min_ms,rtt_max_ms,loss_percent,network,";
    for row in rows(file, columns) {
        let ms = |column: usize| row[column].parse::<f64>().ok().map(|ms| ms / 1_000.0);
        let rtt = ms(4).zip(ms(3)).zip(ms(5));
        let loss = number(&row[6]) / 100.0;
        let poll = Poll {
            at: number(&row[2]),
            rtt: rtt.map(|((low, mean), high)| [low, mean, high]),
            loss,
            is_old_network: !["5G", "NR", "LTE", "4G"].contains(&row[7].as_str()),
        };
        assert_eq!(poll.rtt.is_none(), poll.is_miss(), "{row:?}");
        if recordings.last().is_none_or(|(name, _)| *name != row[0]) {
            recordings.push((row[0].clone(), Vec::new()));
        }
        let (_, polls) = recordings.last_mut().expect("one was just added");
        assert!(polls.last().is_none_or(|last| last.at < poll.at), "{row:?}");
        polls.push(poll);
    }
    recordings.into_iter().map(|(_, polls)| polls).collect()
}

fn read_gaps(file: &Path) -> Vec<GapTrace> {
    let mut traces: Vec<GapTrace> = Vec::new();
    for row in rows(file, "trace,length_s,gap_start_s,gap_s") {
        if traces.last().is_none_or(|trace| trace.name != row[0]) {
            traces.push(GapTrace {
                name: row[0].clone(),
                length: number(&row[1]),
                gaps: Vec::new(),
            });
        }
        let trace = traces.last_mut().expect("one was just added");
        trace.gaps.push((number(&row[2]), number(&row[3])));
    }
    traces
}

/// Returns the cells of all rows of a file whose first line begins with these columns.
fn rows(file: &Path, columns: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    assert!(
        head.starts_with(columns),
        "{} begins with {head}",
        file.display()
    );
    let cells = |line: &str| line.split(',').map(str::to_string).collect();
    lines.map(cells).collect()
}

fn number(cell: &str) -> f64 {
    cell.parse()
        .unwrap_or_else(|_| panic!("{cell:?} is no number"))
}
