//! Forwarding: frames of a linked connection go to its partner as they came.
//!
//! A run of whole frames that was read at once is written to the partner from the read buffer, by
//! the driver ([`Forward`]). Only what the partner's socket does not take is copied into its queue.

use super::conn::Conn;
use super::control_frames::fault_of;
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::held::PROGRESS_STEP;
use super::work::SHARE_UNITS;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::LifeSign;
use crate::wire::frame::{Header, PING};
use crate::wire::run::{AfterRun, FrameFault, GATHERED_MAX, Run, RunRules, RunState};
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::ops::Range;

/// The units of work that forwarding a run costs: mostly the write.
const RUN_UNITS: u32 = 4;

/// The frames of a run that cost one unit: each is only looked at.
const FRAMES_PER_UNIT: u32 = 16;

/// Bytes of the read buffer that the driver must write to another connection at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the bytes are lost unless the driver calls Engine::on_forwarded"]
pub struct Forward {
    from: ConnId,
    to: ConnId,
    start: usize,
    end: usize,
    /// Remaining bytes of a partly forwarded frame, including those not received yet.
    left: u64,
}

impl Forward {
    /// Returns the connection to write to.
    pub fn to(&self) -> ConnId {
        self.to
    }

    /// Returns which bytes of the buffer to write.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// What a linked connection's input can do now.
pub(super) enum PartnerState {
    /// The partner takes frames.
    Ready(ConnId),
    /// The partner is not open yet.
    NotYet,
    /// The partner takes no frames any more.
    Gone,
}

/// The result of a step.
pub(super) enum ForwardStep {
    /// This many bytes were consumed.
    Consumed(usize),
    /// The driver must write this run.
    Write(Forward),
    /// The connection is no longer open.
    Ended(usize),
    /// Nothing can be consumed now.
    Waits,
}

impl<H: Handler> Engine<H> {
    /// Records the result of writing a [`Forward`]'s bytes to its connection, and forwards what is
    /// behind them. `buffer` is the same as for [`on_bytes`](Engine::on_bytes). If the socket was
    /// not ready, `written` is an error of the kind `WouldBlock`.
    pub fn on_forwarded(
        &mut self,
        forward: Forward,
        buffer: &[u8],
        written: io::Result<usize>,
        now: Micros,
    ) -> Option<Forward> {
        let Forward { from, to, left, .. } = forward;
        let run = &buffer[forward.range()];
        let mut is_failed = false;
        let taken = written.unwrap_or_else(|e| {
            let waits = matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
            if !waits {
                self.on_write_error(to, &e);
                is_failed = true;
            }
            0
        });
        self.core.stats.bytes_out += taken as u64;
        if let Some(conn) = self.core.table.get_mut(to) {
            conn.traffic.bytes_out += taken as u64;
        }
        if taken < run.len() && !is_failed {
            let (rest, left) = if sabotage::on(Bug::RunForwardedTwice) {
                (run, left)
            } else {
                (&run[taken..], RunState::left_at(run, left, taken))
            };
            self.core.queue_run(to, rest.to_vec(), left);
        }
        self.after_run(to, now);
        self.forward_buffer(from, buffer, forward.end, now)
    }

    /// Forwards the bytes of the driver's buffer from `at` on.
    pub(super) fn forward_buffer(
        &mut self,
        id: ConnId,
        buffer: &[u8],
        mut at: usize,
        now: Micros,
    ) -> Option<Forward> {
        while at < buffer.len() {
            match self.forward_step(id, &buffer[at..], true, now) {
                ForwardStep::Consumed(bytes) => at += bytes,
                ForwardStep::Write(run) => {
                    let (start, end) = (at + run.start, at + run.end);
                    return Some(Forward { start, end, ..run });
                }
                ForwardStep::Ended(bytes) => {
                    self.skip_input(id, &buffer[at + bytes..]);
                    at = buffer.len();
                }
                ForwardStep::Waits => {
                    self.keep_leftover(id, &buffer[at..], now);
                    at = buffer.len();
                }
            }
        }
        self.core.close_both_at_boundary(id, now);
        self.park(id, now);
        self.settle(now);
        None
    }

    /// Forwards bytes that are not in the driver's buffer. Returns how many were processed.
    pub(super) fn forward_frames(&mut self, id: ConnId, data: &[u8], now: Micros) -> usize {
        let mut at = 0;
        while at < data.len() {
            match self.forward_step(id, &data[at..], false, now) {
                ForwardStep::Consumed(bytes) => at += bytes,
                ForwardStep::Ended(bytes) => {
                    self.skip_input(id, &data[at + bytes..]);
                    return data.len();
                }
                ForwardStep::Waits | ForwardStep::Write(_) => break,
            }
        }
        at
    }

