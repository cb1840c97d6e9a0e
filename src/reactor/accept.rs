//! The step of a turn that accepts connections.

use super::acceptor::{
    ACCEPTS_PER_TURN, AcceptOutcome, Acceptor, CapacityChange, REFUSED_PER_TURN, RETRY_AFTER,
    is_out_of_descriptors,
};
use super::sockets::{Socket, WriteState};
use super::turn::{Reactor, STEP_TIME};
use crate::base::id::ConnId;
use crate::engine::Handler;
use mio::net::TcpStream;
use std::net::SocketAddr;

/// After this many accepted connections the clock is read again.
const STEP_CHECK: usize = 16;

impl<H: Handler> Reactor<H> {
    pub(super) fn accept(&mut self) {
        if self.engine.take_accept_retry() {
            self.acceptor.iter_mut().for_each(Acceptor::retry);
        }
        if self.engine.is_shutting_down() && !self.can_answer_latecomers() {
            self.acceptor = None;
            return;
        }
        // At the end of a drain's delay all waiting connections are accepted, so that they get an
        // answer and not a reset.
        let last = self.engine.is_final_accept();
        // Each accepted connection has a request to read, within a time limit. So accept no more
        // than reading can keep up with.
        let unread = ACCEPTS_PER_TURN.saturating_sub(self.ready.len() + self.heavy.len());
        // Each connection above that evicts another one, and both exist until the turn ends.
        let unread = unread.min(self.engine.half_open_left().max(REFUSED_PER_TURN));
        let budget = match last {
            true if self.inherited => 0,
            true => ACCEPTS_PER_TURN.min(self.last_accepts),
            false => unread.max(STEP_CHECK),
        };
        self.acceptor.iter_mut().for_each(Acceptor::begin_turn);
        let until = self.clock.now() + STEP_TIME;
        for accepted in 0..budget {
            if !last && accepted % STEP_CHECK == STEP_CHECK - 1 && self.clock.now() >= until {
                break;
            }
            self.update_load();
            let Some(acceptor) = &mut self.acceptor else {
                break;
            };
            let was_paused = acceptor.is_failing();
            match acceptor.accept() {
                AcceptOutcome::Stream(stream, addr, refused) => {
                    if was_paused {
                        log::info!("accept resumed after=paused live={}", self.engine.len());
                    }
                    self.admit(stream, addr, refused);
                }
                AcceptOutcome::Lost => {}
                AcceptOutcome::Nothing => break,
                AcceptOutcome::Exhausted(e, is_first) => {
                    let ran_out = u64::from(is_out_of_descriptors(&e));
                    self.engine.stats_mut().out_of_descriptors += ran_out;
                    if is_first {
                        self.engine.stats_mut().accept_pauses += 1;
                        log::warn!("accept paused live={} error=\"{e}\"", self.engine.len());
                    }
                    self.engine.retry_accept(RETRY_AFTER, self.clock.now());
                    break;
                }
            }
        }
        if last {
            self.last_accepts -= budget;
            // Accept some of them each turn until the queue is empty. At the limit they replace
            // each other.
            let waiting = self.acceptor.as_ref().is_some_and(Acceptor::may_have_more);
            if !waiting || self.last_accepts == 0 || self.inherited {
                if self.has_successor {
                    self.acceptor = None;
                }
                self.acceptor.iter_mut().for_each(Acceptor::refuse_all);
                self.engine.finish_accepting(self.clock.now());
            }
        }
    }

    /// Returns whether the listener stays open while a drain closes connections: until only
    /// connections that arrived during the drain are left.
    fn can_answer_latecomers(&self) -> bool {
        let latecomers = self.acceptor.as_ref().map_or(0, |a| a.refused);
        let here = self.engine.len() + self.engine.handed_over_here();
        !self.has_successor && !self.engine.is_stopping() && here > latecomers
    }

    pub(super) fn update_load(&mut self) {
        let Some(acceptor) = &mut self.acceptor else {
            return;
        };
        let live = self.engine.places_taken();
        let change = acceptor.update_load(live - acceptor.refused);
        match change {
            None => {}
            Some(CapacityChange::Restricted) => {
                self.engine.stats_mut().accept_pauses += 1;
                log::warn!("accept restricted reason=max_connections live={live}");
            }
            Some(CapacityChange::Resumed) => {
                log::info!("accept resumed after=restricted live={live}")
            }
        }
    }

    /// Keeps the socket of a connection.
    pub(super) fn hold(&mut self, id: ConnId, socket: Socket) {
        if id.slot() >= self.sockets.len() {
            self.sockets.resize_with(id.slot() + 1, || None);
        }
        self.sockets[id.slot()] = Some(socket);
    }

    fn admit(&mut self, mut stream: TcpStream, addr: SocketAddr, refused: bool) {
        let id = self.engine.accept(addr, refused, self.clock.now());
        let registered = self.watch(&mut stream, id);
        self.hold(
            id,
            Socket {
                stream,
                write_state: WriteState::Clear,
                refused,
                ready: false,
                closed: false,
            },
        );
        if let Err(e) = registered {
            log::warn!("connection refused reason=not_watched id={id} peer={addr} error=\"{e}\"");
            self.engine.on_register_error(id);
        }
    }
}
