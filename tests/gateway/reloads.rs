//! Reloads at SIGHUP: what is applied, what is refused, and what is taken back.

use crate::folder::Folder;
use crate::peers::{assert_served, glasses};
use crate::sockets::{Client, Event, Gateway, eventually, field};
use std::fs;

#[test]
fn a_reload_applies_what_can_be_applied_and_touches_no_connection() {
    let folder = Folder::new();
    let file = folder.file(
        "settings.toml",
        "connection_timeout_ms = 60000\nheartbeat_interval_ms = 20000\n\
         max_message_bytes = 100000\nlog_level = \"info\"\n",
    );
    let mut command = Gateway::command(&[("CONFIG_FILE", &file), ("DRAIN_MS", "0")]);
    command
        .env_remove("HEARTBEAT_INTERVAL_MS")
        .env_remove("CONNECTION_TIMEOUT_MS");
    let gateway = Gateway::start_unread(command).read();
    let mut stays = glasses(&gateway, "stays");
    let mut big = glasses(&gateway, "big");
    let policy = || gateway.api("/api/v1/policies")["glasses"]["connection_timeout_ms"].clone();
    assert_eq!(policy(), 60_000);

    // Two faults: both are reported, and nothing changes.
    folder.file(
        "settings.toml",
        "connection_timeout_ms = 5\nlisten = 1\nmax_message_bytes = 200\n",
    );
    gateway.signal("HUP");
    gateway.line(&["[ERROR] reload refused", "CONNECTION_TIMEOUT_MS"]);
    gateway.line(&["[ERROR] reload refused", "listen"]);
    gateway.line(&["[ERROR] reload refused", "the old settings stay in force"]);
    assert_eq!(policy(), 60_000);

    // A missing file: the same.
    fs::remove_file(&file).expect("it is there");
    gateway.signal("HUP");
    eventually("it is refused again", || {
        (gateway.lines(&["the old settings stay in force"]).len() == 2).then_some(())
    });

    // Valid, with one setting that waits for a restart.
    folder.file(
        "settings.toml",
        "connection_timeout_ms = 90000\nheartbeat_interval_ms = 20000\nmax_message_bytes = 200\n\
         log_level = \"debug\"\n\
         max_connections = 3\nlisten_addr = \"127.0.0.1:1\"\nreuse_port = true\n",
    );
    gateway.signal("HUP");
    let line = gateway.line(&["[INFO] reload ", "connection_timeout_ms="]);
    assert!(
        line.contains("glasses_connection_timeout_ms=\"60000\"->\"90000\""),
        "{line}"
    );
    let restart = gateway.line(&["[WARN] reload settings=", "these changes need a restart"]);
    assert_eq!(
        field(&restart, "settings"),
        Some("REUSE_PORT"),
        "LISTEN_ADDR comes from the environment"
    );
    assert_eq!(policy(), 90_000);
    assert_eq!(gateway.api("/api/v1/overview")["connections_max"], 3);
    assert_eq!(gateway.api("/api/v1/log-level")["level"], "debug");
    // Open connections stay, and the new settings apply to them, too.
    assert_served(&mut stays);
    big.send_text(&"x".repeat(201));
    assert!(matches!(big.next_answering(), Event::Close(1009, _)));
    drop(big);
    let third = [glasses(&gateway, "second"), glasses(&gateway, "third")];
    assert_eq!(
        Client::refused(gateway.addr, "/glasses-ws?user=fourth").status,
        503
    );
    gateway.signal("HUP");
    gateway.line(&["reload changed=none"]);
    drop(third);
    gateway.end();
}

