//! The queue of unsent bytes for one peer.

use super::blocked::{Blocked, WRITE};
use super::entry::OutEntry;
use super::frame::OutFrame;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::Bytes;
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
    /// Unsent bytes of the frame in progress; 0 between frames.
    frame_left: usize,
    /// Unsent bytes of all entries.
    frame_bytes: usize,
    /// The memory that is charged for the pieces, in bytes.
    charged: usize,
    /// The number of messages of which no byte is sent.
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

    fn push_entry(&mut self, entry: OutEntry) {
        self.charged += entry.charge();
        self.entries.push_back(entry);
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
        let in_progress = self.frame_left > 0;
        self.entries.truncate(usize::from(in_progress));
        if let Some(OutEntry::Batch(batch)) = self.entries.front_mut() {
            batch.truncate(self.head_sent + self.frame_left);
        }
        self.entries.extend(close);
        if !in_progress {
            self.head_sent = 0;
        }
        self.frame_bytes = self.entries.iter().map(OutEntry::len).sum::<usize>() - self.head_sent;
        self.charged = self.entries.iter().map(OutEntry::charge).sum();
        unsent
    }

    /// Returns the number of messages of which no byte is sent.
    pub(crate) fn unsent(&self) -> u32 {
        self.unsent
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
        let first = self.entries.front();
        let begun = self.head_sent + self.frame_left;
        if self.control_jumps_in() {
            push(control);
        }
        if let Some(entry) = first {
            let in_progress = entry.range(self.head_sent, begun);
            in_progress.into_iter().for_each(&mut push);
        }
        if !self.control_jumps_in() {
            push(control);
        }
        if let Some(entry) = first {
            entry
                .range(begun, entry.len())
                .into_iter()
                .for_each(&mut push);
        }
        for entry in self.entries.iter().skip(1).take(SLICES) {
            entry.range(0, entry.len()).into_iter().for_each(&mut push);
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
        if self.frame_left > 0 && !self.control_jumps_in() {
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
            self.frame_left = head.frame_len(self.head_sent);
            // Our close frame is the only one that does not count as a message.
            self.unsent = self.unsent.saturating_sub(1);
        }
        let take = left.min(self.frame_left);
        self.head_sent += take;
        self.frame_left -= take;
        self.frame_bytes -= take;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes through a socket that takes `step` bytes a call, `calls` times. Returns the bytes
    /// that it took.
    fn write(out: &mut Out, step: usize, calls: usize) -> (Vec<u8>, bool) {
        let (mut got, mut ping, mut left) = (Vec::new(), false, calls);
        let mut socket = |slices: &[IoSlice<'_>]| {
            if left == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            left -= 1;
            let bytes: Vec<u8> = slices
                .iter()
                .flat_map(|s| s.iter().copied())
                .take(step)
                .collect();
            got.extend(&bytes);
            Ok(bytes.len())
        };
        ping |= out
            .write(Micros(1), usize::MAX, &mut socket)
            .expect("no error")
            .ping;
        (got, ping)
    }

    #[test]
    fn control_goes_before_data_but_never_inside_a_frame() {
        for step in 1..12 {
            let mut out = Out::default();
            out.push_frame(Bytes::from_static(b"AAAAA"));
            out.push_frame(Bytes::from_static(b"BBB"));
            let (mut got, _) = write(&mut out, 2, 1);
            out.push_control(b"cc");
            out.push_ping(b"PP");
            let (rest, ping) = write(&mut out, step, usize::MAX);
            got.extend(rest);
            assert_eq!(String::from_utf8_lossy(&got), "AAAAAccPPBBB");
            assert!(ping && out.is_empty());
        }
    }

    #[test]
    fn a_ping_has_left_only_with_its_last_byte() {
        let mut out = Out::default();
        out.push_ping(b"PPPP");
        assert!(!write(&mut out, 1, 3).1);
        assert!(write(&mut out, 1, 1).1);
    }

    #[test]
    fn a_control_queue_that_never_empties_does_not_grow() {
        let mut out = Out::default();
        out.push_control(&[0; 1_000]);
        for _ in 0..10_000 {
            out.push_control(&[0; 100]);
            write(&mut out, 100, 1);
        }
        out.push_ping(b"P");
        assert_eq!(out.pending(), 1_001);
        assert!(
            out.control.capacity() < 10_000,
            "{}",
            out.control.capacity()
        );
        assert!(
            write(&mut out, 1_001, 1).1,
            "the ping is still known by its end"
        );
    }

    #[test]
    fn discarding_keeps_the_frame_in_progress() {
        let mut out = Out::default();
        out.push_frame(Bytes::from_static(b"AAAA"));
        out.push_frame(Bytes::from_static(b"BBBB"));
        write(&mut out, 1, 1);
        assert_eq!((out.unsent(), out.discard_unsent()), (1, 1));
        out.push_close(Bytes::from_static(b"close"));
        assert_eq!((out.unsent(), out.discard_unsent()), (0, 0));
        write(&mut out, 4, 1);
        assert_eq!(
            out.unsent(),
            0,
            "a close frame that has begun is no message, either"
        );
        assert_eq!(write(&mut out, 100, 9).0, b"lose");
    }

    #[test]
    fn a_header_apart_goes_out_before_its_payload_whatever_the_cuts() {
        for step in 1..9 {
            let mut out = Out::default();
            out.push_frame(OutFrame::large(b"head", Bytes::from_static(b"PAYLOAD")));
            out.push_frame(Bytes::from_static(b"next"));
            assert_eq!(out.pending(), 15);
            let (mut got, _) = write(&mut out, step, 1);
            out.push_control(b"c");
            got.extend(write(&mut out, step, usize::MAX).0);
            assert_eq!(
                String::from_utf8_lossy(&got),
                "headPAYLOADcnext",
                "step {step}"
            );
        }
    }

    #[test]
    fn small_frames_share_a_string_and_are_still_counted_one_by_one() {
        for step in 1..40 {
            let mut out = Out::default();
            let mut expected = Vec::new();
            for i in 0..2_000u32 {
                let frame = [&[0x82, 4][..], &i.to_be_bytes()].concat();
                expected.extend(&frame);
                out.push_frame(Bytes::from(frame));
            }
            assert_eq!((out.unsent(), out.pending()), (2_000, 12_000));
            assert!(out.charged() < 12_000 + 4_096 + 600, "{}", out.charged());
            let (mut got, _) = write(&mut out, step, 1);
            out.push_control(b"cc");
            let at = step.next_multiple_of(6);
            expected.splice(at..at, *b"cc");
            got.extend(write(&mut out, step, 100).0);
            assert_eq!(got, expected[..got.len()], "step {step}");
            let whole = (got.len() - 2).div_ceil(6);
            let unsent = out.discard_unsent();
            assert_eq!(unsent as usize, 2_000 - whole, "step {step}");
            out.push_close(Bytes::from_static(b"close"));
            got.extend(write(&mut out, 1_000, 9).0);
            assert_eq!(got[..got.len() - 5], expected[..whole * 6 + 2]);
            assert!(got.ends_with(b"close") && out.is_empty());
        }
    }

    #[test]
    fn more_slices_than_one_write_takes_all_go_in_order() {
        let mut out = Out::default();
        for i in 0..100u8 {
            out.push_frame(Bytes::from(vec![i; 3]));
        }
        let expected: Vec<u8> = (0..100u8).flat_map(|i| [i; 3]).collect();
        assert_eq!(write(&mut out, usize::MAX, usize::MAX).0, expected);
    }
}
