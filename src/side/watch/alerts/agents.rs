//! Finds a user agent that lost or suspect connections have in common, if it is not as frequent
//! among all connections.

use super::sample::percent;
use crate::gateway::AgentCount;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// With fewer losses or suspects than this no common user agent is named: fewer may be alike by
/// chance.
const CONNECTIONS_MIN: u64 = 20;

/// A user agent is common to a group of losses or suspects if at least this percentage of them has
/// it, and the condition of `EXTRA_POINTS` holds.
const COMMON_PERCENT: f64 = 80.0;

/// The share of a common user agent must exceed its share of all connections by this many
/// percentage points. If nearly all clients have one release, the lost ones have it, too, whatever
/// the reason of the loss.
const EXTRA_POINTS: f64 = 20.0;

/// The most bytes of a user agent that a summary shows.
const SHOWN_BYTES: usize = 48;

/// The user agents of lost identities, or of suspects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AgentTally {
    /// The number of lost identities or suspects, including those without a user agent.
    lost: u64,
    by_name: BTreeMap<Arc<str>, u64>,
}

/// A user agent that is common to losses or suspects.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CommonAgent {
    /// The group that it is common to.
    group: &'static str,
    name: Arc<str>,
    /// The percentage of the group that has it.
    group_share: f64,
    /// The highest percentage of the connections that had it, over the window. `None`: it is not
    /// among the most frequent ones.
    total_share: Option<f64>,
}

impl AgentTally {
    /// Returns the user agents of a class's suspects; `many` is the number of all suspects.
    pub(super) fn of_suspects(many: u64, counts: &[AgentCount]) -> Self {
        let suspects = counts.iter().filter(|count| count.suspects > 0);
        let by_name: BTreeMap<_, _> = suspects
            .map(|count| (count.name.clone(), count.suspects))
            .collect();
        AgentTally {
            // A suspect that is being closed is still counted in `counts`.
            lost: many.max(by_name.values().sum()),
            by_name,
        }
    }

    /// Returns the user agent that is common to them, if there is one. `group` names them. `share`
    /// returns the percentage of the connections that have a user agent, if it is known.
    pub(super) fn common(
        &self,
        group: &'static str,
        share: impl Fn(&str) -> Option<f64>,
    ) -> Option<CommonAgent> {
        if self.lost < CONNECTIONS_MIN {
            return None;
        }
        let (name, lost) = self.by_name.iter().max_by_key(|(_, lost)| **lost)?;
        let (group_share, total_share) = (percent(*lost, self.lost), share(name));
        let more = group_share - total_share.unwrap_or(0.0);
        let is_common = group_share >= COMMON_PERCENT && more >= EXTRA_POINTS;
        is_common.then(|| CommonAgent {
            group,
            name: name.clone(),
            group_share,
            total_share,
        })
    }
}

impl<'a> FromIterator<Option<&'a Arc<str>>> for AgentTally {
    fn from_iter<I: IntoIterator<Item = Option<&'a Arc<str>>>>(lost: I) -> Self {
        let mut agents = AgentTally::default();
        for name in lost {
            agents.lost += 1;
            if let Some(name) = name {
                *agents.by_name.entry(name.clone()).or_default() += 1;
            }
        }
        agents
    }
}

impl<'a> std::iter::Sum<&'a AgentTally> for AgentTally {
    fn sum<I: Iterator<Item = &'a AgentTally>>(parts: I) -> Self {
        let mut sum = AgentTally::default();
        for part in parts {
            sum.lost += part.lost;
            for (name, lost) in &part.by_name {
                *sum.by_name.entry(name.clone()).or_default() += lost;
            }
        }
        sum
    }
}

impl fmt::Display for CommonAgent {
    /// Writes the part of a summary that names the user agent. Peers choose its name, so it is in
    /// quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} % of the {} have the user agent \"{}\", which ",
            self.group_share.floor(),
            self.group,
            product(&self.name),
        )?;
        match self.total_share {
            Some(share) => write!(f, "at most {:.0} % of the connections have", share.ceil()),
            None => f.write_str("is not among the most frequent ones"),
        }
    }
}

/// Returns the first product of a user agent, up to the first space, without characters that could
/// mislead: peers choose it, and operators read it in alerts.
fn product(name: &str) -> String {
    let first = name.split_ascii_whitespace().next().unwrap_or_default();
    let shown = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"._+/-".contains(&b) => b.into(),
        _ => '?',
    };
    first.bytes().take(SHOWN_BYTES).map(shown).collect()
}
