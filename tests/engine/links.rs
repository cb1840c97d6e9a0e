//! Slow links and dead peers, on virtual time. A peer that acknowledges what was sent before the
//! heartbeat is alive, however slow its link. A peer that is gone, or has stopped, is closed on
//! time, however much is sent to it.

use crate::nets::one_class;
use pulsegate::cause::Cause;
use pulsegate::testing::{Net, PeerId, Received, client_frame};
use pulsegate::{Class, ConnId, Handler, Io, Message, Micros, Policy, Request, Verdict};

/// A tick of the wheel, and the beat of heartbeats.
const SLACK: Micros = Micros::from_millis(15);

struct Quiet;

impl Handler for Quiet {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
}

/// Creates a server with one peer that was heard just now, and this heartbeat interval and timeout,
/// in ms.
fn net(interval: u64, timeout: u64) -> (Net<Quiet>, PeerId) {
    let policy = Policy {
        heartbeat_interval: Micros::from_millis(interval),
        connection_timeout: Micros::from_millis(timeout),
        ..Policy::default()
    };
    let mut net = Net::new(one_class(policy), Quiet);
    let peer = net.connect("/");
    (net, peer)
}

fn send(net: &mut Net<Quiet>, peer: PeerId, bytes: usize) {
    let id = net.id(peer);
    net.with_io(|_, io| io.send(id, Message::binary(vec![7; bytes])));
}

/// Returns the time until the connection is over, at most `ms`.
fn life(net: &mut Net<Quiet>, peer: PeerId, ms: u64) -> Option<Micros> {
    let from = net.now();
    for _ in 0..ms.div_ceil(5) {
        if net.ending(peer).is_some() {
            return Some(net.now() - from);
        }
        net.advance(5);
    }
    None
}

/// Interval and timeout in ms: the defaults, and shorter ones.
const POLICIES: [(u64, u64); 3] = [(15_000, 45_000), (5_000, 15_000), (1_000, 3_000)];

#[test]
fn a_slow_link_is_not_a_dead_peer() {
    for (interval, timeout) in POLICIES {
        for kbit in [32, 64, 120, 400, 2_000] {
            // The kernel's buffer: at most what the loop writes at once, and as much unsent.
            for buffer in [16 * 1024, 80 * 1024, 130 * 1024] {
                let (mut net, peer) = net(interval, timeout);
                let rate = kbit * 1_000 / 8;
                net.set_link(peer, rate, buffer);
                send(&mut net, peer, 900_000);
                let needs = 1_000 * 900_000 / rate;
                let case = format!("{kbit} kbit/s, {interval}/{timeout} ms, {buffer} bytes");
                assert_eq!(life(&mut net, peer, needs + 4 * timeout), None, "{case}");
                let received = net.received(peer);
                let whole = |r: &Received| matches!(r, Received::Message(m) if m.len() == 900_000);
                assert!(received.iter().any(whole), "{case}");
                net.check().unwrap_or_else(|e| panic!("{case}: {e}"));
                // The link is cut during a frame: the peer dies at most a timeout after the last
                // acknowledgement.
                send(&mut net, peer, 900_000);
                net.advance(timeout);
                net.set_link(peer, 0, buffer);
                let lived = life(&mut net, peer, 4 * timeout).expect("dead");
                let most = Micros::from_millis(timeout) + SLACK;
                assert!(lived <= most, "{case}: {lived} after the cut");
                net.expect_closed(peer, Cause::STALE);
            }
        }
    }
}

