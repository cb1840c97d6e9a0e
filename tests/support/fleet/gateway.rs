//! What a test does with the gateway of a fleet: lets time pass, reads its counters, reloads its
//! settings.

use super::credentials::credentials;
use super::start::{Fleet, config};
use pulsegate::Micros;
use pulsegate::gateway::{
    Admission, Reconfiguration, RelaySettings, RelayStats, ReportMode, SessionLimits,
};

impl Fleet {
    pub fn advance(&mut self, ms: u64) {
        self.net.advance(ms);
    }

    pub fn stats(&mut self) -> RelayStats {
        self.net.with_io(|gateway, io| gateway.snapshot(io)).relay
    }

    /// Returns what the relay has charged to the loop; asserts that it equals a fresh sum.
    #[track_caller]
    pub fn charged(&mut self) -> u64 {
        self.net.with_io(|gateway, io| {
            let charged = io.stats().host_bytes;
            assert_eq!(charged, gateway.recount());
            charged
        })
    }

    /// Returns the bytes that the relay keeps of messages that their connections hold.
    pub fn held(&mut self) -> u64 {
        self.net.with_io(|gateway, _| gateway.recount_held())
    }

    pub fn sessions(&mut self) -> usize {
        self.net
            .with_io(|gateway, io| gateway.snapshot(io))
            .sessions
    }

    /// Reloads the settings, with these apps.
    pub fn reload_apps(&mut self, packages: &[&str]) {
        self.reload(packages, |_| {});
    }

    /// Reloads the settings, with these apps and another change.
    pub fn reload(&mut self, packages: &[&str], change: impl FnOnce(&mut Reconfiguration)) {
        self.begin_reload(packages, change);
        self.rest();
    }

    /// Like [`reload`](Self::reload), but the loop has not turned since.
    pub fn begin_reload(&mut self, packages: &[&str], change: impl FnOnce(&mut Reconfiguration)) {
        let mut newer = Reconfiguration {
            serves_relay: true,
            routes: None,
            drain: Micros::ZERO,
            engine: config(),
            max_connections: 100_000,
            stats_interval: Micros::from_secs(60),
            trusted_proxies: Vec::new(),
            sessions: SessionLimits::default(),
            relay: RelaySettings::default(),
            credentials: credentials(packages, Admission::Started),
            client_reports: ReportMode::Keep,
        };
        change(&mut newer);
        let done = self
            .net
            .with_io(|gateway, io| gateway.reconfigure(io, newer));
        done.expect("valid settings");
    }

    /// Runs one turn. Returns the work units that it spent.
    pub fn turn(&mut self) -> u64 {
        let before = self.work_units();
        self.net.run_turn();
        self.work_units() - before
    }

    /// Returns the work units since the start.
    pub fn work_units(&mut self) -> u64 {
        self.net.with_io(|_, io| io.stats().work_units)
    }

    /// Runs turns until all work that takes several turns is done.
    pub fn rest(&mut self) {
        self.net.settle();
        let mut idle = 0;
        while idle < 3 {
            idle = if self.turn() == 0 { idle + 1 } else { 0 };
        }
    }
}
