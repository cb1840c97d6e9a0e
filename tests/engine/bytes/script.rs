//! A recorded script of frames, and what must not depend on how its bytes are cut.

use crate::echo::{Told, check_all_ended, end_of, server, told_of};
use crate::frames::{
    CONTINUATION, FIN, TEXT, binary, close, data_and_control, pattern, ping, pong, text,
};
use crate::nets::S;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::Config;
use pulsegate::testing::{Received, client_frame, upgrade_request};

/// Returns the script_frames of a client, without the closing handshake.
pub fn script_frames(sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut script_frames = vec![
        text("pipelined"),
        binary(b""),
        ping(b"are you there?"),
        pong(b"unasked"),
        client_frame(TEXT, "frag µ".as_bytes()),
        ping(b"in between"),
        client_frame(CONTINUATION, b""),
        pong(&pattern(125)),
        client_frame(FIN | CONTINUATION, "ment".as_bytes()),
    ];
    script_frames.extend(sizes.iter().map(|len| binary(&pattern(*len))));
    script_frames.extend([text("nothing more"), ping(&pattern(125))]);
    script_frames
}

pub fn script(path: &str, sizes: &[usize]) -> Vec<u8> {
    let parts = [
        vec![upgrade_request(path).into_bytes()],
        script_frames(sizes),
        vec![close(1000, b"bye")],
    ];
    parts.concat().concat()
}

pub const SMALL: [usize; 3] = [1, 125, 126];

pub const LARGE: [usize; 4] = [125, 126, 65_535, 65_536];

/// The results that must not depend on how the bytes were cut.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub head: Option<String>,
    pub data: Vec<Received>,
    pub control: Vec<Received>,
    pub told: Vec<Told>,
    pub end: Option<(Cause, EndCode, String, bool)>,
    pub released: Option<bool>,
}

pub fn play<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut net = server(Config::default());
    let peer = net.open_socket();
    net.mute(peer);
    for piece in pieces {
        net.write(peer, piece);
        net.settle();
    }
    net.advance(3 * S);
    let (data, control) = data_and_control(net.received(peer));
    assert!(net.leftover(peer).is_empty());
    check_all_ended(&mut net);
    Outcome {
        head: net.response(peer).map(str::to_owned),
        data,
        control,
        told: told_of(&mut net, peer),
        end: end_of(&net, peer),
        released: net.released(peer),
    }
}

pub fn assert_same(found: &Outcome, expected: &Outcome, how: &str) {
    // A difference of 200 KB would be useless output.
    assert!(found.head == expected.head, "{how}: {:?}", found.head);
    assert!(
        found.told.len() == expected.told.len(),
        "{how}: {} calls, not {}",
        found.told.len(),
        expected.told.len()
    );
    assert!(found.end == expected.end, "{how}: {:?}", found.end);
    assert!(
        found.control == expected.control,
        "{how}: other control script_frames"
    );
    assert!(found == expected, "{how}: other data");
}
