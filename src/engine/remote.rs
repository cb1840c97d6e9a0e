//! A handle to the loop for other threads.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::message::Message;
use crate::engine::verdict::Verdict;
use crate::mail::{self, Budget, Limits, LoopReceiver, NoRoom, Overflow, QueueItem, Sender};
use std::fmt;

/// The most commands that may wait for the loop.
const CAPACITY: usize = 16 * 1024;

/// The most commands and bytes that may wait for the loop. A payload counts for each command that
/// holds it, even if several share it.
const LIMITS: Limits = Limits {
    count: CAPACITY,
    bytes: 256 << 20,
};

/// The most commands and bytes executed in one turn.
const PER_TURN: Limits = Limits {
    count: 1_024,
    bytes: 64 << 20,
};

/// Sends commands to the loop, from any thread. Cheap to clone.
///
/// Every call is bounded and returns at once. A command to a connection that has ended does
/// nothing.
#[derive(Clone)]
pub struct Remote {
    sender: Sender<Command>,
}

/// The loop's queue is full: try again later, or drop what can be dropped.
///
/// At most 16 384 commands may wait, with at most 256 MiB of payload. A larger command is accepted
/// if no other waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {CAPACITY} commands wait for the loop")]
#[expect(clippy::exhaustive_structs, reason = "it has nothing more to tell")]
pub struct QueueFull;

pub(crate) enum Command {
    Send(ConnId, Message),
    Close(ConnId, u16, String),
    Answer(ConnId, Verdict),
    Drain { delay: Micros, spread: Micros },
    Stop,
    Wake,
}

impl QueueItem for Command {
    fn bytes(&self) -> usize {
        let held = match self {
            Command::Send(_, message) => message.len(),
            Command::Close(_, _, reason) => reason.len(),
            Command::Answer(_, verdict) => bytes_of(verdict),
            Command::Drain { .. } | Command::Stop | Command::Wake => 0,
        };
        size_of::<Self>() + held
    }
}

/// Returns the bytes of text and of a body that a verdict holds.
fn bytes_of(verdict: &Verdict) -> usize {
    let (headers, len) = match verdict {
        Verdict::Upgrade(upgrade) => (
            &upgrade.headers,
            upgrade.protocol.as_deref().map_or(0, str::len),
        ),
        Verdict::Reply { reply, .. } => (&reply.headers, reply.body.len()),
        Verdict::Defer | Verdict::DeferFor(_) => return 0,
    };
    let headers = headers.iter();
    len + headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum::<usize>()
}

/// The loop's end of the command queue.
pub(crate) struct Inbox {
    commands: LoopReceiver<Command>,
    budget: Budget,
}

impl Inbox {
    /// Begins a turn: takes what other threads have sent until now.
    pub(crate) fn begin_turn(&mut self) {
        self.commands.collect();
        if self.commands.take_notification() {
            self.commands.add(Command::Wake);
        }
        self.budget = Budget::new(PER_TURN);
    }

    /// Takes the oldest command; `None` if there is none or this turn may execute no more.
    pub(crate) fn take(&mut self) -> Option<Command> {
        self.commands.take(&mut self.budget)
    }

    /// Returns whether commands are left for the next turn.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.commands.has_leftovers()
    }
}

impl Remote {
    /// Creates a handle, and the loop's end. `wake` makes the loop's wait return; it may be called
    /// from any thread.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> (Self, Inbox) {
        let (sender, commands) = mail::to_loop(LIMITS, Overflow::Refuse);
        sender.set_wake(wake);
        let budget = Budget::new(PER_TURN);
        (Remote { sender }, Inbox { commands, budget })
    }

    /// Sends a message like [`Io::send`](crate::engine::Io::send); the result is not returned.
    ///
    /// # Errors
    /// [`QueueFull`] if too many commands wait, or too many bytes.
    pub fn try_send(&self, id: ConnId, message: Message) -> Result<(), QueueFull> {
        self.put(Command::Send(id, message))
    }

    /// Closes a connection like [`Io::close`](crate::engine::Io::close).
    ///
    /// # Errors
    /// [`QueueFull`] if too many commands wait, or too many bytes.
    pub fn try_close(&self, id: ConnId, code: u16, reason: &str) -> Result<(), QueueFull> {
        self.put(Command::Close(id, code, reason.to_owned()))
    }

    /// Gives a deferred verdict like [`Io::answer`](crate::engine::Io::answer).
    ///
    /// # Errors
    /// [`QueueFull`] if too many commands wait, or too many bytes.
    pub fn try_answer(&self, id: ConnId, verdict: Verdict) -> Result<(), QueueFull> {
        self.put(Command::Answer(id, verdict))
    }

    /// Starts a drain. [`Io::health_reply`](crate::engine::Io::health_reply) answers 503 from now
    /// on; accepting stops after `delay`. Then connections are closed with 1012, evenly over
    /// `spread`, and the loop returns when the last has ended. A second drain can only shorten the
    /// rest of the first one's delay and spread; see
    /// [`Io::effective_drain`](super::Io::effective_drain).
    pub fn drain(&self, delay: Micros, spread: Micros) {
        self.sender.send_unlimited(Command::Drain { delay, spread });
    }

    /// Stops at once: every socket is dropped, no close frame is sent, and the loop returns.
    pub fn stop(&self) {
        self.sender.send_unlimited(Command::Stop);
    }

    /// Schedules one call of [`Handler::on_wake`](crate::engine::Handler::on_wake). Further calls
    /// before it are merged into it.
    pub fn wake(&self) {
        self.sender.notify();
    }

    fn put(&self, command: Command) -> Result<(), QueueFull> {
        self.sender.send(command).map_err(|NoRoom(_)| QueueFull)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("waiting", &self.sender.counts().waiting)
            .finish()
    }
}
