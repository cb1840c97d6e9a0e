//! Every timeout: of requests, frames, unsent bytes, closes and silent peers.

mod closing;
mod handshake;
mod mass_death;
pub mod progress;
mod slow_consumers;
