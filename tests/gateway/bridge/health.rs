//! Health checks of the services behind a route.

use super::balancing::Rig;
use crate::sockets::{Listener, eventually};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// A service that answers each plain request with a status that a test chooses; 0: not at all.
struct Checked {
    url: String,
    status: Arc<AtomicU16>,
}

impl Checked {
    fn start() -> Checked {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let status = Arc::new(AtomicU16::new(200));
        let answer = status.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut head = [0; 4_096];
                let len = stream.read(&mut head).unwrap_or_default();
                let is_check = head[..len].starts_with(b"GET /up HTTP/1.1\r\n");
                let status = match is_check {
                    true => answer.load(Ordering::Relaxed),
                    false => 404,
                };
                if status > 0 {
                    let text = format!("HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok");
                    let _ = stream.write_all(text.as_bytes());
                }
            }
        });
        Checked { url, status }
    }
}

#[test]
fn a_service_whose_health_check_fails_twice_is_avoided_until_one_succeeds() {
    let checked = Checked::start();
    let lines = "health_path = '/up'\nhealth_interval_ms = 1000\nhealth_timeout_ms = 5000";
    let rig = Rig::before(vec![], &[&checked.url], lines);
    let state = || rig.state_of(&checked.url);
    let becomes = |wanted: &str| {
        eventually(wanted, || (state() == wanted).then_some(()));
    };
    assert_eq!(state(), "up");
    checked.status.store(503, Ordering::Relaxed);
    becomes("unhealthy");
    let line = rig
        .gateway
        .line(&["[WARN] upstream route=r ", "state=unhealthy"]);
    assert!(line.contains("the answer is 503"), "{line}");
    checked.status.store(302, Ordering::Relaxed);
    becomes("up");
    rig.gateway.line(&["[INFO] upstream route=r ", "state=up"]);
    rig.gateway.end();
}

/// An upstream that is unhealthy is the last choice, and still one.
#[test]
fn clients_go_to_a_healthy_service_and_to_any_if_there_is_none() {
    let checked = Checked::start();
    let lines = "health_path = '/up'\nhealth_interval_ms = 1000\nslow_start_ms = 0";
    // The scripted service answers no check: it is unhealthy in the end.
    let rig = Rig::before(vec![Listener::tcp()], &[&checked.url], lines);
    checked.status.store(500, Ordering::Relaxed);
    let scripted = rig.services[0].url.clone();
    eventually("two unhealthy services", || {
        let all = [&scripted, &checked.url].map(|url| rig.state_of(url));
        all.iter().all(|state| state == "unhealthy").then_some(())
    });
    checked.status.store(200, Ordering::Relaxed);
    eventually("a healthy one", || {
        (rig.state_of(&checked.url) == "up").then_some(())
    });
    for _ in 0..3 {
        let refused = super::routes::ask(&rig.gateway, "/", "").response();
        assert_eq!(refused.status, 404, "by the healthy one: {refused:?}");
    }
    rig.gateway.end();
}
