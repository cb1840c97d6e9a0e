//! The machine around the gateway: descriptors, memory, threads, and a process that stood still.

use crate::commands::{gateway_with, in_shell};
use crate::peers::{assert_served, glasses};
use crate::sockets::{Client, Controls, Gateway, eventually, field, upgrade};
use std::fs;
use std::time::Duration;

#[test]
fn max_connections_above_the_descriptors_is_clamped_and_operators_are_still_served() {
    /// Of 200 descriptors, 83 are for the loop itself, and a quarter is reserved.
    const ROOM: usize = 200 - 83 - 50;
    let settings = [("MAX_CONNECTIONS", "1000"), ("DRAIN_MS", "0")];
    let command = in_shell("ulimit -n 200 && exec \"$0\"", &settings);
    let gateway = Gateway::start_unread(command).read();
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
    let gateway = gateway_with(&[]);
    assert_eq!(gateway.health(), 200);
    let nice = |name: &str| {
        let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).expect("threads");
        tasks.flatten().find_map(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            // proc_pid_stat(5): the name is in parentheses, and nice is the seventeenth field after
            // it.
            let (head, fields) = stat.rsplit_once(") ")?;
            let nice = fields.split(' ').nth(16)?.parse::<i32>().ok()?;
            head.ends_with(&format!("({name}")).then_some(nice)
        })
    };
    let main = nice("pulsegate").expect("the loop's thread");
    let wanted = Some((main + 10).min(19));
    eventually("they have begun", || {
        (nice("control") == wanted && nice("jobs") == wanted).then_some(())
    });
    gateway.end();
}

#[test]
fn buffers_are_bounded_by_memory_and_the_log_says_where_that_comes_from() {
    let gateway = gateway_with(&[("MAX_CONNECTIONS", "100")]);
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
}

#[test]
fn buffers_as_given_hold_and_the_log_warns_of_more_than_memory_has() {
    let gateway = gateway_with(&[("MAX_BUFFERED_BYTES", "1099511627776")]);
    let given = [
        "[INFO] memory ",
        "max_buffered_bytes=1099511627776",
        "origin=given",
    ];
    let line = gateway.line(&given);
    let limit = field(&line, "limit_bytes").and_then(|n| n.parse::<u64>().ok());
    if limit.expect("a limit") < 1 << 40 {
        let warning = "[WARN] MAX_BUFFERED_BYTES=\"1099511627776\" (as given): should be at most ";
        gateway.line(&[warning]);
    }
    gateway.end();
}

#[test]
fn without_descriptors_the_gateway_pauses_says_so_and_recovers() {
    let gateway = gateway_with(&[("ALERT_INTERVAL_MS", "100")]);
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
            client.write(upgrade(&path).as_bytes());
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
    assert_served(&mut last);
    controls.finish();
    gateway.end();
}

#[test]
fn stopped_for_longer_than_the_timeout_it_closes_no_connection() {
    let gateway = gateway_with(&[]);
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
