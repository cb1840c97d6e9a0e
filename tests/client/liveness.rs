//! Silence, sleep and networks.

use pulsegate::Message;
use pulsegate::client::{ClientPhase, FakePulse};
use pulsegate::pulse::{LinkRisk, ShortControl};
use pulsegate::testing::OnDial;
use std::io::ErrorKind;

use crate::rig::{Rig, options};

#[test]
fn a_black_hole_is_noticed_at_ping_and_grace() {
    let mut gateway = FakePulse::new();
    gateway.hello.ping_ms = 5_000;
    gateway.hello.grace_ms = 2_000;
    let mut rig = Rig::new(options(), gateway);
    // The first ping has come at 5 s, or up to two ticks later.
    rig.advance(5_050);
    rig.nets.silence();
    let mut ms = 0;
    while rig.phase() == ClientPhase::Open {
        rig.advance(1);
        ms += 1;
    }
    assert!(
        (6_940..=6_975).contains(&ms),
        "noticed {ms} ms after the last ping and 50 ms"
    );
}

#[test]
fn a_connection_that_is_pinged_stays() {
    let mut rig = Rig::open();
    rig.advance(600_000);
    assert_eq!(rig.phase(), ClientPhase::Open);
    assert_eq!(rig.gateway().targets.len(), 1);
}

#[test]
fn when_the_network_comes_back_a_black_hole_is_noticed_in_3_s() {
    let mut rig = Rig::open();
    rig.advance(1_000);
    rig.nets.silence();
    rig.client(|clients, io, id| clients.set_online(io, id, false));
    rig.client(|clients, io, id| clients.set_online(io, id, true));
    rig.advance(2_990);
    assert_eq!(rig.phase(), ClientPhase::Open);
    rig.advance(530);
    assert_eq!(
        (rig.phase(), rig.gateway().targets.len()),
        (ClientPhase::Open, 2)
    );
    assert_eq!(rig.gateway().resumes, 1);
}

#[test]
fn a_device_that_slept_asks_and_keeps_a_connection_that_answers() {
    let mut rig = Rig::open();
    rig.advance(1_000);
    rig.sleep(600_000);
    rig.advance(30_000);
    assert_eq!(rig.names(), [""; 0]);
    let id = rig.id;
    let client = rig.nets.dialer.host().clients.get(id).expect("the client");
    assert!(client.quality().rtt.is_some(), "it has asked");
    rig.nets.silence();
    rig.sleep(600_000);
    rig.advance(25_100 + 3_000);
    assert_eq!(rig.names()[..1], ["suspended Slept"]);
}

#[test]
fn a_device_that_slept_while_it_waited_tries_within_a_second() {
    let mut rig = Rig::open();
    rig.nets
        .dialer
        .set_on_dial(OnDial::Fail(ErrorKind::ConnectionRefused));
    rig.nets.cut_after(0, 0);
    rig.advance(120_000);
    let tries = rig
        .names()
        .iter()
        .filter(|name| *name == "connecting")
        .count();
    assert!(tries > 3, "{tries} tries");
    rig.nets.dialer.set_on_dial(OnDial::Accept);
    rig.sleep(50_000);
    rig.advance(31_100);
    assert_eq!(rig.phase(), ClientPhase::Open);
}

#[test]
fn without_a_network_it_tries_once_a_minute() {
    let mut rig = Rig::open();
    rig.client(|clients, io, id| clients.set_online(io, id, false));
    rig.nets
        .dialer
        .set_on_dial(OnDial::Fail(ErrorKind::NetworkUnreachable));
    rig.nets.cut_after(0, 0);
    rig.names();
    rig.advance(180_500);
    let tries = rig.names().len();
    assert_eq!(tries, 3);
    rig.nets.dialer.set_on_dial(OnDial::Accept);
    rig.client(|clients, io, id| clients.set_online(io, id, true));
    rig.advance(310);
    assert_eq!(rig.phase(), ClientPhase::Open);
}

#[test]
fn a_big_message_takes_its_time() {
    let mut rig = Rig::open();
    rig.serve(|gateway, io| {
        let conn = gateway.session().and_then(|session| gateway.conn(session));
        let big = ShortControl::big(100_000);
        io.send(conn.expect("a connection"), Message::text(big.as_str()));
    });
    rig.nets.silence();
    // 100 000 bytes at 2 KiB/s are 48.8 s.
    rig.advance(48_800);
    assert_eq!(rig.phase(), ClientPhase::Open);
    rig.advance(60);
    assert_eq!(rig.phase(), ClientPhase::Suspended);
}

#[test]
fn a_host_is_told_that_a_loss_is_likely_when_that_changes() {
    let mut rig = Rig::open();
    let told = |rig: &mut Rig, risk: LinkRisk| {
        rig.gateway().hint(0, risk);
        rig.advance(15_100);
        rig.names()
    };
    let none: [&str; 0] = [];
    assert_eq!(told(&mut rig, LinkRisk::Low), none, "so it is at first");
    assert_eq!(told(&mut rig, LinkRisk::High), ["at risk: true"]);
    assert_eq!(told(&mut rig, LinkRisk::High), none);
    assert_eq!(told(&mut rig, LinkRisk::Other), ["at risk: false"]);
    assert_eq!(told(&mut rig, LinkRisk::High), ["at risk: true"]);
    // A new connection is not at risk.
    rig.client(|clients, io, id| clients.reconnect(io, id));
    rig.advance(100);
    assert_eq!(rig.names(), ["suspended", "connecting", "resumed"]);
    assert_eq!(told(&mut rig, LinkRisk::Low), none);
}
