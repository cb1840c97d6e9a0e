//! What the rows of the table of ends have in common.

use crate::dial_host::{DialHost, Told};
use crate::folder::Folder;
use crate::sockets::{Client, Event, Listener, Server, frame, server_frame};
use pulsegate::wire::frame::CLOSE;
use pulsegate::{Cause, ConnId, Ending};

/// One side of a pair, as the test sees it.
pub enum Side {
    Client(Client),
    Server(Server),
}

/// A pair: the side on which something happens, the other side, and their connections.
pub struct Pair {
    pub one: Side,
    pub other: Side,
    pub ids: (ConnId, ConnId),
}

/// Returns a listener of each kind.
pub fn listeners(folder: &Folder) -> [Listener; 2] {
    [Listener::tcp(), Listener::unix(folder.path("socket"), 16)]
}

/// Opens a pair. `is_client`: something will happen on the client's side.
#[track_caller]
pub fn pair(host: &DialHost, upstream: &Listener, is_client: bool) -> Pair {
    let (client, server) = host.pair(upstream);
    let (client_id, server_id) = host.last_pair();
    let (client, server) = (Side::Client(client), Side::Server(server));
    match is_client {
        true => Pair {
            one: client,
            other: server,
            ids: (client_id, server_id),
        },
        false => Pair {
            one: server,
            other: client,
            ids: (server_id, client_id),
        },
    }
}

impl Side {
    /// Returns a whole frame as this side sends it.
    pub fn frame(&self, opcode: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Side::Client(_) => frame(opcode, payload),
            Side::Server(_) => server_frame(opcode, payload),
        }
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        match self {
            Side::Client(client) => client.write(bytes),
            Side::Server(server) => server.write(bytes),
        }
    }

    #[track_caller]
    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.frame(opcode, payload);
        self.write(&frame);
    }

    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    #[track_caller]
    pub fn send_close(&mut self, code: u16, reason: &str) {
        self.send(
            CLOSE,
            &[&code.to_be_bytes()[..], reason.as_bytes()].concat(),
        );
    }

    pub fn send_fin(&mut self) {
        match self {
            Side::Client(client) => client.send_fin(),
            Side::Server(server) => server.send_fin(),
        }
    }

    pub fn reset(self) {
        match self {
            Side::Client(client) => client.reset(),
            Side::Server(server) => server.reset(),
        }
    }

    #[track_caller]
    pub fn next(&mut self) -> Event {
        match self {
            Side::Client(client) => client.next(),
            Side::Server(server) => server.next(),
        }
    }

    /// Returns the next event that is not a heartbeat; heartbeats are answered.
    #[track_caller]
    pub fn next_answering(&mut self) -> Event {
        match self {
            Side::Client(client) => client.next_answering(),
            Side::Server(server) => server.next_answering(),
        }
    }

    /// Returns the next event that is not a heartbeat; none is answered.
    #[track_caller]
    pub fn next_mute(&mut self) -> Event {
        loop {
            match self.next() {
                Event::Ping(_) => {}
                event => return event,
            }
        }
    }

    #[track_caller]
    pub fn expect_close(&mut self, code: u16, reason: &str) {
        let close = Event::Close(code, reason.to_owned());
        assert_eq!(self.next_answering(), close);
    }

    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        assert_eq!(self.next_answering(), Event::Text(text.to_owned()));
    }

    #[track_caller]
    pub fn expect_eof(&mut self) {
        assert_eq!(self.next_answering(), Event::Eof);
    }

    /// Returns a second handle to the same connection, to write while this one reads.
    pub fn writer(&self) -> Side {
        match self {
            Side::Client(client) => Side::Client(client.writer()),
            Side::Server(server) => Side::Server(server.writer()),
        }
    }

    /// Writes if the other end lets it. Returns whether it worked.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        match self {
            Side::Client(client) => client.try_write(bytes),
            Side::Server(server) => server.try_write(bytes),
        }
    }

    /// Reads all bytes up to the end of the stream.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let some = match self {
                Side::Client(client) => client.read_up_to(100_000),
                Side::Server(server) => server.read_up_to(100_000),
            };
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }
}

impl Pair {
    /// Waits for the ends of both connections: of the side on which something happened, and of the
    /// other.
    #[track_caller]
    pub fn endings(&self, host: &DialHost) -> (Ending, Ending) {
        (host.ending(self.ids.0), host.ending(self.ids.1))
    }

    /// Asserts that the host was asked once to end the other side, for this cause.
    #[track_caller]
    pub fn expect_pair_end(&self, host: &DialHost, cause: Cause) {
        let ends = host.wait_for("the end of a pair", |told| {
            let of_it = told.iter().filter(|(id, _)| *id == self.ids.0);
            let ends = of_it.filter_map(|(_, told)| match told {
                Told::PairEnd(cause) => Some(*cause),
                _ => None,
            });
            let ends: Vec<Cause> = ends.collect();
            (!ends.is_empty()).then_some(ends)
        });
        assert_eq!(ends, [cause]);
    }
}
