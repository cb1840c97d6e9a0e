//! The gateway as a process, under signals and failures of the machine. Fifty control clients run
//! beside each test. None of them may be closed, unless the gateway shuts down, and each of their
//! pings is answered.

use crate::sockets::{Client, Controls, Event, Gateway, eventually, field, frame, upgrade};
use pulsegate::wire::frame::CLOSE;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn glasses(gateway: &Gateway, user: &str) -> Client {
    Client::open(gateway.addr, &format!("/glasses-ws?user={user}"))
}

// ---- peers ----

#[test]
fn a_frozen_client_is_closed_and_the_log_says_why() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let mut frozen = glasses(&gateway, "frozen");
    let (pings, event) = frozen.next_mute();
    let Event::Close(3008, reason) = event else {
        panic!("{event:?}");
    };
    assert!(pings >= 1);
    assert!(reason.starts_with("nothing heard for "), "{reason}");
    let line = gateway.line(&["[WARN] close ", "user=frozen"]);
    let wanted = [
        ("class", "glasses"),
        ("cause", "stale"),
        ("code", "3008"),
        ("by", "us"),
        ("clean", "false"),
        ("unanswered", &pings.to_string()),
    ];
    for (key, value) in wanted {
        assert_eq!(field(&line, key), Some(value), "{line}");
    }
    let silence = field(&line, "silence_ms").and_then(|ms| ms.parse().ok());
    assert!(silence.is_some_and(|ms: u64| ms >= 3_000), "{line}");
    controls.finish();
    gateway.end();
}

#[test]
fn eighteen_thousand_at_once_are_all_served_and_no_other_peer_notices() {
    let room = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of descriptors");
    assert!(
        room > 18_500,
        "18 500 descriptors are needed: ulimit -n says {room}"
    );
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let swarm = Command::new(env!("CARGO_BIN_EXE_pulsegate-swarm"))
        .args(["--target", &format!("ws://{}", gateway.addr)])
        .args(["--path", "/glasses-ws?user=newcomer-{n}", "--sources", "4"])
        .args(["--connections", "18000", "--in-flight", "18000"])
        .args(["--ramp", "100000", "--duration", "1"])
        .output()
        .expect("the swarm");
    let report = String::from_utf8(swarm.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&swarm.stderr);
    let report: serde_json::Value = serde_json::from_str(&report).expect(&errors);
    assert_eq!(report["connected"], 18_000, "{report}");
    assert_eq!(report["failed"], 0, "{report}");
    assert_eq!(report["open_at_end"], 18_000, "{report}");
    controls.finish();
    gateway.end();
}

