//! Rules about identities and apps, and about the loop itself.

use super::super::book::AlertState::{Firing, Resolved};
use super::bench::{Bench, S, flapping, labels};
use crate::base::time::UnixMillis;
use crate::side::down::DownApp;

#[test]
fn flapping_identities_are_named() {
    let mut bench = Bench::new();
    bench.settings.flapping = 2;
    bench.sample.flapping = vec![flapping("ada", Some("org.a"))];
    bench.looks(10);
    bench.told(&[]);
    let users = (0..7).map(|n| flapping(&format!("u{n}"), Some("org.a")));
    bench.sample.flapping = users.collect();
    bench.look();
    let alert = bench.fires("flapping");
    assert_eq!(
        alert.labels,
        labels([("class", "app"), ("package", "org.a")])
    );
    assert_eq!(
        alert.summary,
        "org.a of u0, u1, u2, u3, u4 and 2 more reconnect too often"
    );
    // Accepted once, and refused again.
    bench.sample.flapping.clear();
    bench.looks(5);
    bench.sample.flapping = vec![flapping("u1", Some("org.a")), flapping("u2", Some("org.a"))];
    bench.looks(5);
    bench.told(&[]);
    bench.sample.flapping.clear();
    bench.resolves("flapping");
    bench.settings.flapping = 1;
    bench.sample.flapping = vec![
        flapping(&"x".repeat(10_000), None),
        flapping("a\nb", None),
        flapping("eve\u{202e}", None),
    ];
    bench.look();
    let alert = bench.fires("flapping");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        format!(
            "glasses of \"a\\nb\", \"eve\\u{{202e}}\", \"{}…\" reconnect too often",
            "x".repeat(64)
        )
    );
}

#[test]
fn apps_that_are_down_are_named_each() {
    let mut bench = Bench::new();
    let down = |package: &str| DownApp {
        package: package.into(),
        since: UnixMillis(0),
        last_error: "answered with status 503".into(),
    };
    bench.sample.down = vec![down("org.a"), down("org.b")];
    bench.looks(6);
    bench.told(&[]);
    bench.look();
    bench.told(&[("app_down", Firing), ("app_down", Firing)]);
    assert_eq!(bench.alert().labels, labels([("package", "org.b")]));
    assert_eq!(
        bench.alert().summary,
        "the webhook of org.b fails: answered with status 503"
    );
    bench.sample.down = vec![down("org.a")];
    bench.looks(30);
    bench.told(&[("app_down", Resolved)]);
    bench.settings.app_down = false;
    bench.look();
    bench.told(&[("app_down", Resolved)]);
}

#[test]
fn stalls_of_the_loop() {
    let mut bench = Bench::new();
    bench.settings.stalls = 2;
    let counters = bench.counters();
    (counters.stalls, counters.stalled) = (1, S(6));
    bench.looks(30);
    bench.told(&[]);
    let counters = bench.counters();
    (counters.stalls, counters.stalled) = (3, S(18));
    bench.look();
    let alert = bench.fires("loop_stalls");
    assert_eq!(
        alert.summary,
        "the event loop stalled 2 times, for 12000 ms in all, within 60 s"
    );
    bench.resolves("loop_stalls");
}

#[test]
fn a_loop_that_does_not_answer_is_a_stall_and_nothing_else_changes() {
    let mut bench = Bench::new();
    bench.counters().suspects[0] = 500;
    bench.looks(20);
    bench.fires("many_suspects");
    let counters = bench.sample.counters.take();
    bench.looks(100);
    bench.fires("loop_stalls");
    bench.sample.counters = counters;
    bench.counters().suspects[0] = 0;
    bench.looks(30);
    bench.told(&[("many_suspects", Resolved), ("loop_stalls", Resolved)]);
}
