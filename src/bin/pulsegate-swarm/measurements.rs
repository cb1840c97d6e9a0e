//! The measurements: counters during the run, and one JSON object at the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::args::Args;
use crate::clock::{MILLI, SECOND};
use crate::conn_end::ConnEnd;
use crate::cpu::CpuTime;
use crate::histogram::DurationHistogram;

/// All counters; times are in microseconds.
pub struct Measurements {
    pub connected: u64,
    /// Connections open now, without ghosts that the server has closed.
    pub open: u64,
    /// Connections open when the hold ended or was interrupted.
    pub open_at_end: u64,
    failures: BTreeMap<String, u64>,
    pub pings: u64,
    pub ping_intervals: DurationHistogram,
    /// Pings of each connection that stayed open and answered until the end.
    pub pings_per_connection: DurationHistogram,
    pub fewest_pings: Option<u64>,
    pub asked: u64,
    pub round_trips: DurationHistogram,
    pub handshakes: DurationHistogram,
    pub ghosts: GhostCounts,
    unexpected: BTreeMap<String, u64>,
    farewells: BTreeMap<String, u64>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub ramp_time: u64,
    pub hold_time: u64,
    pub total_time: u64,
    /// The CPU time of the swarm in the hold, and the longest time that it was away from its poll.
    pub hold_cpu: CpuTime,
    pub longest_turn: u64,
    pub interrupted: bool,
}

/// The counters of ghosts.
#[derive(Default)]
pub struct GhostCounts {
    /// Ghosts that fell silent.
    pub silent: u64,
    /// How the server closed ghosts: counts by kind of end.
    closes: BTreeMap<String, u64>,
    /// For each ghost that was found: the time from its last frame to its end, less the timeout.
    late: Vec<i64>,
    /// Closed sockets that the server then reset (RST), without an action of the ghost.
    pub dropped: u64,
}

impl Measurements {
    pub fn new() -> Self {
        Measurements {
            connected: 0,
            open: 0,
            open_at_end: 0,
            failures: BTreeMap::new(),
            pings: 0,
            ping_intervals: DurationHistogram::new(),
            pings_per_connection: DurationHistogram::new(),
            fewest_pings: None,
            asked: 0,
            round_trips: DurationHistogram::new(),
            handshakes: DurationHistogram::new(),
            ghosts: GhostCounts::default(),
            unexpected: BTreeMap::new(),
            farewells: BTreeMap::new(),
            bytes_in: 0,
            bytes_out: 0,
            ramp_time: 0,
            hold_time: 0,
            total_time: 0,
            hold_cpu: CpuTime::default(),
            longest_turn: 0,
            interrupted: false,
        }
    }

    /// Counts a connection that never opened.
    pub fn count_failure(&mut self, kind: String) {
        *self.failures.entry(kind).or_default() += 1;
    }

    pub fn failures(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Counts a connection that ended although it answered every ping.
    pub fn count_unexpected(&mut self, end: &ConnEnd) {
        *self.unexpected.entry(end.kind()).or_default() += 1;
    }

    pub fn unexpected_count(&self) -> u64 {
        self.unexpected.values().sum()
    }

    /// Counts a connection that ended after the swarm's close frame.
    pub fn count_farewell(&mut self, end: &ConnEnd) {
        *self.farewells.entry(end.kind()).or_default() += 1;
    }

    /// Counts a connection that stayed open to the end and received this many pings.
    pub fn count_survivor(&mut self, pings: u64) {
        self.pings_per_connection.add(pings);
        self.fewest_pings = Some(self.fewest_pings.map_or(pings, |fewest| fewest.min(pings)));
    }

    pub fn report(mut self, args: &Args) -> Value {
        let ghosts = self.ghosts.report(args);
        json!({
            "target": format!("ws://{}{}", args.target.host, args.path),
            "connections": args.connections,
            "seed": args.seed,
            "interrupted": self.interrupted,
            "connected": self.connected,
            "open_at_end": self.open_at_end,
            "failed": self.failures(),
            "failures": self.failures,
            "pings": {
                "received": self.pings,
                "per_connection": {
                    "min": self.fewest_pings,
                    "max": self.fewest_pings.map(|_| self.pings_per_connection.max()),
                },
                "interval_ms": spread(&self.ping_intervals),
            },
            "json_pings": { "sent": self.asked, "rtt_ms": spread(&self.round_trips) },
            "ghosts": ghosts,
            "closes": {
                "unexpected": self.unexpected,
                "ghosts": self.ghosts.closes,
                "farewell": self.farewells,
            },
            "handshake_ms": spread(&self.handshakes),
            "bytes": { "in": self.bytes_in, "out": self.bytes_out },
            "elapsed_s": {
                "ramp": seconds(self.ramp_time),
                "hold": seconds(self.hold_time),
                "total": seconds(self.total_time),
            },
            "own": {
                "hold_cpu_user_s": self.hold_cpu.user,
                "hold_cpu_system_s": self.hold_cpu.system,
                "hold_longest_turn_ms": millis(self.longest_turn as i64),
            },
        })
    }
}

impl GhostCounts {
    /// Counts a ghost that the server closed or reset, `late` µs after its timeout (negative:
    /// before it).
    pub fn count_found(&mut self, end: &ConnEnd, late: i64) {
        *self.closes.entry(end.kind()).or_default() += 1;
        // A server that shuts down tells nothing about how it finds ghosts.
        if !matches!(end, ConnEnd::Closed(Some(1001 | 1012))) {
            self.late.push(late);
        }
    }

    pub fn found_count(&self) -> u64 {
        self.closes.values().sum()
    }

    fn report(&mut self, args: &Args) -> Value {
        self.late.sort_unstable();
        let rank = |per_mille: usize| {
            let rank = (self.late.len() * per_mille).div_ceil(1_000).max(1);
            self.late.get(rank - 1).copied().map(millis)
        };
        json!({
            "asked": args.ghosts,
            "silent": self.silent,
            "closed": self.found_count(),
            "never_closed": self.silent - self.found_count(),
            "dropped_after_close": self.dropped,
            "timeout_ms": args.timeout / MILLI,
            "early": self.late.iter().filter(|&&late| late < 0).count(),
            "late_ms": { "min": rank(0), "p50": rank(500), "p99": rank(990), "max": rank(1_000) },
        })
    }
}

fn spread(histogram: &DurationHistogram) -> Value {
    if histogram.count() == 0 {
        return Value::Null;
    }
    json!({
        "count": histogram.count(),
        "p50": millis(histogram.quantile(500) as i64),
        "p99": millis(histogram.quantile(990) as i64),
        "max": millis(histogram.max() as i64),
    })
}

fn millis(micros: i64) -> f64 {
    micros as f64 / MILLI as f64
}

fn seconds(micros: u64) -> f64 {
    (micros / MILLI) as f64 / (SECOND / MILLI) as f64
}
