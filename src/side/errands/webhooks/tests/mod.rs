//! The rules on virtual time: which webhook goes when, and who is told what.

mod attempts;
mod bench;
mod servers;
mod whatever;
