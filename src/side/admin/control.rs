//! What the answers of the admin listener are made from.

use super::live::Live;
use super::logins::Logins;
use super::token::Token;
use crate::gateway::{ClosedBox, Desk, MissedBox};
use crate::health::Policy;
use crate::side::errands::Runner;
use crate::side::lock::lock;
use crate::side::watch::{Alerts, EndedRing, Series, Troubled};
use crate::time::{Micros, Moment};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// What the answers are made from.
pub(in crate::side) struct Control {
    pub(in crate::side) token: Option<Token>,
    pub(in crate::side) hosts: Vec<Box<str>>,
    pub(in crate::side) logins: Logins,
    pub(in crate::side) desk: Desk,
    pub(in crate::side) listen_addr: SocketAddr,
    pub(in crate::side) check_policy: fn(&Policy) -> Result<(), String>,
    pub(in crate::side) drain_times: Arc<Mutex<(Micros, Micros)>>,
    pub(in crate::side) drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
    pub(in crate::side) started: Moment,
    pub(in crate::side) runner: Arc<Runner>,
    pub(in crate::side) closed_box: ClosedBox,
    pub(in crate::side) missed_box: MissedBox,
    pub(in crate::side) closed: Mutex<EndedRing>,
    pub(in crate::side) alerts: Alerts,
    pub(in crate::side) troubled: Mutex<Troubled>,
    pub(in crate::side) series: Mutex<Series>,
    pub(in crate::side) live: Live,
}

impl Control {
    /// The ended connections, with all that have ended up to now.
    pub(in crate::side) fn closed(&self) -> MutexGuard<'_, EndedRing> {
        let mut ring = lock(&self.closed);
        let ended = self.closed_box.take();
        self.alerts.note(&ended);
        let mut troubled = lock(&self.troubled);
        troubled.note_closed(&ended);
        troubled.note_missed(&self.missed_box.take());
        drop(troubled);
        ring.extend(ended);
        ring
    }
}
