//! A turn of the server, with the same calls as the reactor makes.

use super::net::Net;
use super::peer::Peer;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{FlushOutcome, Forward, Handler, ReadAction, TcpProgress};
use std::io::{self, ErrorKind, IoSlice};

impl<H: Handler> Net<H> {
    /// Runs one turn like the reactor.
    pub fn run_turn(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        if let Some(stall) = self
            .stalls
            .checkpoint(self.raw, asked, self.engine.shortest_timeout())
        {
            self.engine.on_stall(stall);
        }
        let now = self.now();
        for peer in &mut self.peers {
            if let Some(link) = &mut peer.link {
                let bytes = link.arrive(now);
                peer.taken += bytes.len() as u64;
                peer.bytes.extend(bytes);
                peer.parse_received(now);
            }
        }
        if self.engine.is_final_accept() {
            self.engine.finish_accepting(now);
        }
        // Every peer is read each turn, so the engine's own list is not needed.
        self.engine.take_ready(&mut Vec::new());
        self.engine.take_poll_changes();
        self.more = false;
        let (first, all) = (self.first, self.peers.len());
        for index in (first..all).chain(0..first) {
            if !self.engine.has_budget() {
                (self.first, self.more) = (index, true);
                break;
            }
            if !self.peers[index].unread {
                self.read_from(index, now);
            }
        }
        self.engine.take_commands(now);
        self.judge_late(now);
        self.engine.advance(now);
        let mut unanswered = Vec::new();
        self.engine.take_unanswered(&mut unanswered);
        for id in unanswered {
            if let Some(progress) = self.tcp_progress(id, now) {
                self.engine.on_tcp_progress(id, progress, now);
            }
        }
        while let Some(id) = self.engine.next_final_check() {
            if let Some(index) = self
                .peers
                .iter()
                .position(|p| p.id == id && p.released.is_none())
            {
                self.read_from(index, now);
            }
            let progress = self.tcp_progress(id, now);
            self.engine.final_check(id, progress, now);
        }
        self.make_dials(now);
        let mut dirty = Vec::new();
        self.engine.take_dirty(&mut dirty);
        // For a blocked connection that has room again, a real kernel would report it.
        dirty.extend(
            self.peers
                .iter()
                .filter(|p| p.blocked && p.has_room() && p.released.is_none())
                .map(|p| p.id),
        );
        for id in dirty {
            self.flush_to(id, now);
        }
        let peers = &mut self.peers;
        self.engine.reap(now, &mut |id, reset| {
            for peer in peers
                .iter_mut()
                .filter(|p| p.id == id && p.released.is_none())
            {
                peer.released = Some(reset);
            }
        });
    }

    /// Judges the heartbeats that may be late, after one more read.
    fn judge_late(&mut self, now: Micros) {
        if !self.judges_late {
            return;
        }
        while let Some(id) = self.engine.next_late(now) {
            let place = |p: &Peer| p.id == id && p.released.is_none();
            let index = self.peers.iter().position(place);
            if let Some(index) = index {
                self.read_from(index, now);
            }
            let (peers, engine) = (&mut self.peers, &mut self.engine);
            let kernel = || {
                let peer = &mut peers[index?];
                peer.kernel_asked += 1;
                Some(peer.tcp_progress(now))
            };
            engine.on_late(id, kernel, now);
        }
    }

    /// Returns the data of the server's kernel about a connection.
    fn tcp_progress(&self, id: ConnId, now: Micros) -> Option<TcpProgress> {
        let mut peers = self.peers.iter();
        let peer = peers.find(|p| p.id == id && p.released.is_none())?;
        Some(peer.tcp_progress(now))
    }

    fn read_from(&mut self, index: usize, now: Micros) {
        let id = self.peers[index].id;
        if self.peers[index].released.is_some() || self.peers[index].connecting {
            return;
        }
        loop {
            let most = match self.engine.read_action(id, now) {
                ReadAction::Read(most) => most,
                ReadAction::Leftover => {
                    self.engine.on_leftover(id, now);
                    continue;
                }
                ReadAction::NextTurn => {
                    self.more = true;
                    return;
                }
                // The kernel still reports the reset.
                ReadAction::Paused if self.peers[index].reset => break,
                ReadAction::Paused | ReadAction::Ended => return,
            };
            let peer = &mut self.peers[index];
            let arrived = peer.inbound.front_mut().filter(|(at, _)| *at <= now);
            let Some((_, bytes)) = arrived else {
                self.engine.on_socket_empty(id, now);
                break;
            };
            let rest = bytes.split_off(most.min(bytes.len()));
            let bytes = std::mem::replace(bytes, rest);
            if peer
                .inbound
                .front()
                .is_some_and(|(_, rest)| rest.is_empty())
            {
                peer.inbound.pop_front();
            }
            let mut forward = self.engine.on_bytes(id, &bytes, now);
            while let Some(run) = forward {
                let written = self.write_run(&run, &bytes, now);
                forward = self.engine.on_forwarded(run, &bytes, written, now);
            }
        }
        let peer = &self.peers[index];
        if peer.reset {
            self.engine.on_error(id, &ErrorKind::ConnectionReset.into());
        } else if let Some(kind) = peer.unreadable {
            self.engine.on_error(id, &kind.into());
        } else if peer.half_closed && peer.inbound.is_empty() {
            self.engine.on_eof(id, now);
        }
    }

    /// Writes a forwarded run to its peer, as the reactor does: not to one that is behind.
    fn write_run(&mut self, run: &Forward, buffer: &[u8], now: Micros) -> io::Result<usize> {
        let to = run.to();
        let mut peers = self.peers.iter_mut();
        let peer = peers.find(|p| p.id == to && p.released.is_none() && !p.blocked);
        let Some(peer) = peer else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let taken = peer.take_bytes(&[IoSlice::new(&buffer[run.range()])])?;
        peer.parse_received(now);
        Ok(taken)
    }

    fn flush_to(&mut self, id: ConnId, now: Micros) {
        let Some(peer) = self
            .peers
            .iter_mut()
            .find(|p| p.id == id && p.released.is_none())
        else {
            return;
        };
        let stuck = self.engine.is_ping_queued(id);
        let before = peer.bytes.len();
        let mut socket = |slices: &[IoSlice<'_>]| peer.take_bytes(slices);
        let flushed = self.engine.flush(id, now, &mut socket);
        peer.fin |= flushed == FlushOutcome::Fin;
        if stuck && self.engine.is_open(id) && !self.engine.is_ping_queued(id) {
            peer.heartbeats.push(now);
        }
        let blocked = match flushed {
            FlushOutcome::Later => peer.blocked,
            flushed => flushed == FlushOutcome::Blocked,
        };
        let was_blocked = std::mem::replace(&mut peer.blocked, blocked);
        if peer.bytes.len() > before && was_blocked && stuck {
            peer.progress.push(now);
        }
        peer.parse_received(now);
    }
}
