//! How long the heartbeat interval of a connection may be, by what its cohort has survived.

use super::exploration::Exploration;
use super::gap_history::{GapBucket, GapHistory};
use super::policy::Policy;
use super::saved_cadence::SavedCadence;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// The interval of a connection at risk.
const AT_RISK: Micros = Micros::from_secs(5);

/// A connection at risk is pinged at its short interval for at most this long.
const AT_RISK_MAX: Micros = Micros::from_secs(120);

/// The part of a safe gap that is used as an interval, in percent.
const USED_PERCENT: u64 = 85;

/// The connection timeout, in intervals.
const TIMEOUT_INTERVALS: u64 = 3;

/// The evidence of a cohort counts half after this many hours.
const AGE_HOURS: u32 = 24;

/// The gaps that are safe are computed again after this many survivals, and after each death.
const REFRESH: u8 = 16;

/// What a death adds to the streak, from which a survival of the same gap or a longer one takes 1.
const STREAK_DEATH: u8 = 8;

/// The streak that convicts a gap, however often connections have survived it in the past: eight
/// deaths almost in a row. An outage that one of 20 connections does not survive is no such streak.
const STREAK_MAX: u8 = 64;

/// While a cohort has an alarm, its deaths say nothing about gaps for this many seconds. A NAT that
/// has become stricter raises the alarm as well, and once more when the peers are back, so the next
/// alarms do not excuse deaths.
const EXCUSE_SECS: u32 = 180;
const NEXT_EXCUSE_SECS: u32 = 6 * 3_600;

/// Why a connection has its heartbeat interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "an engine has a policy for each")]
pub enum Pace {
    /// The interval is the configured one.
    #[default]
    Configured,
    /// The interval is 0.85 of this safe gap.
    Safe(GapBucket),
    /// The connection tries whether this gap is safe.
    Exploring(GapBucket),
    /// One of the latest two heartbeats was late, so the interval is short. The connection may have
    /// explored this gap before.
    AtRisk(Option<GapBucket>),
}

impl Pace {
    /// The number of different paces.
    pub const COUNT: usize = 50;

    /// Returns a number for it, below [`COUNT`](Pace::COUNT).
    pub fn index(self) -> usize {
        match self {
            Pace::Configured => 0,
            Pace::AtRisk(None) => 1,
            Pace::Safe(bucket) => 2 + bucket.index(),
            Pace::Exploring(bucket) => 18 + bucket.index(),
            Pace::AtRisk(Some(bucket)) => 34 + bucket.index(),
        }
    }

    /// Returns the pace with this number; the configured one for numbers that none has.
    pub fn from_index(index: usize) -> Self {
        let bucket = |index| GapBucket::from_index(index);
        match index {
            1 => Pace::AtRisk(None),
            2..18 => bucket(index - 2).map_or(Pace::Configured, Pace::Safe),
            18..34 => bucket(index - 18).map_or(Pace::Configured, Pace::Exploring),
            34.. => bucket(index - 34).map_or(Pace::Configured, |b| Pace::AtRisk(Some(b))),
            _ => Pace::Configured,
        }
    }

    /// Returns the interval of a connection with this pace whose configured interval is
    /// `configured`.
    pub fn interval(self, configured: Micros) -> Micros {
        match self {
            Pace::Configured => configured,
            Pace::AtRisk(_) => configured.min(AT_RISK),
            Pace::Safe(bucket) => used(bucket),
            Pace::Exploring(bucket) => bucket.edge(),
        }
    }

    /// Returns the policy of a connection with this pace whose class has this policy: its interval,
    /// and a timeout of three intervals, if the configured one is shorter.
    pub fn policy(self, configured: &Policy) -> Policy {
        let heartbeat_interval = self.interval(configured.heartbeat_interval);
        let least = match self {
            _ if sabotage::on(Bug::PaceWithoutTimeout) => Micros::ZERO,
            Pace::Configured | Pace::AtRisk(_) => Micros::ZERO,
            Pace::Safe(_) | Pace::Exploring(_) => Micros(heartbeat_interval.0 * TIMEOUT_INTERVALS),
        };
        Policy {
            heartbeat_interval,
            connection_timeout: configured.connection_timeout.max(least),
            ..*configured
        }
    }

    /// Returns the gap that a connection with this pace explores, or explored before it was at
    /// risk.
    pub fn explored(self) -> Option<GapBucket> {
        match self {
            Pace::Exploring(bucket) => Some(bucket),
            Pace::AtRisk(explored) => explored,
            Pace::Configured | Pace::Safe(_) => None,
        }
    }
}

/// What a connection is when its pace is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the engine writes it down")]
pub struct PaceInput {
    /// Its configured interval.
    pub configured: Micros,
    /// The longest interval that is allowed.
    pub longest: Micros,
    /// Whether none of its latest three heartbeats was late.
    pub is_calm: bool,
    /// Whether one of its latest two heartbeats was late.
    pub is_at_risk: bool,
    /// How many heartbeats in a row are unanswered.
    pub unanswered: u16,
    /// Whether the interval may grow now. It is asked at each fourth heartbeat, so that four of
    /// them test one interval before the next one.
    pub may_grow: bool,
    /// The open connections of its cohort.
    pub members: u32,
    /// The second of engine time.
    pub now: u32,
}

