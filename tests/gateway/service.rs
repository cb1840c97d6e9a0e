//! The gateway with a service manager and behind a proxy: inherited sockets, notifications and
//! their order, reloads, and the real address of a client.

use crate::sockets::{Client, Controls, Event, Gateway, eventually, field, upgrade};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A folder for one test; removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pulsegate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the exit code and the log of a gateway that must end by itself.
#[track_caller]
fn ended(mut command: Command) -> (Option<i32>, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut process = command.stderr(writer).spawn().expect("the gateway");
    drop(command); // and with it the writing end
    let deadline = Instant::now() + crate::sockets::PATIENCE;
    let code = loop {
        if let Some(status) = process.try_wait().expect("it is ours") {
            break status.code();
        }
        if Instant::now() > deadline {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
            panic!("the gateway runs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("UTF-8");
    (code, log)
}

fn glasses(addr: SocketAddr, user: &str) -> Client {
    Client::open(addr, &format!("/glasses-ws?user={user}"))
}

// ---- reload ----

#[test]
fn a_reload_applies_what_can_be_applied_and_touches_no_connection() {
    let folder = Folder::new("reload");
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
    let mut stays = glasses(gateway.addr, "stays");
    let mut big = glasses(gateway.addr, "big");
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
    stays.send_text(r#"{"type":"ping"}"#);
    assert!(matches!(stays.next_answering(), Event::Text(_)));
    big.send_text(&"x".repeat(201));
    assert!(matches!(big.next_answering(), Event::Close(1009, _)));
    drop(big);
    let third = [
        glasses(gateway.addr, "second"),
        glasses(gateway.addr, "third"),
    ];
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
    let folder = Folder::new("opened");
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
    let folder = Folder::new("revert");
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

#[test]
fn a_token_that_was_not_filled_in_opens_no_admin_listener() {
    for variable in ["ADMIN_TOKEN", "ADMIN_TOKEN_FILE"] {
        let command = Gateway::command(&[("DRAIN_MS", "0"), (variable, "")]);
        let (code, log) = ended(command);
        assert_eq!(code, Some(2), "{log}");
        assert!(
            log.contains(&format!("{variable}=\"\" (env): must be ")),
            "{log}"
        );
    }
}

#[test]
fn the_token_can_come_from_a_file() {
    let folder = Folder::new("token");
    let file = folder.file("token", "a-token-from-a-file-0123\n");
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN_FILE", &file)]);
    let ask = |headers: &str| gateway.admin_request("GET", "/metrics", headers, "").status;
    assert_eq!(ask(""), 401);
    assert_eq!(
        ask("Authorization: bearer a-token-from-a-file-0123\r\n"),
        200
    );
    gateway.end();
}

// ---- the state file ----

#[test]
fn a_state_file_is_kept_by_one_process() {
    let folder = Folder::new("lock");
    let state = folder.0.join("state.json");
    let state = state.to_str().expect("UTF-8");
    let settings = [("DRAIN_MS", "0"), ("STATE_FILE", state)];
    let first = Gateway::start(&settings);
    let (code, log) = ended(Gateway::command(&settings));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("another process uses it"), "{log}");
    // A successor beside it waits for the lock.
    let successor = Gateway::start(&[settings[0], settings[1], ("REUSE_PORT", "1")]);
    successor.line(&["[WARN] state_file", "lock=waits"]);
    first.end();
    successor.end();
    // A process that was killed holds no lock.
    drop(Gateway::start(&settings));
    Gateway::start(&settings).end();
}

/// A single file mounted by Docker (`-v state.json:/state.json`).
#[test]
fn a_state_file_that_is_a_mount_is_told_before_the_start() {
    let folder = Folder::new("a mount");
    let (state, other) = (folder.file("state.json", ""), folder.file("other.json", ""));
    let inner = Gateway::command(&[("STATE_FILE", &state)]);
    for check in ["--check", "--drain-ms=0"] {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" \"$2\" || exit 77; exec \"$0\" \"$3\"")
            .arg(inner.get_program())
            .args([&other, &state, check])
            .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .output();
        let output = match output {
            Ok(output) if output.status.code() != Some(77) => output,
            // A container may lack the right to mount.
            other => {
                eprintln!("SKIPPED, no mount is possible here: {other:?}");
                return;
            }
        };
        let log = String::from_utf8_lossy(&output.stderr);
        if log.contains("unshare:") {
            eprintln!("SKIPPED, no namespace is possible here: {log}");
            return;
        }
        assert_eq!(output.status.code(), Some(2), "{check}: {log}");
        assert!(
            log.contains("STATE_FILE=") && log.contains("mount its folder"),
            "{log}"
        );
    }
}

#[test]
fn a_limit_of_file_sizes_fails_a_write_and_does_not_kill() {
    let folder = Folder::new("xfsz");
    let apps = folder.file(
        "apps.json",
        r#"[{"package":"p.x","api_key":"k","webhook_url":"http://127.0.0.1:1/"}]"#,
    );
    let state = folder.0.join("state.json");
    let inner = Gateway::command(&[
        ("DRAIN_MS", "0"),
        ("STATE_FILE", state.to_str().expect("UTF-8")),
        ("APPS_FILE", &apps),
        ("AUTH_JWT_SECRET", SECRET),
    ]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -f 0; exec \"$0\""])
        .arg(inner.get_program())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let gateway = Gateway::start_unread(command).read();
    let path = format!("/glasses-ws?token={}", crate::tokens::token("ada", SECRET));
    let mut client = Client::open(gateway.addr, &path);
    client.send_text(r#"{"type":"start_app","packageName":"p.x"}"#);
    gateway.line(&["[ERROR] state_file", "outcome=failed", "File too large"]);
    assert_eq!(gateway.health(), 200);
    drop(client);
    gateway.end();
}

// ---- certificates ----

/// A self-made certificate that stays valid.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUWZOlBzC3s2bY+vai0yxjDEtVClYwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOcHVsc2VnYXRlIHRlc3QwIBcNMjYxMTI4MjAwOTU1WhgPMjEy
NjExMDQyMDA5NTVaMBkxFzAVBgNVBAMMDnB1bHNlZ2F0ZSB0ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEkgKEq34gHy3T4en6TcYUlPB8IPkAJAppDpT+yUyB
AAr8SnZUlzhbZESgdkvs+69j9C0wr7w2i70n+sRTd8Ol0qNTMFEwHQYDVR0OBBYE
FN7wT6PTMUtAgcY77YQHoPi5KBGnMB8GA1UdIwQYMBaAFN7wT6PTMUtAgcY77YQH
oPi5KBGnMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgBlBeMrDo
Y7JbaAE2BC4PHJ916UtQcKZMUMhDeAp4FmACIQDuKFYwKgyDklTHDuLIPHtWKGNB
YUGXVULf0brS58xXdg==
-----END CERTIFICATE-----
";

/// Returns a gateway with an app whose https server is down, and a system that trusts the
/// certificates in a file.
fn with_trust(folder: &Folder, certificates: &str, more: &[(&str, &str)]) -> Command {
    let apps = folder.file(
        "apps.json",
        r#"[{"package":"p.x","api_key":"k","webhook_url":"https://127.0.0.1:1/"}]"#,
    );
    let (trust, none) = (
        folder.file("trust.pem", certificates),
        folder.0.join("none"),
    );
    let mut command = Gateway::command(&[
        ("DRAIN_MS", "0"),
        ("AUTH_JWT_SECRET", SECRET),
        ("APPS_FILE", &apps),
        ("SSL_CERT_FILE", &trust),
        ("SSL_CERT_DIR", none.to_str().expect("UTF-8")),
    ]);
    command.envs(more.iter().copied());
    command
}

const SECRET: &str = "the-secret-of-this-test-and-no-other";

#[test]
fn without_certificates_no_https_webhook_is_promised() {
    let folder = Folder::new("no-certificates");
    let (code, log) = ended(with_trust(&folder, "", &[]));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("APPS_FILE has a URL with https"), "{log}");
    assert!(
        log.contains("this system has no trusted certificates"),
        "{log}"
    );
    // Alerts over https need certificates, too.
    let plain = folder.file("plain.json", "[]");
    let alerts = [
        ("APPS_FILE", &*plain),
        ("ALERT_WEBHOOK_URL", "HTTPS://127.0.0.1:1/"),
    ];
    let (code, log) = ended(with_trust(&folder, "", &alerts));
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("ALERT_WEBHOOK_URL has a URL with https"),
        "{log}"
    );
    // Without https URLs none are needed; and a reload that would need them is refused.
    let gateway = Gateway::start_unread(with_trust(&folder, "", &[("APPS_FILE", &plain)])).read();
    folder.file(
        "plain.json",
        r#"[{"package":"p.y","api_key":"k","webhook_url":"https://127.0.0.1:1/"}]"#,
    );
    gateway.signal("HUP");
    gateway.line(&["reload refused fault=", "has no trusted certificates"]);
    gateway.end();
}

#[test]
fn certificates_are_looked_for_again_and_no_app_is_blamed_for_want_of_them() {
    let folder = Folder::new("certificates");
    let gateway = Gateway::start_unread(with_trust(&folder, CERTIFICATE, &[])).read();
    // They are removed before the first webhook.
    folder.file("trust.pem", "");
    let path = format!("/glasses-ws?token={}", crate::tokens::token("ada", SECRET));
    let mut glasses = Client::open(gateway.addr, &path);
    let mut start = || {
        glasses.send_text(r#"{"type":"start_app","packageName":"p.x"}"#);
        loop {
            match glasses.next_answering() {
                Event::Text(text) if text.contains("app_stopped") => return text,
                Event::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    for _ in 0..6 {
        let told = start();
        assert!(told.contains("the gateway cannot send webhooks"), "{told}");
    }
    assert_eq!(gateway.lines(&["[ERROR] webhook https=off"]).len(), 1);
    assert_eq!(gateway.lines(&["breaker=open"]), [""; 0]);
    let webhooks = gateway.api("/api/v1/webhooks");
    assert_eq!(webhooks["down"], serde_json::json!([]), "{webhooks}");
    // Present again: now it is the server that cannot be reached.
    folder.file("trust.pem", CERTIFICATE);
    eventually("https is on", || {
        start();
        gateway.lines(&["[INFO] webhook https=on"]).first().cloned()
    });
    gateway.line(&["webhook type=session_request", "Connection refused"]);
    drop(glasses);
    gateway.end();
}

// ---- the service manager ----

/// A service manager like systemd: it starts the gateway, holds the sockets, and receives the
/// notifications.
struct Manager {
    folder: Folder,
    notes: UnixDatagram,
    listener: TcpListener,
    admin: TcpListener,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let folder = Folder::new(name);
        let notes = UnixDatagram::bind(folder.0.join("notify")).expect("a socket");
        notes
            .set_read_timeout(Some(crate::sockets::PATIENCE))
            .expect("a timeout");
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Manager {
            folder,
            notes,
            listener: bind(),
            admin: bind(),
        }
    }

    /// Starts the gateway with the two sockets as descriptors 3 and 4.
    fn start(&self, settings: &[(&str, &str)]) -> Gateway {
        let inner = Gateway::command(settings);
        let fd = |listener: &TcpListener| OwnedFd::from(listener.try_clone().expect("a copy"));
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_FDNAMES=listen:admin \
                 LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$0\"",
            ])
            .arg(inner.get_program())
            .env_clear()
            .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env("NOTIFY_SOCKET", self.folder.0.join("notify"))
            .stdin(Stdio::from(fd(&self.listener)))
            .stdout(Stdio::from(fd(&self.admin)));
        Gateway::start_unread(command).read()
    }

    /// Returns the next notification.
    fn told(&self) -> String {
        let mut note = [0; 256];
        let len = self.notes.recv(&mut note).expect("a note");
        String::from_utf8_lossy(&note[..len]).trim().to_owned()
    }
}

#[test]
fn a_restart_with_handed_over_sockets_loses_no_waiting_client() {
    let manager = Manager::new("sockets");
    let addr = manager.listener.local_addr().expect("an address");
    let mut first = manager.start(&[("DRAIN_MS", "0"), ("CLOSE_TIMEOUT_MS", "20000")]);
    assert_eq!(first.addr, addr);
    assert_eq!(first.admin, manager.admin.local_addr().ok());
    assert_eq!(manager.told(), "READY=1");
    let mut old = glasses(addr, "old");
    first.signal("TERM");
    let (code, reason) = match old.next_answering() {
        Event::Close(code, reason) => (code, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!((code, &*reason), (1012, "service restart"));
    assert_eq!(manager.told(), "STOPPING=1");
    // It still runs, because `old` has not answered; connections are neither accepted nor refused
    // any more.
    let mut waiting: Vec<Client> = (0..50)
        .map(|i| {
            let mut client = Client::connect(addr);
            client.write(upgrade(&format!("/glasses-ws?user=waits-{i}")).as_bytes());
            client
        })
        .collect();
    drop(old);
    assert_eq!(first.wait_for_exit().code(), Some(0));
    // And some more while no gateway runs at all.
    waiting.extend((50..100).map(|i| {
        let mut client = Client::connect(addr);
        client.write(upgrade(&format!("/glasses-ws?user=waits-{i}")).as_bytes());
        client
    }));
    let second = manager.start(&[("DRAIN_MS", "0")]);
    assert_eq!(manager.told(), "READY=1");
    for client in &mut waiting {
        client.switched();
    }
    assert_eq!(second.api("/api/v1/connections?limit=1")["matched"], 100);
    drop(waiting);
    second.end();
}

#[test]
fn the_watchdog_hears_from_the_loop_and_not_from_a_process_that_stands_still() {
    let manager = Manager::new("watchdog");
    let gateway = manager.start(&[("DRAIN_MS", "0"), ("WATCHDOG_USEC", "300000")]);
    // The first watchdog message and READY arrive in any order.
    let notes: Vec<String> = (0..6).map(|_| manager.told()).collect();
    assert_eq!(
        notes.iter().filter(|n| *n == "READY=1").count(),
        1,
        "{notes:?}"
    );
    assert_eq!(
        notes.iter().filter(|n| *n == "WATCHDOG=1").count(),
        5,
        "{notes:?}"
    );
    gateway.signal("STOP");
    // Reads what was sent before it stopped; then nothing arrives for longer than the watchdog's
    // timeout.
    let patience = std::time::Duration::from_millis(600);
    manager
        .notes
        .set_read_timeout(Some(patience))
        .expect("a timeout");
    let mut note = [0; 64];
    let left = (0..100)
        .take_while(|_| manager.notes.recv(&mut note).is_ok())
        .count();
    assert!(left < 10, "{left} notes of a process that stands still");
    manager
        .notes
        .set_read_timeout(Some(crate::sockets::PATIENCE))
        .expect("a timeout");
    gateway.signal("CONT");
    assert_eq!(manager.told(), "WATCHDOG=1");
    gateway.end();
}

#[test]
fn a_socket_that_is_open_to_the_world_needs_what_an_address_would_need() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let inner = Gateway::command(&[]);
    let output = Command::new("sh")
        .args([
            "-c",
            "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\"",
        ])
        .arg(inner.get_program())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .output()
        .expect("the gateway");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("ALLOW_UNAUTHENTICATED is 1"), "{log}");
}

/// Starts a gateway with these sockets as descriptors 3 and 4; their names do not tell their
/// purpose.
fn with_sockets(sockets: [&TcpListener; 2], settings: &[(&str, &str)]) -> Command {
    let inner = Gateway::command(settings);
    let fd = |listener: &TcpListener| OwnedFd::from(listener.try_clone().expect("a copy"));
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0 4<&1 0</dev/null 1>&2; \
             LISTEN_FDS=2 LISTEN_FDNAMES=pulsegate.socket:pulsegate.socket LISTEN_PID=$$ \
             exec \"$0\"",
        ])
        .arg(inner.get_program())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::from(fd(sockets[0])))
        .stdout(Stdio::from(fd(sockets[1])));
    command
}

