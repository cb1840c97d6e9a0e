//! The scripts of the Autobahn cases through a pair, from either side. A script of up to 600 bytes
//! is cut at every byte, a longer one at up to 120 places at the ends, headers and middles of its
//! frames. What is forwarded are the bytes as they were sent, up to the frame that ends the pair.

use crate::frames::{CLOSE, CONTINUATION, FIN, PING, TEXT, close, ping, pong};
use crate::nets::{S, check_invariants, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use crate::protocol::autobahn::all_frames;
use pulsegate::engine::LinkRules;
use pulsegate::testing::{Net, client_frame, frame_of_server};
use pulsegate::wire::frame::{CONTROL_MAX, Header};
use pulsegate::wire::mask;
use pulsegate::{Cause, ConnId, EndCode};

/// The bit of a compressed message's first frame (RFC 7692 §6).
const RSV1: u8 = 0x40;

/// A script up to this length is cut at every byte, and sent byte by byte.
const SHORT: usize = 600;

/// The most cuts of a longer script.
const CUTS_MAX: usize = 120;

/// What one side of a pair sends.
struct Script {
    name: String,
    /// The first byte and the payload of each frame.
    frames: Vec<(u8, Vec<u8>)>,
    compression: bool,
}

/// How a script ends the pair.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With a close frame of this payload.
    Close(Vec<u8>),
    /// With a frame that is not allowed.
    Fault,
}

/// What was seen of a pair through which a script went.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The frames that reached the other side, as they came.
    forwarded: Vec<u8>,
    /// What reached the sender of the script, as it came.
    answers: Vec<u8>,
    /// The ends that the host was told of.
    told: Vec<(ConnId, ConnId, Cause)>,
    /// How the connections of the sender and of the other side ended.
    ends: [(Cause, EndCode, String, bool); 2],
    /// The messages that were received from the sender, and sent to the other side.
    messages: (u32, u32),
}

impl Script {
    fn new(name: &str, frames: &[Vec<u8>], compression: bool) -> Self {
        Script {
            name: name.to_owned(),
            frames: frames.iter().map(|frame| unmasked(frame)).collect(),
            compression,
        }
    }

    /// Returns the frames as one side sends them.
    fn sent(&self, from_client: bool) -> Vec<Vec<u8>> {
        let frame = match from_client {
            true => client_frame,
            false => frame_of_server,
        };
        self.frames.iter().map(|(b, p)| frame(*b, p)).collect()
    }

    /// Adds a close frame to a script without an end: its fault is none for a pair, which checks no
    /// text, and may allow compression.
    fn ended(mut self) -> Self {
        if self.end().is_none() {
            self.frames
                .push((FIN | CLOSE, 1000_u16.to_be_bytes().to_vec()));
        }
        self
    }

    /// Returns how many frames are forwarded, and how the script ends the pair.
    fn expected(&self) -> (usize, End) {
        self.end().expect("the script has an end")
    }

    /// Returns where and how the script ends the pair: the rules of RFC 6455 and RFC 7692 in a few
    /// lines.
    fn end(&self) -> Option<(usize, End)> {
        let mut in_message = false;
        for (at, (first, payload)) in self.frames.iter().enumerate() {
            let (fin, opcode) = (first & FIN != 0, first & 0x0F);
            let is_start = opcode != CONTINUATION;
            let is_allowed = match opcode {
                0x0..=0x2 => in_message != is_start,
                CLOSE..=0xA => fin && payload.len() <= CONTROL_MAX,
                _ => false,
            };
            let is_compressible = self.compression && matches!(opcode, 1 | 2);
            let rsv = first & 0x70;
            if !is_allowed || rsv != 0 && !(rsv == RSV1 && is_compressible) {
                return Some((at, End::Fault));
            }
            match opcode {
                CLOSE => return Some((at + 1, End::Close(payload.clone()))),
                0x0..=0x2 => in_message = !fin,
                _ => {}
            }
        }
        None
    }
}

