//! What is to go out to one peer and has not gone yet.

use crate::engine::Config;
use crate::sabotage::{self, Bug};
use crate::time::Micros;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use tungstenite::Bytes;

/// Takes slices of bytes as a socket does: how many were taken, or `WouldBlock`, or an error for good.
pub type WriteVectored<'a> = &'a mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>;

/// The most slices handed to one write; more wait for the next.
const SLICES: usize = 32;

/// Pending bytes of one connection. It exists only while there are some.
///
/// Control frames go out at the next frame boundary, before pending data: a heartbeat must not wait behind a megabyte.
/// So there are two queues, and at most one frame that is half sent.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Whole control frames (or an HTTP response), of which `control_sent` bytes are gone.
    control: Vec<u8>,
    control_sent: usize,
    /// The offset in `control` behind the heartbeat that waits there.
    ping_end: Option<usize>,
    /// Data frames, and at the very end our close frame.
    frames: VecDeque<OutFrame>,
    /// Bytes of the first frame that are gone.
    head_sent: usize,
    frame_bytes: usize,
    /// Whether the last of the frames is our close frame, which is no message.
    closing: bool,
    /// While the socket takes less than there is.
    blocked: Option<Blocked>,
}

/// One frame, shared by all who are sent it.
#[derive(Debug, Clone)]
pub(crate) struct OutFrame {
    /// The header, if it is not part of the body: a large payload goes out as it is and not as a copy behind its header.
    header: [u8; Config::FRAME_HEADER_MAX],
    header_len: u8,
    body: Bytes,
}

impl OutFrame {
    /// A payload with its header apart.
    pub(crate) fn large(header: &[u8], payload: Bytes) -> Self {
        let mut frame = OutFrame::from(payload);
        let len = header.len().min(Config::FRAME_HEADER_MAX);
        frame.header[..len].copy_from_slice(&header[..len]);
        frame.header_len = len as u8;
        frame
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.header_len) + self.body.len()
    }

    /// What is left of it behind its first `sent` bytes, in two parts, either of which may be empty.
    fn rest(&self, sent: usize) -> [&[u8]; 2] {
        let header = &self.header[..usize::from(self.header_len)];
        let of_body = sent.saturating_sub(header.len());
        [&header[sent.min(header.len())..], &self.body[of_body..]]
    }
}

impl From<Bytes> for OutFrame {
    /// A whole frame in one piece.
    fn from(body: Bytes) -> Self {
        OutFrame {
            header: [0; Config::FRAME_HEADER_MAX],
            header_len: 0,
            body,
        }
    }
}

/// How long bytes have waited: at `since` there were `ahead` bytes more than have gone out by now. When those are gone the
/// watch starts anew, so that a queue that never empties but moves on is no offence.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    since: Micros,
    ahead: usize,
}

/// What one [`Out::write`] came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: usize,
    /// The last byte of the heartbeat went out.
    pub(crate) ping: bool,
    /// It ended because the socket takes no more now.
    pub(crate) full: bool,
}

