//! Identities with repeated trouble: a bounded table of what went wrong for each over the last day.
//!
//! One drop can have any reason; the tenth in three hours points to a device, an app or a place
//! with a fault. Trouble at a single time, however much of it, may be a network failure that
//! affected all peers. So only trouble that returns over hours is reported.

use super::trouble::{AGES_MAX, HOUR, HOURS, SLOW, Trouble};
use crate::base::bounded;
use crate::base::cause::{Cause, CauseKind};
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::gateway::{ClosedConn, ExpiredPeer};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

/// The limit of remembered identities.
pub(super) const IDENTITIES_MAX: usize = 2_000;

/// How many of the last round-trip times of an ended connection are checked.
const LAST_RTTS_MAX: usize = 3;

/// The identities with trouble.
#[derive(Debug, Default)]
pub(in crate::side) struct Troubled {
    pub(super) by_identity: HashMap<IdentityKey, Trouble>,
}

/// The identity that the trouble is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct IdentityKey {
    user: Box<str>,
    package: Option<Box<str>>,
    /// The client's address, if nothing proves the user.
    address: Option<Box<IpAddr>>,
}

/// An entry of the ranking.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::side) struct RankedIdentity {
    pub(in crate::side) user: Box<str>,
    pub(in crate::side) package: Option<Box<str>>,
    /// The client's address, if nothing proves the user.
    pub(in crate::side) address: Option<IpAddr>,
    pub(in crate::side) score: f64,
    /// A description of the trouble, in words.
    pub(in crate::side) pattern: String,
    pub(in crate::side) drops: u32,
    pub(in crate::side) stale: u32,
    pub(in crate::side) slow: u32,
    pub(in crate::side) failed_resumes: u32,
    pub(in crate::side) first_at: UnixMillis,
    pub(in crate::side) last_at: UnixMillis,
}

/// The identities with persistent trouble.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::side) struct PersistentTrouble {
    pub(in crate::side) count: usize,
    /// Some of them, the worst first.
    pub(in crate::side) worst: Vec<RankedIdentity>,
}

