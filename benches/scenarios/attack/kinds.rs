//! The attacks: how many connections, and what each does.

use crate::updates::{largest_subscriptions, many_entries};
use pulsegate::wire::frame::{FIN, Header, TEXT, write_frame};
use std::net::SocketAddr;
use std::rc::Rc;

/// The names of all attacks on the command line.
pub const NAMES: [&str; 19] = [
    "first_message",
    "first_message_64m",
    "fanout_10",
    "fanout_50",
    "fanout_200",
    "pings",
    "one_byte_frames",
    "empty_fragments",
    "updates_64k",
    "updates_1m",
    "half_open",
    "handshakes",
    "header_only",
    "header_only_strangers",
    "header_only_reused",
    "admin_sessions",
    "admin_sessions_many",
    // For comparison.
    "none",
    "admin_sessions_idle",
];

/// One step of a connection.
#[derive(Clone)]
pub enum Step {
    /// Write these bytes as fast as possible.
    Write(Rc<[u8]>),
    /// Write these bytes, one in each pass over all connections.
    Drip(Rc<[u8]>),
    /// Wait for the end of a response's head.
    AwaitHead,
    /// Jump back to this step.
    Repeat(usize),
    /// Read until the server closes.
    Stay,
    /// Close and start again.
    Close,
}

/// Connections that do the same.
pub struct Group {
    /// The script of each connection.
    pub scripts: Vec<Vec<Step>>,
    /// The address to connect to, if it is not the gateway's.
    pub addr: Option<SocketAddr>,
    /// Whether a closed connection reconnects.
    pub reconnect: bool,
}

/// Groups in the order in which they connect; each begins after all earlier connections have
/// completed their handshakes.
pub struct Plan {
    pub groups: Vec<Group>,
    /// The limit of connection attempts.
    pub budget: u64,
}

/// Returns the attack with this name.
///
/// # Errors
/// If there is none, or if it needs an address that is not given.
pub fn plan(name: &str, admin: Option<SocketAddr>) -> Result<Plan, String> {
    let groups = match name {
        "none" => Vec::new(),
        "first_message" => {
            let update = frame(0x81, many_entries(1 << 20).as_bytes());
            vec![same(150, message("/app-ws", update))]
        }
        "first_message_64m" => {
            let update = frame(0x81, many_entries(64 << 20).as_bytes());
            vec![same(1, message("/app-ws", update))]
        }
        "fanout_10" => fanout(10),
        "fanout_50" => fanout(50),
        "fanout_200" => fanout(200),
        "pings" => flood(4, "pings", &frame(0x89, b"")),
        "one_byte_frames" => flood(4, "frames", &frame(0x82, b"x")),
        "empty_fragments" => {
            let mut scripts = Vec::new();
            for n in 0..4 {
                let mut script = upgraded(&format!("/glasses-ws?user=fragments-{n}"));
                script.push(Step::Write(frame(0x01, b"").into()));
                script.push(Step::Write(times(&frame(0x00, b""), 64 << 10)));
                script.push(Step::Repeat(3));
                scripts.push(script);
            }
            vec![group(scripts)]
        }
        "updates_64k" => updates(&largest_subscriptions()),
        "updates_1m" => updates(&many_entries(1 << 20)),
        "half_open" => {
            let head = format!(
                "GET /glasses-ws HTTP/1.1\r\nHost: x\r\nX: {}",
                "x".repeat(4_000)
            );
            vec![same(
                4_000,
                vec![Step::Drip(head.into_bytes().into()), Step::Stay],
            )]
        }
        "handshakes" => {
            let mut script = upgraded("/glasses-ws");
            script.push(Step::Close);
            vec![same(256, script)]
        }
        "header_only" => {
            let scripts = (0..1_200).map(|n| {
                let path = format!("/glasses-ws?user=header-{n}");
                message(&path, header(1 << 20))
            });
            vec![group(scripts.collect())]
        }
        "header_only_strangers" => vec![same(1_200, message("/app-ws", header(1 << 20)))],
        // Each begins with a whole message, so that the allocator holds used memory.
        "header_only_reused" => {
            let whole: Rc<[u8]> = frame(0x82, &vec![0; 800_000]).into();
            let scripts = (0..1_200).map(|n| {
                let mut script = message(&format!("/glasses-ws?user=header-{n}"), header(1 << 20));
                script.insert(2, Step::Write(whole.clone()));
                script
            });
            vec![group(scripts.collect())]
        }
        "admin_sessions" => {
            let admin = admin.ok_or("ADMIN_ADDR is missing")?;
            vec![apps("victim", 1_000, None), sessions(admin, 8)]
        }
        "admin_sessions_many" => {
            let admin = admin.ok_or("ADMIN_ADDR is missing")?;
            let mut groups: Vec<_> = (0..10)
                .map(|n| apps(&format!("victim-{n}"), 1_000, None))
                .collect();
            groups.push(sessions(admin, 8));
            groups
        }
        "admin_sessions_idle" => {
            let admin = admin.ok_or("ADMIN_ADDR is missing")?;
            vec![sessions(admin, 8)]
        }
        other => return Err(format!("no such attack: {other}")),
    };
    Ok(Plan {
        groups,
        budget: 400_000,
    })
}

