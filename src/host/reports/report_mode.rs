//! What is done with the reports of clients, and how many there were.

use std::fmt;

/// What is done with the reports of clients (`CLIENT_REPORTS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReportMode {
    /// The hello promises no room for a report. One that comes anyway is counted and ignored.
    #[default]
    Off,
    /// A report is parsed, and it corrects the verdict on the connections that it is about. What
    /// it says is not kept.
    Count,
    /// What a report says is kept beside the records of the connections that it is about, too.
    Keep,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportOutcome {
    /// It was taken.
    Taken,
    /// It was ignored: `CLIENT_REPORTS` is `off`.
    Off,
    /// It was ignored: it was not the first report of its connection.
    Repeated,
    /// It was ignored: it is not valid, or is larger than 2 048 bytes.
    Invalid,
}

/// How many reports there were, by [`ReportOutcome`].
pub type ReportCounts = [u64; ReportOutcome::ALL.len()];

impl ReportOutcome {
    /// All outcomes; the position equals the number that `as usize` yields.
    pub const ALL: &[ReportOutcome] = &[
        ReportOutcome::Taken,
        ReportOutcome::Off,
        ReportOutcome::Repeated,
        ReportOutcome::Invalid,
    ];

    /// Returns the name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            ReportOutcome::Taken => "taken",
            ReportOutcome::Off => "off",
            ReportOutcome::Repeated => "repeated",
            ReportOutcome::Invalid => "invalid",
        }
    }
}

impl ReportMode {
    /// All modes.
    pub const ALL: [ReportMode; 3] = [ReportMode::Off, ReportMode::Count, ReportMode::Keep];

    /// Returns the name in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            ReportMode::Off => "off",
            ReportMode::Count => "count",
            ReportMode::Keep => "keep",
        }
    }
}

impl fmt::Display for ReportMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
