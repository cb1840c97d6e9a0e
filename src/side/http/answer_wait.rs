//! Sending a request to an upstream, and waiting for the head of its answer.

use super::client_state::ClientState;
use super::http_settings::HttpSettings;
use super::request_body::RequestBody;
use super::upstream_conn::{SendFailure, UpstreamConn};
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::Instant;

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
        match tokio::time::timeout_at(due, &mut sent).await {
            Ok(answer) => return Ok(answer),
            Err(_) if progress.is_none() => return Err(Silent::Upstream),
            Err(_) => match state.body_progress() {
                Some(now) if Some(now) == progress => {
                    return Err(match state.awaits_body() {
                        true => Silent::Client,
                        false => Silent::Reader,
                    });
                }
                Some(_) => {}
                // The body has ended meanwhile, at the latest now.
                None => whole_since = Instant::now(),
            },
        }
    }
}
