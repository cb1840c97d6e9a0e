//! Which traits of ended connections stand out.

use super::living_traits::LivingTraits;
use super::trait_totals::TraitTotals;
use super::trait_value::{Dimension, TraitValue};
use crate::gateway::{Classes, LogValue};

/// The most traits of one summary.
const TRAITS_MAX: usize = 40;

/// A trait that fewer of the ended have is not listed.
const SHARE_MIN: f64 = 0.01;

/// What the ended have in common is put into words if at least this share of them has it,
const COMMON_SHARE: f64 = 0.5;

/// and if that is at least so much more than usual.
const COMMON_EXCESS: f64 = 0.2;

/// A trait of ended connections.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::side) struct CommonTrait {
    pub(in crate::side) value: TraitValue,
    /// The ended connections that have it, at least.
    pub(in crate::side) ended: u64,
    /// Their share of the ended, 0 to 1.
    pub(in crate::side) share: f64,
    /// The share of the open connections that has it. `None` for a cause or a verdict, and if it
    /// is not known.
    pub(in crate::side) living: Option<f64>,
    /// Of a cause or a verdict: its share of the ends in the hour before. `None` if there was none.
    pub(in crate::side) before: Option<f64>,
}

impl CommonTrait {
    /// Returns how much more frequent the trait is than usual, as a difference of shares. A cause
    /// or a verdict without ends before does not stand out: it is not known what is usual.
    pub(super) fn excess(&self) -> f64 {
        match self.value.dimension().is_of_ends() {
            true => self.before.map_or(0.0, |before| self.share - before),
            false => self.share - self.living.unwrap_or(0.0),
        }
    }
}

/// Returns the traits that the ended have, those that stand out most first.
pub(super) fn rank(
    ended: TraitTotals,
    usual: &TraitTotals,
    living: Option<&LivingTraits>,
) -> Vec<CommonTrait> {
    let all = ended.ended.max(1) as f64;
    let compared = |(value, count): (TraitValue, u64)| {
        let is_of_ends = value.dimension().is_of_ends();
        let before = usual.counts.get(&value).copied().unwrap_or(0) as f64;
        CommonTrait {
            ended: count,
            share: count as f64 / all,
            living: living
                .filter(|_| !is_of_ends)
                .and_then(|living| living.share(&value)),
            before: (is_of_ends && usual.ended > 0).then(|| before / usual.ended as f64),
            value,
        }
    };
    let mut traits: Vec<CommonTrait> = ended.counts.into_iter().map(compared).collect();
    traits.retain(|common| common.share >= SHARE_MIN);
    traits.sort_by(|a, b| {
        let by_dimension = a.value.dimension().cmp(&b.value.dimension());
        let by_excess = b.excess().total_cmp(&a.excess());
        by_excess.then(by_dimension).then(b.ended.cmp(&a.ended))
    });
    traits.truncate(TRAITS_MAX);
    traits
}

/// Returns in words what the ended have in common. `None`: nothing stands out.
pub(in crate::side) fn in_common(
    classes: &Classes,
    ended: u64,
    traits: &[CommonTrait],
) -> Option<String> {
    let is_common = |common: &&CommonTrait| {
        let is_of_ends = common.value.dimension().is_of_ends();
        !is_of_ends && common.share >= COMMON_SHARE && common.excess() >= COMMON_EXCESS
    };
    let common = traits.iter().find(is_common)?;
    let text = common.value.text(classes);
    let name = LogValue(&text);
    let what = match common.value.dimension() {
        Dimension::Upstream => format!("were connected to the upstream {name}"),
        Dimension::Route => format!("belong to the route {name}"),
        Dimension::Block => format!("came from {name}"),
        Dimension::UserAgent => format!("have the user agent {name}"),
        Dimension::Class => format!("are of class {name}"),
        Dimension::Rtt => format!("had a round-trip time of: {text}"),
        Dimension::Age => format!("ended at an age of: {text}"),
        Dimension::Verdict => format!("have the verdict {name}"),
        Dimension::Cause => format!("ended with the cause {name}"),
    };
    let open = match common.living {
        Some(share) => format!("of the open ones {:.0} % do", 100.0 * share),
        None => "what the open ones have is not known".to_owned(),
    };
    Some(format!(
        "{:.0} % of {ended} ended connections {what}; {open}",
        (100.0 * common.share).floor(),
    ))
}
