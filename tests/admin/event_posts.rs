//! The posts to `EVENTS_URL`: a receiver that is down, restarts, hangs or loses answers misses
//! nothing that is kept, and is told what it missed.

use crate::sockets::{Client, Event, Gateway, eventually, frame};
use pulsegate::gateway::PostSigner;
use pulsegate::wire::frame::CLOSE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECRET: &str = "s3cret of the events";

/// What the receiver does with a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It accepts it.
    Accept,
    /// It answers 503.
    Refuse,
    /// It takes it, and closes the connection without an answer.
    LoseAnswer,
    /// It takes it, and never answers.
    Hang,
}

#[derive(Debug, Clone, PartialEq)]
struct Post {
    head: String,
    body: String,
    mode: Mode,
}

impl Post {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().expect("a header").1
    }
}

/// A receiver of events. It is gone when dropped.
struct Receiver {
    addr: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    posts: Arc<Mutex<Vec<Post>>>,
    is_over: Arc<Mutex<bool>>,
}

impl Receiver {
    fn new(mode: Mode) -> Receiver {
        Self::at(([127, 0, 0, 1], 0).into(), mode)
    }

    fn at(addr: SocketAddr, mode: Mode) -> Receiver {
        let listener = eventually("the port", || TcpListener::bind(addr).ok());
        let receiver = Receiver {
            addr: listener.local_addr().expect("an address"),
            mode: Arc::new(Mutex::new(mode)),
            posts: Arc::default(),
            is_over: Arc::default(),
        };
        let (mode, posts) = (receiver.mode.clone(), receiver.posts.clone());
        let is_over = receiver.is_over.clone();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                if *is_over.lock().expect("whole") {
                    return;
                }
                let mut stream = stream.expect("a connection");
                let Some((head, body)) = read_post(&stream) else {
                    continue;
                };
                let mode = *mode.lock().expect("whole");
                posts.lock().expect("whole").push(Post { head, body, mode });
                let status = match mode {
                    Mode::Accept => 204,
                    Mode::Refuse => 503,
                    Mode::LoseAnswer => continue,
                    Mode::Hang => {
                        hanging.push(stream);
                        continue;
                    }
                };
                let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("http://{}/events?key=s3cret", self.addr)
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().expect("whole") = mode;
    }

    /// Returns the posts so far that it has taken in this way.
    fn posts(&self, mode: Mode) -> Vec<Post> {
        let posts = self.posts.lock().expect("whole");
        posts
            .iter()
            .filter(|post| post.mode == mode)
            .cloned()
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        *self.is_over.lock().expect("whole") = true;
        // Wakes the thread, which closes the port.
        let _ = TcpStream::connect(self.addr);
    }
}

