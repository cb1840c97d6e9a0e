//! Reloads: what is applied, what is refused, and what is taken back.

use crate::commands::gateway_with;
use crate::folder::Folder;
use crate::peers::{assert_served, glasses};
use crate::sockets::{Client, Event, Gateway, eventually, field};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;

/// Starts a gateway with a settings file, which also sets the times of heartbeats.
fn start_with_file(file: &str) -> Gateway {
    let mut command = Gateway::command(&[("CONFIG_FILE", file), ("DRAIN_MS", "0")]);
    command
        .env_remove("HEARTBEAT_INTERVAL_MS")
        .env_remove("CONNECTION_TIMEOUT_MS");
    Gateway::start_unread(command).read()
}

const OLD: &str = "connection_timeout_ms = 60000\nheartbeat_interval_ms = 20000\n\
                   max_message_bytes = 100000\nlog_level = \"info\"\n";
const NEWER: &str = "connection_timeout_ms = 90000\nheartbeat_interval_ms = 20000\n\
                     max_message_bytes = 200\nlog_level = \"debug\"\nmax_connections = 3\n\
                     listen_addr = \"127.0.0.1:1\"\nreuse_port = true\n";

fn timeout_of_glasses(gateway: &Gateway) -> Value {
    gateway.api("/api/v1/policies")["glasses"]["connection_timeout_ms"].clone()
}

#[test]
fn a_reload_with_faults_tells_all_of_them_and_changes_nothing() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", OLD);
    let gateway = start_with_file(&file);
    assert_eq!(timeout_of_glasses(&gateway), 60_000);
    let wrong = "connection_timeout_ms = 5\nlisten = 1\nmax_message_bytes = 200\n";
    folder.file("settings.toml", wrong);
    gateway.signal("HUP");
    gateway.line(&["[ERROR] reload refused", "CONNECTION_TIMEOUT_MS"]);
    gateway.line(&["[ERROR] reload refused", "listen"]);
    gateway.line(&["[ERROR] reload refused", "the old settings stay in force"]);
    assert_eq!(timeout_of_glasses(&gateway), 60_000);
    // A missing file: the same.
    fs::remove_file(&file).expect("it is there");
    gateway.signal("HUP");
    eventually("it is refused again", || {
        (gateway.lines(&["the old settings stay in force"]).len() == 2).then_some(())
    });
    assert_eq!(timeout_of_glasses(&gateway), 60_000);
    // It can be repaired.
    folder.file("settings.toml", NEWER);
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload ", "connection_timeout_ms="]);
    assert_eq!(timeout_of_glasses(&gateway), 90_000);
    gateway.end();
}

#[test]
fn a_reload_applies_what_can_be_applied_and_says_what_waits_for_a_restart() {
    let folder = Folder::new();
    let gateway = start_with_file(&folder.file("settings.toml", OLD));
    folder.file("settings.toml", NEWER);
    gateway.signal("HUP");
    let line = gateway.line(&["[INFO] reload ", "connection_timeout_ms="]);
    let change = "glasses_connection_timeout_ms=\"60000\"->\"90000\"";
    assert!(line.contains(change), "{line}");
    let restart = gateway.line(&["[WARN] reload settings=", "these changes need a restart"]);
    // LISTEN_ADDR comes from the environment.
    assert_eq!(field(&restart, "settings"), Some("REUSE_PORT"), "{restart}");
    assert_eq!(timeout_of_glasses(&gateway), 90_000);
    assert_eq!(gateway.api("/api/v1/overview")["connections_max"], 3);
    assert_eq!(gateway.api("/api/v1/log-level")["level"], "debug");
    gateway.signal("HUP");
    gateway.line(&["reload changed=none"]);
    gateway.end();
}

