//! What operators do: drains, kicks, blocks, reloads.

use super::ground_truth::Truth;
use super::world::{CLIENTS, ROUTE, SERVICES, UPSTREAM, World};
use pulsegate::gateway::{Gateway, KickOutcome};
use pulsegate::time::Micros;

impl World {
    pub fn operate(&mut self, visitor: usize) -> Result<(), String> {
        let spread = Micros::from_millis(self.rng.u64(0..3_000));
        match self.rng.u8(0..6) {
            0 => self.drain_class(CLIENTS, spread),
            1 => self.drain_class(SERVICES, spread),
            2 => self.drain_or_resume_upstream(spread),
            3 | 4 => self.kick(visitor),
            _ => {
                // Nothing changes for sessions that are there.
                let limits = self.limits;
                self.net.with_io(|gateway, _| {
                    let bridge = gateway.bridge().expect("a bridge");
                    bridge.set_session_limits(limits);
                });
            }
        }
        Ok(())
    }

    fn excuse_all(&mut self, why: &'static str) {
        self.sessions
            .iter_mut()
            .for_each(|s: &mut Truth| s.excuse(why));
    }

    fn drain_class(&mut self, class: pulsegate::Class, spread: Micros) {
        self.tally.drains += 1;
        self.drained_until = self.net.now() + spread + Micros::from_secs(1);
        self.excuse_all("a class was drained");
        self.net.with_io(|gateway: &mut Gateway, io| {
            gateway.drain_class(io, class, spread, Micros::ZERO);
        });
    }

    fn drain_or_resume_upstream(&mut self, spread: Micros) {
        self.excuse_all("the upstream was drained");
        let is_drained = self.is_upstream_drained;
        self.net.with_io(|gateway: &mut Gateway, io| {
            let bridge = gateway.bridge().expect("a bridge");
            match is_drained {
                true => assert!(bridge.resume_upstream(io.now(), ROUTE, UPSTREAM).is_some()),
                false => {
                    let drained = bridge.drain_upstream(io, ROUTE, UPSTREAM, spread);
                    assert!(drained.is_some(), "there is one");
                }
            }
        });
        self.is_upstream_drained = !is_drained;
        self.was_upstream_drained = true;
    }

    pub fn operate_upstream_back(&mut self) {
        self.drain_or_resume_upstream(Micros::ZERO);
    }

    /// Closes the connection of a client, and keeps its user away for a time.
    fn kick(&mut self, visitor: usize) {
        let Some(link) = &self.visitors[visitor].link else {
            return;
        };
        let id = self.net.id(link.peer);
        let block = Micros::from_millis([0, 3_000][self.rng.usize(0..2)]);
        let kicked = self
            .net
            .with_io(|gateway: &mut Gateway, io| gateway.kick(io, id, "kicked", block));
        if !matches!(kicked, KickOutcome::Done { .. }) {
            return;
        }
        let user = self.visitors[visitor].user;
        for session in &mut self.sessions {
            let of = session.visitor;
            let is_theirs = of != usize::MAX && self.visitors[of].user == user;
            if of == visitor || (block > Micros::ZERO && is_theirs) {
                session.excuse("kicked");
            }
        }
        if block > Micros::ZERO {
            self.blocked.insert(user, self.net.now() + block);
        }
    }
}
