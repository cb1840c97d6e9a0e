//! The messages at the start: where the gateway listens, which access is open, and possible
//! mistakes.

use super::served_paths::{host, other_requests, path};
use crate::base::time::Micros;
use crate::config::Settings;
use crate::gateway::{Route, RouteAuth};
use std::net::SocketAddr;

/// Logs where the gateway listens, where the page is, and which access is open.
pub(crate) fn log_listeners(settings: &Settings, listen: SocketAddr, admin: Option<SocketAddr>) {
    if let Some(bridge) = &settings.bridge {
        log::info!("listening on ws://{listen}: {}", from(listen));
        bridge.routes.iter().for_each(log_route);
    }
    let others = other_requests(settings);
    match &settings.bridge {
        Some(_) if settings.serves_relay => log::warn!("{others}"),
        _ => log::info!("{others}"),
    }
    if !settings.serves_relay {
        return log_admin(settings, admin);
    }
    let clients = match (&settings.auth_jwt_secret, &settings.apps) {
        (None, None) => "any client, without a token or key",
        (Some(_), None) => "glasses with a token, and no apps",
        (None, Some(_)) => "apps with a key, and no glasses",
        (Some(_), Some(_)) => "glasses with a token and apps with a key",
    };
    log::info!(
        "listening on ws://{listen}: glasses at /glasses-ws, apps at /app-ws; accepts {clients}, \
         {}",
        from(listen)
    );
    log_admin(settings, admin);
}

/// Logs what a route serves, and which clients may connect.
fn log_route(route: &Route) {
    let upstreams: Vec<String> = route.upstreams.iter().map(ToString::to_string).collect();
    let access = match (route.auth, &route.allowed_origins) {
        (RouteAuth::Jwt, Some(_)) => {
            "clients with a token signed with AUTH_JWT_SECRET; pages must be in allowed_origins"
        }
        (RouteAuth::Jwt, None) => "clients with a token signed with AUTH_JWT_SECRET",
        (_, Some(_)) => {
            "open: the service decides which clients may connect, and pages must be in \
             allowed_origins"
        }
        (_, None) => "open: the service decides which clients may connect",
    };
    log::info!(
        "route name={} host={} path={} upstream={:?} access={access:?}",
        route.name,
        host(route),
        path(route),
        upstreams.join(","),
    );
}

fn from(addr: SocketAddr) -> &'static str {
    if addr.ip().to_canonical().is_loopback() {
        "from this machine only"
    } else {
        "from all machines that can reach it"
    }
}

/// Logs where the operator's page, the API and the metrics are.
fn log_admin(settings: &Settings, admin: Option<SocketAddr>) {
    match admin {
        Some(admin) => {
            let callers = if settings.admin_token.is_some() {
                "requests with the admin token"
            } else {
                "any request, without a token"
            };
            log::info!(
                "the operator's page is at http://{admin}/, the API at /api/v1, metrics at \
                 /metrics; accepts {callers}, {}",
                from(admin)
            );
        }
        None => {
            log::info!("the operator's page, the API and the metrics are off: ADMIN_ADDR is off")
        }
    }
}

/// Logs warnings about settings that may be mistakes.
pub(crate) fn log_warnings(settings: &Settings, has_successor: bool) {
    /// An app's SDK reconnects after 1 s and 3 s, and then gives up. An app that is closed first
    /// must find us, or the next process.
    const WINDOW: Micros = Micros::from_secs(2);
    match (&settings.auth_jwt_secret, &settings.apps) {
        _ if !settings.serves_relay => {}
        (None, None) => log::warn!(
            "AUTH_JWT_SECRET and APPS_FILE are not set: every client may connect, as any user that \
             it names"
        ),
        (Some(_), None) => log::warn!("APPS_FILE is not set: no app can connect"),
        (None, Some(_)) => log::warn!("AUTH_JWT_SECRET is not set: no glasses can connect"),
        (Some(_), Some(_)) => {}
    }
    // A shorter key can be guessed offline from any token: RFC 7518 §3.2 asks for as many bits as
    // the hash has.
    const KEY_BYTES: usize = 32;
    if let Some(secret) = &settings.auth_jwt_secret
        && secret.expose().len() < KEY_BYTES
    {
        log::warn!(
            "AUTH_JWT_SECRET has fewer than {KEY_BYTES} bytes: it could be guessed from a single \
             token"
        );
    }
    settings
        .warnings()
        .iter()
        .for_each(|warning| log::warn!("{warning}"));
    let away = settings.drain_delay + settings.drain;
    if away > WINDOW && settings.serves_relay && !has_successor && !settings.reuse_port {
        log::warn!(
            "drain_ms={} and drain_delay_ms={} are together more than 2000: apps give up before \
             the next gateway process listens; use less, socket activation or REUSE_PORT",
            settings.drain.as_millis(),
            settings.drain_delay.as_millis()
        );
    }
}