/// Acknowledgements of the kernel do not keep a stopped process alive once a heartbeat has been
/// acknowledged, too.
#[test]
fn pushing_to_a_dead_peer_does_not_keep_it_alive() {
    for (interval, timeout) in POLICIES {
        for (every, bytes) in [(50, 5_000), (10, 100), (500, 50_000)] {
            let (mut net, peer) = net(interval, timeout);
            // A fast link, and a kernel with room for a megabyte that the process does not read.
            net.set_link(peer, 10_000_000, 130 * 1024);
            net.advance(interval + 100);
            net.mute(peer);
            let from = net.now();
            // When the kernel has no more room, the heartbeat is stuck: the timeout then counts
            // from the last acknowledgement.
            let mut full = Micros::ZERO;
            let mut taken = 0;
            while net.ending(peer).is_none() {
                if taken < 1_000_000 {
                    send(&mut net, peer, bytes);
                    taken += bytes;
                } else {
                    if full == Micros::ZERO {
                        full = net.now() - from;
                    }
                    net.set_window(peer, Some(0));
                    send(&mut net, peer, bytes);
                }
                net.advance(every);
                assert!(net.now() - from < Micros::from_millis(3 * timeout));
            }
            let lived = net.now() - from;
            let most = full + Micros::from_millis(timeout + every) + SLACK;
            let case = format!("{interval}/{timeout} ms, {bytes} bytes each {every} ms");
            assert!(lived <= most, "{case}: {lived}");
            net.expect_closed(peer, Cause::STALE);
        }
    }
}

/// A peer that stops reading, with unsent bytes before the heartbeat, dies a timeout after the last
/// bytes that were sent.
#[test]
fn the_write_that_fills_the_socket_is_no_sign_of_life() {
    let (mut net, peer) = net(1_000, 3_000);
    net.advance(1_100);
    let heard = net.answered_at(peer).last().copied().expect("an answer");
    net.mute(peer);
    net.advance(400);
    net.set_window(peer, Some(10_000));
    send(&mut net, peer, 50_000);
    while net.ending(peer).is_none() {
        net.advance(5);
        assert!(net.now() < heard + Micros::from_secs(10));
    }
    let lived = net.now() - heard;
    assert!(lived <= Micros::from_millis(3_000) + SLACK, "{lived}");
}

#[test]
fn a_close_without_a_ping_says_so() {
    let (mut net, peer) = net(1_000, 3_000);
    net.set_window(peer, Some(0));
    send(&mut net, peer, 50_000);
    net.mute(peer);
    net.advance(10_000);
    let reason = net.ending(peer).expect("stale").reason.clone();
    assert!(reason.ends_with("no ping could be sent"), "{reason}");
}

/// Clients that treat a payload as a C string, or as text, echo it unchanged.
#[test]
fn pings_carry_eight_letters_that_differ() {
    let (mut net, peer) = net(1_000, 3_000);
    let other = net.connect("/");
    net.advance(200_000);
    let mut seen = std::collections::HashSet::new();
    for peer in [peer, other] {
        for received in net.received(peer) {
            let Received::Ping(payload) = received else {
                continue;
            };
            assert!(payload.len() == 8 && payload.iter().all(|b| (b'a'..=b'p').contains(b)));
            seen.insert((peer, payload));
        }
    }
    assert!((396..=402).contains(&seen.len()), "{}", seen.len());
    let stats = net.engine().stats();
    assert!(stats.pongs() + 2 >= stats.pings() && stats.pongs_mangled() == 0);
}

/// An empty, cut or changed pong is a sign of life.
#[test]
fn a_mangled_pong_counts_as_life() {
    for payload in [&b"abc"[..], b"\0\0\0\x01", b"abcdefgz"] {
        let (mut net, peer) = net(1_000, 3_000);
        net.mute(peer);
        for _ in 0..20 {
            net.advance(1_000);
            net.write(peer, &client_frame(0x8A, payload));
            net.advance(1);
        }
        assert!(net.is_open(peer));
        let stats = net.engine().stats();
        assert_eq!(stats.pongs(), 0, "{payload:?}");
        assert!((19..=20).contains(&stats.pongs_mangled()), "{payload:?}");
    }
    let (mut net, peer) = net(1_000, 3_000);
    net.mute(peer);
    for _ in 0..20 {
        net.advance(1_000);
        net.write(peer, &client_frame(0x8A, b""));
    }
    // An unsolicited pong may be empty (RFC 6455 §5.5.3).
    assert!(net.is_open(peer));
    assert_eq!(net.engine().stats().pongs_mangled(), 0);
}
