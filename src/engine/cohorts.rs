//! The cohorts of the open connections: a table of at most 4 096, each with its score.
//!
//! A cohort is a class in a [`NetworkBlock`]. A connection refers to it by a [`CohortRef`].

use crate::base::id::Class;
use crate::base::network_block::NetworkBlock;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::cohort_ref::{CohortRef, GENERATION_MAX};
use crate::engine::cohort_view::{CadenceView, CohortView, SavedCohort};
use crate::health::{Cadence, Cohort, CohortChange, GapBucket, Pace};
use std::collections::HashMap;
use std::ops::Range;

/// The most cohorts. With their keys they take 350 KiB.
pub(crate) const COHORTS_MAX: usize = 1 << 12;

/// One of this many answered heartbeats is counted for the usual share of late ones. The others
/// touch no cohort, unless it has late heartbeats now.
const SAMPLE: u32 = 16;

/// How many cohorts are looked at for one that makes room. The work for a new connection must not
/// grow with the table.
const LOOKED_AT: usize = 16;

/// A cohort with fewer connections raises no alarm, so it makes room first.
const USEFUL: u32 = 5;

/// After this time without a late heartbeat nothing is warm: a second more than cohorts wait, whose
/// times are whole seconds.
const QUIET: Micros = Micros::from_secs(Cohort::QUIET_SECS as u64 + 1);

const WORDS: usize = COHORTS_MAX / 64;

/// A cohort in its place in the table.
#[derive(Debug)]
struct Entry {
    /// The class, above the bits of the network block.
    key: u64,
    cohort: Cohort,
    /// What was learned about idle gaps, if intervals adapt.
    cadence: Option<Box<Cadence>>,
    /// Open connections.
    members: u32,
    /// When a connection joined, or a heartbeat was counted, the last time: seconds of engine time.
    used: u32,
    generation: u32,
}

/// What has changed of a cohort, and how it looks now.
pub(crate) type CohortNews = (CohortChange, CohortView);

/// The cohorts.
#[derive(Debug)]
pub(crate) struct Cohorts {
    entries: Vec<Entry>,
    by_key: HashMap<u64, u16>,
    /// A bit for each cohort with late heartbeats now. It fits into a few cache lines, so that an
    /// answered heartbeat seldom costs more than a look here.
    warm: [u64; WORDS],
    /// Where the search for a cohort that makes room continues.
    hand: usize,
    /// How many alarms there are now.
    alarmed: usize,
    /// When the latest heartbeat was found late.
    late_at: Micros,
}

impl Default for Cohorts {
    fn default() -> Self {
        Cohorts {
            entries: Vec::new(),
            by_key: HashMap::new(),
            warm: [0; WORDS],
            hand: 0,
            alarmed: 0,
            late_at: Micros::ZERO,
        }
    }
}

impl Cohorts {
    /// Counts a connection that has opened. Returns no cohort if all have an alarm that might make
    /// room for it.
    pub(crate) fn join(&mut self, class: Class, block: NetworkBlock, now: Micros) -> CohortRef {
        let key = key_of(class, block);
        let index = match self.by_key.get(&key) {
            Some(index) => usize::from(*index),
            None => match self.place(key) {
                Some(index) => index,
                None => return CohortRef::default(),
            },
        };
        let entry = &mut self.entries[index];
        entry.members += 1;
        entry.used = seconds(now);
        CohortRef::new(index, entry.generation)
    }

    /// Returns whether the cohort had to make room, or there was none.
    pub(crate) fn is_gone(&self, which: CohortRef) -> bool {
        self.entry(which).is_none()
    }

    /// Counts a connection that is no longer open.
    pub(crate) fn leave(&mut self, which: CohortRef) {
        if let Some(entry) = self.entry_mut(which) {
            entry.members -= 1;
        }
    }

    /// Returns what was learned about idle gaps, and the number of connections.
    pub(crate) fn cadence_mut(&mut self, which: CohortRef) -> Option<(&mut Cadence, u32)> {
        let entry = self.entry_mut(which)?;
        let members = entry.members;
        Some((entry.cadence.get_or_insert_default(), members))
    }

