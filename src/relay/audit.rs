//! The accounts of memory, added up anew for tests.

use super::relay::Relay;
use super::session::Vacancies;
use super::stats::RelayStats;

impl Relay {
    /// What the relay keeps of messages that are not finished, added up anew: their connections hold it
    /// ([`Stats::held_bytes`](crate::engine::Stats::held_bytes)). For tests: it walks over everything.
    pub(crate) fn recount_held(&self) -> u64 {
        let sessions = self.sessions.after(None);
        let frames = sessions.map(|(_, session)| session.fan_outs.held());
        (frames.sum::<usize>() + self.readings.held()) as u64
    }

    /// What the relay has charged ([`Stats::host_bytes`](crate::engine::Stats::host_bytes)), added up anew over all sessions.
    /// For tests: it walks over everything.
    ///
    /// # Panics
    /// If the counts of places are not what the places add up to.
    pub(crate) fn recount(&self) -> u64 {
        self.check_counts();
        let sessions = self.sessions.after(None);
        let sessions = sessions.map(|(user, session)| session.charged(user));
        let others = self.chores.charged() + self.introductions.charged();
        (sessions.sum::<usize>() + others) as u64
    }

    /// The counts of places, which follow from their changes, against all places.
    fn check_counts(&self) {
        let (mut stats, mut vacancies) = (RelayStats::default(), Vacancies::default());
        for (_, session) in self.sessions.after(None) {
            session.count(&mut stats.absent, &mut vacancies);
        }
        self.chores.count(&mut stats.absent, &mut vacancies);
        assert_eq!(self.stats.absent, stats.absent, "places that are absent");
        assert_eq!(self.vacancies, vacancies);
    }
}
