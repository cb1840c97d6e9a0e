//! The state that the handlers of the admin listener share.

use super::admin_token::AdminToken;
use super::event_stream::EventStreams;
use super::failed_logins::FailedLogins;
use super::live_stream::LiveStream;
use crate::base::cause::CauseTable;
use crate::base::time::{Micros, Timestamp};
use crate::gateway::{BootId, Classes, GatewayQueries};
use crate::health::Policy;
use crate::side::events::EventPoster;
use crate::side::http::HttpStats;
use crate::side::jobs::JobRunner;
use crate::side::loop_liveness::LoopLiveness;
use crate::side::reload_report::ReloadReport;
use crate::side::watch::Watchers;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A policy that the settings do not allow; lists every fault for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyRefused(pub String);

/// The state that the handlers share.
pub(in crate::side) struct AdminState {
    pub(in crate::side) token: Option<AdminToken>,
    pub(in crate::side) hosts: Vec<Box<str>>,
    pub(in crate::side) failed_logins: FailedLogins,
    pub(in crate::side) queries: GatewayQueries,
    pub(in crate::side) causes: CauseTable,
    pub(in crate::side) classes: Classes,
    pub(in crate::side) listen_addr: SocketAddr,
    pub(in crate::side) check_policy: fn(&Policy) -> Result<(), PolicyRefused>,
    pub(in crate::side) drain_times: Arc<Mutex<(Micros, Micros)>>,
    pub(in crate::side) drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
    pub(in crate::side) reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
    pub(in crate::side) boot: BootId,
    pub(in crate::side) ready_needs_upstream: bool,
    pub(in crate::side) started: Timestamp,
    pub(in crate::side) runner: Arc<JobRunner>,
    pub(in crate::side) watchers: Arc<Watchers>,
    pub(in crate::side) live: LiveStream,
    pub(in crate::side) events: EventStreams,
    pub(in crate::side) poster: Arc<EventPoster>,
    pub(in crate::side) http: Arc<HttpStats>,
    pub(in crate::side) liveness: Arc<LoopLiveness>,
}
