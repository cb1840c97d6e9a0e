//! One client that asks for more than its part of what all clients share, and the others.

use super::balancing::Rig;
use super::legs::request;
use super::routes::ask;
use crate::sockets::{Client, Server, eventually};

const CROWD: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

/// Sends the upgrade request of a client with this address.
fn ask_from(source: [u8; 4], rig: &Rig, path: &str) -> Client {
    let mut client = Client::connect_from(source, rig.gateway.addr);
    client.write(request(path, "").as_bytes());
    client
}

/// Accepts connections until one is for `path`, and agrees. The others are not answered.
#[track_caller]
fn serve(rig: &Rig, path: &str, unanswered: &mut Vec<Server>) -> Server {
    loop {
        let mut leg = rig.services[0].accept();
        let line = format!("GET {path} ");
        if leg.read_head().starts_with(&line) {
            let agreement = leg.agreement("");
            leg.write(agreement.as_bytes());
            return leg;
        }
        unanswered.push(leg);
    }
}

#[test]
fn an_address_that_takes_all_places_makes_room_for_others() {
    const PLACES: usize = 8;
    const QUEUE: usize = 1_000;
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let rig = Rig::start(1, "max_dialing = 8\nanswer_timeout_ms = 60000");
    let ask_slowly = |_| ask_from(CROWD, &rig, "/slow");
    let mut crowd: Vec<Client> = (0..PLACES + QUEUE + 100).map(ask_slowly).collect();
    // Alone it may take all there is, and no more.
    assert_eq!(crowd.last_mut().expect("a client").response().status, 503);
    assert_eq!(rig.upstream(0)["dialing"], PLACES);
    let (mut unanswered, mut pairs) = (Vec::new(), Vec::new());
    for nth in 0..3 * PLACES {
        let path = format!("/fast-{nth}");
        let mut client = ask_from(OTHER, &rig, &path);
        let leg = serve(&rig, &path, &mut unanswered);
        client.switched();
        pairs.push((client, leg));
    }
    // The requests that gave way were answered.
    let first = crowd[0].response();
    assert_eq!(first.status, 503, "{first:?}");
    assert!(first.body.contains("other clients wait"), "{first:?}");
    assert!(first.header("retry-after").is_some());
    rig.gateway.end();
}

#[test]
fn requests_that_wait_for_a_full_service_hold_up_no_others() {
    let rig = Rig::start(
        2,
        "max_dialing = 1\nsticky = 'cookie:at'\nanswer_timeout_ms = 60000",
    );
    // One pair, for the cookie of its service.
    let mut client = ask(&rig.gateway, "/", "");
    let (full, mut leg) = rig.accept();
    leg.agree("");
    let head = client.switched();
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("Set-Cookie: "));
    let cookie = cookie
        .and_then(|line| line.split(';').next())
        .expect("a cookie");
    let lines = format!("Cookie: {cookie}\r\n");
    // Both services have a request to answer, and many wait for the first.
    let mut busy = vec![ask(&rig.gateway, "/", &lines)];
    let (at, first) = rig.accept();
    assert_eq!(at, full);
    busy.push(ask(&rig.gateway, "/", ""));
    let (other, mut second) = rig.accept();
    assert_ne!(other, full);
    let sticky: Vec<Client> = (0..100).map(|_| ask(&rig.gateway, "/", &lines)).collect();
    let mut free = ask(&rig.gateway, "/free", "");
    eventually("requests that all have arrived", || {
        let opening = rig.gateway.metrics().get("pulsegate_connections_opening");
        (opening >= 103.0).then_some(())
    });
    second.agree("");
    let mut leg = rig.services[other].accept();
    leg.agree("");
    assert!(leg.head.starts_with("GET /free "), "{}", leg.head);
    free.switched();
    let closed = rig.gateway.api("/api/v1/closed");
    assert_eq!(
        closed["closed"].as_array().map(Vec::len),
        Some(0),
        "the others still wait"
    );
    drop((client, busy, first, sticky));
    rig.gateway.end();
}
