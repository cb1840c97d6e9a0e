//! A handle to the loop for other threads.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::message::Message;
use crate::engine::verdict::Verdict;
use crate::mail::{self, Budget, Limits, LoopReceiver, Mail, NoRoom, Overflow, Sender};
use std::fmt;

/// The most commands that wait for the loop.
const CAPACITY: usize = 16 * 1024;

/// The most that waits for the loop. A payload counts for each command that it is in, also if several share it.
const LIMITS: Limits = Limits {
    count: CAPACITY,
    bytes: 256 << 20,
};

/// The most that is carried out in one turn.
const PER_TURN: Limits = Limits {
    count: 1_024,
    bytes: 64 << 20,
};

/// Tells the loop what to do, from any thread. Cheap to clone.
///
/// Every call is bounded and returns at once. A command to a connection that has ended meanwhile does nothing.
#[derive(Clone)]
pub struct Remote {
    sender: Sender<Command>,
}

/// More waits than the loop has taken: try again later, or drop what can be dropped.
///
/// 16 384 commands wait at most, and 256 MiB of what they hold. A larger command finds room while no other waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {CAPACITY} commands wait for the loop")]
#[expect(clippy::exhaustive_structs, reason = "it has nothing more to tell")]
pub struct Full;

pub(crate) enum Command {
    Send(ConnId, Message),
    Close(ConnId, u16, String),
    Answer(ConnId, Verdict),
    Drain { delay: Micros, spread: Micros },
    Stop,
    Wake,
}

impl Mail for Command {
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

/// What a verdict holds of text.
fn bytes_of(verdict: &Verdict) -> usize {
    let (headers, text) = match verdict {
        Verdict::Upgrade(upgrade) => (&upgrade.headers, upgrade.protocol.as_deref().unwrap_or("")),
        Verdict::Reply { reply, .. } => (&reply.headers, &*reply.body),
        Verdict::Defer => return 0,
    };
    let headers = headers.iter();
    text.len()
        + headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum::<usize>()
}

/// The loop's end of the queue.
pub(crate) struct Inbox {
    commands: LoopReceiver<Command>,
    budget: Budget,
}

impl Inbox {
    /// Begins a turn: takes over what other threads have sent up to now.
    pub(crate) fn begin_turn(&mut self) {
        self.commands.collect();
        if self.commands.take_poke() {
            self.commands.add(Command::Wake);
        }
        self.budget = Budget::new(PER_TURN);
    }

    /// Takes the oldest command, if there is one and this turn may carry out another.
    pub(crate) fn take(&mut self) -> Option<Command> {
        self.commands.take(&mut self.budget)
    }

    /// Returns whether this turn has left commands for the next one.
    pub(crate) fn has_left_over(&self) -> bool {
        self.commands.has_left_over()
    }
}

impl Remote {
    /// A handle, and the loop's end. `wake` makes the loop's wait return; it may be called from any thread.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> (Self, Inbox) {
        let (sender, commands) = mail::to_loop(LIMITS, Overflow::Refuse);
        sender.set_wake(wake);
        let budget = Budget::new(PER_TURN);
        (Remote { sender }, Inbox { commands, budget })
    }

    /// Sends a message as [`Io::send`](crate::engine::Io::send) does; what becomes of it is not told.
    ///
    /// # Errors
    /// [`Full`] if too many commands wait, or too many bytes.
    pub fn try_send(&self, id: ConnId, message: Message) -> Result<(), Full> {
        self.put(Command::Send(id, message))
    }

    /// Closes a connection as [`Io::close`](crate::engine::Io::close) does.
    ///
    /// # Errors
    /// [`Full`] if too many commands wait, or too many bytes.
    pub fn try_close(&self, id: ConnId, code: u16, reason: &str) -> Result<(), Full> {
        self.put(Command::Close(id, code, reason.to_owned()))
    }

    /// Answers a deferred verdict as [`Io::answer`](crate::engine::Io::answer) does.
    ///
    /// # Errors
    /// [`Full`] if too many commands wait, or too many bytes.
    pub fn try_answer(&self, id: ConnId, verdict: Verdict) -> Result<(), Full> {
        self.put(Command::Answer(id, verdict))
    }

    /// Goes away in order: [`Io::health_reply`](crate::engine::Io::health_reply) says 503 from now on, after `delay` accepting stops, connections are closed with
    /// 1012 evenly over `spread`, and when the last has ended the loop returns. A second drain cuts what is left of
    /// the first one's delay and spread to its own; see [`Io::drain_with`](super::Io::drain_with).
    pub fn drain(&self, delay: Micros, spread: Micros) {
        self.sender.post_always(Command::Drain { delay, spread });
    }

    /// Goes away at once: every socket is dropped, no close frame is sent, the loop returns.
    pub fn stop(&self) {
        self.sender.post_always(Command::Stop);
    }

    /// Has [`Handler::on_wake`](crate::engine::Handler::on_wake) called soon, once for any number of calls before that.
    pub fn wake(&self) {
        self.sender.poke();
    }

    fn put(&self, command: Command) -> Result<(), Full> {
        self.sender.post(command).map_err(|NoRoom(_)| Full)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("waiting", &self.sender.counts().waiting)
            .finish()
    }
}