#[test]
fn a_reload_closes_no_connection_and_new_settings_apply_to_open_ones_too() {
    let folder = Folder::new();
    let gateway = start_with_file(&folder.file("settings.toml", OLD));
    let mut stays = glasses(&gateway, "stays");
    let mut big = glasses(&gateway, "big");
    folder.file("settings.toml", NEWER);
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload ", "connection_timeout_ms="]);
    assert_served(&mut stays);
    big.send_text(&"x".repeat(201));
    assert!(matches!(big.next_answering(), Event::Close(1009, _)));
    drop(big);
    eventually("the closed connection has given its slot back", || {
        let overview = gateway.api("/api/v1/overview");
        let states = overview["connections"]["glasses"].as_object()?;
        let open: u64 = states.values().filter_map(Value::as_u64).sum();
        (open == 1).then_some(())
    });
    // There is room for three now.
    let more = [glasses(&gateway, "second"), glasses(&gateway, "third")];
    let fourth = Client::refused(gateway.addr, "/glasses-ws?user=fourth");
    assert_eq!(fourth.status, 503);
    assert_served(&mut stays);
    drop(more);
    gateway.end();
}

/// The state file of a user that has started an app.
const STARTED: &str = r#"{"version":1,"started":{"ada":["p.x"]}}"#;

/// The settings that keep peers out, in the order of their lines in [`restrictions`].
const RESTRICTED: [&str; 5] = [
    "WEBHOOK_ALLOW",
    "ALLOWED_ORIGINS",
    "TRUSTED_PROXIES",
    "AUTH_JWT_SECRET_FILE",
    "APPS_FILE",
];

/// Returns the lines of a settings file: one setting that restricts nothing, and [`RESTRICTED`].
fn restrictions(folder: &Folder) -> [String; 6] {
    let apps = folder.file(
        "apps.json",
        r#"[{"package":"p.x","api_key":"k","webhook_url":"http://127.0.0.1:1/"}]"#,
    );
    let secret = folder.file("secret", "a-secret-of-this-test-0123456789");
    [
        "max_message_bytes = 2000".to_owned(),
        "webhook_allow = ['203.0.113.0/24']".to_owned(),
        "allowed_origins = ['https://app.example.org']".to_owned(),
        "trusted_proxies = ['203.0.113.7']".to_owned(),
        format!("auth_jwt_secret_file = {secret:?}"),
        format!("apps_file = {apps:?}"),
    ]
}

/// The settings file at every length that it can have while it is written line by line.
#[test]
fn a_reload_of_a_half_written_file_stops_no_app_and_opens_nothing() {
    let folder = Folder::new();
    let lines = restrictions(&folder);
    let file = folder.file("settings.toml", lines.join("\n"));
    let state = folder.file("state.json", STARTED);
    let gateway = gateway_with(&[("CONFIG_FILE", &file), ("STATE_FILE", &state)]);
    let refused = || Client::refused(gateway.addr, "/glasses-ws?user=ada").status;
    assert_eq!(refused(), 401);
    for written in 0..lines.len() {
        folder.file("settings.toml", lines[..written].join("\n"));
        gateway.signal("HUP");
        eventually("it is refused", || {
            let told = gateway.lines(&["reload refused effect=\"the old settings stay in force\""]);
            (told.len() == written + 1).then_some(())
        });
        assert_eq!(refused(), 401);
        // Each that is missing is named in this reload, too.
        for name in &RESTRICTED[written.max(1) - 1..] {
            let told = gateway.lines(&["reload refused fault=", &format!("{name}=")]);
            assert_eq!(told.len(), written + 1, "{name} at {written}: {told:?}");
        }
    }
    let old_value = "a reload does not remove APPS_FILE, which is";
    gateway.line(&["APPS_FILE=", old_value, "apps.json"]);
    assert_eq!(gateway.lines(&["apps_stopped"]), [""; 0]);
    gateway.end();
    assert_eq!(fs::read_to_string(&state).expect("a file"), STARTED);
}

