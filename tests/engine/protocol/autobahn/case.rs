//! A case: the frames that go in, those that must come out, and the code with which it ends.
//!
//! Each case runs three times: one write per frame, all frames in one write, and byte by byte.

use crate::echo::{Host, peer_code, scripted, server};
use crate::frames::{CLOSE, FIN, close, data_and_control};
use pulsegate::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::{Net, PeerId, Received, client_frame};

/// A case: frames in, data frames out, pongs out, and the code of the close frame that ends it.
pub struct Case {
    pub name: String,
    pub frames: Vec<Vec<u8>>,
    pub data: Vec<Message>,
    pub pongs: Vec<Vec<u8>>,
    pub code: u16,
    /// The cause, and the peer's own code if it closed.
    pub cause: (Cause, Option<u16>),
}

/// A case that the client closes normally, after everything was answered.
pub fn fine(name: &str, frames: Vec<Vec<u8>>, data: Vec<Message>, pongs: &[&[u8]]) -> Case {
    let mut frames = frames;
    frames.push(close(1000, b""));
    let pongs = pongs.iter().map(|p| p.to_vec()).collect();
    Case {
        name: name.to_owned(),
        frames,
        data,
        pongs,
        code: 1000,
        cause: (Cause::PEER_CLOSED, Some(1000)),
    }
}

/// A case that the server ends because of the client's fault.
pub fn fault(name: &str, frames: Vec<Vec<u8>>, data: Vec<Message>, cause: Cause) -> Case {
    Case {
        name: name.to_owned(),
        frames,
        data,
        pongs: vec![],
        code: cause.close_code(),
        cause: (cause, None),
    }
}

/// A case that ends in a protocol error, without an answer before.
pub fn protocol_error(name: &str, frames: Vec<Vec<u8>>) -> Case {
    fault(name, frames, vec![], Cause::PROTOCOL)
}

/// A case whose frames get these messages back, and no pongs.
pub fn echoed(name: &str, frames: Vec<Vec<u8>>, data: Vec<Message>) -> Case {
    fine(name, frames, data, &[])
}

/// A case whose frames get only these pongs.
pub fn pinged(name: &str, frames: Vec<Vec<u8>>, pongs: &[&[u8]]) -> Case {
    fine(name, frames, vec![], pongs)
}

/// A case that the client ends with a close frame with this payload.
pub fn closing(name: &str, payload: &[u8], code: u16, cause: (Cause, Option<u16>)) -> Case {
    let frames = vec![client_frame(FIN | CLOSE, payload)];
    Case {
        name: name.to_owned(),
        frames,
        data: vec![],
        pongs: vec![],
        code,
        cause,
    }
}

pub fn said(t: &str) -> Message {
    Message::text(t)
}

#[derive(Debug, Clone, Copy)]
pub enum Cut {
    FrameByFrame,
    AtOnce,
    ByteByByte,
}

pub fn run(case: &Case, cut: Cut) {
    let mut net = server(Config {
        max_message_bytes: 1 << 20,
        ..Config::default()
    });
    let peer = scripted(&mut net, "/");
    let all = case.frames.concat();
    let writes: Vec<&[u8]> = match cut {
        Cut::FrameByFrame => case.frames.iter().map(Vec::as_slice).collect(),
        Cut::AtOnce => vec![&all],
        Cut::ByteByByte => all.chunks(1).collect(),
    };
    for bytes in writes {
        net.write(peer, bytes);
        net.settle();
    }
    check(case, cut, &mut net, peer);
}

pub fn check(case: &Case, cut: Cut, net: &mut Net<Host>, peer: PeerId) {
    let what = format!("{} {cut:?}", case.name);
    let (data, control) = data_and_control(net.received(peer));
    let messages: Vec<_> = case.data.iter().cloned().map(Received::Message).collect();
    assert!(
        data == messages,
        "{what}: {} data frames, expected {}",
        data.len(),
        messages.len()
    );
    let (last, pongs) = control
        .split_last()
        .unwrap_or_else(|| panic!("{what}: no close frame"));
    let expected: Vec<_> = case.pongs.iter().cloned().map(Received::Pong).collect();
    assert_eq!(pongs, expected, "{what}");
    assert!(
        matches!(last, Received::Close(code, _) if *code == case.code),
        "{what}: {last:?}"
    );
    assert!(net.leftover(peer).is_empty(), "{what}");
    net.advance(3_000);
    assert_eq!(
        net.ending(peer).map(|e| (e.cause, peer_code(e))),
        Some(case.cause),
        "{what}"
    );
    assert_eq!(
        net.released(peer),
        Some(false),
        "{what}: the server closes first, and in order"
    );
    net.check().unwrap_or_else(|e| panic!("{what}: {e}"));
}

pub fn run_all(cases: Vec<Case>) {
    for case in &cases {
        for cut in [Cut::FrameByFrame, Cut::AtOnce, Cut::ByteByByte] {
            run(case, cut);
        }
    }
}
