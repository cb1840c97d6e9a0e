//! Sending a request to an upstream, and waiting for the head of its answer.

use super::client_state::ClientState;
use super::http_settings::HttpSettings;
use super::request_body::RequestBody;
use super::upstream_conn::{SendFailure, UpstreamConn};
use hyper::Response;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::time::{Instant, sleep_until};

/// The side of a request that was silent for too long.
#[derive(Debug)]
pub(super) enum Silent {
    /// The client has not sent the rest of the body.
    Client,
    /// The upstream does not read the body.
    Reader,
    /// The upstream has not answered.
    Upstream,
}

/// Sends a request, and waits for the head of its answer. The time for that begins with the end of
/// the request. While its body is on the way, no more than `body_idle` may pass without a byte of
/// it.
pub(super) async fn send(
    conn: &mut UpstreamConn,
    request: hyper::Request<RequestBody>,
    state: &ClientState,
    settings: &HttpSettings,
) -> Result<Result<Response<Incoming>, SendFailure>, Silent> {
    let mut sent = Box::pin(conn.send(request));
    let began = Instant::now();
    let mut whole_since = began;
    loop {
        let progress = state.body_progress();
        let due = match progress {
            Some(progress) => progress.max(began) + settings.body_idle,
            None => whole_since + settings.answer_timeout,
        };
        match next_event(&mut sent, state, due).await {
            Event::Answer(answer) => return Ok(answer),
            Event::BodyEnded => whole_since = Instant::now(),
            Event::Due if progress.is_none() => return Err(Silent::Upstream),
            Event::Due => match state.body_progress() {
                Some(now) if Some(now) == progress => {
                    return Err(match state.awaits_body() {
                        true => Silent::Client,
                        false => Silent::Reader,
                    });
                }
                Some(_) => {}
                None => whole_since = Instant::now(),
            },
        }
    }
}

/// What a request waits for.
enum Event<T> {
    /// The head of the answer, or the end of the connection.
    Answer(T),
    /// The client has sent the whole body: the time for the answer begins.
    BodyEnded,
    /// The time is over.
    Due,
}

async fn next_event<F: Future + Unpin>(
    sent: &mut F,
    state: &ClientState,
    due: Instant,
) -> Event<F::Output> {
    let (mut body_end, mut timer) = (pin!(state.body_ended()), pin!(sleep_until(due)));
    poll_fn(|cx| {
        if let Poll::Ready(answer) = Pin::new(&mut *sent).poll(cx) {
            return Poll::Ready(Event::Answer(answer));
        }
        if body_end.as_mut().poll(cx).is_ready() && state.body_progress().is_none() {
            return Poll::Ready(Event::BodyEnded);
        }
        timer.as_mut().poll(cx).map(|()| Event::Due)
    })
    .await
}
