//! The relay's state: sessions that survive their connections, and the tables beside them.

use super::jobs::{JobSender, StateJob};
use super::pulse::PulsePeers;
use super::relay_settings::RelaySettings;
use super::relay_stats::RelayStats;
use super::session::{
    AttachKind, FrameDelivery, GiveUp, GraceQueue, OfflineApps, SESSION_APPS_MAX, Sessions,
    SlotCounts, SlotState,
};
use super::tables::{
    ExpiredReceiver, ExpiredSender, Introduction, PartialTexts, PausedApps, PendingIntroductions,
    ScanState, StartLimiter, TaskQueue,
};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::{
    Blocks, BootId, Credentials, EventSender, Flapping, Identity, ReportInbox, SessionCounts,
};
use crate::relay::role::PeerRole;
use std::collections::HashMap;

/// The prefix of names that the relay generates for glasses without one. No peer reconnects under
/// such a name.
pub(super) const ANONYMOUS: &str = "anonymous-";

/// The scope of the limit of reconnects: the relay has one for all its peers.
pub(super) const LIMIT_SCOPE: &str = "";

/// The work units for a lost peer that is given up.
pub(super) const GIVE_UP_UNITS: u32 = 2;

/// All sessions, with the tables and limits that they share.
pub(crate) struct Relay {
    pub(crate) sessions: Sessions,
    pub(crate) settings: RelaySettings,
    pub(crate) credentials: Credentials,
    pub(crate) blocks: Blocks,
    pub(crate) jobs: JobSender,
    pub(super) flapping: Flapping,
    /// How often each user has started and stopped apps lately.
    pub(super) start_limiter: StartLimiter,
    pub(crate) stats: RelayStats,
    pub(super) grace_queue: GraceQueue,
    /// The number of slots of apps that no connection holds.
    pub(super) offline_apps: OfflineApps,
    pub(super) task_queue: TaskQueue,
    pub(super) paused_apps: PausedApps,
    pub(super) partial_texts: PartialTexts,
    pub(super) pending_introductions: PendingIntroductions,
    pub(crate) expired_peers: ExpiredSender,
    /// The identity that each unanswered start is for, by the number of the start.
    pub(super) starts_under_way: HashMap<u64, Identity>,
    /// The number of the last start.
    pub(super) last_start: u64,
    /// What is left to do for the apps after the last reload of their list.
    pub(super) reload_scan: ScanState,
    /// For each connection, the number of recent malformed frames, and since when they are counted.
    pub(super) malformed_counts: HashMap<ConnId, (u32, Micros)>,
    /// Connections that announced their departure and were already replaced, by the timer that
    /// closes them.
    pub(super) leaving: HashMap<TimerId, ConnId>,
    /// The pulse sessions of peers.
    pub(super) pulse: PulsePeers,
    /// The most slots that wait for a lost peer: as many as there may be connections.
    pub(super) absent_max: usize,
    /// The number of the last generated name.
    pub(super) anonymous: u64,
    /// Where the reports of peers go.
    pub(super) reports: ReportInbox,
}

impl Relay {
    pub(crate) fn new(
        settings: RelaySettings,
        credentials: Credentials,
        absent_max: usize,
    ) -> Self {
        Relay {
            sessions: Sessions::default(),
            settings,
            credentials,
            blocks: Blocks::default(),
            jobs: JobSender::default(),
            flapping: Flapping::default(),
            start_limiter: StartLimiter::default(),
            stats: RelayStats::default(),
            grace_queue: GraceQueue::default(),
            offline_apps: OfflineApps::default(),
            task_queue: TaskQueue::default(),
            paused_apps: PausedApps::default(),
            partial_texts: PartialTexts::default(),
            pending_introductions: PendingIntroductions::default(),
            expired_peers: ExpiredSender::default(),
            starts_under_way: HashMap::new(),
            last_start: 0,
            reload_scan: ScanState::default(),
            malformed_counts: HashMap::new(),
            leaving: HashMap::new(),
            pulse: PulsePeers::default(),
            absent_max,
            anonymous: 0,
            reports: ReportInbox::default(),
        }
    }

    /// Sets the id of this run of the gateway, which the hello of pulse names, and where the
    /// reports of peers go.
    pub(crate) fn set_boot(&mut self, boot: BootId, reports: ReportInbox) {
        self.pulse.boot = Some(boot);
        self.reports = reports;
    }

    /// Sets where events go.
    pub(crate) fn set_events(&mut self, events: EventSender) {
        self.pulse.events = events;
    }

    /// Returns the counters of pulse sessions.
    pub(crate) fn pulse_counts(&self) -> &SessionCounts {
        &self.pulse.counts
    }

    /// Applies new settings. Waits that have begun keep their end. Apps that are no longer known
    /// are stopped by [`run_reload_scan`](Self::run_reload_scan); returns whether it must be
    /// started.
    pub(crate) fn reconfigure(
        &mut self,
        settings: RelaySettings,
        credentials: Credentials,
        absent_max: usize,
    ) -> bool {
        let older = std::mem::replace(&mut self.credentials, credentials);
        (self.settings, self.absent_max) = (settings, absent_max);
        self.reload_scan.restart(older, self.last_start)
    }

