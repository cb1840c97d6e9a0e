//! Reports of clients over real sockets: joined with the gateway's records of the same client.

use super::legs::Bridge;
use crate::sockets::{Client, Event, Gateway, Server, eventually, field};
use pulsegate::client::{ClientEvent, ClientOptions, PulseSocket};
use pulsegate::http::HeaderValue;
use pulsegate::{Class, Dial, DialAddress, DialRequest, Message};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A path between a client and the gateway that can be cut.
struct Path {
    addr: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Path {
    fn to(gateway: SocketAddr) -> Path {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let streams = Arc::new(Mutex::new(Vec::new()));
        let kept = streams.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(gateway) = TcpStream::connect(gateway) else {
                    return;
                };
                let copy = |stream: &TcpStream| stream.try_clone().expect("a socket");
                // Known before the first byte passes, so that a cut finds them.
                let both = [copy(&client), copy(&gateway)];
                kept.lock().expect("no panic").extend(both);
                for (from, to) in [(&client, &gateway), (&gateway, &client)] {
                    let (from, to) = (copy(from), copy(to));
                    thread::spawn(move || pump(from, to));
                }
            }
        });
        Path { addr, streams }
    }

    /// Ends all connections on the path.
    fn cut(&self) {
        for stream in self.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Opens the Rust client on this path of the URL.
fn rust_client(path: &Path, target: &'static str) -> PulseSocket {
    let addr = path.addr;
    let dial = move |_: &_| -> io::Result<Dial> {
        let request = DialRequest::new(target, HeaderValue::from_static("gateway"));
        Ok(Dial::new(DialAddress::Tcp(addr), request, Class(0)))
    };
    PulseSocket::open(ClientOptions::default(), dial).expect("descriptors")
}

/// Waits until the client has a session, new or resumed.
#[track_caller]
fn joined(socket: &mut PulseSocket) {
    loop {
        match socket.next_event(Some(PATIENCE)).expect("a loop") {
            Some(ClientEvent::Opened | ClientEvent::Resumed { .. }) => return,
            Some(_) => {}
            None => panic!("no session"),
        }
    }
}

/// Waits for a record of this class with a verdict of both sides, and turns the loop of a Rust
/// client meanwhile: the report follows the hello.
#[track_caller]
fn joined_record(gateway: &Gateway, mut socket: Option<&mut PulseSocket>, class: &str) -> Value {
    eventually("a record with the report of its client", || {
        if let Some(socket) = &mut socket {
            let turn = socket.next_event(Some(Duration::from_millis(20)));
            turn.expect("a loop");
        }
        let list = gateway.api(&format!("/api/v1/closed?class={class}"));
        let records = list["closed"].as_array().expect("a list");
        records.iter().find(|r| r["evidence"] == "both").cloned()
    })
}

/// Waits until the client loses its connection and comes back.
#[track_caller]
fn lose(path: &Path, socket: &mut PulseSocket) {
    path.cut();
    joined(socket);
}

#[test]
fn the_rust_client_reports_a_loss_to_the_bridge() {
    let bridge = Bridge::start(&[("PULSE", "1")]);
    let path = Path::to(bridge.gateway.addr);
    let mut socket = rust_client(&path, "/?pulse=1");
    let mut service = thread::scope(|scope| {
        let service = scope.spawn(|| bridge.service.open());
        joined(&mut socket);
        service.join().expect("the service")
    });
    // A session is held once its client is known to have the hello.
    socket.send(Message::text("here")).expect("room");
    let turn = socket.next_event(Some(Duration::from_millis(20)));
    turn.expect("a loop");
    assert_eq!(service.next_answering(), Event::Text("here".to_owned()));
    lose(&path, &mut socket);
    let record = joined_record(&bridge.gateway, Some(&mut socket), "client");
    assert_eq!(record["client"]["runtime"], "rust", "{record}");
    assert_eq!(record["client"]["end"], "error", "{record}");
    assert_eq!(record["client"]["start"], "same", "{record}");
    assert_eq!(record["verdict"], "peer_left", "{record}");
    assert!(
        record["because"].as_str().expect("words").contains("EOF"),
        "{record}"
    );
    let outcomes = "pulsegate_client_reported_ends_total{outcome=\"joined\"} 1";
    assert!(
        bridge
            .gateway
            .metrics()
            .0
            .lines()
            .any(|line| line == outcomes)
    );
    drop(service);
}

#[test]
fn the_rust_client_reports_a_loss_to_the_relay() {
    let gateway = Gateway::start(&[("PULSE", "1"), ("DRAIN_MS", "0")]);
    let path = Path::to(gateway.addr);
    let mut socket = rust_client(&path, "/glasses-ws?user=ada&pulse=1");
    joined(&mut socket);
    lose(&path, &mut socket);
    let record = joined_record(&gateway, Some(&mut socket), "glasses");
    assert_eq!(record["user"], "ada", "{record}");
    assert_eq!(record["client"]["runtime"], "rust", "{record}");
    let metric = "pulsegate_client_reports_total{outcome=\"taken\"} 1";
    assert!(gateway.metrics().0.lines().any(|line| line == metric));
}

/// Opens a session, proves that its hello has arrived, and loses it. Returns its id.
#[track_caller]
fn lost(bridge: &Bridge, from: &str) -> (String, Server) {
    let (mut client, service, hello) = open_from(bridge, from);
    client.send_text("\u{1}{\"probe\":1}");
    client.next();
    drop(client);
    bridge.gateway.line(&["close class=client"]);
    let id = hello["conn"].as_str().expect("an id").to_owned();
    (id, service)
}

#[track_caller]
fn open_from(bridge: &Bridge, from: &str) -> (Client, Server, Value) {
    let mut client = bridge.ask("/?pulse=1", &format!("X-Forwarded-For: {from}\r\n"));
    let service = bridge.service.open();
    client.switched();
    let Event::Text(text) = client.next() else {
        panic!("no hello");
    };
    let json = text.strip_prefix('\u{1}').expect("a control frame");
    let frame: Value = serde_json::from_str(json).expect("JSON");
    (client, service, frame["hello"].clone())
}

/// Returns a report of a program that has started anew.
fn report(conn: &str) -> String {
    format!(
        "\u{1}{{\"report\":{{\"v\":1,\"rt\":\"browser\",\"lib\":\"0.1.0\",\"start\":\"new\",\
         \"ended\":[{{\"conn\":\"{conn}\",\"end\":\"error\",\"ended_ago\":5}}]}}}}"
    )
}

/// Sends a text on a connection, and waits until the gateway has read it.
#[track_caller]
fn say(client: &mut Client, text: &str) {
    client.send_text(text);
    client.send_text("\u{1}{\"probe\":2}");
    client.next();
}

/// Waits for a value of a metric.
#[track_caller]
fn assert_metric(bridge: &Bridge, line: &str) {
    eventually(line, || {
        let metrics = bridge.gateway.metrics();
        metrics.0.lines().any(|of| of == line).then_some(())
    });
}

fn proxied(more: &[(&'static str, &'static str)]) -> Bridge {
    let settings = [
        ("PULSE", "1"),
        ("HOLD_MS", "0"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    Bridge::start(&[&settings, more].concat())
}

const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

#[test]
fn a_report_corrects_the_line_and_the_record_of_its_own_client() {
    let bridge = proxied(&[]);
    let (id, _service) = lost(&bridge, HOME);
    let line = bridge.gateway.line(&["close class=client"]);
    assert_eq!(field(&line, "verdict"), Some("peer_left"), "{line}");
    // Another client cannot tell the story of this connection.
    let (mut foreign, _leg, _) = open_from(&bridge, ELSEWHERE);
    say(&mut foreign, &report(&id));
    assert_metric(
        &bridge,
        "pulsegate_client_reported_ends_total{outcome=\"foreign\"} 1",
    );
    assert_eq!(bridge.record("client")["evidence"], "gateway");
    let (mut own, _leg, _) = open_from(&bridge, HOME);
    say(&mut own, &report(&id));
    let record = joined_record(&bridge.gateway, None, "client");
    assert_eq!(record["verdict"], "app_killed", "{record}");
    assert_eq!(record["client"]["start"], "new", "{record}");
    let line = bridge.gateway.line(&["verdict id="]);
    let (_, conn) = id.split_once('.').expect("a boot id");
    for (key, value) in [
        ("id", conn),
        ("class", "client"),
        ("verdict", "app_killed"),
        ("before", "peer_left"),
        ("evidence", "both"),
    ] {
        assert_eq!(field(&line, key), Some(value), "{line}");
    }
    // It is counted once, with both sides.
    let of = |evidence: &str, verdict: &str| {
        let labels = format!("class=\"client\",verdict=\"{verdict}\",evidence=\"{evidence}\"");
        format!("pulsegate_disconnect_verdicts_total{{{labels}}}")
    };
    assert_metric(&bridge, &format!("{} 1", of("both", "app_killed")));
    assert_metric(&bridge, &format!("{} 0", of("gateway", "peer_left")));
    let by = |verdict: &str| {
        let list = bridge
            .gateway
            .api(&format!("/api/v1/closed?verdict={verdict}"));
        list["closed"].as_array().expect("a list").len()
    };
    assert_eq!((by("app_killed"), by("peer_left")), (1, 0));
    let verdicts = &bridge.gateway.api("/api/v1/verdicts")["verdicts"];
    assert_eq!(verdicts[0]["verdict"], "app_killed", "{verdicts}");
    assert_eq!(
        (&verdicts[0]["count"], &verdicts[0]["both"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        bridge
            .gateway
            .admin_request("GET", "/api/v1/closed?verdict=x", "", "")
            .status,
        400
    );
}

#[test]
fn off_promises_nothing_and_count_keeps_nothing() {
    let bridge = proxied(&[("CLIENT_REPORTS", "off")]);
    let (id, _service) = lost(&bridge, HOME);
    let (mut client, _leg, hello) = open_from(&bridge, HOME);
    assert_eq!(hello["report_bytes"], 0, "{hello}");
    say(&mut client, &report(&id));
    assert_metric(&bridge, "pulsegate_client_reports_total{outcome=\"off\"} 1");
    assert_eq!(bridge.record("client")["evidence"], "gateway");
    let bridge = proxied(&[("CLIENT_REPORTS", "count")]);
    let (id, _service) = lost(&bridge, HOME);
    let (mut client, _leg, hello) = open_from(&bridge, HOME);
    assert_eq!(hello["report_bytes"], 2_048, "{hello}");
    say(&mut client, &report(&id));
    let record = joined_record(&bridge.gateway, None, "client");
    assert_eq!(record["verdict"], "app_killed", "{record}");
    assert_eq!(record["client"], Value::Null, "{record}");
}

#[test]
fn what_is_no_report_costs_no_connection() {
    let bridge = proxied(&[]);
    let (id, _service) = lost(&bridge, HOME);
    // Malformed; then the first valid one comes too late.
    let (mut client, _leg, _) = open_from(&bridge, HOME);
    say(&mut client, "\u{1}{\"report\":{\"v\":\"one\"}}");
    for _ in 0..20 {
        say(&mut client, &report(&id));
    }
    // Too large by what it skips.
    let (mut large, _leg, _) = open_from(&bridge, HOME);
    let padding = format!("\"v\":1,\"x\":\"{}\"", "x".repeat(2_048));
    say(&mut large, &report(&id).replace("\"v\":1", &padding));
    assert_metric(
        &bridge,
        "pulsegate_client_reports_total{outcome=\"invalid\"} 2",
    );
    assert_metric(
        &bridge,
        "pulsegate_client_reports_total{outcome=\"repeated\"} 20",
    );
    assert_metric(
        &bridge,
        "pulsegate_client_reports_total{outcome=\"taken\"} 0",
    );
    assert_eq!(bridge.record("client")["evidence"], "gateway");
    // Of a connection of another run nothing is told.
    let (mut other, _leg, _) = open_from(&bridge, HOME);
    say(&mut other, &report("00000000.1.1"));
    assert_metric(
        &bridge,
        "pulsegate_client_reported_ends_total{outcome=\"elsewhere\"} 1",
    );
}

/// The line of a pair has the verdict of its client.
#[test]
fn a_pair_has_one_verdict() {
    let bridge = Bridge::start(&[]);
    let (client, leg) = bridge.pair();
    drop(leg);
    let line = bridge.gateway.line(&["pair "]);
    assert_eq!(field(&line, "verdict"), Some("upstream_lost"), "{line}");
    drop(client);
    assert_eq!(bridge.record("client")["verdict"], "upstream_lost");
    assert_eq!(bridge.record("upstream")["verdict"], Value::Null);
}
