//! Liveness: when a connection is declared dead or slow, and when it is pinged.

use super::world::{SLOW_AFTER, TICK, World, policy};
use pulsegate::ConnView;
use pulsegate::cause::Cause;
use pulsegate::time::Micros;

/// Pings are sent on this grid.
const PING_GRID: Micros = Micros::from_millis(10);

/// The length of a ping to the service.
const PING_LEN: usize = 14;

impl World {
    /// Checks that a silent peer is found on time, and that a waiting one is not blamed. The step
    /// began at `before`.
    pub(super) fn check_liveness(
        &mut self,
        pair: usize,
        side: usize,
        before: Micros,
    ) -> Result<(), String> {
        let peer = self.pairs[pair].sides[side].peer;
        if let Some(end) = self.net.ending(peer) {
            let cause = end.cause;
            return self.check_blame(pair, side, cause);
        }
        let id = self.net.id(peer);
        let view = self.net.with_io(|_, io| io.view(id));
        let Some(view) = view.filter(|_| self.net.is_open(peer)) else {
            return Ok(());
        };
        self.note_signs(pair, side, before, &view);
        if self.pairs[pair].is_ending() {
            return Ok(());
        }
        let (policy, now) = (policy(side == 0), self.net.now());
        let this = &mut self.pairs[pair].sides[side];
        if now > this.last_sign + policy.connection_timeout + TICK + Micros(1) {
            return Err(format!("silent since {} and still open", this.last_sign));
        }
        let is_late = |since: Micros, after| now > since + after + TICK;
        if let Some(since) = this.stuck_since.filter(|s| is_late(*s, SLOW_AFTER)) {
            return Err(format!("takes nothing since {since} and still open"));
        }
        let interval = policy.heartbeat_interval + PING_GRID;
        if let Some(since) = this.watched.filter(|s| is_late(*s, interval)) {
            return Err(format!("not pinged since {since}"));
        }
        Ok(())
    }

    /// Notes what the loop has heard of a peer, and what it knows of it otherwise.
    fn note_signs(&mut self, pair: usize, side: usize, before: Micros, view: &ConnView) {
        let (now, beat) = (self.net.now(), policy(side == 0).heartbeat_interval);
        let peer = self.pairs[pair].sides[side].peer;
        let came = self.net.leftover(peer).len();
        let [client, service] = &mut self.pairs[pair].sides;
        let (this, partner) = match side {
            0 => (client, service),
            _ => (service, client),
        };
        let taken = this.checked + came;
        let has_taken = taken > this.taken;
        if has_taken {
            (this.taken, this.took_at, this.last_sign) = (taken, before, now);
        }
        let is_stuck = view.pending > 0 && this.window.is_some() && !has_taken;
        // A ping may wait for the rest of a frame.
        let is_stuck = is_stuck && partner.rest.is_empty();
        let stuck_since = this.stuck_since.or(Some(now));
        this.stuck_since = stuck_since.filter(|_| is_stuck);
        if view.paused {
            (this.heard, this.whole_at) = (now, None);
        } else if let Some(at) = this.whole_at.take() {
            this.heard = this.heard.max(at);
        }
        // No ping can reach it before the rest of a frame that it has got in part.
        let has_taken_all = this.window.is_none() || view.pending <= PING_LEN;
        let is_inside = partner.long_begun(this).is_some() && has_taken_all && came > 0;
        let is_spared = is_inside && this.long_begun(partner).is_none();
        let was_spared = this.spared_since.is_some();
        this.spared_since = this.spared_since.or(Some(now)).filter(|_| is_spared);
        // When a ping is due meanwhile, the timeout starts again.
        let beat = beat + PING_GRID + TICK;
        if this.spared_since.is_some_and(|since| now > since + beat) {
            this.heard = this.heard.max(now - beat);
        }
        if view.paused || this.is_paused || is_spared || was_spared || partner.window.is_some() {
            this.last_sign = now;
        }
        this.is_paused = view.paused;
        let is_plain = this.window.is_none() && !view.paused && !is_inside;
        this.watched = this.watched.or(Some(now)).filter(|_| is_plain);
    }

    /// Checks that a connection was not declared dead or slow too soon.
    fn check_blame(&mut self, pair: usize, side: usize, cause: Cause) -> Result<(), String> {
        let this = &self.pairs[pair].sides[side];
        let id = self.net.id(this.peer);
        let at = self.net.host().ended.get(&id).copied();
        let at = at.ok_or("an end that was not reported")?;
        let this = &mut self.pairs[pair].sides[side];
        if std::mem::replace(&mut this.is_blamed, true) {
            return Ok(());
        }
        if cause == Cause::STALE {
            let moved = self.net.progress_at(this.peer).iter().filter(|t| **t < at);
            let alive_at = this.heard.max(moved.copied().max().unwrap_or_default());
            if this.is_paused || this.spared_since.is_some() {
                return Err("closed as stale although it was not read or not pinged".to_owned());
            }
            if at < alive_at + policy(side == 0).connection_timeout {
                return Err(format!("closed as stale at {at}, alive at {alive_at}"));
            }
        }
        if cause == Cause::SLOW_CONSUMER && (!this.is_slow || at < this.took_at + SLOW_AFTER) {
            return Err(format!(
                "closed as slow at {at}, took bytes at {}",
                this.took_at
            ));
        }
        Ok(())
    }
}
