//! What counts for the limits of clients, and what the check of a client costs.

use super::identities::{Rig, SECRET, now, token};
use crate::sockets::Client;
use serde_json::json;

/// A page of another site sends the cookies of its visitor, but not an origin that is allowed.
#[test]
fn a_page_of_another_site_does_not_use_up_the_limit_of_its_visitor() {
    let rig = Rig::start(
        "identity = 'cookie:user'\nflapping_limit = 2\nallowed_origins = 'https://app.test'",
        &[],
    );
    let lines = |origin: &str| format!("Cookie: user=ada\r\nOrigin: https://{origin}\r\n");
    for _ in 0..5 {
        let refused = rig.ask("/", &lines("evil.test")).response();
        assert_eq!(refused.status, 403, "{refused:?}");
        // Nor does a request that asks for no WebSocket.
        let mut client = Client::connect(rig.gateway.addr);
        client.write(
            b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Cookie: user=ada\r\n\r\n",
        );
        let head = client.refusal();
        assert!(
            head.starts_with("HTTP/1.1 4") && !head.contains(" 429 "),
            "{head}"
        );
    }
    // The records name the visitor all the same.
    rig.gateway
        .line(&["close class=none user=ada", "cause=blocked"]);
    for _ in 0..2 {
        rig.pair("/", &lines("app.test"));
    }
    let refused = rig.ask("/", &lines("app.test")).response();
    assert_eq!(refused.status, 429, "{refused:?}");
    rig.gateway.end();
}

#[test]
fn a_client_without_a_token_does_not_use_up_the_limit_of_a_user() {
    let rig = Rig::start(
        "auth = 'jwt'\nidentity = 'header:X-User'\nflapping_limit = 2",
        &[("AUTH_JWT_SECRET", SECRET)],
    );
    let good = token(json!({"exp": now() + 600}));
    let bad = good.clone() + "x";
    for token in ["", &bad].repeat(3) {
        let path = format!("/?token={token}");
        let refused = rig.ask(&path, "X-User: ada\r\n").response();
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    let path = format!("/?token={good}");
    for _ in 0..2 {
        rig.pair(&path, "X-User: ada\r\n");
    }
    let refused = rig.ask(&path, "X-User: ada\r\n").response();
    assert_eq!(refused.status, 429, "{refused:?}");
    rig.gateway.end();
}

#[test]
fn each_route_counts_for_its_own_limit() {
    let rig = Rig::start(
        "identity = 'query:user'\nflapping_limit = 4\n[[route]]\nname = 's'\npath = '/s'\n\
         upstream = '{url}'\nidentity = 'query:user'\nflapping_limit = 2",
        &[],
    );
    for path in [
        "/?user=ada",
        "/?user=ada",
        "/?user=ada",
        "/s?user=ada",
        "/s?user=ada",
    ] {
        rig.pair(path, "");
    }
    assert_eq!(rig.ask("/s?user=ada", "").response().status, 429);
    rig.pair("/?user=ada", "");
    assert_eq!(rig.ask("/?user=ada", "").response().status, 429);
    rig.gateway.end();
}

/// RFC 7519 §4.1.2: `sub` is a text.
#[test]
fn a_number_is_no_name() {
    let rig = Rig::start(
        "auth = 'jwt'\nidentity = 'jwt:sub'",
        &[("AUTH_JWT_SECRET", SECRET)],
    );
    let path = |sub| format!("/?token={}", token(json!({"sub": sub, "exp": now() + 600})));
    let _pair = rig.pair(&path(json!("7")), "");
    let refused = rig.ask(&path(json!(7)), "").response();
    assert_eq!(refused.status, 401, "{refused:?}");
    rig.gateway
        .line(&["cause=unauthorized", "the claim is a number"]);
    rig.gateway.end();
}

/// Returns what the loop has worked while this was done, in units.
fn units(rig: &Rig, act: impl FnOnce()) -> f64 {
    let count = || rig.gateway.metrics().get("pulsegate_work_units_total");
    let before = count();
    act();
    count() - before
}

fn plain(rig: &Rig, token: &str) -> Client {
    let mut client = Client::connect(rig.gateway.addr);
    let head = format!("GET / HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\r\n");
    client.write(head.as_bytes());
    client
}

/// The check of a token is work that a client causes, so the client pays for it.
#[test]
fn the_check_of_a_token_is_counted_by_its_length() {
    const REQUESTS: u32 = 20;
    let rig = Rig::start("auth = 'jwt'", &[("AUTH_JWT_SECRET", SECRET)]);
    let long = token(json!({"sub": "x".repeat(9_000)})) + "x";
    let least = f64::from(REQUESTS) * long.len() as f64 / 64.0;
    let lines = format!("Authorization: Bearer {long}\r\n");
    let upgrades = units(&rig, || {
        for _ in 0..REQUESTS {
            assert_eq!(rig.ask("/", &lines).response().status, 401);
        }
    });
    assert!(upgrades >= least, "{upgrades} of {least}");
    let requests = units(&rig, || {
        for _ in 0..REQUESTS {
            assert!(plain(&rig, &long).refusal().starts_with("HTTP/1.1 401 "));
        }
    });
    assert!(requests >= least, "{requests} of {least}");
    rig.gateway.end();
}

#[test]
fn a_token_is_verified_once_although_several_upstreams_are_tried() {
    // Nothing listens at the others, which are tried before or after it.
    let others: Vec<_> = (2..9).map(|n| format!("'http://127.0.0.{n}:1'")).collect();
    let route = format!(
        "auth = 'jwt'\n[[route]]\nname = 's'\npath = '/s'\nauth = 'jwt'\nupstream = [{}]",
        others.join(", ")
    );
    let rig = Rig::start(&route, &[("AUTH_JWT_SECRET", SECRET)]);
    let long = token(json!({"sub": "x".repeat(9_000)}));
    let once = long.len() as f64 / 64.0;
    let spent = units(&rig, || {
        let mut client = Client::connect(rig.gateway.addr);
        let head = format!("GET /s HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {long}\r\n\r\n");
        client.write(head.as_bytes());
        assert!(client.refusal().starts_with("HTTP/1.1 502 "));
    });
    assert!((once..4.0 * once).contains(&spent), "{spent} of {once}");
    rig.gateway.end();
}
