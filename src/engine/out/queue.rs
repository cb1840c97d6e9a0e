//! The queue of unsent bytes for one peer.

use super::blocked::{Blocked, WRITE};
use super::entry::OutEntry;
use super::frame::OutFrame;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::Bytes;
use crate::wire::frame::Header;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// Takes slices of bytes as a socket does. Returns how many bytes it took, or `WouldBlock`, or a
/// permanent error.
pub type WriteVectored<'a> = &'a mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>;

/// The most slices handed to one write; the rest wait for the next write.
const SLICES: usize = 32;

/// Frames up to this size, in bytes on the wire, are copied into a batch of the connection. Larger
/// ones stay shared.
const BATCHED_MAX: usize = 512;

/// The most bytes of one byte string; further small frames start another one.
const BATCH_MAX: usize = 4 * 1024;

/// The unsent bytes of one connection. It exists only while there are some.
///
/// Control frames go out at the next frame boundary, before waiting data, so that a heartbeat does
/// not wait behind a megabyte. For this there are two queues, and at most one partly sent frame.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Whole control frames (or an HTTP response), of which `control_sent` bytes are sent.
    control: Vec<u8>,
    control_sent: usize,
    /// The offset in `control` of the end of a waiting heartbeat.
    ping_end: Option<usize>,
    /// Data frames, and at the very end our close frame.
    entries: VecDeque<OutEntry>,
    /// How many bytes of the first piece are sent.
    head_sent: usize,
    /// Unsent bytes of the frame in progress; 0 between frames. A forwarded frame may be queued in
    /// part.
    frame_left: u64,
    /// Unsent bytes of all entries.
    frame_bytes: usize,
    /// Unsent bytes up to the end of the last fragment of a message; 0 if there is none.
    fragment_bytes: usize,
    /// The memory that is charged for the pieces, in bytes.
    charged: usize,
    /// The number of messages, or forwarded data frames, of which no byte is sent.
    unsent: u32,
    /// Whether the last frame is our close frame, which does not count as a message.
    closing: bool,
    /// Set while the socket takes fewer bytes than there are.
    blocked: Option<Blocked>,
    /// Since when the connection has been above its limit without sending a byte.
    over: Option<Micros>,
}

/// The result of one [`Out::write`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: usize,
    /// Whether the last byte of the heartbeat was sent.
    pub(crate) ping: bool,
    /// The number of bytes sent after the heartbeat.
    pub(crate) behind_ping: usize,
    /// Whether the write ended because the socket takes no more bytes now.
    pub(crate) full: bool,
}

impl Out {
    pub(crate) fn push_control(&mut self, frames: &[u8]) {
        // Drop sent bytes: otherwise a queue that progresses but never empties would keep every
        // byte that it ever held.
        if self.control_sent > self.control.len() / 2 {
            self.control.drain(..self.control_sent);
            self.ping_end = self.ping_end.map(|end| end - self.control_sent);
            self.control_sent = 0;
        }
        self.control.extend_from_slice(frames);
    }

    pub(crate) fn push_ping(&mut self, frame: &[u8]) {
        self.push_control(frame);
        self.ping_end = Some(self.control.len());
    }

    pub(crate) fn push_frame(&mut self, frame: impl Into<OutFrame>) {
        let frame = frame.into();
        self.unsent = self.unsent.saturating_add(1);
        self.frame_bytes += frame.len();
        // A frame that is alone in the queue is not copied.
        if self.entries.is_empty() || frame.len() > BATCHED_MAX || frame.has_header_apart() {
            self.push_entry(OutEntry::Frame(frame));
            return;
        }
        if let Some(OutEntry::Batch(batch)) = self.entries.back_mut()
            && batch.len() + frame.len() <= BATCH_MAX
        {
            let before = batch.capacity();
            if batch.len() + frame.len() > batch.capacity() && 2 * before > BATCH_MAX {
                batch.reserve_exact(BATCH_MAX - batch.len());
            }
            batch.extend_from_slice(frame.body());
            self.charged += batch.capacity() - before;
            return;
        }
        self.push_entry(OutEntry::Batch(frame.body().to_vec()));
    }