    /// Restores sessions from before a restart, with the packages that ran. Their glasses have a
    /// grace as if they had been lost now. If a predecessor may still run, its overlap is added.
    pub(crate) fn restore(&mut self, io: &mut Io<'_>, sessions: Vec<(Box<str>, Vec<Box<str>>)>) {
        let at = io.now() + self.settings.glasses_grace + self.settings.overlap;
        let (mut slots, mut forgotten) = (0, 0);
        for (user, packages) in sessions {
            let known = packages.iter().filter(|p| self.credentials.has_app(p));
            let mut apps: Vec<&str> = known.map(|package| &**package).collect();
            apps.sort_unstable();
            apps.dedup();
            apps.truncate(SESSION_APPS_MAX);
            let fits = slots + 1 + apps.len() <= self.absent_max;
            forgotten += u64::from(!fits);
            if apps.is_empty() || self.settings.glasses_grace == Micros::ZERO || !fits {
                self.persist_change(io, StateJob::ForgetUser { user });
                continue;
            }
            slots += 1 + apps.len();
            let deadline = self.grace_queue.new_deadline(at);
            let (mut counts, sessions) = self.slot_counts();
            sessions.restore(io, &mut counts, &user, deadline, &apps);
            self.grace_queue
                .add(io, PeerRole::Glasses.identity(&user), deadline);
        }
        if forgotten > 0 {
            let most = self.absent_max;
            log::warn!(
                "restored sessions_forgotten={forgotten} reason=\"the state file has more than \
                 {most} glasses and apps (MAX_CONNECTIONS)\""
            );
        }
    }

    /// Returns whether the relay generated this name. With credentials it generates none, and a
    /// user may have such a name.
    pub(super) fn is_generated_name(&self, user: &str) -> bool {
        self.credentials.is_open() && user.starts_with(ANONYMOUS)
    }

    /// Assigns an admitted connection its slot in the session. Returns how it took the slot.
    pub(super) fn attach_role(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        introduction: Introduction,
    ) -> AttachKind {
        match PeerRole::of(identity) {
            PeerRole::Glasses => self.attach_glasses(io, id, identity),
            PeerRole::App(package) => self.attach_app(io, id, identity, package, introduction),
        }
    }

    /// Returns the queue of peers that did not come back within their grace.
    pub(crate) fn expired_peers(&self) -> ExpiredReceiver {
        self.expired_peers.shared()
    }

    /// Returns some of the identities that are refused now because they reconnect too often, and
    /// how many there are in all.
    pub(crate) fn flapping(&self, most: usize, now: Micros) -> (Vec<Identity>, usize) {
        let mut refused = self.flapping.refused_identities(now);
        let some = refused.by_ref().take(most);
        let some: Vec<Identity> = some.cloned().collect();
        let all = some.len() + refused.count();
        (some, all)
    }

    /// Handles a timer that has expired. Returns whether it was a timer of the relay.
    pub(super) fn handle_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let ours = self.grace_queue.on_timer(timer);
        if ours {
            for (deadline, identity) in self.grace_queue.take_expired(io) {
                io.spend(GIVE_UP_UNITS);
                self.give_up_wait(io, &identity, deadline, GiveUp::Expired);
            }
        }
        if self.task_queue.on_timer(timer) {
            self.run_tasks(io);
            return true;
        }
        if self.pulse.on_timer(timer) {
            self.run_pulse_dues(io);
            return true;
        }
        ours || self.on_leaving(io, timer) || self.on_init_timeout(io, timer)
    }

    /// Returns how a connection joined its session (first, resume or takeover), if it still holds
    /// its slot.
    pub(crate) fn attach_kind(&self, id: ConnId, identity: &Identity) -> Option<AttachKind> {
        let session = self.sessions.get(&identity.user)?;
        match session.slot(PeerRole::of(identity))?.state {
            SlotState::Held { conn, kind } if conn == id => Some(kind),
            SlotState::Held { .. } | SlotState::Empty | SlotState::Absent(_) => None,
        }
    }

    /// Borrows the sender of frames, and the sessions that it delivers to.
    pub(super) fn delivery(&mut self) -> (FrameDelivery<'_>, &mut Sessions) {
        let delivery = FrameDelivery {
            settings: &self.settings,
            stats: &mut self.stats,
            pulse: &mut self.pulse,
        };
        (delivery, &mut self.sessions)
    }

    /// Borrows the counts of slots, and the sessions that they count.
    pub(super) fn slot_counts(&mut self) -> (SlotCounts<'_>, &mut Sessions) {
        let counts = SlotCounts {
            stats: &mut self.stats,
            offline_apps: &mut self.offline_apps,
        };
        (counts, &mut self.sessions)
    }
}
