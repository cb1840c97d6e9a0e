//! Many connections at once, up to the limit and beyond. Control clients beside them notice
//! nothing.

use crate::commands::gateway_with;
use crate::peers::{assert_served, glasses};
use crate::sockets::{Client, Controls, Event, eventually, field, frame};
use pulsegate::wire::frame::CLOSE;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn eighteen_thousand_at_once_are_all_served_and_no_other_peer_notices() {
    let room = rlimit::increase_nofile_limit(u64::MAX).expect("a limit of descriptors");
    assert!(
        room > 18_500,
        "18 500 descriptors are needed: ulimit -n says {room}"
    );
    let gateway = gateway_with(&[]);
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
    let gateway = gateway_with(&[("STATS_INTERVAL_MS", "3600000")]);
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
fn above_max_connections_503_and_then_service_again() {
    // A fiftieth of 60 is one.
    let gateway = gateway_with(&[("MAX_CONNECTIONS", "60")]);
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
    assert_served(&mut served);
    controls.finish();
    gateway.end();
}

#[test]
fn a_flood_is_slowed_and_its_peers_are_told_so() {
    let gateway = gateway_with(&[]);
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

#[test]
fn others_do_not_notice_operators_at_work() {
    let gateway = gateway_with(&[]);
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
