//! Incoming frames: complete ones, and those that arrive in parts.

use super::conn::{Conn, Phase};
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::held::{GATHER_STEP, PROGRESS_STEP};
use super::input_state::PartialFrame;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::{HeartbeatForm, LifeSign};
use crate::wire::WsError;
use crate::wire::frame::{HEADER_MAX, Header};
use crate::wire::incoming_message::{IncomingMessage, NotUtf8};
use crate::wire::scan::FrameKind;

/// The result of processing a piece of input.
enum FrameStep {
    /// This many bytes were consumed, and the connection is still open.
    Consumed(usize),
    /// This many bytes were consumed, and the connection is no longer open.
    Ended(usize),
}

impl<H: Handler> Engine<H> {
    pub(super) fn process_bytes(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        match self.core.table.get(id).map(|c| &c.phase) {
            Some(Phase::Opening(_)) => self.process_head(id, bytes, now),
            Some(Phase::Dialing(_)) => self.process_answer(id, bytes, now),
            Some(Phase::Open(_)) => {
                let used = self.process_frames(id, bytes, now);
                self.keep_leftover(id, &bytes[used..], now);
            }
            Some(Phase::Closing(_)) => {
                self.core.spend_frame(bytes.len());
                if let Some(Phase::Closing(closing)) =
                    self.core.table.get_mut(id).map(|c| &mut c.phase)
                {
                    closing.note_input(now);
                }
                self.skip_input(id, bytes);
            }
            Some(Phase::Dead(_)) | None => {}
        }
    }

    /// Returns whether the frames of a connection are forwarded.
    pub(super) fn is_linked(&self, id: ConnId) -> bool {
        let is_linked = |c: &Conn| c.flags.has(Flag::Linked) && c.is_open();
        self.core.table.get(id).is_some_and(is_linked)
    }

