//! Timers of the host, and commands from other threads.

use crate::echo::{Host, Told, check_all_ended, server};
use crate::nets::S;
use pulsegate::Micros;
use pulsegate::engine::wheel::TICK;
use pulsegate::engine::{Config, Message, Verdict};
use pulsegate::testing::{Net, Received};

#[test]
fn timers_run_out_once_in_order_and_on_time() {
    let mut net = server(Config::default());
    net.advance(7);
    let delays = [0, 1, 10, 995, 41_000, 3 * 3_600_000];
    let timers = delays.map(|ms| net.with_io(|_, io| io.start_timer(Micros::from_millis(ms))));
    let cancelled = net.with_io(|_, io| {
        let timer = io.start_timer(Micros::from_millis(500));
        io.cancel_timer(timer);
        io.start_timer(Micros::from_millis(500)) // may reuse the slot of the other timer
    });
    let began = net.now();
    let fired = |net: &mut Net<Host>, timer| net.host().diary.contains(&(None, Told::Timer(timer)));
    for (timer, ms) in timers.iter().zip(delays) {
        let due = began + Micros::from_millis(ms);
        if due > net.now() + Micros(1_000) {
            let ms = (due - net.now()).as_millis() - 1;
            net.advance(ms);
            assert!(!fired(&mut net, *timer), "early: {ms}");
        }
        let late = (due + TICK - net.now()).as_millis();
        net.advance(late);
        assert!(fired(&mut net, *timer), "late: {ms}");
    }
    let count = net.host().diary.len();
    assert!(fired(&mut net, cancelled));
    assert_eq!(count, delays.len() + 1, "the cancelled one did not");
    net.with_io(|_, io| io.cancel_timer(cancelled)); // changes nothing
    net.advance(100 * S);
    assert_eq!(net.host().diary.len(), count);
}

#[test]
fn a_remote_is_bounded_and_its_commands_are_carried_out_in_order() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    let remote = net.with_io(|_, io| io.remote());
    for i in 0..16_384u32 {
        assert!(
            remote
                .try_send(id, Message::binary(i.to_be_bytes().to_vec()))
                .is_ok(),
            "{i}"
        );
    }
    assert!(remote.try_send(id, Message::text("x")).is_err());
    assert!(
        remote.try_close(id, 4_000, "").is_err() && remote.try_answer(id, Verdict::Defer).is_err()
    );
    net.settle();
    let order =
        net.received(peer).into_iter().enumerate().all(|(i, r)| {
            r == Received::Message(Message::binary((i as u32).to_be_bytes().to_vec()))
        });
    assert!(order && net.engine().stats().messages_out == 16_384);
    (0..100).for_each(|_| remote.wake());
    remote.try_close(id, 4_000, "from afar").expect("room");
    remote.wake();
    net.settle();
    assert_eq!(
        net.host()
            .diary
            .iter()
            .filter(|(_, t)| *t == Told::Woken)
            .count(),
        1,
        "once for all that were asked for before the turn"
    );
    assert_eq!(
        net.received(peer),
        [Received::Close(4_000, "from afar".to_owned())]
    );
    // The connection is gone: nothing happens.
    remote.try_send(id, Message::text("x")).expect("room");
    remote.try_close(id, 4_000, "").expect("room");
    net.settle();
    check_all_ended(&mut net);
}
