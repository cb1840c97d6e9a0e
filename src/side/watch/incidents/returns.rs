//! Which identities were lost, and which of them came back.

use super::ended_traits::{MINUTES_MAX, minute_of};
use super::openings::Openings;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::gateway::{Classes, ClosedConn, EndVerdict};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// The most identities that are remembered as lost. Above it the oldest one stays missing.
const LOST_MAX: usize = 65_536;

/// How long a lost identity is remembered.
const LOST_FOR: Micros = Micros::from_secs(60 * MINUTES_MAX);

/// An identity that comes back within this time was hardly missed.
const SOON: Micros = Micros::from_secs(60);

/// A connection that opened, or that said which user it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::side) struct IdentityOpening<'a> {
    pub(in crate::side) id: ConnId,
    pub(in crate::side) user: Option<&'a str>,
    pub(in crate::side) package: Option<&'a str>,
    /// The peer's address, when it opened.
    pub(in crate::side) address: Option<IpAddr>,
}

/// Counts of identities that were lost. One that comes back and is lost again counts again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::side) struct IdentityCounts {
    pub(in crate::side) affected: u64,
    pub(in crate::side) returned_within_minute: u64,
    pub(in crate::side) returned_later: u64,
}

/// The identities that were lost within the last hour.
#[derive(Debug)]
pub(in crate::side::watch) struct Returns {
    classes: Classes,
    /// Seeded at random, so that peers cannot choose identities with the same hash.
    hasher: RandomState,
    /// When each missing identity was lost, and with which connection.
    lost: HashMap<u32, (Micros, ConnId)>,
    lost_order: VecDeque<(Micros, u32)>,
    openings: Openings,
    /// By the minute of the loss, oldest first.
    minutes: VecDeque<(u64, IdentityCounts)>,
    totals: IdentityCounts,
}

impl IdentityCounts {
    /// Returns how many have not come back.
    pub(in crate::side) fn missing(&self) -> u64 {
        self.affected - self.returned_within_minute - self.returned_later
    }

    fn add(&mut self, more: &IdentityCounts) {
        self.affected += more.affected;
        self.returned_within_minute += more.returned_within_minute;
        self.returned_later += more.returned_later;
    }

    fn count_return(&mut self, after: Micros) {
        match after <= SOON {
            true => self.returned_within_minute += 1,
            false => self.returned_later += 1,
        }
    }
}

impl Returns {
    pub(in crate::side::watch) fn new(classes: Classes) -> Self {
        Returns {
            classes,
            hasher: RandomState::new(),
            lost: HashMap::new(),
            lost_order: VecDeque::new(),
            openings: Openings::default(),
            minutes: VecDeque::new(),
            totals: IdentityCounts::default(),
        }
    }

    /// Records a connection that opened. It may be the return of its user and of its address.
    pub(in crate::side::watch) fn record_opening(
        &mut self,
        opening: IdentityOpening<'_>,
        now: Micros,
    ) {
        let named = opening.user.map(|user| self.key(&(user, opening.package)));
        let address = opening.address.map(|address| self.key(&address));
        for key in named.into_iter().chain(address) {
            self.openings.record(key, opening.id, now);
            // Openings come on another way than ends, so that of the lost connection may come after
            // its end. It is no return.
            let is_return = |(_, lost): &(Micros, ConnId)| *lost != opening.id;
            if let Some((at, _)) = self.lost.get(&key).copied().filter(is_return) {
                self.lost.remove(&key);
                self.count(at, |counts| counts.count_return(now - at));
            }
        }
    }

    /// Records the losses among connections that have ended.
    pub(in crate::side::watch) fn record_ends<'a>(
        &mut self,
        closed: impl IntoIterator<Item = &'a ClosedConn>,
    ) {
        for record in closed {
            if self.is_loss(record) {
                self.record_loss(record);
            }
        }
    }

    /// Returns whether a client has lost its connection: to the network, or to the upstream.
    fn is_loss(&self, record: &ClosedConn) -> bool {
        let verdict = record.judged.map(|judged| judged.verdict);
        let is_client = record
            .end
            .class
            .is_some_and(|class| !self.classes.is_upstream(class));
        is_client && (record.end.lost || verdict == Some(EndVerdict::UpstreamLost))
    }

    fn record_loss(&mut self, record: &ClosedConn) {
        let (at, key) = (record.at.raw, self.key_of(record));
        self.forget(at);
        if self.lost.contains_key(&key) {
            return;
        }
        self.count(at, |counts| counts.affected += 1);
        // A client often comes back before the gateway notices that its connection is dead.
        let heard = at - record.end.silence;
        if let Some((id, opened)) = self.openings.latest(key)
            && id != record.id
            && opened >= heard
        {
            self.count(at, |counts| counts.count_return(opened - at));
            return;
        }
        self.lost.insert(key, (at, record.id));
        self.lost_order.push_back((at, key));
    }

    /// Returns the key of a connection's identity. Without one it counts by its address.
    fn key_of(&self, record: &ClosedConn) -> u32 {
        match record.user.as_deref().filter(|_| !record.is_anonymous()) {
            Some(user) => self.key(&(user, record.package.as_deref())),
            None => self.key(&record.end.peer_addr.ip()),
        }
    }

    fn key(&self, identity: &impl Hash) -> u32 {
        self.hasher.hash_one(identity) as u32
    }

    /// Forgets what is older than an hour, and the oldest losses if there are too many.
    fn forget(&mut self, now: Micros) {
        let is_old = |at: Micros| now - at > LOST_FOR;
        while let Some((at, key)) = self.lost_order.front().copied()
            && (is_old(at) || self.lost_order.len() >= LOST_MAX)
        {
            self.lost_order.pop_front();
            if self.lost.get(&key).is_some_and(|(lost, _)| *lost == at) {
                self.lost.remove(&key);
            }
        }
        let oldest = minute_of(now).saturating_sub(MINUTES_MAX);
        while self
            .minutes
            .front()
            .is_some_and(|(minute, _)| *minute < oldest)
        {
            self.minutes.pop_front();
        }
    }

    /// Changes the totals, and the counts of the minute of a loss if they are still kept.
    fn count(&mut self, lost_at: Micros, change: impl Fn(&mut IdentityCounts)) {
        change(&mut self.totals);
        let minute = minute_of(lost_at);
        if self
            .minutes
            .back()
            .is_none_or(|(newest, _)| *newest < minute)
        {
            self.minutes.push_back((minute, IdentityCounts::default()));
        }
        let mut minutes = self.minutes.iter_mut().rev();
        if let Some((_, counts)) = minutes.find(|(of, _)| *of == minute) {
            change(counts);
        }
    }

    /// Returns the counts since the start.
    pub(in crate::side::watch) fn totals(&self) -> IdentityCounts {
        self.totals
    }

    /// Returns how many identities were lost within the last hour and have not come back.
    pub(in crate::side::watch) fn missing(&mut self, now: Micros) -> u64 {
        self.forget(now);
        self.lost.len() as u64
    }

    /// Returns the counts of the identities that were lost in these minutes.
    pub(in crate::side::watch) fn lost_in(&self, minutes: &RangeInclusive<u64>) -> IdentityCounts {
        let mut sum = IdentityCounts::default();
        let wanted = self
            .minutes
            .iter()
            .filter(|(minute, _)| minutes.contains(minute));
        wanted.for_each(|(_, counts)| sum.add(counts));
        sum
    }
}
