//! Invariants between turns, and values that only tests read.

use super::conn::{Conn, Phase};
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::input_state::InputState;
use super::wheel::TICK;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::health::{HealthState, Risk};
use crate::wire::frame::CONTROL_MAX;

/// The bytes of our own frames that may wait for a connection of a pair: a ping, and a close.
const OWN_FRAMES: usize = 2 * (CONTROL_MAX + 6);

impl<H: Handler> Engine<H> {
    /// Checks the invariants after a turn.
    ///
    /// # Errors The first invariant that does not hold.
    pub(crate) fn audit(&self, now: Micros) -> Result<(), String> {
        let core = &self.core;
        let (mut pending, mut held, mut suspects, mut counted) = (0, 0, 0, 0);
        let (mut opening, mut closing, mut unidentified) = (0, 0, 0);
        let (mut dialing, mut linked) = (0, 0);
        let (mut risks, mut members, mut explorers) = ([0; Risk::ALL.len()], 0, 0);
        for (id, conn) in core.table.ids() {
            pending += conn.charged() as u64;
            counted += u64::from(conn.flags.has(Flag::Upgraded) && !ended(&conn.phase));
            opening += u64::from(conn.is_unopened());
            dialing += u64::from(conn.is_unopened() && conn.flags.has(Flag::Dialed));
            if conn.flags.has(Flag::Linked) {
                linked += if core.partner_of(id).is_some() { 1 } else { 2 };
            }
            if let Phase::Closing(closes) = &conn.phase {
                let is_websocket = conn.flags.has(Flag::Upgraded);
                closing += u64::from(is_websocket && !closes.end.reported);
                opening += u64::from(!is_websocket);
            }
            if let Phase::Opening(Some(head)) = &conn.phase {
                held += head.held;
                if head.held < head.bytes.len() as u64 {
                    return Err(format!(
                        "{id} holds more bytes of its request head than are counted"
                    ));
                }
            }
            if let Phase::Dialing(dialing) = &conn.phase {
                held += dialing.held;
            }
            unidentified += if conn.is_unidentified() {
                held_of(conn)
            } else {
                0
            };
            if let Phase::Open(input) = &conn.phase {
                suspects += u64::from(conn.health.state() == HealthState::Suspect);
                risks[conn.lates.risk() as usize] += 1;
                members += u64::from(core.foresight.cohorts.view(conn.cohort, now).is_some());
                if conn.policy.pace().explored().is_some() {
                    let explores = core.foresight.cohorts.cadence(conn.cohort).is_some();
                    explorers += u64::from(explores);
                }
                core.check_pace(conn).map_err(|e| format!("{id} {e}"))?;
                if let Some(input) = input {
                    held += input.held;
                    check_input(input).map_err(|e| format!("{id} {e}"))?;
                }
            }
            let Some(due) = conn.due(core.policy_of(conn), &core.config) else {
                return Err(format!("{id} has ended and its slot was not freed"));
            };
            if conn.flags.has(Flag::StaleQueued) {
                continue;
            }
            let Some(armed) = conn.armed() else {
                return Err(format!("{id} has no entry in the timer wheel"));
            };
            // A deferred connection that is heard again is overdue, and is handled with the next
            // tick.
            let next_tick = (now.0 / TICK.0 + 1) as u32;
            if due + TICK <= now && armed != next_tick {
                return Err(format!("{id} was due at {due}, and now it is {now}"));
            }
        }
        self.check_conn_sets()?;
        core.foresight.cohorts.audit()?;
        let mut late = core.late_records.keys();
        if let Some(id) = late.find(|id| core.table.get(**id).is_none()) {
            return Err(format!("{id} has ended, and its late heartbeats are kept"));
        }
        for (id, conn) in core.table.ids().filter(|(_, c)| c.flags.has(Flag::Linked)) {
            self.check_leg(id, conn).map_err(|e| format!("{id} {e}"))?;
        }
        let stats = &core.stats;
        let reported: u64 = (0..stats.causes.count())
            .map(|c| stats.closed(c) + stats.rejected[c] + stats.dials_failed[c])
            .sum();
        let told_but_here = core.table.ids().filter(|(_, c)| ended(&c.phase)).count() as u64;
        for (what, kept, found) in [
            ("pending bytes", stats.pending_bytes, pending),
            ("held bytes", stats.held_bytes, held),
            (
                "bytes of unidentified peers",
                stats.unidentified_bytes,
                unidentified,
            ),
            ("suspects", stats.suspects(), suspects),
            (
                "at high risk",
                stats.classes.iter().map(|c| c.risk_high).sum(),
                risks[2],
            ),
            (
                "at raised risk",
                stats.classes.iter().map(|c| c.risk_raised).sum(),
                risks[1],
            ),
            (
                "members of cohorts",
                core.foresight.cohorts.members(),
                members,
            ),
            (
                "connections that explore",
                core.foresight.cohorts.explorers(),
                explorers,
            ),
            ("opening", stats.opening(), opening),
            ("dialing", stats.dialing(), dialing),
            ("linked connections", 2 * stats.pairs, linked),
            (
                "closing",
                stats.classes.iter().map(|c| c.closing).sum(),
                closing,
            ),
            ("live", stats.live(), counted),
            (
                "accepted and dialled less ended",
                stats.accepted + stats.dialed - reported - stats.handed_over,
                core.table.len() as u64 - told_but_here,
            ),
        ] {
            if kept != found {
                return Err(format!(
                    "{what}: {kept} are accounted for, {found} were found"
                ));
            }
        }
        let made = (stats.accepted + stats.dialed) as usize;
        if core.wheel.entries() > 64 + 8 * (made + core.timers.len()) {
            return Err(format!(
                "{} entries in the timer wheel",
                core.wheel.entries()
            ));
        }
        Ok(())
    }

