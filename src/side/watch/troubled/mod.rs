//! The identities with repeated trouble.

mod pattern;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod trouble;

pub(in crate::side) use self::table::{PersistentTrouble, RankedIdentity, Troubled};
