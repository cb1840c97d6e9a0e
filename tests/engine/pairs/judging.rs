//! A class that is only reported: silence closes nothing, and is counted.

use crate::nets::{S, check_invariants, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use pulsegate::health::StaleAction;
use pulsegate::testing::Net;
use pulsegate::{Cause, Policy};

#[test]
fn silence_is_counted_once_and_counted_as_wrong_when_the_peer_is_heard() {
    for of_client in [true, false] {
        let reported = Policy {
            when_stale: StaleAction::Report,
            ..timed(15, 45)
        };
        let [client, server] = match of_client {
            true => [reported, timed(15, 45)],
            false => [timed(15, 45), reported],
        };
        let mut net = Net::new(pair_config(client, server), PairHost::default());
        let (client, server) = connect_pair(&mut net);
        let (silent, other) = if of_client {
            (client, server)
        } else {
            (server, client)
        };
        let class = usize::from(!of_client);
        net.mute(silent);
        net.advance(44 * S);
        assert_eq!(net.engine().stats().classes[class].would_close, 0);
        net.advance(400 * S);
        assert!(net.is_open(silent) && net.is_open(other));
        let stats = &net.engine().stats().classes[class];
        assert_eq!((stats.would_close, stats.would_close_wrong), (1, 0));
        let told = net.host().would_close.clone();
        assert_eq!(told, [(net.id(silent), false)]);
        check_invariants(&net);
        net.unmute(silent);
        net.advance(20 * S);
        let stats = &net.engine().stats().classes[class];
        assert_eq!((stats.would_close, stats.would_close_wrong), (1, 1));
        let told = net.host().would_close.clone();
        assert_eq!(told, [(net.id(silent), false), (net.id(silent), true)]);
        // The next silence counts anew.
        net.mute(silent);
        net.advance(60 * S);
        assert_eq!(net.engine().stats().classes[class].would_close, 2);
        // The other side is still judged.
        net.mute(other);
        net.advance(60 * S);
        net.expect_closed(other, Cause::STALE);
        check_invariants(&net);
    }
}
