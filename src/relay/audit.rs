//! Recounts of the relay's memory accounts, for tests.

use super::relay::Relay;
use super::relay_stats::RelayStats;
use super::session::OfflineApps;

impl Relay {
    /// Recounts the memory of unfinished messages, which their connections hold
    /// ([`Stats::held_bytes`](crate::engine::Stats::held_bytes)). For tests: it walks over
    /// everything.
    pub(crate) fn recount_held(&self) -> u64 {
        let sessions = self.sessions.after(None);
        let frames = sessions.map(|(_, session)| session.fan_outs.held());
        (frames.sum::<usize>() + self.partial_texts.held()) as u64
    }

    /// Recounts what the relay has charged
    /// ([`Stats::host_bytes`](crate::engine::Stats::host_bytes)) over all sessions. For tests: it
    /// walks over everything.
    ///
    /// # Panics
    /// If the counts of slots differ from the slots themselves.
    pub(crate) fn recount(&self) -> u64 {
        self.check_counts();
        let sessions = self.sessions.after(None);
        let sessions = sessions.map(|(user, session)| session.charged(user));
        let others =
            self.task_queue.charged() + self.pending_introductions.charged() + self.pulse.charged();
        (sessions.sum::<usize>() + others) as u64
    }

    /// Checks that the counts of slots, which are updated step by step, match all slots.
    fn check_counts(&self) {
        let (mut stats, mut offline_apps) = (RelayStats::default(), OfflineApps::default());
        for (_, session) in self.sessions.after(None) {
            session.count(&mut stats.absent, &mut offline_apps);
        }
        self.task_queue.count(&mut stats.absent, &mut offline_apps);
        assert_eq!(self.stats.absent, stats.absent, "slots that are absent");
        assert_eq!(self.offline_apps, offline_apps);
    }
}
