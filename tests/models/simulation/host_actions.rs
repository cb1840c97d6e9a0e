//! What the host and the loop do, and time that passes.

use super::messages::tagged;
use super::world::{MAX_PENDING, World, policy};
use pulsegate::cause::Cause;
use pulsegate::engine::{Class, Message, SendError, SendOutcome, Verdict};
use pulsegate::time::Micros;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

impl World {
    /// The host stops reading from a peer, or continues.
    pub(super) fn host_pauses(&mut self, index: usize) {
        let shadow = &mut self.shadows[index];
        let id = self.net.id(shadow.peer);
        if !self.net.is_open(shadow.peer) {
            return;
        }
        shadow.paused ^= true;
        shadow.ever_unread = true;
        if shadow.paused {
            self.net.with_io(|_, io| io.pause_reading(id));
        } else {
            shadow.spared = self.net.now();
            self.net.with_io(|_, io| io.resume_reading(id));
        }
    }

    /// The host sends a message, or a part of one, or the rest of that.
    pub(super) fn host_sends(&mut self, index: usize) {
        if let Some(rest) = self.shadows[index].host_rest.take() {
            return self.host_sends_rest(index, rest);
        }
        if self.net.is_open(self.shadows[index].peer) && self.rng.u8(0..6) == 0 {
            return self.host_sends_part(index);
        }
        let id = self.net.id(self.shadows[index].peer);
        let seq = self.shadows[index].host_sent;
        let data = tagged(index as u32, seq, self.size());
        let sent = self.net.with_io(|_, io| {
            let sent = io.send(id, Message::binary(data));
            let most = 2 * MAX_PENDING;
            if io.pending(id) > most {
                panic!("{} bytes pending", io.pending(id));
            }
            sent
        });
        if let SendOutcome::Flowing | SendOutcome::Pending = sent {
            let shadow = &mut self.shadows[index];
            shadow.accepted.push_back(seq);
            shadow.host_sent += 1;
        }
    }

    fn host_sends_part(&mut self, index: usize) {
        let data = tagged(index as u32, self.shadows[index].host_sent, self.size());
        let (part, rest) = data.split_at(self.rng.usize(0..data.len()));
        if self.host_sends_frame(index, part, Data::Binary, false) {
            self.shadows[index].host_rest = Some(rest.to_vec());
        }
    }

    fn host_sends_rest(&mut self, index: usize, rest: Vec<u8>) {
        let now = self.net.now();
        let is_sent = self.host_sends_frame(index, &rest, Data::Continue, true);
        let shadow = &mut self.shadows[index];
        if is_sent {
            shadow.accepted.push_back(shadow.host_sent);
            shadow.host_sent += 1;
        }
        // No heartbeat could be sent between the two parts, so the silence did not count.
        shadow.excused = now;
        shadow.watched_since = Some(now);
    }

    fn host_sends_frame(
        &mut self,
        index: usize,
        payload: &[u8],
        opcode: Data,
        is_last: bool,
    ) -> bool {
        let id = self.net.id(self.shadows[index].peer);
        let frame = Frame::message(payload.to_vec(), OpCode::Data(opcode), is_last);
        let sent = self.net.with_io(|_, io| io.send(id, Message::Frame(frame)));
        matches!(sent, SendOutcome::Flowing | SendOutcome::Pending)
    }

    pub(super) fn host_closes(&mut self, index: usize) {
        let id = self.net.id(self.shadows[index].peer);
        let remote = self.rng.bool();
        self.shadows[index].closed_by_host = true;
        if remote {
            let sent = self.net.engine().remote().try_close(id, 4001, "by remote");
            sent.unwrap_or_else(|e| panic!("{e}"));
        } else {
            self.net.with_io(|_, io| io.close(id, 4001, "by the host"));
        }
    }

    pub(super) fn host_starts_timer(&mut self) {
        let after = Micros::from_millis(self.rng.u64(0..5_000));
        let cancel = self.rng.u8(0..4) == 0;
        self.net.with_io(|host, io| {
            let timer = io.start_timer(after);
            if cancel {
                io.cancel_timer(timer);
            } else {
                host.timers.insert(timer, io.now() + after);
            }
        });
    }

    /// Sends to a connection that has ended: the message must be refused.
    pub(super) fn host_sends_to_ended(&mut self) {
        let old = self.old_ids[self.rng.usize(0..self.old_ids.len())];
        let message = Message::text("to an ended connection");
        let sent = self.net.with_io(|_, io| io.send(old, message));
        if !matches!(
            sent,
            SendOutcome::Refused(SendError::Gone | SendError::Closing)
        ) {
            let wrong = format!("{old} has ended and takes messages: {sent:?}");
            self.net.host().wrong.push(wrong);
        }
    }

    pub(super) fn answer_deferred(&mut self) {
        let (class, refuse) = (Class(0), self.rng.u8(0..4) == 0);
        self.net.with_io(|host, io| {
            if let Some(id) = host.deferred.pop() {
                io.answer(
                    id,
                    if refuse {
                        Verdict::refuse(Cause::BLOCKED, 403, "no")
                    } else {
                        Verdict::upgrade(class)
                    },
                );
            }
        });
    }

    /// Switches a class to its other policy. A peer that would not have been stale under the first
    /// policy is not stale before a full new timeout.
    pub(super) fn change_policy(&mut self) {
        let class = self.rng.usize(0..3);
        self.second[class] ^= true;
        let newer = policy(class, self.second[class], self.liveness[class]);
        let former = std::mem::replace(&mut self.policies[class], newer);
        let (now, timeout) = (self.net.now(), newer.connection_timeout);
        self.policy_since[class] = now;
        for index in 0..self.shadows.len() {
            let moved = self.net.progress_at(self.shadows[index].peer).iter();
            let moved = moved.copied().max().unwrap_or_default();
            let alive_at = self.heard_at(index, now).max(moved);
            let shadow = &mut self.shadows[index];
            if shadow.class == class && self.net.is_open(shadow.peer) {
                let stale_at = alive_at.max(shadow.spared) + former.connection_timeout;
                let stale_at = stale_at.min(now + timeout);
                shadow.spared = shadow.spared.max(stale_at - timeout);
                // Its next ping is within an interval from now.
                shadow.watched_since = Some(now);
                shadow.last_ping = None;
            }
        }
        self.net
            .with_io(|_, io| io.set_policy(Class(class as u8), newer))
            .unwrap_or_else(|e| panic!("{e}"));
    }

    pub(super) fn loop_stalls(&mut self) {
        let ms = self.rng.u64(600..20_000);
        self.net.stall(ms);
    }

    pub(super) fn time_passes(&mut self) {
        let ms = self.rng.u64(1..400);
        self.time += Micros::from_millis(ms);
        self.net.advance(ms);
    }
}
