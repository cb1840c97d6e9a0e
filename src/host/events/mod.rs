//! Events about connections and sessions, for backends.
//!
//! The loop only numbers events and queues them. Another thread writes them down, keeps them and
//! sends them.

mod event;
mod event_sender;

pub use self::event::{ClosedEvent, Event, EventKind, EventSubject};
pub use self::event_sender::EventReceiver;
pub(crate) use self::event_sender::EventSender;
