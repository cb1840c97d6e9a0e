//! The state of a client, and the questions that its shell asks.

use crate::base::time::Micros;
use crate::client::connection_end::ConnectionEnd;
use crate::client::event::{Attempt, ClientEvent, ClientPhase, LinkQuality, SessionTerms};
use crate::client::history::EndHistory;
use crate::client::options::ClientOptions;
use crate::client::outbox::ClientOutbox;
use crate::client::random::Mulberry32;
use crate::client::schedule::Schedule;
use crate::client::watchdog::SilenceWatchdog;
use crate::pulse::{
    ClientCondition, NetworkKind, OpaqueToken, ReceivedCount, SessionEnd, TryPhase,
};
use crate::wire::Message;
use std::collections::VecDeque;

/// What a client asks its shell to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a shell must do each of them")]
pub enum ClientAction {
    /// Connect, and call [`on_open`](ClientCore::on_open) or [`on_end`](ClientCore::on_end).
    Connect(Attempt),
    /// Send a message on the connection.
    Send(Message),
    /// Close the connection with this code and reason, after what was sent. Call
    /// [`on_end`](ClientCore::on_end) when it has ended.
    Close(u16, Box<str>),
    /// Let go of the connection or try, with this close code if it is open: nothing that comes from
    /// it counts any more, and [`on_end`](ClientCore::on_end) is not called for it.
    Drop(u16),
    /// Tell the host.
    Tell(ClientEvent),
}

/// A connection, or a try.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) tried_at: Micros,
    pub(super) opened_at: Option<Micros>,
    /// The end of the time for opening, then for the hello.
    pub(super) phase_due: Option<Micros>,
    /// Whether messages of the application may pass.
    pub(super) is_up: bool,
    pub(super) dog: Option<SilenceWatchdog>,
    /// The time that the watchdog's timer is set for.
    pub(super) dog_due: Option<Micros>,
    /// Whether the gateway has said that a loss is likely.
    pub(super) is_at_risk: bool,
    /// The session's end, as the gateway announced it.
    pub(super) end: Option<SessionEnd>,
    pub(super) protocol: Option<Box<str>>,
    /// The kind of network that it was opened on, or the first that became known.
    pub(super) net: Option<NetworkKind>,
    /// How far the try has got, if it is not open.
    pub(super) phase: Option<TryPhase>,
    /// What the gateway was told of the surroundings, and when.
    pub(super) told: ClientCondition,
    pub(super) told_at: Option<Micros>,
}

/// A client of pulse without a clock and a socket: events go in, [actions](ClientAction) come out.
///
/// After each call the shell takes every [action](Self::next_action), sends what
/// [`next_message`](Self::next_message) returns as long as its connection has room, and sets a
/// timer for [`deadline`](Self::deadline). All times are of one clock, which never steps back and
/// should go on while the device sleeps. Its timers may stop then: a timer that is late tells the
/// client that the device slept.
///
/// [`PulseClients`](crate::client::PulseClients) is a shell on the loop of this crate.
#[derive(Debug)]
pub struct ClientCore {
    pub(super) options: ClientOptions,
    pub(super) schedule: Schedule,
    pub(super) state: ClientPhase,
    pub(super) actions: VecDeque<ClientAction>,
    pub(super) quality: LinkQuality,
    pub(super) history: EndHistory,
    pub(super) condition: ClientCondition,
    // The session.
    pub(super) is_plain: bool,
    /// Whether a gateway has ever spoken pulse here. Then a late hello does not make the client a
    /// plain one.
    pub(super) has_spoken: bool,
    pub(super) session: Option<SessionTerms>,
    pub(super) token: Option<OpaqueToken>,
    pub(super) protocol: Option<Box<str>>,
    pub(super) outbox: ClientOutbox,
    pub(super) inbox: ReceivedCount,
    // The connection, and the waits for another one.
    pub(super) conn: Option<Connection>,
    pub(super) retry_due: Option<Micros>,
    /// Whether a late timer was seen in this wait.
    pub(super) has_woken: bool,
    pub(super) close_due: Option<Micros>,
}