impl Out {
    pub(crate) fn push_control(&mut self, frames: &[u8]) {
        // What is gone is not kept: a queue that moves on but never empties would hold every byte that ever waited in it.
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
        self.frame_bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Our close frame; nothing comes behind it.
    pub(crate) fn push_close(&mut self, frame: Bytes) {
        self.push_frame(frame);
        self.closing = true;
    }

    /// Takes back every message of which nothing is sent yet. Returns how many.
    pub(crate) fn discard_unsent(&mut self) -> u32 {
        let unsent = self.unsent();
        let keep = usize::from(self.head_sent > 0);
        let discarded = self.frames.drain(keep..keep + unsent as usize);
        self.frame_bytes -= discarded.map(|f| f.len()).sum::<usize>();
        unsent
    }

    /// Messages of which nothing is sent yet.
    pub(crate) fn unsent(&self) -> u32 {
        let others = usize::from(self.head_sent > 0) + usize::from(self.closing);
        // The frame in progress may be the close frame itself.
        u32::try_from(self.frames.len().saturating_sub(others)).unwrap_or(u32::MAX)
    }

    /// Bytes that are not sent yet.
    pub(crate) fn pending(&self) -> usize {
        self.control.len() - self.control_sent + self.frame_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Since when some byte has waited, while the socket takes less than there is.
    pub(crate) fn blocked_since(&self) -> Option<Micros> {
        self.blocked.map(|b| b.since)
    }

    /// Writes until all is gone, the socket takes no more, or `budget` bytes went.
    ///
    /// # Errors
    /// What the socket said, `WouldBlock` and `Interrupted` excepted.
    pub(crate) fn write(
        &mut self,
        now: Micros,
        budget: usize,
        socket: WriteVectored<'_>,
    ) -> io::Result<Written> {
        let mut written = Written::default();
        while !self.is_empty() && written.bytes < budget {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.slices(&mut slices);
            match socket(&slices[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    written.bytes += taken;
                    written.ping |= self.consume(taken);
                    if let Some(Blocked { since, ahead }) = &mut self.blocked {
                        *ahead = ahead.saturating_sub(taken);
                        if *ahead == 0 {
                            (*since, *ahead) = (
                                now,
                                self.control.len() - self.control_sent + self.frame_bytes,
                            );
                        }
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let ahead = self.pending();
                    self.blocked.get_or_insert(Blocked { since: now, ahead });
                    written.full = true;
                    break;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(written)
    }

    /// The bytes in the order in which they go: the frame in progress, control frames, data.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut frames = self.frames.iter();
        let mut count = 0;
        let mut push = |bytes: &'a [u8]| {
            if !bytes.is_empty() && count < SLICES {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        let in_progress =
            |f: Option<&'a OutFrame>| f.map_or([&[] as &[u8]; 2], |f| f.rest(self.head_sent));
        if self.head_sent > 0 && !self.control_jumps_in() {
            in_progress(frames.next()).into_iter().for_each(&mut push);
        }
        push(&self.control[self.control_sent..]);
        if self.control_jumps_in() {
            in_progress(frames.next()).into_iter().for_each(&mut push);
        }
        for frame in frames.take(SLICES) {
            frame.rest(0).into_iter().for_each(&mut push);
        }
        count
    }

    /// Takes `taken` bytes off, in the same order. Whether the heartbeat's last byte was among them.
    fn consume(&mut self, taken: usize) -> bool {
        if sabotage::on(Bug::PendingNotReduced) {
            return false;
        }
        let mut left = taken;
        if self.head_sent > 0 && !self.control_jumps_in() {
            left = self.consume_head(left);
        }
        let control = left.min(self.control.len() - self.control_sent);
        self.control_sent += control;
        left -= control;
        let ping = self.ping_end.is_some_and(|end| self.control_sent >= end);
        if ping {
            self.ping_end = None;
        }
        if self.control_sent == self.control.len() {
            self.control.clear();
            self.control_sent = 0;
        }
        while left > 0 {
            left = self.consume_head(left);
        }
        ping
    }

    fn consume_head(&mut self, left: usize) -> usize {
        let Some(head) = self.frames.front() else {
            return 0;
        };
        let take = left.min(head.len() - self.head_sent);
        self.head_sent += take;
        self.frame_bytes -= take;
        if self.head_sent == head.len() {
            self.frames.pop_front();
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

    /// Writes through a socket that takes `step` bytes a call, `calls` times. Returns what it got.
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
    fn more_slices_than_one_write_takes_all_go_in_order() {
        let mut out = Out::default();
        for i in 0..100u8 {
            out.push_frame(Bytes::from(vec![i; 3]));
        }
        let expected: Vec<u8> = (0..100u8).flat_map(|i| [i; 3]).collect();
        assert_eq!(write(&mut out, usize::MAX, usize::MAX).0, expected);
    }
}
