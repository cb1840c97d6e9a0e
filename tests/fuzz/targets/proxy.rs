//! PROXY protocol headers, versions 1 and 2, by themselves and before a request.
//!
//! Properties:
//!
//! - What a prefix decides, every longer one decides: a header is whole at its last byte, and a
//!   fault stays one. A header of version 1 is decided within 107 bytes.
//! - A header of version 2 has the length and the address that its fields say; one of version 1,
//!   written again from its address, has the same address.
//! - A header and a request that arrive in pieces have the same outcome as in one piece. No header
//!   above 8 KiB is accepted.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pulsegate::testing::Net;
use pulsegate::{Cause, Config, ConnId, Handler, Io, Message, Preamble, Reply, Request, Verdict};
use pulsegate_fuzz::Input;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proxy_protocol::ProxyProtocol;

/// The parser, which is not public, as its own file.
#[path = "../../../src/transport/proxy_protocol.rs"]
#[allow(dead_code, reason = "a part of the gateway")]
mod proxy_protocol;

/// What the parser imports.
mod preamble {
    pub(crate) use pulsegate::Preamble;
}

/// The longest line of version 1.
const V1_MAX: usize = 107;

/// The longest preamble that the engine accepts.
const PREAMBLE_MAX: usize = 8 * 1024;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n";

struct Host {
    protocol: ProxyProtocol,
    seen: Vec<(SocketAddr, bool)>,
}

impl Handler for Host {
    fn on_preamble(&mut self, _: SocketAddr, bytes: &[u8]) -> Preamble {
        self.protocol.read(bytes)
    }

    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, request: &Request) -> Verdict {
        self.seen
            .push((request.peer_addr(), request.is_encrypted()));
        Verdict::Reply {
            reply: Reply::new(200, "{}"),
            cause: Cause::ANSWERED,
        }
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
}

#[derive(Debug, PartialEq)]
struct Outcome {
    seen: Vec<(SocketAddr, bool)>,
    response: Option<String>,
    cause: Cause,
    peer_addr: SocketAddr,
}

/// Sends the pieces, one at a time.
fn run(pieces: &[&[u8]], protocol: ProxyProtocol) -> Outcome {
    let seen = Vec::new();
    let mut net = Net::new(Config::default(), Host { protocol, seen });
    let peer = net.open_socket();
    for piece in pieces {
        net.write(peer, piece);
        net.settle();
        net.check().expect("the invariants hold");
    }
    net.half_close(peer);
    net.settle();
    let end = net.ending(peer).expect("the stream has ended").clone();
    Outcome {
        response: net.response(peer).map(str::to_owned),
        seen: std::mem::take(&mut net.host().seen),
        cause: end.cause,
        peer_addr: end.peer_addr,
    }
}

/// Checks every prefix. Returns what the last one decides.
fn decide(data: &[u8], protocol: ProxyProtocol) -> Preamble {
    let mut decided = None;
    for end in 1..=data.len() {
        let read = protocol.read(&data[..end]);
        match (decided, read) {
            (None, Preamble::Partial) => {
                assert!(protocol != ProxyProtocol::V1 || end < V1_MAX);
            }
            (None, Preamble::Whole { len, .. }) => {
                assert_eq!(len, end, "whole at its last byte");
                decided = Some(read);
            }
            (None, Preamble::Invalid(_)) => decided = Some(read),
            (Some(before), _) if before == read => {}
            (before, read) => panic!("{before:?}, then {read:?} at {end}"),
        }
    }
    decided.unwrap_or(Preamble::Partial)
}

/// Reads a header of version 2 by the specification (PROXY protocol §2.2).
fn expected_of_v2(data: &[u8]) -> Option<(usize, Option<SocketAddr>, bool)> {
    let rest = data.strip_prefix(SIGNATURE)?;
    let (&[command, family, a, b], rest) = rest.split_first_chunk()?;
    let len = usize::from(u16::from_be_bytes([a, b]));
    let body = rest.get(..len)?;
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let client = match (command, family >> 4) {
        (0x20, _) | (_, 0 | 3) => None,
        (_, 1) => {
            let ip: [u8; 4] = body[..4].try_into().ok()?;
            Some((Ipv4Addr::from(ip), port(8)).into())
        }
        _ => {
            let ip: [u8; 16] = body[..16].try_into().ok()?;
            Some((Ipv6Addr::from(ip), port(32)).into())
        }
    };
    // Without a known family nothing says where the addresses end and the fields begin.
    let fields = match family >> 4 {
        1 => body.get(12..),
        2 => body.get(36..),
        3 => body.get(216..),
        _ => None,
    };
    let encrypted = command == 0x21 && says_tls(fields.unwrap_or_default());
    Some((SIGNATURE.len() + 4 + len, client, encrypted))
}

/// Searches the fields behind the addresses for the one about TLS (PROXY protocol §2.2.6).
fn says_tls(mut fields: &[u8]) -> bool {
    while let [kind, a, b, rest @ ..] = fields {
        let len = usize::from(u16::from_be_bytes([*a, *b]));
        let Some((value, behind)) = rest.split_at_checked(len) else {
            return false;
        };
        if *kind == 0x20 && len >= 5 && value[0] & 1 != 0 {
            return true;
        }
        fields = behind;
    }
    false
}

fn written_as_v1(client: SocketAddr) -> Vec<u8> {
    let (ip, port) = (client.ip(), client.port());
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {ip} {ip} {port} {port}\r\n").into_bytes()
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let (protocol, other) = match input.settings & 1 {
        0 => (ProxyProtocol::V1, ProxyProtocol::V2),
        _ => (ProxyProtocol::V2, ProxyProtocol::V1),
    };
    assert_eq!(ProxyProtocol::Off.read(input.data), Preamble::None);
    let decided = decide(input.data, protocol);
    if let Preamble::Whole {
        len,
        client,
        encrypted,
    } = decided
    {
        assert!(matches!(other.read(input.data), Preamble::Invalid(_)));
        if protocol == ProxyProtocol::V2 {
            assert_eq!(expected_of_v2(input.data), Some((len, client, encrypted)));
        } else if let Some(client) = client {
            let again = written_as_v1(client);
            let len = again.len();
            let read = Preamble::Whole {
                len,
                client: Some(client),
                encrypted: false,
            };
            assert_eq!(protocol.read(&again), read);
        }
    }
    let stream = [input.data, REQUEST].concat();
    let whole = run(&[&stream], protocol);
    assert_eq!(whole, run(&input.cuts.pieces(&stream), protocol));
    if let Some((addr, is_encrypted)) = whole.seen.first() {
        let Preamble::Whole {
            len,
            client,
            encrypted,
        } = decide(&stream, protocol)
        else {
            panic!("a request without a header: {whole:?}");
        };
        assert!(len <= PREAMBLE_MAX, "a header of {len} bytes");
        assert_eq!(client.unwrap_or(*addr), *addr);
        assert_eq!(encrypted, *is_encrypted);
    }
    Corpus::Keep
});