#[test]
fn an_admin_socket_in_the_wrong_place_does_not_open_the_api() {
    let [world, inner] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [listen, admin] = [&world, &inner].map(|l| l.local_addr().expect("an address"));
    let [listen_addr, admin_addr] = [listen, admin].map(|addr| addr.to_string());
    let settings = [
        ("DRAIN_MS", "0"),
        ("LISTEN_ADDR", &*listen_addr),
        ("ADMIN_ADDR", &*admin_addr),
    ];
    // In either order each socket gets the purpose of its address.
    for sockets in [[&world, &inner], [&inner, &world]] {
        let gateway = Gateway::start_unread(with_sockets(sockets, &settings)).read();
        assert_eq!((gateway.addr, gateway.admin), (listen, Some(admin)));
        gateway.end();
    }
    // If the purpose is not clear, it does not start.
    let command = with_sockets([&world, &inner], &[("ADMIN_ADDR", "127.0.0.1:0")]);
    let (code, log) = ended(command);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("its name must be listen or admin"), "{log}");
}

#[test]
fn an_admin_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let output = Gateway::command(&[("ADMIN_ADDR", &addr)])
        .output()
        .expect("the gateway");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("ADMIN_ADDR") && log.contains(&addr), "{log}");
}

// ---- proxies ----

