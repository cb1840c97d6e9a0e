//! Deadlines: due connections, the final check, and deferred stale closes.

use super::conn::{self, Conn, Phase};
use super::core::{Core, FiredSlots};
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::tcp_progress::TcpProgress;
use super::timers::{TimerPurpose, Timers};
use super::verdict::Overdue;
use super::view::CloseStage;
use super::wheel::{PING_GRID, TICK, Tick};
use super::work::DEADLINES_PER_TURN;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::{AliveBy, HealthAction, LifeSign, Policy, StaleAction};
use crate::wire::http::{Reply, ReplyForm};

/// Why a connection is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The connection's deadline has fired. If the connection seems stale, its socket must be read
    /// first.
    Fired,
    /// The connection's socket was read, so it may be declared stale now.
    Final,
    /// The connection's socket was read, and a token was taken for its deferred stale close.
    Granted,
}

impl<H: Handler> Engine<H> {
    /// Fires the deadlines up to `now`, at most 2 048 in one turn, and advances the work that takes
    /// many turns.
    pub fn advance(&mut self, now: Micros) {
        self.end_share(now);
        self.core.turn_now = now;
        for _ in 0..DEADLINES_PER_TURN {
            let Some((tick, slot)) = self.next_fired(now) else {
                break;
            };
            match Timers::index(slot) {
                Some(index) => self.process_timer(index, tick, now),
                None => self.process_deadline(slot, tick, now),
            }
        }
        self.core
            .foresight
            .end_second(&self.core.stats.lateness, now);
        self.grant_stale_closes(now);
        self.core.migrate_batch(now);
        self.core.broadcast_batch(now);
        self.core.relieve_shortage(now);
        self.settle(now);
    }

    /// Returns the next due entry of the wheel.
    fn next_fired(&mut self, now: Micros) -> Option<(Tick, u32)> {
        let fired = &mut self.core.fired;
        if let Some(slot) = fired.slots.get(fired.handled) {
            fired.handled += 1;
            return Some((fired.tick, *slot));
        }
        let (tick, slots) = self.core.wheel.next(now)?;
        self.core.table.prefetch(&slots);
        let first = slots.first().copied();
        self.core.fired = FiredSlots {
            tick,
            slots,
            handled: 1,
        };
        first.map(|slot| (tick, slot))
    }

