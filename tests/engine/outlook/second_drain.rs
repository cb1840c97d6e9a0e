//! Drains by the host, and a drain that follows another.

use crate::nets::timed;
use crate::outlook::notes::{Notes, net, outlook};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{Cause, Config, Micros};

#[test]
fn a_drain_by_the_host_holds_when_the_call_returns() {
    let mut net = Net::new(Config::default(), Notes::default());
    let (delay, spread) = (Micros::from_secs(20), Micros::from_secs(40));
    // No turn in between: what the host logs after its call is still true when it is read.
    net.with_io(|_, io| {
        assert_eq!(io.drain(delay, spread), (delay, spread));
        assert!(io.is_draining());
        assert_eq!(io.drain_left(), Some((delay, spread)));
        let shorter = (Micros::from_secs(5), spread);
        assert_eq!(
            io.drain(Micros::from_secs(5), Micros::from_secs(90)),
            shorter
        );
        assert_eq!(io.drain_left(), Some(shorter));
    });
    let check = net.open_socket();
    net.write(check, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    net.settle();
    let answer = net.response(check).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn a_second_drain_cuts_the_first_one_short_and_never_makes_it_longer() {
    let (hour, second) = (Micros::from_secs(3_600), Micros::from_secs(1));
    let drain = |net: &mut Net<Notes>, delay: Micros, spread: Micros| {
        net.with_io(|_, io| io.remote().drain(delay, spread));
        net.settle();
        net.with_io(|_, io| io.drain_left())
            .expect("it is draining")
    };
    for (wait, spread, left) in [
        // Announced: accepting continues for an hour.
        (hour, hour, (second, second)),
        (hour, Micros::ZERO, (second, Micros::ZERO)),
        // Closing.
        (Micros::ZERO, hour, (Micros::ZERO, second)),
    ] {
        let mut net = net(timed(15, 45));
        let peers: Vec<PeerId> = (0..100).map(|_| net.connect("/")).collect();
        assert_eq!(net.with_io(|_, io| io.drain_left()), None);
        drain(&mut net, wait, spread);
        net.advance(60_000);
        let gone = net.host().closed.len();
        assert!(gone <= 2, "{gone}");
        assert_eq!(drain(&mut net, second, second), left);
        // The longer one changes nothing.
        assert_eq!(drain(&mut net, hour, hour), left);
        let latest = outlook(&mut net, peers[99]).drained_by.expect("a drain");
        assert!(latest <= net.now() + left.0 + left.1, "{latest}");
        net.advance(left.0.as_millis() + left.1.as_millis() / 2);
        let half = net.host().closed.len();
        match left.1 {
            Micros::ZERO => {}
            _ => assert!((45..=55).contains(&half), "evenly: {half}"),
        }
        net.advance(left.1.as_millis() / 2 + 20);
        assert_eq!(net.host().closed.len(), peers.len());
        assert!(
            net.host()
                .closed
                .iter()
                .all(|(.., cause)| *cause == Cause::DRAINING)
        );
        assert!(net.engine().is_over());
    }
}
