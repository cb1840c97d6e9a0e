//! The queue of connections that come back to the loop, and where those go that leave it.

use crate::engine::HandedOver;
use crate::mail::{self, Limits, LoopReceiver, NoRoom, Overflow, QueueItem, Sender};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The most connections that wait for the loop to take them back, and their bytes.
const LIMITS: Limits = Limits {
    count: 1_024,
    bytes: 16 << 20,
};

/// A connection that has left the loop, with its socket.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it has no more parts")]
pub struct HandedOverSocket {
    /// The socket; non-blocking.
    pub stream: std::net::TcpStream,
    /// What the loop knows of the connection.
    pub conn: HandedOver,
}

impl QueueItem for HandedOverSocket {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.conn.bytes.capacity()
    }
}

/// Gives connections back to the loop, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct ReturnSender {
    pub(super) sender: Sender<HandedOverSocket>,
    pub(super) is_full: Arc<AtomicBool>,
}

impl ReturnSender {
    /// Gives a connection back. The loop processes its next request, whatever it is.
    ///
    /// # Errors
    /// [`NoRoom`] with the connection, if 1 024 of them already wait.
    pub fn send(&self, returned: HandedOverSocket) -> Result<(), NoRoom<HandedOverSocket>> {
        self.sender.send(returned)
    }

    /// Returns whether the limit on connections was reached in the last turn. Then connections that
    /// were handed over and are not needed should end.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ReturnSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReturnSender")
            .field(&self.sender.counts())
            .finish()
    }
}

/// Takes the connections that the host hands over.
type Taker = Box<dyn FnMut(HandedOverSocket) + Send>;

/// The loop's side of the sockets that leave it and come back.
pub(super) struct Exchange {
    pub(super) taker: Option<Taker>,
    pub(super) returned: LoopReceiver<HandedOverSocket>,
    pub(super) sender: ReturnSender,
    /// The connections that leave; empty between turns.
    pub(super) leaving: Vec<HandedOver>,
}

impl Default for Exchange {
    fn default() -> Self {
        let (sender, returned) = mail::to_loop(LIMITS, Overflow::Refuse);
        Exchange {
            taker: None,
            returned,
            sender: ReturnSender {
                sender,
                is_full: Arc::default(),
            },
            leaving: Vec::new(),
        }
    }
}

impl Exchange {
    /// Notes whether the limit on connections is reached.
    pub(super) fn set_full(&self, is_full: bool) {
        self.sender.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Returns whether the next turn has connections to take back.
    pub(super) fn has_work(&self) -> bool {
        self.returned.has_leftovers()
    }
}
