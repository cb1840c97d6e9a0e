//! What the client does about silence, sleep and changes of the network.

use super::core::{ClientCore, ConnLoss};
use crate::base::time::Micros;
use crate::client::connection_end::NO_CLOSE;
use crate::client::watchdog::WatchdogVerdict;
use crate::pulse::{ClientCondition, ShortControl, state_frame};

/// The least time between two frames about the surroundings.
const STATE: Micros = Micros::from_secs(10);

impl ClientCore {
    /// Handles the timer that was set for [`deadline`](Self::deadline). `buffered` is how many
    /// bytes wait in the connection. A call too many does no harm.
    pub fn on_deadline(&mut self, buffered: usize, now: Micros) {
        let is_due = |due: &Micros| *due <= now;
        if let Some(due) = self.retry_due.filter(is_due) {
            self.retry(due, now);
        }
        if self.close_due.is_some_and(|due| due <= now) {
            return self.finish_closed(now);
        }
        let phase_due = self.conn.as_ref().and_then(|conn| conn.phase_due);
        if phase_due.is_some_and(|due| due <= now) {
            self.end_phase(now);
        }
        self.check_dog(buffered, now);
        self.acknowledge(now);
        if self.state_due().is_some_and(|due| due <= now) {
            self.tell_condition(now);
        }
    }

    /// Notes that the device woke up, or that its network changed: the connection is probed.
    /// `buffered` is how many bytes wait in the connection.
    pub fn wake(&mut self, buffered: usize, now: Micros) {
        self.probe(buffered, now);
        self.tell_condition(now);
    }

    /// Notes that the environment says whether there is a network. Without one, the client tries
    /// once a minute.
    pub fn set_online(&mut self, is_online: bool, buffered: usize, now: Micros) {
        let is_waiting = self.retry_due.is_some();
        self.schedule.network(is_online, is_waiting, now);
        if is_waiting {
            self.wait(now);
        }
        if is_online {
            self.probe(buffered, now);
        }
        self.tell_condition(now);
    }

    /// Notes what the host knows of the surroundings. The gateway is told of changes, at most once
    /// in 10 s. `want_ms` is the client's own, and is replaced.
    pub fn set_condition(&mut self, condition: ClientCondition, now: Micros) {
        self.condition = condition;
        if let Some(conn) = &mut self.conn {
            conn.net = conn.net.or(condition.net);
        }
        self.tell_condition(now);
    }

    fn present_condition(&self) -> ClientCondition {
        ClientCondition {
            want_ms: self.schedule.want_ms(),
            ..self.condition
        }
    }

    /// Returns when to tell the gateway of a change that it does not know.
    pub(super) fn state_due(&self) -> Option<Micros> {
        let conn = self.conn.as_ref().filter(|conn| conn.dog.is_some())?;
        let is_new = conn.told != self.present_condition() && !self.is_closing();
        let due = conn.told_at.map_or(Micros::ZERO, |at| at + STATE);
        is_new.then_some(due)
    }

    pub(super) fn tell_condition(&mut self, now: Micros) {
        if self.state_due().is_none_or(|due| due > now) {
            return;
        }
        let condition = self.present_condition();
        if let Some(conn) = &mut self.conn {
            conn.told = condition;
            conn.told_at = Some(now);
        }
        self.say(&state_frame(&condition), now);
    }

    /// Sets the watchdog's timer, if it is not set for an earlier time already. A later deadline
    /// costs nothing: the timer finds it when it fires.
    pub(super) fn guard_dog(&mut self) {
        let Some(conn) = self.conn.as_mut().filter(|conn| conn.is_up) else {
            return;
        };
        let due = conn.dog.as_ref().map(|dog| dog.due());
        conn.dog_due = match (conn.dog_due, due) {
            (Some(set), Some(due)) => Some(set.min(due)),
            (_, due) => due,
        };
    }

    fn check_dog(&mut self, buffered: usize, now: Micros) {
        let Some(conn) = self.conn.as_mut().filter(|conn| conn.is_up) else {
            return;
        };
        let (Some(dog), Some(at)) = (&mut conn.dog, conn.dog_due.filter(|at| *at <= now)) else {
            return;
        };
        conn.dog_due = None;
        match dog.fired(at, now) {
            WatchdogVerdict::Dead => {
                let mut loss = ConnLoss::of(NO_CLOSE);
                loss.is_watchdog = true;
                return self.lost(loss, now);
            }
            WatchdogVerdict::Probe => self.probe(buffered, now),
            WatchdogVerdict::Wait => {}
        }
        self.guard_dog();
    }

    /// Notes a timer that is late although something else is handled first.
    pub(super) fn note_late_timer(&mut self, now: Micros) {
        let Some(conn) = &mut self.conn else {
            return;
        };
        if let (Some(dog), Some(at)) = (&mut conn.dog, conn.dog_due) {
            dog.overslept(at, now);
        }
    }

    fn probe(&mut self, buffered: usize, now: Micros) {
        if !self.is_up() {
            return;
        }
        let number = self.dog().and_then(|dog| dog.probe(buffered as u64, now));
        if let Some(number) = number {
            self.say(ShortControl::probe(number).as_str(), now);
        }
        self.guard_dog();
    }
}
