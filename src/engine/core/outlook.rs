//! Snapshots and forecasts of one connection.

use super::core::Core;
use crate::base::cause::{Cause, EndCode};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::flags::Flag;
use crate::engine::handshake_out::DialStage;
use crate::engine::view::{ConnView, HealthView, Outlook, PhaseView};
use crate::engine::wheel::PING_GRID;
use crate::health::Policy;

impl Core {
    pub(crate) fn view(&self, id: ConnId, now: Micros) -> Option<ConnView> {
        let conn = self.table.get(id)?;
        let (phase, held) = match &conn.phase {
            Phase::Opening(opening) => {
                let deferred = opening.as_ref().is_some_and(|o| o.deferred.is_some());
                let silent = opening.is_none();
                (PhaseView::Opening { silent, deferred }, 0)
            }
            Phase::Dialing(dialing) => {
                let connected = dialing.stage == DialStage::Answer;
                (PhaseView::Dialing { connected }, dialing.held)
            }
            Phase::Open(input) => (PhaseView::Open, input.as_ref().map_or(0, |m| m.held)),
            // A stale connection has ended as soon as it was detected: the host was told.
            Phase::Closing(closing) if closing.end.reported => return None,
            Phase::Closing(closing) => {
                let stage = closing.stage;
                let (cause, code) = (closing.end.cause, closing.end.code);
                let phase = PhaseView::Closing { cause, code, stage };
                (phase, 0)
            }
            Phase::Dead(_) => return None,
        };
        let record = self.late_records.get(&id);
        Some(ConnView {
            phase,
            class: conn.flags.has(Flag::Upgraded).then_some(conn.class),
            peer_addr: conn.peer_addr(),
            since: conn.since,
            heard: now - conn.health.silence(now),
            health: self.health_of(conn, now),
            pending: conn.pending(),
            blocked_since: conn.out.as_ref().and_then(|o| o.blocked_since()),
            held,
            throttled_since: match &conn.phase {
                Phase::Open(Some(input)) => input.throttled_since,
                _ => None,
            },
            paused: conn.is_paused(),
            dialed: conn.flags.has(Flag::Dialed),
            partner: self.partner_of(id),
            proxied: conn.flags.has(Flag::Proxied),
            late_heartbeats: record.map_or(0, |record| record.count),
            late_history: conn.lates,
            silence_evidence: record.and_then(|record| conn.evidence(record, now)),
            traffic: conn.traffic,
        })
    }

    /// Returns the cause of an end that has begun, and its code.
    pub(crate) fn end_begun(&self, id: ConnId) -> Option<(Cause, EndCode)> {
        match &self.table.get(id)?.phase {
            Phase::Closing(closing) => Some((closing.end.cause, closing.end.code)),
            Phase::Dead(end) => Some((end.cause, end.code)),
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Open(_) => None,
        }
    }

    pub(crate) fn outlook(&self, id: ConnId) -> Option<Outlook> {
        let conn = self.table.get(id)?;
        let policy = *self.policy_of(conn);
        let (ends_at, ends_for) = self.end_of(conn, &policy)?;
        let before_end = |at: &Micros| *at < ends_at;
        let open = conn.is_open();
        let (next_ping, blocked) = (beat(conn.health.ping_due(&policy)), conn.is_blocked());
        let asked = open && !conn.is_unread();
        let suspect_at = conn.health.suspect_at(&policy, blocked, beat);
        let mut outlook = Outlook {
            policy,
            own_policy: conn.policy.is_own(),
            pace: self.pace_view(conn),
            next_ping: Some(next_ping).filter(|at| asked && !blocked && before_end(at)),
            suspect_at: suspect_at.filter(|at| asked && before_end(at)),
            drained_by: None,
            ends_at,
            ends_for,
            deferred: conn.flags.has(Flag::StaleQueued),
        };
        if let Some(by) = self.drain_deadline(id) {
            outlook.drained(by);
        }
        Some(outlook)
    }

    /// Returns when and why a connection ends, with the checks in the order of
    /// [`final_check`](crate::engine::Engine::final_check).
    fn end_of(&self, conn: &Conn, policy: &Policy) -> Option<(Micros, Cause)> {
        match &conn.phase {
            Phase::Opening(opening) => {
                let due = conn.handshake_due(self.config.handshake_timeout);
                let cause = match opening {
                    Some(_) => Cause::HANDSHAKE_TIMEOUT,
                    None => Cause::PROBE,
                };
                Some((due, cause))
            }
            Phase::Dialing(dialing) => Some((dialing.due, dialing.stage.timeout_cause())),
            Phase::Open(Some(input)) if let Some(due) = input.close_due() => {
                Some((due, Cause::PARTNER_ENDED))
            }
            Phase::Open(_) => {
                let stale = (conn.health.stale_at(policy), Cause::STALE);
                let others = [
                    (conn.init_due(policy), Cause::INIT_TIMEOUT),
                    (conn.frame_due(), Cause::FRAME_TIMEOUT),
                    (conn.slow_due(&self.config), Cause::SLOW_CONSUMER),
                ];
                let others = others
                    .into_iter()
                    .filter_map(|(due, cause)| Some((due?, cause)));
                others.chain([stale]).min_by_key(|(due, _)| *due)
            }
            Phase::Closing(closing) => Some((closing.deadline, closing.end.cause)),
            Phase::Dead(_) => None,
        }
    }

    pub(crate) fn health(&self, id: ConnId, now: Micros) -> Option<HealthView> {
        let conn = self.table.get(id).filter(|c| c.is_open())?;
        Some(self.health_of(conn, now))
    }

    pub(crate) fn health_of(&self, conn: &Conn, now: Micros) -> HealthView {
        let (policy, health) = (self.policy_of(conn), &conn.health);
        HealthView {
            state: health.state(),
            silence: health.silence(now),
            unanswered: health.unanswered(),
            ping_waits: health.is_ping_queued(),
            rtt: health.rtt(),
            next_ping: health.ping_due(policy),
            deadline: health.stale_at(policy),
        }
    }
}

/// Returns when a heartbeat with this due time is sent.
fn beat(due: Micros) -> Micros {
    Micros(due.0.next_multiple_of(PING_GRID.0))
}