#[test]
fn a_storm_of_comers_and_goers_is_served_and_summed_up() {
    const STORM: usize = 2_000;
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("STATS_INTERVAL_MS", "3600000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    std::thread::scope(|scope| {
        for t in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for i in 0..STORM / 8 {
                    let mut client = glasses(gateway, &format!("storm-{t}-{i}"));
                    client.write(&frame(CLOSE, &1000u16.to_be_bytes()));
                    loop {
                        match client.next() {
                            Event::Ping(_) => {}
                            Event::Close(code, _) => break assert_eq!(code, 1000),
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
    });
    controls.finish();
    let log = gateway.log.clone();
    gateway.end();
    let log = log.lock().expect("no panic");
    // Each end was logged or summed up.
    let told: u64 = log
        .iter()
        .filter(|l| l.contains(" close "))
        .map(|line| match field(line, "suppressed") {
            Some(n) => {
                let n = field(line, "peer_closed").unwrap_or(n);
                n.parse().expect("a number")
            }
            None => u64::from(field(line, "cause") == Some("peer_closed")),
        })
        .sum();
    println!("{} lines for {told} ends", log.len());
    assert_eq!(told, STORM as u64);
}

#[test]
fn a_newer_connection_of_the_same_peer_replaces_the_older() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("CLOSE_TIMEOUT_MS", "20000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let reason = "replaced by a newer connection";
    let superseded = "replaced by a newer connection (superseded by newer session)";
    for (path, class, code, reason) in [
        ("/glasses-ws?user=alice", "glasses", 4003, superseded),
        (
            "/tpa-ws?user=alice&package=com.example.app",
            "app",
            1000,
            reason,
        ),
    ] {
        let line = |n: usize| {
            let parts = ["cause=replaced", "user=alice", &format!("class={class} ")];
            let lines = eventually("the log of a replaced one", || {
                let lines = gateway.lines(&parts);
                (lines.len() >= n).then_some(lines)
            });
            assert_eq!(lines.len(), n);
            lines[n - 1].clone()
        };
        let mut first = Client::open(gateway.addr, path);
        let mut second = Client::open(gateway.addr, path);
        assert_eq!(
            first.next_answering(),
            Event::Close(code, reason.to_owned())
        );
        // The replaced connection ends late, while the newer one is active.
        second.send_text("{\"type\":\"ping\"}");
        let pong = second.next_answering();
        assert!(
            matches!(&pong, Event::Text(t) if t.contains("pong")),
            "{pong:?}"
        );
        first.try_write(&frame(CLOSE, &code.to_be_bytes()));
        assert_eq!(first.next(), Event::Eof);
        let line1 = line(1);
        assert_eq!(field(&line1, "code"), Some(&*code.to_string()), "{line1}");
        assert_eq!(field(&line1, "by"), Some("us"), "{line1}");
        // This has not taken the place from the second connection: a third finds it there.
        let mut third = Client::open(gateway.addr, path);
        assert_eq!(second.expect_close(), (code, reason.to_owned()));
        line(2);
        // And the same when the replaced connection ends without an answer.
        let mut fourth = Client::open(gateway.addr, path);
        let told = third.next_answering();
        assert_eq!(told, Event::Close(code, reason.to_owned()));
        drop(third);
        line(3);
        let mut fifth = Client::open(gateway.addr, path);
        assert_eq!(fourth.expect_close(), (code, reason.to_owned()));
        fifth.send_text("{\"type\":\"ping\"}");
        assert!(matches!(fifth.next_answering(), Event::Text(_)));
    }
    // Another package, or another user, is another identity.
    let paths = [
        "/tpa-ws?user=bob&package=a",
        "/app-ws?user=bob&package=b",
        "/glasses-ws?user=bob",
        "/glasses-ws?user=carol",
    ];
    let mut others = paths.map(|p| Client::open(gateway.addr, p));
    for client in &mut others {
        client.send_text("{\"type\":\"ping\"}");
        assert!(matches!(client.next_answering(), Event::Text(_)));
    }
    controls.finish();
    gateway.end();
}

#[test]
fn above_max_connections_503_and_then_service_again() {
    // A fiftieth of 60 is one.
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("MAX_CONNECTIONS", "60")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let mut guests: Vec<_> = (0..10)
        .map(|i| glasses(&gateway, &format!("guest-{i}")))
        .collect();
    for _ in 0..20 {
        let response = Client::refused(gateway.addr, "/glasses-ws?user=over");
        assert_eq!(response.status, 503, "{response:?}");
        let after = response.header("retry-after").expect("Retry-After");
        assert!(after.parse::<u32>().is_ok_and(|s| s > 0), "{after}");
    }
    gateway.line(&["accept restricted", "max_connections"]);
    guests.pop().expect("a guest").reset();
    gateway.line(&["close ", "user=guest-9"]);
    gateway.line(&["[INFO] accept resumed after=restricted live="]);
    let often = |line: &str| gateway.lines(&[line]).len();
    assert!(often("accept resumed") <= often("accept restricted"));
    let mut served = glasses(&gateway, "served");
    served.send_text("{\"type\":\"ping\"}");
    assert!(matches!(served.next_answering(), Event::Text(_)));
    controls.finish();
    gateway.end();
}

/// Only the port for peers may be shared, so only its message suggests it.
#[test]
fn a_port_that_is_taken_says_what_helps() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    let told = |listen: &str, admin: &str| {
        let args = ["--listen-addr", listen, "--admin-addr", admin];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pulsegate"))
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

// ---- existing clients ----

/// Returns the response to an upgrade request for `path` with these extra lines.
fn asked(gateway: &Gateway, path: &str, lines: &str) -> Client {
    let mut client = Client::connect(gateway.addr);
    let host = format!("Host: {}\r\n", gateway.addr);
    let request = upgrade(path).replace("Host: test\r\n", &format!("{host}{lines}"));
    client.write(request.as_bytes());
    client
}

#[test]
fn a_refused_origin_stands_in_the_log_and_in_the_reply() {
    let settings = [("DRAIN_MS", "0"), ("ALLOWED_ORIGINS", "file://,null")];
    let gateway = Gateway::start(&settings);
    let with = |origin: &str| asked(&gateway, "/glasses-ws?user=ada", origin);
    let mut refused = with("Origin: https://evil.example:1/a?b\r\n");
    let response = refused.response();
    assert_eq!(response.status, 403, "{response:?}");
    let why = r#"origin \"https://evil.example:1/a?b\" is not in ALLOWED_ORIGINS"#;
    assert!(response.body.contains(why), "{response:?}");
    drop(refused);
    gateway.line(&[
        "cause=blocked",
        "https://evil.example:1/a?b",
        "ALLOWED_ORIGINS",
    ]);
    // Escaped and cut, so that neither line becomes too long.
    let mut long = with(&format!(
        "Origin: https://\u{e9}\t\"{}\r\n",
        "x".repeat(4_000)
    ));
    let response = long.response();
    assert_eq!(response.status, 403, "{response:?}");
    assert!(
        response.body.len() < 200 && response.body.contains("xx…"),
        "{response:?}"
    );
    drop(long);
    let line = gateway.line(&["cause=blocked", "xxxx"]);
    assert!(line.len() < 600 && !line.contains('\t'), "{line}");
    // The name in the request, and the requested address, as Python's websocket-client sends it.
    let own = format!("http://{}", gateway.addr);
    for origin in ["file://", "null", &own] {
        with(&format!("Origin: {origin}\r\n")).switched();
    }
    gateway.end();
}

#[test]
fn a_client_that_offers_subprotocols_gets_one_and_where_one_is_required_is_told_so() {
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("APP_SUBPROTOCOLS", "v2.apps, v1.apps"),
        ("APP_SUBPROTOCOL_REQUIRED", "1"),
    ]);
    let offering = |path: &str, offer: &str| {
        let line = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        asked(&gateway, path, &line)
    };
    let chosen = |path: &str, offer: &str| {
        let head = offering(path, offer).refusal();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let chosen = head
            .lines()
            .find_map(|l| l.strip_prefix("Sec-WebSocket-Protocol: "));
        chosen.map(str::to_owned)
    };
    let (glasses, app) = ("/glasses-ws?user=ada", "/app-ws?user=ada&package=p.x");
    assert_eq!(chosen(glasses, "a, b").as_deref(), Some("a"));
    assert_eq!(chosen(app, "v1.apps,\tv2.apps").as_deref(), Some("v2.apps"));
    assert_eq!(chosen(app, "v1.apps").as_deref(), Some("v1.apps"));
    let head = asked(&gateway, glasses, "").refusal();
    assert!(
        head.starts_with("HTTP/1.1 101 ") && !head.contains("-Protocol"),
        "{head}"
    );
    let refused = offering(app, "v3.apps").response();
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.body.contains("accepted: v2.apps, v1.apps"),
        "{refused:?}"
    );
    gateway.line(&[
        "cause=bad_request",
        "none of the offered subprotocols is accepted",
    ]);
    let refused = asked(&gateway, app, "").response();
    assert!(
        refused.body.contains("a subprotocol is required"),
        "{refused:?}"
    );
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
    let gateway = Gateway::start(&[("CONNECTION_TIMEOUT_MS", "2000"), ("DRAIN_MS", "0")]);
    assert_eq!(gateway.lines(&["one lost ping"]), [""; 0]);
    gateway.end();
}

