//! A preamble is read however it is cut; one that is required must be there.

use crate::outlook::notes::{CLIENT, ENCRYPTED, net};
use pulsegate::testing::upgrade_request;
use pulsegate::{Cause, Policy};

#[test]
fn a_preamble_is_read_however_it_is_cut() {
    let whole = |preamble| [preamble, upgrade_request("/").as_bytes()].concat();
    let cuts = [b"PROXY something\r\n", ENCRYPTED]
        .into_iter()
        .flat_map(|preamble| (1..whole(preamble).len()).map(move |cut| (preamble, cut)));
    for (preamble, cut) in cuts {
        let whole = whole(preamble);
        let mut net = net(Policy::default());
        net.host().preamble = Some(preamble);
        let peer = net.open_socket();
        net.write(peer, &whole[..cut]);
        net.settle();
        net.write(peer, &whole[cut..]);
        net.settle();
        assert!(net.is_open(peer), "cut at {cut}: {:?}", net.response(peer));
        let id = net.id(peer);
        let addr = net.with_io(|_, io| io.peer_addr(id));
        assert_eq!(addr, CLIENT.parse().ok(), "cut at {cut}");
        assert_eq!(net.host().requests, [CLIENT.parse().expect("an address")]);
        let is_encrypted = preamble == ENCRYPTED;
        assert_eq!(net.host().encrypted, [is_encrypted], "cut at {cut}");
    }
}

/// The limit of a preamble is the same whether it arrives at once or in pieces.
#[test]
fn a_preamble_above_8_kib_is_refused_however_it_is_cut() {
    const LONGEST: &[u8] = &[b'p'; 8 * 1024];
    const TOO_LONG: &[u8] = &[b'p'; 8 * 1024 + 1];
    for (preamble, is_accepted) in [(LONGEST, true), (TOO_LONG, false)] {
        let whole = [preamble, upgrade_request("/").as_bytes()].concat();
        for cut in [whole.len(), 5_000, 100] {
            let mut net = net(Policy::default());
            net.host().preamble = Some(preamble);
            let peer = net.open_socket();
            for piece in whole.chunks(cut) {
                net.write(peer, piece);
                net.settle();
            }
            assert_eq!(net.is_open(peer), is_accepted, "cuts of {cut}");
            let response = net.response(peer).expect("an answer");
            let status = if is_accepted { 101 } else { 400 };
            let status_line = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&status_line), "{response}");
        }
    }
}

#[test]
fn without_the_preamble_that_is_required_a_connection_is_refused() {
    let mut net = net(Policy::default());
    net.host().preamble = Some(b"PROXY something\r\n");
    let bad = net.open_socket();
    net.write(bad, upgrade_request("/").as_bytes());
    net.settle();
    assert!(
        net.response(bad)
            .is_some_and(|r| r.starts_with("HTTP/1.1 400"))
    );
    // A check that only sends its preamble is a probe, like one that sends nothing.
    for preamble in [b"PROXY something\r\n", ENCRYPTED] {
        net.host().preamble = Some(preamble);
        let probe = net.open_socket();
        net.write(probe, preamble);
        net.settle();
        net.half_close(probe);
        net.settle();
        assert_eq!(net.ending(probe).map(|end| end.cause), Some(Cause::PROBE));
    }
    // A connection that waits after its preamble, like a browser's spare connection through a
    // proxy, gets no answer either.
    let spare = net.open_socket();
    net.write(spare, ENCRYPTED);
    net.advance(10_100);
    assert_eq!(net.response(spare), None);
    assert_eq!(net.ending(spare).map(|end| end.cause), Some(Cause::PROBE));
    // A connection that stops in the middle has the time of a request.
    let slow = net.open_socket();
    net.write(slow, b"PROXY");
    net.advance(10_100);
    assert!(
        net.response(slow)
            .is_some_and(|r| r.starts_with("HTTP/1.1 408"))
    );
}
