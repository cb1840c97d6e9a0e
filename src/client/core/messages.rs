//! Messages and control frames of both sides.

use super::core::{ClientAction, ClientCore, ConnLoss};
use crate::base::time::Micros;
use crate::client::connection_end::NO_CLOSE;
use crate::client::event::ClientEvent;
use crate::client::send_error::ClientSendError;
use crate::pulse::{GatewayFrame, LinkRisk, PulseText, SessionEnd, ShortControl, escaped};
use crate::wire::Message;
use std::borrow::Cow;

/// The close code for a violation of the protocol.
const PROTOCOL_ERROR: u16 = 1002;

impl ClientCore {
    /// Takes a text or binary message. It is sent when the connection has room, and kept until it
    /// is acknowledged.
    ///
    /// # Errors
    /// The message was not taken: see [`ClientSendError`].
    pub fn send(&mut self, message: Message) -> Result<(), ClientSendError> {
        if self.is_closing() {
            return Err(ClientSendError::Closed);
        }
        if !matches!(message, Message::Text(_) | Message::Binary(_)) {
            return Err(ClientSendError::NotData);
        }
        let bytes = message.len();
        let session = self.session.as_ref();
        let most = session.map_or(u64::MAX, |session| session.max_message_bytes);
        if bytes as u64 > most {
            return Err(ClientSendError::TooLarge { bytes, most });
        }
        self.outbox.push(message)
    }

    /// Returns the next message to send on the connection, as it is sent. Call this only while the
    /// connection has room: what was returned counts as sent.
    pub fn next_message(&mut self, now: Micros) -> Option<Message> {
        if !self.is_up() || self.is_closing() {
            return None;
        }
        self.take_message(now)
    }

    pub(super) fn take_message(&mut self, now: Micros) -> Option<Message> {
        let message = self.outbox.send_next()?;
        self.schedule.active(now);
        if self.is_plain {
            // Nothing acknowledges it. All that was sent can be acknowledged, so this cannot fail.
            let _ = self.outbox.acknowledge(self.outbox.sent());
            self.tell_drained();
            return Some(message);
        }
        Some(match &message {
            Message::Text(text) => match escaped(text.as_str()) {
                Cow::Owned(text) => Message::text(text),
                Cow::Borrowed(_) => message,
            },
            _ => message,
        })
    }

    /// Handles a text or binary message of the connection. Others are ignored.
    pub fn on_message(&mut self, message: Message, now: Micros) {
        if self
            .conn
            .as_ref()
            .is_none_or(|conn| conn.opened_at.is_none())
        {
            return;
        }
        self.note_late_timer(now);
        self.schedule.active(now);
        if let Some(dog) = self.dog() {
            dog.heard(now);
        }
        let is_text = matches!(message, Message::Text(_));
        if !is_text && !matches!(message, Message::Binary(_)) {
            return;
        }
        if let Message::Text(text) = &message
            && let PulseText::Control(json) = PulseText::of(text.as_str())
            && self.on_control(json, now)
        {
            return;
        }
        if self.is_up() || self.open_by_message(now) {
            self.deliver(message, now);
        }
    }

    /// Handles a text that may be a control frame. Returns whether it is one.
    fn on_control(&mut self, json: &str, now: Micros) -> bool {
        if !self.options.is_pulse {
            return false;
        }
        let frame = GatewayFrame::parse(json).ok();
        if self.is_plain {
            let is_hello = matches!(frame, Some(GatewayFrame::Hello(_)));
            if is_hello {
                self.on_late_hello(now);
            }
            return is_hello;
        }
        if frame.is_none() && !self.has_spoken {
            return false;
        }
        self.has_spoken = true;
        if !frame.is_some_and(|frame| self.on_frame(frame, now)) {
            self.lost(ConnLoss::of(PROTOCOL_ERROR), now);
        }
        true
    }

    /// Handles a message of the application before a hello. Returns whether it may be handed on.
    fn open_by_message(&mut self, now: Micros) -> bool {
        if self.has_spoken {
            // A gateway says hello first. Its session may go on when another try succeeds.
            self.lost(ConnLoss::of(NO_CLOSE), now);
            return false;
        }
        self.become_plain(now);
        true
    }

