//! Sockets that leave the loop and come back, with the connections that their host serves
//! elsewhere.

use super::socket_exchange::{HandedOverSocket, ReturnSender};
use super::sockets::{Socket, WriteState};
use super::turn::Reactor;
use crate::base::id::ConnId;
use crate::engine::Handler;
use crate::mail::{Budget, Limits};
use mio::Interest;
use mio::net::TcpStream;

/// The most connections that come back in one turn, and their bytes.
const PER_TURN: Limits = Limits {
    count: 64,
    bytes: 1 << 20,
};

impl<H: Handler> Reactor<H> {
    /// Sets where connections go that the host hands over
    /// ([`Handler::hands_over`]). `taker` is called on the loop's thread and must not block.
    /// Without this call such connections are closed.
    pub fn hand_over_to(&mut self, taker: impl FnMut(HandedOverSocket) + Send + 'static) {
        self.exchange.taker = Some(Box::new(taker));
    }

    /// Returns the sender for connections that come back.
    pub fn return_sender(&self) -> ReturnSender {
        let remote = self.engine.remote();
        let sender = self.exchange.sender.clone();
        sender.sender.set_wake(Box::new(move || remote.wake()));
        sender
    }

    /// Gives the sockets of connections that are handed over to their taker.
    pub(super) fn hand_over(&mut self) {
        let mut leaving = std::mem::take(&mut self.exchange.leaving);
        self.engine.take_handed_over(&mut leaving);
        for conn in leaving.drain(..) {
            let socket = self.sockets.get_mut(conn.id.slot()).and_then(Option::take);
            let Some(mut socket) = socket else { continue };
            if let Err(e) = self.poll.registry().deregister(&mut socket.stream) {
                log::warn!(
                    "connection dropped reason=not_watched id={} error=\"{e}\"",
                    conn.id
                );
                continue;
            }
            if let Some(taker) = &mut self.exchange.taker {
                let stream = socket.stream.into();
                taker(HandedOverSocket { stream, conn });
            }
        }
        self.exchange.leaving = leaving;
    }

    /// Takes back connections.
    pub(super) fn take_returned(&mut self) {
        self.exchange.returned.collect();
        let mut budget = Budget::new(PER_TURN);
        while let Some(returned) = self.exchange.returned.take(&mut budget) {
            self.take_back(returned);
        }
    }

    fn take_back(&mut self, returned: HandedOverSocket) {
        let mut stream = TcpStream::from_std(returned.stream);
        let peer = returned.conn.peer_addr;
        let id = self.engine.accept_returned(returned.conn, self.clock.now());
        let registered = self.watch(&mut stream, id);
        let socket = Socket {
            stream,
            write_state: WriteState::Clear,
            refused: false,
            ready: false,
            closed: false,
        };
        self.hold(id, socket);
        if let Err(e) = registered {
            log::warn!("connection refused reason=not_watched id={id} peer={peer} error=\"{e}\"");
            self.engine.on_register_error(id);
        }
    }

    /// Lets the kernel report input of a new connection.
    pub(super) fn watch(&self, stream: &mut TcpStream, id: ConnId) -> std::io::Result<()> {
        let registry = self.poll.registry();
        registry.register(stream, id.into(), Interest::READABLE)
    }
}
