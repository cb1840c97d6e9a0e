//! Reloads: what is applied, what waits for a restart, and what is refused.

use super::loading::run;
use super::samples::{APPS, GIVEN, SECRET, TOKEN, is_path};
use crate::folder::Folder;
use pulsegate::config::{SETTINGS, SettingChange, Settings, check_policy};
use pulsegate::health::Policy;
use pulsegate::time::Micros;

#[test]
fn what_a_reload_applies_is_in_the_table() {
    let restart: Vec<&str> = SETTINGS
        .iter()
        .filter(|s| !s.reload)
        .map(|s| s.name)
        .collect();
    assert_eq!(
        restart,
        [
            "CONFIG_FILE",
            "LISTEN_ADDR",
            "ALLOW_UNAUTHENTICATED",
            "UPSTREAM",
            "ADMIN_ADDR",
            "ADMIN_TOKEN",
            "ADMIN_TOKEN_FILE",
            "LOG_FORMAT",
            "APP_WEBSOCKET_URL",
            "STATE_FILE",
            "FORWARDED_PROTO",
            "READY_NEEDS_UPSTREAM",
            "HEALTH_PATH",
            "HTTP_PASS",
            "HTTP_MAX_REQUESTS",
            "CONFIG_WATCH",
            "CADENCE_FILE",
            "WEBHOOK_TIMEOUT_MS",
            "REUSE_PORT",
            "PROXY_PROTOCOL",
            "ADMIN_HOSTS",
            "EVENTS_KEPT",
        ]
    );
}

#[test]
fn every_setting_that_changed_is_named_in_a_reload() {
    let old = run("", &[]);
    assert!(old.diff(&old).is_empty());
    assert_eq!(old.reloaded(&old), Ok(old.clone()));
    // The other settings that make each valid are set before and after.
    let beside = [
        "ALLOW_UNAUTHENTICATED=1",
        "ADMIN_TOKEN=another-s3cret-of-ours",
        "HEARTBEAT_INTERVAL_MS=1000",
        "CONNECTION_TIMEOUT_MS=4000",
        "UPSTREAM_HEARTBEAT_INTERVAL_MS=1000",
        "MAX_MESSAGE_BYTES=60000",
        "MAX_PENDING_BYTES=70014",
        "TRUSTED_PROXIES=::1",
    ];
    for (name, value) in GIVEN.iter().filter(|(name, _)| !is_path(name)) {
        let setting = SETTINGS.iter().find(|s| s.name == *name).unwrap();
        let mut env = beside.to_vec();
        env.retain(|pair| *name != "ALLOW_UNAUTHENTICATED" || !pair.starts_with(name));
        let old = run("", &env);
        let given = format!("{name}={value}");
        env.retain(|pair| pair.split_once('=').unwrap().0 != *name);
        env.push(&given);
        let newer = run("", &env);
        let changes = old.diff(&newer);
        let applied: Vec<&str> = changes.applied.iter().map(|c| c.name).collect();
        assert_eq!(applied.contains(name), setting.reload, "{name}");
        assert_eq!(
            changes.needs_restart.contains(name),
            !setting.reload,
            "{name}"
        );
        let mut all = applied.iter().chain(&changes.needs_restart);
        assert!(all.all(|changed| changed.ends_with(name)), "{changes:?}");
        let after = old.reloaded(&newer).expect("no fault");
        assert_eq!(after == newer, setting.reload, "{name}");
        assert_eq!(after == old, !setting.reload, "{name}");
    }
}

/// UPSTREAM waits for a restart, and so do the defaults that follow from it.
#[test]
fn a_default_that_follows_from_another_setting_follows_from_the_value_in_force() {
    let (old, newer) = (run("", &[]), run("--upstream http://a", &[]));
    assert_eq!(newer.drain, Micros::from_secs(30));
    let changes = old.diff(&newer);
    assert_eq!(changes.applied, []);
    assert_eq!(changes.needs_restart, ["UPSTREAM"]);
    assert_eq!(old.reloaded(&newer), Ok(old));
    // A setting that waits for no restart changes its followers at once.
    let (old, newer) = (
        run("", &[]),
        run("--max-message-bytes 3000000 --upstream http://a", &[]),
    );
    let after = old.reloaded(&newer).expect("no fault");
    assert_eq!((after.max_pending_bytes, after.bridge), (6_000_000, None));
}

