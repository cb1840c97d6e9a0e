//! Whether the peers of one part of a network have stopped answering together.
//!
//! A cohort is a set of connections that share a part of the network. Each heartbeat of it is a
//! trial: answered, or late. The sum of the log-likelihood ratios of these trials, between "half of
//! the heartbeats are late" and "as many as usual are", never below zero, is a CUSUM chart (E. S.
//! Page, "Continuous Inspection Schemes", Biometrika 41, 1954). It raises an alarm after eight late
//! heartbeats almost in a row. One peer in a tunnel has several late heartbeats, so the alarm also
//! needs several different peers.

use crate::base::sabotage::{self, Bug};

/// The unit of a score: 1/16 nat.
type Score = u16;

/// The score at which the alarm is raised: 24 nats.
const ALARM: Score = 384;

/// The highest score. A cohort that answers again is found well after as many answers as it takes
/// from here to zero: 44.
const MOST: Score = ALARM + ALARM / 4;

/// The number of different peers with a late heartbeat that an alarm needs.
const PEERS: u8 = 5;

/// The number of peers that are told apart: as many as late heartbeats that raise the alarm.
const PEERS_KEPT: usize = 8;

/// Late heartbeats count as usual after this many seconds in which the score was never zero.
/// Otherwise the alarm of a network that has become worse would never end.
const USUAL_AFTER_SECS: u32 = 600;

/// The share of late heartbeats that is expected of a cohort of which nothing is known: 1 in 50.
const PRIOR: (u32, u32) = (10, 500);

/// The most heartbeats that are remembered, so that the share of late ones follows the network.
const HEARTBEATS_MAX: u32 = 1 << 16;

/// A row for each usual share of late heartbeats p, in 1/1000: what a late heartbeat adds to the
/// score, and what an answered one takes, that is 16 ln(0.5 / p) and -16 ln(0.5 / (1 - p)), both
/// rounded in the direction of fewer alarms.
const WEIGHTS: [(u32, Score, Score); 9] = [
    (20, 51, 11),
    (30, 45, 11),
    (40, 40, 11),
    (50, 36, 11),
    (70, 31, 10),
    (100, 25, 10),
    (150, 19, 9),
    (200, 14, 8),
    (250, 11, 7),
];

/// What is known of the heartbeats of one cohort. 60 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cohort {
    /// Heartbeats and late ones among them, up to the last time that the score was zero.
    heartbeats: u32,
    lates: u32,
    /// The first peers with a late heartbeat since the score was zero.
    peers: [u32; PEERS_KEPT],
    peer_count: u8,
    is_alarmed: bool,
    score: Score,
    /// Late heartbeats since the score was zero that are not in `lates`.
    new_lates: u32,
    /// When the score was zero the last time, when the latest heartbeat was late, and when the
    /// alarm was raised: seconds of engine time.
    zero_at: u32,
    late_at: u32,
    alarmed_at: u32,
}

/// What has changed of a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an alarm begins and ends")]
pub enum CohortChange {
    /// Its peers have stopped answering.
    Alarmed,
    /// They answer again, or they have gone.
    Cleared,
}

impl Cohort {
    /// An alarm ends after this many seconds without a late heartbeat: the peers have gone, or they
    /// have no heartbeats.
    pub(crate) const QUIET_SECS: u32 = 60;

    /// Records a late heartbeat of this peer at this second of engine time. A peer that comes back
    /// with another connection is the same one.
    pub fn on_late(&mut self, peer: u32, now: u32) -> Option<CohortChange> {
        if self.score == 0 {
            self.begin(now);
        }
        let (late, _) = self.weights();
        let weight = match self.is_new(peer) {
            true => late,
            // Late heartbeats of one peer come in bursts, so a further one says less. It is half,
            // rounded up, so that two of each of five peers suffice.
            false => late.div_ceil(2),
        };
        self.score = (self.score + weight).min(MOST);
        self.late_at = now;
        self.new_lates = self.new_lates.saturating_add(1);
        if now.saturating_sub(self.zero_at) >= USUAL_AFTER_SECS {
            self.take_as_usual();
        }
        if self.is_alarmed || self.score < ALARM || self.peer_count < PEERS {
            return None;
        }
        self.is_alarmed = true;
        self.alarmed_at = now;
        Some(CohortChange::Alarmed)
    }

