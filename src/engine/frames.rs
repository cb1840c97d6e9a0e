//! Incoming frames: complete ones, and those that arrive in parts.

use super::conn::{Conn, Gathering, Phase};
use super::engine::Engine;
use super::handler::Handler;
use super::held::{GATHER_STEP, PROGRESS_STEP};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::WsError;
use crate::wire::frame::{HEADER_MAX, Header, Role};
use crate::wire::incoming_message::{IncomingMessage, NotUtf8};
use crate::wire::scan::FrameKind;

/// The result of processing a piece of input.
enum Step {
    /// Consumed this many bytes; the connection is open.
    Took(usize),
    /// Consumed this many bytes; the connection is no longer open.
    Over(usize),
}

impl<H: Handler> Engine<H> {
    pub(super) fn inbound(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        match self.core.table.get(id).map(|c| &c.phase) {
            Some(Phase::Opening(_)) => self.head(id, bytes, now),
            Some(Phase::Open(_)) => {
                let used = self.frames(id, bytes, now);
                self.keep(id, &bytes[used..], now);
            }
            Some(Phase::Closing(_)) => {
                self.core.spend_frame(bytes.len());
                self.skipped(id, bytes);
            }
            Some(Phase::Dead(_)) | None => {}
        }
    }

    /// Counts received bytes.
    pub(super) fn count_in(&mut self, id: ConnId, bytes: usize) {
        self.core.stats.bytes_in += bytes as u64;
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.traffic.bytes_in += bytes as u64;
        }
    }

    /// Processes frames until the connection's share of this turn is used up. Returns how many
    /// bytes were processed.
    pub(super) fn frames(&mut self, id: ConnId, data: &[u8], now: Micros) -> usize {
        let mut at = 0;
        while at < data.len() && self.core.may_go_on(id) {
            let units = self.core.work.spent();
            match self.frame(id, &data[at..], now) {
                Step::Took(bytes) => at += bytes,
                Step::Over(bytes) => {
                    self.skipped(id, &data[at + bytes..]);
                    at = data.len();
                }
            }
            let units = self.core.work.spent().saturating_sub(units);
            self.core.stats.frame_units_max = self.core.stats.frame_units_max.max(units);
        }
        at
    }

    /// Processes one frame, or the part of it that has arrived.
    fn frame(&mut self, id: ConnId, data: &[u8], now: Micros) -> Step {
        let Some(conn) = self.core.table.get(id).filter(|c| c.is_open()) else {
            return Step::Over(0);
        };
        if let Phase::Open(Some(middle)) = &conn.phase
            && middle.frame.is_some()
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
                self.broken(id, &e, now);
                return Step::Over(0);
            }
        };
        let len = header.frame_len();
        if data.len() < len || len > GATHER_STEP {
            return self.begin_gathering(id, data, now);
        }
        self.core.spend_frame(header.len);
        self.heard(id, now);
        let frame = &data[..len];
        let (payload, mask) = (&frame[header.len..], header.mask());
        let open = match kind {
            FrameKind::Whole(opcode) => match IncomingMessage::from_frame(opcode, payload, mask) {
                Ok((message, worth)) => {
                    self.core.work.spend_bytes(worth, &mut self.core.stats);
                    self.deliver(id, message, now)
                }
                Err(NotUtf8) => self.not_utf8(id, now),
            },
            FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
                self.begin_message(id, kind);
                self.append(id, payload, mask, 0, now) && self.frame_ends(id, kind, now)
            }
            FrameKind::Control | FrameKind::Close => self.control(id, frame, &header, now),
        };
        if open && self.rest(id, now) {
            Step::Took(len)
        } else {
            Step::Over(len)
        }
    }

    /// Classifies a frame by its header, or returns why it is not allowed.
    fn kind_of_frame(&self, conn: &Conn, header: &Header) -> Result<FrameKind, WsError> {
        let most = self.core.config.max_message_bytes;
        let first = self.core.policy_of(conn).first_message_bytes;
        let most = match first {
            Some(first) if conn.is_stranger() => first.min(most),
            Some(_) | None => most,
        };
        let in_message = match &conn.phase {
            Phase::Open(Some(middle)) => middle.message.as_ref().map(IncomingMessage::len),
            _ => None,
        };
        header.classify(
            Role::Server,
            in_message,
            if header.is_data() { most } else { usize::MAX },
        )
    }

    /// Begins to gather a frame of which only the beginning has arrived.
    fn begin_gathering(&mut self, id: ConnId, data: &[u8], now: Micros) -> Step {
        if let Some(middle) = self.middle_or_new(id) {
            middle.frame = Some(Gathering {
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
    fn gather(&mut self, id: ConnId, data: &[u8], now: Micros) -> Step {
        let Some(frame) = self.middle_of(id).and_then(|m| m.frame.as_mut()) else {
            return Step::Over(0);
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
        if let Some(frame) = self.middle_of(id).and_then(|m| m.frame.as_mut())
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
            match kind {
                FrameKind::Control | FrameKind::Close => frame.control.extend_from_slice(bytes),
                FrameKind::Whole(_) | FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
                    open = self.append(id, bytes, header.mask(), offset, now);
                }
            }
        }
        self.core.spend(1);
        if open && (progress || whole.is_some()) {
            self.heard(id, now);
        }
        if let Some((header, kind)) = whole.filter(|_| open) {
            let frame = self.middle_of(id).and_then(|m| m.frame.take());
            open = frame.is_some_and(|frame| match kind {
                FrameKind::Control | FrameKind::Close => {
                    let bytes = [&frame.head[..header.len], &frame.control].concat();
                    self.control(id, &bytes, &header, now)
                }
                FrameKind::Whole(_) | FrameKind::First(_) | FrameKind::Middle | FrameKind::Last => {
                    self.frame_ends(id, kind, now)
                }
            });
            open = open && self.rest(id, now);
        }
        if open && self.account_for_held(id, now) {
            Step::Took(used)
        } else {
            Step::Over(used)
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
    ) -> Result<(), Step> {
        let Some(conn) = self.core.table.get(id) else {
            return Err(Step::Over(used));
        };
        match self.kind_of_frame(conn, &header) {
            Ok(kind) => {
                if let Some(frame) = self.middle_of(id).and_then(|m| m.frame.as_mut()) {
                    frame.header = Some((header, kind));
                }
                self.begin_message(id, kind);
                Ok(())
            }
            Err(e) => {
                self.core.spend(1);
                self.broken(id, &e, now);
                Err(Step::Over(used))
            }
        }
    }

    /// Begins a message if a frame of this kind begins one.
    fn begin_message(&mut self, id: ConnId, kind: FrameKind) {
        if let Some(opcode) = kind.begins()
            && let Some(middle) = self.middle_or_new(id)
        {
            middle.message = Some(IncomingMessage::new(opcode));
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
        let message = self.middle_of(id).and_then(|m| m.message.as_mut());
        match message.map(|message| message.push(payload, mask, offset)) {
            Some(Ok(worth)) => {
                self.core.work.spend_bytes(worth, &mut self.core.stats);
                true
            }
            Some(Err(NotUtf8)) => self.not_utf8(id, now),
            None => false,
        }
    }

    /// Handles the end of a data frame. Returns whether the connection is still open.
    fn frame_ends(&mut self, id: ConnId, kind: FrameKind, now: Micros) -> bool {
        if let FrameKind::First(_) | FrameKind::Middle = kind {
            return self.account_for_held(id, now);
        }
        let message = self.middle_of(id).and_then(|m| m.message.as_ref());
        match message.map(IncomingMessage::finish) {
            Some(Ok(())) => self.begin_to_join(id, now),
            Some(Err(NotUtf8)) => self.not_utf8(id, now),
            None => false,
        }
    }
}