#[test]
fn a_reload_tells_old_and_new_values() {
    let folder = Folder::new();
    let file = folder.file("settings", "drain_ms = 1\ntrusted_proxies = ['::1']\n");
    let token = folder.file("token", TOKEN);
    let env = [
        format!("CONFIG_FILE={file}"),
        format!("ADMIN_TOKEN_FILE={token}"),
    ];
    let env = [env[0].as_str(), env[1].as_str()];
    let old = run("", &env);
    folder.file(
        "settings",
        "drain_ms = 2\nheartbeat_interval_ms = 2000\nmax_connections = 9\n\
         listen_addr = '127.0.0.1:1'\ntrusted_proxies = []",
    );
    folder.file("token", format!("{TOKEN}-another"));
    let newer = run("--app-heartbeat-interval-ms 15000", &env);
    let changes = old.diff(&newer);
    let change = |name, old: &str, new: &str| SettingChange {
        name,
        old: old.to_owned(),
        new: new.to_owned(),
    };
    assert_eq!(
        changes.applied,
        [
            change("HEARTBEAT_INTERVAL_MS", "15000", "2000"),
            change(
                "MAX_CONNECTIONS",
                "what the limit of file descriptors allows",
                "9"
            ),
            change("DRAIN_MS", "1", "2"),
            change("GLASSES_HEARTBEAT_INTERVAL_MS", "15000", "2000"),
            change("TRUSTED_PROXIES", "::1/128", "none"),
        ]
    );
    assert_eq!(changes.needs_restart, ["LISTEN_ADDR", "ADMIN_TOKEN_FILE"]);
    let after = old.reloaded(&newer).expect("no fault");
    assert_eq!(after.drain, Micros::from_millis(2));
    assert_eq!(after.listen_addr, old.listen_addr);
    assert_eq!(after.admin_token, old.admin_token);
    // A different origin of the same value is no change.
    let flag = run("--drain-ms 2", &env);
    let applied = newer.diff(&flag).applied;
    assert!(applied.iter().all(|change| change.name != "DRAIN_MS"));
}

#[test]
fn a_reload_sees_what_changed_in_the_files_of_credentials() {
    let folder = Folder::new();
    let (apps, secret) = (folder.file("apps", APPS), folder.file("secret", SECRET));
    let env = [
        format!("APPS_FILE={apps}"),
        format!("AUTH_JWT_SECRET_FILE={secret}"),
    ];
    let env = env.each_ref().map(String::as_str);
    let old = run("", &env);
    assert!(old.diff(&run("", &env)).is_empty());
    let names = |newer: &Settings| {
        let changes = old.diff(newer);
        assert_eq!(changes.needs_restart, [""; 0]);
        let seen = format!("{changes:?}");
        assert!(!seen.contains("s3cret"), "{seen}");
        changes.applied.iter().map(|c| c.name).collect::<Vec<_>>()
    };
    folder.file("apps", APPS.replace("s3cret-b", "s3cret-c"));
    let newer = run("", &env);
    assert_eq!(names(&newer), ["APPS_FILE"]);
    let after = old.reloaded(&newer).expect("no fault").credentials();
    assert!(after.is_app_key("org.b", "s3cret-c") && !after.is_app_key("org.b", "s3cret-b"));
    folder.file("apps", APPS.replace("3000", "3001"));
    assert_eq!(names(&run("", &env)), ["APPS_FILE"]);
    folder.file("apps", format!("\n{APPS}\n"));
    assert!(names(&run("", &env)).is_empty(), "the apps are the same");
    folder.file("secret", format!("{SECRET}-another"));
    let newer = run("", &env);
    assert_eq!(names(&newer), ["AUTH_JWT_SECRET_FILE"]);
    let after = old.reloaded(&newer).expect("no fault");
    assert_eq!(after.auth_jwt_secret, newer.auth_jwt_secret);
}

#[test]
fn a_reload_does_not_open_the_gateway_to_others() {
    let secret = format!("AUTH_JWT_SECRET={SECRET}");
    let old = run("--listen-addr 0.0.0.0:1", &[&secret]);
    let newer = run("", &[]);
    let told = old.reloaded(&newer).expect_err("a fault").to_string();
    assert!(
        told.contains("LISTEN_ADDR=\"0.0.0.0:1\" (flag): must be a loopback address"),
        "{told}"
    );
    // Nor on a loopback address; the other direction, from open to closed, is allowed.
    let old = run("", &[&secret]);
    let told = old.reloaded(&newer).expect_err("a fault").to_string();
    assert_eq!(
        told,
        "1 setting is wrong:\n  AUTH_JWT_SECRET=\"\" (default): must be set: a reload does not \
         remove AUTH_JWT_SECRET, which is *** (env); only a restart does"
    );
    let closed = newer.reloaded(&old).expect("no fault");
    assert!(!closed.credentials().is_open());
}