impl Troubled {
    /// Records connections that have ended, if they were dropped or slow.
    pub(in crate::side) fn record_closed<'a>(
        &mut self,
        closed: impl IntoIterator<Item = &'a ClosedConn>,
    ) {
        for closed in closed {
            let Some(user) = closed.user.as_ref().filter(|_| !closed.is_anonymous()) else {
                continue;
            };
            let is_drop = closed.end.class.is_some() && is_drop(closed);
            let slow = closed.end.class.is_some() && is_slow(closed);
            if !is_drop && !slow {
                continue;
            }
            let identity = IdentityKey {
                user: user.clone(),
                package: closed.package.clone(),
                address: closed.address.clone(),
            };
            let trouble = self.entry(identity, closed.at);
            let sums = trouble.sums_at(closed.at);
            sums.slow = sums.slow.saturating_add(slow.into());
            if is_drop {
                sums.add_drops(closed.end.cause, 1);
                let slow_stale = slow && closed.end.cause == Cause::STALE;
                sums.slow_stale = sums.slow_stale.saturating_add(slow_stale.into());
                bounded::push(&mut trouble.ages, AGES_MAX, closed.end.age.as_millis());
            }
        }
    }

    /// Records peers that were lost and did not come back in time. A peer that left on purpose does
    /// not count.
    pub(in crate::side) fn record_expired<'a>(
        &mut self,
        expired: impl IntoIterator<Item = &'a ExpiredPeer>,
    ) {
        for expired in expired.into_iter().filter(|expired| expired.lost) {
            let identity = IdentityKey {
                user: expired.identity.user.clone(),
                package: expired.identity.package().map(Box::from),
                address: expired.identity.address.clone(),
            };
            let sums = self.entry(identity, expired.at).sums_at(expired.at);
            sums.failed_resumes = sums.failed_resumes.saturating_add(1);
        }
    }

    /// Returns the identities with the most trouble, the worst first.
    pub(in crate::side) fn worst(&mut self, now: Timestamp, limit: usize) -> Vec<RankedIdentity> {
        self.ranked(now, limit, Trouble::is_reported)
    }

    /// Returns those of the identities that are wanted, the worst first.
    fn ranked(
        &mut self,
        now: Timestamp,
        limit: usize,
        is_wanted: impl Fn(&Trouble) -> bool,
    ) -> Vec<RankedIdentity> {
        self.forget(now);
        let mut worst: Vec<(f64, &IdentityKey, &Trouble)> = self
            .by_identity
            .iter()
            .filter(|(_, trouble)| is_wanted(trouble))
            .map(|(identity, trouble)| (trouble.score(now), identity, trouble))
            .collect();
        // Sorted by name, too, so that the order is stable.
        worst.sort_by(|(a, x, _), (b, y, _)| b.total_cmp(a).then_with(|| x.cmp(y)));
        worst.truncate(limit);
        let ranked = |(score, identity, trouble): (f64, &IdentityKey, &Trouble)| {
            let sums = trouble.sums();
            let (first_at, last_at) = trouble.span();
            RankedIdentity {
                user: identity.user.clone(),
                package: identity.package.clone(),
                address: identity.address.as_deref().copied(),
                score,
                pattern: trouble.pattern(),
                drops: sums.all_drops(),
                stale: sums.drops_for(Cause::STALE).into(),
                slow: sums.slow.into(),
                failed_resumes: sums.failed_resumes.into(),
                first_at: first_at.wall,
                last_at: last_at.wall,
            }
        };
        worst.into_iter().map(ranked).collect()
    }

    /// Returns the identities whose trouble was enough for an alert in the last hours, and names at
    /// most `limit` of them.
    pub(in crate::side) fn persistent(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> PersistentTrouble {
        let worst = self.ranked(now, limit, |trouble| trouble.is_persistent(now));
        let all = self.by_identity.values();
        PersistentTrouble {
            count: all.filter(|trouble| trouble.is_persistent(now)).count(),
            worst,
        }
    }

    /// Returns the number of identities with enough trouble to be reported.
    pub(in crate::side) fn count(&self) -> usize {
        let all = self.by_identity.values();
        all.filter(|trouble| trouble.is_reported()).count()
    }

    fn entry(&mut self, identity: IdentityKey, now: Timestamp) -> &mut Trouble {
        if !self.by_identity.contains_key(&identity) && self.by_identity.len() >= IDENTITIES_MAX {
            self.evict_quarter(now);
        }
        self.by_identity.entry(identity).or_default()
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = (now.raw.0 / HOUR.0).saturating_sub(HOURS - 1);
        self.by_identity.retain(|_, trouble| {
            trouble.hours.retain(|hour| hour.number >= oldest);
            !trouble.hours.is_empty()
        });
    }

    /// Removes a quarter of the identities: first those with trouble in the fewest hours, of these
    /// those with the least trouble, and of these those with the oldest. So a flood of names with
    /// trouble at one time does not displace identities with repeated trouble.
    fn evict_quarter(&mut self, now: Timestamp) {
        self.forget(now);
        let room = IDENTITIES_MAX / 4;
        let kept = IDENTITIES_MAX - room;
        if self.by_identity.len() <= kept {
            return;
        }
        let weight = |t: &Trouble| (t.hours.len(), t.sums().problems(), t.span().1.raw);
        let all = self.by_identity.iter();
        let mut all: Vec<((usize, u32, Micros), IdentityKey)> = all
            .map(|(identity, t)| (weight(t), identity.clone()))
            .collect();
        all.sort_by_key(|(weight, _)| Reverse(*weight));
        for (_, identity) in all.drain(kept..) {
            self.by_identity.remove(&identity);
        }
    }
}

/// Returns whether a connection was lost or ended by a fault. A connection that was replaced while
/// pings were unanswered had been lost before.
fn is_drop(closed: &ClosedConn) -> bool {
    let is_fault = closed.end.cause.kind() == CauseKind::Fault;
    let was_lost = closed.end.cause == Cause::REPLACED && closed.end.unanswered > 0;
    closed.end.lost || is_fault || was_lost
}

fn is_slow(closed: &ClosedConn) -> bool {
    let smoothed = closed.end.rtt.srtt_us().map(|us| Micros(us.into()));
    let history = closed.history.iter().flat_map(|history| &history.rtts);
    let last = history.rev().take(LAST_RTTS_MAX).map(|(_, rtt)| *rtt);
    last.chain(smoothed).any(|rtt| rtt >= SLOW)
}
