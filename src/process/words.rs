//! The messages at the start: where the gateway listens, which access is open, and possible
//! mistakes.

use crate::base::time::Micros;
use crate::config::Settings;
use std::net::SocketAddr;

/// Logs where the gateway listens, where the page is, and which access is open.
pub(crate) fn announce(settings: &Settings, listen: SocketAddr, admin: Option<SocketAddr>) {
    let from = |addr: SocketAddr| {
        if addr.ip().to_canonical().is_loopback() {
            "from this machine only"
        } else {
            "from every machine that reaches it"
        }
    };
    let clients = match (&settings.auth_jwt_secret, &settings.apps) {
        (None, None) => "any client, without a token or key",
        (Some(_), None) => "glasses with a token, no app",
        (None, Some(_)) => "apps with a key, no glasses",
        (Some(_), Some(_)) => "glasses with a token, apps with a key",
    };
    log::info!(
        "listening on ws://{listen}, glasses at /glasses-ws, apps at /app-ws: open to {clients}, \
         {}",
        from(listen)
    );
    match admin {
        Some(admin) => {
            let callers = if settings.admin_token.is_some() {
                "requests with the token"
            } else {
                "any request, without a token"
            };
            log::info!(
                "the page is at http://{admin}/, the API and /metrics beside it: open to \
                 {callers}, {}",
                from(admin)
            );
        }
        None => log::info!("there is no page and no API: ADMIN_ADDR is off"),
    }
}

/// Logs warnings about settings that may be mistakes.
pub(crate) fn warn(settings: &Settings, has_successor: bool) {
    /// An app's SDK reconnects after 1 s and 3 s, and then gives up. An app that is closed first
    /// must find us, or the next process.
    const WINDOW: Micros = Micros::from_secs(2);
    match (&settings.auth_jwt_secret, &settings.apps) {
        (None, None) => log::warn!(
            "any client may connect: there is no authentication, identity is what the query says \
             (AUTH_JWT_SECRET and APPS_FILE are not given)"
        ),
        (Some(_), None) => log::warn!("no app is let in: APPS_FILE is not given"),
        (None, Some(_)) => log::warn!("no glasses are let in: AUTH_JWT_SECRET is not given"),
        (Some(_), Some(_)) => {}
    }
    // A shorter key can be guessed offline from any token: RFC 7518 §3.2 asks for as many bits as
    // the hash has.
    const KEY_BYTES: usize = 32;
    if let Some(secret) = &settings.auth_jwt_secret
        && secret.expose().len() < KEY_BYTES
    {
        log::warn!(
            "AUTH_JWT_SECRET has fewer than {KEY_BYTES} bytes: it can be guessed from any token"
        );
    }
    settings
        .warnings()
        .iter()
        .for_each(|warning| log::warn!("{warning}"));
    let away = settings.drain_delay + settings.drain;
    if away > WINDOW && !has_successor && !settings.reuse_port {
        log::warn!(
            "drain_ms={} with drain_delay_ms={} is longer than apps wait for a successor on the \
             same port; with socket activation or REUSE_PORT it may be",
            settings.drain.as_millis(),
            settings.drain_delay.as_millis()
        );
    }
}