fn v2_header(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x21, 0x11, 0, 12]);
    header.extend(source);
    header.extend([127, 0, 0, 1]);
    header.extend(port.to_be_bytes());
    header.extend(443u16.to_be_bytes());
    header
}

/// Asserts the client's address in the log, in a filter of the API, and in the record of the end.
fn found_at(gateway: &Gateway, client: Client, user: &str, block: &str, peer: &str) {
    let connection = gateway.connection(&format!("user={user}&address={block}"));
    assert_eq!(connection["peer"], peer, "{connection}");
    assert_eq!(kernel(gateway, &connection), "proxy");
    let line = gateway.line(&["open ", &format!("user={user} ")]);
    assert_eq!(field(&line, "peer"), Some(peer), "{line}");
    drop(client);
    let line = gateway.line(&["close ", &format!("user={user} ")]);
    assert_eq!(field(&line, "peer"), Some(peer), "{line}");
    let closed = gateway.api(&format!("/api/v1/closed?user={user}&address={block}"));
    assert_eq!(closed["closed"][0]["peer"], peer, "{closed}");
}

/// Returns whose acknowledgements the kernel sees, as `explain` says.
fn kernel(gateway: &Gateway, connection: &serde_json::Value) -> String {
    let id = connection["id"].as_str().expect("an id");
    let told = gateway.api(&format!("/api/v1/connections/{id}"));
    let kernel = told["explain"]["kernel"].as_str();
    kernel.expect("an explanation").to_owned()
}

