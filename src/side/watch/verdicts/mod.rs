//! Verdicts on the ends of connections: joined with the reports of clients, counted once each.

mod end_verdicts;
mod report_join;
#[cfg(test)]
mod tests;
mod verdict_counts;

pub(in crate::side) use self::end_verdicts::EndVerdicts;
pub(in crate::side) use self::report_join::JoinOutcome;
pub(in crate::side) use self::verdict_counts::{VerdictCounts, VerdictGrowth};
