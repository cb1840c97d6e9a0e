//! The timer wheel compared with a sorted list.
//!
//! An entry fires at the first tick at or after its deadline: never early, late by less than a
//! tick. The wheel's sleep is exact, and cancelled entries do no harm. Hours, years, the 2^32nd
//! tick and any position in the ring of bits make no difference.
//!
//! All times are virtual. A failure names its seed; `SEED=n cargo test --all-features --test engine
//! wheel` runs that one alone.

mod against_a_list;
mod both;
mod idle;
mod owner;
mod punctual;
mod sleep;
mod times;
