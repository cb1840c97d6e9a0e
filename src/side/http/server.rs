//! The thread for plain HTTP: it takes the connections that the loop hands over.

use super::connection;
use super::drain_plan::HttpDrain;
use super::failure_log::FailureLog;
use super::http_settings::HttpSettings;
use super::http_stats::HttpStats;
use super::upstream_pool::UpstreamPool;
use crate::gateway::GatewayQueries;
use crate::reactor::{HandedOverSocket, ReturnSender};
use crate::side::lock::lock;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

/// The most questions to the loop at one time: half of what its queue holds.
const QUESTIONS: usize = 32;

/// The time from one search for upstream connections that waited for too long to the next.
const EXPIRY_STEP: Duration = Duration::from_millis(500);

/// What all connections of plain HTTP share.
pub(in crate::side) struct HttpContext {
    pub(super) queries: GatewayQueries,
    pub(super) returns: ReturnSender,
    pub(super) settings: Arc<Mutex<HttpSettings>>,
    pub(super) drain: HttpDrain,
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
        queries: GatewayQueries,
        returns: ReturnSender,
        settings: Arc<Mutex<HttpSettings>>,
        drain: HttpDrain,
        stats: Arc<HttpStats>,
    ) -> Self {
        let most = lock(&settings).max_requests.min(Semaphore::MAX_PERMITS);
        HttpContext {
            queries,
            returns,
            settings,
            drain,
            stats,
            pool: Arc::default(),
            failures: FailureLog::default(),
            room: Arc::new(Semaphore::new(most)),
            questions: Semaphore::new(QUESTIONS),
        }
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

/// Serves the connections that the loop hands over, until the process ends. Each has a place under
/// the limit on connections, so their number is bounded.
pub(in crate::side) async fn serve(
    mut handed_over: UnboundedReceiver<HandedOverSocket>,
    context: Arc<HttpContext>,
) {
    tokio::spawn(expire(context.clone()));
    while let Some(socket) = handed_over.recv().await {
        let (context, counted) = (context.clone(), context.stats.begin_connection());
        tokio::spawn(async move {
            connection::serve(socket, context).await;
            drop(counted);
        });
    }
}

/// Closes upstream connections that wait for too long.
async fn expire(context: Arc<HttpContext>) {
    loop {
        tokio::time::sleep(EXPIRY_STEP).await;
        context.pool.expire(context.settings().upstream_keep_alive);
    }
}
