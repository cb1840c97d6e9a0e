//! Slow frames: a steady transfer stays, one without progress ends.

use crate::echo::{Host, Told, check_all_ended, server, told_of};
use crate::frames::{binary, data_and_control, pattern};
use crate::nets::S;
use pulsegate::Micros;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::wheel::TICK;
use pulsegate::engine::{Config, Message};
use pulsegate::health::HealthState;
use pulsegate::testing::{Net, PeerId, Received};

/// Advances time until the connection has ended; returns when that was.
pub fn end_time(net: &mut Net<Host>, peer: PeerId, at_most: u64) -> Micros {
    for _ in 0..at_most / 10 {
        if net.ending(peer).is_some() {
            return net.now();
        }
        net.advance(10);
    }
    panic!("still here after {at_most} ms");
}

#[test]
fn a_frame_of_ten_minutes_is_too_slow_whatever_its_progress() {
    let mut net = server(Config::default());
    let peer = net.connect("/");
    net.set_in_frame(peer, true);
    let frame = binary(&pattern(1 << 20));
    let began = net.now();
    for piece in frame.chunks(4_096 + 14).take(70) {
        net.write(peer, piece);
        net.advance(10 * S);
    }
    net.expect_closed(peer, Cause::FRAME_TIMEOUT);
    let end = net.ending(peer).expect("an end");
    let closing = net.now() - began;
    assert!(end.age >= Micros::from_secs(600) && closing >= end.age);
    assert!(
        end.age <= Micros::from_secs(602) + TICK + TICK,
        "{}",
        end.age
    );
    assert_eq!(end.code, EndCode::Close(3008));
    check_all_ended(&mut net);
}

/// 1 MiB in pieces of equal size, over three times the timeout.
const STEADY: usize = (1 << 20) / 270 + 1;

#[test]
fn a_steady_upload_over_three_timeouts_stays_and_without_progress_it_ends() {
    let mut net = server(Config::default());
    let (steady, stuck) = (net.connect("/"), net.connect("/"));
    let frame = binary(&pattern(1 << 20));
    for peer in [steady, stuck] {
        net.set_in_frame(peer, true);
    }
    let mut stopped = Micros::ZERO;
    for (i, piece) in frame.chunks(STEADY).enumerate() {
        net.write(steady, piece);
        if i < 100 {
            net.write(stuck, piece);
            stopped = net.now();
        }
        net.advance(500);
        assert!(net.is_open(steady), "piece {i}");
    }
    assert!(net.now().as_millis() >= 134 * S);
    net.set_in_frame(steady, false);
    net.settle();
    let (data, _) = data_and_control(net.received(steady));
    assert_eq!(data.len(), 1, "the echo");
    net.expect_closed(stuck, Cause::STALE);
    let end = net.ending(stuck).expect("an end");
    let silent = (stopped.as_millis() + 45 * S).saturating_sub(end.age.as_millis());
    assert!(
        silent <= 600,
        "counted from its last 4 KiB, {silent} ms before its last byte"
    );
    net.advance(100 * S);
    assert!(net.is_open(steady));
}

#[test]
fn a_steady_download_over_three_timeouts_stays_and_without_progress_it_ends() {
    let mut net = server(Config::default());
    let (steady, stuck) = (net.connect("/sink"), net.connect("/sink"));
    let message = Message::binary(pattern(1 << 20));
    let ids = [steady, stuck].map(|p| net.id(p));
    for peer in [steady, stuck] {
        net.set_window(peer, Some(0));
    }
    net.with_io(|_, io| assert_eq!(io.send_many(ids, &message), 2));
    let mut stopped = Micros::ZERO;
    for i in 0..271 {
        net.set_window(steady, Some(STEADY));
        if i < 100 {
            net.set_window(stuck, Some(STEADY));
            stopped = net.now();
        }
        net.advance(500);
        assert!(net.is_open(steady), "step {i}");
    }
    net.set_window(steady, None);
    net.settle();
    let (data, _) = data_and_control(net.received(steady));
    assert!(data == [Received::Message(message)]);
    net.expect_closed(stuck, Cause::STALE);
    let end = net.ending(stuck).expect("an end");
    let late = end.age - (stopped + Micros::from_secs(45));
    assert!(
        end.age >= stopped + Micros::from_secs(45) && late <= TICK,
        "{}",
        end.age
    );
    let healthy = |told: &Told| matches!(told, Told::Health(HealthState::Suspect));
    assert!(
        !told_of(&mut net, steady).iter().any(healthy),
        "slow is not suspect"
    );
    assert!(told_of(&mut net, steady).contains(&Told::Writable));
    net.advance(100 * S);
    assert!(net.is_open(steady));
}
