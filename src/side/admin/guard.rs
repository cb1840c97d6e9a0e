//! Access control for the admin listener: the token, and the checks of browser pages.
//!
//! A browser lets any page send requests to any address that the user's machine reaches, loopback
//! included. It does not let the page read the answers, unless we allow it (we never do) or the
//! page's own name resolves to us (DNS rebinding). So without a token the Host must be an address,
//! `localhost` or a name in `ADMIN_HOSTS`. A request that names another origin is refused before it
//! has any effect.
//!
//! A proxy may give a request another Host, which then differs from the Origin of our own page. A
//! page of another origin still fails: it does not know the token, and it cannot claim the same
//! origin, because only the browser sets `Sec-Fetch-Site`.
//!
//! The two probes need no token and accept any Host, or none: they tell only whether the gateway is
//! alive and ready.
//!
//! The page itself needs no token, and any link may lead to it: it holds no data, and asks for the
//! token.

use super::admin_state::AdminState;
use super::admin_token::AdminToken;
use super::failed_logins::LoginFailure;
use super::problem::Problem;
use super::serve::ClientConnection;
use super::{dashboard, probes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

pub(super) async fn guard(
    State(admin): State<Arc<AdminState>>,
    request: Request,
    next: Next,
) -> Response {
    let kind = RouteKind::of(request.method(), request.uri().path());
    let token = admin.token.as_ref();
    let login = token.map(|token| check_token(token, request.headers()));
    let checked = check_access(&admin, login, kind, request.uri(), request.headers());
    if let Some(connection) = request.extensions().get::<ClientConnection>() {
        match login {
            // The token proves the connection for any route.
            Some(Ok(())) => connection.mark_token_valid(),
            None if checked.is_ok() && kind != RouteKind::Probe => connection.mark_allowed(),
            Some(Err(_)) | None => {}
        }
    }
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let peer = request
                .extensions()
                .get::<ClientConnection>()
                .map(|c| c.peer);
            // The body of a refused request is not read.
            drop(request);
            if let (Some(Err(why)), Some(peer)) = (login, peer)
                && problem.is_unauthorized()
            {
                tokio::time::sleep(admin.failed_logins.record(peer, why)).await;
            }
            let mut response = problem.into_response();
            // A connection without access keeps no place from others.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// Returns whether a request has the token.
fn check_token(token: &AdminToken, headers: &HeaderMap) -> Result<(), LoginFailure> {
    let field = headers
        .get(header::AUTHORIZATION)
        .ok_or(LoginFailure::Missing)?;
    let given = field.to_str().ok().and_then(bearer);
    let is_right = given.is_some_and(|given| token.matches(given));
    is_right.then_some(()).ok_or(LoginFailure::Wrong)
}

/// The kind of a request, as far as access depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteKind {
    /// A health probe: `/healthz` or `/readyz`.
    Probe,
    /// A file of the operator's page.
    Page,
    /// Any other request: it needs the token, if one is set.
    Api,
}

impl RouteKind {
    fn of(method: &Method, path: &str) -> Self {
        if probes::is_probe(method, path) {
            RouteKind::Probe
        } else if dashboard::is_page(method, path) {
            RouteKind::Page
        } else {
            RouteKind::Api
        }
    }
}

fn check_access(
    admin: &AdminState,
    login: Option<Result<(), LoginFailure>>,
    kind: RouteKind,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let forbidden = |why: &str| Err(Problem::new(StatusCode::FORBIDDEN, why));
    let text = |name| {
        headers
            .get(name)
            .map(|v: &HeaderValue| v.to_str().unwrap_or("?"))
    };
    // RFC 9112 §3.2: a client must not choose which of several Hosts we check.
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Problem::bad_request(
            "the request must have one header Host, not several",
        ));
    }
    if kind == RouteKind::Probe {
        return Ok(());
    }
    let Some(host) = uri.host().or_else(|| text(header::HOST).map(without_port)) else {
        return Err(Problem::bad_request("the request must have a header Host"));
    };
    match login {
        // Host and Origin do not matter: a page that reached us by DNS rebinding does not know the
        // token.
        Some(Ok(())) => return Ok(()),
        Some(Err(_)) if kind == RouteKind::Page => {}
        Some(Err(failure)) => {
            let error = match failure {
                LoginFailure::Missing => "a token is required: Authorization: Bearer …",
                LoginFailure::Wrong => {
                    "the token is wrong; it must be the value of ADMIN_TOKEN, or of the file \
                     ADMIN_TOKEN_FILE"
                }
            };
            return Err(Problem::new(StatusCode::UNAUTHORIZED, error));
        }
        None if is_localhost_or_ip(host)
            || admin.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)) => {}
        None => {
            let error = "the header Host must be an IP address, localhost or a name in \
                         ADMIN_HOSTS, because no token is set";
            return forbidden(error);
        }
    }
    if kind == RouteKind::Page {
        return Ok(());
    }
    // Older browsers do not send it. For them the body's type protects us, which a page of another
    // origin cannot set.
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin") => return Ok(()),
        Some(b"none") | None => {}
        Some(_) => return forbidden("requests from pages of another site are not allowed"),
    }
    if let Some(origin) = text(header::ORIGIN) {
        let own = text(header::HOST).is_some_and(|host| {
            let rest = origin
                .strip_prefix("http://")
                .or(origin.strip_prefix("https://"));
            rest == Some(host)
        });
        if !own {
            return forbidden("requests from pages of another origin are not allowed");
        }
    }
    Ok(())
}

/// Returns the token in `Bearer …` (RFC 6750 §2.1); the scheme's name is case-insensitive (RFC 9110
/// §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_localhost_or_ip(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok()
}
