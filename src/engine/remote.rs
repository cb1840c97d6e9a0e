//! A handle to the loop for other threads.

use crate::engine::message::Message;
use crate::engine::verdict::Verdict;
use crate::id::ConnId;
use crate::time::Micros;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The most commands that wait for the loop.
const CAPACITY: usize = 16 * 1024;

/// The most commands that are carried out in one turn.
const PER_TURN: usize = 1_024;

/// Tells the loop what to do, from any thread. Cheap to clone.
///
/// Every call is bounded and returns at once. A command to a connection that has ended meanwhile does nothing.
#[derive(Clone)]
pub struct Remote {
    inbox: Arc<Inbox>,
}

/// More commands wait than the loop has taken: try again later, or drop what can be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {CAPACITY} commands wait for the loop")]
pub struct Full;

pub(crate) enum Command {
    Send(ConnId, Message),
    Close(ConnId, u16, String),
    Answer(ConnId, Verdict),
    Drain { delay: Micros, spread: Micros },
    Stop,
    Wake,
}

pub(crate) struct Inbox {
    commands: Mutex<VecDeque<Command>>,
    /// The loop has not taken all of them: it needs no waking.
    left_over: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Remote {
    /// `wake` makes the loop's wait return; it may be called from any thread.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Remote {
            inbox: Arc::new(Inbox {
                commands: Mutex::default(),
                left_over: AtomicBool::new(false),
                wake,
            }),
        }
    }

    /// Sends a message as [`Io::send`](crate::engine::Io::send) does; what becomes of it is not told.
    ///
    /// # Errors
    /// [`Full`] if too many commands wait.
    pub fn try_send(&self, id: ConnId, message: Message) -> Result<(), Full> {
        self.put(Command::Send(id, message))
    }

    /// Closes a connection as [`Io::close`](crate::engine::Io::close) does.
    ///
    /// # Errors
    /// [`Full`] if too many commands wait.
    pub fn try_close(&self, id: ConnId, code: u16, reason: &str) -> Result<(), Full> {
        self.put(Command::Close(id, code, reason.to_owned()))
    }

    /// Answers a deferred verdict as [`Io::answer`](crate::engine::Io::answer) does.
    ///
    /// # Errors
    /// [`Full`] if too many commands wait.
    pub fn try_answer(&self, id: ConnId, verdict: Verdict) -> Result<(), Full> {
        self.put(Command::Answer(id, verdict))
    }

    /// Goes away in order: [`Io::health_reply`](crate::engine::Io::health_reply) says 503 from now on, after `delay` accepting stops, connections are closed with
    /// 1012 evenly over `spread`, and when the last has ended the loop returns. A second drain cuts what is left of
    /// the first one's delay and spread to its own; see [`Io::drain_with`](super::Io::drain_with).
    pub fn drain(&self, delay: Micros, spread: Micros) {
        self.put_always(Command::Drain { delay, spread });
    }

    /// Goes away at once: every socket is dropped, no close frame is sent, the loop returns.
    pub fn stop(&self) {
        self.put_always(Command::Stop);
    }

    /// Has [`Handler::on_wake`](crate::engine::Handler::on_wake) called soon, once for any number of calls before that.
    pub fn wake(&self) {
        let mut commands = self.lock();
        if !matches!(commands.back(), Some(Command::Wake)) {
            commands.push_back(Command::Wake);
        }
        drop(commands);
        (self.inbox.wake)();
    }

    /// Takes the oldest commands, as many as one turn carries out.
    pub(crate) fn take(&self) -> Vec<Command> {
        let mut commands = self.lock();
        let some = commands.len().min(PER_TURN);
        let taken = commands.drain(..some).collect();
        if commands.is_empty() && commands.capacity() > PER_TURN {
            *commands = VecDeque::new();
        }
        self.inbox.left_over.store(!commands.is_empty(), Relaxed);
        taken
    }

    /// Returns whether the last [`take`](Remote::take) has left commands.
    pub(crate) fn has_left_over(&self) -> bool {
        self.inbox.left_over.load(Relaxed)
    }

    fn put(&self, command: Command) -> Result<(), Full> {
        let mut commands = self.lock();
        if commands.len() >= CAPACITY {
            return Err(Full);
        }
        commands.push_back(command);
        drop(commands);
        (self.inbox.wake)();
        Ok(())
    }

    /// For what must not be lost; each is sent by hand, a few times in a process's life.
    fn put_always(&self, command: Command) {
        self.lock().push_back(command);
        (self.inbox.wake)();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Command>> {
        // The queue is whole after every step, so a panic of another thread leaves nothing broken behind.
        self.inbox
            .commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("waiting", &self.lock().len())
            .finish()
    }
}
