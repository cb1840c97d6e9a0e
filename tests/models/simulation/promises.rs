//! The engine's promises, checked after each step and at the end.

use super::messages::{beat_number, intact, read_tag};
use super::world::{PING_GRID, TICK, World};
use pulsegate::cause::Cause;
use pulsegate::engine::{Message, TURN_UNITS};
use pulsegate::health::{AliveBy, HeartbeatForm, HeartbeatMode};
use pulsegate::testing::Received;
use pulsegate::time::Micros;

impl World {
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.net.check()?;
        if let Some(wrong) = self.net.host().wrong.first() {
            return Err(wrong.clone());
        }
        let stats = self.net.engine().stats();
        let (turn, frame) = (stats.turn_units_max, stats.frame_units_max);
        if turn > TURN_UNITS + 2 * frame {
            return Err(format!("{turn} units in one turn, {frame} for one frame"));
        }
        if self.net.now() != self.time {
            return Err(format!("a stall counts: it should be {}", self.time));
        }
        for index in 0..self.shadows.len() {
            let checked = self.check_peer(index);
            checked.and_then(|()| self.check_late(index)).map_err(|e| {
                format!(
                    "peer {index} ({}): {e}",
                    self.net.id(self.shadows[index].peer)
                )
            })?;
        }
        Ok(())
    }

    pub(super) fn check_peer(&mut self, index: usize) -> Result<(), String> {
        let now = self.net.now();
        let peer = self.shadows[index].peer;
        for received in self.net.received(peer) {
            self.check_received(index, received)?;
        }
        let (open, id) = (self.net.is_open(peer), self.net.id(peer));
        let told = self.net.host().told.get(&id).copied();
        let heard_at = self.heard_at(index, told.map_or(now, |(_, at)| at));
        // Data may excuse a peer that is alive by its answers: it cannot answer inside a message.
        let data_at = self.shadows[index].arrivals.iter();
        let data_at = data_at.filter(|at| **at <= now).copied().max();
        let shadow = &mut self.shadows[index];
        let policy = self.policies[shadow.class];
        let heard_at = heard_at.max(shadow.spared);
        let excused = match policy.alive_by {
            AliveBy::Any | AliveBy::Data => shadow.excused,
            AliveBy::Pong => shadow.excused.max(data_at.unwrap_or_default()),
        };
        let (timeout, interval) = (policy.connection_timeout, policy.heartbeat_interval);
        let plain = open && !shadow.ever_windowed && !shadow.ever_unread && shadow.latency == 0;
        if open
            && !self.limited
            && !shadow.ever_windowed
            && !shadow.ever_unread
            && shadow.host_rest.is_none()
            && now > heard_at.max(excused) + timeout + TICK + Micros(1)
        {
            return Err(format!("silent since {heard_at} and still open"));
        }
        if plain && !shadow.accepted.is_empty() {
            return Err(format!(
                "{} messages were taken and did not come",
                shadow.accepted.len()
            ));
        }
        if plain && !shadow.muted && !shadow.gone && !shadow.pongs.is_empty() {
            return Err(format!("{} pings were not answered", shadow.pongs.len()));
        }
        let is_asked = !self.limited && shadow.host_rest.is_none();
        if plain && is_asked && policy.mode == HeartbeatMode::Always {
            let since = *shadow.watched_since.get_or_insert(now);
            if now > since + interval + PING_GRID + TICK {
                return Err(format!("not pinged since {since}"));
            }
        }
        if let Some((cause, at)) = told {
            if !self.old_ids.contains(&id) {
                self.old_ids.push(id);
                // Its own close frame is sent at the moment of its death.
                let moved = self.net.progress_at(peer).iter().filter(|t| **t < at);
                let progress = moved.copied().max().unwrap_or_default();
                let alive_at = heard_at.max(progress);
                if cause == Cause::STALE && at < alive_at + timeout {
                    return Err(format!(
                        "closed as stale at {at}, alive at {alive_at} by {:?}",
                        policy.alive_by
                    ));
                }
                if cause == Cause::STALE && shadow.paused {
                    return Err("closed as stale while it is not read".to_owned());
                }
                let peers_fault =
                    [Cause::PROTOCOL, Cause::INVALID_DATA, Cause::TOO_BIG].contains(&cause);
                if peers_fault && !shadow.misbehaved {
                    return Err(format!("closed for {cause} without fault"));
                }
                let forgiven = self.net.host().farewells.contains(&id);
                if cause == Cause::KICKED && !shadow.closed_by_host && !forgiven {
                    return Err("kicked, but not by the host".to_owned());
                }
            }
            shadow.gone = true;
        }
        if self.net.released(peer).is_some() {
            shadow.gone = true;
        }
        Ok(())
    }

    /// Returns when the server last had something to hear from this peer, as of `at`.
    pub(super) fn heard_at(&self, index: usize, at: Micros) -> Micros {
        let shadow = &self.shadows[index];
        // Of a peer that has left its slot, only what arrived is known.
        let opened = self.net.opened_at(shadow.peer).unwrap_or_default();
        let answers = self.net.answered_at(shadow.peer);
        let policy = &self.policies[shadow.class];
        let pongs_only = policy.heartbeat_form == HeartbeatForm::Ping;
        let counted: [&[Micros]; 3] = match policy.alive_by {
            AliveBy::Any => [&shadow.arrivals, answers, &shadow.controls],
            AliveBy::Data if pongs_only => [&shadow.arrivals, &[], &[]],
            AliveBy::Data => [&shadow.arrivals, answers, &[]],
            AliveBy::Pong => [answers, &[], &[]],
        };
        let counted = counted.into_iter().flatten().filter(|a| **a <= at);
        counted.copied().fold(opened, Micros::max)
    }

    pub(super) fn check_received(
        &mut self,
        index: usize,
        received: Received,
    ) -> Result<(), String> {
        let shadow = &mut self.shadows[index];
        match received {
            Received::Fragment(0x02, part) if shadow.receiving.is_none() => {
                shadow.receiving = Some(part);
            }
            Received::Message(message) if shadow.receiving.is_some() => {
                return Err(format!("{message:?} inside a message"));
            }
            Received::Message(Message::Text(text)) if beat_number(&text).is_some() => {
                self.check_heartbeat(index)?;
            }
            Received::Message(_) | Received::Fragment(..) => {
                let data = match received {
                    Received::Message(message) => message.into_data().to_vec(),
                    Received::Fragment(0x80, rest) => match shadow.receiving.take() {
                        Some(part) => [part, rest].concat(),
                        None => return Err("the end of no message".to_owned()),
                    },
                    other => return Err(format!("received {other:?}")),
                };
                let (tag, seq) = read_tag(&data);
                if tag != index as u32 || shadow.accepted.pop_front() != Some(seq) || !intact(&data)
                {
                    return Err(format!("received {tag}/{seq}"));
                }
            }
            Received::Pong(payload) => {
                if shadow.pongs.pop_front().as_ref() != Some(&payload) {
                    return Err(format!("received a pong to {payload:?}"));
                }
            }
            Received::Ping(_) => self.check_heartbeat(index)?,
            Received::Close(..) => {}
        }
        Ok(())
    }

    /// Checks a heartbeat that has just arrived.
    fn check_heartbeat(&mut self, index: usize) -> Result<(), String> {
        let now = self.net.now();
        let shadow = &mut self.shadows[index];
        let least = self.policies[shadow.class].heartbeat_interval;
        shadow.watched_since = Some(now);
        if let Some(last) = shadow.last_ping.replace(now)
            // A step may take 400 ms, and the ping may have been sent at its beginning.
            && now + Micros::from_millis(400) + TICK < last + least
        {
            return Err(format!("pinged at {last} and again"));
        }
        Ok(())
    }

    /// Disconnects all peers; then nothing may be left.
    pub(super) fn finish(mut self) -> Result<(), String> {
        for _ in 0..30 {
            self.net.advance(400);
            self.time += Micros::from_millis(400);
            self.check()?;
        }
        self.net.shutdown();
        self.net.advance(60_000);
        self.time += Micros::from_millis(60_000);
        self.check()?;
        let stats = self.net.engine().stats().clone();
        let owed = self.net.host().owed.len();
        let timers = self.net.host().timers.len();
        let entries = (self.net.wheel_entries(), self.net.late_entries());
        let left = (self.net.engine().len(), owed, timers, entries);
        if left != (0, 0, 0, (0, 0)) {
            return Err(format!(
                "(connections, endings, timers, entries of wheel and late queue) left: {left:?}"
            ));
        }
        let closed: u64 = (0..Cause::COUNT).map(|c| stats.closed(c)).sum();
        if stats.opened() != closed {
            return Err(format!("{} opened, {closed} closed", stats.opened()));
        }
        Ok(())
    }
}
