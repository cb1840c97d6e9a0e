//! The most expensive single steps of the engine over the inputs of attacks, counted by callgrind,
//! with the gateway as the host. The steps are: one frame or 64 KiB of a large one, one step of the
//! work that a frame has left, and one flush. See `benches/micro/step.py`, which counts, and
//! `benches/micro/gates.sh`.
//!
//! The loop checks its budget between steps, so a step cannot be divided: every other connection
//! waits at least for one step. Without callgrind the program only runs.

mod updates;

use pulsegate::engine::{Engine, ReadAction};
use pulsegate::gateway::{
    Credentials, Gateway, GatewayOptions, ProxyProtocol, RELAY_CLASSES, RelaySettings, ReportMode,
};
use pulsegate::testing::{client_frame, upgrade_request};
use pulsegate::{ClassConfig, Config, ConnId, Micros, Policy};
use std::cell::Cell;
use std::io::IoSlice;
use updates::{largest_list, largest_subscriptions, many_entries};

/// The bytes delivered at once: what the loop takes of a large frame in one step.
const READ: usize = 8 * 1024;

/// Apps of the user; all of them receive the frames of the glasses.
const APPS: usize = 200;

thread_local! {
    /// Calls of each step so far: of `on_bytes`, `on_leftover` and `flush`.
    static CALLS: [Cell<usize>; 3] = const { [const { Cell::new(0) }; 3] };
}

fn count(step: usize) {
    CALLS.with(|calls| calls[step].set(calls[step].get() + 1));
}

fn main() {
    // All inputs, or those that are named.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|n| n == name);
    for (name, run) in INPUTS.into_iter().filter(|(name, _)| wanted(name)) {
        run();
        // The number of calls of each step up to here: see `benches/micro/step.py`.
        let [reads, rests, flushes] = CALLS.with(|calls| [0, 1, 2].map(|nth| calls[nth].get()));
        println!("input {name} on_bytes {reads} on_leftover {rests} flush {flushes}");
    }
}

