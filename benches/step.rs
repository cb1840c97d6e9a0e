//! The dearest single step of the engine over the inputs of attacks, to be counted by callgrind: what one call of `on_bytes`
//! or of `flush` costs with the gateway as the host, for each read of 64 KiB that an attacker can make. See
//! `benches/step.py`, which counts, and `benches/gates.sh`.
//!
//! A step cannot be interrupted, so its cost is what everybody else waits for at least. Without callgrind it only runs.

use pulsegate::engine::testing::{Net, PeerId, client_frame};
use pulsegate::gateway::{
    CLASS_NAMES, Credentials, Gateway, Options, ProxyProtocol, RelaySettings,
};
use pulsegate::{ClassConfig, Config, Message, Micros, Policy};
use std::hint::black_box;

/// What the reactor reads at once.
const READ: usize = 64 * 1024;

/// Apps of the user whose glasses are heard by all of them.
const APPS: usize = 200;

fn main() {
    // What is not ours is cargo's or criterion's.
    // Here the input begins whose name was printed last: see `benches/step.py`.
    for (name, run) in INPUTS {
        println!("input {name}");
        mark();
        run();
    }
    mark();
}

/// Callgrind is told to end a dump where this is called.
#[inline(never)]
fn mark() {
    black_box(());
}

const INPUTS: [(&str, fn()); 13] = [
    ("first_message", || {
        first_message(1 << 20, Config::default())
    }),
    ("first_message_large", || {
        // As with MAX_MESSAGE_BYTES at 64 MiB; 4 MiB are enough to show a cost that grows with them.
        let config = Config {
            max_message_bytes: 64 << 20,
            max_pending_bytes: 128 << 20,
            ..Config::default()
        };
        first_message(4 << 20, config);
    }),
    ("fanout", || {
        let (mut net, glasses) = session(r#"["*"]"#);
        let tiny = client_frame(0x81, br#"{"type":"a"}"#);
        feed(&mut net, glasses, &filled(&tiny));
    }),
    ("fanout_large", || {
        let (mut net, glasses) = session(r#"["audio_chunk"]"#);
        feed(&mut net, glasses, &client_frame(0x82, &vec![7; 900_000]));
    }),
    ("pings", || flood(&client_frame(0x89, b""))),
    ("pongs", || flood(&client_frame(0x8A, b""))),
    ("one_byte_frames", || flood(&client_frame(0x82, b"x"))),
    ("json_pings", || {
        flood(&client_frame(0x81, br#"{"type":"ping"}"#));
    }),
    ("empty_fragments", || {
        let (mut net, glasses) = glasses();
        feed(&mut net, glasses, &client_frame(0x01, b""));
        feed(&mut net, glasses, &filled(&client_frame(0x00, b"")));
    }),
    ("updates_64k", || update(&largest_subscriptions())),
    ("updates_1m", || update(&many_entries(1 << 20))),
    ("heads", || {
        let mut net = net(Config::default());
        let peer = net.open_socket();
        feed(&mut net, peer, b"GET /glasses-ws HTTP/1.1\r\n");
        for _ in 0..8 {
            feed(&mut net, peer, "X: y\r\n".repeat(128).as_bytes());
        }
        net.connect("/glasses-ws?user=ada");
    }),
    ("header_only", || {
        let (mut net, glasses) = glasses();
        let whole = client_frame(0x82, &vec![7; 1 << 20]);
        feed(&mut net, glasses, &whole[..14]);
    }),
];

fn first_message(bytes: usize, config: Config) {
    let mut net = net(config);
    let stranger = net.connect("/app-ws");
    let update = client_frame(0x81, many_entries(bytes).as_bytes());
    feed(&mut net, stranger, &update);
}

fn update(text: &str) {
    let mut net = net(Config::default());
    let app = net.connect("/app-ws?user=ada&package=com.example.app");
    feed(&mut net, app, &client_frame(0x81, text.as_bytes()));
    feed(&mut net, app, &client_frame(0x81, text.as_bytes()));
}

fn flood(frame: &[u8]) {
    let (mut net, glasses) = glasses();
    feed(&mut net, glasses, &filled(frame));
}

/// As the reactor hands in what it has read, until nothing happens any more.
fn feed(net: &mut Net<Gateway>, peer: PeerId, bytes: &[u8]) {
    for chunk in bytes.chunks(READ) {
        net.write(peer, chunk);
    }
    net.settle();
}

/// As many of a frame as one read holds.
fn filled(frame: &[u8]) -> Vec<u8> {
    frame.repeat(READ / frame.len())
}

fn glasses() -> (Net<Gateway>, PeerId) {
    let mut net = net(Config::default());
    let glasses = net.connect("/glasses-ws?user=ada");
    (net, glasses)
}

/// Glasses and apps that have subscribed to these.
fn session(subscriptions: &str) -> (Net<Gateway>, PeerId) {
    let (mut net, glasses) = glasses();
    for n in 0..APPS {
        let app = net.connect(&format!("/app-ws?user=ada&package=com.example.app{n}"));
        let update = format!(r#"{{"type":"subscription_update","subscriptions":{subscriptions}}}"#);
        net.send(app, Message::text(update));
    }
    net.settle();
    (net, glasses)
}

fn net(config: Config) -> Net<Gateway> {
    let classes = CLASS_NAMES.map(|name| ClassConfig {
        name: name.to_owned(),
        policy: Policy::default(),
    });
    let config = Config {
        classes: classes.to_vec(),
        ..config
    };
    let gateway = Gateway::new(Options {
        stats_interval: Micros::from_secs(86_400),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 1_000,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        restored: Vec::new(),
    });
    Net::new(config, gateway)
}

/// A `subscription_update` of at most so many bytes, with as many entries as fit.
fn many_entries(most: usize) -> String {
    const ENTRY: &str = r#"{"stream":""}"#;
    let (begin, end) = (r#"{"type":"subscription_update","subscriptions":["#, "]}");
    let entries = (most - begin.len() - end.len() + 1) / (ENTRY.len() + 1);
    format!("{begin}{}{end}", vec![ENTRY; entries].join(","))
}

/// A valid `subscription_update` with the most and the longest entries. They differ at their ends.
fn largest_subscriptions() -> String {
    let entries: Vec<_> = (0..256)
        .map(|n| format!(r#""{}{n:04}""#, "x".repeat(252)))
        .collect();
    let entries = entries.join(",");
    format!(r#"{{"type":"subscription_update","subscriptions":[{entries}]}}"#)
}