    /// Records an answered heartbeat. It need not be told if [`is_warm`](Cohort::is_warm) is false.
    #[inline]
    pub fn on_answered(&mut self) -> Option<CohortChange> {
        let (_, answered) = self.weights();
        if self.score == 0 || sabotage::on(Bug::AnswersDoNotCool) {
            return None;
        }
        self.score = self.score.saturating_sub(answered);
        match self.score {
            0 => self.end(),
            _ => None,
        }
    }

    /// Counts answered heartbeats for the usual share of late ones. A sample of them suffices, if
    /// each stands for those that are not counted.
    pub fn count(&mut self, heartbeats: u32) {
        self.heartbeats = self.heartbeats.saturating_add(heartbeats);
        if self.heartbeats > HEARTBEATS_MAX {
            self.heartbeats /= 2;
            self.lates /= 2;
        }
    }

    /// Ends what began too long ago to mean anything at this second of engine time.
    pub fn expire(&mut self, now: u32) -> Option<CohortChange> {
        let is_quiet = now.saturating_sub(self.late_at) >= Self::QUIET_SECS;
        if self.score == 0 || !is_quiet {
            return None;
        }
        self.score = 0;
        self.end()
    }

    /// Forgets the late heartbeats since the score was zero, because the peers are not the reason
    /// for them.
    pub fn acquit(&mut self) -> Option<CohortChange> {
        self.new_lates = 0;
        self.score = 0;
        self.end()
    }

    /// Returns whether answered heartbeats change anything.
    #[inline]
    pub fn is_warm(&self) -> bool {
        self.score > 0
    }

    /// Returns since when its peers have stopped answering: a second of engine time.
    pub fn alarmed_since(&self) -> Option<u32> {
        self.is_alarmed.then_some(self.alarmed_at)
    }

    /// Returns the score in percent of the one that raises the alarm, up to 125.
    pub fn score_percent(&self) -> u32 {
        u32::from(self.score) * 100 / u32::from(ALARM)
    }

    /// Returns how many different peers had a late heartbeat since the score was zero, at most 8.
    pub fn late_peers(&self) -> u8 {
        self.peer_count
    }

    /// Returns the second of engine time at which its latest heartbeat was late, 0 for none.
    pub fn late_at(&self) -> u32 {
        self.late_at
    }

    /// Returns how many heartbeats of 1 000 are late as a rule.
    pub fn usual_late_permille(&self) -> u32 {
        let (lates, heartbeats) = PRIOR;
        let all = u64::from(self.heartbeats) + u64::from(self.lates) + u64::from(heartbeats);
        let late = (u64::from(self.lates) + u64::from(lates)) * 1_000;
        late.div_ceil(all) as u32
    }

    /// Returns whether this is the first late heartbeat of a peer since the score was zero, and
    /// remembers the peer if there is room.
    fn is_new(&mut self, peer: u32) -> bool {
        let known = &self.peers[..usize::from(self.peer_count)];
        if known.contains(&peer) && !sabotage::on(Bug::OnePeerIsACohort) {
            return false;
        }
        if let Some(place) = self.peers.get_mut(usize::from(self.peer_count)) {
            *place = peer;
            self.peer_count += 1;
        }
        true
    }

    fn weights(&self) -> (Score, Score) {
        let usual = self.usual_late_permille();
        let row = WEIGHTS.iter().find(|(permille, ..)| usual <= *permille);
        let (_, late, answered) = row.unwrap_or(&WEIGHTS[WEIGHTS.len() - 1]);
        (*late, *answered)
    }

    fn begin(&mut self, now: u32) {
        self.peer_count = 0;
        self.new_lates = 0;
        self.zero_at = now;
    }

    /// Ends an excursion of the score. Late heartbeats that did not raise the alarm are usual ones.
    fn end(&mut self) -> Option<CohortChange> {
        if !self.is_alarmed {
            self.take_as_usual();
        }
        self.peer_count = 0;
        self.new_lates = 0;
        std::mem::take(&mut self.is_alarmed).then_some(CohortChange::Cleared)
    }

    fn take_as_usual(&mut self) {
        self.lates = self
            .lates
            .saturating_add(std::mem::take(&mut self.new_lates));
    }
}

#[cfg(test)]
mod tests;
