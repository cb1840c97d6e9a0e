//! Jobs of a real loop, done by the side thread: webhooks to HTTP servers of the tests, and
//! the state file.

use hmac::{Hmac, KeyInit, Mac};
use pulsegate::gateway::Apps;
use pulsegate::gateway::StopReason;
use pulsegate::gateway::{
    Credentials, Desk, Gateway, Job, Options, Progress, ProxyProtocol, RelaySettings, RetryPolicy,
    StateJob, WebhookJob,
};
use pulsegate::reactor::{Reactor, listen};
use pulsegate::side::{self, SideHandle, StartedApps, StateFile, WebhookOptions, WebhookSettings};
use pulsegate::side::{WebhookResult, WebhookType, load_state};
use pulsegate::{Config, Micros, Remote};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The deadline of every event that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A webhook timeout that is never reached.
const LONG: Duration = Duration::from_secs(20);

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

// ---- the loop and its side thread ----

fn gateway() -> Gateway {
    Gateway::new(Options {
        stats_interval: Micros::from_secs(3_600),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 10,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        restored: Vec::new(),
        products: Vec::new(),
    })
}

struct Bench {
    desk: Desk,
    remote: Remote,
    control: SideHandle,
    /// The allowed networks and the signing keys of webhooks.
    settings: Arc<Mutex<WebhookSettings>>,
    turning: Option<JoinHandle<()>>,
    /// The number of the last start.
    number: u64,
}

impl Bench {
    fn new(timeout: Duration) -> Bench {
        Bench::with_state(timeout, None)
    }

    fn with_settings(settings: WebhookSettings) -> Bench {
        let bench = Bench::new(LONG);
        *bench.settings.lock().expect("whole") = settings;
        bench
    }

    fn with_state(timeout: Duration, state: Option<StateFile>) -> Bench {
        let settings = Arc::<Mutex<WebhookSettings>>::default();
        let thread_settings = settings.clone();
        let (told, parts) = std::sync::mpsc::channel();
        // The gateway stays on the thread that creates it.
        let turning = std::thread::spawn(move || {
            let gateway = gateway();
            let product_classes = gateway.classes().clone();
            let (closed, missed, errands) =
                (gateway.closed(), gateway.expired_peers(), gateway.errands());
            let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
            let mut reactor =
                Reactor::new(Config::default(), listener, 10, gateway).expect("a reactor");
            let desk = reactor.with_io(|gateway, io| gateway.desk(io.remote()));
            let control = side::start(side::SideOptions {
                listener: None,
                token: None,
                hosts: Vec::new(),
                desk: desk.clone(),
                causes: pulsegate::CauseTable::with(&[]),
                classes: product_classes,
                closed,
                missed,
                alerts: Arc::default(),
                errands,
                webhooks: WebhookOptions {
                    timeout,
                    websocket_url: "ws://gateway.example/app-ws".into(),
                    settings: thread_settings,
                },
                state,
                listen_addr: reactor.local_addr(),
                check_policy: |_| Ok(()),
                drain_times: Arc::default(),
                drain: Arc::new(|_, _| {}),
            });
            let control = control.expect("a side thread");
            let parts = (desk, reactor.remote(), control);
            told.send(parts).expect("somebody waits");
            reactor.run().expect("it runs");
        });
        let (desk, remote, control) = parts.recv_timeout(PATIENCE).expect("it starts");
        Bench {
            desk,
            remote,
            control,
            settings,
            turning: Some(turning),
            number: 0,
        }
    }

