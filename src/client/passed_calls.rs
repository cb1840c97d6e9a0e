//! The calls that a host passes on to its clients.

use super::clients::PulseClients;
use super::ending_code::{end_of, retry_after_ms};
use crate::base::id::{ConnId, TimerId};
use crate::engine::{Ending, Io, Message, PhaseView, Response, ResponseVerdict};
use crate::pulse::TryPhase;

impl PulseClients {
    /// Handles [`Handler::on_response`](crate::Handler::on_response). Returns `None` if the
    /// connection is not one of a client.
    pub fn on_response(
        &mut self,
        io: &mut Io<'_>,
        conn: ConnId,
        response: &Response,
    ) -> Option<ResponseVerdict> {
        let Some(id) = *self.conns.get(conn)? else {
            return Some(ResponseVerdict::Refuse("it is not needed".to_owned()));
        };
        let slot = self.clients.get_mut(&id)?;
        if response.status() != 101 {
            let retry_ms = retry_after_ms(response);
            slot.core.on_refused_upgrade(response.status(), retry_ms);
            self.drive(io, id);
            return Some(ResponseVerdict::Open);
        }
        if response.header("sec-websocket-extensions").is_some() {
            let why = "the server uses an extension that was not offered";
            return Some(ResponseVerdict::Refuse(why.to_owned()));
        }
        slot.chosen = response.header("sec-websocket-protocol").map(Into::into);
        if let Some(name) = &slot.chosen
            && !slot.offered.contains(name)
        {
            let why = format!("the server chose the subprotocol {name:?}, which was not offered");
            return Some(ResponseVerdict::Refuse(why));
        }
        Some(ResponseVerdict::Open)
    }

    /// Handles [`Handler::on_open`](crate::Handler::on_open). Returns whether the connection is one
    /// of a client.
    pub fn on_open(&mut self, io: &mut Io<'_>, conn: ConnId) -> bool {
        self.with_conn(io, conn, |slot, now| {
            let chosen = slot.chosen.take();
            slot.core.on_open(chosen.as_deref(), now);
        })
    }

    /// Handles [`Handler::on_message`](crate::Handler::on_message). Returns the message if the
    /// connection is not one of a client.
    pub fn on_message(
        &mut self,
        io: &mut Io<'_>,
        conn: ConnId,
        message: Message,
    ) -> Option<Message> {
        if !self.owns(conn) {
            return Some(message);
        }
        self.with_conn(io, conn, |slot, now| slot.core.on_message(message, now));
        None
    }

    /// Handles [`Handler::on_writable`](crate::Handler::on_writable). Returns whether the
    /// connection is one of a client.
    pub fn on_writable(&mut self, io: &mut Io<'_>, conn: ConnId) -> bool {
        self.with_conn(io, conn, |_, _| {})
    }

    /// Handles [`Handler::on_close`](crate::Handler::on_close). Returns whether the connection was
    /// one of a client.
    pub fn on_close(&mut self, io: &mut Io<'_>, conn: ConnId, ending: &Ending) -> bool {
        let Some(owner) = self.conns.remove(conn) else {
            return false;
        };
        let Some(id) = owner else {
            return true;
        };
        if let Some(slot) = self.clients.get_mut(&id) {
            slot.conn = None;
        }
        let end = end_of(ending);
        self.with(io, id, |core, _, now| core.on_end(end, now));
        true
    }

    /// Handles [`Handler::on_timer`](crate::Handler::on_timer). Returns whether the timer is one of
    /// a client.
    pub fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let Some(id) = self.timers.remove(&timer) else {
            return false;
        };
        if let Some(slot) = self.clients.get_mut(&id) {
            slot.timer = None;
        }
        let conn = self.clients.get(&id).and_then(|slot| slot.conn);
        let phase = conn.and_then(|conn| io.view(conn)).map(|view| view.phase);
        self.with(io, id, |core, buffered, now| {
            if let Some(PhaseView::Dialing { connected }) = phase {
                core.on_progress(match connected {
                    true => TryPhase::Http,
                    false => TryPhase::Tcp,
                });
            }
            core.on_deadline(buffered, now);
        });
        true
    }
}
