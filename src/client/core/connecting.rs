//! Tries: when they begin, and what opens.

use super::core::{ClientAction, ClientCore, ConnLoss, Connection};
use crate::base::time::Micros;
use crate::client::connection_end::{ConnectionEnd, NO_CLOSE};
use crate::client::event::{Attempt, ClientEvent, ClientPhase, ResumeHint, SessionTerms};
use crate::client::outbox::Unconfirmed;
use crate::client::watchdog::{LATE, SilenceWatchdog};
use crate::pulse::{
    ClientCondition, FAREWELL_FRAME, Hello, ReceivedCount, ShortControl, TryPhase, resume_frame,
};

/// How long a client waits for the hello of a gateway.
const HELLO: Micros = Micros::from_secs(2);

impl ClientCore {
    /// Opens the client, or replaces its present connection. The session goes on if it can.
    pub fn reconnect(&mut self, now: Micros) {
        if self.state == ClientPhase::Closing {
            self.finish_closed(now);
        }
        if matches!(self.state, ClientPhase::Idle | ClientPhase::Closed) {
            self.schedule.reopen(now);
            self.state = ClientPhase::Connecting;
            self.wait(now);
            return;
        }
        self.schedule.reopen(now);
        self.note_local_end(now);
        self.detach(1000);
        self.suspend(None, now);
    }

    /// Notes that the connection is open, and which subprotocol the service chose.
    pub fn on_open(&mut self, protocol: Option<&str>, now: Micros) {
        let Some(conn) = self.conn.as_mut().filter(|conn| conn.opened_at.is_none()) else {
            return;
        };
        conn.opened_at = Some(now);
        conn.net = self.condition.net;
        conn.protocol = protocol.map(Into::into);
        conn.phase_due = Some(now + HELLO);
        self.schedule.opened(now);
        if self.is_plain {
            return self.become_plain(now);
        }
        if let Some(token) = self.token.clone() {
            let rx = self.inbox.tell();
            self.say(&resume_frame(&token, rx), now);
        }
    }

    /// Notes how far the present try has got, for the report. A shell that knows it calls this
    /// before [`on_deadline`](Self::on_deadline), which may give the try up.
    pub fn on_progress(&mut self, phase: TryPhase) {
        if let Some(conn) = self.conn.as_mut().filter(|conn| conn.opened_at.is_none()) {
            conn.phase = Some(phase);
        }
    }

    /// Notes that the upgrade was refused with this HTTP status, and the Retry-After of the answer
    /// in milliseconds, 0 if there was none. [`on_end`](Self::on_end) follows.
    pub fn on_refused_upgrade(&mut self, status: u16, retry_ms: u64) {
        if self.conn.is_some() {
            self.schedule.refused(status, retry_ms);
        }
    }

    /// Notes how the connection or try ended.
    pub fn on_end(&mut self, end: ConnectionEnd, now: Micros) {
        if self.conn.is_none() {
            return;
        }
        if self.state == ClientPhase::Closing {
            return self.finish_with(end, now);
        }
        self.note_late_timer(now);
        let is_watchdog = end.is_silence;
        let loss = ConnLoss {
            end,
            is_watchdog,
            is_timeout: false,
        };
        self.lost(loss, now);
    }

    /// Sets the timer for the next try.
    pub(super) fn wait(&mut self, now: Micros) {
        self.retry_due = self.schedule.due().map(|due| due.max(now));
    }

    /// Handles the timer of the next try.
    pub(super) fn retry(&mut self, due: Micros, now: Micros) {
        self.retry_due = None;
        if self.has_woken || now - due <= LATE {
            return self.connect(now);
        }
        self.has_woken = true;
        self.schedule.slept(now);
        self.wait(now);
    }

    fn connect(&mut self, now: Micros) {
        let resume = self.token.as_ref().map(|_| ResumeHint {
            gateway: self.gateway_id().into(),
            protocol: self.protocol.clone(),
        });
        let attempt = Attempt {
            n: self.schedule.ends(),
            why: self.schedule.failure(),
            resume,
        };
        self.schedule.tried(now);
        self.conn = Some(Connection {
            tried_at: now,
            opened_at: None,
            phase_due: Some(now + self.options.open_timeout),
            is_up: false,
            is_at_risk: false,
            dog: None,
            dog_due: None,
            end: None,
            protocol: None,
            net: self.condition.net,
            phase: None,
            told: ClientCondition::default(),
            told_at: None,
        });
        self.act(ClientAction::Connect(attempt));
    }

