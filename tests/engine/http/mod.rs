//! Requests and their answers.

mod deferred;
mod refusals;
pub mod response;