fn read_post(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    assert!(
        head.starts_with("POST /events?key=s3cret HTTP/1.1\r\n"),
        "{head}"
    );
    let lower = head.to_lowercase();
    assert!(lower.contains("content-type: application/json\r\n"));
    let len = lower.split_once("content-length: ")?.1.lines().next()?;
    let mut body = vec![0; len.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

fn number(id: &Value) -> u64 {
    let (_, number) = id.as_str().expect("an id").split_once('-').expect("an id");
    number.parse().expect("a number")
}

/// Returns the numbers of the events in these posts, and those that they say are missing, in order.
fn told(posts: &[Post]) -> (Vec<u64>, Vec<RangeInclusive<u64>>) {
    let (mut events, mut missed) = (Vec::new(), Vec::new());
    for body in posts.iter().map(Post::json) {
        assert_eq!(body["version"], 1);
        if !body["missed"].is_null() {
            let (first, last) = (
                number(&body["missed"]["first"]),
                number(&body["missed"]["last"]),
            );
            assert_eq!(body["missed"]["count"], last + 1 - first);
            missed.push(first..=last);
        }
        let these = body["events"].as_array().expect("a list");
        assert!((1..=500).contains(&these.len()), "{}", these.len());
        events.extend(these.iter().map(|event| number(&event["id"])));
    }
    (events, missed)
}

fn start(receiver: &Receiver, more: &[(&str, &str)]) -> Gateway {
    let url = receiver.url();
    let own = [
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "60000"),
        ("CONNECTION_TIMEOUT_MS", "180000"),
        ("EVENTS_URL", &*url),
        ("EVENTS_SECRET", SECRET),
    ];
    Gateway::start(&[&own, more].concat())
}

/// Opens glasses, closes them, and waits until the connection has ended: two events.
fn visit(gateway: &Gateway, n: usize) {
    let mut client = Client::open(gateway.addr, &format!("/glasses-ws?user=u{n}"));
    client.write(&frame(CLOSE, &1_000_u16.to_be_bytes()));
    while !matches!(client.next(), Event::Eof | Event::Reset) {}
}

/// Waits until the receiver has accepted the event with this number.
#[track_caller]
fn wait_for(receiver: &Receiver, last: u64) -> (Vec<u64>, Vec<RangeInclusive<u64>>) {
    eventually("the receiver has the last event", || {
        let told = told(&receiver.posts(Mode::Accept));
        (told.0.last() == Some(&last)).then_some(told)
    })
}

#[test]
fn events_are_posted_once_in_order_and_signed() {
    let receiver = Receiver::new(Mode::Accept);
    let gateway = start(&receiver, &[]);
    for n in 0..300 {
        visit(&gateway, n);
    }
    let (events, missed) = wait_for(&receiver, 600);
    assert_eq!(events, (1..=600).collect::<Vec<u64>>());
    assert!(missed.is_empty());
    let mut next = 1;
    for post in receiver.posts(Mode::Accept) {
        let signature = post.header("x-pulsegate-signature");
        let at = signature.strip_prefix("t=").expect("a time");
        let at = at
            .split(',')
            .next()
            .expect("a time")
            .parse()
            .expect("a time");
        let signer = PostSigner::new(SECRET);
        assert_eq!(signature, signer.sign(at, post.body.as_bytes()));
        let body = post.json();
        assert_eq!(post.header("idempotency-key"), body["batch"]);
        assert_eq!(
            number(&body["batch"]),
            next,
            "each batch has an id of its own"
        );
        next += body["events"].as_array().expect("a list").len() as u64;
        assert_eq!(body["missed"], Value::Null);
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("pulsegate_events_lost_total"), 0.0);
    assert_eq!(
        metrics.get("pulsegate_event_posts_total{result=\"failed\"}"),
        0.0
    );
    assert!(gateway.lines(&["s3cret"]).is_empty());
    gateway.end();
}

#[test]
fn a_receiver_that_restarts_misses_nothing() {
    let receiver = Receiver::new(Mode::Accept);
    let gateway = start(&receiver, &[]);
    (0..10).for_each(|n| visit(&gateway, n));
    let (mut events, _) = wait_for(&receiver, 20);
    let addr = receiver.addr;
    drop(receiver);
    (10..200).for_each(|n| visit(&gateway, n));
    gateway.line(&["[WARN] events sink=down error="]);
    let restarted = Receiver::at(addr, Mode::Accept);
    let (more, missed) = wait_for(&restarted, 400);
    events.extend(more);
    assert_eq!(events, (1..=400).collect::<Vec<u64>>());
    assert!(missed.is_empty());
    gateway.line(&["[INFO] events sink=up"]);
    gateway.end();
}

#[test]
fn a_receiver_that_was_down_for_too_long_is_told_what_it_missed() {
    let receiver = Receiver::new(Mode::Refuse);
    let gateway = start(&receiver, &[("EVENTS_KEPT", "100")]);
    visit(&gateway, 0);
    eventually("a refused post", || receiver.posts(Mode::Refuse).pop());
    (1..200).for_each(|n| visit(&gateway, n));
    receiver.set(Mode::Accept);
    let (events, missed) = wait_for(&receiver, 400);
    // The first batch was under way: it is not lost.
    assert!(events.starts_with(&[1]), "{events:?}");
    assert_eq!(missed.len(), 1, "{missed:?}");
    let mut all: Vec<u64> = missed.iter().cloned().flatten().chain(events).collect();
    all.sort_unstable();
    assert_eq!(
        all,
        (1..=400).collect::<Vec<u64>>(),
        "each is told or said to be missing"
    );
    let lost = missed.into_iter().flatten().count() as f64;
    assert!(lost >= 200.0, "{lost}");
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.get("pulsegate_events_lost_total{sink=\"url\"}"),
        lost
    );
    gateway.line(&["[WARN] events sink=behind lost="]);
    gateway.end();
}

#[test]
fn a_batch_whose_answer_is_lost_comes_again_unchanged() {
    let receiver = Receiver::new(Mode::LoseAnswer);
    let gateway = start(&receiver, &[]);
    visit(&gateway, 0);
    let lost = eventually("a post", || receiver.posts(Mode::LoseAnswer).pop());
    visit(&gateway, 1);
    receiver.set(Mode::Accept);
    let (events, _) = wait_for(&receiver, 4);
    assert_eq!(events, [1, 2, 3, 4]);
    let again = &receiver.posts(Mode::Accept)[0];
    assert_eq!(again.body, lost.body);
    assert_eq!(
        again.header("idempotency-key"),
        lost.header("idempotency-key")
    );
    gateway.end();
}

#[test]
fn a_receiver_that_hangs_delays_nothing_but_the_end_by_some_seconds() {
    let receiver = Receiver::new(Mode::Hang);
    let mut gateway = start(&receiver, &[]);
    visit(&gateway, 0);
    eventually("a post", || receiver.posts(Mode::Hang).pop());
    (1..50).for_each(|n| visit(&gateway, n));
    let waits = |gateway: &Gateway| gateway.metrics().get("pulsegate_events_waiting");
    eventually("all wait", || (waits(&gateway) == 100.0).then_some(()));
    assert_eq!(gateway.health(), 200);
    gateway.signal("TERM");
    let asked = Instant::now();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let line = gateway.line(&["[WARN] events lost=100 "]);
    assert!(line.contains("EVENTS_URL"), "{line}");
}

/// The receiver learns why the last connections have ended, even if it was down until the end.
#[test]
fn at_the_end_the_last_events_are_posted() {
    let receiver = Receiver::new(Mode::Refuse);
    let mut gateway = start(&receiver, &[]);
    let client = Client::open(gateway.addr, "/glasses-ws?user=ada");
    eventually("it is refused", || receiver.posts(Mode::Refuse).pop());
    receiver.set(Mode::Accept);
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let posts = receiver.posts(Mode::Accept);
    assert_eq!(told(&posts).0, [1, 2]);
    let last = posts.last().expect("a post").json();
    let closed = last["events"].as_array().expect("a list").last().cloned();
    let closed = closed.expect("an event");
    assert_eq!(closed["type"], "closed");
    assert_eq!(closed["cause"], "draining");
    assert!(gateway.lines(&["events lost="]).is_empty());
    drop(client);
}