/// What a cohort has learned about idle gaps. 112 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cadence {
    history: GapHistory,
    exploration: Exploration,
    /// The longest safe gap.
    safe: Option<GapBucket>,
    /// By bucket: how many of its latest trials were deaths.
    streaks: [u8; 16],
    /// Survivals since the safe gap was computed.
    stale: u8,
    /// When an alarm began to excuse deaths the last time, in seconds of engine time; 0: never.
    excused_at: u32,
    /// When the evidence was last halved: hours of engine time.
    aged_at: u16,
}

impl Cadence {
    /// Records that a connection with this pace has answered a heartbeat after an idle gap.
    /// `stands_for`: how many such heartbeats it stands for, at most 16.
    pub fn on_survived(&mut self, gap: Micros, pace: Pace, stands_for: u16, members: u32) {
        let Some(bucket) = GapBucket::of(gap) else {
            return;
        };
        self.history.survive(bucket, stands_for);
        for streak in &mut self.streaks[..=bucket.index()] {
            *streak = streak.saturating_sub(stands_for as u8);
        }
        if let Some(explored) = pace.explored().filter(|explored| *explored <= bucket) {
            let other_deaths = self.history.other_deaths(explored);
            self.exploration
                .on_survived(explored, members, other_deaths);
        }
        self.stale = self.stale.saturating_add(stands_for as u8);
        if self.stale >= REFRESH {
            self.refresh();
        }
    }

    /// Records the death of a connection with this pace after an idle gap.
    pub fn on_died(&mut self, gap: Micros, pace: Pace, members: u32, now: u32) {
        if let Some(explored) = pace.explored() {
            self.exploration.on_died(explored, members, now);
        }
        let Some(bucket) = GapBucket::of(gap).filter(|_| !sabotage::on(Bug::GapDeathsIgnored))
        else {
            return;
        };
        self.history.die(bucket);
        let former = self.safe;
        // The deaths of explorers concern a gap that nothing else uses.
        if pace.explored().is_none() {
            self.count_streak(bucket);
        }
        self.refresh();
        if self.safe < former {
            self.exploration.stop(now);
        }
    }

    /// Returns whether a death during an alarm of the cohort says nothing about gaps.
    pub fn is_excused_by_alarm(&mut self, now: u32) -> bool {
        let ago = now.saturating_sub(self.excused_at);
        if self.excused_at == 0 || ago >= NEXT_EXCUSE_SECS {
            self.excused_at = now;
        }
        now.saturating_sub(self.excused_at) < EXCUSE_SECS
    }

    /// Records the loss of a connection with this pace after so much silence, without an unanswered
    /// heartbeat. Of an explorer that is a death if the others were not silent for as long.
    pub fn on_lost(&mut self, silence: Micros, pace: Pace, members: u32, now: u32) {
        let safe = self.safe.map_or(Micros::ZERO, used);
        if let Some(explored) = pace.explored().filter(|_| silence > safe) {
            self.exploration.on_died(explored, members, now);
        }
    }

    /// Convicts a gap by several deaths almost in a row. Otherwise a long past without deaths would
    /// outvote a NAT that was changed yesterday.
    fn count_streak(&mut self, bucket: GapBucket) {
        let streak = &mut self.streaks[bucket.index()];
        *streak = streak.saturating_add(STREAK_DEATH);
        if *streak >= STREAK_MAX {
            self.streaks[bucket.index()..].fill(0);
            self.history.forget_from(bucket);
            self.safe = self.safe.min(shorter(bucket));
        }
    }

    fn refresh(&mut self) {
        self.stale = 0;
        self.safe = self.history.safe(self.safe);
    }

    /// Makes old evidence count less. Called from time to time.
    fn age(&mut self, now: u32) {
        let hours = (now / 3_600) as u16;
        if u32::from(hours.wrapping_sub(self.aged_at)) >= AGE_HOURS {
            self.aged_at = hours;
            self.history.age();
        }
    }

    /// Chooses the next pace of a connection.
    pub fn choose(&mut self, pace: Pace, input: &PaceInput) -> Pace {
        self.age(input.now);
        self.leave(pace);
        let next = self.next_pace(pace, input);
        if next.explored().is_some() {
            self.exploration.join();
        }
        next
    }

    /// Counts a connection that no longer has this pace: it has ended, or its policy was changed.
    pub fn leave(&mut self, pace: Pace) {
        if pace.explored().is_some() && !sabotage::on(Bug::ExplorersLeak) {
            self.exploration.leave();
        }
    }

