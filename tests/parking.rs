//! A connection at rest owns no context, and a spare one serves its whole frames. Nobody must be able to tell: random
//! streams of frames, faults and cuts give the same messages, bytes and endings as with a context per connection.

use fastrand::Rng;
use pulsegate::engine::testing::{Net, Received, client_frame};
use pulsegate::{Class, Config, ConnId, Handler, Io, Message, Request, Verdict};

/// Answers every message with its length, closes when asked to, and remembers what it heard.
#[derive(Default)]
struct Host(Vec<(usize, Message)>);

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        io.send(id, Message::text(message.len().to_string()));
        if message.len() == 77 {
            io.close(id, 4000, "77");
        }
        self.0.push((id.slot(), message));
    }
}

/// What somebody can see of a run.
#[derive(PartialEq)]
struct Seen {
    heard: Vec<(usize, Message)>,
    received: Vec<Vec<Received>>,
    endings: Vec<String>,
}

impl Seen {
    /// Enough to see where two runs part, without the payloads.
    fn outline(&self) -> String {
        let heard: Vec<_> = self
            .heard
            .iter()
            .map(|(who, m)| (who, m.is_text(), m.len()))
            .collect();
        let brief = |r: &Received| match r {
            Received::Message(m) => format!("message {}", m.len()),
            Received::Ping(p) => format!("ping {}", p.len()),
            Received::Pong(p) => format!("pong {}", p.len()),
            Received::Close(code, reason) => format!("close {code} {reason}"),
        };
        let received: Vec<Vec<String>> = self
            .received
            .iter()
            .map(|r| r.iter().map(brief).collect())
            .collect();
        format!(
            "heard {heard:?}\nreceived {received:?}\nendings {:?}",
            self.endings
        )
    }
}

/// Three peers that each write their stream in pieces, all interleaved in one order.
fn run(writes: &[(usize, Vec<u8>)], most: usize, parking: bool) -> Seen {
    let config = Config {
        max_message_bytes: most,
        ..Config::default()
    };
    let mut net = Net::new(config, Host::default());
    if !parking {
        net.never_park();
    }
    let peers = [0, 1, 2].map(|_| net.connect("/"));
    for (who, bytes) in writes {
        net.write(peers[*who], bytes);
        net.settle();
    }
    net.check().unwrap_or_else(|e| panic!("{e}"));
    net.advance(3_000);
    Seen {
        heard: std::mem::take(&mut net.host().0),
        received: peers.iter().map(|p| net.received(*p)).collect(),
        endings: net
            .endings()
            .iter()
            .map(|(id, end)| format!("{id} {end:?}"))
            .collect(),
    }
}

fn stream(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..12) {
        let size = [0, 1, 4, 77, 125, 126, 300, 4_096, 65_535, 65_536, 69_999][rng.usize(0..11)];
        let data: Vec<u8> = (0..size).map(|i| b'a' + (i % 26) as u8).collect();
        let short = &data[..size.min(125)];
        match rng.u8(0..40) {
            0..=11 => bytes.extend(client_frame(0x81, &data)),
            12..=17 => bytes.extend(client_frame(0x82, &data)),
            18..=21 => bytes.extend(client_frame(0x89, short)),
            22..=25 => bytes.extend(client_frame(0x8A, &data[..size.min(4)])),
            26..=33 => {
                let cut = rng.usize(0..=size);
                bytes.extend(client_frame(0x01, &data[..cut]));
                if rng.bool() {
                    bytes.extend(client_frame(0x89, short));
                }
                bytes.extend(client_frame(0x80, &data[cut..]));
            }
            34 => bytes.extend(client_frame(0x88, &[3, 0xE8])),
            35 => bytes.extend(client_frame(0x81, &[0xFF, 0xFE])),
            36 => bytes.extend(client_frame(0xC1, short)),
            37 => bytes.extend(client_frame(0x80, short)),
            38 => bytes.extend([0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            _ => bytes.extend([0x81, 0x01, b'x']),
        }
    }
    bytes
}

fn pieces(rng: &mut Rng) -> Vec<(usize, Vec<u8>)> {
    let mut streams: Vec<Vec<u8>> = (0..3).map(|_| stream(rng)).collect();
    let mut writes = Vec::new();
    while streams.iter().any(|s| !s.is_empty()) {
        let who = rng.usize(0..3);
        let most = streams[who].len();
        if most > 0 {
            let take = if rng.u8(0..3) == 0 {
                rng.usize(1..=most.min(20))
            } else {
                rng.usize(1..=most)
            };
            let rest = streams[who].split_off(take);
            writes.push((who, std::mem::replace(&mut streams[who], rest)));
        }
    }
    writes
}

#[test]
fn nobody_can_tell_whether_a_connection_was_parked() {
    let (mut messages, mut endings) = (0, 0);
    for seed in 0..3_000 {
        let mut rng = Rng::with_seed(seed);
        let writes = pieces(&mut rng);
        let most = [300, 70_000, 70_000, 70_000][rng.usize(0..4)];
        let (parked, kept) = (run(&writes, most, true), run(&writes, most, false));
        let outlines = || format!("parked: {}\n\nkept: {}", parked.outline(), kept.outline());
        assert!(parked == kept, "seed {seed}\n{}", outlines());
        messages += parked.heard.len();
        endings += parked.endings.len();
    }
    assert!(
        messages > 10_000 && endings > 2_000,
        "{messages} messages, {endings} endings"
    );
}
