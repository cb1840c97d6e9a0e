//! Identities that an operator has shut out for a time.

use super::identity::Identity;
use crate::time::Micros;
use std::collections::HashMap;

/// The most identities that are blocked at one time: each was named by hand.
pub const BLOCKS_MAX: usize = 1_000;

/// Who is refused, and until when (engine time).
#[derive(Debug, Default)]
pub(super) struct Blocks(HashMap<Identity, Micros>);

impl Blocks {
    /// Refuses an identity until then; a later word replaces an earlier one. `false`: there is no room for more.
    pub(super) fn block(&mut self, identity: Identity, until: Micros, now: Micros) -> bool {
        if self.0.len() >= BLOCKS_MAX && !self.0.contains_key(&identity) {
            self.expire(now);
            if self.0.len() >= BLOCKS_MAX {
                return false;
            }
        }
        self.0.insert(identity, until);
        true
    }

    /// How long an identity is still refused.
    pub(super) fn left(&mut self, identity: &Identity, now: Micros) -> Option<Micros> {
        if self.0.is_empty() {
            return None;
        }
        let until = *self.0.get(identity)?;
        if until <= now {
            self.0.remove(identity);
            return None;
        }
        Some(until - now)
    }

    /// Lets an identity in again. Whether it was blocked.
    pub(super) fn lift(&mut self, identity: &Identity) -> bool {
        self.0.remove(identity).is_some()
    }

    /// Everybody who is refused, and for how long still; by time left.
    pub(super) fn all(&mut self, now: Micros) -> Vec<(Identity, Micros)> {
        self.expire(now);
        let left = |(identity, until): (&Identity, &Micros)| (identity.clone(), *until - now);
        let mut all: Vec<_> = self.0.iter().map(left).collect();
        all.sort_by_key(|(_, left)| *left);
        all
    }

    pub(super) fn count(&mut self, now: Micros) -> usize {
        self.expire(now);
        self.0.len()
    }

    fn expire(&mut self, now: Micros) {
        self.0.retain(|_, until| *until > now);
    }
}
