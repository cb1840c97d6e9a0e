//! The bytes of a connection: cut anywhere, accepted a few at a time, ended anywhere.

mod fin_and_rst;
mod input;
mod output;
pub mod script;