#[test]
fn a_flood_is_slowed_and_its_peers_are_told_so() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let mut flood = glasses(&gateway, "flood");
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let over = Arc::clone(&over);
        let frames = frame(1, br#"{"type":"a"}"#).repeat(10_000);
        move || while !over.load(Relaxed) && flood.try_write(&frames) {}
    });
    // It is logged after a second of throttling, and the API shows it meanwhile.
    let line = gateway.line(&["[WARN] throttled ", "user=flood"]);
    assert_eq!(field(&line, "class"), Some("glasses"), "{line}");
    let waited = field(&line, "waited_ms").and_then(|ms| ms.parse().ok());
    assert!(waited.is_some_and(|ms: u64| ms >= 1_000), "{line}");
    let series = |name: &str| {
        gateway
            .metrics()
            .get(&format!("{name}{{class=\"glasses\"}}"))
    };
    eventually("the gauge shows it", || {
        (series("pulsegate_connections_throttled") == 1.0).then_some(())
    });
    eventually("it is explained", || {
        let id = gateway.connection("user=flood")["id"].clone();
        let path = format!("/api/v1/connections/{}", id.as_str().expect("an id"));
        let told = gateway.api(&path).to_string();
        told.contains("it is throttled").then_some(())
    });
    over.store(true, Relaxed);
    writer.join().expect("no panic");
    eventually("the time is counted", || {
        (series("pulsegate_throttled_seconds_total") >= 1.0).then_some(())
    });
    eventually("what is left is worked off", || {
        (series("pulsegate_connections_throttled") == 0.0).then_some(())
    });
    assert_eq!(gateway.lines(&["[WARN] throttled "]).len(), 1);
    assert_eq!(gateway.lines(&["[WARN] stall"]), [""; 0]);
    controls.finish();
    gateway.end();
}