    /// Returns the id of the gateway that holds the session: the part of a connection's id before
    /// the first dot.
    fn gateway_id(&self) -> &str {
        let id = self.session.as_ref().map_or("", |session| &session.id);
        id.split('.').next().unwrap_or_default()
    }

    /// Handles the end of the time for opening, or for the hello.
    pub(super) fn end_phase(&mut self, now: Micros) {
        let is_open = self
            .conn
            .as_ref()
            .is_some_and(|conn| conn.opened_at.is_some());
        if is_open && !self.has_spoken {
            return self.become_plain(now);
        }
        let mut loss = ConnLoss::of(NO_CLOSE);
        loss.is_timeout = true;
        loss.end.phase = self.conn.as_ref().and_then(|conn| conn.phase);
        self.lost(loss, now);
    }

    /// Notes that the other side does not speak pulse.
    pub(super) fn become_plain(&mut self, now: Micros) {
        self.renew();
        self.is_plain = true;
        self.schedule.proved();
        self.up(ClientEvent::Opened, now);
    }

    /// Notes that the gateway speaks pulse after all, but later than it must.
    pub(super) fn on_late_hello(&mut self, now: Micros) {
        self.is_plain = false;
        self.has_spoken = true;
        self.say(FAREWELL_FRAME, now);
        self.lost(ConnLoss::of(NO_CLOSE), now);
    }

    /// Begins or resumes a session. Returns whether the hello agrees with it.
    pub(super) fn on_hello(&mut self, hello: &Hello, now: Micros) -> bool {
        let before = self.outbox.sent();
        if hello.resumed && (self.token.is_none() || self.outbox.resume(hello.rx).is_err()) {
            return false;
        }
        if !hello.resumed {
            self.renew();
        }
        self.session = Some(SessionTerms {
            id: hello.conn.clone(),
            hold: Micros::from_millis(hello.hold_ms),
            max_message_bytes: hello.max_message_bytes,
        });
        self.token = Some(hello.resume.clone());
        let retry = hello.retry;
        self.schedule.promised(retry.first_ms, retry.max_ms);
        if let Some(conn) = &mut self.conn {
            conn.dog = Some(SilenceWatchdog::new(hello.ping_ms, hello.grace_ms, now));
        }
        // The gateway holds a session once a frame proves that its hello has arrived.
        self.acknowledge_now(now);
        self.report(hello.report_bytes, now);
        self.tell_condition(now);
        let event = if hello.resumed {
            self.quality.resumes += 1;
            let resent = before.saturating_sub(self.outbox.sent());
            ClientEvent::Resumed { resent }
        } else {
            ClientEvent::Opened
        };
        self.up(event, now);
        true
    }

    fn report(&mut self, most: u64, now: Micros) {
        if !self.options.has_reports {
            return;
        }
        if let Some(frame) = self.history.take_report(now, self.condition.net, most) {
            self.say(&frame, now);
        }
    }

    fn up(&mut self, event: ClientEvent, now: Micros) {
        let Some(conn) = &mut self.conn else {
            return;
        };
        conn.phase_due = None;
        conn.is_up = true;
        self.protocol = conn.protocol.clone();
        self.state = ClientPhase::Open;
        self.tell_host(event);
        self.guard_dog();
        self.schedule.active(now);
    }

    /// Ends the session, if there is one.
    pub(super) fn renew(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.quality.resets += 1;
        let left = self.take_back();
        self.tell_host(ClientEvent::Reset(left));
    }

    /// Takes from a lost session what the gateway has not acknowledged.
    pub(super) fn take_back(&mut self) -> Unconfirmed {
        self.token = None;
        self.inbox = ReceivedCount::NOTHING;
        self.outbox.take()
    }

    fn acknowledge_now(&mut self, now: Micros) {
        let rx = self.inbox.tell();
        self.say(ShortControl::ack(rx).as_str(), now);
    }
}