#[test]
fn a_proxy_that_is_trusted_names_the_client() {
    for (version, header) in [
        (
            "v1",
            b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 443\r\n".to_vec(),
        ),
        ("v2", v2_header([192, 0, 2, 7], 56_324)),
    ] {
        let gateway = Gateway::start(&[
            ("DRAIN_MS", "0"),
            ("LOG_LEVEL", "debug"),
            ("PROXY_PROTOCOL", version),
            ("TRUSTED_PROXIES", "127.0.0.1"),
        ]);
        let mut client = Client::connect(gateway.addr);
        client.write(&[&header[..], upgrade("/glasses-ws?user=ada").as_bytes()].concat());
        client.switched();
        found_at(&gateway, client, "ada", "192.0.2.0/24", "192.0.2.7:56324");
        // In two pieces.
        let mut client = Client::connect(gateway.addr);
        client.write(&header[..9]);
        client.write(&[&header[9..], upgrade("/glasses-ws?user=bob").as_bytes()].concat());
        client.switched();
        found_at(&gateway, client, "bob", "192.0.2.7", "192.0.2.7:56324");
        // Without the header: refused.
        let mut bare = Client::connect(gateway.addr);
        bare.write(upgrade("/glasses-ws?user=eve").as_bytes());
        assert_eq!(bare.response().status, 400);
        gateway.line(&["close class=none", "cause=bad_request", "PROXY"]);
        gateway.end();
    }
}

