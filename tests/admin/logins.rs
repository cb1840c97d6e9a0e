//! Failed logins.

use crate::peers::TOKEN;
use crate::sockets::{Gateway, Metrics, eventually, field};
use std::io::{Read, Write};

#[test]
fn failed_logins_are_counted_logged_and_slowed() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let wrong = "Authorization: Bearer a-wrong-token-of-32-characters-01\r\n";
    let begun = std::time::Instant::now();
    for _ in 0..6 {
        let response = gateway.admin_request("GET", "/metrics", wrong, "");
        assert_eq!(response.status, 401);
        assert!(response.body.contains("the token is wrong"), "{response:?}");
    }
    let least = [50, 100, 200, 400, 800, 1_000].into_iter().sum();
    let took = begun.elapsed();
    assert!(took >= std::time::Duration::from_millis(least), "{took:?}");
    for _ in 0..20 {
        assert_eq!(gateway.admin_request("GET", "/metrics", "", "").status, 401);
    }
    // The right token is not delayed, even from the same address: it overtakes a wrong one.
    eventually("the right one is first", || {
        let mut guess = gateway.admin_stream();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{wrong}\r\n");
        guess.write_all(request.as_bytes()).expect("room");
        eventually("it has come", || {
            let metrics = gateway.admin_request("GET", "/metrics", &bearer, "");
            let counts = Metrics(metrics.body);
            let wrong = counts.get("pulsegate_admin_logins_failed_total{token=\"wrong\"}");
            (wrong > 6.0).then_some(())
        });
        guess.set_nonblocking(true).expect("a mode");
        let read = guess.read(&mut [0]);
        read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
            .then_some(())
    });
    let metrics = gateway.admin_request("GET", "/metrics", &bearer, "");
    let metrics = Metrics(metrics.body);
    let count = |token: &str| {
        let series = format!("pulsegate_admin_logins_failed_total{{token=\"{token}\"}}");
        metrics.get(&series) as u64
    };
    assert_eq!(count("missing"), 20);
    let failed = count("missing") + count("wrong");
    // All of them are in the log, in few lines.
    eventually("all are told of", || {
        let lines = gateway.lines(&["[WARN] admin login=failed"]);
        let told: u64 = lines
            .iter()
            .map(|line| {
                field(line, "failures")
                    .expect("a sum")
                    .parse::<u64>()
                    .expect("a number")
            })
            .sum();
        (told == failed).then_some(())
    });
    let lines = gateway.lines(&["admin login=failed", "last_address=127.0.0.1"]);
    assert!(lines.len() < 12, "{lines:?}");
    assert!(lines[0].contains("failures=1") && lines[0].contains("last_token=wrong"));
    let log = gateway.log.clone();
    gateway.end();
    let log = log.lock().expect("no panic");
    assert!(!log.iter().any(|line| line.contains("wrong-token")));
}
