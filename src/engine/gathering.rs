//! Gathering: a frame of at most 64 KiB of which not all has arrived is forwarded as a whole.

use super::conn::Conn;
use super::engine::Engine;
use super::forwarding::{ForwardStep, PartnerState};
use super::handler::Handler;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::health::LifeSign;
use crate::wire::frame::Header;
use crate::wire::run::{GATHERED_MAX, RunState};
use std::borrow::Cow;

/// What becomes of a frame of which only the header is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// It is gathered until all of it has arrived.
    Gathered,
    /// The header is enough: a long frame is forwarded in parts, and one that is not allowed is
    /// refused.
    Passed,
    /// It is not begun, because a close of the pair comes first.
    Stopped,
}

/// The least room, in bytes, that is reserved for a frame of which not all has arrived.
const GATHER_MIN: usize = 4 * 1024;

impl<H: Handler> Engine<H> {
    /// Gathers a frame of at most 64 KiB of which not all has arrived.
    pub(super) fn gather_frame(&mut self, id: ConnId, data: &[u8], now: Micros) -> ForwardStep {
        let Some(input) = self.core.forward_input(id) else {
            return ForwardStep::Ended(0);
        };
        if input.gathered.is_empty() {
            input.since = now;
        }
        let mut used = 0;
        let mut header = Header::parse(&input.gathered);
        while header.is_none() && used < data.len() {
            input.gathered.push(data[used]);
            used += 1;
            header = Header::parse(&input.gathered);
        }
        let mut is_whole = false;
        let sign = match header.is_some_and(|header| header.is_data()) {
            true => LifeSign::DataPart,
            false => LifeSign::Control,
        };
        if let Some(header) = header {
            // It was judged when its header was complete.
            let judged = match used == 0 && header.payload <= GATHERED_MAX {
                true => Judged::Gathered,
                false => self.judge_begun(id, &header),
            };
            if judged == Judged::Stopped {
                if let Some(input) = self.core.forward_input(id) {
                    input.gathered.truncate(input.gathered.len() - used);
                }
                self.core.stop(id, now);
                return ForwardStep::Waits;
            }
            let is_judged = judged == Judged::Gathered;
            if let Some(input) = self.core.forward_input(id).filter(|_| is_judged) {
                let missing = header.frame_len().saturating_sub(input.gathered.len());
                let rest = &data[used..];
                let rest = &rest[..rest.len().min(missing)];
                // Room for twice what has arrived: an announcement takes at most 4 KiB.
                let room = (input.gathered.len() + rest.len()).max(GATHER_MIN);
                if input.gathered.capacity() < input.gathered.len() + rest.len() {
                    input.gathered.reserve_exact(room.min(missing));
                }
                input.gathered.extend_from_slice(rest);
                used += rest.len();
                is_whole = rest.len() == missing;
            }
            is_whole |= !is_judged;
        }
        self.core.spend_frame(used);
        if self.count_progress(id, used) {
            self.mark_heard(id, sign, now);
        }
        let is_open = match is_whole {
            true => self.forward_gathered(id, now),
            false => self.update_held(id, now),
        };
        match is_open {
            true => ForwardStep::Consumed(used),
            false => ForwardStep::Ended(used),
        }
    }

    /// Returns what becomes of a frame of which only the header is here.
    fn judge_begun(&self, id: ConnId, header: &Header) -> Judged {
        let PartnerState::Ready(partner) = self.partner_state(id) else {
            return Judged::Passed;
        };
        let input = self.core.table.get(id).and_then(Conn::forward_input);
        let state = input.map_or(RunState::default(), |f| f.state);
        let rules = self.run_rules(id, partner);
        match state.judge(header, &rules) {
            Err(_) => Judged::Passed,
            Ok(_) if header.payload <= GATHERED_MAX => Judged::Gathered,
            Ok(_) if rules.only_whole => Judged::Stopped,
            Ok(_) => Judged::Passed,
        }
    }

    /// Handles a gathered frame, or the header of one that is not gathered. Returns whether the
    /// connection is still open.
    fn forward_gathered(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(input) = self.core.forward_input(id) else {
            return false;
        };
        let mut bytes = Cow::Owned(std::mem::take(&mut input.gathered));
        self.core.rest_forward_input(id);
        match self.forward_run(id, &mut bytes, false, now) {
            ForwardStep::Ended(used) => {
                self.skip_input(id, &bytes[used..]);
                false
            }
            ForwardStep::Waits => {
                if let Some(input) = self.core.forward_input(id) {
                    input.gathered = bytes.into_owned();
                }
                self.update_held(id, now)
            }
            ForwardStep::Consumed(_) | ForwardStep::Write(_) => self.update_held(id, now),
        }
    }
}
