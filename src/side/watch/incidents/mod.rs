//! What connections that ended had in common: counts by minute and group, what was kept when an
//! alert fired, and which of the lost identities came back.

mod common_traits;
mod end_sample;
mod ended_traits;
mod incident;
mod incident_log;
mod incident_task;
mod living_traits;
mod openings;
mod returns;
mod space_saving;
#[cfg(test)]
mod tests;
mod trait_totals;
mod trait_value;

pub(in crate::side) use self::common_traits::{CommonTrait, in_common};
pub(in crate::side) use self::end_sample::SampledEnd;
pub(in crate::side) use self::ended_traits::{EndedSummary, MINUTES_MAX};
pub(super) use self::ended_traits::{EndedTraits, last_minutes};
pub(in crate::side) use self::incident::Incident;
pub(super) use self::incident_log::{EndSources, IncidentLog};
pub(in crate::side) use self::incident_task::{ask_living, run};
pub(in crate::side) use self::living_traits::LivingTraits;
pub(super) use self::returns::Returns;
pub(in crate::side) use self::returns::{IdentityCounts, IdentityOpening};
#[cfg(test)]
pub(super) use self::trait_value::TraitValue;
