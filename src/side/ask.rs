//! Asking the loop: the task that asks waits for the answer, and the loop waits for nothing.

use crate::engine::Io;
use crate::gateway::{Desk, Gateway, Page, Progress, Query, Search, Snapshot};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the loop may take. It turns many times in a millisecond; if it does not answer for so long it stands still.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the loop has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// More questions wait for the loop than it takes.
    Busy,
    /// It has not answered within this time.
    Stalled(Duration),
}

/// Has the loop do something in its next turn. What is not begun when the asker has given up is not done.
pub(super) async fn ask<T: Send + 'static>(
    desk: &Desk,
    what: impl FnOnce(&mut Gateway, &mut Io<'_>) -> T + Send + 'static,
) -> Result<T, Unanswered> {
    let (answer, answered) = oneshot::channel();
    let question = move |gateway: &mut Gateway, io: &mut Io<'_>| {
        if !answer.is_closed() {
            // Nobody listens any more: it has been done all the same.
            let _ = answer.send(what(gateway, io));
        }
    };
    desk.ask(question).map_err(|_| Unanswered::Busy)?;
    wait(answered).await
}

/// Has the loop search its connections, some in each turn.
pub(super) async fn search(desk: &Desk, query: Query) -> Result<Page, Unanswered> {
    let (answer, answered) = oneshot::channel();
    let (mut search, mut answer) = (Search::new(query), Some(answer));
    let work = Box::new(move |gateway: &mut Gateway, io: &mut Io<'_>| {
        if answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return Progress::Done;
        }
        let Some(page) = search.step(gateway, io) else {
            return Progress::More;
        };
        if let Some(answer) = answer.take() {
            let _ = answer.send(page);
        }
        Progress::Done
    });
    desk.leave(work).map_err(|_| Unanswered::Busy)?;
    wait(answered).await
}

/// What is counted and measured now.
pub(super) async fn snapshot(desk: &Desk) -> Result<Snapshot, Unanswered> {
    ask(desk, |gateway, io| gateway.snapshot(io)).await
}

async fn wait<T>(answered: oneshot::Receiver<T>) -> Result<T, Unanswered> {
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(Unanswered::Stalled(PATIENCE)),
    }
}
