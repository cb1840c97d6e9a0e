//! Frames of a client, through the engine: its scanner, its decoder, and its gathering of messages.
//!
//! Properties:
//!
//! - A stream that arrives in pieces has the same outcome as in one piece: messages, pongs, close
//!   frame, cause of the end.
//! - The messages, the pongs and the kind of the end are those of tungstenite, which reads the same
//!   stream by itself.
//! - No message is longer than the limit, and memory for unfinished input stays within bounds.
//! - The invariants of the engine hold after each piece.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pulsegate::testing::{Net, Received};
use pulsegate::{
    Cause, Class, Config, ConnId, EndCode, EndedBy, Handler, Io, Message, Request, Verdict,
};
use pulsegate_fuzz::Input;
use std::io::{ErrorKind, Read, Write};
use tungstenite::Error;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

/// The longest message, by the settings' low bits.
const LIMITS: [usize; 4] = [125, 1_000, 5_000, 1 << 20];

#[derive(Default)]
struct Host {
    messages: Vec<Message>,
}

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, message: Message) {
        self.messages.push(message);
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    /// What the server sent.
    answers: Vec<Received>,
    cause: Cause,
    by: EndedBy,
    code: EndCode,
    reason: Box<str>,
    clean: bool,
}

/// Sends the pieces and the end of the stream, one at a time.
fn run(pieces: &[&[u8]], limit: usize) -> Outcome {
    let config = Config {
        max_message_bytes: limit,
        ..Config::default()
    };
    let mut net = Net::new(config, Host::default());
    let peer = net.connect("/");
    net.mute(peer);
    let mut sent = 0;
    for piece in pieces {
        net.write(peer, piece);
        net.settle();
        sent += piece.len();
        net.check().expect("the invariants hold");
        // The message in progress, its copy while it is joined, and the frame in progress.
        let held = net.engine().stats().held_bytes as usize;
        assert!(
            held <= 2 * limit.min(sent) + 4_096,
            "{held} bytes are held of {sent}"
        );
    }
    net.half_close(peer);
    net.settle();
    net.check().expect("the invariants hold");
    let end = net.ending(peer).expect("the stream has ended").clone();
    let stats = net.engine().stats();
    assert_eq!((stats.held_bytes, stats.pending_bytes), (0, 0));
    assert!(net.leftover(peer).is_empty(), "whole frames are sent");
    let answers = net.received(peer);
    Outcome {
        messages: std::mem::take(&mut net.host().messages),
        answers,
        cause: end.cause,
        by: end.by,
        code: end.code,
        reason: end.reason,
        clean: end.clean,
    }
}

/// A stream that ends where the data ends, and takes all that is written.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite reads.
#[derive(Debug)]
struct Expected {
    messages: Vec<Message>,
    pongs: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug)]
enum End {
    /// The stream ends at a frame's end, or within a frame.
    Cut,
    /// The peer's close frame, with its code if it has one.
    Closed(Option<u16>),
    /// A fault that has this cause.
    Fault(Cause),
}

fn expected(data: &[u8], limit: usize) -> Expected {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let mut socket = WebSocket::from_raw_socket(Wire(data), Role::Server, Some(config));
    let (mut messages, mut pongs) = (Vec::new(), Vec::new());
    let end = loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => messages.push(message),
            Ok(Message::Ping(payload)) => pongs.push(payload.to_vec()),
            Ok(Message::Pong(_)) => {}
            Ok(Message::Close(close)) => break End::Closed(close.map(|c| c.code.into())),
            Ok(Message::Frame(_)) => unreachable!("only frames that are written"),
            Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => break End::Cut,
            Err(Error::Capacity(_)) => break End::Fault(Cause::TOO_BIG),
            Err(Error::Utf8(_)) => break End::Fault(Cause::INVALID_DATA),
            Err(Error::Protocol(_)) => break End::Fault(Cause::PROTOCOL),
            Err(other) => unreachable!("{other:?}"),
        }
    };
    Expected {
        messages,
        pongs,
        end,
    }
}

fn compare(found: &Outcome, expected: &Expected) {
    assert_eq!(found.messages, expected.messages);
    let pongs = found.answers.iter().filter_map(|answer| match answer {
        Received::Pong(payload) => Some(payload),
        Received::Message(_) | Received::Fragment(..) | Received::Ping(_) | Received::Close(..) => {
            None
        }
    });
    assert!(pongs.eq(&expected.pongs), "{found:?} {expected:?}");
    let faults = [Cause::PROTOCOL, Cause::TOO_BIG, Cause::INVALID_DATA];
    match expected.end {
        // The engine reports some faults before their frame has arrived.
        End::Cut => assert!(
            found.cause == Cause::PEER_EOF || faults.contains(&found.cause),
            "{found:?}"
        ),
        // An answer carries the peer's code, or 1002 if that code must not be sent.
        End::Closed(code) => {
            let answer = found.answers.last();
            let code = code.unwrap_or(1005);
            assert!(
                matches!(answer, Some(Received::Close(answered, _)) if *answered == code),
                "{found:?} {expected:?}"
            );
            assert_eq!((found.cause, found.clean), (Cause::PEER_CLOSED, true));
        }
        // A frame may break the protocol and the limit. The engine looks at the limit first, except
        // of control frames.
        End::Fault(cause) if cause != Cause::INVALID_DATA => assert!(
            [Cause::PROTOCOL, Cause::TOO_BIG].contains(&found.cause),
            "{found:?} {expected:?}"
        ),
        End::Fault(cause) => assert_eq!(found.cause, cause, "{found:?}"),
    }
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let limit = LIMITS[usize::from(input.settings & 3)];
    let whole = run(&[input.data], limit);
    assert!(whole.messages.iter().all(|m| m.len() <= limit));
    assert_eq!(whole, run(&input.cuts.pieces(input.data), limit));
    compare(&whole, &expected(input.data, limit));
    Corpus::Keep
});
