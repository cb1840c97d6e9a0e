//! The number of connections is limited: half-open ones, and those beyond the limit.

mod beyond;
pub mod half_open;