    /// Sends these jobs from the loop to the side thread.
    fn send_on(&self, jobs: Vec<Job>) {
        let (done, is_done) = std::sync::mpsc::channel();
        let mut jobs = Some(jobs);
        let work = move |gateway: &mut Gateway, _: &mut pulsegate::Io<'_>| {
            for job in jobs.take().unwrap_or_default() {
                assert!(gateway.send_on(job), "there is room");
            }
            done.send(()).expect("somebody waits");
            Progress::Done
        };
        self.desk
            .send_sliced(Box::new(work))
            .expect("room on the desk");
        is_done.recv_timeout(PATIENCE).expect("the loop turns");
    }

    fn start(&mut self, user: &str, package: &str, url: &str, retry: RetryPolicy) -> u64 {
        self.number += 1;
        let number = self.number;
        self.send_on(vec![start(number, user, package, url, retry)]);
        number
    }

    fn count(&self, result: WebhookResult) -> u64 {
        let stats = self.control.webhooks();
        stats.counts.get(WebhookType::SessionRequest, result)
    }

    #[track_caller]
    fn wait_for(&self, result: WebhookResult, many: u64) {
        eventually(result.name(), || self.count(result) >= many);
        assert_eq!(self.count(result), many, "{}", result.name());
    }

    #[track_caller]
    fn wait_for_rest(&self) {
        eventually("nothing under way", || {
            let stats = self.control.webhooks();
            (stats.in_flight, stats.waiting) == (0, 0)
        });
    }

    fn flush(&self) {
        self.control.flush(PATIENCE).expect("it is on disk");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.remote.stop();
        if let Some(turning) = self.turning.take() {
            let ended = turning.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn start(number: u64, user: &str, package: &str, url: &str, retry: RetryPolicy) -> Job {
    Job::Webhook(WebhookJob::Start {
        number,
        user: user.into(),
        package: package.into(),
        url: url.into(),
        retry,
        after: Micros::ZERO,
    })
}

// ---- the apps' server ----

/// How one request is answered.
#[derive(Clone)]
enum Answer {
    /// With these bytes, then the end.
    Bytes(String),
    /// With a head of 200 and a body without an end, until the other side closes.
    Endless,
    /// Not at all, until the other side closes.
    Never,
    /// With `100 Continue`, again and again, until the other side closes.
    Continue,
}

use Answer::{Continue, Endless, Never};

fn status(status: u16) -> Answer {
    Answer::Bytes(format!(
        "HTTP/1.1 {status} -\r\ncontent-length: 20\r\nconnection: close\r\n\r\n\
         {{\"status\":\"success\"}}"
    ))
}

#[derive(Debug, Clone)]
struct Asked {
    head: String,
    /// The bytes as received.
    bytes: Vec<u8>,
    body: Value,
}

/// A server that answers the first request with the first answer, and so on; further requests with
/// the last.
struct AppServer {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Connections that the other side has closed.
    left: Arc<Mutex<usize>>,
}

impl AppServer {
    fn new(answers: &[Answer]) -> AppServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (asked, left) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::default());
        let server = AppServer {
            addr,
            asked: asked.clone(),
            left: Arc::clone(&left),
        };
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let (asked, left, answers) = (asked.clone(), left.clone(), answers.clone());
                std::thread::spawn(move || {
                    if let Some(request) = read_request(&stream) {
                        let nth = {
                            let mut asked = asked.lock().expect("whole");
                            asked.push(request);
                            asked.len() - 1
                        };
                        respond(stream, &answers[nth.min(answers.len() - 1)]);
                        *left.lock().expect("whole") += 1;
                    }
                });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/webhook", self.addr)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("whole").clone()
    }

    #[track_caller]
    fn wait_for(&self, requests: usize) -> Vec<Asked> {
        eventually("requests", || self.asked().len() >= requests);
        self.asked()
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let len = lower.split_once("content-length: ")?.1.lines().next()?;
    let mut bytes = vec![0; len.parse().ok()?];
    reader.read_exact(&mut bytes).ok()?;
    let body = serde_json::from_slice(&bytes).ok()?;
    Some(Asked { head, bytes, body })
}

fn respond(mut stream: TcpStream, answer: &Answer) {
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
        }
        Never => {
            let _ = stream.read(&mut [0]);
        }
        Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }
        Continue => {
            let some = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
            while stream.write_all(&some).is_ok() {}
        }
    }
}

/// Returns a URL without a server.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    format!("http://{addr}/webhook")
}

// ---- webhooks ----

