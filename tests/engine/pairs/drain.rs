//! A drain of pairs takes the whole spread: a pair counts once.

use super::frozen::{open, pairs};
use crate::nets::S;
use pulsegate::{Cause, Micros};

const PAIRS: usize = 200;

#[test]
fn a_drain_of_pairs_is_spread_evenly_over_its_time() {
    let (mut net, clients, servers) = pairs(PAIRS);
    let spread = Micros::from_secs(10);
    net.with_io(|_, io| io.remote().drain(Micros::ZERO, spread));
    net.settle();
    for second in 1..10 {
        net.advance(S);
        let expected = PAIRS - PAIRS * second / 10;
        for peers in [&clients, &servers] {
            let open = open(&net, peers);
            let is_even = open.abs_diff(expected) <= PAIRS / 40;
            assert!(is_even, "{second}: {open}, not {expected}");
        }
    }
    net.advance(2 * S);
    assert_eq!((open(&net, &clients), open(&net, &servers)), (0, 0));
    // These servers leave it to the gateway to close TCP.
    net.advance(30 * S);
    for (client, server) in clients.into_iter().zip(servers) {
        net.expect_closed(client, Cause::DRAINING);
        net.expect_closed(server, Cause::PARTNER_ENDED);
    }
}