    /// Returns what was learned about idle gaps.
    pub(crate) fn cadence(&self, which: CohortRef) -> Option<&Cadence> {
        self.entry(which)?.cadence.as_deref()
    }

    /// Returns what the cohorts with these numbers have learned, and whether there are further
    /// ones.
    pub(crate) fn saved(&self, range: Range<usize>, now: Micros) -> (Vec<SavedCohort>, bool) {
        let entries = self.entries.iter().take(range.end).skip(range.start);
        let saved = entries.filter_map(|entry| {
            let (class, block) = parts_of(entry.key);
            let cadence = entry.cadence.as_ref()?.save(seconds(now))?;
            Some(SavedCohort {
                class,
                block,
                cadence,
            })
        });
        (saved.collect(), range.end < self.entries.len())
    }

    /// Restores what a cohort has learned. Returns whether there is room for it, and it is valid. A
    /// cohort that is here already keeps what it knows.
    pub(crate) fn restore(&mut self, saved: &SavedCohort, now: Micros) -> bool {
        let key = key_of(saved.class, saved.block);
        let is_known = self.by_key.contains_key(&key);
        if is_known || self.entries.len() == COHORTS_MAX {
            return is_known;
        }
        let Some(cadence) = Cadence::restore(&saved.cadence, seconds(now)) else {
            return false;
        };
        let Some(index) = self.place(key) else {
            return false;
        };
        let entry = &mut self.entries[index];
        entry.cadence = Some(Box::new(cadence));
        entry.used = seconds(now);
        true
    }

