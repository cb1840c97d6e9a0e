//! Recounts of the relay's memory accounts, for tests.

use super::relay::Relay;
use super::session::Vacancies;
use super::stats::RelayStats;

impl Relay {
    /// Recounts the memory of unfinished messages, which their connections hold
    /// ([`Stats::held_bytes`](crate::engine::Stats::held_bytes)). For tests: it walks over
    /// everything.
    pub(crate) fn recount_held(&self) -> u64 {
        let sessions = self.sessions.after(None);
        let frames = sessions.map(|(_, session)| session.fan_outs.held());
        (frames.sum::<usize>() + self.readings.held()) as u64
    }

    /// Recounts what the relay has charged
    /// ([`Stats::host_bytes`](crate::engine::Stats::host_bytes)) over all sessions. For tests: it
    /// walks over everything.
    ///
    /// # Panics
    /// If the counts of places differ from the places themselves.
    pub(crate) fn recount(&self) -> u64 {
        self.check_counts();
        let sessions = self.sessions.after(None);
        let sessions = sessions.map(|(user, session)| session.charged(user));
        let others = self.chores.charged() + self.introductions.charged();
        (sessions.sum::<usize>() + others) as u64
    }

    /// Checks that the counts of places, which are updated step by step, match all places.
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