/// Checks that every plan can be created.
pub fn check() {
    let admin = Some(([127, 0, 0, 1], 1).into());
    for name in NAMES {
        assert!(plan(name, admin).is_ok(), "{name}");
    }
    assert!(many_entries(1 << 20).len() <= 1 << 20);
    assert!((60 << 10..68 << 10).contains(&largest_subscriptions().len()));
}

fn group(scripts: Vec<Vec<Step>>) -> Group {
    Group {
        scripts,
        addr: None,
        reconnect: true,
    }
}

fn same(connections: usize, script: Vec<Step>) -> Group {
    group(vec![script; connections])
}

/// Sends the same tiny frame without end, from this many glasses.
fn flood(connections: usize, name: &str, one: &[u8]) -> Vec<Group> {
    let bytes = times(one, 64 << 10);
    let scripts = (0..connections).map(|n| {
        let mut script = upgraded(&format!("/glasses-ws?user={name}-{n}"));
        script.push(Step::Write(bytes.clone()));
        script.push(Step::Repeat(2));
        script
    });
    vec![group(scripts.collect())]
}

/// Connects one user's apps, then the user's glasses, which send 15 000 tiny frames at once, again
/// and again.
fn fanout(count: usize) -> Vec<Group> {
    let tiny = frame(0x81, br#"{"type":"a"}"#);
    let mut glasses = upgraded("/glasses-ws?user=victim");
    glasses.push(Step::Write(times(&tiny, 15_000 * tiny.len())));
    glasses.push(Step::Repeat(2));
    let all = r#"{"type":"subscription_update","subscriptions":["*"]}"#;
    vec![apps("victim", count, Some(all)), same(1, glasses)]
}

/// Connects apps of a user, each of which sends this text once.
fn apps(user: &str, count: usize, words: Option<&str>) -> Group {
    let words: Option<Rc<[u8]>> = words.map(|w| frame(0x81, w.as_bytes()).into());
    let scripts = (0..count).map(|n| {
        let mut script = upgraded(&format!("/app-ws?user={user}&package=com.example.app{n}"));
        script.extend(words.clone().map(Step::Write));
        script.push(Step::Stay);
        script
    });
    group(scripts.collect())
}

/// Connects four apps, each of which sends this subscription update in a loop.
fn updates(text: &str) -> Vec<Group> {
    let update: Rc<[u8]> = frame(0x81, text.as_bytes()).into();
    let scripts = (0..4).map(|n| {
        let path = format!("/app-ws?user=updates-{n}&package=com.example.app");
        let mut script = upgraded(&path);
        script.push(Step::Write(update.clone()));
        script.push(Step::Repeat(2));
        script
    });
    vec![group(scripts.collect())]
}

/// Requests the longest page of sessions, each time on a new connection.
fn sessions(admin: SocketAddr, parallel: usize) -> Group {
    let request = format!(
        "GET /api/v1/sessions?limit=1000 HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
    );
    let script = vec![Step::Write(request.into_bytes().into()), Step::Stay];
    Group {
        addr: Some(admin),
        ..same(parallel, script)
    }
}

/// A connection that upgrades, sends this once, and stays.
fn message(path: &str, bytes: Vec<u8>) -> Vec<Step> {
    let mut script = upgraded(path);
    script.push(Step::Write(bytes.into()));
    script.push(Step::Stay);
    script
}

fn upgraded(path: &str) -> Vec<Step> {
    vec![
        Step::Write(upgrade(path).into_bytes().into()),
        Step::AwaitHead,
    ]
}

pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn times(one: &[u8], bytes: usize) -> Rc<[u8]> {
    one.repeat(bytes / one.len()).into()
}

/// Returns the header of a masked text frame without payload. The mask is zero, so payload after it
/// is plain.
fn header(payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Header::new(FIN | TEXT, payload as u64, Some([0; 4])).write(&mut bytes);
    bytes
}

/// Returns a masked frame; the mask is zero.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, first, payload, Some([0; 4]));
    bytes
}
