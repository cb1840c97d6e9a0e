//! Many clients on one loop, beside connections of the host's own.

use pulsegate::Message;
use pulsegate::client::{ClientEvent, ClientId, ClientPhase, FakePulse};

use crate::rig::{Rig, options, target};

const CLIENTS: usize = 50;

#[test]
fn many_clients_share_a_loop_and_its_account() {
    let mut gateway = FakePulse::new();
    gateway.is_echo = true;
    let mut rig = Rig::new(options(), gateway);
    let ids: Vec<ClientId> = rig.client(|clients, io, _| {
        let ids = (1..CLIENTS).map(|seed| {
            let mut options = options();
            options.seed = seed as u32;
            let id = clients.add(options, Some(target()));
            clients.reconnect(io, id);
            id
        });
        ids.collect()
    });
    rig.advance(100);
    let text = |n: usize| Message::text(format!("{n} {}", "x".repeat(1_000)));
    rig.client(|clients, io, _| {
        for (n, id) in ids.iter().enumerate() {
            clients.send(io, *id, text(n)).expect("room");
        }
    });
    let held = rig.nets.dialer.engine().stats().buffered_bytes();
    assert!(
        held > 1_000 * (CLIENTS as u64 - 1),
        "{held} bytes are charged"
    );
    rig.nets.cut_after(0, 0);
    rig.advance(10_000);
    let events = std::mem::take(&mut rig.nets.dialer.host().events);
    for (n, id) in ids.iter().enumerate() {
        let of_this = events.iter().filter(|(of, _)| of == id);
        let heard: Vec<&ClientEvent> = of_this
            .map(|(_, event)| event)
            .filter(|event| matches!(event, ClientEvent::Message(_)))
            .collect();
        assert_eq!(heard, [&ClientEvent::Message(text(n))], "client {n}");
    }
    assert_eq!(rig.gateway().resumes, CLIENTS as u64);
    let held = rig.nets.dialer.engine().stats().buffered_bytes();
    assert_eq!(held, 0, "everything is acknowledged");
}

#[test]
fn a_client_that_is_removed_leaves_nothing() {
    let mut rig = Rig::open();
    rig.nets.silence();
    rig.send("never acknowledged");
    let core = rig.client(|clients, io, id| clients.remove(io, id));
    assert_eq!(core.map(|core| core.state()), Some(ClientPhase::Open));
    rig.advance(5_000);
    assert_eq!(rig.nets.dialer.engine().stats().buffered_bytes(), 0);
    assert!(rig.nets.dialer.engine().is_empty());
    assert_eq!(rig.names(), [""; 0]);
    let again = rig.client(|clients, io, id| clients.send(io, id, Message::text("x")));
    assert!(again.is_err());
}