/// Returns the first byte of a client's frame, and its payload.
fn unmasked(frame: &[u8]) -> (u8, Vec<u8>) {
    let header = Header::parse(frame).expect("a whole header");
    let mut payload = frame[header.len..].to_vec();
    mask::apply(&mut payload, header.mask(), 0);
    (header.first, payload)
}

/// Sends the bytes in the given pieces through a new pair, then ends the sender's stream.
fn run(script: &Script, from_client: bool, pieces: &[&[u8]]) -> Outcome {
    let mut net = Net::new(
        pair_config(timed(15, 45), timed(15, 45)),
        PairHost::default(),
    );
    net.host().rules = LinkRules {
        compression: script.compression,
        ..LinkRules::default()
    };
    let (client, server) = connect_pair(&mut net);
    let (from, to) = match from_client {
        true => (client, server),
        false => (server, client),
    };
    net.record_frames(from);
    net.record_frames(to);
    // It says nothing but its script.
    net.mute(from);
    for piece in pieces {
        net.write(from, piece);
        net.settle();
    }
    check_invariants(&net);
    net.half_close(from);
    net.settle();
    net.half_close(to);
    net.advance(10 * S);
    check_invariants(&net);
    assert!(net.leftover(to).is_empty() && net.leftover(from).is_empty());
    let ends = [from, to].map(|peer| {
        let end = net.ending(peer).expect("both have ended");
        (end.cause, end.code, end.reason.to_string(), end.clean)
    });
    let traffic = [from, to].map(|peer| net.ending(peer).expect("both have ended").traffic);
    Outcome {
        forwarded: net.recorded_frames(to).to_vec(),
        answers: net.recorded_frames(from).to_vec(),
        told: net.host().ended.clone(),
        ends,
        messages: (traffic[0].messages_in, traffic[1].messages_out),
    }
}

/// Checks what an uncut script led to.
fn check(script: &Script, from_client: bool, outcome: &Outcome) {
    let what = format!("{} from the client: {from_client}", script.name);
    let sent = script.sent(from_client);
    let (count, end) = script.expected();
    let bytes = sent[..count].concat();
    assert!(
        outcome.forwarded.starts_with(&bytes),
        "{what}: not verbatim"
    );
    let behind = &outcome.forwarded[bytes.len()..];
    let answered = frames(&outcome.answers);
    let (last, pongs) = answered.split_last().expect("a close frame");
    let pings = |(first, payload): &(u8, Vec<u8>)| (*first == FIN | PING).then(|| payload.clone());
    let expected: Vec<_> = script.frames[..count].iter().filter_map(pings).collect();
    let pongs: Vec<_> = pongs.iter().map(|(_, payload)| payload.clone()).collect();
    assert_eq!(pongs, expected, "{what}");
    assert_eq!(last.0, FIN | CLOSE, "{what}");
    let causes = outcome.ends.clone().map(|(cause, ..)| cause);
    match end {
        End::Close(payload) => {
            assert!(behind.is_empty(), "{what}: frames behind the close frame");
            assert_eq!(last.1, payload, "{what}");
            assert_eq!(causes, [Cause::PEER_CLOSED, Cause::PARTNER_ENDED], "{what}");
            assert!(outcome.ends.iter().all(|(.., clean)| *clean), "{what}");
        }
        End::Fault => {
            let code: u16 = if from_client { 1001 } else { 1011 };
            let [(first, payload)] = &frames(behind)[..] else {
                panic!("{what}: not one frame of ours");
            };
            assert_eq!(*first, FIN | CLOSE, "{what}");
            assert_eq!(payload[..2], code.to_be_bytes(), "{what}");
            assert_eq!(last.1[..2], 1002_u16.to_be_bytes(), "{what}");
            assert_eq!(causes, [Cause::PROTOCOL, Cause::PARTNER_ENDED], "{what}");
        }
    }
}

