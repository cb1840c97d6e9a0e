//! The pace of heartbeats: what an idle gap has proven, and which interval follows from it.
//!
//! Only connections of a cohort are paced. Dialled ones have none. Each leg of a linked pair is
//! judged by itself, and of a pair only the accepted one is paced. A connection with its own policy
//! keeps that. So does one for which not every frame is a sign of life, or whose heartbeats are
//! texts: when the last byte has passed is not known of it. And so does one whose late heartbeats
//! are not found: its death would not be found either.

use super::core::{Core, seed};
use crate::base::cause::{Cause, CauseKind};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::cohorts::{learned, seconds};
use crate::engine::conn::Conn;
use crate::engine::flags::Flag;
use crate::engine::view::PaceView;
use crate::health::{HeartbeatForm, Pace, PaceInput, Policy, Risk};
use crate::wire::frame::Role;
use crate::wire::heartbeat::PING_LEN;

/// Of the heartbeats at the configured interval one of this many counts, for all of them. It is
/// also how many heartbeats test one interval before the next longer one.
const SAMPLE: u16 = 4;

impl Core {
    /// Takes an answered heartbeat that was sent after this idle gap, and chooses the next pace.
    pub(crate) fn pace_answered(&mut self, id: ConnId, gap: Micros, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let pace = conn.policy.pace();
        let is_sample = is_sample(conn);
        if pace == Pace::Configured && !is_sample {
            return;
        }
        let stands_for = match pace {
            Pace::Configured => SAMPLE,
            _ => 1,
        };
        let cadence = self.foresight.cohorts.cadence_mut(conn.cohort);
        if let Some((cadence, members)) = cadence {
            cadence.on_survived(gap, pace, stands_for, members);
        }
        self.choose_pace(id, now);
    }

    /// Chooses the pace of a connection, and applies it.
    pub(crate) fn choose_pace(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let (Some(rules), Some(configured)) = (
            &self.config.cadence,
            self.policies.configured(conn.class, conn.policy),
        ) else {
            return;
        };
        let pace = conn.policy.pace();
        let is_paced = self.is_paced(conn, configured);
        let cadence = self.foresight.cohorts.cadence_mut(conn.cohort);
        let next = match cadence.filter(|_| is_paced) {
            Some((cadence, members)) => {
                let input = PaceInput {
                    configured: configured.heartbeat_interval,
                    longest: rules.longest(),
                    is_calm: conn.lates.sent_since_late().is_none_or(|sent| sent >= 3),
                    is_at_risk: conn.lates.risk() == Risk::High,
                    unanswered: conn.health.unanswered(),
                    may_grow: is_sample(conn),
                    members,
                    now: seconds(now),
                };
                cadence.choose(pace, &input)
            }
            None => Pace::Configured,
        };
        if next != pace {
            self.set_pace(id, next, now);
        }
    }

    /// Returns why an open connection has its interval, if intervals adapt and its may.
    pub(super) fn pace_view(&self, conn: &Conn) -> Option<PaceView> {
        let rules = self.config.cadence?;
        let configured = self.policies.configured(conn.class, conn.policy)?;
        let cadence = self.foresight.cohorts.cadence(conn.cohort)?;
        (conn.is_open() && self.is_paced(conn, configured)).then(|| PaceView {
            pace: conn.policy.pace(),
            configured: configured.heartbeat_interval,
            longest: rules.longest(),
            learned: learned(cadence, self.turn_now),
        })
    }

    fn is_paced(&self, conn: &Conn, configured: &Policy) -> bool {
        conn.health.counts_all()
            && conn.health.form() == HeartbeatForm::Ping
            && configured.late
            && self.late.is_kept()
    }