const INPUTS: [(&str, fn()); 21] = [
    ("first_message", || {
        first_message(1 << 20, Config::default())
    }),
    ("first_message_large", || {
        // As with MAX_MESSAGE_BYTES at 64 MiB; 4 MiB are enough to show a cost that grows with the
        // size.
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
        several(&mut net, glasses, &tiny);
    }),
    ("fanout_large", || {
        let (mut net, glasses) = session(r#"["audio_chunk"]"#);
        feed(&mut net, glasses, &client_frame(0x82, &vec![7; 900_000]));
    }),
    ("fanout_unwanted", || {
        // The largest sets of the longest names, which differ only at their ends. No app wants the
        // frame, and the search for one takes longest.
        let (mut net, glasses) = session(&largest_list());
        let kind = format!(r#"{{"type":"{}"}}"#, "x".repeat(256));
        several(&mut net, glasses, &client_frame(0x81, kind.as_bytes()));
    }),
    ("text_1m", || {
        let (mut net, glasses) = session(r#"["*"]"#);
        let text = format!(r#"{{"type":"a","x":[{}]}}"#, vec!["1"; 500_000].join(","));
        feed(&mut net, glasses, &client_frame(0x81, text.as_bytes()));
    }),
    ("text_of_an_app_1m", || {
        let (mut net, _) = session(r#"["*"]"#);
        let app = net.last.expect("an app");
        let text = format!(
            r#"{{"type":"a","x":[{}]}}"#,
            vec![r#""é""#; 110_000].join(",")
        );
        feed(&mut net, app, &client_frame(0x81, text.as_bytes()));
    }),
    ("fragments_1m", || {
        let (mut net, glasses) = session(r#"["*"]"#);
        feed(
            &mut net,
            glasses,
            &client_frame(0x01, br#"{"type":"a","x":""#),
        );
        feed(
            &mut net,
            glasses,
            &client_frame(0x00, "é".repeat(500_000).as_bytes()),
        );
        feed(&mut net, glasses, &client_frame(0x80, br#""}"#));
    }),
    ("updates_in_escapes", || {
        let list = largest_list().replace(
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            r"\u0078\u0078\u0078\u0078\u0078",
        );
        update(&format!(
            r#"{{"type":"subscription_update","subscriptions":{list}}}"#
        ));
    }),
    ("spaces_1m", || {
        let (mut net, glasses) = glasses();
        let text = format!("{}x", " ".repeat(1_000_000));
        feed(&mut net, glasses, &client_frame(0x81, text.as_bytes()));
    }),
    ("dense_fields", || {
        let (mut net, glasses) = session(r#"["*"]"#);
        let app = net.last.expect("an app");
        let ones = vec!["1"; 40_000].join(",");
        let pad = "x".repeat(9_000);
        let type_first = r#""type":"subscription_update","subscriptions""#;
        for (id, fields) in [
            (
                glasses,
                format!(r#""type":"start_app","packageName":"p","apiKey":[{ones}]"#),
            ),
            (
                glasses,
                format!(r#""type":"start_app","packageName":"p","subscriptions":[{ones}]"#),
            ),
            (glasses, r#""apiKey":1,"#.repeat(7_000) + r#""type":"a""#),
            (
                glasses,
                r#""\u0061\u0070\u0069\u004b\u0065\u0079":1,"#.repeat(1_800) + r#""type":"a""#,
            ),
            (
                app,
                format!(r#"{type_first}:[{{"stream":"a","x":[{ones}]}}]"#),
            ),
            (
                app,
                format!(
                    r#""subscriptions":[{{"stream":"a","x":[{ones}]}}],"type":"subscription_update""#
                ),
            ),
        ] {
            let text = format!(r#"{{{fields},"z":"{pad}"}}"#);
            feed(&mut net, id, &client_frame(0x81, text.as_bytes()));
        }
    }),
    ("dense_small", || {
        let (mut net, glasses) = session(r#"["*"]"#);
        let app = net.last.expect("an app");
        let ones = vec!["1"; 1_000].join(",");
        let texts = [
            (
                glasses,
                format!(
                    r#"{{"type":"start_app","packageName":"p","x":[{}]}}"#,
                    &ones[..1_985]
                ),
            ),
            (
                app,
                format!(
                    r#"{{"subscriptions":[{{"stream":"a","x":[{}]}}],"type":"subscription_update"}}"#,
                    &ones[..1_961]
                ),
            ),
            (app, format!(r#"{{"type":"a"{}}}"#, r#","":1"#.repeat(405))),
        ];
        for (id, text) in texts {
            feed(&mut net, id, &client_frame(0x81, text.as_bytes()));
        }
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
        several(&mut net, glasses, &client_frame(0x00, b""));
    }),
    ("updates_64k", || update(&largest_subscriptions())),
    ("updates_1m", || update(&many_entries(1 << 20))),
    ("heads", || {
        let mut net = net(Config::default());
        let peer = net.accept();
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
    several(&mut net, glasses, frame);
}

/// A step: delivers bytes that were read.
#[inline(never)]
fn on_bytes(engine: &mut Engine<Gateway>, id: ConnId, bytes: &[u8]) {
    count(0);
    engine.on_bytes(id, bytes, Micros::ZERO);
}

/// A step: continues the work that was left.
#[inline(never)]
fn on_leftover(engine: &mut Engine<Gateway>, id: ConnId) {
    count(1);
    engine.on_leftover(id, Micros::ZERO);
}

/// A step: flushes one connection to a socket that takes everything.
#[inline(never)]
fn flush(engine: &mut Engine<Gateway>, id: ConnId) {
    count(2);
    let mut socket = |slices: &[IoSlice<'_>]| Ok(slices.iter().map(|s| s.len()).sum());
    engine.flush(id, Micros::ZERO, &mut socket);
}

/// A loop without sockets.
struct Loop {
    engine: Engine<Gateway>,
    /// The connection that was opened last.
    last: Option<ConnId>,
    dirty: Vec<ConnId>,
}

impl Loop {
    fn accept(&mut self) -> ConnId {
        let addr = ([127, 0, 0, 1], 1).into();
        self.engine.accept(addr, false, Micros::ZERO)
    }

    fn connect(&mut self, path: &str) -> ConnId {
        let id = self.accept();
        feed(self, id, upgrade_request(path).as_bytes());
        self.last = Some(id);
        id
    }

    /// Finishes the turn after a read, until nothing is left.
    fn settle(&mut self) {
        loop {
            self.engine.take_commands(Micros::ZERO);
            self.engine.advance(Micros::ZERO);
            self.engine.take_dirty(&mut self.dirty);
            for id in self.dirty.drain(..) {
                flush(&mut self.engine, id);
            }
            self.engine.reap(Micros::ZERO, &mut |_, _| {});
            self.engine.take_ready(&mut Vec::new());
            if self.engine.sleep_time(Micros::ZERO) != Some(Micros::ZERO) {
                break;
            }
        }
    }
}

/// Delivers bytes like the reactor: a turn for each read and for each share that it costs, until
/// all is done.
fn feed(net: &mut Loop, id: ConnId, bytes: &[u8]) {
    let mut chunks = bytes.chunks(READ);
    loop {
        match net.engine.read_action(id, Micros::ZERO) {
            ReadAction::Read(_) => {
                let Some(chunk) = chunks.next() else {
                    return;
                };
                on_bytes(&mut net.engine, id, chunk);
                net.settle();
            }
            ReadAction::Leftover => on_leftover(&mut net.engine, id),
            ReadAction::NextTurn => net.settle(),
            ReadAction::Paused | ReadAction::Ended => return,
        }
    }
}

/// Sends the same frame several times, each in its own read.
fn several(net: &mut Loop, id: ConnId, frame: &[u8]) {
    for _ in 0..20 {
        feed(net, id, frame);
    }
}

fn glasses() -> (Loop, ConnId) {
    let mut net = net(Config::default());
    let glasses = net.connect("/glasses-ws?user=ada");
    (net, glasses)
}

/// Returns glasses and apps that have these subscriptions.
fn session(subscriptions: &str) -> (Loop, ConnId) {
    let (mut net, glasses) = glasses();
    for n in 0..APPS {
        let app = net.connect(&format!("/app-ws?user=ada&package=com.example.app{n}"));
        let update = format!(r#"{{"type":"subscription_update","subscriptions":{subscriptions}}}"#);
        feed(&mut net, app, &client_frame(0x81, update.as_bytes()));
    }
    (net, glasses)
}

fn net(config: Config) -> Loop {
    let classes = RELAY_CLASSES.map(|info| ClassConfig {
        name: info.name.to_owned(),
        policy: Policy {
            first_message_bytes: (info.name == RELAY_CLASSES[1].name).then_some(4 * 1024),
            ..Policy::default()
        },
    });
    let config = Config {
        classes: classes.to_vec(),
        ..config
    };
    let gateway = Gateway::new(GatewayOptions {
        stats_interval: Micros::from_secs(86_400),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 1_000,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        client_reports: ReportMode::Off,
        restored: Vec::new(),
        health_path: "/healthz".into(),
        serves_relay: true,
        bridge: None,
        products: Vec::new(),
    });
    let engine = Engine::new(config, gateway, Box::new(|| {})).expect("a valid configuration");
    Loop {
        engine,
        last: None,
        dirty: Vec::new(),
    }
}
