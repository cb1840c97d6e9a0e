//! What peers that speak pulse send, and the answers to them.

use super::pulse::{PeerDue, PulseKey, WaitingPeer};
use super::relay::Relay;
use super::session::{ReplayOutcome, close_unacknowledged};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, Message, SendOutcome};
use crate::host::{Identity, ReportSource, ResetReason, SessionWish, control_units};
use crate::pulse::{ClientFrame, FrameEffect, PulseText, Report};
use crate::relay::role::PeerRole;

/// A protocol error (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;

/// The most entries that are handled in one step.
const DUES: usize = 128;

impl Relay {
    /// Reads a message of a connection, before anything else is done with it. Returns the message
    /// of the application; `None`: there is none.
    pub(super) fn read_pulse(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: Message,
    ) -> Option<Message> {
        let Some(key) = self.pulse.key_of(id) else {
            return match self.pulse.waiting(id) {
                Some(WaitingPeer::Opening(owner, SessionWish::Resume))
                    if owner.identity.is_some() =>
                {
                    self.resume_named(io, id, &message);
                    None
                }
                _ => Some(message),
            };
        };
        let message = match &message {
            Message::Text(text) => match PulseText::of(text) {
                PulseText::Control(json) => {
                    self.handle_control(io, id, key, json);
                    return None;
                }
                PulseText::Application(own) if own.len() < text.len() => {
                    Message::text(own.to_owned())
                }
                PulseText::Application(_) => message,
            },
            _ => message,
        };
        if sabotage::on(Bug::RelayCountsBeforeHandled) {
            self.pulse.count_received(io, key, message.len());
        }
        // What follows the end of the session goes nowhere: the peer hears of that end.
        let peer = self.pulse.get(key);
        let is_live = peer.is_some_and(|peer| peer.end.is_none() && peer.broken.is_none());
        is_live.then_some(message)
    }

    /// Counts a message of the application that was handled. The peer may forget it then.
    pub(super) fn count_handled(&mut self, io: &mut Io<'_>, id: ConnId, len: usize) {
        if sabotage::on(Bug::RelayCountsBeforeHandled) {
            return;
        }
        // A message that closes its connection for want of memory is not handled.
        if let Some(key) = self.pulse.key_of(id)
            && io.class(id).is_some()
        {
            self.pulse.count_received(io, key, len);
        }
    }

