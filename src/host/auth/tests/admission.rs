//! Tests of app keys, browser origins, and what is shown of them.

use super::super::*;
use super::requests::*;
use crate::base::time::{Micros, UnixMillis};
use serde_json::json;

fn apps() -> AppRegistry {
    AppRegistry::parse(
        br#"[{"package": "org.a", "api_key": "k3y", "webhook_url": "http://a/webhook"}]"#,
    )
    .expect("apps")
}

#[test]
fn what_cannot_be_proved_is_refused() {
    let with = |secret, apps| Credentials::new(secret, apps, Admission::Started, Vec::new());
    let line = format!("Authorization: Bearer {}", token(json!({"email": "a@b"})));
    let glasses = request("/glasses-ws", &[&line]);

    let open = Credentials::default();
    assert!(open.is_open() && open.has_app("org.a") && open.is_app_key("org.a", ""));
    assert_eq!(open.admission(), Admission::Key);
    assert_eq!(open.webhook_url("org.a"), None);
    assert_eq!(open.authenticate(&glasses, NOW), Err(TokenFault::NoSecret));

    let tokens_only = with(Some(SECRET), None);
    assert!(!tokens_only.is_open() && tokens_only.authenticate(&glasses, NOW).is_ok());
    assert!(!tokens_only.has_app("org.a") && !tokens_only.is_app_key("org.a", "k3y"));

    let apps_only = with(None, Some(apps()));
    assert!(!apps_only.is_open() && apps_only.is_app_key("org.a", "k3y"));
    assert_eq!(
        apps_only.authenticate(&glasses, NOW),
        Err(TokenFault::NoSecret)
    );

    let no_apps = with(None, Some(AppRegistry::default()));
    assert!(
        !no_apps.is_open() && !no_apps.is_app_key("org.a", "k3y"),
        "an empty list is a list"
    );

    let both = with(Some(SECRET), Some(apps()));
    assert!(both.authenticate(&glasses, NOW).is_ok());
    assert_eq!(both.admission(), Admission::Started);
    assert_eq!(both.webhook_url("org.a"), Some("http://a/webhook"));
    assert!(both.has_app("org.a") && both.is_app_key("org.a", "k3y"));
    for (package, key) in [
        ("org.a", ""),
        ("org.a", "k3"),
        ("org.a", "k3yy"),
        ("org.a", "K3Y"),
        ("org.b", "k3y"),
        ("org.b", ""),
        ("", ""),
        ("org.A", "k3y"),
    ] {
        assert!(!both.is_app_key(package, key), "{package} {key}");
    }
}

#[test]
fn pages_are_let_in_by_name() {
    let named = [
        "https://app.example.org",
        "http://localhost:3000",
        "file://",
        "https://app.example.org/index.html",
    ];
    let list = |names: &[&str]| names.iter().filter_map(|n| WebOrigin::parse(n)).collect();
    let with =
        |secret, names: &[&str]| Credentials::new(secret, None, Admission::Started, list(names));
    let refuses = |credentials: &Credentials, lines: &[&str]| {
        let request = request("/glasses-ws", lines);
        credentials.refused_origin(&request).is_some()
    };
    let others = [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin:",
        "Origin: https://app.example.org.evil.example",
        "Origin: https://app.example.org:8443",
        "Origin: http://app.example.org",
        "Origin: https://app.example.org/",
        "Origin: http://127.0.0.1:3000",
        "Origin: \u{e9}",
    ];
    let ours = [
        "Origin: https://app.example.org",
        "ORIGIN: HTTPS://app.Example.org",
        "Origin: file://",
        "Origin: https://app.example.org/index.html",
    ];
    for open_or_listed in [with(None, &named), with(Some(SECRET), &named)] {
        assert!(!refuses(&open_or_listed, &[]), "no browser");
        for line in ours {
            assert!(!refuses(&open_or_listed, &[line]), "{line}");
        }
        for line in others {
            assert!(refuses(&open_or_listed, &[line]), "{line}");
        }
        assert!(refuses(&open_or_listed, &[ours[0], others[0]]));
        assert!(refuses(&open_or_listed, &[others[0], ours[0]]));
    }
    let open = Credentials::default();
    let with_tokens = with(Some(SECRET), &[]);
    assert!(!refuses(&open, &[]) && !refuses(&with_tokens, &[]));
    for line in others.iter().chain(&ours) {
        assert!(
            refuses(&open, &[line]) && !refuses(&with_tokens, &[line]),
            "{line}"
        );
    }
}

