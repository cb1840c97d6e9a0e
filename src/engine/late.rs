//! Late heartbeats: which ones may be late, the judgement after one more read, what is kept of it,
//! and what the host is told.
//!
//! A heartbeat is late if it is unanswered for longer than answers of this peer usually take
//! ([`Health::late_after`](crate::health::Health::late_after)). This is known long before the peer
//! becomes suspect, and early enough to ask the kernel what it knows.

use super::conn::Conn;
use super::core::Core;
use super::engine::Engine;
use super::handler::Handler;
use super::silence::{KernelEvidence, LateRecord, SilenceEvidence};
use super::tcp_progress::TcpProgress;
use super::work::LATE_JUDGEMENT;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::flags::Flag;

/// The most calls about cohorts in one turn.
const TOLD_PER_TURN: usize = 64;

impl<H: Handler> Engine<H> {
    /// Returns a connection whose latest heartbeat may be late. The driver reads its socket once
    /// more as [`read_action`](Engine::read_action) says, and passes on the input. If that was all
    /// of the input, it calls [`on_late`](Engine::on_late). At most 64 in one turn; the others
    /// wait.
    ///
    /// A driver that calls this in each turn until it returns `None` is woken for late heartbeats.
    /// For one that does not, no heartbeat is kept or judged.
    #[inline]
    pub fn next_late(&mut self, now: Micros) -> Option<ConnId> {
        while self.core.late_left > 0 {
            let beat = self.core.late.take(now)?;
            self.core.late_left -= 1;
            // Mostly it was answered long ago.
            let Some((id, conn)) = self.core.table.in_slot(beat.slot) else {
                continue;
            };
            let may_be_late = conn.health.may_be_late(beat.sent)
                || sabotage::on(Bug::LateAnswered) && beat.sent.is_multiple_of(7);
            if !may_be_late || !conn.is_open() || !self.core.policy_of(conn).late {
                continue;
            }
            if !self.core.work.late_has_room() {
                self.core.late.put_back(beat);
                return None;
            }
            self.core.late_left = self.core.late_left.saturating_sub(LATE_JUDGEMENT);
            return Some(id);
        }
        None
    }

    /// Judges a heartbeat that may be late, now that the socket was read to its end. If the peer
    /// was still not heard, the heartbeat is late, and `kernel` is called for the kernel's data
    /// about the connection; `None` counts as no evidence.
    pub fn on_late(
        &mut self,
        id: ConnId,
        kernel: impl FnOnce() -> Option<TcpProgress>,
        now: Micros,
    ) {
        self.end_share(now);
        let Some(conn) = self.core.table.get_mut(id).filter(|c| c.is_open()) else {
            return;
        };
        // Its answer may be among the input that waits in our memory, or in a socket that is not
        // read now.
        if conn.is_unread() && !sabotage::on(Bug::LateUnread) {
            return;
        }
        let waited = match conn.health.mark_late(now) {
            None if sabotage::on(Bug::LateAnswered) => Micros(1),
            None => {
                if sabotage::on(Bug::KernelAskedTooOften) {
                    kernel();
                }
                return;
            }
            Some(_) if sabotage::on(Bug::LateForgotten) && (now.0 / 10_000).is_multiple_of(2) => {
                return;
            }
            Some(waited) => waited,
        };
        let kernel = kernel().map(|progress| conn.kernel_evidence(progress));
        let heard = now - conn.health.silence(now);
        self.core.stats.classes[usize::from(conn.class.0)].late += 1;
        let record = self.core.late_records.entry(id).or_default();
        let earlier = record.latest.filter(|earlier| earlier.at >= heard);
        let evidence = SilenceEvidence {
            at: now,
            waited,
            idle_before: earlier.map_or(now - waited - heard, |earlier| earlier.idle_before),
            kernel,
        };
        record.count = record.count.saturating_add(1);
        record.latest = Some(evidence);
        self.foresee(id, now);
        self.call(now, |handler, io| handler.on_late(io, id, &evidence));
        self.settle(now);
    }

    /// Takes a late heartbeat as a sign of what comes.
    fn foresee(&mut self, id: ConnId, now: Micros) {
        let own_key = || u64::from(id.generation()) << 32 | u64::from(id.slot_u32());
        let peer = self.handler.peer_key(id).unwrap_or_else(own_key);
        let Core {
            table,
            stats,
            foresight,
            ..
        } = &mut self.core;
        let Some(conn) = table.get_mut(id) else {
            return;
        };
        let class = &mut stats.classes[usize::from(conn.class.0)];
        let counts = foresight.on_late(conn, class, peer, now);
        stats.lates_excused += u64::from(!counts);
        if counts && self.core.config.cadence.is_some() {
            self.core.choose_pace(id, now);
        }
    }

    /// Tells the host which cohorts have stopped answering, or answer again.
    #[inline]
    pub(super) fn tell_cohorts(&mut self, now: Micros) {
        for _ in 0..TOLD_PER_TURN {
            let Some((change, view)) = self.core.foresight.take_news() else {
                return;
            };
            self.call(now, |handler, io| handler.on_cohort(io, change, &view));
        }
    }
}

impl Core {
    /// Forgets what was seen of a peer that has answered the heartbeat, if its answers are no signs
    /// of life.
    pub(crate) fn forget_evidence(&mut self, id: ConnId) {
        if let Some(record) = self.late_records.get_mut(&id) {
            record.latest = None;
        }
    }
}

impl Conn {
    /// Returns what the kernel's data says about the latest heartbeat.
    fn kernel_evidence(&self, progress: TcpProgress) -> KernelEvidence {
        // The low halves suffice: at most 2 GiB are in flight.
        let missing = self.ping_end.wrapping_sub(progress.acked as u32) as i32;
        KernelEvidence {
            heartbeat_acked: missing <= 0,
            in_flight: progress.in_flight,
            backoff: progress.backoff,
            retransmits: progress.retransmits,
            probes: progress.probes,
            proxy: self.flags.has(Flag::Proxied),
        }
    }

    /// Returns what was seen in the peer's silence up to `now`, if it is still silent.
    pub(crate) fn evidence(&self, record: &LateRecord, now: Micros) -> Option<SilenceEvidence> {
        let heard = now - self.health.silence(now);
        let is_silent = self.health.unanswered() > 0;
        record
            .latest
            .filter(|latest| is_silent && latest.at >= heard)
    }
}