    pub(super) fn partner_state(&self, id: ConnId) -> PartnerState {
        let partner = self.core.partner_of(id);
        match partner.and_then(|p| Some((p, self.core.table.get(p)?))) {
            Some((partner, conn)) if conn.takes_forwarded() => PartnerState::Ready(partner),
            Some((_, conn)) if conn.is_unopened() => PartnerState::NotYet,
            _ => PartnerState::Gone,
        }
    }

    /// Takes one step within the connection's share of the turn. `in_place`: the driver can write
    /// from `data`.
    fn forward_step(
        &mut self,
        id: ConnId,
        data: &[u8],
        in_place: bool,
        now: Micros,
    ) -> ForwardStep {
        let Some(conn) = self.core.table.get(id).filter(|c| c.is_open()) else {
            return ForwardStep::Ended(0);
        };
        let is_gathering = conn.forward_input().is_some_and(|f| !f.gathered.is_empty());
        if !self.core.can_continue(id) {
            return ForwardStep::Waits;
        }
        let units = self.core.work.spent();
        let step = match is_gathering {
            true => self.gather_frame(id, data, now),
            false => self.forward_run(id, &mut Cow::Borrowed(data), in_place, now),
        };
        let units = self.core.work.spent().saturating_sub(units);
        self.core.stats.frame_units_max = self.core.stats.frame_units_max.max(units);
        step
    }

    /// Forwards the run at the start of `data`, begins to gather a frame, or handles the frame that
    /// is not forwarded as it came. Owned bytes are taken out of `data` if they are queued.
    pub(super) fn forward_run(
        &mut self,
        id: ConnId,
        data: &mut Cow<'_, [u8]>,
        in_place: bool,
        now: Micros,
    ) -> ForwardStep {
        let partner = match self.partner_state(id) {
            PartnerState::Ready(partner) => partner,
            PartnerState::NotYet => {
                self.core.set_paused(id, Flag::LinkPaused, true, now);
                return ForwardStep::Waits;
            }
            PartnerState::Gone => {
                self.core.spend_frame(data.len());
                return match self.await_close_alone(id, now) {
                    true => ForwardStep::Ended(0),
                    false => ForwardStep::Consumed(data.len()),
                };
            }
        };
        let rules = self.run_rules(id, partner);
        let input = self.core.table.get(id).and_then(Conn::forward_input);
        let mut state = input.map_or(RunState::default(), |f| f.state);
        let before = state;
        let (Some(own), Some(other)) = (self.core.table.get(id), self.core.table.get(partner))
        else {
            return ForwardStep::Ended(0);
        };
        let run = state.scan(data, &rules, |opcode, payload| {
            let pinged = if opcode == PING { other } else { own };
            let is_missed = opcode != PING && sabotage::on(Bug::OwnPongForwarded);
            pinged.health.is_own_payload(payload) && !is_missed
        });
        self.core.spend(RUN_UNITS + run.frames / FRAMES_PER_UNIT);
        let bytes = run.len;
        self.core.work.spend_bytes(bytes, &mut self.core.stats);
        if run.len > 0 {
            self.count_run(id, partner, &run, [before.left, state.left], now);
            self.set_run_state(id, partner, state);
            // The host may have closed it, when it was told that the peer is heard.
            if !self
                .core
                .table
                .get(partner)
                .is_some_and(Conn::takes_forwarded)
            {
                return ForwardStep::Consumed(run.len);
            }
            if in_place && self.core.is_clear(partner) {
                return ForwardStep::Write(Forward {
                    from: id,
                    to: partner,
                    start: 0,
                    end: run.len,
                    left: before.left,
                });
            }
            let bytes = first_bytes(std::mem::take(data), run.len);
            self.core.queue_run(partner, bytes, before.left);
            self.after_run(partner, now);
            return ForwardStep::Consumed(run.len);
        }
        match run.after {
            AfterRun::Nothing => ForwardStep::Consumed(run.len),
            AfterRun::More => ForwardStep::Waits,
            AfterRun::Partial if rules.only_whole && is_long(data) => {
                self.core.stop(id, now);
                ForwardStep::Waits
            }
            AfterRun::Partial => self.gather_frame(id, data, now),
            AfterRun::Own(header, payload) => {
                let len = header.frame_len();
                self.process_own(id, partner, &header, payload, &data[..len], now);
                ForwardStep::Consumed(len)
            }
            AfterRun::Close(header) => {
                let len = header.frame_len();
                self.mark_heard(id, LifeSign::Control, now);
                self.close_from_peer(id, &data[..len], &header, now);
                ForwardStep::Ended(len)
            }
            AfterRun::Fault(fault) => {
                self.close_faulty(id, &fault, now);
                ForwardStep::Ended(0)
            }
        }
    }

