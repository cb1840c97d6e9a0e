//! A connection's outlook predicts what happens, also in a drain and under a new policy.

mod drains;
mod fate;
mod new_policy;
mod notes;
mod preamble;
mod second_drain;
mod traffic;
