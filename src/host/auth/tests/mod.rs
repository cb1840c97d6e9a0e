//! Tests of authentication, on requests as peers send them.

mod admission;
mod requests;
mod tokens;