    /// Returns the rules for the next run of a connection.
    pub(super) fn run_rules(&self, id: ConnId, partner: ConnId) -> RunRules {
        let leg = self.core.legs.get(id);
        let max_message = leg.map_or(0, |leg| leg.max_message);
        let role = self.core.table.get(id).map(Conn::role).unwrap_or_default();
        RunRules {
            role,
            compression: leg.is_some_and(|leg| leg.compression),
            max_message: match max_message {
                0 => u64::MAX,
                most => u64::from(most),
            },
            max_frames: SHARE_UNITS * FRAMES_PER_UNIT / 4,
            // A close that waits comes before the next frame that is not here yet.
            only_whole: self.core.is_pair_closing(id, partner),
        }
    }

    /// Counts a run. `left`: the missing bytes of the frame in progress, before and after it.
    fn count_run(&mut self, id: ConnId, partner: ConnId, run: &Run, left: [u64; 2], now: Micros) {
        let messages = run.messages;
        let [left_before, left_after] = left;
        if left_after == 0 || run.frames > 0 || self.count_progress(id, run.len) {
            let sign = match run.frames {
                0 => LifeSign::DataPart,
                frames if frames > run.controls || left_before > 0 => LifeSign::Data,
                _ => LifeSign::Control,
            };
            self.mark_heard(id, sign, now);
        }
        self.core.stats.messages_in += u64::from(messages);
        self.core.stats.messages_out += u64::from(messages);
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.traffic.messages_in = conn.traffic.messages_in.saturating_add(messages);
        }
        if let Some(conn) = self.core.table.get_mut(partner) {
            conn.traffic.messages_out = conn.traffic.messages_out.saturating_add(messages);
        }
    }

    /// Counts bytes inside a frame. Returns whether they are enough to count as heard.
    pub(super) fn count_progress(&mut self, id: ConnId, bytes: usize) -> bool {
        let Some(input) = self.core.forward_input(id) else {
            return false;
        };
        input.credit = input
            .credit
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let is_enough = input.credit >= PROGRESS_STEP || sabotage::on(Bug::EveryByteIsHeard);
        input.credit %= PROGRESS_STEP;
        is_enough
    }

    /// Stores where the stream of a connection is, if it is inside something.
    fn set_run_state(&mut self, id: ConnId, partner: ConnId, mut state: RunState) {
        if sabotage::on(Bug::FragmentForgotten) && state.left == 0 {
            state.message = None;
        }
        let has_input = self
            .core
            .table
            .get(id)
            .and_then(Conn::forward_input)
            .is_some();
        if has_input || !state.is_at_rest() {
            if let Some(input) = self.core.forward_input(id) {
                input.state = state;
            }
            self.core.rest_forward_input(id);
        }
        self.core.set_mid_frame(partner, state.left > 0);
    }

    /// Applies the limits after a run was written or queued.
    fn after_run(&mut self, to: ConnId, now: Micros) {
        let pending = self.core.table.get(to).map_or(0, Conn::pending);
        if pending > super::core::UNSENT_SMALL && self.core.is_full() {
            self.core.close_out_of_memory(to, pending, now);
        } else {
            self.core.pause_partner(to, now);
        }
    }

    /// Handles a ping or pong that concerns our own heartbeats: the pong of one is not forwarded,
    /// and a ping with the payload of one gives that one up.
    fn process_own(
        &mut self,
        id: ConnId,
        partner: ConnId,
        header: &Header,
        payload: [u8; 8],
        frame: &[u8],
        now: Micros,
    ) {
        if header.opcode() != PING {
            self.mark_heard(id, LifeSign::Pong, now);
            return self.process_pong(id, &payload, now);
        }
        self.mark_heard(id, LifeSign::Control, now);
        let random = u32::from_ne_bytes(self.core.entropy.take());
        let partner_conn = self.core.table.get_mut(partner);
        // The host may have closed it, when it was told that the peer is heard.
        let Some(conn) = partner_conn.filter(|conn| conn.takes_forwarded()) else {
            return;
        };
        conn.health.draw_payloads(random);
        self.core.queue_run(partner, frame.to_vec(), 0);
        self.after_run(partner, now);
    }

    /// Closes a connection for a frame that is not allowed.
    fn close_faulty(&mut self, id: ConnId, fault: &FrameFault, now: Micros) {
        let (cause, reason) = match fault {
            FrameFault::Rule(error) => fault_of(error),
            FrameFault::Length => (Cause::PROTOCOL, fault.to_string()),
        };
        self.core.close_offender(id, cause, &reason, now);
    }
}

/// Returns whether the frame that begins here is too long to be gathered.
fn is_long(data: &[u8]) -> bool {
    Header::parse(data).is_some_and(|header| header.payload > GATHERED_MAX)
}

/// Returns the first `len` bytes, without a copy if they are owned.
fn first_bytes(data: Cow<'_, [u8]>, len: usize) -> Vec<u8> {
    match data {
        Cow::Owned(mut bytes) => {
            bytes.truncate(len);
            bytes
        }
        Cow::Borrowed(bytes) => bytes[..len].to_vec(),
    }
}