#[test]
fn what_is_posted_is_what_the_contract_says() {
    let server = AppServer::new(&[status(200)]);
    let mut bench = Bench::new(LONG);
    let user = "ann-marie@example.org";
    bench.start(
        user,
        "com.example.app",
        &server.url(),
        RetryPolicy::TwoAttempts,
    );
    let asked = server.wait_for(1)[0].clone();
    assert!(asked.head.starts_with("POST /webhook HTTP/1.1\r\n"));
    let head = asked.head.to_lowercase();
    assert!(head.contains("content-type: application/json\r\n"));
    assert!(head.contains(&format!("host: {}\r\n", server.addr)));
    let timestamp = asked.body["timestamp"].as_str().expect("a time");
    assert_eq!((timestamp.len(), &timestamp[23..]), (24, "Z"), "ISO 8601");
    assert_eq!(
        asked.body,
        json!({
            "type": "session_request",
            "sessionId": "ann-marie@example.org-com.example.app",
            "userId": user,
            "timestamp": timestamp,
            "mentraOSWebsocketUrl": "ws://gateway.example/app-ws",
            "augmentOSWebsocketUrl": "ws://gateway.example/app-ws",
        })
    );
    bench.wait_for(WebhookResult::Answered, 1);
    let reasons = [
        (StopReason::UserDisabled, "user_disabled"),
        (StopReason::SystemStop, "system_stop"),
        (StopReason::Error, "error"),
    ];
    for (nth, (reason, word)) in reasons.into_iter().enumerate() {
        bench.send_on(vec![Job::Webhook(WebhookJob::Stop {
            user: user.into(),
            package: "com.example.app".into(),
            url: server.url().into(),
            reason,
        })]);
        let asked = server.wait_for(nth + 2)[nth + 1].clone();
        assert_eq!(
            asked.body,
            json!({
                "type": "stop_request",
                "sessionId": "ann-marie@example.org-com.example.app",
                "userId": user,
                "timestamp": asked.body["timestamp"],
                "reason": word,
            })
        );
        bench.wait_for_rest();
    }
    let stats = bench.control.webhooks();
    let (kind, result) = (WebhookType::StopRequest, WebhookResult::Answered);
    assert_eq!(stats.counts.get(kind, result), 3);
}

#[test]
fn what_fails_is_tried_again() {
    let server = AppServer::new(&[status(500), status(200)]);
    let mut bench = Bench::new(LONG);
    let begun = Instant::now();
    bench.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::Answered, 1);
    assert!(begun.elapsed() >= Duration::from_secs(1), "a second apart");
    assert_eq!(bench.count(WebhookResult::Refused), 1);
    assert_eq!(server.asked().len(), 2);
    bench.wait_for_rest();
}

#[test]
fn a_server_that_never_answers_is_given_up_twice() {
    let server = AppServer::new(&[Never]);
    let mut bench = Bench::new(Duration::from_millis(100));
    bench.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::Timeout, 2);
    bench.wait_for_rest();
    eventually("both connections are closed", || {
        *server.left.lock().expect("whole") == 2
    });
}

#[test]
fn a_port_without_a_listener_is_unreachable_and_so_is_what_is_no_url() {
    let plain = AppServer::new(&[status(200)]);
    let mut bench = Bench::new(LONG);
    let urls = [
        nobody(),
        // There is no TLS on that port.
        format!("https://{}/webhook", plain.addr),
        "ftp://127.0.0.1/".to_owned(),
        "not a url".to_owned(),
        String::new(),
        format!("http://user:secret@{}/webhook", plain.addr),
    ];
    for (nth, url) in urls.iter().enumerate() {
        bench.start("alice", &format!("p{nth}"), url, RetryPolicy::TwoAttempts);
    }
    bench.wait_for(WebhookResult::Unreachable, 2 * urls.len() as u64);
    bench.wait_for_rest();
    assert_eq!(plain.asked().len(), 0);
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = AppServer::new(&[status(200)]);
    let mut bench = Bench::new(LONG);
    for code in [301, 302, 307, 308] {
        let server = AppServer::new(&[Answer::Bytes(format!(
            "HTTP/1.1 {code} -\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url()
        ))]);
        bench.start(
            "alice",
            &format!("p{code}"),
            &server.url(),
            RetryPolicy::TwoAttempts,
        );
    }
    bench.wait_for(WebhookResult::Refused, 8);
    assert_eq!(elsewhere.asked().len(), 0);
}

#[test]
fn an_answer_without_an_end_is_an_answer_and_is_not_read_to_its_end() {
    let server = AppServer::new(&[Endless]);
    let mut bench = Bench::new(LONG);
    bench.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::Answered, 1);
    eventually("it is cut off", || *server.left.lock().expect("whole") == 1);
}

