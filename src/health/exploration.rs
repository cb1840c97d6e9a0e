//! How carefully the connections of a cohort try the next longer idle gap.
//!
//! A gap that is too long kills the connection that tries it. So one connection tries it first.
//! Each survival lets one more try, up to 5 % of the cohort. A death costs as much as eight
//! survivals bring. When nothing is left, the round ends, and the next one begins hours later, with
//! one connection again.
//!
//! A second account bounds what is lost for ever, whatever the network does: a connection that was
//! lost while it explored is paid for with time, 1/400 of the cohort a day, at most one day in
//! advance. In no span of 24 h are more than 1/200 of the connections lost, rounded up.

use super::gap_history::GapBucket;
use super::saved_cadence::SavedCadence;

/// The number of members for each of which one may explore: 5 %.
const MEMBERS_PER_EXPLORER: u32 = 20;

/// What a death costs, in survivals.
const DEATH: u16 = 8;

/// The most survivals that count.
const CREDIT_MAX: u16 = 1 << 14;

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;

/// A death is paid for by this many days of one member.
const DAYS_PER_DEATH: u32 = 400;

/// The state of the exploration of one cohort. 20 bytes. Times are seconds of engine time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exploration {
    /// The bucket that is being explored, if a round has begun.
    round: Option<GapBucket>,
    /// The bucket of the latest round.
    latest: Option<GapBucket>,
    /// How many rounds in a row that bucket has failed.
    failures: u8,
    /// How many connections may explore, if the cohort is large enough.
    credit: u16,
    /// How many do.
    explorers: u16,
    /// No round begins before this time.
    resumes_at: u32,
    /// All deaths are paid for at this time.
    paid_at: u32,
}

impl Exploration {
    /// Returns whether one more connection may explore this bucket.
    pub fn has_room(&self, bucket: GapBucket, members: u32, now: u32) -> bool {
        let most = u32::from(self.credit).min(members / MEMBERS_PER_EXPLORER);
        self.round == Some(bucket) && self.is_paid(now) && u32::from(self.explorers) < most
    }

    /// Returns whether connections may explore this bucket now.
    pub fn is_under_way(&self, bucket: GapBucket, now: u32) -> bool {
        self.round == Some(bucket) && self.is_paid(now)
    }

    fn is_paid(&self, now: u32) -> bool {
        self.paid_at <= now.saturating_add(DAY)
    }

    /// Begins a round, if one may begin now; returns whether it has.
    pub fn begin(&mut self, bucket: GapBucket, members: u32, now: u32) -> bool {
        let may_begin = self.round != Some(bucket)
            && members >= MEMBERS_PER_EXPLORER
            && now >= self.resumes_at
            && self.is_paid(now);
        if may_begin {
            if self.latest != Some(bucket) {
                self.failures = 0;
            }
            (self.round, self.latest, self.credit) = (Some(bucket), Some(bucket), 1);
        }
        may_begin
    }

    /// Counts a connection that begins to explore.
    pub fn join(&mut self) {
        self.explorers = self.explorers.saturating_add(1);
    }

    /// Counts a connection that no longer explores.
    pub fn leave(&mut self) {
        self.explorers = self.explorers.saturating_sub(1);
    }

    /// Records that an explorer has survived a gap of this bucket. `other_deaths`: of 65 536 such
    /// gaps, how many end in a death that has another reason.
    pub fn on_survived(&mut self, bucket: GapBucket, members: u32, other_deaths: u32) {
        let refund = (u64::from(price(members)) * u64::from(other_deaths)) >> 16;
        self.paid_at = self.paid_at.saturating_sub(refund as u32);
        if self.round == Some(bucket) {
            self.credit = self.credit.saturating_add(1).min(CREDIT_MAX);
        }
    }

    /// Records the loss of a connection that explored this bucket.
    pub fn on_died(&mut self, bucket: GapBucket, members: u32, now: u32) {
        self.paid_at = self.paid_at.max(now).saturating_add(price(members));
        if self.round != Some(bucket) {
            return;
        }
        self.credit = self.credit.saturating_sub(DEATH);
        if self.credit == 0 {
            self.round = None;
            let pause = HOUR << self.failures.min(5);
            self.resumes_at = now.saturating_add(pause.min(DAY));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Ends the round, because a gap that was safe no longer is. The next one begins an hour later.
    pub fn stop(&mut self, now: u32) {
        self.round = None;
        self.resumes_at = self.resumes_at.max(now.saturating_add(HOUR));
    }

    /// Saves what outlives the process.
    pub(super) fn save(&self, saved: &mut SavedCadence, now: u32) {
        saved.explored = self.latest.map(|latest| latest.index() as u8);
        saved.failures = self.failures;
        saved.pause_secs = self.resumes_at.saturating_sub(now);
        saved.unpaid_secs = self.paid_at.saturating_sub(now);
    }

    /// Returns the state that was saved, without a round. Pauses are at most a month.
    pub(super) fn restored(saved: &SavedCadence, latest: Option<GapBucket>, now: u32) -> Self {
        const MONTH: u32 = 30 * DAY;
        Exploration {
            latest,
            failures: saved.failures,
            resumes_at: now.saturating_add(saved.pause_secs.min(MONTH)),
            paid_at: now.saturating_add(saved.unpaid_secs.min(MONTH)),
            ..Exploration::default()
        }
    }

    /// Returns the bucket that is being explored.
    pub fn round(&self) -> Option<GapBucket> {
        self.round
    }

    /// Returns how many connections explore.
    pub fn explorers(&self) -> u16 {
        self.explorers
    }

    /// Returns after how many seconds a round may begin; 0: now.
    pub fn pause(&self, now: u32) -> u32 {
        let unpaid = self.paid_at.saturating_sub(DAY);
        self.resumes_at.max(unpaid).saturating_sub(now)
    }
}

/// Returns the seconds that pay for a death.
fn price(members: u32) -> u32 {
    DAY * DAYS_PER_DEATH / members.max(1)
}

#[cfg(test)]
mod tests;
