//! Starts: what the log says about them, and what stops one.

use crate::commands::{ended, gateway_with};
use crate::folder::Folder;
use crate::sockets::{Gateway, eventually};
use std::fs;
use std::net::TcpListener;
use std::process::Command;

#[test]
fn the_start_says_in_words_what_is_open_to_which_clients() {
    let gateway = gateway_with(&[]);
    let admin = gateway.admin.expect("an admin listener");
    let listening = gateway.line(&["[INFO] listening on ", "/glasses-ws", "/app-ws"]);
    assert!(
        listening.contains(&format!("ws://{}", gateway.addr)),
        "{listening}"
    );
    assert!(
        listening.ends_with("accepts any client, without a token or key, from this machine only")
    );
    let page = gateway.line(&["[INFO] the operator's page is at "]);
    assert!(page.contains(&format!("http://{admin}/")), "{page}");
    assert!(page.ends_with("accepts any request, without a token, from this machine only"));
    let start = gateway.line(&["[INFO] start "]);
    assert!(start.len() < 250, "{start}");
    assert_eq!(gateway.lines(&["settings "]), [""; 0]);
    gateway.end();
}

#[test]
fn the_start_says_that_a_token_is_needed_and_that_the_admin_listener_is_off() {
    let gateway = gateway_with(&[
        ("LISTEN_ADDR", "0.0.0.0:0"),
        ("AUTH_JWT_SECRET", "a-secret-of-at-least-32-characters"),
        ("ADMIN_ADDR", "off"),
        ("LOG_LEVEL", "debug"),
    ]);
    let listening = gateway.line(&["[INFO] listening on "]);
    let open = "accepts glasses with a token, and no apps, from all machines that can reach it";
    assert!(listening.ends_with(open), "{listening}");
    gateway.line(&["[INFO] the operator's page, the API and the metrics are off"]);
    // The long line, for debugging.
    gateway.line(&["[DEBUG] settings ", " glasses_heartbeat_interval_ms=1000 "]);
    gateway.end();
}

#[test]
fn a_timeout_that_one_lost_ping_reaches_is_warned_of_by_the_check_and_at_the_start() {
    let settings = [("CONNECTION_TIMEOUT_MS", "1999"), ("DRAIN_MS", "0")];
    let warning = "CONNECTION_TIMEOUT_MS, which is 1999 (env), is less than twice \
                   HEARTBEAT_INTERVAL_MS, which is 1000 (env): one lost ping would close a live \
                   peer; set it to at least 2000";
    let checked = Gateway::command(&settings).arg("--check").output();
    let checked = checked.expect("it runs");
    assert!(checked.status.success(), "it is allowed");
    let said = String::from_utf8(checked.stderr).expect("UTF-8");
    assert_eq!(said, format!("pulsegate: warning: {warning}\n"));
    let gateway = Gateway::start(&settings);
    gateway.line(&["[WARN] ", warning]);
    gateway.end();
    let gateway = gateway_with(&[("CONNECTION_TIMEOUT_MS", "2000")]);
    assert_eq!(gateway.lines(&["one lost ping"]), [""; 0]);
    gateway.end();
}

