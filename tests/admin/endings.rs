//! The log, the API and the metrics agree on how connections ended.

use crate::peers::{app, glasses, until_closed};
use crate::sockets::{Client, Controls, Event, Gateway, Metrics, eventually, field, frame};
use pulsegate::wire::frame::{CLOSE, TEXT};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many connections ended, by class and cause.
type Ends = BTreeMap<(String, String), u64>;

/// Returns the ends in the log, counted by class and cause.
fn told_by_log(gateway: &Gateway) -> Ends {
    let mut told = BTreeMap::new();
    for line in gateway.lines(&[" close class="]) {
        let word = |key| field(&line, key).expect("a field").to_owned();
        *told.entry((word("class"), word("cause"))).or_default() += 1;
    }
    told
}

/// Returns the same counts from the API.
fn told_by_api(counts: &Value) -> Ends {
    let mut told = BTreeMap::new();
    let mut add = |class: &str, causes: &Value| {
        for (cause, n) in causes.as_object().expect("causes") {
            told.insert(
                (class.to_owned(), cause.clone()),
                n.as_u64().expect("a number"),
            );
        }
    };
    for class in ["glasses", "app"] {
        add(class, &counts["closed"][class]);
    }
    add("none", &counts["rejected"]);
    told
}

/// Returns the same counts from the metrics.
fn told_by_metrics(metrics: &Metrics) -> Ends {
    let mut told = BTreeMap::new();
    let label = |series: &str, name: &str| {
        let (_, rest) = series.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    for (series, n) in metrics.samples().filter(|(_, n)| *n > 0.0) {
        if series.starts_with("pulsegate_connections_closed_total") {
            let key = (label(series, "class"), label(series, "cause"));
            told.insert((key.0.expect("a class"), key.1.expect("a cause")), n as u64);
        } else if series.starts_with("pulsegate_connections_rejected_total") {
            let cause = label(series, "cause").expect("a cause");
            told.insert(("none".to_owned(), cause), n as u64);
        }
    }
    told
}

/// Ends connections by their peers: with close codes of all kinds, without one, and without a close
/// frame.
fn end_by_peers(gateway: &Gateway) {
    // peer_closed, with codes of all kinds
    for code in [1000u16, 1001, 1002, 3001, 4001, 4002, 1011] {
        let mut client = app(gateway, &format!("closes-{code}"), "p");
        client.write(&frame(CLOSE, &code.to_be_bytes()));
        assert_eq!(until_closed(client).0, code);
    }
    let mut client = app(gateway, "closes-without", "p");
    client.write(&frame(CLOSE, b""));
    assert_eq!(until_closed(client).0, 1005);
    // peer_eof, peer_reset
    drop(glasses(gateway, "leaves"));
    glasses(gateway, "resets").reset();
}

/// Ends connections that violate the protocol or a limit.
fn end_by_violations(gateway: &Gateway) {
    for (bytes, code) in [
        (vec![0x8f, 0x80, 0, 0, 0, 0], 1002),
        (frame(TEXT, b"\xff\xff"), 1007),
        (frame(TEXT, &[b'x'; 1_001]), 1009),
    ] {
        let mut client = app(gateway, &format!("errs-{code}"), "p");
        client.write(&bytes);
        assert_eq!(until_closed(client).0, code);
    }
}

/// Ends connections by the gateway: replaced and kicked.
fn end_by_gateway(gateway: &Gateway) {
    // replaced
    let older = glasses(gateway, "twice");
    let mut newer = glasses(gateway, "twice");
    assert_eq!(until_closed(older).0, 4003);
    newer.write(&frame(CLOSE, &1000u16.to_be_bytes()));
    assert_eq!(until_closed(newer).0, 1000);
    // kicked
    let kicked = glasses(gateway, "kicked");
    let id = gateway.connection("user=kicked")["id"].clone();
    let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
    let (status, answer) = gateway.act("POST", &path, r#"{"reason":"enough"}"#);
    assert_eq!(
        (status, &answer["blocked"]),
        (200, &json!(false)),
        "{answer}"
    );
    assert_eq!(until_closed(kicked), (4000, "enough".to_owned()));
}

/// Ends a connection that sends request after request and reads nothing.
fn end_slow_consumer(gateway: &Gateway) {
    let mut deaf =
        Client::connect_with(gateway.addr, Some(4_096)).upgraded("/glasses-ws?user=deaf");
    let question = frame(TEXT, br#"{"type":"ping"}"#).repeat(200);
    while deaf.try_write(&question) {
        if !gateway
            .lines(&["user=deaf", "cause=slow_consumer"])
            .is_empty()
        {
            break;
        }
    }
}

/// Ends connections before they are WebSockets.
fn end_before_upgrade(gateway: &Gateway) {
    // aborted, probe
    let mut aborts = Client::connect(gateway.addr);
    aborts.write(b"GET /glasses-ws HTTP/1.1\r\n");
    drop(aborts);
    drop(Client::connect(gateway.addr));
    // answered, bad_request, handshake_timeout
    assert_eq!(gateway.health(), 200);
    assert_eq!(Client::refused(gateway.addr, "/nowhere").status, 404);
    let mut late = Client::connect(gateway.addr);
    late.write(b"GET /glasses-ws HTTP/1.1\r\n");
    assert_eq!(late.response().status, 408);
    drop(late);
}

/// Returns the ends that the functions above cause, and one stale connection.
fn expected() -> Ends {
    [
        ("glasses", "stale", 1),
        ("app", "peer_closed", 8),
        ("glasses", "peer_closed", 1),
        ("glasses", "peer_eof", 1),
        ("glasses", "peer_reset", 1),
        ("app", "protocol", 1),
        ("app", "invalid_data", 1),
        ("app", "too_big", 1),
        ("glasses", "replaced", 1),
        ("glasses", "kicked", 1),
        ("glasses", "slow_consumer", 1),
        ("none", "aborted", 1),
        ("none", "probe", 1),
        ("none", "answered", 1),
        ("none", "bad_request", 1),
        ("none", "handshake_timeout", 1),
    ]
    .into_iter()
    .map(|(class, cause, n)| ((class.to_owned(), cause.to_owned()), n))
    .collect()
}

/// Asserts that opened, closed, accepted and rejected connections add up.
fn assert_sums(metrics: &Metrics, living: f64) {
    // Opened minus ended is the number of live ones.
    let opened = metrics.sum("pulsegate_connections_opened_total");
    let closed = metrics.sum("pulsegate_connections_closed_total");
    let live = metrics.sum("pulsegate_connections{");
    assert_eq!(opened - closed, live);
    assert_eq!(live, living);
    let accepted = metrics.get("pulsegate_connections_accepted_total");
    let rejected = metrics.sum("pulsegate_connections_rejected_total");
    assert_eq!(accepted, opened + rejected);
    let codes: Vec<f64> = [
        "normal",
        "going_away",
        "none",
        "protocol",
        "app_3xxx",
        "app_4xxx",
        "other",
    ]
    .iter()
    .map(|c| {
        metrics.get(&format!(
            "pulsegate_peer_closes_total{{class=\"app\",code=\"{c}\"}}"
        ))
    })
    .collect();
    assert_eq!(codes, [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0]);
}

/// Asserts that the steps of the API add up to the total.
fn assert_steps(causes: &Value, expected: &Ends) {
    let steps = causes["steps"].as_array().expect("steps");
    let mut summed: Ends = BTreeMap::new();
    for step in steps {
        for (key, n) in told_by_api(step) {
            *summed.entry(key).or_default() += n;
        }
    }
    assert_eq!(summed, *expected);
}

/// Asserts that each end is recorded once, in the words of its log line; the probe and the health
/// check are not.
fn assert_records(gateway: &Gateway, ended: u64) {
    let remembered = gateway.api("/api/v1/closed?limit=1000");
    assert_eq!(remembered["remembered"], ended - 2);
    for record in remembered["closed"].as_array().expect("a list") {
        let id = record["id"].as_str().expect("an id");
        let lines = gateway.lines(&[" close ", &format!(" id={id} ")]);
        assert_eq!(lines.len(), 1, "{record}");
        let line = &lines[0];
        for (key, logged) in [
            ("cause", "cause"),
            ("by", "by"),
            ("code", "code"),
            ("class", "class"),
            ("user", "user"),
            ("peer", "peer"),
            ("age_ms", "age_ms"),
            ("silence_ms", "silence_ms"),
            ("unanswered", "unanswered"),
            ("clean", "clean"),
            ("bytes_in", "bytes_in"),
            ("messages_out", "messages_out"),
        ] {
            let said = match &record[key] {
                Value::String(text) => text.clone(),
                Value::Null if key == "class" => "none".to_owned(),
                Value::Null => "-".to_owned(),
                other => other.to_string(),
            };
            assert_eq!(field(line, logged), Some(&*said), "{key}: {record} {line}");
        }
    }
}

#[test]
fn api_metrics_and_log_tell_the_same_story_of_all_kinds_of_endings() {
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("LOG_LEVEL", "debug"),
        ("MAX_MESSAGE_BYTES", "1000"),
        ("MAX_PENDING_BYTES", "65536"),
        ("HANDSHAKE_TIMEOUT_MS", "1000"),
    ]);
    let stays = Controls::start_at_gateway(gateway.addr);
    let mut frozen = glasses(&gateway, "frozen");
    end_by_peers(&gateway);
    end_by_violations(&gateway);
    end_by_gateway(&gateway);
    end_slow_consumer(&gateway);
    end_before_upgrade(&gateway);
    let (_, event) = frozen.next_mute();
    assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
    drop(frozen);

    let expected = expected();
    let ended: u64 = expected.values().sum();
    eventually("all the ends in the log", || {
        let told = told_by_log(&gateway);
        (told.values().sum::<u64>() >= ended).then_some(())
    });
    assert_eq!(told_by_log(&gateway), expected);
    let causes = gateway.api("/api/v1/causes");
    assert_eq!(told_by_api(&causes["since_start"]), expected);
    let metrics = gateway.metrics();
    assert_eq!(told_by_metrics(&metrics), expected);
    let overview = gateway.api("/api/v1/overview");
    assert_eq!(told_by_api(&overview["since_start"]), expected);
    assert_eq!(overview["connections"]["glasses"]["suspect"], 0);
    assert_sums(&metrics, 50.0);
    assert_steps(&causes, &expected);
    assert_records(&gateway, ended);
    stays.finish();
    gateway.end();
}
