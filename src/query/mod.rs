//! Queries to the loop from other threads: some need one call, others several turns.

mod queue;
mod slice_cost;

pub use self::queue::{Progress, QUERY_UNITS, SLICE_UNITS};
pub(crate) use self::queue::{QueryReceiver, QuerySender, SlicedQuery};
pub(crate) use self::slice_cost::SliceCost;
