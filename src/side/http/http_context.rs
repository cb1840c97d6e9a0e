//! What all connections of plain HTTP share.

use super::drain_plan::HttpDrain;
use super::failure_log::FailureLog;
use super::http_settings::HttpSettings;
use super::http_stats::HttpStats;
use super::upstream_pool::UpstreamPool;
use crate::gateway::{BootId, GatewayQueries};
use crate::reactor::ReturnSender;
use crate::side::lock::lock;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};

/// The most questions to the loop at one time: half of what its queue holds.
const QUESTIONS: usize = 32;

/// What all connections of plain HTTP share.
pub(in crate::side) struct HttpContext {
    pub(super) boot: BootId,
    pub(super) queries: GatewayQueries,
    pub(super) returns: ReturnSender,
    pub(super) settings: Arc<Mutex<HttpSettings>>,
    pub(super) drain: HttpDrain,
    /// Whether the limit on connections is reached.
    pub(super) pressure: watch::Sender<bool>,
    pub(super) stats: Arc<HttpStats>,
    pub(super) pool: Arc<UpstreamPool>,
    pub(super) failures: FailureLog,
    /// A permit for each request in progress.
    pub(super) room: Arc<Semaphore>,
    /// A permit for each question to the loop.
    pub(super) questions: Semaphore,
}

impl HttpContext {
    /// Creates what the connections share. The limit of requests in progress is that of now.
    pub(in crate::side) fn new(
        boot: BootId,
        queries: GatewayQueries,
        returns: ReturnSender,
        settings: Arc<Mutex<HttpSettings>>,
        drain: HttpDrain,
        stats: Arc<HttpStats>,
    ) -> Self {
        let most = lock(&settings).max_requests;
        HttpContext {
            boot,
            queries,
            returns,
            settings,
            drain,
            pressure: watch::Sender::new(false),
            room: stats.make_room(most),
            stats,
            pool: Arc::default(),
            failures: FailureLog::default(),
            questions: Semaphore::new(QUESTIONS),
        }
    }

    /// Returns whether the limit on connections is reached.
    pub(super) fn is_full(&self) -> bool {
        *self.pressure.borrow()
    }

    /// Looks whether the limit on connections is reached.
    pub(super) fn update_pressure(&self) {
        let is_full = self.returns.is_full();
        self.pressure
            .send_if_modified(|before| std::mem::replace(before, is_full) != is_full);
    }

    pub(super) fn settings(&self) -> HttpSettings {
        *lock(&self.settings)
    }
}

impl std::fmt::Debug for HttpContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpContext").finish_non_exhaustive()
    }
}