    /// Checks the invariants of one connection of a pair.
    fn check_leg(&self, id: ConnId, conn: &Conn) -> Result<(), String> {
        let core = &self.core;
        let Some(partner) = core.partner_of(id) else {
            return Ok(());
        };
        if core.partner_of(partner) != Some(id) {
            return Err(format!("is linked to {partner}, which is not linked to it"));
        }
        let Some(other) = core.table.get(partner) else {
            return Ok(());
        };
        let left = core.frame_left(id);
        let knows = other.flags.has(Flag::MidFrame);
        if conn.is_open() && other.takes_forwarded() && (left > 0) != knows {
            return Err(format!(
                "lacks {left} bytes of a frame, but its partner does not know"
            ));
        }
        // One whose socket has failed ends when its input is processed.
        let has_failed = matches!(&other.phase, Phase::Open(Some(i)) if i.failed.is_some());
        let is_behind = other.is_unopened() || has_failed || other.pending() > 16 * 1024;
        let is_paused = conn.flags.has(Flag::LinkPaused) && conn.is_open();
        if is_paused && !is_behind && !conn.is_stopped() {
            return Err("is paused although its partner has caught up".to_owned());
        }
        if conn.is_stopped() && !core.is_pair_closing(id, partner) {
            return Err("is stopped for a close that does not wait".to_owned());
        }
        // Control frames of ours do not pause it.
        let most = 64 * 1024 + OWN_FRAMES;
        if other.pending() > most && conn.is_open() && other.is_open() && !conn.is_paused() {
            let pending = other.pending();
            return Err(format!(
                "is read although its partner is {pending} bytes behind"
            ));
        }
        Ok(())
    }

    /// Returns the number of entries in the timer wheel, including those that are no longer valid.
    pub(crate) fn wheel_entries(&self) -> usize {
        self.core.wheel.entries()
    }

    /// Returns how many heartbeats that may become late are kept, and of how many connections the
    /// late ones are remembered.
    pub(crate) fn late_entries(&self) -> usize {
        self.core.late.len() + self.core.late_records.len()
    }

    /// Returns when this connection opened or, if it is not open yet, when it was accepted; `None`
    /// if there is no such connection.
    pub(crate) fn since(&self, id: ConnId) -> Option<Micros> {
        self.core.table.get(id).map(|c| c.since)
    }

    /// Returns whether this connection is open.
    pub(crate) fn is_open(&self, id: ConnId) -> bool {
        self.core.table.get(id).is_some_and(Conn::is_open)
    }

    /// Returns whether a heartbeat waits to be sent to this connection.
    pub(crate) fn is_ping_queued(&self, id: ConnId) -> bool {
        let conn = self.core.table.get(id);
        conn.is_some_and(|c| c.health.is_ping_queued())
    }
}

fn held_of(conn: &Conn) -> u64 {
    match &conn.phase {
        Phase::Opening(Some(head)) => head.held,
        Phase::Dialing(dialing) => dialing.held,
        Phase::Open(Some(input)) => input.held,
        _ => 0,
    }
}

/// Checks the invariants of a connection with work in progress.
fn check_input(input: &InputState) -> Result<(), String> {
    if input.is_at_rest() {
        return Err("is idle but not parked".to_owned());
    }
    if input.forward.as_ref().is_some_and(|f| f.is_at_rest()) {
        return Err("keeps a state of its stream although nothing is in progress".to_owned());
    }
    // A connection whose share is in progress is busy, and does not wait.
    let waits = input.throttled_since.is_some();
    if waits && !input.is_held() || input.is_held() && !input.is_busy() && !waits {
        return Err("is throttled but not counted as throttled, or the reverse".to_owned());
    }
    let frame = input.frame.as_ref().map_or(0, |f| f.control.len());
    let message = input.message.as_ref().map_or(0, |m| m.len());
    let own = (input.leftover.len() + frame + message) as u64;
    let least = own + input.unfinished.unwrap_or_default();
    if input.held < least {
        return Err(format!(
            "holds at least {least} bytes, but is charged {}",
            input.held
        ));
    }
    Ok(())
}

fn ended(phase: &Phase) -> bool {
    match phase {
        Phase::Closing(closing) => closing.end.reported,
        Phase::Dead(end) => end.reported,
        Phase::Opening(_) | Phase::Dialing(_) | Phase::Open(_) => false,
    }
}
