//! Floods, slow peers and idle peers do not keep an operator from the admin listener.

use crate::peers::{TOKEN, quiet};
use crate::sockets::{Controls, Gateway, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends a request over a keep-alive connection and reads its answer.
fn ask_over(stream: &mut TcpStream, headers: &str) -> String {
    let path = "/api/v1/log-level";
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("room");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"}") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1);
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("UTF-8")
}

/// Returns whether the other side has closed this connection.
fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    let read = (&*stream).read(&mut [0]);
    stream.set_nonblocking(false).expect("a mode");
    match read {
        Ok(0) => true,
        Ok(_) => panic!("nothing more was to come"),
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn requests_without_a_token_keep_none_out_that_have_it() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    // A connection is closed after a refusal.
    for (headers, status) in [
        (String::new(), "401"),
        (format!("{bearer}Host: evil.example\r\n"), "400"),
    ] {
        let mut stranger = gateway.admin_stream();
        let answer = ask_over(&mut stranger, &headers);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}"))
                && answer.contains("connection: close"),
            "{answer}"
        );
        assert_eq!(stranger.read(&mut [0]).expect("an end"), 0);
    }
    // Operators with all the places that they may keep, and unproven connections with the rest.
    let mut operators: Vec<TcpStream> = (0..56).map(|_| gateway.admin_stream()).collect();
    for operator in &mut operators {
        assert!(ask_over(operator, &bearer).starts_with("HTTP/1.1 200"));
    }
    let strangers: Vec<TcpStream> = (0..8).map(|_| gateway.admin_stream()).collect();
    let mut newcomer = gateway.admin_stream();
    assert!(ask_over(&mut newcomer, &bearer).starts_with("HTTP/1.1 200"));
    eventually("a stranger has gone", || {
        is_over(&strangers[0]).then_some(())
    });
    // The operator that has been idle for longest makes room; it is not the oldest.
    eventually("it has gone", || is_over(&operators[0]).then_some(()));
    operators.remove(0);
    assert!(ask_over(&mut operators[0], &bearer).starts_with("HTTP/1.1 200"));
    let mut another = gateway.admin_stream();
    assert!(ask_over(&mut another, &bearer).starts_with("HTTP/1.1 200"));
    eventually("it has gone", || is_over(&operators[1]).then_some(()));
    operators.remove(1);
    // A flood of unproven connections, some silent, some not: it takes no operator's place, and
    // does not delay others.
    let strangers: Vec<TcpStream> = (0..200)
        .map(|i| {
            let mut stranger = gateway.admin_stream();
            // It may have been closed already.
            let _ = stranger.write_all([&b""[..], b"GET / HTTP/1.1\r\n"][i % 2]);
            stranger
        })
        .collect();
    operators.extend([newcomer, another]);
    for operator in &mut operators {
        assert!(ask_over(operator, &bearer).starts_with("HTTP/1.1 200"));
    }
    drop(strangers);
    gateway.end();
}

/// Requests the page over a keep-alive connection and reads all of it.
fn ask_for_page(stream: &mut TcpStream) {
    let request = b"GET /page/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("room");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"</svg>\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1);
        answer.push(byte[0]);
    }
}

#[test]
fn strangers_that_fetch_the_page_do_not_evict_an_operator() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut operator = gateway.admin_stream();
    assert!(ask_over(&mut operator, &bearer).starts_with("HTTP/1.1 200"));
    let strangers: Vec<TcpStream> = (0..70)
        .map(|_| {
            let mut stranger = gateway.admin_stream();
            ask_for_page(&mut stranger);
            stranger
        })
        .collect();
    assert!(ask_over(&mut operator, &bearer).starts_with("HTTP/1.1 200"));
    eventually("strangers beyond their 56 places have made room", || {
        (strangers.iter().filter(|s| is_over(s)).count() == 14).then_some(())
    });
    gateway.end();
}