    /// Returns how many connections explore.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn explorers(&self) -> u64 {
        let cadences = self
            .entries
            .iter()
            .filter_map(|entry| entry.cadence.as_ref());
        cadences
            .map(|cadence| u64::from(cadence.exploration().explorers()))
            .sum()
    }

    /// Counts a connection that no longer has this pace.
    pub(crate) fn leave_pace(&mut self, which: CohortRef, pace: Pace) {
        let cadence = self
            .entry_mut(which)
            .and_then(|entry| entry.cadence.as_mut());
        if let Some(cadence) = cadence {
            cadence.leave(pace);
        }
    }

    /// Returns whether an answered heartbeat with this number must be told to
    /// [`on_answered`](Cohorts::on_answered).
    #[inline]
    pub(crate) fn wants_answer(&self, which: CohortRef, number: u64) -> bool {
        let index = which.index();
        let is_warm = self.warm[index / 64] >> (index % 64) & 1 != 0;
        is_warm || number.is_multiple_of(u64::from(SAMPLE))
    }

    /// Records an answered heartbeat.
    pub(crate) fn on_answered(
        &mut self,
        which: CohortRef,
        number: u64,
        now: Micros,
    ) -> Option<CohortNews> {
        let entry = self.entry_mut(which)?;
        if number.is_multiple_of(u64::from(SAMPLE)) {
            entry.used = seconds(now);
            entry.cohort.count(SAMPLE);
        }
        let change = entry.cohort.on_answered();
        self.note(which.index(), change, now)
    }

    /// Records a late heartbeat of a peer.
    pub(crate) fn on_late(
        &mut self,
        which: CohortRef,
        peer: u32,
        now: Micros,
    ) -> Option<CohortNews> {
        let entry = self.entry_mut(which)?;
        entry.used = seconds(now);
        let change = entry.cohort.on_late(peer, seconds(now));
        self.late_at = now;
        self.note(which.index(), change, now)
    }

    /// Ends what began too long ago, and returns the alarms that have ended by that. Called about
    /// once a second.
    pub(crate) fn expire(&mut self, now: Micros) -> Vec<CohortNews> {
        self.for_each_warm(now, |cohort| cohort.expire(seconds(now)))
    }

    /// Forgets all late heartbeats, because this process is at fault for them. Returns the alarms
    /// that have ended by that.
    pub(crate) fn acquit(&mut self, now: Micros) -> Vec<CohortNews> {
        self.for_each_warm(now, Cohort::acquit)
    }

    fn for_each_warm(
        &mut self,
        now: Micros,
        change: impl Fn(&mut Cohort) -> Option<CohortChange>,
    ) -> Vec<CohortNews> {
        let mut news = Vec::new();
        for word in 0..WORDS {
            let mut bits = self.warm[word];
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let change = change(&mut self.entries[index].cohort);
                news.extend(self.note(index, change, now));
            }
        }
        news
    }

    /// Returns how many alarms there are now.
    pub(crate) fn alarmed(&self) -> usize {
        self.alarmed
    }

    /// Returns the number of cohorts.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns when late heartbeats have happened too long ago to mean anything, if there are some.
    pub(crate) fn quiet_at(&self) -> Option<Micros> {
        let is_any_warm = self.warm.iter().any(|word| *word != 0);
        is_any_warm.then(|| self.late_at + QUIET)
    }

    /// Returns how many network blocks had a late heartbeat since this time, at most `most`.
    pub(crate) fn late_blocks_since(&self, since: Micros, most: usize) -> usize {
        let is_late = |entry: &&Entry| {
            let late_at = entry.cohort.late_at();
            late_at != 0 && late_at >= seconds(since)
        };
        let mut found: Vec<NetworkBlock> = Vec::new();
        for entry in self.entries.iter().filter(is_late) {
            let (_, block) = parts_of(entry.key);
            if !found.contains(&block) {
                found.push(block);
            }
            if found.len() == most {
                break;
            }
        }
        found.len()
    }

    /// Returns a snapshot of the cohort.
    pub(crate) fn view(&self, which: CohortRef, now: Micros) -> Option<CohortView> {
        self.entry(which).map(|entry| view_of(entry, now))
    }

    /// Returns whether the cohort has an alarm.
    pub(crate) fn is_alarmed(&self, which: CohortRef) -> bool {
        self.alarmed > 0
            && self
                .entry(which)
                .is_some_and(|entry| entry.cohort.alarmed_since().is_some())
    }

    /// Returns a snapshot of each cohort from this place of the table on. A cohort keeps its place.
    pub(crate) fn views_from(
        &self,
        first: usize,
        now: Micros,
    ) -> impl ExactSizeIterator<Item = CohortView> {
        let entries = self.entries.get(first..).unwrap_or_default();
        entries.iter().map(move |entry| view_of(entry, now))
    }

    /// Returns how many connections are members of cohorts, for tests.
    #[cfg(feature = "testing")]
    pub(crate) fn members(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| u64::from(entry.members))
            .sum()
    }

    /// Checks the invariants, for tests.
    ///
    /// # Errors
    /// The first one that does not hold.
    #[cfg(feature = "testing")]
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut alarmed = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            let is_warm = self.warm[index / 64] >> (index % 64) & 1 != 0;
            if is_warm != entry.cohort.is_warm() {
                return Err(format!("the bit of cohort {index} is {is_warm}"));
            }
            if self.by_key.get(&entry.key) != Some(&(index as u16)) {
                return Err(format!("cohort {index} is not found by its key"));
            }
            alarmed += usize::from(entry.cohort.alarmed_since().is_some());
        }
        match (
            alarmed == self.alarmed,
            self.by_key.len() == self.entries.len(),
        ) {
            (true, true) => Ok(()),
            (false, _) => Err(format!(
                "{alarmed} alarms, and {} are counted",
                self.alarmed
            )),
            (true, false) => Err(format!("{} keys of cohorts", self.by_key.len())),
        }
    }

    fn entry(&self, which: CohortRef) -> Option<&Entry> {
        let is_same = |entry: &&Entry| entry.generation == which.generation();
        self.entries.get(which.index()).filter(is_same)
    }

    fn entry_mut(&mut self, which: CohortRef) -> Option<&mut Entry> {
        let is_same = |entry: &&mut Entry| entry.generation == which.generation();
        self.entries.get_mut(which.index()).filter(is_same)
    }

    /// Updates what is kept of a cohort beside it.
    fn note(
        &mut self,
        index: usize,
        change: Option<CohortChange>,
        now: Micros,
    ) -> Option<CohortNews> {
        let entry = &self.entries[index];
        let bit = 1 << (index % 64);
        match entry.cohort.is_warm() {
            true => self.warm[index / 64] |= bit,
            false => self.warm[index / 64] &= !bit,
        }
        match change? {
            CohortChange::Alarmed => self.alarmed += 1,
            CohortChange::Cleared => self.alarmed -= 1,
        }
        change.map(|change| (change, view_of(entry, now)))
    }

    /// Returns the place of a new cohort.
    fn place(&mut self, key: u64) -> Option<usize> {
        let index = match self.entries.len() < COHORTS_MAX {
            true => {
                self.entries.push(Entry {
                    key,
                    cohort: Cohort::default(),
                    cadence: None,
                    members: 0,
                    used: 0,
                    generation: 1,
                });
                self.entries.len() - 1
            }
            false => self.make_room(key)?,
        };
        self.by_key.insert(key, index as u16);
        Some(index)
    }

    /// Gives the place of another cohort to a new one: of those looked at, one that cannot raise an
    /// alarm, or else the one that was not used for longest. A cohort with an alarm keeps its
    /// place.
    fn make_room(&mut self, key: u64) -> Option<usize> {
        let looked_at = (0..LOOKED_AT).map(|n| (self.hand + n) % COHORTS_MAX);
        let may_go = looked_at.filter(|index| {
            let is_alarmed = self.entries[*index].cohort.alarmed_since().is_some();
            !is_alarmed
        });
        let found = may_go.min_by_key(|index| {
            let entry = &self.entries[*index];
            (
                entry.members.min(USEFUL),
                entry.cadence.is_some(),
                entry.used,
            )
        });
        self.hand = (self.hand + LOOKED_AT) % COHORTS_MAX;
        let index = found?;
        let entry = &mut self.entries[index];
        self.by_key.remove(&entry.key);
        let generation = match sabotage::on(Bug::CohortMistaken) {
            true => entry.generation,
            false => entry.generation % GENERATION_MAX + 1,
        };
        *entry = Entry {
            key,
            cohort: Cohort::default(),
            cadence: None,
            members: 0,
            used: 0,
            generation,
        };
        self.warm[index / 64] &= !(1 << (index % 64));
        Some(index)
    }
}

