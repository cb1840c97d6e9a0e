//! An honest client, as the protocol asks for one.

use pulsegate::pulse::OpaqueToken;
use pulsegate::testing::{PeerId, Received, upgrade_request};
use pulsegate::time::Micros;
use std::collections::VecDeque;
use std::net::IpAddr;

/// A client. Two of them share a user.
#[derive(Debug)]
pub struct Visitor {
    pub user: usize,
    pub address: IpAddr,
    pub protocol: Option<&'static str>,
    pub link: Option<Link>,
    pub token: Option<OpaqueToken>,
    /// Tokens that are surely not valid any more.
    pub old_tokens: Vec<OpaqueToken>,
    /// The session that it has a token of.
    pub session: Option<usize>,
    /// Messages that it has written on this connection, or that were acknowledged before.
    pub written: u64,
    /// When it last got a message that it has not acknowledged.
    pub last_got: Micros,
    /// When it tries again.
    pub next_try: Micros,
}

/// The connection of a client.
#[derive(Debug)]
pub struct Link {
    pub peer: PeerId,
    /// The number of the attempt.
    pub key: u32,
    /// The first frame, until it is sent.
    pub first: Option<String>,
    /// Whether it asks for a session that it has had.
    pub resumes: bool,
    /// Whether the hello has arrived.
    pub is_up: bool,
    pub inbox: VecDeque<Received>,
    /// The announced length of the next message.
    pub big: Option<u64>,
    /// Why the gateway is about to close it.
    pub bye: Option<String>,
    pub refused: Option<u16>,
    /// Whether it takes nothing at the moment.
    pub is_slow: bool,
    /// When it last began to take everything again.
    pub unslowed_at: Micros,
    pub since: Micros,
}

impl Visitor {
    pub fn new(user: usize, protocol: Option<&'static str>) -> Self {
        Visitor {
            user,
            address: IpAddr::from([127, 0, 0, 1]),
            protocol,
            link: None,
            token: None,
            old_tokens: Vec::new(),
            session: None,
            written: 0,
            last_got: Micros::ZERO,
            next_try: Micros::ZERO,
        }
    }
}

impl Link {
    pub fn new(peer: PeerId, key: u32, first: Option<String>, since: Micros) -> Self {
        Link {
            peer,
            key,
            resumes: first.is_some(),
            first,
            is_up: false,
            inbox: VecDeque::new(),
            big: None,
            bye: None,
            refused: None,
            is_slow: false,
            unslowed_at: Micros::ZERO,
            since,
        }
    }
}

/// Returns a request for pulse.
pub fn request(user: usize, key: u32, resumes: bool, lines: &str) -> String {
    let resume = if resumes { "&resume=1a2b3c4d" } else { "" };
    let request = upgrade_request(&format!("/c?user=u{user}&pulse=1&k={key}{resume}"));
    let (head, _) = request.split_at(request.len() - 2);
    format!("{head}Sec-WebSocket-Extensions: permessage-deflate\r\n{lines}\r\n")
}
