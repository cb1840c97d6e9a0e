//! The ways in which the connection of a client is lost.

use super::world::World;
use pulsegate::testing::client_frame;
use pulsegate::time::Micros;
use pulsegate::wire::frame::{CLOSE, FIN};

impl World {
    /// Cuts the connections of a client and of some others, and lets their services send more than
    /// there is room for.
    pub fn stay_away(&mut self, visitor: usize) -> Result<(), String> {
        let ms = self.rng.u64(10_000..30_000);
        for other in 0..self.visitors.len() {
            if other == visitor || self.rng.bool() {
                self.cut(other)?;
                self.visitors[other].next_try = self.net.now() + Micros::from_millis(ms);
            }
        }
        for _ in 0..3 {
            for other in 0..self.visitors.len() {
                let count = [5, 300][self.rng.usize(0..2)];
                self.send_down(other, count);
            }
            self.net.settle();
        }
        let ms = self.rng.u64(0..20_000);
        self.pass(ms)
    }

    /// Cuts the connection of a client, most often while messages are on their way. A connection
    /// that is cut may end inside any frame, in either direction.
    pub fn cut(&mut self, visitor: usize) -> Result<(), String> {
        let is_up = |of: &super::visitor::Visitor| of.link.as_ref().is_some_and(|link| link.is_up);
        if !is_up(&self.visitors[visitor]) {
            return self.drop_early(visitor);
        }
        if self.rng.u8(0..4) > 0 {
            self.fill_the_way(visitor)?;
        }
        if !is_up(&self.visitors[visitor]) {
            return Ok(());
        }
        self.count_cut(visitor);
        let Some(mut link) = self.visitors[visitor].link.take() else {
            return Ok(());
        };
        let peer = link.peer;
        let next = {
            self.visitors[visitor].link = Some(link);
            self.make_messages(visitor, 1);
            let next = self.next_frame(visitor);
            link = self.visitors[visitor].link.take().ok_or("no link")?;
            next
        };
        let part = next.map_or(Vec::new(), |(_, mut frame)| {
            frame.truncate(self.rng.usize(0..=frame.len()));
            frame
        });
        match self.rng.u8(0..8) {
            0 => self.net.reset(peer),
            1 | 2 => {
                self.net.write(peer, &part);
                self.net.half_close(peer);
            }
            3 => {
                let mute = self.rng.usize(0..200);
                self.net.set_window(peer, Some(mute));
                self.net.mute(peer);
                self.abandoned.push(peer);
            }
            4 => {
                self.net.mute(peer);
                self.net.write(peer, &part);
                self.abandoned.push(peer);
            }
            5 => {
                // What is on its way arrives when the next connection has the session.
                let latency = self.rng.u64(50..3_000);
                self.net.set_latency(peer, latency);
                self.visitors[visitor].link = Some(link);
                let more = self.rng.u64(1..5);
                self.make_messages(visitor, more);
                self.write_up(visitor);
                self.visitors[visitor].link = None;
                self.abandoned.push(peer);
            }
            6 => {
                let left = self.rng.usize(0..5_000);
                self.net.reset_after(peer, left);
                self.net.mute(peer);
                self.abandoned.push(peer);
            }
            _ => {
                let payload = [vec![], vec![0x03, 0xE9]][self.rng.usize(0..2)].clone();
                self.net.write(peer, &client_frame(FIN | CLOSE, &payload));
            }
        }
        self.visitors[visitor].link = None;
        if let Some(at) = self.visitors[visitor].session {
            self.sessions[at].lost_at = Some(self.net.now());
        }
        self.wait(visitor);
        Ok(())
    }

    /// Lets both sides send something that the other has not acknowledged when the cut comes. What
    /// the service sends may be on its way in the gateway, or between it and the client.
    fn fill_the_way(&mut self, visitor: usize) -> Result<(), String> {
        let count = self.rng.u64(1..8);
        self.make_messages(visitor, count);
        self.write_up(visitor);
        if self.rng.bool() {
            let left = self.rng.usize(0..4_000);
            if let Some(link) = &mut self.visitors[visitor].link {
                link.is_slow = true;
                self.net.set_window(link.peer, Some(left));
            }
        }
        self.service_sends(visitor);
        if self.rng.bool() {
            self.settle()?;
        }
        Ok(())
    }

    fn count_cut(&mut self, visitor: usize) {
        let Some(at) = self.visitors[visitor].session else {
            return;
        };
        let session = &self.sessions[at];
        self.tally.cuts += 1;
        let is_up = session.made_up > session.acked_up;
        let is_down = session.made_down > session.told_down;
        self.tally.cuts_with_unacknowledged_up += u64::from(is_up);
        self.tally.cuts_with_unacknowledged_down += u64::from(is_down);
    }

    /// Loses a connection whose hello has not arrived.
    fn drop_early(&mut self, visitor: usize) -> Result<(), String> {
        let Some(link) = self.visitors[visitor].link.take() else {
            return Ok(());
        };
        match self.rng.u8(0..3) {
            0 => self.net.reset(link.peer),
            1 => self.net.half_close(link.peer),
            _ => {
                self.net.mute(link.peer);
                self.abandoned.push(link.peer);
            }
        }
        self.wait(visitor);
        Ok(())
    }
}
