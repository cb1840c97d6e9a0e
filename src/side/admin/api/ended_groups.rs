//! What ended connections had in common, as several answers write it.

use crate::gateway::Classes;
use crate::side::watch::{CommonTrait, EndedSummary, IdentityCounts, LivingTraits, in_common};
use serde::Serialize;
use utoipa::ToSchema;

/// What connections of clients had in common that ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedGroups {
    /// The connections of clients that ended. All are counted, however many there were.
    ended: u64,
    /// What they have in common, in words: the trait that stands out most, if at least half of them
    /// have it and that is at least 20 percentage points more than among the open ones. Null if
    /// nothing stands out so.
    #[schema(example = "98 % of 30000 ended connections came from 10.0.7.0/24; …")]
    in_common: Option<String>,
    /// The open connections that these are compared with: an even sample, of at most 4 096 slots.
    /// Null if the loop did not answer.
    open_sampled: Option<u64>,
    /// At most 40, those that stand out most first. Values that fewer than 1 % have are left out.
    groups: Vec<GroupBody>,
    identities: LostIdentities,
}

/// The ended connections that share one trait.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupBody {
    /// What the trait is about: `upstream`, `route`, `block` (the /24 of the address, /48 of IPv6),
    /// `user_agent`, `class`, `verdict` (the gateway's own), `cause`, `rtt` or `age`.
    #[schema(example = "block")]
    by: &'static str,
    #[schema(example = "10.0.7.0/24")]
    value: String,
    /// How many of the ended have it, at least. The number is exact unless more than 64 values of
    /// this kind occurred within a minute.
    ended: u64,
    /// Their share of the ended, 0 to 1.
    share: f64,
    /// The share of the open connections that has it, 0 to 1. Null for a verdict or a cause, and if
    /// no connection is open or the loop did not answer.
    share_of_open: Option<f64>,
    /// Of a verdict or a cause: its share of the ends in the hour before, 0 to 1. Null if there
    /// were none.
    share_before: Option<f64>,
}

/// Identities whose connection was lost, by the network or with the upstream. One without a name
/// counts by its address. One that comes back and is lost again counts again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LostIdentities {
    affected: u64,
    /// Those that opened a new connection within a minute.
    returned_within_minute: u64,
    /// Those that opened one later.
    returned_later: u64,
    /// Those that have not come back.
    missing: u64,
}

impl EndedGroups {
    pub(super) fn of(
        classes: &Classes,
        summary: &EndedSummary,
        identities: IdentityCounts,
        living: Option<&LivingTraits>,
    ) -> Self {
        let groups = summary.traits.iter();
        EndedGroups {
            ended: summary.ended,
            in_common: in_common(classes, summary.ended, &summary.traits),
            open_sampled: living.map(|living| living.sampled),
            groups: groups.map(|group| GroupBody::of(classes, group)).collect(),
            identities: LostIdentities::from(identities),
        }
    }
}

impl GroupBody {
    fn of(classes: &Classes, common: &CommonTrait) -> Self {
        GroupBody {
            by: common.value.dimension().name(),
            value: common.value.text(classes),
            ended: common.ended,
            share: rounded(common.share),
            share_of_open: common.living.map(rounded),
            share_before: common.before.map(rounded),
        }
    }
}

impl From<IdentityCounts> for LostIdentities {
    fn from(counts: IdentityCounts) -> Self {
        LostIdentities {
            affected: counts.affected,
            returned_within_minute: counts.returned_within_minute,
            returned_later: counts.returned_later,
            missing: counts.missing(),
        }
    }
}

/// Returns a share with four digits: the rest is noise of the sample.
fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}