#[test]
fn a_reload_takes_away_nothing_that_keeps_peers_out() {
    let folder = Folder::new();
    let (apps, secret) = (folder.file("apps", APPS), folder.file("secret", SECRET));
    let all = [
        format!("AUTH_JWT_SECRET={SECRET}"),
        format!("APPS_FILE={apps}"),
        "ALLOWED_ORIGINS=https://a.example".to_owned(),
        "WEBHOOK_ALLOW=10.0.0.0/8".to_owned(),
        "TRUSTED_PROXIES=10.0.0.1".to_owned(),
    ];
    let all = all.each_ref().map(String::as_str);
    let old = run("", &all);
    for nth in 0..all.len() {
        let (gone, _) = all[nth].split_once('=').expect("a setting");
        let mut left = all.to_vec();
        left.remove(nth);
        let told = old.reloaded(&run("", &left)).expect_err(gone).to_string();
        assert!(told.starts_with("1 setting is wrong:\n"), "{told}");
        let what = format!("{gone}=\"\" (default): must be set: a reload does not remove {gone}");
        assert!(told.contains(&what), "{told}");
        // A restriction that was not given before need not be given.
        let before = run("", &left);
        assert!(before.reloaded(&before).is_ok(), "{gone}");
    }
    // A secret may move to a file.
    let moved = format!("AUTH_JWT_SECRET_FILE={secret}");
    let newer: Vec<&str> = [&moved[..]]
        .into_iter()
        .chain(all[1..].iter().copied())
        .collect();
    assert!(old.reloaded(&run("", &newer)).is_ok());
}

#[test]
fn what_waits_for_a_restart_must_fit_what_does_not() {
    let old = run("--proxy-protocol v1 --trusted-proxies ::1", &[]);
    let newer = run("", &[]);
    assert_eq!(
        old.reloaded(&newer).expect_err("a fault").to_string(),
        "2 settings are wrong:\n  \
         PROXY_PROTOCOL=\"v1\" (flag): must be off, unless TRUSTED_PROXIES names at least one \
         address: otherwise no proxy is trusted and no header is read\n  \
         TRUSTED_PROXIES=\"\" (default): must be set: a reload does not remove TRUSTED_PROXIES, \
         which is ::1/128 (flag); only a restart does"
    );
    assert!(newer.reloaded(&old).is_ok());
}

#[test]
fn a_live_policy_has_the_bounds_of_the_start() {
    assert_eq!(check_policy(&Policy::default()), Ok(()));
    let [min, day] = [10, 86_400_000].map(Micros::from_millis);
    let policy = |heartbeat_interval, connection_timeout| Policy {
        heartbeat_interval,
        connection_timeout,
        ..Policy::default()
    };
    let told = |policy: &Policy| -> Vec<String> {
        let error = check_policy(policy).expect_err("a fault");
        error.faults().iter().map(ToString::to_string).collect()
    };
    let above = |time: Micros| Micros(time.0 + 1);
    assert_eq!(check_policy(&policy(min, above(min))), Ok(()));
    assert_eq!(check_policy(&policy(Micros(day.0 - 1), day)), Ok(()));
    assert_eq!(
        told(&policy(day, day)),
        [
            "connection_timeout is 86400000 ms; it must be more than heartbeat_interval, which is \
             86400000 ms"
        ]
    );
    let wrong = Policy {
        heartbeat_interval: Micros(9_999),
        connection_timeout: above(above(day)),
        suspect_after: 0,
        first_message_timeout: Some(Micros::ZERO),
        close_timeout: Micros(u64::MAX),
        ..Policy::default()
    };
    assert_eq!(
        told(&wrong),
        [
            "heartbeat_interval is 9 ms; it must be 10 ms to 86400000 ms",
            "connection_timeout is 86400000 ms; it must be 10 ms to 86400000 ms",
            "first_message_timeout is 0 ms; it must be 10 ms to 86400000 ms",
            "close_timeout is 18446744073709551 ms; it must be 10 ms to 86400000 ms",
            "suspect_after is 0; it must be at least 1",
        ]
    );
}
