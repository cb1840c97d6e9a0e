//! Requests as peers send them, and what is made of them.

mod admission;
mod requests;
mod tokens;