fn key_of(class: Class, block: NetworkBlock) -> u64 {
    u64::from(class.0) << 56 | block.to_bits()
}

fn parts_of(key: u64) -> (Class, NetworkBlock) {
    let block = NetworkBlock::from_bits(key & ((1 << 56) - 1));
    (Class((key >> 56) as u8), block)
}

fn view_of(entry: &Entry, now: Micros) -> CohortView {
    let (class, block) = parts_of(entry.key);
    let since = |second: u32| Micros::from_secs(seconds(now).saturating_sub(second).into());
    let late_at = entry.cohort.late_at();
    CohortView {
        class,
        block,
        connections: entry.members,
        usual_late_permille: entry.cohort.usual_late_permille(),
        score_percent: entry.cohort.score_percent(),
        late_peers: entry.cohort.late_peers(),
        late_ago: (late_at != 0).then(|| since(late_at)),
        alarmed_for: entry.cohort.alarmed_since().map(since),
        cadence: entry.cadence.as_ref().map(|cadence| learned(cadence, now)),
    }
}

pub(crate) fn learned(cadence: &Cadence, now: Micros) -> CadenceView {
    let exploration = cadence.exploration();
    CadenceView {
        safe: cadence.safe().map(GapBucket::edge),
        exploring: exploration.round().map(GapBucket::edge),
        explorers: exploration.explorers(),
        pause: Micros::from_secs(exploration.pause(seconds(now)).into()),
    }
}

/// Returns engine time in seconds. It begins with 1, so that 0 stands for "never".
pub(crate) fn seconds(time: Micros) -> u32 {
    u32::try_from(time.0 / 1_000_000 + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
