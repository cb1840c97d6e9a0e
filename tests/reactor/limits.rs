//! The limits of descriptors and connections.

use crate::sockets::{Child, Client, Controls, Host, config, eventually, policy, upgrade};
use pulsegate::Micros;
use pulsegate::cause::Cause;
use std::time::{Duration, Instant};

#[test]
fn without_descriptors_accepting_pauses_and_recovers() {
    const MORE: usize = 20;
    let child = Child::start("limits::emfile_child", 64);
    let controls = Controls::start(child.addr);
    // About six are accepted; the others wait in the kernel's queue.
    let mut clients: Vec<_> = (0..MORE)
        .map(|i| {
            let mut client = Client::connect(child.addr);
            client.write(upgrade(&format!("/more/{i}")).as_bytes());
            client
        })
        .collect();
    controls.await_pings(2);
    // In the order of their arrival: each that closes makes room for the next.
    for mut client in clients.drain(..) {
        client.switched();
        client.expect_echo("served");
    }
    // And from zero.
    for i in 0..MORE {
        Client::open(child.addr, &format!("/again/{i}")).expect_echo("served");
    }
    controls.finish();
    let report = child.stop();
    let pauses = report
        .split_once("accept_pauses=")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    assert!(pauses.is_some_and(|n: u64| n >= 1), "{report}");
    assert!(
        report.contains(&format!("accepted={}", Controls::MANY + 2 * MORE)),
        "{report}"
    );
}

#[test]
#[ignore = "the other process of without_descriptors_accepting_pauses_and_recovers"]
fn emfile_child() {
    crate::sockets::main_of_child();
}

#[test]
fn above_the_cap_503_and_below_it_with_some_room_service() {
    // A fiftieth of the limit must be free again before accepting resumes.
    const CAP: usize = 150;
    const ROOM: usize = 3;
    let host = Host::start_with(config(), CAP);
    let controls = Controls::start(host.addr);
    let mut guests: Vec<_> = (Controls::MANY..CAP)
        .map(|i| Client::open(host.addr, &format!("/guest/{i}")))
        .collect();
    let mut before = String::new();
    let mut refuse = |n: usize| {
        for i in 0..n {
            let response = Client::refused(host.addr, &format!("/over/{i}"));
            assert_eq!(response.status, 503, "{response:?}");
            let after = response.header("retry-after").expect("Retry-After");
            let is_allowed = after.parse().is_ok_and(|s: u32| (5..=20).contains(&s));
            assert!(is_allowed, "{after}");
            assert_ne!(after, before, "each is told another time");
            before = after.to_owned();
        }
    };
    refuse(40);
    assert_eq!(
        Client::get(host.addr, "/healthz").status,
        200,
        "we are well"
    );
    // One closed connection is not enough room yet, nor are two.
    for left in 1..ROOM {
        let path = format!("/guest/{}", CAP - left);
        guests.pop().expect("a guest").reset();
        host.ending(&path);
        refuse(3);
    }
    guests.pop().expect("a guest").reset();
    host.ending(&format!("/guest/{}", CAP - ROOM));
    let mut served: Vec<_> = (0..ROOM)
        .map(|i| Client::open(host.addr, &format!("/served/{i}")))
        .collect();
    for client in &mut served {
        client.expect_echo("welcome");
    }
    refuse(3);
    drop(guests);
    controls.finish();
    let stats = host.stop();
    assert_eq!(stats.rejected[Cause::AT_CAPACITY.index()], 49);
    assert!(stats.accept_pauses >= 1);
}

/// Without control clients: their pings would wake the loop, which must wake by itself.
#[test]
fn room_that_comes_free_is_used_at_once() {
    const CAP: usize = 2;
    let slow = pulsegate::Policy {
        heartbeat_interval: Micros::from_secs(1_000),
        connection_timeout: Micros::from_secs(3_000),
        ..policy()
    };
    let mut config = config();
    config.handshake_timeout = Micros::from_secs(1_000);
    config.classes.iter_mut().for_each(|c| c.policy = slow);
    let host = Host::start_with(config, CAP);
    let mut guests: Vec<_> = (0..CAP)
        .map(|i| Client::open(host.addr, &format!("/guest/{i}")))
        .collect();
    assert_eq!(Client::refused(host.addr, "/over").status, 503);
    guests.pop().expect("a guest").reset();
    host.ending("/guest/1");
    Client::open(host.addr, "/served").expect_echo("welcome");
    host.stop();
}

/// Clients that must be refused and do not leave: silent ones, ones that have begun a request, and
/// ones that were answered.
#[test]
fn the_health_check_is_answered_at_the_cap_whatever_newcomers_do() {
    const CAP: usize = Controls::MANY;
    let host = Host::start_with(config(), CAP);
    let controls = Controls::start(host.addr);
    let mut here = Vec::new();
    let mut took = Vec::new();
    for round in 0..10 {
        // More than there are slots, all of them before the probe in the queue.
        for i in 0..60 {
            let mut client = Client::connect(host.addr);
            match i % 3 {
                0 => {}
                1 => client.write(b"GET / HTTP/1.1\r\nHost: a"),
                _ => client.write(upgrade("/over").as_bytes()),
            }
            here.push(client);
        }
        let asked = Instant::now();
        let health = Client::get(host.addr, "/healthz");
        assert_eq!(health.status, 200, "round {round}: {health:?}");
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    println!("/healthz at the cap: {took:?}");
    // It takes 100 ms on an idle machine; behind the others' timeouts it would take tens of
    // seconds.
    assert!(took[5] < Duration::from_millis(500), "{took:?}");
    let stats = host.stats();
    assert_eq!(stats.live(), CAP as u64);
    assert!(stats.opening() <= 80, "{} sockets", stats.opening());
    // All but the last were told to reconnect, also those that never sent a request.
    let (last, told) = (here.split_off(500), here);
    for (i, mut client) in told.into_iter().enumerate() {
        // Its time ran out on a busy machine before it was told: there is nothing to answer.
        if i % 3 == 0 && client.ends_unanswered() {
            continue;
        }
        let head = client.refusal();
        // Not because of a newer one, but of its time, if this machine was busy for a second.
        let is_refusal = ["HTTP/1.1 503 ", "HTTP/1.1 408 "]
            .iter()
            .any(|s| head.starts_with(s));
        assert!(is_refusal, "{head}");
    }
    drop(last);
    controls.finish();
    host.stop();
}

#[test]
fn half_open_connections_do_not_fill_the_room() {
    const CAP: usize = 256;
    let host = Host::start_with(config(), CAP);
    let controls = Controls::start(host.addr);
    let heads: Vec<_> = (0..2 * CAP)
        .map(|_| {
            let mut client = Client::connect(host.addr);
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n");
            client
        })
        .collect();
    eventually("all of them were accepted", || {
        (host.stats().accepted == (Controls::MANY + 2 * CAP) as u64).then_some(())
    });
    // The waiting ones are the youngest, and all others are accepted.
    let mut guests: Vec<_> = (0..20)
        .map(|i| Client::open(host.addr, &format!("/guest/{i}")))
        .collect();
    guests.iter_mut().for_each(|g| g.expect_echo("welcome"));
    let stats = host.stats();
    assert!(stats.opening() <= 64, "{}", stats.opening());
    assert_eq!(stats.rejected[Cause::AT_CAPACITY.index()], 0);
    for mut client in heads.into_iter().take(2 * CAP - 64) {
        let head = client.refusal();
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert!(head.contains("Retry-After: "), "{head}");
    }
    drop(guests);
    controls.finish();
    host.stop();
}