    fn handle_control(&mut self, io: &mut Io<'_>, id: ConnId, key: PulseKey, json: &str) {
        io.spend(control_units(json));
        // An app introduces itself with a message of the application.
        io.keep_unidentified(id);
        let frame = match ClientFrame::parse(json) {
            Ok(frame) => frame,
            Err(fault) => {
                let why = fault.to_string();
                return io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, &why);
            }
        };
        let effect = match self.pulse.on_frame(io, key, frame) {
            Ok(effect) => effect,
            Err(fault) => {
                let why = fault.to_string();
                return io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, &why);
            }
        };
        match effect {
            FrameEffect::Answer(answer) => self.pulse.say_received(io, key, &answer),
            FrameEffect::Pong(number) => {
                io.heartbeat_answered(id, number);
            }
            FrameEffect::Told(ClientFrame::State(state)) => {
                self.pulse.set_wanted_sign(io, key, state.want_ms);
            }
            FrameEffect::Told(ClientFrame::Report(report)) => {
                self.take_report(io, key, id, report.as_deref());
            }
            FrameEffect::Ignored(frame) => self.pulse.counts.count_ignored(frame),
            _ => {}
        }
        if self.close_if_over(io, key) {
            return;
        }
        self.pulse.send_more(io, key);
        self.resume_acknowledged(io, id, key);
    }

    /// Passes on what a peer reports; `None`: its report is not valid.
    fn take_report(&mut self, io: &Io<'_>, key: PulseKey, id: ConnId, report: Option<&Report>) {
        let outcome = self.reports.take(report, || {
            let identity = self.pulse.get(key)?.identity.clone();
            let user = identity.as_ref().map(|identity| &*identity.user);
            Some(ReportSource {
                id,
                class: io.class(id)?,
                generated: user.is_some_and(|user| self.is_generated_name(user)),
                identity,
                address: io.peer_addr(id)?.ip(),
                session: None,
                route: None,
            })
        });
        self.pulse.counts.count_report(outcome);
    }

    /// Reads from the apps again that were paused until these glasses acknowledge more.
    fn resume_acknowledged(&mut self, io: &mut Io<'_>, id: ConnId, key: PulseKey) {
        if self.pulse.has_room(key) && !io.is_over_limit(id) {
            self.paused_apps.resume_next(io, id);
        }
    }

    /// Sends an answer to the connection that asked. It is kept only for a peer that speaks pulse.
    pub(super) fn answer(&mut self, io: &mut Io<'_>, id: ConnId, text: String) {
        let Some(key) = self.pulse.key_of(id) else {
            if let SendOutcome::Refused(why) = io.send(id, Message::text(text)) {
                log::debug!("answer refused id={id} why={why:?}");
            }
            return;
        };
        let (mut delivery, _) = self.delivery();
        if let Err(why) = delivery.answer_pulse(io, key, text) {
            self.break_pulse(io, id, key, why);
        }
    }

    /// Ends the pulse session of an open connection that cannot go on.
    fn break_pulse(&mut self, io: &mut Io<'_>, id: ConnId, key: PulseKey, why: ResetReason) {
        let peer = self.pulse.get(key);
        let identity = peer.and_then(|peer| peer.identity.clone());
        let (mut delivery, sessions) = self.delivery();
        let backlog = identity.and_then(|identity| sessions.backlog_of(&identity, id));
        match backlog.filter(|backlog| backlog.pulse() == Some(key)) {
            Some(backlog) => delivery.break_session(io, backlog, key, why),
            None => drop(self.pulse.break_off(io, key, why)),
        }
        close_unacknowledged(io, id);
    }

    /// Gives a slot to the pulse session of the connection that has taken it: acknowledges the
    /// peer, and sends what was kept for it before.
    pub(super) fn attach_pulse(
        &mut self,
        io: &mut Io<'_>,
        (id, key): (ConnId, PulseKey),
        identity: &Identity,
        ack: String,
    ) -> ReplayOutcome {
        let mut outcome = ReplayOutcome {
            frames: 0,
            has_more: false,
        };
        let key_hash = match PeerRole::of(identity) {
            PeerRole::Glasses => None,
            PeerRole::App(package) => self.credentials.app_key_hash(package),
        };
        if let Some(peer) = self.pulse.get_mut(key) {
            (peer.identity, peer.key_hash) = (Some(identity.clone()), key_hash);
        }
        self.pulse.charge(io, key);
        let (mut delivery, sessions) = self.delivery();
        let Some(backlog) = sessions.backlog_of(identity, id) else {
            return outcome;
        };
        let kept = delivery.bind_pulse(io, backlog, key);
        self.answer(io, id, ack);
        let (mut delivery, _) = self.delivery();
        outcome.frames = delivery.replay_to_pulse(io, key, kept);
        outcome
    }

    /// Does what is due for pulse sessions.
    pub(super) fn run_pulse_dues(&mut self, io: &mut Io<'_>) {
        let now = io.now();
        for _ in 0..DUES {
            let Some((key, due)) = self.pulse.take_due(now) else {
                break;
            };
            io.spend(1);
            match due {
                PeerDue::Ack => self.pulse.acknowledge(io, key),
                PeerDue::Send => self.pulse.send_more(io, key),
                PeerDue::Sign => {
                    let is_paused = self.is_paused_peer(io, key);
                    self.pulse.give_sign(io, key, is_paused);
                }
                PeerDue::Acks => {
                    let is_paused = self.is_paused_peer(io, key);
                    self.pulse.watch_acks(io, key, is_paused);
                }
                PeerDue::End => self.end_late(io, key),
                PeerDue::Hold => drop(self.pulse.expire(io, key)),
            }
        }
        self.pulse.set_timer(io);
    }

    /// Returns whether the peer of a session is not read for the moment.
    fn is_paused_peer(&self, io: &Io<'_>, key: PulseKey) -> bool {
        let conn = self.pulse.get(key).and_then(|peer| peer.conn());
        conn.and_then(|conn| io.view(conn))
            .is_some_and(|view| view.paused)
    }

    /// Returns whether the first message of a connection will name the session to resume.
    pub(super) fn is_resuming(&self, id: ConnId) -> bool {
        let waiting = self.pulse.waiting(id);
        matches!(waiting, Some(WaitingPeer::Opening(_, SessionWish::Resume)))
    }
}