#[test]
fn x_forwarded_for_is_believed_of_trusted_proxies_only() {
    let upgrade_with = |user: &str, field: &[u8]| {
        let plain = upgrade(&format!("/glasses-ws?user={user}"));
        [
            plain.trim_end_matches("\r\n").as_bytes(),
            b"\r\n",
            field,
            b"\r\n\r\n",
        ]
        .concat()
    };
    let trusting = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("LOG_LEVEL", "debug"),
        ("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"),
    ]);
    for (user, line, peer) in [
        ("one", &b"X-Forwarded-For: 192.0.2.7"[..], "192.0.2.7:0"),
        (
            "forged",
            b"X-Forwarded-For: 203.0.113.9, 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "chain",
            b"X-Forwarded-For: 203.0.113.9, 192.0.2.7, 10.1.1.1",
            "192.0.2.7:0",
        ),
        (
            "lines",
            b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.7:99",
            "192.0.2.7:99",
        ),
        (
            "not-ascii",
            b"X-Forwarded-For: caf\xe9, 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "line-not-ascii",
            b"X-Forwarded-For: \xff\r\nX-Forwarded-For: 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "behind-proxies",
            b"X-Forwarded-For: \xe9,203.0.113.9 , 192.0.2.7,\t10.1.1.1 ,",
            "192.0.2.7:0",
        ),
    ] {
        let mut client = Client::connect(trusting.addr);
        client.write(&upgrade_with(user, line));
        client.switched();
        found_at(&trusting, client, user, "192.0.2.7", peer);
    }
    trusting.end();
    let wary = Gateway::start(&[("DRAIN_MS", "0")]);
    let mut client = Client::connect(wary.addr);
    client.write(&upgrade_with("liar", b"X-Forwarded-For: 192.0.2.7"));
    client.switched();
    let connection = wary.connection("user=liar");
    assert_eq!(kernel(&wary, &connection), "peer");
    let peer = connection["peer"].clone();
    assert!(
        peer.as_str().is_some_and(|p| p.starts_with("127.0.0.1:")),
        "{peer}"
    );
    drop(client);
    wary.end();
}