    /// Hands a message of the application on.
    fn deliver(&mut self, message: Message, now: Micros) {
        if self.is_plain {
            return self.tell_host(ClientEvent::Message(message));
        }
        self.inbox.count(message.len(), now);
        let message = match &message {
            Message::Text(text) => match PulseText::of(text.as_str()) {
                PulseText::Application(own) if own.len() < text.len() => Message::text(own),
                _ => message,
            },
            _ => message,
        };
        self.tell_host(ClientEvent::Message(message));
        self.acknowledge(now);
    }

    /// Handles a control frame. Returns whether it agrees with the session.
    fn on_frame(&mut self, frame: GatewayFrame, now: Micros) -> bool {
        match frame {
            GatewayFrame::Bye(bye) => self.schedule.told(bye.retry_ms, bye.spread_ms),
            GatewayFrame::Refused(refused) => {
                self.schedule.refused(refused.status, refused.retry_ms);
            }
            GatewayFrame::Hello(hello) => return self.is_up() || self.on_hello(&hello, now),
            // The others need a session.
            _ if !self.is_up() => {}
            GatewayFrame::Ping {
                number,
                rx,
                first_ms,
                risk,
            } => {
                if let Some(first_ms) = first_ms {
                    self.schedule.hinted(first_ms);
                }
                if let Some(risk) = risk {
                    self.on_risk(risk);
                }
                if let Some(dog) = self.dog() {
                    dog.pinged(now);
                }
                let own = self.inbox.tell();
                self.say(ShortControl::pong(number, own).as_str(), now);
                self.schedule.proved();
                return self.on_ack(rx);
            }
            GatewayFrame::Probe { number, rx } => {
                if let Some(rtt) = self.dog().and_then(|dog| dog.answered(number, now)) {
                    self.quality.rtt = Some(rtt);
                    self.schedule.proved();
                }
                self.guard_dog();
                return self.on_ack(rx);
            }
            GatewayFrame::Ack(rx) => return self.on_ack(rx),
            GatewayFrame::Big(bytes) => {
                if let Some(dog) = self.dog() {
                    dog.big(bytes);
                }
            }
            GatewayFrame::End(end) => self.on_session_end(end, now),
            GatewayFrame::Unknown => {}
        }
        true
    }

    /// Tells the host whether a loss is likely, if that has changed.
    fn on_risk(&mut self, risk: LinkRisk) {
        let is_high = risk == LinkRisk::High;
        if let Some(conn) = &mut self.conn
            && conn.is_at_risk != is_high
        {
            conn.is_at_risk = is_high;
            self.tell_host(ClientEvent::AtRisk(is_high));
        }
    }

    fn on_ack(&mut self, rx: u64) -> bool {
        let is_valid = self.outbox.acknowledge(rx).is_ok();
        self.tell_drained();
        is_valid
    }

    fn on_session_end(&mut self, end: SessionEnd, now: Micros) {
        if let Some(conn) = &mut self.conn {
            conn.end = Some(end);
        }
        self.inbox.count(0, now);
        let rx = self.inbox.tell();
        self.say(ShortControl::ack(rx).as_str(), now);
    }

    fn tell_drained(&mut self) {
        if self.outbox.take_drained() {
            self.tell_host(ClientEvent::Drained);
        }
    }

    /// Returns when to acknowledge what came.
    pub(super) fn ack_due(&self) -> Option<Micros> {
        self.inbox.ack_at().filter(|_| !self.is_plain)
    }

    /// Acknowledges what came, if that is due.
    pub(super) fn acknowledge(&mut self, now: Micros) {
        if self.is_up() && self.ack_due().is_some_and(|due| due <= now) {
            let rx = self.inbox.tell();
            self.say(ShortControl::ack(rx).as_str(), now);
        }
    }

    /// Sends what waits, whatever room the connection has: it is about to be closed.
    pub(super) fn send_all(&mut self, now: Micros) {
        while let Some(message) = self.take_message(now) {
            self.act(ClientAction::Send(message));
        }
    }
}
