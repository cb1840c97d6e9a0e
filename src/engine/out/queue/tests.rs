//! Tests of the send queue: what goes out, in which order, whatever the socket takes.

use super::*;
use crate::wire::frame::{BINARY, FIN, write_frame};

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

/// Builds a frame of a server.
fn frame(payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, FIN | BINARY, &vec![b'x'; payload], None);
    bytes
}

/// A forwarded frame that is queued in parts is one frame: control frames go out behind its end,
/// wherever the parts were cut and the socket stopped.
#[test]
fn control_waits_for_the_end_of_a_frame_that_is_queued_in_parts() {
    let whole = frame(300);
    const HEADER: usize = 4;
    for cut in HEADER..whole.len() {
        for taken in [1, cut / 2, cut] {
            let mut out = Out::default();
            out.push_run(whole[..cut].to_vec(), 0);
            let (mut got, _) = write(&mut out, taken, 1);
            out.push_ping(b"PP");
            got.extend(write(&mut out, 7, usize::MAX).0);
            assert_eq!(got, whole[..cut], "cut at {cut}, {taken} taken");
            assert!(out.waits_for_frame() && out.is_mid_frame());
            let rest = [&whole[cut..], &frame(3)].concat();
            out.push_run(rest, (whole.len() - cut) as u64);
            let (more, ping) = write(&mut out, 7, usize::MAX);
            got.extend(more);
            assert_eq!(got, [&whole[..], b"PP", &frame(3)].concat());
            assert!(ping && out.is_empty() && !out.is_mid_frame());
        }
    }
}

/// The beginning of the frame was sent before the queue existed.
#[test]
fn a_queue_that_begins_inside_a_frame_lets_nothing_in() {
    let mut out = Out::default();
    out.begin_mid_frame(5);
    out.push_control(b"cc");
    assert_eq!(write(&mut out, 9, 9).0, b"");
    out.push_run(b"abc".to_vec(), 5);
    assert_eq!(write(&mut out, 9, 9).0, b"abc");
    out.push_run([b"de", &frame(1)[..]].concat(), 2);
    assert_eq!(out.unsent(), 1);
    assert_eq!(write(&mut out, 9, 9).0, [b"decc", &frame(1)[..]].concat());
}

#[test]
fn discarding_keeps_all_parts_of_the_frame_in_progress() {
    let whole = frame(9_000);
    let mut out = Out::default();
    out.push_run(whole[..5_000].to_vec(), 0);
    let (mut got, _) = write(&mut out, 10, 1);
    out.push_run([&whole[5_000..], &frame(2)].concat(), 4_004);
    out.push_run(frame(3), 0);
    assert_eq!((out.unsent(), out.discard_unsent()), (2, 2));
    out.push_close(Bytes::from_static(b"close"));
    got.extend(write(&mut out, 4_096, 9).0);
    assert_eq!(got, [&whole[..], b"close"].concat());
}

#[test]
fn a_close_is_taken_back_until_a_byte_of_it_is_sent() {
    let mut out = Out::default();
    out.push_run(frame(2), 0);
    assert!(!out.take_back_close());
    out.push_close(Bytes::from_static(b"\x88\x00"));
    assert!(out.take_back_close() && !out.has_close());
    out.push_close(Bytes::from_static(b"\x88\x00"));
    write(&mut out, 5, 1);
    assert!(!out.take_back_close());
}