    /// Records that the frame that was queued last is a fragment of a message, or belongs to the
    /// one before it.
    pub(crate) fn note_fragment(&mut self) {
        self.fragment_bytes = self.frame_bytes;
    }

    /// Returns whether a fragment of a message is in the queue. A frame boundary may then be
    /// between two fragments.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.fragment_bytes > 0
    }

    fn push_entry(&mut self, entry: OutEntry) {
        self.charged += entry.charge();
        self.entries.push_back(entry);
    }

    /// Queues forwarded bytes that begin with the last `left` bytes of a frame, of which some may
    /// not have arrived. The other frames are whole, except the last one.
    pub(crate) fn push_run(&mut self, bytes: Vec<u8>, left: u64) {
        if self.frame_bytes == 0 {
            self.frame_left = left;
        }
        self.unsent = self.unsent.saturating_add(data_frames(&bytes, left));
        self.frame_bytes += bytes.len();
        if let Some(OutEntry::Batch(batch)) = self.entries.back_mut()
            && batch.len() + bytes.len() <= BATCH_MAX.max(batch.capacity())
        {
            let before = batch.capacity();
            batch.extend_from_slice(&bytes);
            self.charged += batch.capacity() - before;
            return;
        }
        self.push_entry(OutEntry::Batch(bytes));
    }

    /// Records that a frame in progress was sent up to its last `left` bytes, before the queue was
    /// created.
    pub(crate) fn begin_mid_frame(&mut self, left: u64) {
        self.frame_left = left;
    }

    /// Returns whether the end of the frame in progress is not in the queue. Until it is, nothing
    /// of ours can be sent.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.frame_left > self.frame_bytes as u64
    }

    /// Returns whether all that is queued waits for the rest of the frame in progress.
    pub(crate) fn waits_for_frame(&self) -> bool {
        self.frame_bytes == 0 && self.frame_left > 0
    }

    /// Removes our close frame if no byte of it was sent. Returns whether it was removed.
    pub(crate) fn take_back_close(&mut self) -> bool {
        let begun = self.entries.len() == 1 && self.frame_left > 0;
        if !self.closing || begun {
            return false;
        }
        let Some(close) = self.entries.pop_back() else {
            return false;
        };
        self.frame_bytes -= close.len();
        self.charged -= close.charge();
        self.closing = false;
        true
    }

    /// Queues our close frame; nothing follows it.
    pub(crate) fn push_close(&mut self, frame: Bytes) {
        self.frame_bytes += frame.len();
        self.push_entry(OutEntry::Frame(frame.into()));
        self.closing = true;
    }

    /// Removes every message of which no byte is sent. Returns how many.
    pub(crate) fn discard_unsent(&mut self) -> u32 {
        let unsent = std::mem::take(&mut self.unsent);
        if unsent == 0 {
            return 0;
        }
        let close = self.closing.then(|| self.entries.pop_back()).flatten();
        let mut keep = match usize::try_from(self.frame_left).unwrap_or(usize::MAX) {
            0 => 0,
            left => self.head_sent.saturating_add(left),
        };
        // A forwarded frame may continue in further entries.
        let mut kept = 0;
        for entry in &mut self.entries {
            if keep == 0 {
                break;
            }
            if let OutEntry::Batch(batch) = entry {
                batch.truncate(keep);
            }
            keep -= keep.min(entry.len());
            kept += 1;
        }
        self.entries.truncate(kept);
        self.entries.extend(close);
        if kept == 0 {
            self.head_sent = 0;
        }
        self.frame_bytes = self.entries.iter().map(OutEntry::len).sum::<usize>() - self.head_sent;
        self.fragment_bytes = self.fragment_bytes.min(self.frame_bytes);
        self.charged = self.entries.iter().map(OutEntry::charge).sum();
        unsent
    }

    /// Removes the last frame if its end is not in the queue. No byte of it may be sent. Returns
    /// how many messages were removed.
    pub(crate) fn discard_partial(&mut self) -> u32 {
        let total: usize = self.entries.iter().map(OutEntry::len).sum();
        let left = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
        let (mut at, mut base) = (self.head_sent.saturating_add(left), 0);
        let mut partial = None;
        for entry in &self.entries {
            while partial.is_none() && at < base + entry.len() {
                let (len, is_data) = entry.frame_at(at - base);
                match at.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)) {
                    end if end > total => partial = Some(is_data),
                    end => at = end,
                }
            }
            base += entry.len();
        }
        let Some(is_data) = partial else { return 0 };
        let mut keep = at;
        for entry in &mut self.entries {
            if let OutEntry::Batch(batch) = entry {
                batch.truncate(keep);
            }
            keep -= keep.min(entry.len());
        }
        while self.entries.back().is_some_and(|entry| entry.len() == 0) {
            self.entries.pop_back();
        }
        self.frame_bytes = at - self.head_sent;
        self.charged = self.entries.iter().map(OutEntry::charge).sum();
        self.unsent -= u32::from(is_data);
        u32::from(is_data)
    }

    /// Returns the number of messages of which no byte is sent.
    pub(crate) fn unsent(&self) -> u32 {
        self.unsent
    }

    /// Returns whether a heartbeat, or a part of one, is in the queue.
    pub(crate) fn has_ping(&self) -> bool {
        self.ping_end.is_some()
    }

    /// Returns whether our close frame, or a part of it, is in the queue.
    pub(crate) fn has_close(&self) -> bool {
        self.closing && self.frame_bytes > 0
    }

    /// Returns the number of unsent bytes.
    pub(crate) fn pending(&self) -> usize {
        self.control.len() - self.control_sent + self.frame_bytes
    }

    /// Returns the bytes allocated for the queue.
    pub(crate) fn charged(&self) -> usize {
        size_of::<Out>() + self.control.capacity() + self.charged
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Returns since when the connection has been above its limit without sending a byte.
    pub(crate) fn over_limit_since(&self) -> Option<Micros> {
        self.over
    }

    /// Records the state at the end of a flush: `over` says that the connection is above its limit,
    /// `moved` that bytes were sent.
    pub(crate) fn update_over_limit(&mut self, over: bool, moved: bool, now: Micros) {
        self.over = match self.over {
            _ if !over => None,
            Some(since) if !moved => Some(since),
            Some(_) | None => Some(now),
        };
    }

    /// Returns since when some byte has waited, while the socket takes fewer bytes than there are.
    pub(crate) fn blocked_since(&self) -> Option<Micros> {
        self.blocked.map(|b| b.since)
    }

    /// Returns when a byte was last sent, while the socket takes fewer bytes than there are.
    pub(crate) fn moved_at(&self) -> Option<Micros> {
        self.blocked.map(|b| b.moved_at)
    }

    /// Counts the wait for a sent byte from `at` on, unless one was sent later.
    pub(crate) fn postpone_slow(&mut self, at: Micros) {
        if let Some(blocked) = &mut self.blocked {
            blocked.moved_at = blocked.moved_at.max(at);
        }
    }

    /// Writes until the queue is empty, the socket takes no more, or `budget` bytes are sent.
    ///
    /// # Errors Any error of the socket except `WouldBlock` and `Interrupted`.
    pub(crate) fn write(
        &mut self,
        now: Micros,
        budget: usize,
        socket: WriteVectored<'_>,
    ) -> io::Result<Written> {
        let mut written = Written::default();
        let mut most = WRITE;
        if let Some(blocked) = &mut self.blocked {
            most = blocked.next_write(now);
        }
        while !self.is_empty() && written.bytes < budget {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.slices(&mut slices, most);
            if count == 0 {
                // Control frames wait for the rest of a frame in progress, and not for the socket.
                self.blocked = None;
                break;
            }
            match socket(&slices[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    written.bytes += taken;
                    match self.consume(taken) {
                        Some(behind) => (written.ping, written.behind_ping) = (true, behind),
                        None if written.ping => written.behind_ping += taken,
                        None => {}
                    }
                    if let Some(blocked) = &mut self.blocked {
                        let waiting = self.control.len() - self.control_sent + self.frame_bytes;
                        blocked.took(taken, waiting, now);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let blocked = Blocked::new(self.pending(), now);
                    self.blocked.get_or_insert(blocked).full_at = now;
                    written.full = true;
                    break;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(written)
    }

    /// Fills in the next bytes, at most `most`, in sending order: the frame in progress, control
    /// frames, data.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES], most: usize) -> usize {
        let (mut count, mut left) = (0, most);
        let mut push = |bytes: &'a [u8]| {
            let bytes = &bytes[..bytes.len().min(left)];
            if !bytes.is_empty() && count < SLICES {
                slices[count] = IoSlice::new(bytes);
                count += 1;
                left -= bytes.len();
            }
        };
        let control = &self.control[self.control_sent..];
        if self.control_jumps_in() {
            push(control);
        }
        // The frame in progress, which may continue in further entries.
        let mut in_progress = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
        let mut from = self.head_sent;
        let mut entries = self.entries.iter().take(SLICES + 1).peekable();
        while let Some(entry) = entries.peek()
            && in_progress > 0
        {
            let until = entry.len().min(from.saturating_add(in_progress));
            entry.range(from, until).into_iter().for_each(&mut push);
            in_progress -= until - from;
            from = until;
            if from == entry.len() {
                entries.next();
                from = 0;
            }
        }
        if in_progress > 0 {
            return count;
        }
        if !self.control_jumps_in() {
            push(control);
        }
        for entry in entries {
            let range = entry.range(from, entry.len());
            range.into_iter().for_each(&mut push);
            from = 0;
        }
        count
    }

    /// Removes the next `taken` bytes, in sending order. If the last byte of the heartbeat is among
    /// them, returns how many bytes follow it.
    fn consume(&mut self, taken: usize) -> Option<usize> {
        if sabotage::on(Bug::PendingNotReduced) {
            return None;
        }
        let mut left = taken;
        while self.frame_left > 0 && left > 0 && !self.control_jumps_in() {
            left = self.consume_frame(left);
        }
        let control = left.min(self.control.len() - self.control_sent);
        self.control_sent += control;
        left -= control;
        let ping = self.ping_end.filter(|end| self.control_sent >= *end);
        let behind_ping = ping.map(|end| self.control_sent - end + left);
        if ping.is_some() {
            self.ping_end = None;
        }
        if self.control_sent == self.control.len() {
            self.control.clear();
            self.control_sent = 0;
        }
        while left > 0 {
            left = self.consume_frame(left);
        }
        behind_ping
    }

    /// Removes up to `left` sent bytes of the frame in progress, or of the next frame. Returns how
    /// many of them belong to later frames.
    fn consume_frame(&mut self, left: usize) -> usize {
        let Some(head) = self.entries.front() else {
            return 0;
        };
        if self.frame_left == 0 {
            let (len, is_data) = head.frame_at(self.head_sent);
            self.frame_left = len;
            // Our close frame does not count as a message; by then none is unsent.
            self.unsent = self.unsent.saturating_sub(u32::from(is_data));
        }
        let in_entry = (head.len() - self.head_sent) as u64;
        let take = (left as u64).min(self.frame_left).min(in_entry) as usize;
        self.head_sent += take;
        self.frame_left -= take as u64;
        self.frame_bytes -= take;
        self.fragment_bytes = self.fragment_bytes.saturating_sub(take);
        if self.head_sent == head.len() {
            self.charged -= head.charge();
            self.entries.pop_front();
            self.head_sent = 0;
        }
        left - take
    }

    fn control_jumps_in(&self) -> bool {
        sabotage::on(Bug::ControlInsideFrame)
    }
}

/// Counts the data frames that begin in forwarded bytes, of which the first `left` belong to a
/// frame that began before.
fn data_frames(bytes: &[u8], left: u64) -> u32 {
    let mut at = usize::try_from(left).unwrap_or(usize::MAX);
    let mut frames = 0;
    while let Some(header) = bytes.get(at..).and_then(Header::parse) {
        frames += u32::from(header.is_data());
        at = at.saturating_add(header.frame_len());
    }
    frames
}

#[cfg(test)]
mod tests;