#[test]
fn a_client_that_sends_the_address_it_asks_as_its_origin_is_no_foreign_page() {
    let named = vec![WebOrigin::parse("https://app.example.org").expect("an origin")];
    let listed = Credentials::new(Some(SECRET), None, Admission::Started, named);
    for credentials in [Credentials::default(), listed] {
        let own = request("/glasses-ws", &["Origin: http://127.0.0.1"]);
        assert_eq!(credentials.refused_origin(&own), None);
        let other = request("/glasses-ws", &["Origin: http://127.0.0.1:1"]);
        let refused = credentials.refused_origin(&other);
        assert_eq!(refused.as_deref(), Some("http://127.0.0.1:1"));
    }
}

#[test]
fn nothing_that_is_secret_is_shown() {
    let credentials = Credentials::new(Some(SECRET), Some(apps()), Admission::Key, Vec::new());
    for shown in [format!("{credentials:?}"), format!("{credentials:#?}")] {
        assert!(
            !shown.contains("s3cret") && !shown.contains("k3y"),
            "{shown}"
        );
        assert!(!shown.contains("116"), "no bytes of it: {shown}");
    }
}

#[test]
fn times_are_written_as_javascript_does() {
    assert_eq!(format_rfc3339(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(
        format_rfc3339(UnixMillis(1_764_000_000_007)),
        "2025-11-24T16:00:00.007Z"
    );
    assert_eq!(
        format_rfc3339(UnixMillis(u64::MAX)),
        "9999-12-31T23:59:59.999Z"
    );
}

// ---- signatures of webhooks ----

#[test]
fn a_webhook_is_signed_with_the_key_of_its_package() {
    let long = "l".repeat(100);
    let list = json!([
        {"package": "notes", "api_key": "k3y-of-notes"},
        {"package": "long", "api_key": long},
    ]);
    let apps = AppRegistry::parse(list.to_string().as_bytes()).expect("apps");
    let body = br#"{"type":"session_request"}"#;
    // Computed with Python: hmac.new(key, b"1767225600." + body, "sha256").hexdigest(); the second
    // key is longer than a block.
    for (package, hex) in [
        (
            "notes",
            "dcbe546fa762e781edc390dcaf89f0c674f00ab2b4c292daac111f20f42bb51c",
        ),
        (
            "long",
            "82c72d7acfbe2606380cebdf059ae8cb25f164a3ec861a4436385d8e244a4daa",
        ),
    ] {
        let signature = apps.sign(package, 1_767_225_600, body);
        assert_eq!(signature, Some(format!("t=1767225600,v1={hex}")));
    }
    assert_eq!(apps.sign("other", 1_767_225_600, body), None);
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    let lenient = credentials().with_leeway(Micros::from_millis(5_000));
    let user = |token: &str| {
        let line = format!("Authorization: Bearer {token}");
        lenient.authenticate(&request("/glasses-ws", &[&line]), NOW)
    };
    for (name, offset_ms, expected) in [
        ("exp", -4_999, None),
        ("exp", -5_000, Some(TokenFault::Expired)),
        ("nbf", 5_000, None),
        ("nbf", 5_001, Some(TokenFault::NotYet)),
    ] {
        let at = NOW_S as f64 + f64::from(offset_ms) / 1_000.0;
        let token = token(json!({"email": "a@b", name: at}));
        assert_eq!(user(&token).err(), expected, "{name} {offset_ms}");
    }
}

#[test]
fn a_user_has_no_control_characters() {
    for email in ["a\n@b", "\0", "a@b\u{7f}", "a@b\u{85}", "\u{1b}[31m"] {
        let token = token(json!({"email": email}));
        assert_eq!(user(&token), Err(TokenFault::NoEmail), "{email:?}");
    }
}