    fn next_pace(&mut self, pace: Pace, input: &PaceInput) -> Pace {
        if input.is_at_risk {
            return self.pace_at_risk(pace, input);
        }
        let most = self.longest_safe(input);
        match pace {
            Pace::Exploring(bucket) if self.stays_exploring(bucket, input) => pace,
            Pace::Exploring(_) if input.is_calm => self.explore(input).unwrap_or(most),
            Pace::Exploring(_) => most,
            Pace::AtRisk(_) => Pace::Configured,
            _ if interval_of(pace, input) > interval_of(most, input) => most,
            _ if !(input.is_calm && input.may_grow) => pace,
            _ if pace == most => self.explore(input).unwrap_or(pace),
            _ => longer(pace, most, input),
        }
    }

    /// Returns the pace of a connection at risk. Its short interval is over after two minutes
    /// without an answer; if it explored, it is lost then.
    fn pace_at_risk(&mut self, pace: Pace, input: &PaceInput) -> Pace {
        let at_risk = Pace::AtRisk(pace.explored());
        let interval = interval_of(at_risk, input);
        let is_over = u64::from(input.unanswered) > AT_RISK_MAX.0 / interval.0.max(1);
        if is_over && let Some(explored) = pace.explored() {
            self.exploration.on_died(explored, input.members, input.now);
        }
        match is_over || interval == input.configured && pace.explored().is_none() {
            true => Pace::Configured,
            false => at_risk,
        }
    }

    /// Returns the pace with the longest interval that is known to be safe and allowed.
    fn longest_safe(&self, input: &PaceInput) -> Pace {
        let known = GapBucket::all()
            .rev()
            .filter(|bucket| Some(*bucket) <= self.safe);
        let mut fits = known.map(Pace::Safe).filter(|pace| {
            let interval = interval_of(*pace, input);
            interval <= input.longest && interval > input.configured
        });
        fits.next().unwrap_or_default()
    }

    /// Returns the bucket to explore, if the settings allow its gaps.
    fn unknown(&self, input: &PaceInput) -> Option<GapBucket> {
        let next = match self.safe {
            Some(safe) => safe.longer(),
            None => Some(GapBucket::FIRST),
        };
        next.filter(|next| next.edge() <= input.longest && next.edge() > input.configured)
    }

    fn stays_exploring(&self, bucket: GapBucket, input: &PaceInput) -> bool {
        self.unknown(input) == Some(bucket) && self.exploration.is_under_way(bucket, input.now)
    }

    /// Lets a connection explore if it may.
    fn explore(&mut self, input: &PaceInput) -> Option<Pace> {
        let bucket = self.unknown(input)?;
        if self.exploration.begin(bucket, input.members, input.now) {
            // What is known of this gap may be old.
            self.history.forget_from(bucket);
        }
        let has_room = self.exploration.has_room(bucket, input.members, input.now);
        has_room.then_some(Pace::Exploring(bucket))
    }

    /// Returns what outlives the process, at this second of engine time; `None` if nothing was
    /// learned.
    pub fn save(&self, now: u32) -> Option<SavedCadence> {
        let mut saved = SavedCadence::default();
        for (index, (survived, died)) in self.history.counts().enumerate() {
            saved.survived[index] = survived as u16;
            saved.died[index] = died as u16;
        }
        saved.safe = self.safe.map(|safe| safe.index() as u8);
        self.exploration.save(&mut saved, now);
        (saved != SavedCadence::default()).then_some(saved)
    }

    /// Returns a cohort that has learned this; `None` if none can.
    pub fn restore(saved: &SavedCadence, now: u32) -> Option<Self> {
        let bucket = |index: Option<u8>| match index {
            None => Some(None),
            Some(index) => GapBucket::from_index(index.into()).map(Some),
        };
        let mut cadence = Cadence {
            history: GapHistory::from_counts(saved.survived, saved.died)?,
            exploration: Exploration::restored(saved, bucket(saved.explored)?, now),
            safe: bucket(saved.safe)?,
            aged_at: (now / 3_600) as u16,
            ..Cadence::default()
        };
        cadence.refresh();
        Some(cadence)
    }

    /// Returns the trials.
    pub fn history(&self) -> &GapHistory {
        &self.history
    }

    /// Returns the longest safe gap.
    pub fn safe(&self) -> Option<GapBucket> {
        self.safe
    }

    /// Returns the state of the exploration.
    pub fn exploration(&self) -> &Exploration {
        &self.exploration
    }
}

fn interval_of(pace: Pace, input: &PaceInput) -> Micros {
    pace.interval(input.configured)
}

/// Returns the next longer pace, at most `most`. The intervals of neighbours differ by 44 %.
fn longer(pace: Pace, most: Pace, input: &PaceInput) -> Pace {
    let interval = interval_of(pace, input);
    let mut longer = GapBucket::all().map(Pace::Safe);
    let next = longer.find(|next| interval_of(*next, input) > interval);
    match next {
        Some(next) if interval_of(next, input) < interval_of(most, input) => next,
        _ => most,
    }
}

/// Returns the interval that is used when gaps up to this edge are safe.
fn used(safe: GapBucket) -> Micros {
    Micros(safe.edge().0 / 100 * USED_PERCENT)
}

/// Returns the bucket before this one.
fn shorter(bucket: GapBucket) -> Option<GapBucket> {
    GapBucket::from_index(bucket.index().checked_sub(1)?)
}

#[cfg(test)]
mod tests;