/// Returns the breaker's error for the app with this URL.
#[track_caller]
fn why_it_is_down(bench: &mut Bench, url: &str) -> String {
    for n in 0..5 {
        bench.start(&format!("user{n}"), "p", url, RetryPolicy::UntilCancelled);
    }
    eventually("the breaker", || {
        bench.control.webhooks().breakers_open == 1
    });
    bench.control.webhooks().down[0].last_error.to_string()
}

#[test]
fn interim_responses_without_an_end_end_the_webhook_and_say_why() {
    let server = AppServer::new(&[Continue]);
    // The timeout is never reached: only the limit of bytes ends it.
    let mut bench = Bench::new(Duration::from_secs(3_600));
    let why = why_it_is_down(&mut bench, &server.url());
    assert_eq!(why, "no final response head within the first 65536 bytes");
    assert_eq!(bench.count(WebhookResult::Timeout), 0);
    let asked = server.asked().len();
    eventually("all are cut off", || {
        *server.left.lock().expect("whole") >= asked
    });
}

#[test]
fn some_interim_responses_before_an_answer_are_no_fault() {
    let some = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let server = AppServer::new(&[Answer::Bytes(some.repeat(100) + answer)]);
    let mut bench = Bench::new(LONG);
    bench.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::Answered, 1);
}

#[test]
fn webhooks_and_the_admin_listener_have_a_thread_each() {
    let _bench = Bench::new(LONG);
    let threads = || {
        let threads = fs::read_dir("/proc/self/task").expect("threads");
        let name =
            |t: std::io::Result<fs::DirEntry>| fs::read_to_string(t.ok()?.path().join("comm")).ok();
        let names: Vec<String> = threads.filter_map(name).collect();
        let is = |name: &str| names.iter().any(|n| n.trim() == name);
        is("control") && is("errands")
    };
    eventually("both threads", threads);
}

fn allow(networks: &[&str]) -> WebhookSettings {
    let networks = networks.iter().map(|n| n.parse().expect("a network"));
    WebhookSettings {
        allow: Some(networks.collect()),
        apps: None,
    }
}

#[test]
fn link_local_and_metadata_addresses_are_not_asked_however_they_are_written() {
    for (host, address) in [
        ("169.254.169.254", "169.254.169.254"),
        ("[::ffff:169.254.169.254]", "169.254.169.254"),
        ("[fe80::1]", "fe80::1"),
        ("[fd00:ec2::254]", "fd00:ec2::254"),
        // The URL's parser does not take it for an address, but the resolver does: the address that
        // it leads to counts.
        ("0xa9fea9fe", "169.254.169.254"),
        ("2852039166", "169.254.169.254"),
    ] {
        let mut bench = Bench::new(LONG);
        let why = why_it_is_down(&mut bench, &format!("http://{host}:9/latest/meta-data"));
        let wanted = format!(
            "{address} is link-local or a metadata service, and WEBHOOK_ALLOW does not name it"
        );
        assert_eq!(why, wanted, "{host}");
    }
}

#[test]
fn a_webhook_goes_only_to_networks_that_are_allowed() {
    let server = AppServer::new(&[status(200)]);
    // A name is checked in the same way, after it was resolved.
    let by_name = format!("http://localhost:{}/webhook", server.addr.port());
    for url in [server.url(), by_name] {
        let mut bench = Bench::with_settings(allow(&["203.0.113.0/24"]));
        let why = why_it_is_down(&mut bench, &url);
        assert!(
            why.ends_with(" is in no network that WEBHOOK_ALLOW lists"),
            "{why}"
        );
        assert_eq!(server.asked().len(), 0);
    }
    let mut bench = Bench::with_settings(allow(&["203.0.113.0/24", "127.0.0.0/8"]));
    bench.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::Answered, 1);
    // A change applies from the next webhook on.
    *bench.settings.lock().expect("whole") = allow(&[]);
    bench.start("alice", "q", &server.url(), RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::Unreachable, 2);
    assert_eq!(server.asked().len(), 1);
}

fn apps(key: &str) -> Option<Apps> {
    let list = json!([{"package": "signed", "api_key": key}]);
    Some(Apps::parse(list.to_string().as_bytes()).expect("apps"))
}