/// The settings file at every length that it can have while it is written line by line.
#[test]
fn a_reload_of_a_half_written_file_stops_no_app_and_opens_nothing() {
    let folder = Folder::new();
    let apps = folder.file(
        "apps.json",
        r#"[{"package":"p.x","api_key":"k","webhook_url":"http://127.0.0.1:1/"}]"#,
    );
    let started = r#"{"version":1,"started":{"ada":["p.x"]}}"#;
    let state = folder.file("state.json", started);
    let secret = folder.file("secret", "a-secret-that-nobody-knows-0123456789");
    let lines = [
        "max_message_bytes = 2000".to_owned(),
        "webhook_allow = ['203.0.113.0/24']".to_owned(),
        "allowed_origins = ['https://app.example.org']".to_owned(),
        "trusted_proxies = ['203.0.113.7']".to_owned(),
        format!("auth_jwt_secret_file = {secret:?}"),
        format!("apps_file = {apps:?}"),
    ];
    let file = folder.file("settings.toml", &lines.join("\n"));
    let command = Gateway::command(&[
        ("CONFIG_FILE", &file),
        ("STATE_FILE", &state),
        ("DRAIN_MS", "0"),
    ]);
    let gateway = Gateway::start_unread(command).read();
    let refused = || Client::refused(gateway.addr, "/glasses-ws?user=ada").status;
    assert_eq!(refused(), 401);
    for written in 0..lines.len() {
        folder.file("settings.toml", &lines[..written].join("\n"));
        gateway.signal("HUP");
        eventually("it is refused", || {
            let told = gateway.lines(&["reload refused effect=\"the old settings stay in force\""]);
            (told.len() == written + 1).then_some(())
        });
        assert_eq!(refused(), 401);
        // Each is named, with its old value.
        for (missing, name) in [
            (written < 2, "WEBHOOK_ALLOW"),
            (written < 3, "ALLOWED_ORIGINS"),
            (written < 4, "TRUSTED_PROXIES"),
            (written < 5, "AUTH_JWT_SECRET_FILE"),
            (true, "APPS_FILE"),
        ] {
            let told = gateway.lines(&["reload refused fault=", &format!("{name}=")]);
            let expected = if missing { written + 1 } else { told.len() };
            assert_eq!(told.len(), expected, "{name} at {written}: {told:?}");
        }
    }
    gateway.line(&[
        "APPS_FILE=",
        "a reload does not remove APPS_FILE, which is",
        "apps.json",
    ]);
    assert_eq!(gateway.lines(&["apps_stopped"]), [""; 0]);
    // A setting that is emptied explicitly is emptied, and other settings change.
    let mut newer = lines.clone();
    newer[0] = "max_message_bytes = 3000".to_owned();
    newer[2] = "allowed_origins = []".to_owned();
    folder.file("settings.toml", &newer.join("\n"));
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload ", "max_message_bytes=", "allowed_origins="]);
    gateway.end();
    assert_eq!(fs::read_to_string(&state).expect("a file"), started);
}

#[test]
fn a_reload_says_what_it_takes_back() {
    let folder = Folder::new();
    let settings = "connection_timeout_ms = 60000\nheartbeat_interval_ms = 20000\n";
    let file = folder.file("settings.toml", settings);
    let mut command = Gateway::command(&[("CONFIG_FILE", &file), ("DRAIN_MS", "0")]);
    command
        .env_remove("HEARTBEAT_INTERVAL_MS")
        .env_remove("CONNECTION_TIMEOUT_MS");
    let gateway = Gateway::start_unread(command).read();
    let body = r#"{"connection_timeout_ms":30000,"heartbeat_interval_ms":10000}"#;
    assert_eq!(gateway.act("PATCH", "/api/v1/policies/app", body).0, 200);
    let level = r#"{"level":"debug"}"#;
    assert_eq!(gateway.act("PUT", "/api/v1/log-level", level).0, 200);
    // Nothing has changed: live changes stay.
    gateway.signal("HUP");
    gateway.line(&["reload changed=none"]);
    assert_eq!(gateway.lines(&["reverts="]), [""; 0]);
    // Something else has changed; and the file now contains one of the live values.
    let newer = "app_heartbeat_interval_ms = 10000\nmax_message_bytes = 2000\n";
    folder.file("settings.toml", &format!("{settings}{newer}"));
    gateway.signal("HUP");
    let line = gateway.line(&["[WARN] reload reverts=policy"]);
    assert!(
        line.ends_with("class=app connection_timeout_ms=\"30000\"->\"60000\""),
        "{line}"
    );
    gateway.line(&["[WARN] reload reverts=log_level from=debug to=info"]);
    assert_eq!(gateway.lines(&["reverts="]).len(), 2);
    // The line that the reload is done comes after all its effects.
    let done = gateway.line(&["[INFO] reload ", "max_message_bytes="]);
    assert_eq!(gateway.lines(&[" reload "]).last(), Some(&done));
    assert_eq!(gateway.api("/api/v1/log-level")["level"], "info");
    let policies = gateway.api("/api/v1/policies");
    assert_eq!(policies["app"]["connection_timeout_ms"], 60_000);
    assert_eq!(policies["app"]["heartbeat_interval_ms"], 10_000);
    gateway.end();
}