    /// Checks that the interval of a connection is not longer than its rules allow, and its timeout
    /// neither shorter than the configured one nor than three intervals that were made longer.
    ///
    /// # Errors
    /// What does not hold.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check_pace(&self, conn: &Conn) -> Result<(), String> {
        let Some(configured) = self.policies.configured(conn.class, conn.policy) else {
            return Ok(());
        };
        let (pace, policy) = (conn.policy.pace(), self.policy_of(conn));
        let (interval, timeout) = (policy.heartbeat_interval, policy.connection_timeout);
        let is_longer = interval > configured.heartbeat_interval;
        if let Some(rules) = &self.config.cadence
            && self.migration.is_none()
            && is_longer
            && interval > rules.longest()
        {
            return Err(format!(
                "has an interval of {interval}, above its limit: {pace:?}"
            ));
        }
        let is_short = is_longer && timeout.0 < 3 * interval.0;
        if timeout < configured.connection_timeout || is_short {
            return Err(format!(
                "has a timeout of {timeout} for {interval}: {pace:?}"
            ));
        }
        Ok(())
    }

    fn set_pace(&mut self, id: ConnId, pace: Pace, now: Micros) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let former = *self.policies.of(conn.class, conn.policy);
        conn.policy = conn.policy.at_pace(pace);
        let policy = self.policies.of(conn.class, conn.policy);
        conn.health.change_policy(&former, policy, now, seed(id));
        if conn.flags.has(Flag::Linked) {
            conn.health.use_pings();
        }
        self.arm(id);
    }

    /// Records that an open connection ends for this cause, if it was lost: neither side wanted it
    /// to end, or its peer came back. A heartbeat that it did not answer speaks against the idle
    /// gap before that heartbeat. Losses that are our own fault say nothing about gaps, and those
    /// of an outage of the network do not either.
    pub(super) fn note_gap_death(&mut self, id: ConnId, cause: Cause, now: Micros) {
        let is_loss = cause.kind() == CauseKind::Loss || cause == Cause::REPLACED;
        let Some(conn) = self.table.get(id).filter(|conn| is_loss && conn.is_open()) else {
            return;
        };
        let pace = conn.policy.pace();
        let record = self.late_records.get(&id);
        let evidence = record.and_then(|record| conn.evidence(record, now));
        let gap = match evidence {
            Some(evidence) => Some(evidence.idle_before),
            None => conn.health.idle_before(),
        };
        let gap = gap.filter(|_| conn.flags.has(Flag::IdleBefore));
        let silence = conn.health.silence(now);
        let is_own_fault = self.foresight.fleet.own_fault(now).is_some();
        let is_alarmed = self.foresight.cohorts.is_alarmed(conn.cohort);
        let Some((cadence, members)) = self.foresight.cohorts.cadence_mut(conn.cohort) else {
            return;
        };
        match gap {
            _ if is_own_fault => {}
            _ if is_alarmed && cadence.is_excused_by_alarm(seconds(now)) => {}
            Some(gap) => cadence.on_died(gap, pace, members, seconds(now)),
            // Its peer may have found out first, by sending something.
            None => cadence.on_lost(silence, pace, members, seconds(now)),
        }
    }
}

impl Conn {
    /// Notes whether an idle gap ends with the heartbeat that was just sent, which ends at this
    /// count of bytes. After an unanswered heartbeat, the gap before the first one counts.
    #[inline]
    pub(crate) fn note_gap(&mut self, end: u32) {
        if self.health.unanswered() > 0 {
            return;
        }
        let is_idle = self.ping_end.wrapping_add(PING_LEN) == end && self.role() == Role::Server;
        match is_idle {
            true => self.flags.set(Flag::IdleBefore),
            false => {
                self.flags.take(Flag::IdleBefore);
            }
        }
    }

    /// Returns how long nothing had passed when the heartbeat was sent that is answered now; zero
    /// if that is not known.
    #[inline]
    pub(crate) fn idle_gap(&self, sent: Micros) -> Micros {
        match self.flags.has(Flag::IdleBefore) {
            true => self.health.silence(sent),
            false => Micros::ZERO,
        }
    }
}

fn is_sample(conn: &Conn) -> bool {
    conn.health.heartbeat_number().is_multiple_of(SAMPLE.into())
}