// ---- the machine ----

#[test]
fn max_connections_above_the_descriptors_is_clamped_and_operators_are_still_served() {
    /// Of 200 descriptors, 83 are for the loop itself, and a quarter is reserved.
    const ROOM: usize = 200 - 83 - 50;
    let gateway = {
        let inner = Gateway::command(&[("MAX_CONNECTIONS", "1000"), ("DRAIN_MS", "0")]);
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n 200 && exec \"$0\""])
            .arg(inner.get_program())
            .env_clear()
            .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))));
        Gateway::start_unread(command).read()
    };
    gateway.line(&[
        "[WARN] MAX_CONNECTIONS=\"1000\": is lowered to 67:",
        " 200,",
    ]);
    gateway.line(&["[INFO] start ", " max_connections=67 "]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let guests: Vec<_> = (Controls::MANY..ROOM)
        .map(|i| glasses(&gateway, &format!("guest-{i}")))
        .collect();
    let here: Vec<_> = (0..100).map(|_| Client::connect(gateway.addr)).collect();
    for _ in 0..3 {
        assert_eq!(gateway.health(), 200);
        assert_eq!(
            Client::refused(gateway.addr, "/glasses-ws?user=over").status,
            503
        );
        let ready = gateway.admin_request("GET", "/api/v1/overview", "", "");
        assert!(ready.body.contains("\"connections_max\":67"), "{ready:?}");
    }
    gateway.signal("HUP");
    gateway.line(&["reload changed=none"]);
    assert_eq!(gateway.lines(&["accept paused"]), [""; 0]);
    drop((here, guests));
    controls.finish();
    gateway.end();
}

/// The loop's thread has priority when there are not enough CPUs.
#[test]
fn threads_beside_the_loop_stand_back() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    assert_eq!(gateway.health(), 200);
    let nice = |name: &str| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).expect("threads");
        let named = tasks.flatten().find_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            // proc_pid_stat(5): the name is in parentheses, and nice is the seventeenth field after
            // it.
            let (head, fields) = stat.rsplit_once(") ")?;
            let nice = fields.split(' ').nth(16)?.parse::<i32>().ok()?;
            head.ends_with(&format!("({name}")).then_some(nice)
        });
        named.unwrap_or_else(|| panic!("no thread {name}"))
    };
    let main = nice("pulsegate");
    let wanted = (main + 10).min(19);
    eventually("they have begun", || {
        (nice("control") == wanted && nice("jobs") == wanted).then_some(())
    });
    gateway.end();
}

#[test]
fn buffers_are_bounded_by_memory_and_the_log_says_where_that_comes_from() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("MAX_CONNECTIONS", "100")]);
    let line = gateway.line(&[
        "[INFO] memory ",
        "origin=default",
        "limit_bytes=",
        "limit_of=",
    ]);
    let number = |key: &str| field(&line, key).and_then(|n| n.parse::<u64>().ok());
    let (buffered, limit) = (number("max_buffered_bytes"), number("limit_bytes"));
    let limit = limit.expect("a limit");
    let wanted = limit.saturating_sub((64 << 20) + 100 * (9 << 10)) / 2;
    assert_eq!(buffered, Some(wanted.max(64 << 20)), "{line}");
    gateway.line(&[
        "[INFO] start ",
        &format!(" max_buffered_bytes={} ", buffered.expect("a number")),
    ]);
    gateway.end();

    let most = 1u64 << 40;
    let given = [("MAX_BUFFERED_BYTES", "1099511627776"), ("DRAIN_MS", "0")];
    let gateway = Gateway::start(&given);
    gateway.line(&[
        "[INFO] memory ",
        "max_buffered_bytes=1099511627776",
        "origin=given",
    ]);
    if limit < most {
        gateway
            .line(&["[WARN] MAX_BUFFERED_BYTES=\"1099511627776\" (as given): should be at most "]);
    }
    gateway.end();
}