#[test]
fn the_check_and_the_start_say_which_requests_go_where() {
    let folder = Folder::new();
    let route = |name: &str, rest: &str| format!("[[route]]\nname = '{name}'\n{rest}\n");
    let some = [
        route("chat", "path = '/chat'\nupstream = 'http://127.0.0.1:1'"),
        route(
            "h",
            "host = 'h.example'\nupstream = ['http://127.0.0.1:2', 'unix:/s weight=2']",
        ),
    ];
    let checked = |settings: &[(&str, &str)]| {
        let output = Gateway::command(settings).arg("--check").output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let valid = "pulsegate: the settings are valid\n";
    let relay = ": the relay serves /glasses-ws and /app-ws, ";
    let none = checked(&[]);
    let told = format!("{valid}neither UPSTREAM nor a [[route]] is set, so there is no service");
    assert!(none.starts_with(&told) && none.contains(relay), "{none}");
    let file = folder.file("some.toml", some.concat());
    let table = checked(&[("CONFIG_FILE", &file)]);
    let told = format!(
        "{valid}route  host       path   upstream\n\
         h      h.example  /      http://127.0.0.1:2, unix:/s weight=2\n\
         chat   *          /chat  http://127.0.0.1:1\n\
         no route serves all paths of all hosts{relay}/healthz is the health check, and every \
         other request is answered 404\n"
    );
    assert_eq!(table, told);
    let all = checked(&[("CONFIG_FILE", &file), ("UPSTREAM", "http://127.0.0.1:3")]);
    assert!(
        all.contains("\ndefault  *          /      http://127.0.0.1:3\n"),
        "{all}"
    );
    assert!(
        all.contains("\nroutes serve all paths of all hosts; "),
        "{all}"
    );
    let gateway = gateway_with(&[("CONFIG_FILE", &file)]);
    gateway.line(&["[WARN] no route serves all paths of all hosts", relay]);
    gateway.line(&["[INFO] route name=chat host=* path=/chat upstream="]);
    gateway.line(&["[INFO] route name=h host=h.example path=/ upstream="]);
    gateway.end();
    let gateway = gateway_with(&[]);
    gateway.line(&["[INFO] neither UPSTREAM nor a [[route]] is set", relay]);
    gateway.end();
}

#[test]
fn a_variable_that_is_almost_a_setting_is_warned_of() {
    let settings = [
        ("UPSTEAM", "http://127.0.0.1:3000"),
        ("DRAIN_MS", "0"),
        ("APP_KEY", "k"),
    ];
    let warning = "UPSTEAM (env): is no setting, and has no effect; did you mean UPSTREAM?";
    let checked = Gateway::command(&settings).arg("--check").output();
    let checked = checked.expect("it runs");
    assert!(checked.status.success(), "it is allowed");
    let said = String::from_utf8(checked.stderr).expect("UTF-8");
    assert_eq!(said, format!("pulsegate: warning: {warning}\n"));
    let gateway = Gateway::start(&settings);
    gateway.line(&["[WARN] ", warning]);
    gateway.end();
}

/// Only the port for peers may be shared, so only its message suggests it.
#[test]
fn a_port_that_is_taken_says_what_helps() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    let told = |listen: &str, admin: &str| {
        let args = ["--listen-addr", listen, "--admin-addr", admin];
        let output = Command::new(env!("CARGO_BIN_EXE_pulsegate"))
            .args(args)
            .output()
            .expect("it starts");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let shared = "end that process, or use another port, or set REUSE_PORT=1 in both processes";
    let peers = told(&taken, "off");
    assert!(peers.contains(shared), "{peers}");
    let admin = told("127.0.0.1:0", &taken);
    assert!(admin.contains("ADMIN_ADDR: cannot listen"), "{admin}");
    assert!(
        admin.contains("end that process, or use another port"),
        "{admin}"
    );
    assert!(!admin.contains("REUSE_PORT"), "{admin}");
}

/// Returns the counter `rchar` of the process: bytes that it has read so far.
fn bytes_read(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "))?;
    line.parse().ok()
}

/// A list of apps that takes a while to parse, and a signal during that time.
#[test]
fn signals_during_the_start_wait_until_the_gateway_runs() {
    let folder = Folder::new();
    let app = |n| format!(r#"{{"package":"p.{n:0200}","api_key":"{n:0500}"}}"#);
    let apps: Vec<String> = (0..10_000).map(app).collect();
    let apps = folder.file("apps.json", format!("[{}]", apps.join(",")));
    for (signal, seen) in [("HUP", "reload changed=none"), ("USR1", "stats ")] {
        let mut command = Gateway::command(&[
            ("DRAIN_MS", "0"),
            ("STATS_INTERVAL_MS", "86400000"),
            ("APPS_FILE", &apps),
        ]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut process = command.stderr(writer).spawn().expect("the gateway");
        drop(command);
        eventually("it reads its list of apps", || {
            bytes_read(process.id()).filter(|n| *n > 1_000_000)
        });
        let pid = process.id().to_string();
        let done = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(done.expect("kill").success());
        let lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
        let is_seen = lines.map_while(Result::ok).any(|line| line.contains(seen));
        let ended = process.try_wait().expect("it is ours");
        let _ = process.kill();
        let _ = process.wait();
        assert!(is_seen, "SIG{signal}: it ended with {ended:?}");
    }
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
    let folder = Folder::new();
    let file = folder.file("token", "a-token-from-a-file-0123\n");
    let gateway = gateway_with(&[("ADMIN_TOKEN_FILE", &file)]);
    let ask = |headers: &str| gateway.admin_request("GET", "/metrics", headers, "").status;
    assert_eq!(ask(""), 401);
    assert_eq!(
        ask("Authorization: bearer a-token-from-a-file-0123\r\n"),
        200
    );
    gateway.end();
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
