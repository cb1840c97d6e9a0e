//! The bounded queue for everything that crosses threads.
//!
//! A queue keeps the order of its items and is bounded by count and by bytes ([`Limits`]). An item
//! that does not fit is refused, or the oldest items are dropped for it ([`Overflow`]); both are
//! counted as lost ([`Counts`]). The receiving thread is woken once, and not again until it
//! collects.
//!
//! A queue has two ends. The loop never waits at either end:
//!
//! - [`to_loop`]: any thread sends with a [`Sender`], which waits at most for other senders. The
//!   loop receives with a [`LoopReceiver`], with a budget per turn, and never waits.
//! - [`from_loop`]: only the loop sends, with a [`LoopSender`], and never waits. Any thread
//!   receives with a [`Receiver`], which takes all items at once.
//!
//! A queue consists of two buffers. Senders fill one of them. The receiver first directs senders to
//! the other buffer, which is empty, and then empties the one that they have filled. So a sender
//! never meets the receiver. Both buffers keep their memory: a queue in use allocates nothing per
//! item.

mod limits;
mod loop_receiver;
mod loop_sender;
mod receiver;
mod sender;
mod swap_queue;
#[cfg(test)]
mod tests;

pub use self::limits::{Budget, Counts, Limits, NoRoom, Overflow, QueueItem};
pub use self::loop_receiver::{LoopReceiver, to_loop};
pub use self::loop_sender::{LoopSender, from_loop};
pub use self::receiver::Receiver;
pub use self::sender::Sender;
