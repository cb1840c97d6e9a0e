//! Stalls of the loop, and calls from other threads.

use crate::seen::TIMEOUT;
use crate::sockets::{Client, Controls, Event, Host, Seen, config};
use pulsegate::cause::{Cause, EndedBy};
use pulsegate::{ConnId, Message, Micros};
use std::time::Duration;

#[test]
fn a_loop_that_was_away_blames_itself() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    controls.await_pings(1);
    let gate = host.hold();
    std::thread::sleep(TIMEOUT + Duration::from_secs(1));
    drop(gate);
    controls.await_pings(2);
    controls.finish();
    let stats = host.stop();
    assert!(stats.stalls >= 1);
    assert!(stats.stalled >= TIMEOUT.into());
    assert_eq!(stats.closed(Cause::STALE.index()), 0);
}

#[test]
fn other_threads_send_and_close() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut client = Client::open(host.addr, "/patient/remote");
    let id: ConnId = host.wait_for("its id", |seen| {
        seen.iter().find_map(|s| match s {
            Seen::Open { path, id } if path == "/patient/remote" => Some(*id),
            _ => None,
        })
    });
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let remote = host.thread.remote.clone();
            std::thread::spawn(move || {
                (0..100).for_each(|_| remote.try_send(id, Message::text("x")).expect("room"));
            })
        })
        .collect();
    for _ in 0..400 {
        assert_eq!(client.next_answering(), Event::Text("x".to_owned()));
    }
    threads.into_iter().for_each(|t| t.join().expect("sent"));
    host.thread
        .remote
        .try_close(id, 4_321, "as you like")
        .expect("room");
    assert_eq!(client.expect_close(), (4_321, "as you like".to_owned()));
    let end = host.ending("/patient/remote");
    assert_eq!((end.cause, end.by), (Cause::KICKED, EndedBy::Operator));
    assert!(end.clean);
    controls.finish();
    host.stop();
}

#[test]
fn stopped_from_another_thread_it_ends_without_a_word() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    let mut half = Client::connect(host.addr);
    half.write(b"GET / HT");
    controls.await_pings(1);
    host.thread.remote.stop();
    for control in controls.wait_for_end() {
        assert_eq!(control.close, None, "no close frame");
        assert!(control.end.is_some());
    }
    let stats = host.wait_for_end();
    assert_eq!(stats.classes[1].closed[Cause::SHUTDOWN.index()], 50);
    assert!(Host::refuses(host.addr), "the listener is gone");
}

#[test]
fn drained_from_another_thread_it_closes_all_and_ends() {
    let mut config = config();
    config.classes[1].policy.close_timeout = Micros::from_secs(20);
    let host = Host::start_with(config, 10_000);
    let controls = Controls::start(host.addr);
    controls.await_pings(1);
    host.thread
        .remote
        .drain(Micros::from_secs(1), Micros::from_secs(2));
    let response = Client::get(host.addr, "/healthz");
    let draining = "{\"status\":\"draining\"}";
    assert_eq!((response.status, &*response.body), (503, draining));
    for control in controls.wait_for_end() {
        let (code, reason, _) = control.close.expect("a close frame");
        assert_eq!((code, &*reason), (1012, "service restart"));
        assert_eq!(control.end, Some(Event::Eof));
    }
    let stats = host.wait_for_end();
    assert_eq!(stats.classes[1].closed[Cause::DRAINING.index()], 50);
    assert!(Host::refuses(host.addr), "the listener is gone");
}
