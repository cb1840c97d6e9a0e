//! How frequent traits are among the open connections.

use super::trait_value::{self, TraitValue};
use crate::gateway::{Classes, LivingConn};
use std::collections::HashMap;

/// The counts of traits in a sample of the open connections of clients.
#[derive(Debug, Clone, Default)]
pub(in crate::side) struct LivingTraits {
    /// The connections in the sample.
    pub(in crate::side) sampled: u64,
    counts: HashMap<TraitValue, u64>,
}

impl LivingTraits {
    pub(in crate::side::watch) fn of(classes: &Classes, sample: &[LivingConn]) -> Self {
        let mut traits = LivingTraits::default();
        let clients = sample
            .iter()
            .filter(|conn| !classes.is_upstream(conn.class));
        for conn in clients {
            traits.sampled += 1;
            for value in trait_value::of_living(conn) {
                *traits.counts.entry(value).or_default() += 1;
            }
        }
        traits
    }

    /// Returns the share that has a trait, 0 to 1. `None`: no connection is open.
    pub(super) fn share(&self, value: &TraitValue) -> Option<f64> {
        let count = self.counts.get(value).copied().unwrap_or(0);
        (self.sampled > 0).then(|| count as f64 / self.sampled as f64)
    }
}
