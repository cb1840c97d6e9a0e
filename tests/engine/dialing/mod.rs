//! Connections that this side makes: connects, answers, messages, closes and memory.

mod answers;
mod closes;
mod connects;
mod ends;
mod memory;
mod messages;
