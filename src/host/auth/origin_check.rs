//! Checks the origin of a request.

use super::url::WebOrigin;
use crate::engine::Request;
use std::borrow::Cow;

/// Returns the `Origin` of a page that is not one of `allowed`; `None` if the request has no such
/// origin. An IP address or `localhost` that equals the request's `Host` is always allowed. Most
/// clients that are not browsers send no `Origin`.
pub(crate) fn foreign_origin<'a>(
    request: &'a Request,
    allowed: &[WebOrigin],
) -> Option<Cow<'a, str>> {
    let host = request.header("host").unwrap_or_default();
    let is_let_in = |origin: &[u8]| {
        let origin = str::from_utf8(origin).ok().and_then(WebOrigin::parse);
        origin.is_some_and(|o| allowed.contains(&o) || o.is_own(host))
    };
    let lines = request.headers().get_all("origin").iter();
    let mut origins = lines.map(|line| line.as_bytes());
    origins
        .find(|origin| !is_let_in(origin))
        .map(String::from_utf8_lossy)
}