#[test]
fn what_has_arrived_is_read_before_a_connection_makes_room() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let request =
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    // Everything waits when the gateway continues: first the operators, then a flood.
    gateway.signal("STOP");
    let operators: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut operator = gateway.admin_stream();
            operator.write_all(request.as_bytes()).expect("room");
            operator
        })
        .collect();
    let flood: Vec<TcpStream> = (0..300).map(|_| gateway.admin_stream()).collect();
    gateway.signal("CONT");
    for mut operator in operators {
        let mut status = [0; 12];
        operator.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    drop(flood);
    gateway.end();
}

#[test]
fn a_flood_of_connections_resets_no_operators_new_one() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let made = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    // The queue may be full.
                    let addr = gateway.admin.expect("an address");
                    held.extend(TcpStream::connect(addr).ok());
                    if held.len() > 200 {
                        held.pop_front();
                    }
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the flood", || {
                (made.load(std::sync::atomic::Ordering::Relaxed) > 1_000).then_some(())
            });
            for _ in 0..300 {
                let response = gateway.admin_request("GET", "/healthz", &bearer, "");
                assert_eq!(response.status, 200, "{response:?}");
            }
        }));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = asked {
            std::panic::resume_unwind(panic);
        }
    });
    gateway.end();
}

/// A request with a body that does not arrive.
const SLOW_BODY: &[u8] =
    b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                           Content-Length: 19\r\n\r\n{";

#[test]
fn slow_bodies_without_the_token_are_refused_at_the_head() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    for _ in 0..80 {
        let mut stranger = gateway.admin_stream();
        stranger.write_all(SLOW_BODY).expect("room");
        let mut answer = Vec::new();
        // It may end with a reset, because its last bytes were not read.
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{answer:?}");
    }
    gateway.end();
}

#[test]
fn slow_bodies_make_room_where_there_is_no_token() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("LOG_LEVEL", "debug")]);
    // One that was answered before, and one that was not.
    let slow: Vec<TcpStream> = (0..80)
        .map(|i| {
            let mut stream = gateway.admin_stream();
            if i % 2 == 0 {
                assert!(ask_over(&mut stream, "").starts_with("HTTP/1.1 200"));
            }
            stream.write_all(SLOW_BODY).expect("room");
            stream
        })
        .collect();
    let mut operator = gateway.admin_stream();
    assert!(ask_over(&mut operator, "").starts_with("HTTP/1.1 200"));
    gateway.line(&["admin connection ended", "made room"]);
    // The youngest continues where it was.
    let mut youngest = slow.last().expect("one");
    youngest.write_all(b"\"class\":\"nowhere\"}").expect("room");
    let mut status = [0; 12];
    youngest.read_exact(&mut status).expect("an answer");
    assert!(status.starts_with(b"HTTP/1.1 4"), "{status:?}");
    assert!(ask_over(&mut operator, "").starts_with("HTTP/1.1 200"));
    gateway.end();
}

#[test]
fn a_client_that_asks_nothing_does_not_stay() {
    let gateway = quiet();
    let mut silent = gateway.admin_stream();
    let mut trickling = gateway.admin_stream();
    trickling.write_all(b"GET / HTTP/1.1\r\n").expect("room");
    let mut answered = gateway.admin_stream();
    assert!(ask_over(&mut answered, "").starts_with("HTTP/1.1 200"));
    for stream in [&mut silent, &mut trickling] {
        let mut rest = Vec::new();
        // There may be an answer, or none.
        stream.read_to_end(&mut rest).expect("an end");
    }
    // After 5 s, not the 30 s for connections that have sent a request.
    assert!(!is_over(&answered));
    gateway.end();
}

#[test]
fn slow_readers_and_idlers_on_the_admin_listener_hold_no_request_up() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    // More than the limit: some request much and read nothing, some send nothing, some never
    // complete a request.
    let idlers: Vec<_> = (0..90)
        .map(|i| {
            let mut stream = gateway.admin_stream();
            let request =
                "GET /api/v1/connections?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
            let request = match i % 3 {
                0 => request.as_str(),
                1 => "GET /metrics HT",
                _ => "",
            };
            stream.write_all(request.as_bytes()).expect("room");
            stream
        })
        .collect();
    controls.await_pings(3);
    // Idle ones make room.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let mut stream = gateway.admin_stream();
        let asked = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        if asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK")
        {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{answer}");
    }
    controls.finish();
    drop(idlers);
    gateway.end();
}
