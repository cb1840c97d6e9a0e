//! The memory of all connections together.

mod bounds;
mod eviction;
mod unidentified;