    /// Returns a connection that seems stale. The driver reads its socket once more as
    /// [`read_action`](Engine::read_action) says, passes on the input, then calls
    /// [`final_check`](Engine::final_check). At most 64 in one turn; the others wait.
    pub fn next_final_check(&mut self) -> Option<ConnId> {
        self.core.work.begin_final_checks();
        self.core.final_checks_left = self.core.final_checks_left.checked_sub(1)?;
        if !self.core.work.turn_has_room() {
            return None;
        }
        let id = self.core.final_checks.pop_front()?;
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.flags.take(Flag::FinalCheck);
        }
        Some(id)
    }

    /// Closes a connection that seems stale if it is still silent. `progress`: the kernel's data
    /// about it; `None` counts as no evidence.
    pub fn final_check(&mut self, id: ConnId, progress: Option<TcpProgress>, now: Micros) {
        if let Some(progress) = progress {
            self.on_tcp_progress(id, progress, now);
        }
        self.check(id, now, Check::Final);
        self.settle(now);
    }

    fn process_deadline(&mut self, slot: u32, tick: Tick, now: Micros) {
        let Some(id) = self.core.table.id_in_slot(slot) else {
            return;
        };
        let Some(conn) = self
            .core
            .table
            .get_mut(id)
            .filter(|c| c.armed() == Some(tick))
        else {
            return;
        };
        conn.set_armed(None);
        let policy = self.core.policies.of(conn.class, conn.policy);
        let Some(due) = conn.due(policy, &self.core.config) else {
            return;
        };
        if due <= now {
            self.core.stats.lateness.record((now - due).0);
            let check = if sabotage::on(Bug::NoLastLook) {
                Check::Final
            } else {
                Check::Fired
            };
            self.check(id, now, check);
        } else {
            // It was heard in the meantime, or the deadline was beyond the wheel's horizon.
            self.core.arm(id);
        }
    }

    /// Handles the deadlines of a connection that are due.
    fn check(&mut self, id: ConnId, now: Micros, check: Check) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let policy = *self.core.policies.of(conn.class, conn.policy);
        let judged = check != Check::Fired;
        let check = if judged && conn.flags.take(Flag::StaleGranted) {
            Check::Granted
        } else {
            check
        };
        let mut conn = conn;
        if conn.forward_input().is_some() {
            if self.check_leg_close(id, now) {
                if check == Check::Granted {
                    self.core.bucket.give_back();
                }
                return;
            }
            let Some(still) = self.core.table.get_mut(id) else {
                return;
            };
            conn = still;
        }
        match &conn.phase {
            // It is checked early because a newer connection needs its place.
            Phase::Opening(_) | Phase::Closing(_) if judged && conn.is_plain_http() => {
                self.evict_half_open(id, now);
                return;
            }
            Phase::Opening(None) => {
                if now >= conn.handshake_due(self.core.config.handshake_timeout) {
                    self.end_as_probe(id);
                    return;
                }
            }
            Phase::Opening(Some(opening)) => {
                let due = conn.handshake_due(self.core.config.handshake_timeout);
                if now >= due {
                    let what = if opening.deferred.is_some() {
                        "verdict"
                    } else {
                        "request head"
                    };
                    let reply =
                        Reply::error(408, &format!("no {what} within {}", due - conn.since));
                    self.core
                        .reply(id, &reply, ReplyForm::Whole, Cause::HANDSHAKE_TIMEOUT, now);
                    return;
                }
            }
            Phase::Dialing(dialing) => {
                if now >= dialing.due {
                    let (cause, why) = (dialing.stage.timeout_cause(), dialing.timeout_reason());
                    return self.end_dial(id, cause, &why, now);
                }
            }
            Phase::Open(_) => {
                let passed = |due: Option<Micros>| due.is_some_and(|d| d <= now);
                if passed(conn.init_due(&policy)) {
                    let limit = policy.first_message_timeout.unwrap_or_default();
                    let reason = format!("no first message within {limit}");
                    self.core
                        .send_close(id, Cause::INIT_TIMEOUT, 3008, &reason, now);
                } else if passed(conn.frame_due()) {
                    let reason = format!("a frame took more than {}", conn::FRAME_TIME);
                    self.core
                        .send_close(id, Cause::FRAME_TIMEOUT, 3008, &reason, now);
                } else if passed(conn.slow_due(&self.core.config)) {
                    self.close_slow(id, now);
                } else {
                    self.beat(id, &policy, now, check);
                    return;
                }
                if check == Check::Granted {
                    self.core.bucket.give_back();
                }
                return;
            }
            Phase::Closing(closing) => {
                if now >= closing.deadline && closing.stage == CloseStage::Partner {
                    return self.core.answer_own_close(id, now);
                }
                if now >= closing.deadline {
                    let end = closing.end_early(conn.out.is_some());
                    self.core.mark_dead(id, end);
                    return;
                }
            }
            Phase::Dead(_) => return,
        }
        self.core.arm(id);
    }

    #[inline]
    fn beat(&mut self, id: ConnId, policy: &Policy, now: Micros, check: Check) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let mut conn = conn;
        if conn.is_unread() && !sabotage::on(Bug::UnreadIsDead) {
            if self.excuse_unread(id, policy, now) {
                return self.end_beat(id, check);
            }
            let Some(still) = self.core.table.get_mut(id) else {
                return;
            };
            conn = still;
        }
        let is_sabotaged = sabotage::on(Bug::PingInsideFrame) || sabotage::on(Bug::WaitingIsDead);
        // A peer inside a long frame of its own must go on with it. If its silence did not count,
        // two peers that are lost inside frames to each other would stay for ever.
        let is_sending = |c: &Conn| c.forward_input().is_some_and(|f| f.state.left > 0);
        let is_mid_frame = conn.is_mid_frame() && !is_sending(conn) && !is_sabotaged;
        let is_text_held = conn.flags.has(Flag::PingDue) && conn.holds_text();
        if (is_mid_frame || is_text_held) && !conn.is_blocked() {
            // No ping can leave before its partner has sent the rest of a frame, and no text before
            // the host has completed a message, so its silence does not count.
            conn.health
                .delay_ping(policy, now, policy.heartbeat_interval);
            conn.health.on_progress(now);
            return self.end_beat(id, check);
        }
        let unanswered = conn.health.unanswered() > 0;
        let is_silent = unanswered || conn.health.is_ping_queued();
        match conn.health.on_due(policy, now) {
            HealthAction::Stale if check == Check::Fired => {
                self.core.queue_final_check(id);
                return;
            }
            HealthAction::Stale => {
                self.close_stale(id, check == Check::Granted, now);
                return;
            }
            HealthAction::None => {}
            HealthAction::Heartbeat { ping, change } => {
                let class = usize::from(conn.class.0);
                self.core.stats.classes[class].unanswered += u64::from(unanswered);
                if is_silent && conn.health.counts_all() {
                    self.core.unanswered.push(id);
                }
                if ping {
                    self.core.table.mark_ping_due(id);
                }
                if let Some(change) = change {
                    self.core.stats.classes[class].suspects += 1;
                    self.call(now, |handler, io| handler.on_health(io, id, change));
                }
            }
        }
        if !sabotage::on(Bug::LostRearm) || id.slot() % 16 != 3 {
            self.end_beat(id, check);
        }
    }

    /// Ends the check of a connection that stays open.
    #[inline]
    fn end_beat(&mut self, id: ConnId, check: Check) {
        if check == Check::Granted {
            self.core.bucket.give_back();
        }
        self.core.arm(id);
    }

    /// Handles the deadline of a connection that the loop itself does not read, so that its silence
    /// proves nothing and it is not pinged. Returns `false` if it is stale all the same.
    fn excuse_unread(&mut self, id: ConnId, policy: &Policy, now: Micros) -> bool {
        let Some(conn) = self.core.table.get_mut(id) else {
            return true;
        };
        let is_paused = conn.is_paused();
        // A connection that only waits for its share is pinged right after that share.
        let after = match is_paused {
            true => policy.heartbeat_interval,
            false => PING_GRID,
        };
        conn.health.delay_ping(policy, now, after);
        if conn.health.counts_all() {
            self.mark_heard(id, LifeSign::Data, now);
            return true;
        }
        if is_paused {
            conn.health.on_progress(now);
            return true;
        }
        let stale_at = conn.health.stale_at(policy);
        if now < stale_at {
            return true;
        }
        // What waits may be no sign of life: a proxy may send nothing but pings. So only what was
        // read before the connection became stale can still save it.
        if let Phase::Open(Some(input)) = &mut conn.phase
            && !input.may_save(stale_at, policy.connection_timeout)
        {
            return false;
        }
        conn.health.postpone_stale(policy, now + PING_GRID);
        true
    }

    /// Closes a connection whose peer takes nothing, unless the host lets it wait.
    fn close_slow(&mut self, id: ConnId, now: Micros) {
        let is_linked = |c: &Conn| c.flags.has(Flag::Linked);
        if self.core.table.get(id).is_some_and(is_linked) {
            let cause = Cause::SLOW_CONSUMER;
            let overdue = self.call(now, |handler, io| handler.on_overdue(io, id, cause));
            if let Overdue::Wait(time) = overdue {
                let after = self.core.config.link_slow_after;
                if let Some(conn) = self.core.table.get_mut(id)
                    && let Some(out) = &mut conn.out
                {
                    out.postpone_slow(now + time - after);
                }
                return self.core.arm(id);
            }
        }
        self.core.close_slow_consumer(id, now);
    }

    /// Handles a stale connection whose policy only reports it, or whose close the host lets wait.
    /// Returns whether it stays open.
    fn stays_open(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(conn) = self.core.table.get_mut(id) else {
            return true;
        };
        let policy = *self.core.policies.of(conn.class, conn.policy);
        let silence = conn.health.silence(now);
        if policy.when_stale == StaleAction::Report {
            conn.health
                .postpone_stale(&policy, now + policy.connection_timeout);
            if !conn.flags.has(Flag::WouldClose) {
                conn.flags.set(Flag::WouldClose);
                self.core.stats.classes[usize::from(conn.class.0)].would_close += 1;
                self.call(now, |handler, io| handler.on_would_close(io, id, silence));
            }
            return true;
        }
        match self.call(now, |handler, io| handler.on_overdue(io, id, Cause::STALE)) {
            Overdue::Close => false,
            Overdue::Wait(time) => {
                if let Some(conn) = self.core.table.get_mut(id) {
                    conn.health.postpone_stale(&policy, now + time.max(TICK));
                }
                true
            }
        }
    }

    fn close_stale(&mut self, id: ConnId, granted: bool, now: Micros) {
        if self.stays_open(id, now) {
            if granted {
                self.core.bucket.give_back();
            }
            return self.core.arm(id);
        }
        let may = granted || (self.core.deferred.is_empty() && self.core.bucket.take(now));
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if !may {
            // It stays unpinged and unchanged until its close is granted or something is heard.
            if !conn.flags.has(Flag::StaleQueued) {
                conn.flags.set(Flag::StaleQueued);
                self.core.deferred.push_back(id);
            }
            self.await_tokens(now);
            return;
        }
        let policy = self.core.policies.of(conn.class, conn.policy);
        if granted {
            let since = conn.health.stale_at(policy);
            self.core.stats.stale_delay.record((now - since).0);
        }
        let silence = conn.health.silence(now);
        let reason = stale_reason(policy.alive_by, silence, conn.health.unanswered());
        self.core
            .send_close(id, Cause::STALE, Cause::STALE.close_code(), &reason, now);
    }

    /// Allows the stale connections that have waited longest to be closed, within the rate limit of
    /// stale closes.
    fn grant_stale_closes(&mut self, now: Micros) {
        while let Some(id) = self.core.deferred.front().copied() {
            let waits = self
                .core
                .table
                .get(id)
                .is_some_and(|c| c.flags.has(Flag::StaleQueued));
            if waits && !self.core.bucket.take(now) {
                self.await_tokens(now);
                return;
            }
            self.core.deferred.pop_front();
            if let Some(conn) = self.core.table.get_mut(id).filter(|_| waits) {
                conn.flags.take(Flag::StaleQueued);
                conn.flags.set(Flag::StaleGranted);
                self.core.queue_final_check(id);
            }
        }
    }

    fn await_tokens(&mut self, now: Micros) {
        if !self.core.timers.is_running(TimerPurpose::StaleCloses) {
            self.core
                .start_timer(TimerPurpose::StaleCloses, now + TICK, now);
        }
    }

    fn process_timer(&mut self, index: u32, tick: Tick, now: Micros) {
        let Core { timers, wheel, .. } = &mut self.core;
        let Some((purpose, id)) = timers.fire(wheel, index, tick, now) else {
            return;
        };
        match purpose {
            TimerPurpose::Host => self.call(now, |handler, io| handler.on_timer(io, id)),
            TimerPurpose::AcceptRetry => self.core.accept_retry = true,
            TimerPurpose::DialRetry => self.core.repeat_dials(),
            // `advance` grants them at its end.
            TimerPurpose::StaleCloses => {}
            TimerPurpose::Drain => {
                self.core.advance_drain(now);
                self.close_drained(now);
            }
        }
    }
}

/// Returns the reason of a stale close. `pings`: the heartbeats since the last sign of life.
fn stale_reason(alive_by: AliveBy, silence: Micros, pings: u16) -> String {
    let what = alive_by.missing();
    match pings {
        // Pings may well have been answered.
        _ if alive_by == AliveBy::Data => format!("{what} heard for {silence}"),
        0 => format!("{what} heard for {silence}, no ping could be sent"),
        1 => format!("{what} heard for {silence}, 1 ping unanswered"),
        many => format!("{what} heard for {silence}, {many} pings unanswered"),
    }
}