#[test]
fn a_restriction_that_is_emptied_explicitly_is_lifted() {
    let folder = Folder::new();
    let mut lines = restrictions(&folder);
    let file = folder.file("settings.toml", lines.join("\n"));
    let gateway = gateway_with(&[("CONFIG_FILE", &file)]);
    lines[0] = "max_message_bytes = 3000".to_owned();
    lines[2] = "allowed_origins = []".to_owned();
    folder.file("settings.toml", lines.join("\n"));
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload ", "max_message_bytes=", "allowed_origins="]);
    gateway.end();
}

#[test]
fn a_reload_says_what_it_takes_back() {
    let folder = Folder::new();
    let settings = "connection_timeout_ms = 60000\nheartbeat_interval_ms = 20000\n";
    let file = folder.file("settings.toml", settings);
    let gateway = start_with_file(&file);
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
    folder.file("settings.toml", format!("{settings}{newer}"));
    gateway.signal("HUP");
    let line = gateway.line(&["[WARN] reload reverts=policy"]);
    let change = "class=app connection_timeout_ms=\"30000\"->\"60000\"";
    assert!(line.ends_with(change), "{line}");
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

#[test]
fn a_reload_by_the_api_answers_what_it_has_changed_or_every_fault() {
    let folder = Folder::new();
    let gateway = start_with_file(&folder.file("settings.toml", OLD));
    let reload = || gateway.act("POST", "/api/v1/reload", "");
    let (status, answer) = reload();
    assert_eq!((status, &answer["changed"]), (200, &serde_json::json!([])));

    folder.file("settings.toml", NEWER);
    let (status, answer) = reload();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["needs_restart"], serde_json::json!(["REUSE_PORT"]));
    let changed = answer["changed"].as_array().expect("a list");
    let size = "max_message_bytes=\"100000\"->\"200\"";
    assert!(changed.iter().any(|change| change == size), "{answer}");
    // It holds when the answer is there.
    assert_eq!(timeout_of_glasses(&gateway), 90_000);

    folder.file("settings.toml", "listen = 1\nmax_message_bytes = 2\n");
    let (status, answer) = reload();
    let told = answer["error"].as_str().expect("a text");
    assert_eq!((status, told.lines().count()), (422, 2), "{answer}");
    assert!(told.contains("\"listen\"") && told.contains("MAX_MESSAGE_BYTES=\"2\""));
    gateway.end();
}

/// A mounted ConfigMap: the file is a link to one in a folder, the folder is a link, and that one
/// is replaced.
#[test]
fn with_config_watch_a_replaced_link_is_a_reload_and_a_missing_file_is_none() {
    let folder = Folder::new();
    let write = |version: &str, content: &str| {
        fs::create_dir(folder.path(version)).expect("a folder");
        folder.file(&format!("{version}/settings.toml"), content);
    };
    write("1", OLD);
    symlink("1", folder.path("data")).expect("a link");
    symlink("data/settings.toml", folder.path("settings.toml")).expect("a link");
    let settings = [
        ("CONFIG_FILE", &*folder.path("settings.toml")),
        ("CONFIG_WATCH", "1"),
    ];
    let mut command = Gateway::command(&settings);
    command
        .env_remove("HEARTBEAT_INTERVAL_MS")
        .env_remove("CONNECTION_TIMEOUT_MS");
    let gateway = Gateway::start_unread(command).read();
    assert_eq!(timeout_of_glasses(&gateway), 60_000);
    let point_to = |version: &str| {
        symlink(version, folder.path("new")).expect("a link");
        fs::rename(folder.path("new"), folder.path("data")).expect("replaced");
    };
    point_to("none");
    write("2", "connection_timeout_ms = 70000\n");
    point_to("2");
    gateway.line(&["config_watch effect=reload"]);
    eventually("the new timeout", || {
        (timeout_of_glasses(&gateway) == 70_000).then_some(())
    });
    assert_eq!(gateway.lines(&["reload refused"]), [""; 0]);
    // A file that is written in place.
    folder.file("2/settings.toml", "connection_timeout_ms = 80000\n");
    eventually("the next timeout", || {
        (timeout_of_glasses(&gateway) == 80_000).then_some(())
    });
    gateway.end();
}
