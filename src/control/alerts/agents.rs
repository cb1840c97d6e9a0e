//! What lost connections have in common: their client's name, if most of them have one that is not as frequent among all.

use super::sample::percent;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Of fewer losses nothing is said: a few are alike by chance.
const LEAST: u64 = 20;

/// A user agent is common to losses if this many percent of them have it ...
const COMMON_PERCENT: f64 = 80.0;

/// ... which is so many percentage points more than its share of the connections. Otherwise the losses say nothing of it: where nearly
/// all clients are of one release, so are the lost ones, whatever they were lost for.
const MORE_POINTS: f64 = 20.0;

/// The user agents of lost identities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Agents {
    /// All of them, those included without a user agent.
    lost: u64,
    by_name: BTreeMap<Arc<str>, u64>,
}

/// A user agent that is common to losses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Common {
    name: Arc<str>,
    /// Percent of the losses that have it.
    of_losses: f64,
    /// Percent of the connections that had it, at most, over the window.
    of_all: f64,
}

impl Agents {
    /// The user agent that is common to them, if there is one; `share` is how many percent of the connections have one.
    pub(super) fn common(&self, share: impl Fn(&str) -> f64) -> Option<Common> {
        if self.lost < LEAST {
            return None;
        }
        let (name, lost) = self.by_name.iter().max_by_key(|(_, lost)| **lost)?;
        let (of_losses, of_all) = (percent(*lost, self.lost), share(name));
        let is_common = of_losses >= COMMON_PERCENT && of_losses - of_all >= MORE_POINTS;
        is_common.then(|| Common {
            name: name.clone(),
            of_losses,
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
        let (name, of_losses, of_all) = (&*self.name, self.of_losses.floor(), self.of_all);
        write!(
            f,
            "{of_losses:.0} % of the losses have the user agent {name:?}, which at most {:.0} % of the connections have",
            of_all.ceil()
        )
    }
}
