//! The loop collects frames and fragments by itself, and a spare tungstenite context validates what
//! is complete. Random streams of frames, faults and cuts give the same messages and endings as a
//! context that reads the whole stream at once.

use crate::nets::check_invariants;
use fastrand::Rng;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::testing::{Net, Received, client_frame};
use pulsegate::{Class, Config, ConnId, Handler, Io, Message, Request, Verdict};
use std::io::{self, ErrorKind, Read, Write};
use tungstenite::error::Error as WsError;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// A message of this length makes the host close the connection.
const FAREWELL: usize = 77;

/// Answers every message with its length, closes when asked to, and records the messages.
#[derive(Default)]
struct Host(Vec<(usize, Message)>);

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        io.send(id, Message::text(message.len().to_string()));
        if message.len() == FAREWELL {
            io.close(id, 4000, "77");
        }
        self.0.push((id.slot(), message));
    }
}

/// The outcome of one stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    pongs: Vec<Vec<u8>>,
    end: Option<(Cause, EndCode)>,
}

impl Outcome {
    /// Returns enough to see where two outcomes differ, without the payloads.
    fn outline(&self) -> String {
        let messages: Vec<_> = self
            .messages
            .iter()
            .map(|m| (m.is_text(), m.len()))
            .collect();
        let pongs: Vec<_> = self.pongs.iter().map(Vec::len).collect();
        format!("messages {messages:?}\npongs {pongs:?}\nend {:?}", self.end)
    }
}

/// Runs three peers that each write their stream in pieces, interleaved in one order.
fn run(writes: &[(usize, Vec<u8>)], most: usize) -> Vec<Outcome> {
    let config = Config {
        max_message_bytes: most,
        ..Config::default()
    };
    let mut net = Net::new(config, Host::default());
    let peers = [0, 1, 2].map(|_| net.connect("/"));
    for (index, bytes) in writes {
        net.write(peers[*index], bytes);
        net.settle();
    }
    check_invariants(&net);
    net.advance(3_000);
    let heard = std::mem::take(&mut net.host().0);
    let outcome = |peer| {
        let slot = net.id(peer).slot();
        let messages = heard.iter().filter(|(of, _)| *of == slot);
        let messages = messages.map(|(_, message)| message.clone()).collect();
        let end = net.ending(peer).map(|end| (end.cause, end.code));
        let pongs = net
            .received(peer)
            .into_iter()
            .filter_map(|received| match received {
                Received::Pong(payload) => Some(payload),
                _ => None,
            });
        let pongs = pongs.collect();
        Outcome {
            messages,
            pongs,
            end,
        }
    };
    peers.map(outcome).into()
}

/// A stream that a context reads at once.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            other => other,
        }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns tungstenite's result for a whole stream.
fn expected(stream: &[u8], most: usize) -> Outcome {
    let config = WebSocketConfig::default()
        .max_message_size(Some(most))
        .max_frame_size(Some(most));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut stream = Stream(stream);
    let (mut messages, mut pongs) = (Vec::new(), Vec::new());
    let end = loop {
        match context.read(&mut stream) {
            Ok(Message::Ping(payload)) => pongs.push(payload.to_vec()),
            Ok(Message::Close(frame)) => {
                let code = frame.map_or(1005, |f| f.code.into());
                break Some((Cause::PEER_CLOSED, EndCode::Close(code)));
            }
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                let farewell = message.len() == FAREWELL;
                messages.push(message);
                if farewell {
                    break Some((Cause::KICKED, EndCode::Close(4000)));
                }
            }
            Ok(_) => {}
            Err(WsError::Io(_)) => break None,
            Err(WsError::Protocol(_)) => break Some((Cause::PROTOCOL, EndCode::Close(1002))),
            Err(WsError::Capacity(_)) => break Some((Cause::TOO_BIG, EndCode::Close(1009))),
            Err(WsError::Utf8(_)) => break Some((Cause::INVALID_DATA, EndCode::Close(1007))),
            Err(e) => panic!("{e}"),
        }
    };
    Outcome {
        messages,
        pongs,
        end,
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
        let index = rng.usize(0..3);
        let most = streams[index].len();
        if most > 0 {
            let take = if rng.u8(0..3) == 0 {
                rng.usize(1..=most.min(20))
            } else {
                rng.usize(1..=most)
            };
            let rest = streams[index].split_off(take);
            writes.push((index, std::mem::replace(&mut streams[index], rest)));
        }
    }
    writes
}

#[test]
fn gathered_streams_mean_what_whole_ones_do() {
    let (mut messages, mut endings) = (0, 0);
    for seed in 0..3_000 {
        let mut rng = Rng::with_seed(seed);
        let writes = pieces(&mut rng);
        let most = [300, 70_000, 70_000, 70_000][rng.usize(0..4)];
        let outcomes = run(&writes, most);
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let pieces = writes.iter().filter(|(of, _)| *of == index);
            let stream: Vec<u8> = pieces.flat_map(|(_, bytes)| bytes.clone()).collect();
            let expected = expected(&stream, most);
            messages += outcome.messages.len();
            endings += usize::from(outcome.end.is_some());
            assert!(
                outcome == expected,
                "seed {seed}, peer {index}\nfound: {}\n\nexpected: {}",
                outcome.outline(),
                expected.outline()
            );
        }
    }
    assert!(
        messages > 10_000 && endings > 2_000,
        "{messages} messages, {endings} endings"
    );
}
