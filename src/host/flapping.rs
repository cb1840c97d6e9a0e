//! Slows down identities that reconnect too often, or replace each other for ever. A new connection
//! is refused before it is acknowledged, each time for longer. A few reconnects in a row are
//! normal.

use super::identity::Identity;
use crate::base::time::Micros;
use std::collections::{HashMap, VecDeque};

/// The window in which reconnects are counted.
const WINDOW: Micros = Micros::from_secs(60);

/// The first refusal of an identity lasts this long, and each further one twice as long as the one
/// before.
const REFUSAL_MIN: Micros = Micros::from_secs(5);

/// The longest refusal of an identity that reconnects too often.
const REFUSAL_MAX: Micros = Micros::from_secs(60);

/// The most identities whose reconnects are counted at one time. A client with more identities than
/// this escapes the limit.
const IDENTITIES_MAX: usize = 10_000;

/// The shortest time between two scans of a full table.
const SCAN_INTERVAL: Micros = Micros::from_secs(1);

/// Reconnects of each identity in the last minute, and its refusals.
#[derive(Debug, Default)]
pub(crate) struct Flapping {
    by_identity: HashMap<Identity, Reconnects>,
    /// When a full table may be scanned again: not for each reconnect while very many identities
    /// reconnect.
    next_scan: Micros,
}

#[derive(Debug, Default)]
struct Reconnects {
    /// The times of the reconnects in the last minute, oldest first.
    at: VecDeque<Micros>,
    /// The number of refusals in a row.
    refusals: u32,
    refused_until: Micros,
}

impl Flapping {
    /// Counts a reconnect, or a takeover, of this identity.
    pub(crate) fn count_reconnect(&mut self, identity: &Identity, limit: u32, now: Micros) {
        if limit == 0 {
            return;
        }
        if !self.by_identity.contains_key(identity) {
            if self.by_identity.len() >= IDENTITIES_MAX && now >= self.next_scan {
                self.next_scan = now + SCAN_INTERVAL;
                self.by_identity
                    .retain(|_, reconnects| !reconnects.is_over(now));
            }
            if self.by_identity.len() >= IDENTITIES_MAX {
                return;
            }
        }
        let reconnects = self.by_identity.entry(identity.clone()).or_default();
        reconnects.drop_old(now);
        reconnects.at.push_back(now);
        // The limit may have been lowered.
        while reconnects.at.len() > limit as usize {
            reconnects.at.pop_front();
        }
    }

    /// Returns how long from now an identity that reconnects is refused; `None` if it is admitted.
    pub(crate) fn check_refusal(
        &mut self,
        identity: &Identity,
        limit: u32,
        now: Micros,
    ) -> Option<Micros> {
        if limit == 0 {
            return None;
        }
        let reconnects = self.by_identity.get_mut(identity)?;
        if reconnects.is_over(now) {
            self.by_identity.remove(identity);
            return None;
        }
        if now < reconnects.refused_until {
            return Some(reconnects.refused_until - now);
        }
        reconnects.drop_old(now);
        if reconnects.at.len() < limit as usize {
            return None;
        }
        // After a refusal of this length the window has room, so an identity that waits is
        // admitted.
        let room = reconnects.at.front().map_or(now, |first| *first + WINDOW);
        let growing = Micros(REFUSAL_MIN.0 << reconnects.refusals.min(4)).min(REFUSAL_MAX);
        reconnects.refusals += 1;
        reconnects.refused_until = room.max(now + growing);
        Some(reconnects.refused_until - now)
    }

    /// Returns how long an identity is still refused, without counting an attempt.
    pub(crate) fn refusal_left(&self, identity: &Identity, now: Micros) -> Option<Micros> {
        let until = self.by_identity.get(identity)?.refused_until;
        (now < until).then(|| until - now)
    }

    /// Returns the identities that are refused now, each with the time that is left.
    pub(crate) fn refused_identities(
        &self,
        now: Micros,
    ) -> impl Iterator<Item = (&Identity, Micros)> {
        let all = self.by_identity.iter();
        all.filter(move |(_, reconnects)| now < reconnects.refused_until)
            .map(move |(identity, reconnects)| (identity, reconnects.refused_until - now))
    }
}

impl Reconnects {
    fn drop_old(&mut self, now: Micros) {
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
    use crate::engine::Class;

    fn phone(n: u32) -> Identity {
        Identity {
            class: Class(0),
            user: format!("u{n}").into(),
            package: None,
            address: None,
        }
    }

    #[test]
    fn no_minute_has_more_comebacks_than_the_limit_and_refusals_grow() {
        let (mut flapping, who) = (Flapping::default(), phone(1));
        let (mut admitted, mut refusals) = (Vec::new(), Vec::new());
        let mut now = Micros::from_secs(1_000);
        // It tries every 100 ms for ten minutes and ignores Retry-After.
        for _ in 0..6_000 {
            match flapping.check_refusal(&who, 15, now) {
                None => {
                    flapping.count_reconnect(&who, 15, now);
                    admitted.push(now);
                }
                Some(left) => refusals.push(now + left),
            }
            assert_eq!(
                flapping.check_refusal(&phone(2), 15, now),
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
            assert_eq!(flapping.check_refusal(&who, 15, now), None);
            flapping.count_reconnect(&who, 15, now);
            now += Micros::from_secs(1);
        }
        let left = flapping.check_refusal(&who, 15, now).expect("refused");
        assert_eq!(
            left,
            Micros::from_secs(45),
            "the first of the fifteen is 15 s old"
        );
        assert_eq!(flapping.refused_identities(now).count(), 1);
        now += left;
        assert_eq!(flapping.check_refusal(&who, 15, now), None);
        flapping.count_reconnect(&who, 15, now);
        now += Micros::from_secs(120);
        assert_eq!(flapping.check_refusal(&who, 15, now), None);
        assert!(flapping.by_identity.is_empty());
    }

    #[test]
    fn slow_comebacks_never_count() {
        let (mut flapping, who) = (Flapping::default(), phone(1));
        for n in 0..1_000 {
            let now = Micros::from_secs(n * 5);
            assert_eq!(flapping.check_refusal(&who, 15, now), None);
            flapping.count_reconnect(&who, 15, now);
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let mut flapping = Flapping::default();
        for n in 0..IDENTITIES_MAX as u32 + 10 {
            flapping.count_reconnect(&phone(n), 15, Micros::from_secs(1));
        }
        assert_eq!(flapping.by_identity.len(), IDENTITIES_MAX);
        flapping.count_reconnect(&phone(u32::MAX), 15, Micros::from_secs(100));
        assert_eq!(flapping.by_identity.len(), 1);
    }
}
