//! Input cut at every byte changes nothing.
//!
//! The script with large frames is cut at every byte near frame boundaries and at every 61st
//! inside large payloads; `FAULTS_ALL=1` cuts it at every byte.

use crate::bytes::script::{LARGE, SMALL, assert_same, play, script, script_frames};
use crate::echo::Told;
use crate::frames::pattern;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::testing::{Received, upgrade_request};

#[test]
fn the_script_uncut_is_answered_whole() {
    let outcome = play([&script("/", &LARGE)[..]]);
    assert!(
        outcome
            .head
            .expect("a response")
            .starts_with("HTTP/1.1 101")
    );
    assert_eq!(outcome.data.len(), 2 + 1 + LARGE.len() + 1);
    let pongs = [&b"are you there?"[..], b"in between", &pattern(125)];
    let mut control: Vec<_> = pongs.iter().map(|p| Received::Pong(p.to_vec())).collect();
    control.push(Received::Close(1000, "bye".to_owned()));
    assert_eq!(outcome.control, control);
    let end = (
        Cause::PEER_CLOSED,
        EndCode::Close(1000),
        "bye".to_owned(),
        true,
    );
    assert_eq!(outcome.end, Some(end));
    assert_eq!(
        (outcome.told.first(), outcome.told.last()),
        (Some(&Told::Opened), Some(&Told::Closed))
    );
}

#[test]
fn input_cut_at_every_byte_changes_nothing() {
    let script = script("/", &SMALL);
    let uncut = play([&script[..]]);
    for cut in 1..script.len() {
        let (a, b) = script.split_at(cut);
        assert_same(&play([a, b]), &uncut, &format!("cut at {cut}"));
    }
    for step in [1, 2, 3, 7, 64] {
        assert_same(
            &play(script.chunks(step)),
            &uncut,
            &format!("pieces of {step}"),
        );
    }
}

#[test]
fn large_frames_cut_anywhere_change_nothing() {
    let script = script("/", &LARGE);
    let uncut = play([&script[..]]);
    let mut boundaries = vec![0, upgrade_request("/").len()];
    for frame in script_frames(&LARGE) {
        boundaries.push(boundaries[boundaries.len() - 1] + frame.len());
    }
    let all = std::env::var_os("FAULTS_ALL").is_some();
    let near = |cut: usize| boundaries.iter().any(|b| cut.abs_diff(*b) <= 16);
    for cut in (1..script.len()).filter(|cut| all || near(*cut) || cut % 61 == 0) {
        let (a, b) = script.split_at(cut);
        assert_same(&play([a, b]), &uncut, &format!("cut at {cut}"));
    }
    for step in [1, 2, 3, 7, 1_023, 1_024, 1_025, 4_096, 65_536] {
        assert_same(
            &play(script.chunks(step)),
            &uncut,
            &format!("pieces of {step}"),
        );
    }
}