/// Checks the signature of a request as an app's server would.
#[track_caller]
fn check_signature(asked: &Asked, key: &str) {
    let head = asked.head.to_lowercase();
    let (_, value) = head
        .split_once("x-pulsegate-signature: ")
        .expect("a signature");
    let value = value.lines().next().expect("a line");
    let (at, hex) = value
        .strip_prefix("t=")
        .and_then(|v| v.split_once(",v1="))
        .expect("t and v1");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("later");
    let at_seconds: u64 = at.parse().expect("seconds");
    assert!(now.as_secs().abs_diff(at_seconds) < 60, "{value}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).expect("a key");
    mac.update(&[at.as_bytes(), b".", &asked.bytes].concat());
    let wanted: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(hex, wanted, "over {:?}", asked.body);
}

#[test]
fn a_webhook_is_signed_with_the_key_of_its_app() {
    let server = AppServer::new(&[status(200)]);
    // One key shorter and one longer than a block of the hash.
    for key in ["the-key-of-an-app", &"long".repeat(100)] {
        let before = server.asked().len();
        let mut bench = Bench::with_settings(WebhookSettings {
            allow: None,
            apps: apps(key),
        });
        bench.start("zoë", "signed", &server.url(), RetryPolicy::TwoAttempts);
        check_signature(&server.wait_for(before + 1)[before], key);
        bench.wait_for_rest();
        bench.send_on(vec![Job::Webhook(WebhookJob::Stop {
            user: "zoë".into(),
            package: "signed".into(),
            url: server.url().into(),
            reason: StopReason::SystemStop,
        })]);
        check_signature(&server.wait_for(before + 2)[before + 1], key);
        bench.wait_for_rest();
        // After a reload the new key signs.
        bench.settings.lock().expect("whole").apps = apps("another-key");
        bench.start("zoë", "signed", &server.url(), RetryPolicy::TwoAttempts);
        check_signature(&server.wait_for(before + 3)[before + 2], "another-key");
        bench.wait_for_rest();
        // An app without a key has no signature.
        bench.start("zoë", "unsigned", &server.url(), RetryPolicy::TwoAttempts);
        let asked = server.wait_for(before + 4)[before + 3].clone();
        assert!(!asked.head.to_lowercase().contains("x-pulsegate"));
    }
}

#[test]
fn an_app_that_is_down_is_told_of() {
    let server = AppServer::new(&[status(503)]);
    let (mut bench, url) = (Bench::new(LONG), server.url());
    let package = "com.example.down";
    for n in 0..5 {
        bench.start(
            &format!("user{n}"),
            package,
            &url,
            RetryPolicy::UntilCancelled,
        );
    }
    eventually("the breaker", || {
        bench.control.webhooks().breakers_open == 1
    });
    let down = bench.control.webhooks().down[0].clone();
    assert_eq!(&*down.package, package);
    assert_eq!(&*down.last_error, "answered with status 503");
    bench.start("somebody", package, &url, RetryPolicy::TwoAttempts);
    bench.wait_for(WebhookResult::BreakerOpen, 1);
}

#[test]
fn what_is_cancelled_before_its_time_is_not_posted() {
    let server = AppServer::new(&[status(200)]);
    let bench = Bench::new(LONG);
    bench.send_on(vec![Job::Webhook(WebhookJob::Start {
        number: 1,
        user: "alice".into(),
        package: "p".into(),
        url: server.url().into(),
        retry: RetryPolicy::UntilCancelled,
        after: Micros::from_secs(3_600),
    })]);
    eventually("it waits", || bench.control.webhooks().waiting == 1);
    bench.send_on(vec![Job::Webhook(WebhookJob::Cancel { number: 1 })]);
    bench.wait_for(WebhookResult::Cancelled, 1);
    bench.wait_for_rest();
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn one_request_serves_all_callers_that_want_the_same() {
    let server = AppServer::new(&[Never]);
    let mut bench = Bench::new(LONG);
    for _ in 0..10 {
        bench.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    }
    let marker = AppServer::new(&[status(200)]);
    bench.start("alice", "marker", &marker.url(), RetryPolicy::TwoAttempts);
    marker.wait_for(1);
    server.wait_for(1);
    assert_eq!(server.asked().len(), 1);
    // The answer to the marker may still be on its way.
    eventually("one is under way", || {
        bench.control.webhooks().in_flight == 1
    });
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn ten_thousand_starts_of_a_dead_app_do_not_delay_another() {
    let (dead, well) = (AppServer::new(&[Never]), AppServer::new(&[status(200)]));
    let mut bench = Bench::new(LONG);
    let flood: Vec<Job> = (0..10_000)
        .map(|n| {
            let user = format!("user{n}");
            start(
                1_000_000 + n,
                &user,
                "dead",
                &dead.url(),
                RetryPolicy::UntilCancelled,
            )
        })
        .collect();
    let begun = Instant::now();
    bench.send_on(flood);
    for n in 0..20 {
        bench.start(
            &format!("user{n}"),
            "well",
            &well.url(),
            RetryPolicy::TwoAttempts,
        );
    }
    bench.wait_for(WebhookResult::Answered, 20);
    // No request to the dead server has returned yet, so no place has become free.
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    assert_eq!(bench.control.webhooks().in_flight, 16);
    assert_eq!(bench.control.webhooks().waiting, 9_984);
}

// ---- the state file ----

/// A folder for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pulsegate-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder");
        Folder(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let name = |e: std::io::Result<fs::DirEntry>| e.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|e| name(e).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn keeping(path: &Path) -> Bench {
    let started = load_state(path).expect("a state");
    let path = path.to_owned();
    Bench::with_state(LONG, Some(StateFile { path, started }))
}

fn remember(user: &str, package: &str) -> Job {
    Job::State(StateJob::Remember {
        user: user.into(),
        package: package.into(),
    })
}

fn forget(user: &str, package: &str) -> Job {
    Job::State(StateJob::Forget {
        user: user.into(),
        package: package.into(),
    })
}

fn started(users: &[(&str, &[&str])]) -> StartedApps {
    let packages = |p: &[&str]| p.iter().map(|p| (*p).into()).collect();
    users
        .iter()
        .map(|(u, p)| ((*u).into(), packages(p)))
        .collect()
}

#[test]
fn what_is_remembered_is_there_after_a_restart() {
    let folder = Folder::new("round");
    let odd = "zoë \"quoted\"\n\u{1}";
    {
        let bench = keeping(&folder.state());
        bench.send_on(vec![
            remember("bob", "q"),
            remember("bob", "p"),
            remember("bob", "p"),
            remember("alice", "p"),
            remember("alice", "q"),
            forget("alice", "p"),
            forget("alice", "never"),
            remember("gone", "p"),
            forget("gone", "p"),
            remember("left", "p"),
            remember("left", "q"),
            Job::State(StateJob::ForgetUser {
                user: "left".into(),
            }),
            Job::State(StateJob::ForgetUser {
                user: "none".into(),
            }),
            remember(odd, odd),
        ]);
        bench.flush();
        assert_eq!(bench.control.state_file().errors, 0);
        assert!(bench.control.state_file().written.is_some());
    }
    let all = started(&[("alice", &["q"]), ("bob", &["p", "q"]), (odd, &[odd])]);
    assert_eq!(load_state(&folder.state()).expect("a state"), all);
    let text = fs::read_to_string(folder.state()).expect("a file");
    assert!(
        text.starts_with(
            "{\"version\":1,\"started\":{\n\"alice\":[\"q\"],\n\"bob\":[\"p\",\"q\"],\n"
        ),
        "{text}"
    );
    let mode = fs::metadata(folder.state()).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_eq!(folder.names(), ["state.json"]);
    // And the next process continues from there.
    let bench = keeping(&folder.state());
    bench.send_on(vec![forget("bob", "p"), forget(odd, odd)]);
    bench.flush();
    let rest = started(&[("alice", &["q"]), ("bob", &["q"])]);
    assert_eq!(load_state(&folder.state()).expect("a state"), rest);
}

#[test]
fn it_is_written_without_being_asked_and_only_if_something_has_changed() {
    let folder = Folder::new("unasked");
    let bench = keeping(&folder.state());
    bench.flush();
    assert_eq!(folder.names(), [""; 0], "nothing has changed");
    bench.send_on(vec![remember("alice", "p")]);
    let expected = started(&[("alice", &["p"])]);
    eventually("the file", || folder.state().exists());
    assert_eq!(load_state(&folder.state()).expect("a state"), expected);
    bench.flush();
    fs::remove_file(folder.state()).expect("a file");
    bench.send_on(vec![remember("alice", "p"), forget("alice", "q")]);
    bench.flush();
    assert_eq!(folder.names(), [""; 0], "nothing has changed");
}

#[test]
fn an_app_that_an_edited_file_names_twice_is_one_app() {
    let folder = Folder::new("twice");
    let text = r#"{"version":1,"started":{"alice":["q","p","q"]}}"#;
    fs::write(folder.state(), text).expect("written");
    let expected = started(&[("alice", &["p", "q"])]);
    assert_eq!(load_state(&folder.state()).expect("a state"), expected);
}

/// A volume is often reached through a link to a folder elsewhere.
#[test]
fn a_link_stays_and_what_it_leads_to_is_written() {
    let (folder, volume) = (Folder::new("link"), Folder::new("volume"));
    let expected = started(&[("alice", &["p"])]);
    // Over two links, the second of which is relative; at first the file does not exist.
    symlink(volume.0.join("link.json"), folder.state()).expect("a link");
    symlink("state.json", volume.0.join("link.json")).expect("a link");
    let bench = keeping(&folder.state());
    bench.send_on(vec![remember("alice", "p")]);
    bench.flush();
    assert_eq!(load_state(&folder.state()).expect("a state"), expected);
    assert_eq!(load_state(&volume.state()).expect("a state"), expected);
    bench.send_on(vec![remember("bob", "p")]);
    bench.flush();
    assert_eq!(load_state(&volume.state()).expect("a state").len(), 2);
    assert!(folder.state().is_symlink() && volume.0.join("link.json").is_symlink());
    assert_eq!(folder.names(), ["state.json"]);
    assert_eq!(volume.names(), ["link.json", "state.json"]);
    // A file that cannot be parsed is moved aside, and the link is not.
    fs::write(volume.state(), "{").expect("written");
    assert_eq!(load_state(&folder.state()).expect("a state"), started(&[]));
    assert_eq!(volume.names(), ["link.json", "state.json.bad"]);
    assert!(folder.state().is_symlink());
    let circle = folder.0.join("circle");
    symlink("circle", &circle).expect("a link");
    load_state(&circle).expect_err("it leads nowhere");
}

#[test]
fn what_cannot_be_understood_is_moved_aside() {
    for (nth, text) in [
        "",
        "{",
        "[]",
        "\0\0\0\0",
        "{\"version\":2,\"started\":{}}",
        "{\"version\":1}",
        "{\"version\":1,\"started\":{\"alice\":\"p\"}}",
        "{\"version\":1,\"started\":{}} and more",
        "{\"version\":1,\"started\":{},\"more\":1}",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("bad-{nth}"));
        fs::write(folder.state(), text).expect("written");
        assert_eq!(load_state(&folder.state()).expect("a state"), started(&[]));
        assert_eq!(folder.names(), ["state.json.bad"], "{text}");
        let aside = fs::read_to_string(folder.0.join("state.json.bad")).expect("a file");
        assert_eq!(aside, text, "as it was");
        let bench = keeping(&folder.state());
        bench.send_on(vec![remember("alice", "p")]);
        bench.flush();
        let expected = started(&[("alice", &["p"])]);
        assert_eq!(load_state(&folder.state()).expect("a state"), expected);
    }
}

#[test]
fn what_was_moved_aside_before_is_kept_and_only_the_last_of_ten_is_not() {
    let folder = Folder::new("bad-again");
    for nth in 0..12 {
        fs::write(folder.state(), format!("{nth}")).expect("written");
        assert_eq!(load_state(&folder.state()).expect("a state"), started(&[]));
    }
    let mut names = vec!["state.json.bad".to_owned()];
    names.extend((1..10).map(|n| format!("state.json.bad.{n}")));
    assert_eq!(folder.names(), names);
    for (nth, name) in names.iter().enumerate() {
        let text = fs::read_to_string(folder.0.join(name)).expect("a file");
        assert_eq!(
            text,
            if nth == 9 {
                "11".to_owned()
            } else {
                nth.to_string()
            }
        );
    }
}

#[test]
fn what_is_too_large_is_moved_aside_unread() {
    let folder = Folder::new("large");
    let file = fs::File::create(folder.state()).expect("a file");
    file.set_len(64 * 1024 * 1024 + 1).expect("sparse");
    assert_eq!(load_state(&folder.state()).expect("a state"), started(&[]));
    assert_eq!(folder.names(), ["state.json.bad"]);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error_at_the_start() {
    let folder = Folder::new("unwritable");
    fs::write(folder.0.join("file"), "").expect("written");
    for path in ["missing/state.json", "file/state.json"] {
        let path = folder.0.join(path);
        assert!(load_state(&path).is_err(), "{}", path.display());
    }
    let path = folder.0.join("folder");
    fs::create_dir(&path).expect("a folder");
    assert!(load_state(&path).is_err(), "it is a folder itself");
}

#[test]
fn a_crash_in_the_middle_of_writing_loses_nothing() {
    let folder = Folder::new("crash");
    {
        let bench = keeping(&folder.state());
        bench.send_on(vec![remember("alice", "p")]);
        bench.flush();
    }
    let whole = fs::read(folder.state()).expect("a file");
    let unfinished = folder.0.join("state.json.0123456789abcdef.new");
    let expected = started(&[("alice", &["p"])]);
    let old = std::time::SystemTime::now() - Duration::from_secs(3_600);
    // At every length that it can have had.
    for len in 0..=whole.len() {
        fs::write(&unfinished, &whole[..len]).expect("written");
        assert_eq!(load_state(&folder.state()).expect("a state"), expected);
        // Another process may be writing it.
        assert!(unfinished.exists());
        let file = fs::File::open(&unfinished).expect("a file");
        file.set_modified(old).expect("older");
        assert_eq!(load_state(&folder.state()).expect("a state"), expected);
        assert_eq!(folder.names(), ["state.json"]);
    }
}

#[test]
fn two_processes_with_one_file_do_not_tear_it() {
    let folder = Folder::new("two");
    // Of different lengths, so that a mixture would not be complete.
    let benches = ["short", &"long".repeat(500)].map(|name| {
        let bench = keeping(&folder.state());
        (name.to_owned(), bench)
    });
    std::thread::scope(|scope| {
        for (name, bench) in &benches {
            let state = folder.state();
            scope.spawn(move || {
                for n in 0..50 {
                    bench.send_on(vec![remember(name, &format!("{name}{n}"))]);
                    bench.flush();
                    let text = fs::read(&state).expect("always there");
                    serde_json::from_slice::<Value>(&text).expect("always whole");
                }
            });
        }
    });
    assert!(
        benches
            .iter()
            .all(|(_, b)| b.control.state_file().errors == 0)
    );
    assert_eq!(folder.names(), ["state.json"]);
}

#[test]
fn a_reader_sees_a_whole_file_while_it_is_written() {
    let folder = Folder::new("whole");
    let bench = keeping(&folder.state());
    // Several slices, and more bytes than one write.
    let many = 5_000;
    bench.send_on(
        (0..many)
            .map(|n| remember(&format!("user{n:05}"), "p"))
            .collect(),
    );
    bench.flush();
    let stop = Arc::new(AtomicBool::new(false));
    let (path, stopped) = (folder.state(), stop.clone());
    let looking = std::thread::spawn(move || {
        let mut looks = 0;
        while !stopped.load(Ordering::Relaxed) {
            let text = fs::read(&path).expect("always there");
            let state: Value = serde_json::from_slice(&text).expect("always whole");
            let users = state["started"].as_object().expect("users").len();
            assert!(users >= many, "{users}");
            looks += 1;
        }
        looks
    });
    for n in 0..30 {
        bench.send_on(vec![remember(&format!("more{n}"), "p")]);
        bench.flush();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(looking.join().expect("whole every time") > 0);
    let state = load_state(&folder.state()).expect("a state");
    assert_eq!(state.len(), many + 30);
}

#[test]
fn a_disk_that_fails_is_counted_and_tried_again() {
    let folder = Folder::new("fails");
    let inner = folder.0.join("inner");
    fs::create_dir(&inner).expect("a folder");
    let path = inner.join("state.json");
    let bench = keeping(&path);
    fs::remove_dir(&inner).expect("empty");
    bench.send_on(vec![remember("alice", "p")]);
    bench.control.flush(PATIENCE).expect_err("no folder");
    let stats = bench.control.state_file();
    assert!(stats.errors >= 1 && stats.written.is_none(), "{stats:?}");
    fs::create_dir(&inner).expect("a folder");
    eventually("it is tried again", || path.exists());
    let expected = started(&[("alice", &["p"])]);
    assert_eq!(load_state(&path).expect("a state"), expected);
}
