//! One bounded queue for everything that crosses threads.
//!
//! A queue holds items in their order and is bounded by count and by bytes ([`Limits`]). What finds no room is refused or
//! makes room by the loss of the oldest ([`Overflow`]); either way the loss is counted ([`Counts`]). The receiving thread is
//! woken once, however many items follow, until it looks again.
//!
//! A queue has two ends, and the loop never waits at either of them:
//!
//! | queue | sends | receives |
//! | --- | --- | --- |
//! | [`to_loop`] | [`Sender`]: any thread, waits for other senders at most | [`LoopReceiver`]: a budget per turn, never waits |
//! | [`from_loop`] | [`LoopSender`]: the loop alone, never waits | [`Receiver`]: any thread, takes all at once |
//!
//! Inside are two shelves. Senders fill one of them. The receiver first directs them to the other one, which is empty, and then
//! empties the one that they have filled, so a sender never finds the receiver in its way. Both shelves keep their memory: a
//! queue in use allocates nothing per item.

mod limits;
mod loop_receiver;
mod loop_sender;
mod receiver;
mod sender;
mod shelves;
#[cfg(test)]
mod tests;

pub use self::limits::{Budget, Counts, Limits, Mail, NoRoom, Overflow};
pub use self::loop_receiver::{LoopReceiver, to_loop};
pub use self::loop_sender::{LoopSender, from_loop};
pub use self::receiver::Receiver;
pub use self::sender::Sender;
