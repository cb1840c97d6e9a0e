//! The step of a turn that reads.

use super::sockets::{Socket, WriteState};
use super::turn::{READ_BUFFER, Reactor, STEP_TIME};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Forward, Handler, ReadAction};
use std::io::{self, ErrorKind, Read, Write};

/// The most bytes read from one connection in one turn. The engine's budget also limits what they
/// cost.
const READ_BUDGET: usize = 4 * READ_BUFFER;

/// The least time in a turn for reading from the connections that are read last.
const HEAVY_TIME_MIN: Micros = Micros::from_millis(1);

impl<H: Handler> Reactor<H> {
    /// Reads from the connections that have input. Connections whose input exceeded their last
    /// share, and those that have not identified themselves, are read last. So many flooding
    /// connections do not delay one that sends little.
    pub(super) fn read(&mut self) {
        self.take_ready();
        let mut now = self.clock.now();
        let until = now + STEP_TIME;
        let light = std::mem::take(&mut self.ready);
        // Connections that are moved to the end during this turn have had their share.
        let behind = self.heavy.len();
        let mut at = 0;
        while at < light.len() && self.engine.has_light_budget() && now < until {
            self.read_conn(light[at], READ_BUFFER, &mut now);
            at += 1;
        }
        // Connections that were not reached are first in the next turn.
        self.ready = light;
        self.ready.drain(..at);
        let until = until.max(now + HEAVY_TIME_MIN);
        for _ in 0..behind {
            if !self.engine.has_budget() || now >= until {
                break;
            }
            if let Some(id) = self.heavy.pop_front() {
                self.read_conn(id, READ_BUDGET, &mut now);
            }
        }
    }

    /// Reads from a connection within its share of the turn.
    fn read_conn(&mut self, id: ConnId, budget: usize, now: &mut Micros) {
        let more = self.read_one(id, budget, now);
        if self.engine.wants_bytes(id)
            && let Some(Some(socket)) = self.sockets.get_mut(id.slot())
        {
            socket.ready = more;
            if more {
                self.heavy.push_back(id);
            }
        }
    }

    /// Collects the connections that the engine wants to read, and those whose reading was paused
    /// or resumed.
    pub(super) fn take_ready(&mut self) {
        for id in self.engine.take_poll_changes() {
            self.reregister(id);
        }
        let mut named = Vec::new();
        self.engine.take_ready(&mut named);
        for id in named {
            self.read_again(id);
        }
    }

    /// Schedules a read, at most once for each connection.
    pub(super) fn read_again(&mut self, id: ConnId) {
        if self.engine.wants_bytes(id)
            && let Some(Some(socket)) = self.sockets.get_mut(id.slot())
            && !std::mem::replace(&mut socket.ready, true)
        {
            self.ready.push(id);
        }
    }

    /// Reads from one connection and passes on the input, within its share of the turn. Returns
    /// whether there is more. `now` is the time of the last clock reading.
    pub(super) fn read_one(&mut self, id: ConnId, budget: usize, now: &mut Micros) -> bool {
        let mut left = budget;
        loop {
            let most = match self.engine.read_action(id, *now) {
                ReadAction::Read(_) if left == 0 => return true,
                ReadAction::Read(most) => most.min(left),
                ReadAction::Leftover => {
                    *now = self.clock.now();
                    self.engine.on_leftover(id, *now);
                    continue;
                }
                ReadAction::NextTurn => return true,
                ReadAction::Paused | ReadAction::Ended => return false,
            };
            let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
                return false;
            };
            let room = most.min(self.buffer.len());
            match socket.stream.read(&mut self.buffer[..room]) {
                Ok(0) => {
                    self.engine.on_eof(id, self.clock.now());
                    return false;
                }
                Ok(n) => {
                    // epoll(7): a short read means that the stream socket is empty. It does not
                    // mean that no FIN follows.
                    let drained = n < room && !socket.closed;
                    // The clock is read for each connection: with one time per turn, connections
                    // read last would seem silent for longer.
                    *now = self.clock.now();
                    let mut forward = self.engine.on_bytes(id, &self.buffer[..n], *now);
                    while let Some(run) = forward {
                        let written = write_run(&mut self.sockets, &self.buffer, &run);
                        let buffer = &self.buffer[..n];
                        forward = self.engine.on_forwarded(run, buffer, written, *now);
                    }
                    left -= n;
                    if drained {
                        return !self.engine.on_socket_empty(id, *now);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return !self.engine.on_socket_empty(id, *now);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.engine.on_error(id, &e);
                    return false;
                }
            }
        }
    }
}

/// Writes a forwarded run from the read buffer. A socket that is behind is not tried.
fn write_run(sockets: &mut [Option<Socket>], buffer: &[u8], run: &Forward) -> io::Result<usize> {
    match sockets.get_mut(run.to().slot()) {
        Some(Some(socket)) if socket.write_state == WriteState::Clear => {
            socket.stream.write(&buffer[run.range()])
        }
        _ => Err(ErrorKind::WouldBlock.into()),
    }
}