#[test]
fn a_trust_in_every_address_is_warned_of_at_the_start_in_a_check_and_in_a_reload() {
    let folder = Folder::new("trust");
    let file = folder.file("settings.toml", "trusted_proxies = ['127.0.0.1']\n");
    let settings = [("DRAIN_MS", "0"), ("CONFIG_FILE", &*file)];
    let gateway = Gateway::start(&settings);
    folder.file("settings.toml", "trusted_proxies = ['0.0.0.0/0']\n");
    gateway.signal("HUP");
    gateway.line(&["[WARN] TRUSTED_PROXIES=\"0.0.0.0/0\""]);
    gateway.end();
    let gateway = Gateway::start(&settings);
    gateway.line(&["[WARN] TRUSTED_PROXIES=\"0.0.0.0/0\""]);
    gateway.end();
    let check = Gateway::command(&settings).arg("--check").output();
    let check = check.expect("the gateway");
    assert_eq!(check.status.code(), Some(0));
    let told = String::from_utf8_lossy(&check.stderr);
    assert!(
        told.contains("warning: TRUSTED_PROXIES=\"0.0.0.0/0\""),
        "{told}"
    );
}

/// On an open gateway, where users choose their own names.
#[test]
fn control_characters_in_a_name_are_refused() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    for query in ["user=a%0Ab", "user=%00", "user=a%7f", "user=a%c2%85"] {
        let response = Client::refused(gateway.addr, &format!("/glasses-ws?{query}"));
        assert_eq!(response.status, 400, "{query}: {response:?}");
        assert!(
            response.body.contains("no control characters"),
            "{response:?}"
        );
    }
    let response = Client::refused(gateway.addr, "/tpa-ws?user=ada&package=p%1b");
    assert_eq!(response.status, 400, "{response:?}");
    drop(Client::open(gateway.addr, "/glasses-ws?user=zo%c3%ab%20b"));
    gateway.end();
}

#[test]
fn others_do_not_notice_operators_at_work() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    gateway.metrics();
                    gateway.api("/api/v1/connections?sort=rtt&limit=1000");
                    gateway.api("/api/v1/overview");
                }
            });
        }
    });
    controls.finish();
    gateway.end();
}
