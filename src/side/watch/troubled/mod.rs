//! The identities that have trouble again and again.

mod pattern;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod trouble;

pub(in crate::side) use self::table::{Ranked, Troubled};