    /// Counts received bytes.
    pub(super) fn count_received(&mut self, id: ConnId, bytes: usize) {
        self.core.stats.bytes_in += bytes as u64;
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.traffic.bytes_in += bytes as u64;
        }
    }

    /// Processes frames until the connection's share of this turn is used up. Returns how many
    /// bytes were processed.
    pub(super) fn process_frames(&mut self, id: ConnId, data: &[u8], now: Micros) -> usize {
        if self.is_linked(id) {
            return self.forward_frames(id, data, now);
        }
        let mut at = 0;
        while at < data.len() && self.core.can_continue(id) {
            let units = self.core.work.spent();
            match self.process_frame(id, &data[at..], now) {
                FrameStep::Consumed(bytes) => at += bytes,
                FrameStep::Ended(bytes) => {
                    self.skip_input(id, &data[at + bytes..]);
                    at = data.len();
                }
            }
            let units = self.core.work.spent().saturating_sub(units);
            self.core.stats.frame_units_max = self.core.stats.frame_units_max.max(units);
        }
        at
    }

    /// Processes one frame, or the part of it that has arrived.
    fn process_frame(&mut self, id: ConnId, data: &[u8], now: Micros) -> FrameStep {
        let Some(conn) = self.core.table.get(id).filter(|c| c.is_open()) else {
            return FrameStep::Ended(0);
        };
        if let Phase::Open(Some(input)) = &conn.phase
            && input.frame.is_some()
        {
            return self.gather(id, data, now);
        }
        let Some(header) = Header::parse(data) else {
            return self.begin_gathering(id, data, now);
        };
        let kind = match self.kind_of_frame(conn, &header) {
            Ok(kind) => kind,
            Err(e) => {
                self.core.spend(1);
                self.close_broken(id, &e, now);
                return FrameStep::Ended(0);
            }
        };
        let len = header.frame_len();
        if data.len() < len || len > GATHER_STEP {
            return self.begin_gathering(id, data, now);
        }
        let sign = sign_of(kind, conn.health.form());
        self.core.spend_frame(header.len);
        self.mark_heard(id, sign, now);
        let frame = &data[..len];
        let (payload, mask) = (&frame[header.len..], header.mask());
        let open = match kind {
            FrameKind::Whole(opcode) => match IncomingMessage::from_frame(opcode, payload, mask) {
                Ok((message, worth)) => {
                    self.core.work.spend_bytes(worth, &mut self.core.stats);
                    self.deliver(id, message, now)
                }
                Err(NotUtf8) => self.close_not_utf8(id, now),
            },
            FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
                self.begin_message(id, kind);
                self.append(id, payload, mask, 0, now) && self.finish_frame(id, kind, now)
            }
            FrameKind::Control | FrameKind::Close => self.process_control(id, frame, &header, now),
        };
        if open && self.park(id, now) {
            FrameStep::Consumed(len)
        } else {
            FrameStep::Ended(len)
        }
    }

    /// Classifies a frame by its header, or returns why it is not allowed.
    fn kind_of_frame(&self, conn: &Conn, header: &Header) -> Result<FrameKind, WsError> {
        let most = self.core.config.max_message_bytes;
        let first = self.core.policy_of(conn).first_message_bytes;
        let most = match first {
            Some(first) if conn.is_unidentified() => first.min(most),
            Some(_) | None => most,
        };
        let in_message = match &conn.phase {
            Phase::Open(Some(input)) => input.message.as_ref().map(IncomingMessage::len),
            _ => None,
        };
        header.classify(
            conn.role(),
            in_message,
            if header.is_data() { most } else { usize::MAX },
        )
    }

    /// Begins to gather a frame of which only the beginning has arrived.
    fn begin_gathering(&mut self, id: ConnId, data: &[u8], now: Micros) -> FrameStep {
        if let Some(input) = self.input_or_new(id) {
            input.frame = Some(PartialFrame {
                head: [0; HEADER_MAX],
                have: 0,
                header: None,
                payload: 0,
                control: Vec::new(),
                credit: 0,
                since: now,
            });
        }
        self.gather(id, data, now)
    }

    /// Takes more of a frame in progress, at most 8 KiB.
    fn gather(&mut self, id: ConnId, data: &[u8], now: Micros) -> FrameStep {
        let Some(frame) = self.input_of(id).and_then(|m| m.frame.as_mut()) else {
            return FrameStep::Ended(0);
        };
        let mut used = 0;
        let mut fresh = None;
        while frame.header.is_none() && fresh.is_none() && used < data.len() {
            frame.head[usize::from(frame.have)] = data[used];
            frame.have += 1;
            used += 1;
            fresh = Header::parse(&frame.head[..usize::from(frame.have)]);
        }
        if let Some(header) = fresh
            && let Err(step) = self.begin_frame(id, header, used, now)
        {
            return step;
        }
        let mut whole = None;
        let mut open = true;
        let mut progress = sabotage::on(Bug::EveryByteIsHeard);
        let mut sign = LifeSign::Control;
        let form = match self.core.table.get(id) {
            Some(conn) => conn.health.form(),
            None => return FrameStep::Ended(0),
        };
        if let Some(frame) = self.input_of(id).and_then(|m| m.frame.as_mut())
            && let Some((header, kind)) = frame.header
        {
            let left = usize::try_from(header.payload - frame.payload).unwrap_or(usize::MAX);
            let bytes = &data[used..];
            let bytes = &bytes[..left.min(bytes.len()).min(GATHER_STEP)];
            let offset = frame.payload as usize;
            used += bytes.len();
            frame.payload += bytes.len() as u64;
            frame.credit += bytes.len() as u32;
            if frame.credit >= PROGRESS_STEP {
                frame.credit %= PROGRESS_STEP;
                progress = true;
            }
            whole = (frame.payload == header.payload).then_some((header, kind));
            sign = match whole {
                Some(_) => sign_of(kind, form),
                None => LifeSign::DataPart,
            };
            match kind {
                FrameKind::Control | FrameKind::Close => frame.control.extend_from_slice(bytes),
                FrameKind::Whole(_) | FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
                    open = self.append(id, bytes, header.mask(), offset, now);
                }
            }
        }
        self.core.spend(1);
        if open && (progress || whole.is_some()) {
            self.mark_heard(id, sign, now);
        }
        if let Some((header, kind)) = whole.filter(|_| open) {
            let frame = self.input_of(id).and_then(|m| m.frame.take());
            open = frame.is_some_and(|frame| match kind {
                FrameKind::Control | FrameKind::Close => {
                    let bytes = [&frame.head[..header.len], &frame.control].concat();
                    self.process_control(id, &bytes, &header, now)
                }
                FrameKind::Whole(_) | FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
                    self.finish_frame(id, kind, now)
                }
            });
            open = open && self.park(id, now);
        }
        if open && self.update_held(id, now) {
            FrameStep::Consumed(used)
        } else {
            FrameStep::Ended(used)
        }
    }

    /// Handles the complete header of a frame in progress, which took `used` bytes.
    ///
    /// # Errors The step to return if the frame is not allowed.
    fn begin_frame(
        &mut self,
        id: ConnId,
        header: Header,
        used: usize,
        now: Micros,
    ) -> Result<(), FrameStep> {
        let Some(conn) = self.core.table.get(id) else {
            return Err(FrameStep::Ended(used));
        };
        match self.kind_of_frame(conn, &header) {
            Ok(kind) => {
                if let Some(frame) = self.input_of(id).and_then(|m| m.frame.as_mut()) {
                    frame.header = Some((header, kind));
                }
                self.begin_message(id, kind);
                Ok(())
            }
            Err(e) => {
                self.core.spend(1);
                self.close_broken(id, &e, now);
                Err(FrameStep::Ended(used))
            }
        }
    }

    /// Begins a message if a frame of this kind begins one.
    fn begin_message(&mut self, id: ConnId, kind: FrameKind) {
        if let Some(opcode) = kind.begins()
            && let Some(input) = self.input_or_new(id)
        {
            input.message = Some(IncomingMessage::new(opcode));
        }
    }

    /// Appends payload to the message in progress. Returns whether the connection is still open.
    fn append(
        &mut self,
        id: ConnId,
        payload: &[u8],
        mask: [u8; 4],
        offset: usize,
        now: Micros,
    ) -> bool {
        let message = self.input_of(id).and_then(|m| m.message.as_mut());
        match message.map(|message| message.push(payload, mask, offset)) {
            Some(Ok(worth)) => {
                self.core.work.spend_bytes(worth, &mut self.core.stats);
                true
            }
            Some(Err(NotUtf8)) => self.close_not_utf8(id, now),
            None => false,
        }
    }

    /// Handles the end of a data frame. Returns whether the connection is still open.
    fn finish_frame(&mut self, id: ConnId, kind: FrameKind, now: Micros) -> bool {
        if let FrameKind::First(_) | FrameKind::Middle = kind
            && !sabotage::on(Bug::HalfMessageDelivered)
        {
            return self.update_held(id, now);
        }
        let message = self.input_of(id).and_then(|m| m.message.as_ref());
        match message.map(IncomingMessage::finish) {
            Some(Ok(())) => self.start_join(id, now),
            Some(Err(NotUtf8)) => self.close_not_utf8(id, now),
            None => false,
        }
    }
}

/// Returns what a whole frame of this kind is a sign of. A pong may stand between two fragments, a
/// text may not.
fn sign_of(kind: FrameKind, form: HeartbeatForm) -> LifeSign {
    match kind {
        FrameKind::Control | FrameKind::Close => LifeSign::Control,
        FrameKind::First(_) | FrameKind::Middle if form == HeartbeatForm::Text => {
            LifeSign::DataPart
        }
        FrameKind::Whole(_) | FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
            LifeSign::Data
        }
    }
}
