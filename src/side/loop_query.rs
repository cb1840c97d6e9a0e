//! Queries to the loop. The asking thread waits for the answer; the loop never waits.

use crate::engine::Io;
use crate::gateway::{
    CohortFilter, CohortPage, CohortScan, ConnPage, Gateway, GatewayQueries, LivingConn,
    LivingScan, PageRequest, Progress, Search, Snapshot,
};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long to wait for the loop. It turns many times in a millisecond; a loop that takes longer
/// than this has stalled.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the loop did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryError {
    /// The queue of requests to the loop is full.
    Busy,
    /// The loop did not answer within this time.
    Stalled(Duration),
}

/// Runs `what` on the loop in its next turn. It is not run if the caller has given up before it
/// begins.
pub(super) async fn query<T: Send + 'static>(
    queries: &GatewayQueries,
    what: impl FnOnce(&mut Gateway, &mut Io<'_>) -> T + Send + 'static,
) -> Result<T, QueryError> {
    let (answer, answered) = oneshot::channel();
    let question = move |gateway: &mut Gateway, io: &mut Io<'_>| {
        if !answer.is_closed() {
            // The caller no longer waits; the work was done all the same.
            let _ = answer.send(what(gateway, io));
        }
    };
    queries.send(question).map_err(|_| QueryError::Busy)?;
    wait(answered).await
}

/// Searches the loop's connections, some in each turn.
pub(super) async fn search(
    queries: &GatewayQueries,
    query: PageRequest,
) -> Result<ConnPage, QueryError> {
    let mut search = Search::new(query);
    sliced(queries, move |gateway, io| search.step(gateway, io)).await
}

/// Looks at all cohorts, some in each turn.
pub(super) async fn cohorts(
    queries: &GatewayQueries,
    filter: CohortFilter,
) -> Result<CohortPage, QueryError> {
    let mut scan = CohortScan::new(filter);
    sliced(queries, move |_, io| scan.step(io)).await
}

/// Returns a sample of the open connections, found in some turns.
pub(super) async fn sample_living(queries: &GatewayQueries) -> Result<Vec<LivingConn>, QueryError> {
    let mut scan = LivingScan::default();
    sliced(queries, move |gateway, io| scan.step(gateway, io)).await
}

/// Calls `step` on the loop until it returns an answer, or until the caller has given up.
async fn sliced<T: Send + 'static>(
    queries: &GatewayQueries,
    mut step: impl FnMut(&mut Gateway, &mut Io<'_>) -> Option<T> + Send + 'static,
) -> Result<T, QueryError> {
    let (answer, answered) = oneshot::channel();
    let mut answer = Some(answer);
    let work = Box::new(move |gateway: &mut Gateway, io: &mut Io<'_>| {
        if answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return Progress::Done;
        }
        let Some(found) = step(gateway, io) else {
            return Progress::More;
        };
        if let Some(answer) = answer.take() {
            let _ = answer.send(found);
        }
        Progress::Done
    });
    queries.send_sliced(work).map_err(|_| QueryError::Busy)?;
    wait(answered).await
}

/// Returns the current counters and measurements.
pub(super) async fn snapshot(queries: &GatewayQueries) -> Result<Snapshot, QueryError> {
    query(queries, |gateway, io| gateway.snapshot(io)).await
}

async fn wait<T>(answered: oneshot::Receiver<T>) -> Result<T, QueryError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(QueryError::Stalled(ANSWER_TIMEOUT)),
    }
}
