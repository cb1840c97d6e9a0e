//! The measurement of the rule about identities with persistent trouble.

use super::alert_rule::Measurement;
use super::rule_input::RuleInput;
use crate::gateway::LogValue;
use crate::side::watch::troubled::RankedIdentity;

/// The most identities that a summary names.
pub(in crate::side::watch) const NAMED_MAX: usize = 20;

/// Returns how many identities have persistent trouble.
pub(super) fn persistent_trouble(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let trouble = &input.sample.trouble;
    let named: Vec<String> = trouble.worst.iter().take(NAMED_MAX).map(name_of).collect();
    let more = match trouble.count.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (identities, have) = match trouble.count {
        1 => ("identity", "has"),
        _ => ("identities", "have"),
    };
    let summary = format!(
        "{} {identities} {have} lost connections for hours: {}{more}",
        trouble.count,
        named.join(", ")
    );
    let threshold = input.settings.persistent_trouble as f64;
    Measurement::single(trouble.count as f64, threshold, summary)
}

/// Returns the name of an identity, as the log writes it.
fn name_of(ranked: &RankedIdentity) -> String {
    let user = LogValue(&ranked.user).to_string();
    match (&ranked.package, ranked.address) {
        (Some(package), _) => format!("{user} with {}", LogValue(package)),
        (None, Some(address)) => format!("{user} at {address}"),
        (None, None) => user,
    }
}
