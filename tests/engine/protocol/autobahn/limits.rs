//! Groups 9 and 10: messages at and above the limit, many of them, and fragmented ones.

use crate::echo::{scripted, server};
use crate::frames::{BINARY, TEXT, binary, fragments, pattern, text};
use crate::protocol::autobahn::case::{Case, Cut, check, echoed, fault, fine, run, run_all, said};
use pulsegate::Cause;
use pulsegate::engine::{Config, Message};

/// Returns a message of 1 MiB: the limit.
fn large() -> Vec<u8> {
    pattern(1 << 20)
}

/// Returns messages at the limit, whole and in fragments.
fn at_the_limit() -> Vec<Case> {
    let large = large();
    let echo = || vec![Message::binary(large.clone())];
    let mut cases = vec![echoed("9.2 binary 1 MiB", vec![binary(&large)], echo())];
    for size in [64, 1_024, 65_536] {
        let name = format!("9.4 1 MiB in fragments of {size}");
        cases.push(echoed(&name, fragments(BINARY, large.chunks(size)), echo()));
    }
    cases
}

#[test]
fn group_9_a_message_at_the_limit() {
    let cases = at_the_limit();
    for case in &cases {
        for cut in [Cut::FrameByFrame, Cut::AtOnce] {
            run(case, cut);
        }
    }
    // 9.5: a message in pieces of many sizes.
    for chop in [64, 997, 4_096, 65_536] {
        let mut net = server(Config::default());
        let peer = scripted(&mut net, "/");
        for piece in cases[0].frames.concat().chunks(chop) {
            net.write(peer, piece);
            net.settle();
        }
        check(&cases[0], Cut::ByteByByte, &mut net, peer);
    }
}

fn many_messages() -> Case {
    let (message, count) = ("*".repeat(200), 2_000);
    let frames = (0..count).map(|_| text(&message)).collect();
    echoed("9.7 many messages", frames, vec![said(&message); count])
}

#[test]
fn group_9_many_messages() {
    let many = many_messages();
    run(&many, Cut::FrameByFrame);
    run(&many, Cut::AtOnce);
}

/// A message above the limit is refused at the header, or with the fragment that exceeds the limit.
#[test]
fn group_9_above_the_limit() {
    let above = pattern((1 << 20) + 1);
    let too_big = |name, frames| fault(name, frames, vec![], Cause::TOO_BIG);
    let whole = too_big("9.x above the limit", vec![binary(&above)]);
    run(&whole, Cut::AtOnce);
    let frames = fragments(BINARY, above.chunks(1 << 18));
    let fragmented = too_big("9.x above the limit in fragments", frames);
    run(&fragmented, Cut::FrameByFrame);
}

fn auto_fragmentation() -> Vec<Case> {
    let payload = "*".repeat(65_536);
    let frames = fragments(TEXT, payload.as_bytes().chunks(1_300));
    vec![fine("10.1.1", frames, vec![said(&payload)], &[])]
}

#[test]
fn group_10_auto_fragmentation() {
    run_all(auto_fragmentation());
}

/// Returns the cases of this file that stay within the limit.
pub fn cases() -> Vec<Case> {
    let mut cases = at_the_limit();
    cases.push(many_messages());
    cases.extend(auto_fragmentation());
    cases
}
