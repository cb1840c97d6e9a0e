//! The gateway beside a service manager and behind a proxy: sockets that are handed over, what is told and when, settings that
//! are read again, and where a client really is.

mod sockets;

use sockets::{Client, Controls, Event, Gateway, eventually, field, upgrade};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder of the test's own, gone when it is dropped.
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

fn glasses(addr: SocketAddr, user: &str) -> Client {
    Client::open(addr, &format!("/glasses-ws?user={user}"))
}

// ---- reload ----

#[test]
fn a_reload_applies_what_can_be_applied_and_touches_nobody() {
    let folder = Folder::new("reload");
    let file = folder.file(
        "settings.toml",
        "connection_timeout_ms = 60000\nheartbeat_interval_ms = 20000\nmax_message_bytes = 100000\nlog_level = \"info\"\n",
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

    // Wrong in two ways: both are told, and nothing changes.
    folder.file(
        "settings.toml",
        "connection_timeout_ms = 5\nlisten = 1\nmax_message_bytes = 200\n",
    );
    gateway.signal("HUP");
    gateway.line(&["[ERROR] reload refused", "CONNECTION_TIMEOUT_MS"]);
    gateway.line(&["[ERROR] reload refused", "listen"]);
    gateway.line(&["[ERROR] reload refused", "the settings before hold"]);
    assert_eq!(policy(), 60_000);

    // Gone: the same.
    fs::remove_file(&file).expect("it is there");
    gateway.signal("HUP");
    eventually("it is refused again", || {
        (gateway.lines(&["the settings before hold"]).len() == 2).then_some(())
    });

    // Right, with one that waits for a restart.
    folder.file(
        "settings.toml",
        "connection_timeout_ms = 90000\nheartbeat_interval_ms = 20000\nmax_message_bytes = 200\nlog_level = \"debug\"\n\
         max_connections = 3\nlisten_addr = \"127.0.0.1:1\"\nreuse_port = true\n",
    );
    gateway.signal("HUP");
    let line = gateway.line(&["[INFO] reload ", "connection_timeout_ms="]);
    assert!(
        line.contains("glasses_connection_timeout_ms=\"60000\"->\"90000\""),
        "{line}"
    );
    let restart = gateway.line(&["[WARN] reload settings=", "none before a restart"]);
    assert_eq!(
        field(&restart, "settings"),
        Some("REUSE_PORT"),
        "LISTEN_ADDR comes from the environment"
    );
    assert_eq!(policy(), 90_000);
    assert_eq!(gateway.api("/api/v1/overview")["connections_max"], 3);
    // The loop logs its part; the level is set by the thread of the signals.
    eventually("the level is the newer one", || {
        (gateway.api("/api/v1/log-level")["level"] == "debug").then_some(())
    });
    // Those who were here are here, and what is new holds for them, too.
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

/// Whether anybody may come in is decided at a start, which looks at the address, too.
#[test]
fn a_reload_does_not_open_the_gateway() {
    let folder = Folder::new("opened");
    let apps = folder.file("apps.json", r#"[{"package":"p.x","api_key":"k"}]"#);
    let closed = format!("apps_file = {apps:?}\n");
    let file = folder.file("settings.toml", &closed);
    let command = Gateway::command(&[("CONFIG_FILE", &file), ("DRAIN_MS", "0")]);
    let gateway = Gateway::start_unread(command).read();
    let refused = || Client::refused(gateway.addr, "/glasses-ws?user=ada").status;
    assert_eq!(refused(), 401);
    folder.file("settings.toml", "max_message_bytes = 2000\n");
    gateway.signal("HUP");
    gateway.line(&["[ERROR] reload refused", "AUTH_JWT_SECRET and APPS_FILE"]);
    gateway.line(&["[ERROR] reload refused", "the settings before hold"]);
    assert_eq!(refused(), 401);
    // With other settings it goes on.
    folder.file(
        "settings.toml",
        &format!("{closed}max_message_bytes = 2000\n"),
    );
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload ", "max_message_bytes="]);
    gateway.end();
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
    assert_eq!(gateway.act("PATCH", "/api/v1/policies/tpa", body).0, 200);
    let level = r#"{"level":"debug"}"#;
    assert_eq!(gateway.act("PUT", "/api/v1/log-level", level).0, 200);
    // Nothing has changed: nothing is taken back.
    gateway.signal("HUP");
    gateway.line(&["reload changed=none"]);
    assert_eq!(gateway.lines(&["reverts="]), [""; 0]);
    // Something else has; and one of the live words is said by the file now, too.
    let newer = "tpa_heartbeat_interval_ms = 10000\nmax_message_bytes = 2000\n";
    folder.file("settings.toml", &format!("{settings}{newer}"));
    gateway.signal("HUP");
    let line = gateway.line(&["[WARN] reload reverts=policy"]);
    assert!(
        line.ends_with("class=tpa connection_timeout_ms=\"30000\"->\"60000\""),
        "{line}"
    );
    gateway.line(&["[WARN] reload reverts=log_level from=debug to=info"]);
    assert_eq!(gateway.lines(&["reverts="]).len(), 2);
    let policies = gateway.api("/api/v1/policies");
    assert_eq!(policies["tpa"]["connection_timeout_ms"], 60_000);
    assert_eq!(policies["tpa"]["heartbeat_interval_ms"], 10_000);
    gateway.end();
}

#[test]
fn a_token_that_was_not_filled_in_is_warned_of() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", "")]);
    gateway.line(&["[WARN] ADMIN_TOKEN is empty"]);
    assert_eq!(gateway.lines(&["ADMIN_TOKEN_FILE"]), [""; 0]);
    gateway.end();
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

// ---- the service manager ----

/// Whoever starts the gateway as systemd does: it holds the sockets, and hears what is told.
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
            .set_read_timeout(Some(sockets::PATIENCE))
            .expect("a timeout");
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Manager {
            folder,
            notes,
            listener: bind(),
            admin: bind(),
        }
    }

    /// With the two sockets as descriptors 3 and 4.
    fn start(&self, settings: &[(&str, &str)]) -> Gateway {
        let inner = Gateway::command(settings);
        let fd = |listener: &TcpListener| OwnedFd::from(listener.try_clone().expect("a copy"));
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$0\"",
            ])
            .arg(inner.get_program())
            .env_clear()
            .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env("NOTIFY_SOCKET", self.folder.0.join("notify"))
            .stdin(Stdio::from(fd(&self.listener)))
            .stdout(Stdio::from(fd(&self.admin)));
        Gateway::start_unread(command).read()
    }

    /// The next thing that it is told.
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
    // It still runs, for `old` has not answered; nobody is accepted any more, and nobody is refused either.
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
    // The first bark and READY come in any order.
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
    // What was sent before it stood still is read; then nothing comes for longer than the watchdog waits.
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
        .set_read_timeout(Some(sockets::PATIENCE))
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
    assert!(log.contains("ALLOW_UNAUTHENTICATED must be 1"), "{log}");
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

