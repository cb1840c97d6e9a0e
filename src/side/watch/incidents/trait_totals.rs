//! The sums of traits over some minutes.

use super::trait_value::TraitValue;
use std::collections::HashMap;

/// The sums of some minutes.
#[derive(Debug, Default)]
pub(super) struct TraitTotals {
    pub(super) ended: u64,
    pub(super) counts: HashMap<TraitValue, u64>,
}
