//! What lost or suspect connections have in common: their client's name, if most of them have one that is not as frequent among all.

use super::sample::percent;
use crate::gateway::AgentCount;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Of fewer of them nothing is said: a few are alike by chance.
const LEAST: u64 = 20;

/// A user agent is common to them if this many percent have it ...
const COMMON_PERCENT: f64 = 80.0;

/// ... which is so many percentage points more than its share of the connections. Otherwise they say nothing of it: where nearly all
/// clients are of one release, so are the lost ones, whatever they were lost for.
const MORE_POINTS: f64 = 20.0;

/// Bytes of a user agent that a summary shows.
const SHOWN: usize = 48;

/// The user agents of lost identities, or of suspects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Agents {
    /// All of them, those included without a user agent.
    lost: u64,
    by_name: BTreeMap<Arc<str>, u64>,
}

/// A user agent that is common to losses or suspects.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Common {
    /// What it is common to.
    group: &'static str,
    name: Arc<str>,
    /// Percent of those that have it.
    of_them: f64,
    /// Percent of the connections that had it, at most, over the window; `None`: it is not among those that are known.
    of_all: Option<f64>,
}

impl Agents {
    /// The user agents of the suspects of a class, of which there are so many.
    pub(super) fn of_suspects(many: u64, counts: &[AgentCount]) -> Self {
        let suspects = counts.iter().filter(|count| count.suspects > 0);
        let by_name: BTreeMap<_, _> = suspects
            .map(|count| (count.name.clone(), count.suspects))
            .collect();
        Agents {
            // One that is being closed is counted here still.
            lost: many.max(by_name.values().sum()),
            by_name,
        }
    }

    /// The user agent that is common to them, if there is one. `group` names them, and `share` is how many percent of the connections have a
    /// user agent, if that is known.
    pub(super) fn common(
        &self,
        group: &'static str,
        share: impl Fn(&str) -> Option<f64>,
    ) -> Option<Common> {
        if self.lost < LEAST {
            return None;
        }
        let (name, lost) = self.by_name.iter().max_by_key(|(_, lost)| **lost)?;
        let (of_them, of_all) = (percent(*lost, self.lost), share(name));
        let more = of_them - of_all.unwrap_or(0.0);
        let is_common = of_them >= COMMON_PERCENT && more >= MORE_POINTS;
        is_common.then(|| Common {
            group,
            name: name.clone(),
            of_them,
            of_all,
        })
    }
}

impl<'a> FromIterator<Option<&'a Arc<str>>> for Agents {
    fn from_iter<I: IntoIterator<Item = Option<&'a Arc<str>>>>(lost: I) -> Self {
        let mut agents = Agents::default();
        for name in lost {
            agents.lost += 1;
            if let Some(name) = name {
                *agents.by_name.entry(name.clone()).or_default() += 1;
            }
        }
        agents
    }
}

impl<'a> std::iter::Sum<&'a Agents> for Agents {
    fn sum<I: Iterator<Item = &'a Agents>>(parts: I) -> Self {
        let mut sum = Agents::default();
        for part in parts {
            sum.lost += part.lost;
            for (name, lost) in &part.by_name {
                *sum.by_name.entry(name.clone()).or_default() += lost;
            }
        }
        sum
    }
}

impl fmt::Display for Common {
    /// A part of a summary. The name is the peers', and stands in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} % of the {} have the user agent \"{}\", which ",
            self.of_them.floor(),
            self.group,
            product(&self.name),
        )?;
        match self.of_all {
            Some(share) => write!(f, "at most {:.0} % of the connections have", share.ceil()),
            None => f.write_str("is not among the most frequent ones"),
        }
    }
}

/// The first product of a user agent, up to the first space, with nothing in it that says or hides more than a name and a
/// version: peers choose it, and operators are woken by it.
fn product(name: &str) -> String {
    let first = name.split_ascii_whitespace().next().unwrap_or_default();
    let shown = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"._+/-".contains(&b) => b.into(),
        _ => '?',
    };
    first.bytes().take(SHOWN).map(shown).collect()
}
