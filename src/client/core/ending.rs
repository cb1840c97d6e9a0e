//! Ends of connections, of sessions and of the client.

use super::core::{ClientAction, ClientCore, ConnLoss};
use crate::base::time::Micros;
use crate::client::connection_end::{ConnectionEnd, NO_CLOSE};
use crate::client::event::{ClientEvent, ClientPhase};
use crate::client::history::PastEnd;
use crate::client::reconnect_rule::{CloseInfo, Reconnect};
use crate::client::schedule::EndSigns;
use crate::client::send_error::InvalidCloseCode;
use crate::client::watchdog::SilenceWatchdog;
use crate::pulse::{FAREWELL_FRAME, FailureClass};

/// How long a client waits for the end of its closing handshake.
const CLOSE: Micros = Micros::from_secs(3);

impl ClientCore {
    /// Closes for good: the gateway does not hold the session. Messages that were taken are sent
    /// before. Without effect if the client is closing or closed.
    ///
    /// # Errors
    /// The code is not 1000, and not one of 3000 to 4999. Nothing has happened then.
    pub fn close(&mut self, code: u16, reason: &str, now: Micros) -> Result<(), InvalidCloseCode> {
        if code != 1000 && !(3000..=4999).contains(&code) {
            return Err(InvalidCloseCode(code));
        }
        if self.is_closing() {
            return Ok(());
        }
        if !self.is_up() {
            self.detach(1000);
            self.state = ClientPhase::Closing;
            self.finish_closed(now);
            return Ok(());
        }
        self.send_all(now);
        if !self.is_plain {
            self.say(FAREWELL_FRAME, now);
        }
        self.act(ClientAction::Close(code, reason.into()));
        self.state = ClientPhase::Closing;
        if let Some(conn) = &mut self.conn {
            conn.dog = None;
            conn.dog_due = None;
        }
        self.close_due = Some(now + CLOSE);
        Ok(())
    }

    /// Handles the loss of the connection, or the failure of a try.
    pub(super) fn lost(&mut self, mut loss: ConnLoss, now: Micros) {
        if self.state == ClientPhase::Closing {
            return self.finish_closed(now);
        }
        let end = self.conn.as_mut().and_then(|conn| conn.end.take());
        let has_ended = end.is_some();
        // What the service said at its end counts, not how the connection ended after it.
        if let Some(end) = end {
            loss.end.code = end.code;
            loss.end.reason = end.reason;
        }
        let signs = EndSigns {
            code: loss.end.code,
            is_watchdog: loss.is_watchdog,
            has_slept: loss.is_watchdog && self.has_slept(),
        };
        let class = self.schedule.ended(signs, now);
        let info = CloseInfo {
            code: loss.end.code,
            reason: loss.end.reason.clone(),
            is_clean: loss.end.is_clean,
            class,
            n: self.schedule.ends().saturating_sub(1),
        };
        let code = match loss.end.code {
            1002 => 1002,
            _ => 1000,
        };
        self.note(loss, now);
        self.detach(code);
        if has_ended || matches!(class, FailureClass::Rejected | FailureClass::Fault) {
            self.token = None;
        }
        let rule = self.options.reconnect_rule.as_mut();
        let verdict = rule.map_or(Reconnect::ByClass, |rule| rule.ask(&info));
        self.schedule.plan(verdict, now);
        if self.schedule.due().is_none() {
            return self.finish(info);
        }
        if has_ended {
            self.renew();
        }
        self.suspend(Some(info), now);
    }

    fn has_slept(&self) -> bool {
        let dog = self.conn.as_ref().and_then(|conn| conn.dog.as_ref());
        dog.is_some_and(SilenceWatchdog::has_slept)
    }

    /// Waits for the next try.
    pub(super) fn suspend(&mut self, end: Option<CloseInfo>, now: Micros) {
        self.has_woken = false;
        self.wait(now);
        if self.state != ClientPhase::Open {
            return;
        }
        self.quality.losses += 1;
        self.state = ClientPhase::Suspended;
        let retry_in = self.retry_due.map_or(Micros::ZERO, |due| due - now);
        self.tell_host(ClientEvent::Suspended { end, retry_in });
    }

    /// Remembers that the host has replaced the connection.
    pub(super) fn note_local_end(&mut self, now: Micros) {
        self.remember(ConnLoss::of(1000), true, now);
    }

    fn note(&mut self, loss: ConnLoss, now: Micros) {
        self.remember(loss, false, now);
    }

    /// Remembers an end, or a try that failed, for the report.
    fn remember(&mut self, loss: ConnLoss, is_local: bool, now: Micros) {
        let Some(conn) = &self.conn else {
            return;
        };
        let past = PastEnd {
            end: loss.end,
            was_up: self.state == ClientPhase::Open,
            conn: self.session.as_ref().map(|session| session.id.clone()),
            is_watchdog: loss.is_watchdog,
            is_timeout: loss.is_timeout,
            is_local,
            is_offline: self.schedule.is_offline(),
            condition: self.condition,
            net: conn.net,
            tried_at: conn.tried_at,
            opened_at: conn.opened_at,
            at: now,
            dog: conn.dog.clone(),
            class: self.schedule.failure(),
        };
        self.history.note(past);
    }

    /// Lets go of the connection: nothing that comes from it counts any more.
    pub(super) fn detach(&mut self, code: u16) {
        self.retry_due = None;
        self.close_due = None;
        if self.conn.take().is_some() {
            self.act(ClientAction::Drop(code));
        }
    }

    /// Ends a client that closes, whose connection has ended like this.
    pub(super) fn finish_with(&mut self, end: ConnectionEnd, _now: Micros) {
        self.finish(CloseInfo {
            code: end.code,
            reason: end.reason,
            is_clean: end.is_clean,
            class: FailureClass::Over,
            n: 0,
        });
    }

    /// Ends a client that closes, without the end of its connection.
    pub(super) fn finish_closed(&mut self, now: Micros) {
        self.finish_with(ConnectionEnd::with_code(NO_CLOSE), now);
    }

    fn finish(&mut self, end: CloseInfo) {
        let unconfirmed = self.take_back();
        self.detach(1000);
        self.session = None;
        self.state = ClientPhase::Closed;
        self.tell_host(ClientEvent::Closed { end, unconfirmed });
    }
}
