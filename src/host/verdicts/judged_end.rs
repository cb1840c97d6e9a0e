//! The verdict on one end, with what it is made from.

use super::both_table;
use super::end_facts::EndFacts;
use super::end_verdict::EndVerdict;
use super::gateway_table;
use super::row_words::RowWords;
use crate::host::reports::PackedReport;

/// Whose records a verdict is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two sides")]
pub enum Evidence {
    /// The gateway's alone.
    Gateway,
    /// The gateway's and the client's.
    Both,
}

/// The verdict on the end of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JudgedEnd {
    /// Why the connection ended.
    pub verdict: EndVerdict,
    /// Whose records say so.
    pub evidence: Evidence,
    /// What must hold for the verdict; `None`: it is unknown.
    pub words: Option<&'static RowWords>,
    /// What the gateway knows of the end.
    pub facts: EndFacts,
    /// Whether the client may still report the end: it speaks pulse, and reports are taken.
    pub awaits_report: bool,
}

impl Evidence {
    /// Both kinds; the position equals the number that `as usize` yields.
    pub const ALL: [Evidence; 2] = [Evidence::Gateway, Evidence::Both];

    /// Returns the name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Evidence::Gateway => "gateway",
            Evidence::Both => "both",
        }
    }
}

impl JudgedEnd {
    /// Judges an end by the gateway's side alone.
    pub(super) fn by_gateway(facts: EndFacts, awaits_report: bool) -> Self {
        let (verdict, words) = gateway_table::judge(&facts);
        JudgedEnd {
            verdict,
            words,
            evidence: Evidence::Gateway,
            facts,
            awaits_report,
        }
    }

    /// Judges the end again with what the client says of it, in a report that was received
    /// `after_ms` milliseconds after the end; before it if that is negative.
    #[must_use]
    pub fn with_report(self, report: &PackedReport, after_ms: i64) -> Self {
        let facts = self.facts.with_heard(report.heard_ago(), after_ms);
        let (verdict, words) = both_table::judge(&facts, report);
        JudgedEnd {
            verdict,
            words,
            facts,
            evidence: Evidence::Both,
            awaits_report: false,
            ..self
        }
    }
}

impl EndVerdict {
    /// Returns the verdict on what a client says of tries none of which has succeeded, if it has
    /// tried several times.
    pub fn of_never_open(report: &PackedReport) -> Option<Self> {
        both_table::judge_never_open(report)
    }
}
