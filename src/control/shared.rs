//! What the side threads share.

use super::alerts::Alerts;
use super::closed::ClosedRing;
use super::errands::Runner;
use super::live::Live;
use super::lock::lock;
use super::logins::Logins;
use super::series::Series;
use super::token::Token;
use super::troubled::Troubled;
use crate::gateway::{ClosedBox, Desk, MissedBox};
use crate::health::Policy;
use crate::time::{Micros, Moment};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// A policy that the settings would not allow: every fault, in words for the operator who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyRefused(pub String);

/// What the answers are made from.
pub(super) struct Control {
    pub(super) token: Option<Token>,
    pub(super) hosts: Vec<Box<str>>,
    pub(super) logins: Logins,
    pub(super) desk: Desk,
    pub(super) listen_addr: SocketAddr,
    pub(super) check_policy: fn(&Policy) -> Result<(), PolicyRefused>,
    pub(super) drain_times: Arc<Mutex<(Micros, Micros)>>,
    pub(super) drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
    pub(super) started: Moment,
    pub(super) runner: Arc<Runner>,
    pub(super) closed_box: ClosedBox,
    pub(super) missed_box: MissedBox,
    pub(super) closed: Mutex<ClosedRing>,
    pub(super) alerts: Alerts,
    pub(super) troubled: Mutex<Troubled>,
    pub(super) series: Mutex<Series>,
    pub(super) live: Live,
}

impl Control {
    /// The ended connections, with all that have ended up to now.
    pub(super) fn closed(&self) -> MutexGuard<'_, ClosedRing> {
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
