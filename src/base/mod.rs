//! Basics for every layer: time, ids, causes, and small pieces of arithmetic.

#[cfg(feature = "gateway")]
pub(crate) mod address_block;
#[cfg(feature = "gateway")]
pub(crate) mod bounded;
pub mod cause;
#[cfg(all(test, any(feature = "gateway", feature = "client")))]
pub(crate) mod doc_table;
pub(crate) mod id;
#[cfg(any(feature = "gateway", feature = "client"))]
pub(crate) mod json_fields;
pub(crate) mod network_block;
#[cfg(feature = "sabotage")]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
pub(crate) mod sabotage;
pub(crate) mod spread;
pub mod time;
