//! What dialled connections hold is counted, and bounded.

use crate::dialer::{Dialer, Told, accepted, dial, dialed, dialer, opened, told_of};
use crate::nets::check_invariants;
use allocation_counter::measure;
use pulsegate::engine::{DialError, Engine};
use pulsegate::http::{HeaderName, HeaderValue};
use pulsegate::testing::{Net, OnDial, PeerId, frame_of_server};
use pulsegate::{Cause, Config, Micros};

fn held(net: &mut Net<Dialer>, server: PeerId) -> u64 {
    let id = net.id(server);
    let held = net.with_io(|_, io| io.view(id)).map_or(0, |view| view.held);
    assert_eq!(net.engine().stats().held_bytes, held);
    held
}

#[test]
fn what_is_held_of_a_handshake_is_counted_until_it_opens() {
    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Wait);
    dialed(&mut net, dial());
    net.settle();
    let server = net.take_dialed().pop().expect("a server");
    let asked = held(&mut net, server);
    assert!(asked > 200, "the request: {asked}");
    net.complete_connect(server);
    net.settle();
    let sent = held(&mut net, server);
    assert!(sent < asked, "the request was sent: {sent}");
    net.write(server, b"HTTP/1.1 101 Switching Protocols\r\nX: ");
    net.write(server, &[b'x'; 10_000]);
    net.settle();
    let head = held(&mut net, server);
    assert!(head >= sent + 10_000, "part of a head: {head}");
    net.write(server, b"\r\n");
    net.settle();
    check_invariants(&net);

    let mut net = dialer(Config::default());
    let server = opened(&mut net);
    assert_eq!(
        held(&mut net, server),
        0,
        "an open connection holds nothing"
    );
}

#[test]
fn the_body_of_a_refusal_is_counted_until_it_is_whole() {
    let mut net = dialer(Config::default());
    let server = accepted(&mut net);
    net.write(server, b"HTTP/1.1 404 x\r\nContent-Length: 60000\r\n\r\n");
    net.write(server, &[b'x'; 50_000]);
    net.settle();
    let body = held(&mut net, server);
    assert!((50_000..110_000).contains(&body), "{body}");
    net.write(server, &[b'x'; 10_000]);
    net.settle();
    assert_eq!(net.engine().stats().held_bytes, 0);
    net.expect_closed(server, Cause::NOT_UPGRADED);
}

#[test]
fn the_counters_match_what_is_allocated() {
    const MANY: usize = 200;
    let mut engine =
        Engine::new(Config::default(), Dialer::default(), Box::new(|| {})).expect("valid");
    let now = Micros::ZERO;
    let mut ids = Vec::with_capacity(MANY);
    let mut large = dial();
    large.request = large.request.with_header(
        HeaderName::from_static("x-large"),
        HeaderValue::from_bytes(&[b'x'; 4_000]).expect("a value"),
    );
    let mut dials = Vec::with_capacity(MANY);
    let asked = measure(|| {
        for _ in 0..MANY {
            let id = engine.with_io(now, |host, io| host.dial(io, large.clone()));
            ids.push(id.expect("a dial"));
        }
        engine.take_dials(&mut dials);
    });
    let counted = engine.stats().held_bytes;
    check_close("requests", asked.bytes_current, counted);
    for id in &ids {
        engine.on_connected(*id, now);
    }
    let mut dirty = Vec::new();
    while engine.stats().pending_bytes > 0 {
        engine.take_dirty(&mut dirty);
        for id in dirty.drain(..) {
            engine.flush(id, now, &mut |slices| {
                Ok(slices.iter().map(|s| s.len()).sum())
            });
        }
        engine.reap(now, &mut |_, _| {});
    }
    let before = engine.stats().held_bytes;
    let head = [b"HTTP/1.1 500 x\r\nX: ".to_vec(), vec![b'x'; 10_000]].concat();
    let heads = measure(|| {
        for id in &ids {
            engine.on_bytes(*id, &head, now);
        }
    });
    let counted = engine.stats().held_bytes - before;
    check_close("heads", heads.bytes_current, counted);
    let before = engine.stats().held_bytes;
    let rest = [b"\r\n\r\n".to_vec(), vec![b'x'; 30_000]].concat();
    let bodies = measure(|| {
        for id in &ids {
            engine.on_bytes(*id, &rest, now);
            engine.reap(now, &mut |_, _| {});
        }
    });
    let counted = engine.stats().held_bytes as i64 - before as i64;
    check_close(
        "bodies",
        bodies.bytes_current,
        counted.try_into().expect("more"),
    );
    for id in &ids {
        engine.on_eof(*id, now);
    }
    engine.reap(now, &mut |_, _| {});
    engine.reap(now, &mut |_, _| {});
    assert_eq!(engine.stats().held_bytes, 0);
    assert!(engine.is_empty());
}

/// Checks that the counters are within 50 % of the allocator's, as for accepted connections.
#[track_caller]
fn check_close(what: &str, allocated: i64, counted: u64) {
    let allocated = u64::try_from(allocated).expect("more than before");
    println!("{what}: {allocated} B allocated, {counted} B counted");
    const SLACK: u64 = 64 * 1024;
    assert!(
        allocated <= counted * 3 / 2 + SLACK,
        "{what}: too few are counted"
    );
    assert!(
        counted <= allocated * 11 / 10 + SLACK,
        "{what}: too many are counted"
    );
}

#[test]
fn without_memory_a_dial_is_refused_and_an_answer_ends_it() {
    let config = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 2_000,
        max_buffered_bytes: 20_000,
        ..Config::default()
    };
    let mut net = dialer(config);
    let server = accepted(&mut net);
    net.with_io(|_, io| io.charge(21_000));
    let refused = net.with_io(|_, io| io.dial(dial()));
    assert_eq!(refused, Err(DialError::Stopped));
    // A little is accepted in any case.
    net.write(server, b"HTTP/1.1 101 Switching Protocols\r\n");
    net.settle();
    assert!(net.ending(server).is_none());
    net.write(server, b"X: ");
    net.write(server, &[b'x'; 5_000]);
    net.settle();
    assert_eq!(
        told_of(&mut net, server),
        [Told::Closed(Cause::BUFFERS_FULL)]
    );
    check_invariants(&net);
}

#[test]
fn a_tail_behind_the_answer_is_counted_until_it_is_processed() {
    let mut net = dialer(Config::default());
    let server = accepted(&mut net);
    net.agree(server, "");
    let large = frame_of_server(0x82, &vec![1; 60_000]);
    net.write(server, &large[..40_000]);
    net.settle();
    let part = held(&mut net, server);
    assert!(part >= 40_000, "{part}");
    net.write(server, &large[40_000..]);
    net.settle();
    assert_eq!(held(&mut net, server), 0);
    let told = told_of(&mut net, server);
    assert!(matches!(told.last(), Some(Told::Message(m)) if m.len() == 60_000));
}
