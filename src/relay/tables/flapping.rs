//! Slows down identities that reconnect too often, or replace each other for ever. A new connection
//! is refused before it is acknowledged, each time for longer. A few reconnects in a row are
//! normal.

use crate::base::time::Micros;
use crate::host::Identity;
use std::collections::{HashMap, VecDeque};

/// The window in which reconnects are counted.
const WINDOW: Micros = Micros::from_secs(60);

/// The first refusal of an identity lasts this long, and each further one twice as long as the one
/// before.
const LEAST: Micros = Micros::from_secs(5);

/// The longest refusal of an identity that reconnects too often.
const MOST: Micros = Micros::from_secs(60);

/// The most identities whose reconnects are counted at one time. A client with more identities than
/// this escapes the limit.
const IDENTITIES_MAX: usize = 10_000;

/// The shortest time between two scans of a full table.
const SWEEP: Micros = Micros::from_secs(1);

/// Reconnects of each identity in the last minute, and its refusals.
#[derive(Debug, Default)]
pub(in crate::relay) struct Flapping {
    by_identity: HashMap<Identity, Comebacks>,
    /// When a full table may be scanned again: not for each reconnect while very many identities
    /// reconnect.
    next_sweep: Micros,
}

#[derive(Debug, Default)]
struct Comebacks {
    /// The times of the reconnects in the last minute, oldest first.
    at: VecDeque<Micros>,
    /// The number of refusals in a row.
    refusals: u32,
    refused_until: Micros,
}

impl Flapping {
    /// Counts a reconnect, or a takeover, of this identity.
    pub(in crate::relay) fn came_back(&mut self, identity: &Identity, limit: u32, now: Micros) {
        if limit == 0 {
            return;
        }
        if !self.by_identity.contains_key(identity) {
            if self.by_identity.len() >= IDENTITIES_MAX && now >= self.next_sweep {
                self.next_sweep = now + SWEEP;
                self.by_identity
                    .retain(|_, comebacks| !comebacks.is_over(now));
            }
            if self.by_identity.len() >= IDENTITIES_MAX {
                return;
            }
        }
        let comebacks = self.by_identity.entry(identity.clone()).or_default();
        comebacks.forget(now);
        comebacks.at.push_back(now);
        // The limit may have been lowered.
        while comebacks.at.len() > limit as usize {
            comebacks.at.pop_front();
        }
    }

    /// Returns how long from now an identity that reconnects is refused; `None` if it is admitted.
    pub(in crate::relay) fn refuses(
        &mut self,
        identity: &Identity,
        limit: u32,
        now: Micros,
    ) -> Option<Micros> {
        if limit == 0 {
            return None;
        }
        let comebacks = self.by_identity.get_mut(identity)?;
        if comebacks.is_over(now) {
            self.by_identity.remove(identity);
            return None;
        }
        if now < comebacks.refused_until {
            return Some(comebacks.refused_until - now);
        }
        comebacks.forget(now);
        if comebacks.at.len() < limit as usize {
            return None;
        }
        // After a refusal of this length the window has room, so an identity that waits is
        // admitted.
        let room = comebacks.at.front().map_or(now, |first| *first + WINDOW);
        let growing = Micros(LEAST.0 << comebacks.refusals.min(4)).min(MOST);
        comebacks.refusals += 1;
        comebacks.refused_until = room.max(now + growing);
        Some(comebacks.refused_until - now)
    }

    /// Returns how long an identity is still refused, without counting an attempt.
    pub(in crate::relay) fn refused_for(&self, identity: &Identity, now: Micros) -> Option<Micros> {
        let until = self.by_identity.get(identity)?.refused_until;
        (now < until).then(|| until - now)
    }

    /// Returns the identities that are refused now, each with the time that is left.
    pub(in crate::relay) fn refused(
        &self,
        now: Micros,
    ) -> impl Iterator<Item = (&Identity, Micros)> {
        let all = self.by_identity.iter();
        all.filter(move |(_, comebacks)| now < comebacks.refused_until)
            .map(move |(identity, comebacks)| (identity, comebacks.refused_until - now))
    }
}

impl Comebacks {
    fn forget(&mut self, now: Micros) {
        while self.at.front().is_some_and(|at| now - *at >= WINDOW) {
            self.at.pop_front();
        }
    }

    /// Returns whether a whole window has passed since the last reconnect and the last refusal.
    fn is_over(&self, now: Micros) -> bool {
        let last = self.at.back().copied().unwrap_or_default();
        now >= last.max(self.refused_until) + WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::role::Role;

    fn phone(n: u32) -> Identity {
        Role::Glasses.identity(&format!("u{n}"))
    }

    #[test]
    fn no_minute_has_more_comebacks_than_the_limit_and_refusals_grow() {
        let (mut flapping, who) = (Flapping::default(), phone(1));
        let (mut admitted, mut refusals) = (Vec::new(), Vec::new());
        let mut now = Micros::from_secs(1_000);
        // It tries every 100 ms for ten minutes and ignores Retry-After.
        for _ in 0..6_000 {
            match flapping.refuses(&who, 15, now) {
                None => {
                    flapping.came_back(&who, 15, now);
                    admitted.push(now);
                }
                Some(left) => refusals.push(now + left),
            }
            assert_eq!(
                flapping.refuses(&phone(2), 15, now),
                None,
                "no other identity is touched"
            );
            now += Micros::from_millis(100);
        }
        for (i, at) in admitted.iter().enumerate() {
            let within = admitted[i..].iter().take_while(|t| **t - *at < WINDOW);
            assert!(within.count() <= 15);
        }
        assert!(admitted.len() > 15, "it is let in again");
        refusals.dedup();
        assert!(refusals.windows(2).all(|w| w[0] <= w[1]));
    }

    #[test]
    fn a_peer_that_waits_as_told_is_let_in_and_a_quiet_minute_forgives() {
        let (mut flapping, who) = (Flapping::default(), phone(1));
        let mut now = Micros::from_secs(10);
        for _ in 0..15 {
            assert_eq!(flapping.refuses(&who, 15, now), None);
            flapping.came_back(&who, 15, now);
            now += Micros::from_secs(1);
        }
        let left = flapping.refuses(&who, 15, now).expect("refused");
        assert_eq!(
            left,
            Micros::from_secs(45),
            "the first of the fifteen is 15 s old"
        );
        assert_eq!(flapping.refused(now).count(), 1);
        now += left;
        assert_eq!(flapping.refuses(&who, 15, now), None);
        flapping.came_back(&who, 15, now);
        now += Micros::from_secs(120);
        assert_eq!(flapping.refuses(&who, 15, now), None);
        assert!(flapping.by_identity.is_empty());
    }

    #[test]
    fn slow_comebacks_never_count() {
        let (mut flapping, who) = (Flapping::default(), phone(1));
        for n in 0..1_000 {
            let now = Micros::from_secs(n * 5);
            assert_eq!(flapping.refuses(&who, 15, now), None);
            flapping.came_back(&who, 15, now);
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let mut flapping = Flapping::default();
        for n in 0..IDENTITIES_MAX as u32 + 10 {
            flapping.came_back(&phone(n), 15, Micros::from_secs(1));
        }
        assert_eq!(flapping.by_identity.len(), IDENTITIES_MAX);
        flapping.came_back(&phone(u32::MAX), 15, Micros::from_secs(100));
        assert_eq!(flapping.by_identity.len(), 1);
    }
}