#[test]
fn without_descriptors_the_gateway_pauses_says_so_and_recovers() {
    let gateway = Gateway::start(&[("ALERT_INTERVAL_MS", "100"), ("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    // No setting leads to this state; the test lowers the limit from outside.
    let limit = |soft: u64| {
        let (mut old, mut hard) = (0, 0);
        let pid = gateway.pid() as i32;
        rlimit::prlimit(
            pid,
            rlimit::Resource::NOFILE,
            None,
            Some((&mut old, &mut hard)),
        )
        .expect("its limit");
        rlimit::prlimit(pid, rlimit::Resource::NOFILE, Some((soft, hard)), None)
            .expect("another limit");
        old
    };
    let before = limit(40);
    let mut clients: Vec<_> = (0..30)
        .map(|i| {
            let mut client = Client::connect(gateway.addr);
            let path = format!("/glasses-ws?user=more-{i}");
            client.write(crate::sockets::upgrade(&path).as_bytes());
            client
        })
        .collect();
    gateway.line(&["[WARN]", "accept paused"]);
    // The alert does not wait for ALERT_LIMITS_FOR_MS, a minute.
    gateway.line(&[
        "alert state=firing name=fds_near_limit",
        "no file descriptor was free",
    ]);
    controls.await_pings(2);
    limit(before);
    for mut client in clients.drain(..) {
        client.switched();
    }
    gateway.line(&["[INFO] accept resumed after=paused live="]);
    let mut last = glasses(&gateway, "last");
    last.send_text("{\"type\":\"ping\"}");
    assert!(matches!(last.next_answering(), Event::Text(_)));
    controls.finish();
    gateway.end();
}

#[test]
fn stopped_for_longer_than_the_timeout_it_closes_no_connection() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    gateway.signal("STOP");
    std::thread::sleep(Duration::from_millis(4_500)); // the timeout is 3 s
    gateway.signal("CONT");
    let line = gateway.line(&["[WARN]", "loop stalled"]);
    let stall = field(&line, "for_ms").and_then(|ms| ms.parse().ok());
    assert!(stall.is_some_and(|ms: u64| ms >= 3_000), "{line}");
    controls.await_pings(2);
    controls.finish();
    assert_eq!(gateway.lines(&["cause=stale"]), [""; 0]);
    gateway.end();
}

#[test]
fn a_log_without_a_reader_holds_nothing_up() {
    let command = Gateway::command(&[("LOG_LEVEL", "debug"), ("DRAIN_MS", "0")]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("another writing end");
    let mut gateway = Gateway::start_on(command, reader, writer);
    // We fill the pipe ourselves. This thread blocks in it from then on, and so does any other
    // writer.
    let (full, filled) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while filler.write_all(&[b'\n'; 4_096]).is_ok() {
            let _ = full.send(());
        }
    });
    let mut pages = 0;
    while filled.recv_timeout(Duration::from_secs(1)).is_ok() {
        pages += 1;
        assert!(pages < 1_000, "somebody reads the pipe");
    }
    let controls = Controls::start_at_gateway(gateway.addr);
    // Some lines for each: more than an empty pipe could hold.
    for i in 0..1_000 {
        let mut client = glasses(&gateway, &format!("talkative-{i}"));
        client.write(&frame(CLOSE, b""));
        assert!(matches!(client.next_answering(), Event::Close(1005, _)));
    }
    controls.await_pings(3);
    assert_eq!(gateway.health(), 200);
    controls.finish();
    // It waits some time until the last lines are read, but not without end.
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

// ---- signals ----

#[test]
fn sigterm_drains() {
    let mut gateway = Gateway::start(&[
        ("DRAIN_MS", "3000"),
        ("DRAIN_DELAY_MS", "1000"),
        ("CLOSE_TIMEOUT_MS", "20000"),
    ]);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    assert_eq!(gateway.health(), 200);
    gateway.signal("TERM");
    gateway.line(&["signal", "effect=drain"]);
    assert_eq!(gateway.health(), 503);
    // Load balancers have not noticed yet: new connections are served.
    let mut late = glasses(&gateway, "late");
    let late = std::thread::spawn(move || late.expect_close());
    let ends = controls.wait_for_end();
    let end = late.join().expect("it was closed");
    assert_eq!(
        end,
        (1012, "service restart".to_owned()),
        "the late one, too"
    );
    let mut at: Vec<Instant> = Vec::new();
    for control in ends {
        let (code, reason, when) = control.close.expect("a close frame");
        assert_eq!((code, &*reason), (1012, "service restart"));
        assert_eq!(control.end, Some(Event::Eof));
        at.push(when);
    }
    at.sort();
    let spread = at[at.len() - 1] - at[0];
    assert!(
        spread >= Duration::from_millis(300),
        "closed within {spread:?}, though over 3 s was asked for"
    );
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let parts = ["close ", "cause=draining", "code=1012", "clean=true"];
    eventually("the lines of all", || {
        (gateway.lines(&parts).len() == Controls::MANY + 1).then_some(())
    });
}

#[test]
fn health_checks_are_answered_503_until_the_drain_ends() {
    let settings = [("DRAIN_MS", "3000"), ("CLOSE_TIMEOUT_MS", "20000")];
    let mut gateway = Gateway::start(&settings);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    gateway.signal("INT");
    gateway.line(&["close ", "cause=draining"]);
    // The first connections are closed already, and the last ones stay open for long.
    for _ in 0..20 {
        let response = Client::get(gateway.addr, "/healthz");
        let draining = "{\"status\":\"draining\"}";
        assert_eq!((response.status, &*response.body), (503, draining));
        let refused = Client::refused(gateway.addr, "/glasses-ws?user=late");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.body.contains("service restart"), "{refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    assert!(controls.over() < Controls::MANY as u64, "the drain goes on");
    for control in controls.wait_for_end() {
        let (code, _, _) = control.close.expect("a close frame");
        assert_eq!(code, 1012);
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn health_checks_do_not_keep_a_drained_gateway_alive() {
    let mut gateway = Gateway::start(&[("DRAIN_MS", "500")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    let over = Arc::new(AtomicBool::new(false));
    let checks = std::thread::spawn({
        let (over, addr) = (Arc::clone(&over), gateway.addr);
        move || {
            // Some send a request, and some only connect and send nothing, until the end and
            // beyond.
            let mut silent = std::collections::VecDeque::new();
            while !over.load(Relaxed) {
                if let Ok(stream) = std::net::TcpStream::connect(addr) {
                    silent.push_back(stream);
                }
                if silent.len() > 64 {
                    silent.pop_front();
                }
                std::thread::yield_now();
            }
        }
    });
    gateway.signal("TERM");
    controls.wait_for_end();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    over.store(true, Relaxed);
    checks.join().expect("no panic");
}

#[test]
fn with_reuse_port_the_listener_is_closed_before_the_first_connection() {
    let settings = [("DRAIN_MS", "3000"), ("REUSE_PORT", "1")];
    let mut gateway = Gateway::start(&settings);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    gateway.signal("TERM");
    gateway.line(&["close ", "cause=draining"]);
    let refused = std::net::TcpStream::connect(gateway.addr);
    assert!(refused.is_err(), "the port is the successor's");
    assert!(controls.over() < Controls::MANY as u64, "the drain goes on");
    controls.wait_for_end();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut gateway = Gateway::start(&[("DRAIN_MS", "86400000"), ("DRAIN_DELAY_MS", "86400000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    gateway.signal("TERM");
    gateway.line(&["signal", "effect=drain"]);
    assert_eq!(gateway.health(), 503);
    controls.await_pings(2);
    assert_eq!(controls.over(), 0, "the drain has hardly begun");
    gateway.signal("INT");
    for control in controls.wait_for_end() {
        assert_eq!(control.close, None, "no close frame");
        assert!(control.end.is_some());
    }
    let status = gateway.wait_for_exit();
    assert!(status.code().is_some(), "it was not killed: {status}");
}

#[test]
fn the_start_says_in_words_what_is_open_to_which_clients() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
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
    let settings = [
        ("DRAIN_MS", "0"),
        ("LISTEN_ADDR", "0.0.0.0:0"),
        ("AUTH_JWT_SECRET", "a-secret-of-at-least-32-characters"),
        ("ADMIN_ADDR", "off"),
        ("LOG_LEVEL", "debug"),
    ];
    let gateway = Gateway::start(&settings);
    let listening = gateway.line(&["[INFO] listening on "]);
    let open = "accepts glasses with a token, and no apps, from all machines that can reach it";
    assert!(listening.ends_with(open), "{listening}");
    gateway.line(&["[INFO] the operator's page, the API and the metrics are off"]);
    // The long line, for debugging.
    gateway.line(&["[DEBUG] settings ", " glasses_heartbeat_interval_ms=1000 "]);
    gateway.end();
}

#[test]
fn the_log_is_json_if_asked_for_and_has_priorities_under_the_journal() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    let start = |format: &str, is_journal: bool| {
        let mut command = Gateway::command(&[("DRAIN_MS", "0"), ("LOG_FORMAT", format)]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let stderr = std::fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        let stderr = stderr.expect("it is open");
        let inode = stderr.ino() + u64::from(!is_journal);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", stderr.dev()));
        let gateway = Gateway::start_on(command, reader, writer).read();
        gateway.line(&["every client may connect, "]);
        let log = gateway.log.clone();
        gateway.end();
        let log = log.lock().expect("no panic");
        log.clone()
    };
    for line in start("json", false) {
        let told: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let level = told["level"].as_str().expect("a level");
        assert!(["info", "warn"].contains(&level), "{line}");
        assert_eq!(told["time"].as_str().map(str::len), Some(24), "{line}");
        assert!(!told["message"].as_str().expect("a text").is_empty());
    }
    for format in ["text", "json"] {
        for line in start(format, true) {
            let (priority, rest) = line.split_at(3);
            let is_warning = rest.contains("[WARN]") || rest.contains("\"warn\"");
            assert_eq!(priority, if is_warning { "<4>" } else { "<6>" }, "{line}");
        }
    }
    // Another stream of the journal than ours, perhaps an editor's terminal.
    assert!(start("text", false)[0].starts_with("20"));
}

#[test]
fn tls_on_the_plain_port_is_named() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let mut client = Client::connect(gateway.addr);
    client.write(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    let line = gateway.line(&["close class=none", "cause=bad_request"]);
    assert!(line.contains("but this port has none"), "{line}");
    gateway.end();
}

#[test]
fn an_idle_gateway_writes_every_tenth_line_of_statistics() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("STATS_INTERVAL_MS", "100")]);
    let lines = |parts: &[&str], n: usize| {
        eventually("lines of statistics", || {
            let lines = gateway.lines(parts);
            (lines.len() >= n).then_some(lines)
        })
    };
    let turns = |line: &str| field(line, "turns").and_then(|n| n.parse::<u64>().ok());
    // Health checks are not logged.
    assert_eq!(gateway.health(), 200);
    let idle = lines(&["stats sessions=0 glasses=0"], 2);
    // Each covers ten intervals, so at least as many turns.
    assert!(turns(&idle[1]) >= Some(10), "{}", idle[1]);
    let _ada = glasses(&gateway, "ada");
    // With a connection each is written, even if nothing happens.
    let busy = lines(&["stats sessions=1 glasses=1"], 4);
    assert!(busy.iter().any(|l| turns(l) < Some(10)), "{busy:?}");
    gateway.end();
}

/// Returns the keys of the handbook's table of statistics.
fn explained() -> BTreeSet<&'static str> {
    let handbook = include_str!("../../docs/operations.md");
    let (_, rest) = handbook
        .split_once("<!-- statistics:begin -->")
        .expect("a begin");
    let (table, _) = rest.split_once("<!-- statistics:end -->").expect("an end");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let cell = row.split(" | ").next().unwrap_or_default();
        cell.trim_end_matches('`').split("`, `")
    })
    .collect()
}

#[test]
fn sigusr1_logs_the_statistics_and_sighup_ends_nothing() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("STATS_INTERVAL_MS", "86400000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    assert_eq!(gateway.lines(&["stats "]), [""; 0]);
    gateway.signal("HUP");
    gateway.line(&["reload changed=none"]);
    gateway.signal("USR1");
    let line = gateway.line(&["stats "]);
    println!("{line}");
    // 17 of the control clients are glasses, 33 apps.
    assert!(line.contains("=17"), "{line}");
    assert!(line.contains("=33"), "{line}");
    let logged: BTreeSet<&str> = line
        .split_whitespace()
        .filter_map(|word| Some(word.split_once('=')?.0))
        .collect();
    assert_eq!(logged, explained(), "the handbook's table of statistics");
    gateway.signal("HUP");
    controls.await_pings(1);
    assert_eq!(gateway.health(), 200);
    controls.finish();
    gateway.end();
}

/// Returns the counter `rchar` of the process: bytes that it has read so far.
fn bytes_read(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "))?;
    line.parse().ok()
}

/// A list of apps that takes a while to parse, and a signal during that time.
#[test]
fn signals_during_the_start_wait_until_the_gateway_runs() {
    let path = std::env::temp_dir().join(format!("pulsegate-start-{}", std::process::id()));
    let app = |n| format!(r#"{{"package":"p.{n:0200}","api_key":"{n:0500}"}}"#);
    let apps: Vec<String> = (0..10_000).map(app).collect();
    std::fs::write(&path, format!("[{}]", apps.join(","))).expect("a file");
    for (signal, seen) in [("HUP", "reload changed=none"), ("USR1", "stats ")] {
        let mut command = Gateway::command(&[
            ("DRAIN_MS", "0"),
            ("STATS_INTERVAL_MS", "86400000"),
            ("APPS_FILE", path.to_str().expect("UTF-8")),
        ]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut process = command.stderr(writer).spawn().expect("the gateway");
        drop(command);
        eventually("it reads its list of apps", || {
            bytes_read(process.id()).filter(|n| *n > 1_000_000)
        });
        let pid = process.id().to_string();
        let done = std::process::Command::new("kill")
            .args(["-s", signal, &pid])
            .status();
        assert!(done.expect("kill").success());
        let lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
        let is_seen = lines.map_while(Result::ok).any(|line| line.contains(seen));
        let ended = process.try_wait().expect("it is ours");
        let _ = process.kill();
        let _ = process.wait();
        assert!(is_seen, "SIG{signal}: it ended with {ended:?}");
    }
    std::fs::remove_file(path).expect("ours");
}

/// Wherever its standard streams lead, the gateway's exit code is right.
#[test]
fn an_output_that_takes_nothing_does_not_abort() {
    use std::process::Stdio;
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    let full = || {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        Stdio::from(full.expect("/dev/full"))
    };
    let run = |args: &[&str], stdout: Stdio, stderr: Stdio| {
        let mut command = Gateway::command(&[]);
        let child = command.args(args).stdout(stdout).stderr(stderr).spawn();
        let output = child.expect("the gateway").wait_with_output();
        let output = output.expect("an end");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("panicked"), "{args:?}: {told}");
        (output.status.code(), told)
    };
    for args in [&["--help"], &["--version"], &["--print-config"]] {
        let (code, told) = run(args, closed(), Stdio::piped());
        assert_eq!((code, &*told), (Some(0), ""), "{args:?}");
        // The requested output could not be written, and that is a fault.
        let (code, told) = run(args, full(), Stdio::piped());
        assert_eq!(code, Some(1), "{args:?}");
        assert!(told.contains("cannot write to standard output"), "{told}");
    }
    for stdout in [closed(), full()] {
        let (code, told) = run(&["--check"], stdout, Stdio::piped());
        assert_eq!((code, &*told), (Some(0), ""), "the settings are valid");
    }
    for stderr in [closed(), full()] {
        let (code, _) = run(&["--check", "--drain-ms=x"], Stdio::null(), stderr);
        assert_eq!(code, Some(2), "the settings are wrong");
    }
    for args in [&["--help"][..], &["--no-such-flag"]] {
        for stream in [closed, full] as [fn() -> Stdio; 2] {
            let swarm = std::process::Command::new(env!("CARGO_BIN_EXE_pulsegate-swarm"))
                .args(args)
                .stdout(stream())
                .stderr(stream())
                .status();
            let expected = if args == ["--help"] { 0 } else { 2 };
            assert_eq!(swarm.expect("the load tool").code(), Some(expected));
        }
    }
}
