//! A service that refuses its clients, beside others that accept them.

use super::balancing::Rig;
use super::legs::request;
use crate::sockets::{Client, Server, eventually};

/// What a client of an address has got: which service it has reached, and the connections.
struct Asked {
    at: usize,
    _ends: (Client, Server),
}

/// Sends a request from an address, and has it answered: by the service `refusing` with `refusal`,
/// by the others with 101.
#[track_caller]
fn ask(rig: &Rig, source: [u8; 4], path: &str, refusing: usize, refusal: &str) -> Asked {
    let mut client = Client::connect_from(source, rig.gateway.addr);
    client.write(request(path, "").as_bytes());
    let (at, mut leg) = rig.accept();
    match at == refusing && !refusal.is_empty() {
        true => {
            leg.read_head();
            leg.write(refusal.as_bytes());
            client.refusal();
        }
        false => {
            leg.agree("");
            client.switched();
        }
    }
    let _ends = (client, leg);
    Asked { at, _ends }
}

fn answer(status: u16) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_service_that_refuses_gets_a_client_now_and_then() {
    // All clients behind one address, or each with its own.
    for sources in [1, 100] {
        let rig = Rig::start(3, "slow_start_ms = 0");
        let mut counts = [0_usize; 3];
        let mut pairs = Vec::new();
        for nth in 0..300_u16 {
            let source = [127, 0, 0, 2 + (nth % sources) as u8];
            let asked = ask(&rig, source, "/", 0, &answer(503));
            counts[asked.at] += 1;
            pairs.push(asked);
        }
        // Three in a row, and one after 1, 2, 4 and then every 8 s.
        assert!((3..20).contains(&counts[0]), "{counts:?}");
        assert!(counts[1].abs_diff(counts[2]) < 3, "{counts:?}");
        assert_eq!(rig.state_of(&rig.services[0].url), "refusing");
        let line = rig
            .gateway
            .line(&["[WARN] upstream route=r ", "state=refusing"]);
        assert!(line.contains("the answer is 503"), "{line}");
        // Once it accepts one, it has the fewest pairs, and gets all.
        eventually("a client of the one that has refused", || {
            let asked = ask(&rig, [127, 0, 0, 2], "/", 0, "");
            let at = asked.at;
            pairs.push(asked);
            (at == 0).then_some(())
        });
        assert_eq!(rig.state_of(&rig.services[0].url), "up");
        for _ in 0..5 {
            let asked = ask(&rig, [127, 0, 0, 2], "/", 0, "");
            assert_eq!(asked.at, 0);
            pairs.push(asked);
        }
        rig.gateway.end();
    }
}

/// A service that closes the connection at once has the fewest pairs, too.
#[test]
fn a_service_that_breaks_off_gets_a_client_now_and_then() {
    let rig = Rig::start(2, "");
    let (mut broken, mut pairs) = (0, Vec::new());
    for _ in 0..50 {
        let mut client = Client::connect(rig.gateway.addr);
        client.write(request("/", "").as_bytes());
        let (at, mut leg) = rig.accept();
        if at == 0 {
            leg.read_head();
            drop(leg);
            client.refusal();
            broken += 1;
            continue;
        }
        leg.agree("");
        client.switched();
        pairs.push((client, leg));
    }
    assert!((3..20).contains(&broken), "{broken}");
    assert_eq!(rig.state_of(&rig.services[0].url), "refusing");
    rig.gateway.end();
}

#[test]
fn a_client_that_provokes_failures_keeps_no_others_away() {
    let rig = Rig::start(2, "slow_start_ms = 0");
    let mut pairs: Vec<Asked> = (2..6)
        .map(|last| ask(&rig, [127, 0, 0, last], "/", 0, ""))
        .collect();
    for status in [500, 401, 404, 503] {
        for _ in 0..20 {
            let mut client = Client::connect_from([127, 0, 0, 66], rig.gateway.addr);
            client.write(request("/fail", "").as_bytes());
            let (_, mut leg) = rig.accept();
            leg.read_head();
            leg.write(answer(status).as_bytes());
            client.refusal();
        }
    }
    for service in &rig.services {
        assert_eq!(rig.state_of(&service.url), "up");
    }
    // Statuses of 4xx say nothing of a service, however many clients get them.
    for last in 100..140 {
        let asked = ask(&rig, [127, 0, 0, last], "/", 0, &answer(404));
        pairs.push(asked);
    }
    assert_eq!(rig.state_of(&rig.services[0].url), "up");
    rig.gateway.end();
}

#[test]
fn plain_requests_go_elsewhere_too_and_say_nothing_of_websockets() {
    let rig = Rig::start(2, "");
    let (mut failed, mut clients) = (0, Vec::new());
    for nth in 0..60 {
        let source = [127, 0, 0, 2 + nth];
        let mut client = Client::connect_from(source, rig.gateway.addr);
        client.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let (at, mut leg) = rig.accept();
        leg.read_head();
        let status = if at == 0 { 503 } else { 200 };
        leg.write(answer(status).as_bytes());
        client.refusal();
        failed += usize::from(at == 0);
        clients.push((client, leg));
    }
    assert!((3..20).contains(&failed), "{failed}");
    assert_eq!(rig.state_of(&rig.services[0].url), "refusing");
    // One of two WebSockets.
    let pairs = [(); 2].map(|()| ask(&rig, [127, 0, 0, 2], "/", 2, ""));
    let mut reached = pairs.map(|asked| asked.at);
    reached.sort_unstable();
    assert_eq!(reached, [0, 1]);
    rig.gateway.end();
}
