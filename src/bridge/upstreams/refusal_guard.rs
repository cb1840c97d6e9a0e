//! Whether an address refuses its clients.
//!
//! One that refuses has the fewest connections, so it would get every new client. It is kept out of
//! the choice instead, and tried with one client now and then.

use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;

/// After this many failed requests in a row an address refuses.
const ROW: u32 = 3;

/// The failed requests must be of this many different clients, or of all clients that the route
/// has. A client alone can make a service fail, whatever it asks for.
const CLIENTS: usize = 3;

/// A failure is forgotten after this time, and so is a client.
const FORGOTTEN_AFTER: Micros = Micros::from_secs(600);

/// The time until the first try; doubled by each try that fails.
const TRY_FIRST: Micros = Micros::from_secs(1);

/// The longest time from one try to the next.
const TRY_MOST: Micros = Micros::from_secs(8);

/// The tries of an address that refuses.
#[derive(Debug, Clone, Copy)]
struct Trial {
    began: Micros,
    /// When the next client may try.
    next: Micros,
    /// The time from one try to the next.
    wait: Micros,
    /// Whether a client tries, and no failure was counted since.
    is_under_way: bool,
}

/// Judges from the answers to requests whether an address refuses.
#[derive(Debug, Default)]
pub(in crate::bridge) struct RefusalGuard {
    /// Failed requests since one was accepted.
    row: u32,
    /// Different clients of these requests, at most [`CLIENTS`].
    clients: Vec<AddressBlock>,
    failed_at: Micros,
    trial: Option<Trial>,
}

impl RefusalGuard {
    /// The time for which clients of a route are counted.
    pub(in crate::bridge) const WINDOW: Micros = FORGOTTEN_AFTER;

    /// Returns whether the address refuses.
    pub(in crate::bridge) fn is_refusing(&self) -> bool {
        self.trial.is_some()
    }

    /// Returns whether the last requests have failed, so that an accepted one changes something.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.row > 0
    }

    /// Returns whether new clients are kept away now: the address refuses, and it is not yet time
    /// for another try.
    pub(super) fn keeps_away(&self, now: Micros) -> bool {
        self.trial.is_some_and(|trial| now < trial.next)
    }

    /// Notes that a client is sent to the address.
    pub(super) fn chosen(&mut self, now: Micros) {
        if let Some(trial) = self.trial.as_mut().filter(|trial| now >= trial.next) {
            trial.is_under_way = true;
            trial.next = now + trial.wait;
        }
    }

    /// Notes a request that has failed. `known` is how many different clients the route has had.
    /// Returns whether the address refuses from now on.
    pub(super) fn failed(&mut self, client: AddressBlock, known: usize, now: Micros) -> bool {
        if let Some(trial) = &mut self.trial {
            if std::mem::take(&mut trial.is_under_way) {
                trial.wait = TRY_MOST.min(trial.wait + trial.wait);
                trial.next = now + trial.wait;
            }
            return false;
        }
        if now - self.failed_at > FORGOTTEN_AFTER {
            self.row = 0;
            self.clients.clear();
        }
        self.failed_at = now;
        self.row = self.row.saturating_add(1);
        if self.clients.len() < CLIENTS && !self.clients.contains(&client) {
            self.clients.push(client);
        }
        if self.row < ROW || self.clients.len() < known.clamp(1, CLIENTS) {
            return false;
        }
        self.trial = Some(Trial {
            began: now,
            next: now + TRY_FIRST,
            wait: TRY_FIRST,
            is_under_way: false,
        });
        true
    }

    /// Notes a request that was accepted. Returns whether the address has refused until now. An
    /// answer to an older request, right after the failures, does not end that.
    pub(super) fn accepted(&mut self, now: Micros) -> bool {
        if self
            .trial
            .is_some_and(|trial| now < trial.began + TRY_FIRST)
        {
            return false;
        }
        let was_refusing = self.is_refusing();
        *self = RefusalGuard::default();
        was_refusing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const NOW: Micros = Micros::from_secs(1_000);

    fn client(last: u8) -> AddressBlock {
        AddressBlock::of(IpAddr::from([10, 0, 0, last]))
    }

    /// Returns a guard whose address has begun to refuse.
    fn refusing() -> RefusalGuard {
        let mut guard = RefusalGuard::default();
        let failed = [1, 2, 3].map(|last| guard.failed(client(last), 3, NOW));
        assert_eq!(failed, [false, false, true]);
        guard
    }

    #[test]
    fn three_failures_of_different_clients_in_a_row_are_a_refusal() {
        let mut guard = RefusalGuard::default();
        // One client alone, or two, cannot do it, as long as others ask.
        for _ in 0..99 {
            assert!(!guard.failed(client(1), 3, NOW) && !guard.failed(client(2), 3, NOW));
        }
        assert!(!guard.keeps_away(NOW) && guard.is_in_doubt());
        assert!(!guard.accepted(NOW), "it did not refuse");
        assert!(!guard.is_in_doubt());
        assert!(!guard.failed(client(3), 3, NOW), "the row begins again");
        // All clients there are: a proxy in front, for instance.
        let mut alone = RefusalGuard::default();
        let failed = [(); 3].map(|()| alone.failed(client(1), 1, NOW));
        assert_eq!(failed, [false, false, true]);
        assert!(alone.keeps_away(NOW));
    }

    #[test]
    fn failures_are_forgotten_after_a_time() {
        let mut guard = RefusalGuard::default();
        assert!(!guard.failed(client(1), 3, NOW) && !guard.failed(client(2), 3, NOW));
        let later = NOW + FORGOTTEN_AFTER + Micros(1);
        assert!(!guard.failed(client(3), 3, later));
        assert!(!guard.failed(client(4), 3, later) && guard.failed(client(5), 3, later));
    }

    #[test]
    fn an_address_that_refuses_is_tried_with_one_client_at_a_time() {
        let mut guard = refusing();
        let (mut now, mut tries) = (NOW, Vec::new());
        let end = NOW + Micros::from_secs(60);
        while now < end {
            if !guard.keeps_away(now) {
                tries.push((now - NOW).as_millis() / 1_000);
                guard.chosen(now);
                assert!(guard.keeps_away(now), "only one");
                // Others that were under way fail, too, and count once.
                assert!(!guard.failed(client(1), 3, now) && !guard.failed(client(2), 3, now));
            }
            now += Micros::from_millis(100);
        }
        assert_eq!(tries, [1, 3, 7, 15, 23, 31, 39, 47, 55]);
    }

    #[test]
    fn one_accepted_try_ends_it_and_a_try_without_an_outcome_is_repeated() {
        let mut guard = refusing();
        assert!(
            !guard.accepted(NOW + Micros::from_millis(999)),
            "an old one"
        );
        assert!(guard.is_refusing());
        let mut now = NOW + TRY_FIRST;
        guard.chosen(now);
        // Its client has left: the next one tries after the same time.
        now += TRY_FIRST;
        assert!(!guard.keeps_away(now));
        guard.chosen(now);
        assert!(guard.keeps_away(now));
        assert!(guard.accepted(now));
        assert!(!guard.keeps_away(now) && !guard.is_refusing() && !guard.is_in_doubt());
    }
}
