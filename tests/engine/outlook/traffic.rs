//! What is reported of a single connection: round trips, bytes and messages.

use crate::outlook::notes::net;
use pulsegate::testing::client_frame;
use pulsegate::{Message, Micros, Policy};

#[test]
fn only_watched_connections_report_round_trips() {
    let mut net = net(Policy {
        heartbeat_interval: Micros::from_secs(1),
        ..Policy::default()
    });
    let [watched, other] = [net.connect("/"), net.connect("/")];
    let id = net.id(watched);
    for peer in [watched, other] {
        net.set_latency(peer, 40);
    }
    net.with_io(|_, io| io.report_pongs(id, true));
    net.advance(5_500);
    let rtts = std::mem::take(&mut net.host().rtts);
    assert!((4..=6).contains(&rtts.len()), "{rtts:?}");
    assert!(
        rtts.iter().all(|(of, rtt)| *of == id && rtt.0 >= 40_000),
        "{rtts:?}"
    );
    net.with_io(|_, io| io.report_pongs(id, false));
    net.advance(5_000);
    assert_eq!(net.host().rtts, []);
}

#[test]
fn bytes_and_messages_are_counted_by_connection_as_in_all() {
    let mut net = net(Policy::default());
    let peers = [net.connect("/"), net.connect("/")];
    for (nth, peer) in peers.into_iter().enumerate() {
        for _ in 0..=nth {
            net.write(peer, &client_frame(0x81, b"hello"));
        }
        let id = net.id(peer);
        net.with_io(|_, io| io.send(id, Message::text("hi")));
    }
    net.advance(60_000);
    let views = peers.map(|peer| {
        let id = net.id(peer);
        net.with_io(|_, io| io.view(id)).expect("open").traffic
    });
    assert_eq!(
        views.map(|t| (t.messages_in, t.messages_out)),
        [(1, 1), (2, 1)]
    );
    let stats = net.engine().stats();
    assert_eq!(
        views.map(|t| t.bytes_in).iter().sum::<u64>(),
        stats.bytes_in
    );
    assert_eq!(
        views.map(|t| t.bytes_out).iter().sum::<u64>(),
        stats.bytes_out
    );
}