/// Returns the frames in these bytes: first bytes and payloads.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(header) = Header::parse(bytes) {
        let (frame, rest) = bytes.split_at(header.frame_len());
        frames.push(unmasked(frame));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a part of a frame");
    frames
}

/// Returns where a script is cut in two: everywhere, or around the ends and headers of its frames.
fn cuts(sent: &[Vec<u8>]) -> Vec<usize> {
    let len: usize = sent.iter().map(Vec::len).sum();
    if len <= SHORT {
        return (1..len).collect();
    }
    let mut cuts = Vec::new();
    let mut end = 0;
    for frame in sent {
        end += frame.len();
        cuts.extend(end.saturating_sub(4)..end + 15);
        cuts.push(end - frame.len() / 2);
    }
    cuts.extend(1..15);
    cuts.retain(|cut| (1..len).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    let step = cuts.len().div_ceil(CUTS_MAX);
    // A step that shares no factor with the cuts around each end reaches all kinds of them.
    cuts.into_iter().step_by(step | 1).collect()
}

fn run_cut(script: &Script, from_client: bool) {
    let sent = script.sent(from_client);
    let bytes = sent.concat();
    let whole = run(script, from_client, &[&bytes]);
    check(script, from_client, &whole);
    let assert_same = |pieces: &[&[u8]], how: &str| {
        let cut = run(script, from_client, pieces);
        let what = format!("{} from the client: {from_client}, {how}", script.name);
        assert!(cut == whole, "{what}: {:?}, not {:?}", cut.ends, whole.ends);
    };
    for at in cuts(&sent) {
        assert_same(&[&bytes[..at], &bytes[at..]], &format!("cut at {at}"));
    }
    let by_frame: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    assert_same(&by_frame, "frame by frame");
    let size = bytes.len() / SHORT + 1;
    let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
    assert_same(&pieces, &format!("{size} bytes at a time"));
}

fn run_all(scripts: &[Script]) {
    for script in scripts {
        for from_client in [true, false] {
            run_cut(script, from_client);
        }
    }
}

fn scripts(compression: bool, is_wanted: impl Fn(&str, usize) -> bool) -> Vec<Script> {
    let all = all_frames();
    let len = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).sum();
    let wanted = all.iter().filter(|(name, f)| is_wanted(name, len(f)));
    wanted
        .map(|(name, f)| Script::new(name, f, compression).ended())
        .collect()
}

#[test]
fn short_scripts_mean_the_same_wherever_they_are_cut() {
    let scripts = scripts(false, |_, len| len <= SHORT);
    assert!(scripts.len() > 200, "{}", scripts.len());
    run_all(&scripts);
}

#[test]
fn long_scripts_mean_the_same_wherever_they_are_cut() {
    let scripts = scripts(false, |_, len| len > SHORT);
    assert!(scripts.len() > 10, "{}", scripts.len());
    run_all(&scripts);
}

#[test]
fn reserved_bits_mean_the_same_wherever_a_pair_with_compression_is_cut() {
    run_all(&scripts(true, |name, _| name.starts_with("3.")));
    let (whole, first) = (FIN | RSV1 | TEXT, RSV1 | TEXT);
    let end = close(1000, b"");
    let rest = client_frame(FIN, b"rest");
    let part = client_frame(first, b"deflated");
    let case = |name, frames: &[Vec<u8>]| Script::new(name, frames, true);
    run_all(&[
        case("whole", &[client_frame(whole, b"deflated"), end.clone()]),
        case(
            "in two, with a ping and a pong between",
            &[part.clone(), ping(b"p"), pong(b"q"), rest.clone(), end],
        ),
        case(
            "RSV1 on a continuation",
            &[part.clone(), client_frame(FIN | RSV1, b"rest")],
        ),
        case(
            "a new one inside",
            &[part, ping(b"p"), client_frame(whole, b"new")],
        ),
        case("RSV1 on a ping", &[client_frame(FIN | RSV1 | PING, b"p")]),
        case("a continuation of nothing", &[rest]),
    ]);
}
