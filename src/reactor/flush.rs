//! The steps of a turn that write and close sockets.

use super::sockets::WriteState;
use super::tcp_info;
use super::turn::Reactor;
use crate::base::id::ConnId;
use crate::engine::{FlushOutcome, Handler};
use mio::Interest;
use socket2::SockRef;
use std::io::{ErrorKind, IoSlice, Write};
use std::time::Duration;

impl<H: Handler> Reactor<H> {
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        // Connections marked dirty during this loop are flushed in the next turn.
        self.engine.take_dirty(&mut dirty);
        self.prefetch(&dirty);
        for id in dirty.drain(..) {
            self.flush_one(id);
        }
        self.dirty = dirty;
    }

    /// Reads these socket entries, so that their cache misses overlap. Otherwise each write would
    /// wait for its own.
    fn prefetch(&self, ids: &[ConnId]) {
        let sockets = ids.iter().filter_map(|id| self.sockets.get(id.slot()));
        let behind = sockets.filter(|s| {
            s.as_ref()
                .is_some_and(|s| s.write_state != WriteState::Clear)
        });
        std::hint::black_box(behind.count());
    }

    fn flush_one(&mut self, id: ConnId) {
        let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
            return;
        };
        let full = socket.write_state == WriteState::Blocked;
        let stream = &mut socket.stream;
        let was_behind = socket.write_state != WriteState::Clear;
        let mut write = |slices: &[IoSlice<'_>]| match slices {
            _ if full => Err(ErrorKind::WouldBlock.into()),
            slices if was_behind => tcp_info::write_unmerged(stream, slices),
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        };
        let flushed = self.engine.flush(id, self.clock.now(), &mut write);
        if flushed == FlushOutcome::Later {
            return;
        }
        if flushed == FlushOutcome::Fin {
            // The socket may be closed already; the next read reports it.
            let _ = socket.stream.shutdown(std::net::Shutdown::Write);
        }
        if !self.engine.wants_bytes(id) {
            return;
        }
        let is_behind = flushed == FlushOutcome::Blocked;
        socket.write_state = if is_behind {
            WriteState::Blocked
        } else {
            WriteState::Clear
        };
        if was_behind != is_behind {
            self.reregister(id);
        }
    }

    /// Tells the kernel which events to report. A socket that is not read waits only for
    /// writability: with READABLE it would wake the loop for each segment that arrives. Errors are
    /// reported in any case.
    pub(super) fn reregister(&mut self, id: ConnId) {
        let paused = self.engine.is_paused(id);
        let Some(Some(socket)) = self.sockets.get_mut(id.slot()) else {
            return;
        };
        if !self.engine.wants_bytes(id) {
            return;
        }
        let interest = match (paused, socket.write_state) {
            (true, _) => Interest::WRITABLE,
            (false, WriteState::Clear) => Interest::READABLE,
            (false, WriteState::Blocked | WriteState::Writable | WriteState::Connecting) => {
                Interest::READABLE | Interest::WRITABLE
            }
        };
        let registry = self.poll.registry();
        if let Err(e) = registry.reregister(&mut socket.stream, id.into(), interest) {
            log::warn!("connection dropped reason=not_watched id={id} error=\"{e}\"");
            self.engine.on_register_error(id);
        }
    }

    pub(super) fn reap(&mut self) {
        let (sockets, acceptor) = (&mut self.sockets, &mut self.acceptor);
        self.engine.reap(self.clock.now(), &mut |id, reset| {
            let Some(socket) = sockets.get_mut(id.slot()).and_then(Option::take) else {
                return;
            };
            if reset {
                // This fails only if the socket is already closed.
                let _ = SockRef::from(&socket.stream).set_linger(Some(Duration::ZERO));
            }
            if let Some(acceptor) = acceptor {
                acceptor.refused -= usize::from(socket.refused);
                acceptor.retry();
            }
        });
    }
}
