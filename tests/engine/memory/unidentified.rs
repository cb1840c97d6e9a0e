//! Peers that have not identified themselves: their first message, their share of memory, their
//! pongs.

use crate::fairness::host::{net, small_memory};
use crate::nets::one_class;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::health::Policy;
use pulsegate::testing::{PeerId, Received, client_frame};

#[test]
fn a_first_message_is_bounded_until_it_was_accepted() {
    let config = one_class(Policy {
        first_message_bytes: Some(4_096),
        ..Policy::default()
    });
    for first in [
        client_frame(0x81, &[b'x'; 4_097])[..14].to_vec(),
        [
            client_frame(0x01, &[b'x'; 4_000]),
            client_frame(0x80, &[b'x'; 97])[..8].to_vec(),
        ]
        .concat(),
    ] {
        let mut net = net(config.clone());
        let peer = net.connect("/");
        net.write(peer, &first);
        net.settle();
        assert!(net.host().heard.is_empty());
        let told = net.received(peer);
        assert!(
            matches!(&told[..], [Received::Close(1009, _)]),
            "{told:?}, as soon as the header was here"
        );
        net.half_close(peer);
        net.settle();
        net.expect_closed(peer, Cause::TOO_BIG);
    }
    let mut net = net(config);
    let peer = net.connect("/");
    net.write(peer, &client_frame(0x81, &[b'x'; 4_096]));
    net.write(peer, &client_frame(0x81, &[b'x'; 100_000]));
    net.settle();
    assert_eq!(net.host().heard.len(), 2);
}

#[test]
fn strangers_cannot_take_the_memory_of_others() {
    let mut net = small_memory();
    let known = net.connect("/");
    net.send(known, Message::text("hello"));
    net.settle();
    let strangers: Vec<PeerId> = (0..70).map(|_| net.connect("/")).collect();
    for stranger in &strangers {
        let frame = client_frame(0x82, &vec![1; 1 << 20]);
        net.write(*stranger, &frame[..frame.len() - 1]);
        net.settle();
        net.advance(20);
    }
    let held = net.engine().stats().held_bytes;
    assert!(held <= 4 << 20, "{held}: a sixteenth is theirs");
    let message = client_frame(0x82, &[2; 100_000]);
    net.write(known, &message[..50_000]);
    net.settle();
    net.write(known, &message[50_000..]);
    net.settle();
    assert_eq!(net.host().heard.len(), 2);
    net.advance(3_000);
    net.expect_closed(strangers[0], Cause::BUFFERS_FULL);
    assert!(net.is_open(known));
}

#[test]
fn pongs_that_a_stranger_does_not_read_are_few() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    net.set_window(peer, Some(0));
    net.write(peer, &client_frame(0x89, &[7; 125]).repeat(2_000));
    for _ in 0..2_000 {
        net.run_turn();
        // It reads a little, which counts as progress.
        net.set_window(peer, Some(1));
    }
    let id = net.id(peer);
    let pending = net.with_io(|_, io| io.pending(id));
    assert!(pending <= 64 * 1024 + 200, "{pending}");
    net.set_window(peer, None);
    net.half_close(peer);
    net.settle();
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
}