/// Where the log, a filter of the API, and the record of the end say that a client is.
fn found_at(gateway: &Gateway, client: Client, user: &str, block: &str, peer: &str) {
    let connection = gateway.connection(&format!("user={user}&address={block}"));
    assert_eq!(connection["peer"], peer, "{connection}");
    let line = gateway.line(&["open ", &format!("user={user} ")]);
    assert_eq!(field(&line, "peer"), Some(peer), "{line}");
    drop(client);
    let line = gateway.line(&["close ", &format!("user={user} ")]);
    assert_eq!(field(&line, "peer"), Some(peer), "{line}");
    let closed = gateway.api(&format!("/api/v1/closed?user={user}&address={block}"));
    assert_eq!(closed["closed"][0]["peer"], peer, "{closed}");
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
        // Without it: refused.
        let mut bare = Client::connect(gateway.addr);
        bare.write(upgrade("/glasses-ws?user=eve").as_bytes());
        assert_eq!(bare.response().status, 400);
        gateway.line(&["close class=none", "cause=bad_request", "PROXY"]);
        gateway.end();
    }
}

#[test]
fn x_forwarded_for_is_believed_of_trusted_proxies_only() {
    let upgrade_with = |user: &str, field: &str| {
        let plain = upgrade(&format!("/glasses-ws?user={user}"));
        format!(
            "{}{field}\r\n\r\n",
            plain.trim_end_matches("\r\n").to_owned() + "\r\n"
        )
    };
    let trusting = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("LOG_LEVEL", "debug"),
        ("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"),
    ]);
    for (user, line, peer) in [
        ("one", "X-Forwarded-For: 192.0.2.7", "192.0.2.7:0"),
        (
            "forged",
            "X-Forwarded-For: 203.0.113.9, 192.0.2.7",
            "192.0.2.7:0",
        ),
        (
            "chain",
            "X-Forwarded-For: 203.0.113.9, 192.0.2.7, 10.1.1.1",
            "192.0.2.7:0",
        ),
        (
            "lines",
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.7:99",
            "192.0.2.7:99",
        ),
    ] {
        let mut client = Client::connect(trusting.addr);
        client.write(upgrade_with(user, line).as_bytes());
        client.switched();
        found_at(&trusting, client, user, "192.0.2.7", peer);
    }
    trusting.end();
    let wary = Gateway::start(&[("DRAIN_MS", "0")]);
    let mut client = Client::connect(wary.addr);
    client.write(upgrade_with("liar", "X-Forwarded-For: 192.0.2.7").as_bytes());
    client.switched();
    let peer = wary.connection("user=liar")["peer"].clone();
    assert!(
        peer.as_str().is_some_and(|p| p.starts_with("127.0.0.1:")),
        "{peer}"
    );
    drop(client);
    wary.end();
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
