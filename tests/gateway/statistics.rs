//! The statistics in the log: at intervals and at SIGUSR1.

use crate::commands::gateway_with;
use crate::peers::glasses;
use crate::sockets::{Controls, eventually, field};
use std::collections::BTreeSet;

#[test]
fn an_idle_gateway_writes_every_tenth_line_of_statistics() {
    let gateway = gateway_with(&[("STATS_INTERVAL_MS", "100")]);
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
    let gateway = gateway_with(&[("STATS_INTERVAL_MS", "86400000")]);
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