impl ClientCore {
    /// Returns a client that was not started. `seed` of the options seeds its schedule.
    pub fn new(options: ClientOptions) -> Self {
        ClientCore {
            schedule: Schedule::new(Mulberry32::new(options.seed)),
            state: ClientPhase::Idle,
            actions: VecDeque::new(),
            quality: LinkQuality::default(),
            history: EndHistory::new(options.earlier_conn.clone()),
            condition: ClientCondition::default(),
            is_plain: !options.is_pulse,
            has_spoken: false,
            session: None,
            token: None,
            protocol: None,
            outbox: ClientOutbox::new(options.max_buffered_bytes),
            inbox: ReceivedCount::NOTHING,
            conn: None,
            retry_due: None,
            has_woken: false,
            close_due: None,
            options,
        }
    }

    /// Returns what the client does.
    pub const fn state(&self) -> ClientPhase {
        self.state
    }

    /// Returns what the gateway promises; `None` before the first session and on a plain
    /// connection.
    pub const fn session(&self) -> Option<&SessionTerms> {
        self.session.as_ref()
    }

    /// Returns the subprotocol that the service chose.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Returns how well the connections have done.
    pub const fn quality(&self) -> LinkQuality {
        self.quality
    }

    /// Returns whether the service does not speak pulse.
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Returns the bytes of messages that wait to be sent or acknowledged.
    pub const fn buffered(&self) -> usize {
        self.outbox.bytes()
    }

    /// Returns the memory that is allocated for messages, in bytes.
    pub fn allocated(&self) -> usize {
        self.outbox.allocated()
    }

    /// Returns the next action; `None` if there is none before the next call.
    pub fn next_action(&mut self) -> Option<ClientAction> {
        self.actions.pop_front()
    }

    /// Returns when to call [`on_deadline`](Self::on_deadline); `None`: nothing is due.
    pub fn deadline(&self) -> Option<Micros> {
        let conn = self.conn.as_ref();
        let up = conn.filter(|conn| conn.is_up);
        [
            self.retry_due,
            self.close_due,
            conn.and_then(|conn| conn.phase_due),
            up.and_then(|conn| conn.dog_due),
            up.and_then(|_| self.ack_due()),
            self.state_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns whether the client is closing or closed.
    pub(super) const fn is_closing(&self) -> bool {
        matches!(self.state, ClientPhase::Closing | ClientPhase::Closed)
    }

    /// Returns whether messages of the application may pass.
    pub(super) fn is_up(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.is_up)
    }

    /// Returns the watchdog of the connection.
    pub(super) fn dog(&mut self) -> Option<&mut SilenceWatchdog> {
        self.conn.as_mut()?.dog.as_mut()
    }

    pub(super) fn act(&mut self, action: ClientAction) {
        self.actions.push_back(action);
    }

    pub(super) fn tell_host(&mut self, event: ClientEvent) {
        self.act(ClientAction::Tell(event));
    }

    /// Sends a control frame.
    pub(super) fn say(&mut self, frame: &str, now: Micros) {
        if self
            .conn
            .as_ref()
            .is_some_and(|conn| conn.opened_at.is_some())
        {
            self.act(ClientAction::Send(Message::text(frame)));
        }
        self.schedule.active(now);
    }
}

/// What ended, with what the schedule and the report need to know.
#[derive(Debug)]
pub(super) struct ConnLoss {
    pub(super) end: ConnectionEnd,
    pub(super) is_watchdog: bool,
    pub(super) is_timeout: bool,
}

impl ConnLoss {
    /// Returns the loss of a connection that this side gives up.
    pub(super) fn of(code: u16) -> Self {
        ConnLoss {
            end: ConnectionEnd::with_code(code),
            is_watchdog: false,
            is_timeout: false,
        }
    }
}
