//! The gateway from an operator's view: a process, its admin listener, its log, and peers that
//! misbehave.

use crate::sockets::{
    Client, Controls, Event, Gateway, Metrics, eventually, field, frame, upgrade,
};
use pulsegate::wire::frame::{CLOSE, PONG, TEXT};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const TOKEN: &str = "a-token-of-32-characters-0123456";

fn glasses(gateway: &Gateway, user: &str) -> Client {
    Client::open(gateway.addr, &format!("/glasses-ws?user={user}"))
}

fn app(gateway: &Gateway, user: &str, package: &str) -> Client {
    Client::open(
        gateway.addr,
        &format!("/tpa-ws?user={user}&package={package}"),
    )
}

/// Starts a gateway with long intervals: it closes nothing unless a test causes it.
fn quiet() -> Gateway {
    Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "20000"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
    ])
}

/// Answers pings until the close frame arrives.
fn until_closed(mut client: Client) -> (u16, String) {
    match client.next_answering() {
        Event::Close(code, reason) => (code, reason),
        other => panic!("{other:?}"),
    }
}

// ---- log, API and metrics agree ----

/// Returns the ends in the log, counted by class and cause.
fn told_by_log(gateway: &Gateway) -> BTreeMap<(String, String), u64> {
    let mut told = BTreeMap::new();
    for line in gateway.lines(&[" close class="]) {
        let word = |key| field(&line, key).expect("a field").to_owned();
        *told.entry((word("class"), word("cause"))).or_default() += 1;
    }
    told
}

/// Returns the same counts from the API.
fn told_by_api(counts: &Value) -> BTreeMap<(String, String), u64> {
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
fn told_by_metrics(metrics: &Metrics) -> BTreeMap<(String, String), u64> {
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
    // stale
    let mut frozen = glasses(&gateway, "frozen");
    // peer_closed, with codes of all kinds
    for code in [1000u16, 1001, 1002, 3001, 4001, 4002, 1011] {
        let mut client = app(&gateway, &format!("closes-{code}"), "p");
        client.write(&frame(CLOSE, &code.to_be_bytes()));
        assert_eq!(until_closed(client).0, code);
    }
    let mut client = app(&gateway, "closes-without", "p");
    client.write(&frame(CLOSE, b""));
    assert_eq!(until_closed(client).0, 1005);
    // peer_eof, peer_reset
    drop(glasses(&gateway, "leaves"));
    glasses(&gateway, "resets").reset();
    // protocol, invalid_data, too_big
    for (bytes, code) in [
        (vec![0x8f, 0x80, 0, 0, 0, 0], 1002),
        (frame(TEXT, b"\xff\xff"), 1007),
        (frame(TEXT, &[b'x'; 1_001]), 1009),
    ] {
        let mut client = app(&gateway, &format!("errs-{code}"), "p");
        client.write(&bytes);
        assert_eq!(until_closed(client).0, code);
    }
    // replaced
    let older = glasses(&gateway, "twice");
    let mut newer = glasses(&gateway, "twice");
    assert_eq!(until_closed(older).0, 4003);
    newer.write(&frame(CLOSE, &1000u16.to_be_bytes()));
    assert_eq!(until_closed(newer).0, 1000);
    // kicked
    let kicked = glasses(&gateway, "kicked");
    let id = gateway.connection("user=kicked")["id"].clone();
    let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
    let (status, answer) = gateway.act("POST", &path, r#"{"reason":"enough"}"#);
    assert_eq!(
        (status, &answer["blocked"]),
        (200, &json!(false)),
        "{answer}"
    );
    assert_eq!(until_closed(kicked), (4000, "enough".to_owned()));
    // slow_consumer: it sends request after request and reads nothing.
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
    // aborted, probe, answered, bad_request, handshake_timeout
    let mut aborts = Client::connect(gateway.addr);
    aborts.write(b"GET /glasses-ws HTTP/1.1\r\n");
    drop(aborts);
    drop(Client::connect(gateway.addr));
    assert_eq!(gateway.health(), 200);
    assert_eq!(Client::refused(gateway.addr, "/nowhere").status, 404);
    let mut late = Client::connect(gateway.addr);
    late.write(b"GET /glasses-ws HTTP/1.1\r\n");
    assert_eq!(late.response().status, 408);
    drop(late);

    let (_, event) = frozen.next_mute();
    assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
    drop(frozen);
    let expected: BTreeMap<(String, String), u64> = [
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
    .collect();
    // Now every connection that ends in this test has ended.
    eventually("all the ends in the log", || {
        let told = told_by_log(&gateway);
        let all: u64 = told.values().sum();
        (all >= expected.values().sum()).then_some(())
    });
    assert_eq!(told_by_log(&gateway), expected);
    let causes = gateway.api("/api/v1/causes");
    assert_eq!(told_by_api(&causes["since_start"]), expected);
    let metrics = gateway.metrics();
    assert_eq!(told_by_metrics(&metrics), expected);

    // Opened minus ended is the number of live ones.
    let opened = metrics.sum("pulsegate_connections_opened_total");
    let closed = metrics.sum("pulsegate_connections_closed_total");
    let live = metrics.sum("pulsegate_connections{");
    assert_eq!(opened - closed, live);
    assert_eq!(live, 50.0, "the controls");
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
    let overview = gateway.api("/api/v1/overview");
    assert_eq!(told_by_api(&overview["since_start"]), expected);
    assert_eq!(overview["connections"]["glasses"]["suspect"], 0);

    // The steps add up to the total.
    let steps = causes["steps"].as_array().expect("steps");
    let mut summed: BTreeMap<(String, String), u64> = BTreeMap::new();
    for step in steps {
        for (key, n) in told_by_api(step) {
            *summed.entry(key).or_default() += n;
        }
    }
    assert_eq!(summed, expected);

    // Each end is recorded once, in the words of its log line; the probe and the health check are
    // not.
    let remembered = gateway.api("/api/v1/closed?limit=1000");
    let ended: u64 = expected.values().sum();
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
    stays.finish();
    gateway.end();
}

// ---- predictions ----

#[test]
fn what_is_explained_happens_and_not_before() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("LOG_LEVEL", "debug")]);
    let mut frozen = glasses(&gateway, "frozen");
    let id = gateway.connection("user=frozen")["id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    // It answers once, so that there is something to report; then never again.
    frozen.send_text(r#"{"type":"ping"}"#);
    assert!(matches!(frozen.next(), Event::Text(_) | Event::Ping(_)));
    let path = format!("/api/v1/connections/{id}");
    let told = gateway.api(&path);
    assert_eq!(told["connection"]["state"], "healthy", "{told}");
    let explain = &told["explain"];
    assert_eq!(explain["end"]["cause"], "stale", "{told}");
    assert_eq!(explain["end"]["code"], "3008", "{told}");
    let moment = |value: &Value| value["at"].as_str().expect("a time").to_owned();
    let (suspect_at, ends_at) = (moment(&explain["suspect"]), moment(&explain["end"]));
    assert!(suspect_at < ends_at, "{told}");

    eventually("it becomes suspect", || {
        let list = gateway.api("/api/v1/connections?state=suspect");
        (list["matched"] == 1).then_some(())
    });
    let suspect = gateway.api(&path);
    let why = suspect["explain"]["why"].as_str().expect("words");
    assert!(why.starts_with("suspect: nothing received for "), "{why}");
    assert_eq!(
        moment(&suspect["explain"]["end"])[..19],
        ends_at[..19],
        "nothing was heard: nothing moved"
    );
    let change = &suspect["history"]["changes"][0];
    assert_eq!(change["state"], "suspect", "{suspect}");
    assert!(
        change["at"].as_str() >= Some(&*suspect_at),
        "{suspect_at}: {suspect}"
    );
    let metrics = gateway.metrics();
    let suspects = "pulsegate_connections{class=\"glasses\",state=\"suspect\"}";
    assert_eq!(metrics.get(suspects), 1.0);

    let (_, event) = frozen.next_mute();
    assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
    // The frame is on the wire a moment before the turn has ended.
    let record = eventually("its record", || {
        let (status, record) = gateway.act("GET", &format!("/api/v1/closed/{id}"), "");
        (status == 200).then_some(record)
    });
    assert_eq!(record["cause"], "stale");
    assert!(
        record["at"].as_str() >= Some(&*ends_at),
        "{ends_at}: {record}"
    );
    assert_eq!(record["history"]["changes"][0], *change);
    // The 404 for its old path names the cause.
    let gone = gateway.admin_request("GET", &path, "", "");
    assert_eq!(gone.status, 404);
    assert!(gone.body.contains("cause stale"), "{gone:?}");
    gateway.end();
}

#[test]
fn a_connection_that_is_asked_for_has_a_history_from_then_on() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("HEARTBEAT_INTERVAL_MS", "100")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let id = gateway.connection("user=control-7")["id"].clone();
    let path = format!("/api/v1/connections/{}", id.as_str().expect("an id"));
    let detail = eventually("some round-trip times", || {
        let detail = gateway.api(&path);
        let rtts = detail["history"]["rtts"].as_array().map(Vec::len);
        rtts.is_some_and(|n| n >= 3).then_some(detail)
    });
    assert_eq!(detail["history"]["reason"], "asked", "{detail}");
    let connection = &detail["connection"];
    assert!(connection["rtt_us"].as_u64() > Some(0), "{detail}");
    assert!(connection["bytes_in"].as_u64() > Some(100), "{detail}");
    let text = detail["explain"]["text"].as_array().expect("sentences");
    assert!(text.len() >= 3, "{detail}");
    controls.finish();
    gateway.end();
}

/// Opens a WebSocket as this user's glasses, with this `User-Agent`.
fn glasses_with(gateway: &Gateway, user: &str, user_agent: &[u8]) -> Client {
    let mut client = Client::connect(gateway.addr);
    let head = upgrade(&format!("/glasses-ws?user={user}"));
    let head = head.trim_end().as_bytes();
    client.write(&[head, b"\r\nUser-Agent: ", user_agent, b"\r\n\r\n"].concat());
    client.switched();
    client
}

#[test]
fn log_api_and_closed_ring_name_the_user_agent() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("LOG_LEVEL", "debug")]);
    let client = glasses_with(&gateway, "ada", b"glasses-os/3.2 (rev 7)");
    let connection = gateway.connection("user=ada");
    assert_eq!(connection["user_agent"], "glasses-os/3.2 (rev 7)");
    let path = format!(
        "/api/v1/connections/{}",
        connection["id"].as_str().expect("an id")
    );
    let detail = gateway.api(&path);
    assert_eq!(detail["connection"]["user_agent"], "glasses-os/3.2 (rev 7)");
    let said = r#"its user agent is "glasses-os/3.2 (rev 7)""#;
    assert_eq!(detail["explain"]["text"][1], said, "{detail}");
    // A client that calls itself `other` looks like one for whose name there was no room.
    let lumped = glasses_with(&gateway, "ann", b"other");
    let id = gateway.connection("user=ann")["id"].clone();
    let detail = gateway.api(&format!(
        "/api/v1/connections/{}",
        id.as_str().expect("an id")
    ));
    let said = "its user agent is shown as other: 4096 different user agents are connected already";
    assert_eq!(detail["explain"]["text"][1], said, "{detail}");
    lumped.reset();
    let other = glasses_with(&gateway, "eve", b"glasses-os/3.1");
    let nameless = glasses(&gateway, "joe");
    assert_eq!(gateway.connection("user=joe")["user_agent"], Value::Null);
    let found = gateway.connection("user_agent=glasses-os/3.1");
    assert_eq!(found["user"], "eve");
    assert_eq!(gateway.metrics().get("pulsegate_user_agents"), 2.0);
    gateway.line(&[
        "[DEBUG] open class=glasses user=ada",
        r#" user_agent="glasses-os/3.2 (rev 7)" how=first"#,
    ]);
    for client in [client, other, nameless] {
        client.reset();
    }
    gateway.line(&[
        "close class=glasses user=ada",
        r#" user_agent="glasses-os/3.2 (rev 7)" age_ms="#,
    ]);
    gateway.line(&["close class=glasses user=joe", " user_agent=- age_ms="]);
    let closed = gateway.api("/api/v1/closed?user_agent=glasses-os/3.2%20(rev%207)");
    let closed = closed["closed"].as_array().expect("records");
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0]["user"], "ada");
    assert_eq!(closed[0]["user_agent"], "glasses-os/3.2 (rev 7)");
    let id = closed[0]["id"].as_str().expect("an id");
    let one = gateway.api(&format!("/api/v1/closed/{id}"));
    assert_eq!(one["user_agent"], "glasses-os/3.2 (rev 7)");
    eventually("all of them have ended", || {
        (gateway.metrics().get("pulsegate_user_agents") == 0.0).then_some(())
    });
    // The record of a refused connection has the user agent, too.
    let mut refused = Client::connect(gateway.addr);
    refused.write(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nUser-Agent: scanner/1\r\n\r\n");
    assert_eq!(refused.response().status, 404);
    let line = gateway.line(&["close class=none", "user_agent=scanner/1"]);
    assert_eq!(field(&line, "code"), Some("http_404"), "{line}");
    gateway.end();
}

/// Also for a connection that the loop itself refuses because it is full.
#[test]
fn a_client_that_is_refused_for_lack_of_room_is_named() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("MAX_CONNECTIONS", "1")]);
    let first = glasses_with(&gateway, "ada", b"glasses/1");
    let mut second = Client::connect(gateway.addr);
    let request = upgrade("/glasses-ws?user=bob");
    let request = request.replacen("\r\n", "\r\nUser-Agent: glasses/2\r\n", 1);
    second.write(request.as_bytes());
    assert_eq!(second.response().status, 503);
    gateway.line(&["cause=at_capacity", "user_agent=glasses/2"]);
    let closed = gateway.api("/api/v1/closed?cause=at_capacity");
    assert_eq!(closed["closed"][0]["user_agent"], "glasses/2", "{closed}");
    drop(first);
    gateway.end();
}

#[test]
fn a_user_agent_forges_nothing_in_log_and_api() {
    let gateway = quiet();
    let sent = "Zo\u{eb}\t\" cause=stale \\\u{202e}<script>alert(1)</script>".as_bytes();
    let kept = "Zo%C3%AB%09%22 cause=stale %5C%E2%80%AE<script>alert(1)</script>";
    let client = glasses_with(&gateway, "eve", sent);
    let long = glasses_with(&gateway, "bob", &[b'x'; 5_000]);
    assert_eq!(gateway.connection("user=eve")["user_agent"], kept);
    assert_eq!(
        gateway.connection("user=bob")["user_agent"],
        "x".repeat(128)
    );
    // In the shown form, and in the sent form.
    let encode = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("%{b:02x}")).collect() };
    for wanted in [kept.as_bytes(), sent] {
        let found = gateway.connection(&format!("user_agent={}", encode(wanted)));
        assert_eq!(found["user"], "eve");
    }
    assert!(!gateway.metrics().0.contains("alert(1)"));
    client.reset();
    long.reset();
    let line = gateway.line(&["close class=glasses user=eve"]);
    assert_eq!(
        field(&line, "cause"),
        Some("stale"),
        "it stands in quotes: {line}"
    );
    assert!(
        line.contains(&format!(r#" user_agent="{kept}" age_ms="#)),
        "{line}"
    );
    assert!(line.contains(" cause=peer_reset code="), "{line}");
    let line = gateway.line(&["close class=glasses user=bob"]);
    assert!(line.len() < 600, "{line}");
    gateway.end();
}

/// A round-trip time is old while a heartbeat waits for its answer: `rtt_age_ms` says how old, and
/// is null again after an answer.
#[test]
fn a_round_trip_time_that_is_not_current_says_how_old_it_is() {
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "300"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
    ]);
    let mut client = glasses(&gateway, "ada");
    let look = |what: &str, fits: &mut dyn FnMut(&Value) -> bool| {
        eventually(what, || {
            let connection = gateway.connection("user=ada");
            let is_old = connection["unanswered"] != 0 && !connection["rtt_us"].is_null();
            let age = &connection["rtt_age_ms"];
            assert_eq!(!age.is_null(), is_old, "{connection}");
            assert!(
                age.is_null() || *age == connection["silence_ms"],
                "{connection}"
            );
            fits(&connection).then_some(connection)
        })
    };
    let mut is_silent = |connection: &Value| connection["unanswered"].as_u64() >= Some(2);
    let never = look("no answer yet", &mut is_silent);
    assert_eq!(never["rtt_age_ms"], Value::Null, "there is none: {never}");
    for _ in 0..2 {
        // Until the newest ping is answered; only that one yields a round-trip time.
        look("a time that is current", &mut |connection| {
            let Event::Ping(payload) = client.next() else {
                panic!("only pings come")
            };
            client.write(&frame(PONG, &payload));
            connection["unanswered"] == 0 && !connection["rtt_us"].is_null()
        });
        let old = look("a time that is old", &mut is_silent);
        assert!(old["rtt_age_ms"].as_u64() >= Some(300), "{old}");
    }
    gateway.end();
}

// ---- lists ----

#[test]
fn connections_are_filtered_sorted_and_paged() {
    let gateway = quiet();
    let mut clients: Vec<Client> = (0..25)
        .map(|i| glasses(&gateway, &format!("u{i:02}")))
        .collect();
    clients.extend((0..5).map(|i| app(&gateway, "u00", &format!("p{i}"))));
    let matched = |parameters: &str| {
        let list = gateway.api(&format!("/api/v1/connections?{parameters}"));
        assert_eq!(
            list["connections"].as_array().map(|c| c.len() as u64),
            list["matched"].as_u64(),
            "one page: {parameters}"
        );
        list["matched"].as_u64().expect("a number")
    };
    assert_eq!(matched("limit=1000"), 30);
    assert_eq!(matched("class=glasses"), 25);
    assert_eq!(matched("class=app"), 5);
    assert_eq!(matched("user=u00"), 6);
    assert_eq!(matched("user=u00&class=glasses"), 1);
    assert_eq!(matched("package=p3"), 1);
    assert_eq!(matched("user=u0"), 0);
    assert_eq!(matched("state=healthy"), 30);
    assert_eq!(matched("state=suspect"), 0);
    assert_eq!(matched("address=127.0.0.1"), 30);
    assert_eq!(matched("address=127.0.0.0/8"), 30);
    assert_eq!(matched("address=127.0.0.2"), 0);
    assert_eq!(matched("address=::1"), 0);
    // A connection with an incomplete request counts, too.
    let mut half = Client::connect(gateway.addr);
    half.write(b"GET / HTTP/1.1\r\n");
    eventually("a connection that opens", || {
        (matched("state=opening") == 1).then_some(())
    });

    // Page after page: every connection once, in order.
    for sort in ["age", "silence", "rtt", "pending"] {
        for order in ["desc", "asc"] {
            let (mut seen, mut since, mut after) = (Vec::new(), Vec::new(), String::new());
            loop {
                let path = format!(
                    "/api/v1/connections?sort={sort}&order={order}&limit=7&class=glasses{after}"
                );
                let page = gateway.api(&path);
                let rows = page["connections"].as_array().expect("rows");
                assert!(rows.len() <= 7);
                assert_eq!(page["matched"], 25);
                seen.extend(rows.iter().map(|c| c["id"].to_string()));
                since.extend(rows.iter().map(|c| c["since"].to_string()));
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            assert_eq!(seen.len(), 25, "{sort} {order}");
            let ids: std::collections::BTreeSet<_> = seen.iter().collect();
            assert_eq!(ids.len(), 25, "{sort} {order}");
            if sort == "age" {
                // Ages are taken at different moments, and opening times are rounded: only the
                // first and the last are compared.
                let (first, last) = (&since[0], &since[24]);
                let ordered = match order {
                    "desc" => first <= last,
                    _ => first >= last,
                };
                assert!(ordered, "{order}: {since:?}");
            }
        }
    }

    // Sessions, too.
    let (mut users, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.api(&format!("/api/v1/sessions?limit=4{after}"));
        assert_eq!(page["total"], 25);
        let sessions = page["sessions"].as_array().expect("sessions");
        users.extend(
            sessions
                .iter()
                .map(|s| s["user"].as_str().expect("a user").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).map(|i| format!("u{i:02}")).collect();
    assert_eq!(users, expected);
    let session = gateway.api("/api/v1/sessions/u00");
    assert_eq!(session["apps"].as_array().map(Vec::len), Some(5));
    assert_eq!(session["glasses"]["state"], "healthy");
    assert_eq!(gateway.act("GET", "/api/v1/sessions/nobody", "").0, 404);
    drop(clients);
    // And ended connections, newest first.
    eventually("all have ended", || {
        (gateway.api("/api/v1/closed?limit=1")["remembered"].as_u64() >= Some(30)).then_some(())
    });
    let (mut numbers, mut before) = (Vec::new(), String::new());
    loop {
        let page = gateway.api(&format!("/api/v1/closed?limit=4&class=glasses{before}"));
        let closed = page["closed"].as_array().expect("records");
        numbers.extend(
            closed
                .iter()
                .map(|c| c["number"].as_u64().expect("a number")),
        );
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(numbers.len(), 25);
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    assert_eq!(
        gateway.api("/api/v1/closed?package=p3")["closed"][0]["user"],
        "u00"
    );
    assert_eq!(
        gateway.api("/api/v1/closed?cause=stale")["closed"],
        json!([])
    );
    gateway.end();
}

/// The largest page, in bytes: the limit for its entries, plus some for the rest.
const PAGE_MAX: usize = (1 << 20) + 1_000;

/// Returns all entries of a list, page by page, and the number of pages.
#[track_caller]
fn all_pages(gateway: &Gateway, path: &str, list: &str, cursor: &str) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut next) = (Vec::new(), 0, String::new());
    loop {
        let answer = gateway.admin_request("GET", &format!("{path}{next}"), "", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.body.len() <= PAGE_MAX,
            "{path}: {}",
            answer.body.len()
        );
        let mut page: Value = serde_json::from_str(&answer.body).expect("JSON");
        pages += 1;
        let found = page[list].as_array_mut().expect("a list");
        assert!(!found.is_empty(), "{path}: page {pages}");
        entries.append(found);
        next = match &page["next"] {
            Value::Null => return (entries, pages),
            Value::String(next) => format!("&{cursor}={next}"),
            next => format!("&{cursor}={next}"),
        };
        next = next.replace('"', "%22");
    }
}

#[test]
fn a_page_is_bounded_by_bytes_and_the_next_goes_on_where_it_ended() {
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "20000"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
        ("APP_GRACE_MS", "600000"),
    ]);
    // Names that double their size as JSON.
    let long = "%22".repeat(250);
    let user = |n: usize| format!("u{n:02}{long}");
    let package = |n: usize| format!("p{n:02}{long}");
    let crowd = |users: std::ops::Range<usize>| -> Vec<Client> {
        let apps = users.flat_map(|user| (0..64).map(move |app| (user, app)));
        apps.map(|(u, p)| app(&gateway, &user(u), &package(p)))
            .collect()
    };
    let is_once = |entries: &[Value], count: usize, key: &str| {
        assert_eq!(entries.len(), count);
        let keys: std::collections::BTreeSet<_> =
            entries.iter().map(|entry| entry[key].to_string()).collect();
        assert_eq!(keys.len(), count, "nothing is skipped, nothing comes twice");
    };
    let first = crowd(0..14);
    let (found, pages) = all_pages(
        &gateway,
        "/api/v1/connections?limit=1000&sort=age",
        "connections",
        "after",
    );
    is_once(&found, 896, "id");
    assert_eq!(pages, 2);
    // Eight at a time use no more memory than eight pages.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                all_pages(
                    &gateway,
                    "/api/v1/connections?limit=1000",
                    "connections",
                    "after",
                )
            });
        }
    });
    drop(first);
    eventually("all have ended", || {
        (gateway.api("/api/v1/closed?limit=1")["remembered"] == 896).then_some(())
    });
    let (found, pages) = all_pages(&gateway, "/api/v1/closed?limit=1000", "closed", "before");
    is_once(&found, 896, "id");
    assert_eq!(pages, 2);
    drop(crowd(14..28));
    eventually("these, too", || {
        (gateway.api("/api/v1/closed?limit=1")["remembered"] == 1_792).then_some(())
    });
    let (found, pages) = all_pages(&gateway, "/api/v1/sessions?limit=1000", "sessions", "after");
    is_once(&found, 28, "user");
    assert_eq!(pages, 2);
    for session in &found {
        assert_eq!(session["apps"].as_array().map(Vec::len), Some(64));
        assert_eq!(session["apps_total"], 64);
        assert_eq!(session["apps_next"], Value::Null);
    }
    // One more than a list shows: the rest is on the next page.
    drop(app(&gateway, &user(3), "zz"));
    let list = gateway.api(&format!("/api/v1/sessions?limit=1&after={}", user(2)));
    let session = &list["sessions"][0];
    assert_eq!(session["apps"].as_array().map(Vec::len), Some(64));
    assert_eq!(session["apps_total"], 65);
    let next = session["apps_next"].as_str().expect("there is one more");
    let next = next.replace('"', "%22");
    let rest = gateway.api(&format!("/api/v1/sessions/{}?after={next}", user(3)));
    assert_eq!(rest["apps"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&rest["apps"][0]["package"], &rest["apps_next"]),
        (&json!("zz"), &Value::Null)
    );
    let some = gateway.api(&format!("/api/v1/sessions/{}?limit=10", user(3)));
    assert_eq!(some["apps"].as_array().map(Vec::len), Some(10));
    assert_eq!(some["apps_next"], some["apps"][9]["package"]);
    gateway.end();
}

#[test]
fn blocks_are_listed_a_page_at_a_time() {
    let gateway = quiet();
    let clients: Vec<Client> = (0..9)
        .map(|n| glasses(&gateway, &format!("u{n}")))
        .collect();
    for n in 0..9 {
        let id = gateway.connection(&format!("user=u{n}"))["id"].clone();
        let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
        let (status, _) = gateway.act(
            "POST",
            &path,
            &format!(r#"{{"block_ms":{}}}"#, 600_000 - n * 1_000),
        );
        assert_eq!(status, 200);
    }
    assert_eq!(
        gateway.api("/api/v1/blocks")["blocks"]
            .as_array()
            .map(Vec::len),
        Some(9)
    );
    let (blocks, pages) = all_pages(&gateway, "/api/v1/blocks?limit=4", "blocks", "after");
    let users: Vec<_> = blocks
        .iter()
        .map(|block| block["user"].as_str().expect("a user"))
        .collect();
    assert_eq!(
        users,
        ["u8", "u7", "u6", "u5", "u4", "u3", "u2", "u1", "u0"]
    );
    assert_eq!(pages, 3);
    assert_eq!(gateway.act("GET", "/api/v1/blocks?after=x", "").0, 400);
    drop(clients);
    gateway.end();
}

// ---- actions ----

#[test]
fn a_kick_with_a_block_shuts_the_identity_out_and_a_lift_lets_it_in() {
    let gateway = quiet();
    let other = app(&gateway, "eve", "q");
    let kicked = app(&gateway, "eve", "p");
    let id = gateway.connection("user=eve&package=p")["id"].clone();
    let path = format!("/api/v1/connections/{}/kick", id.as_str().expect("an id"));
    let (status, answer) = gateway.act("POST", &path, r#"{"block_ms":600000}"#);
    assert_eq!(
        (status, &answer["blocked"]),
        (200, &json!(true)),
        "{answer}"
    );
    // For an app this is a stop, with the reason that its SDK knows.
    let mut kicked = kicked;
    assert!(matches!(kicked.next_answering(), Event::Text(t) if t.contains("app_stopped")));
    assert_eq!(until_closed(kicked), (1000, "App stopped".to_owned()));
    let refused = Client::refused(gateway.addr, "/tpa-ws?user=eve&package=p");
    assert_eq!(refused.status, 403);
    let after = refused.header("retry-after").and_then(|s| s.parse().ok());
    assert!(
        after.is_some_and(|s: u32| (1..=600).contains(&s)),
        "{refused:?}"
    );
    gateway.line(&["close class=none", "cause=blocked", "code=http_403"]);
    gateway.line(&[
        "operator action=kick",
        "user=eve package=p block_ms=600000 blocked=true",
    ]);
    let blocks = gateway.api("/api/v1/blocks");
    assert_eq!(blocks["blocks"][0]["user"], "eve", "{blocks}");
    assert_eq!(gateway.metrics().get("pulsegate_blocked_identities"), 1.0);
    // Only that identity is blocked.
    let same_user = app(&gateway, "eve", "r");
    let (status, _) = gateway.act("DELETE", "/api/v1/blocks?user=eve&package=p", "");
    assert_eq!(status, 204);
    assert_eq!(
        gateway
            .act("DELETE", "/api/v1/blocks?user=eve&package=p", "")
            .0,
        404
    );
    gateway.line(&["operator action=unblock user=eve package=p"]);
    let back = app(&gateway, "eve", "p");
    assert_eq!(gateway.act("POST", &path, "{}").0, 404, "it is gone");
    drop((other, same_user, back));
    gateway.end();
}

#[test]
fn what_a_kick_could_not_do_is_said_and_logged() {
    let gateway = quiet();
    // A generated name is never used again, so it is not blocked.
    let mut unnamed = Client::open(gateway.addr, "/glasses-ws");
    let id = gateway.connection("class=glasses")["id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    let path = format!("/api/v1/connections/{id}/kick");
    for reason in ["App stopped", "now: User session ended!"] {
        let body = json!({ "reason": reason }).to_string();
        let (status, answer) = gateway.act("POST", &path, &body);
        assert_eq!(status, 400, "{reason}: {answer}");
    }
    let (status, answer) = gateway.act("POST", &path, r#"{"block_ms":1000,"reason":"a b"}"#);
    let error = answer["error"].as_str().expect("words");
    assert!(status == 409 && error.contains("not blocked"), "{answer}");
    let line = gateway.line(&["operator action=kick", &format!("id={id} ")]);
    assert!(
        line.contains("block_ms=1000 blocked=false reason=\"a b\""),
        "{line}"
    );
    // It has not answered the close frame yet.
    let (status, answer) = gateway.act("POST", &path, "{}");
    let error = answer["error"].as_str().expect("words");
    assert!(status == 409 && error.contains("already"), "{answer}");
    assert!(matches!(unnamed.next(), Event::Close(4000, reason) if reason == "a b"));
    assert_eq!(gateway.lines(&["operator action=kick"]).len(), 1);
    // A client that does not wait for the answer.
    let eve = glasses(&gateway, "eve");
    let id = gateway.connection("user=eve")["id"].clone();
    let id = id.as_str().expect("an id");
    let request = format!(
        "POST /api/v1/connections/{id}/kick HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    let mut hasty = gateway.admin_stream();
    hasty.write_all(request.as_bytes()).expect("room");
    drop(hasty);
    // The log records the action, whether the answer was read or not.
    drop(eve);
    let line = gateway.line(&["close ", "user=eve"]);
    let logged = gateway.lines(&["operator action=kick", &format!("id={id} ")]);
    assert_eq!(line.contains("cause=kicked"), logged.len() == 1, "{line}");
    drop(unnamed);
    gateway.end();
}

#[test]
fn one_class_is_drained_and_the_other_does_not_notice() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let apps: Vec<Client> = (0..40)
        .map(|i| app(&gateway, &format!("d{i}"), "drained"))
        .collect();
    // The control clients are apps and glasses; a search by package finds only the apps of this
    // test.
    let (status, answer) = gateway.act(
        "POST",
        "/api/v1/drain",
        r#"{"class":"glasses","spread_ms":0,"refuse_ms":0}"#,
    );
    assert_eq!(status, 202, "{answer}");
    let closed = answer["connections"].as_u64().expect("a number");
    eventually("all glasses are gone", || {
        let told = gateway.api("/api/v1/causes");
        (told["since_start"]["closed"]["glasses"]["draining"] == closed).then_some(())
    });
    let list = gateway.api("/api/v1/connections?package=drained");
    assert_eq!(list["matched"], 40);
    let (status, answer) = gateway.act(
        "POST",
        "/api/v1/drain",
        r#"{"class":"app","spread_ms":300,"refuse_ms":3600000}"#,
    );
    assert_eq!(status, 202, "{answer}");
    for app in apps {
        assert_eq!(until_closed(app), (1012, "service restart".to_owned()));
    }
    let refused = Client::refused(gateway.addr, "/tpa-ws?user=new&package=p");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    gateway.line(&["close class=none", "cause=draining", "code=http_503"]);
    assert_eq!(
        gateway.api("/api/v1/overview")["drained_classes"],
        json!(["app"])
    );
    let newcomer = glasses(&gateway, "new");
    assert_eq!(gateway.act("DELETE", "/api/v1/drain/app", "").0, 204);
    assert_eq!(gateway.act("DELETE", "/api/v1/drain/app", "").0, 404);
    let back = app(&gateway, "new", "p");
    drop((newcomer, back, controls));
    gateway.end();
}

#[test]
fn a_drain_of_all_ends_the_gateway_as_a_signal_does() {
    let mut gateway = Gateway::start(&[("DRAIN_MS", "60000")]);
    let client = glasses(&gateway, "ada");
    assert_eq!(gateway.admin_request("GET", "/readyz", "", "").status, 200);
    let (status, answer) = gateway.act(
        "POST",
        "/api/v1/drain",
        r#"{"class":"all","delay_ms":3600000,"spread_ms":0}"#,
    );
    assert_eq!(
        (status, &answer["connections"], &answer["class"]),
        (202, &json!(1), &json!("all")),
        "{answer}"
    );
    eventually("it is not ready any more", || {
        let ready = gateway.admin_request("GET", "/readyz", "", "");
        (ready.status == 503 && ready.body.contains("draining")).then_some(())
    });
    assert_eq!(gateway.admin_request("GET", "/healthz", "", "").status, 200);
    assert_eq!(gateway.metrics().get("pulsegate_draining"), 1.0);
    drop(client);
    // A second drain shortens the delay of an hour; a signal may be that drain, too.
    gateway.signal("TERM");
    gateway.signal("TERM");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_signal_cuts_a_long_drain_short_and_a_longer_drain_changes_nothing() {
    let mut gateway = Gateway::start(&[("DRAIN_MS", "0"), ("DRAIN_DELAY_MS", "0")]);
    let mut client = glasses(&gateway, "ada");
    let drain = |delay: u64, spread: u64| {
        let times = json!({"class":"all","delay_ms":delay,"spread_ms":spread}).to_string();
        let (status, answer) = gateway.act("POST", "/api/v1/drain", &times);
        assert_eq!(status, 202, "{answer}");
        let ms = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("{answer}"));
        (ms("delay_ms"), ms("spread_ms"))
    };
    assert_eq!(drain(3_600_000, 3_000_000), (3_600_000, 3_000_000));
    let (delay, spread) = drain(7_200_000, 7_200_000);
    assert!((3_500_000..=3_600_000).contains(&delay), "{delay}");
    assert_eq!(spread, 3_000_000);
    assert_eq!(drain(1_800_000, 7_200_000), (1_800_000, 3_000_000));
    for effect in ["effect=drain", "effect=none", "effect=shorter"] {
        gateway.line(&["operator action=drain class=all", effect]);
    }
    // The client is told so.
    let list = gateway.api("/api/v1/connections");
    let id = list["connections"][0]["id"].as_str().expect("one");
    let told = gateway.api(&format!("/api/v1/connections/{id}"));
    let left = told["explain"]["drained"]["in_ms"]
        .as_u64()
        .expect("a drain");
    assert!((4_700_000..=4_800_000).contains(&left), "{told}");
    let text = told["explain"]["text"].to_string();
    assert!(
        text.contains("ms at the latest, cause draining, code 1012"),
        "{text}"
    );
    assert_eq!(gateway.health(), 503);
    gateway.signal("TERM");
    gateway.line(&["signal", "effect=drain", "delay_ms=0", "spread_ms=0"]);
    assert_eq!(client.expect_close(), (1012, "service restart".to_owned()));
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_full_gateway_is_not_ready() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("MAX_CONNECTIONS", "2")]);
    let guests = [glasses(&gateway, "a"), glasses(&gateway, "b")];
    eventually("it is not ready", || {
        let ready = gateway.admin_request("GET", "/readyz", "", "");
        (ready.status == 503
            && ready
                .body
                .contains("accepting is restricted: MAX_CONNECTIONS is reached"))
        .then_some(())
    });
    assert_eq!(gateway.metrics().get("pulsegate_accepting"), 0.0);
    drop(guests);
    eventually("it is ready again", || {
        (gateway.admin_request("GET", "/readyz", "", "").status == 200).then_some(())
    });
    gateway.end();
}

#[test]
fn a_policy_is_changed_live_within_the_bounds_of_the_start() {
    let gateway = quiet();
    let mut frozen = glasses(&gateway, "frozen");
    let path = "/api/v1/policies/glasses";
    let (status, answer) = gateway.act(
        "PATCH",
        path,
        r#"{"heartbeat_interval_ms":5,"connection_timeout_ms":3}"#,
    );
    let error = answer["error"].as_str().expect("words");
    assert_eq!(status, 400);
    assert!(
        error.contains("heartbeat_interval") && error.contains("connection_timeout"),
        "all faults: {error}"
    );
    let (status, answer) = gateway.act("PATCH", path, r#"{"connection_timeout_ms":20000}"#);
    assert_eq!(status, 400, "not more than the interval: {answer}");
    let before = gateway.api("/api/v1/policies");
    assert_eq!(before["glasses"]["connection_timeout_ms"], 60_000);
    let body = r#"{"heartbeat_interval_ms":1000,"connection_timeout_ms":3000}"#;
    let (status, answer) = gateway.act("PATCH", path, body);
    assert_eq!(
        (status, &answer["connection_timeout_ms"]),
        (200, &json!(3_000)),
        "{answer}"
    );
    assert_eq!(
        gateway.api("/api/v1/policies")["app"]["connection_timeout_ms"],
        60_000
    );
    gateway.line(&["operator action=policy class=glasses"]);
    // No warning yet: it comes when one lost ping would close a live peer, as at the start.
    assert_eq!(gateway.lines(&["[WARN]", "one lost ping"]), [""; 0]);
    let (status, _) = gateway.act("PATCH", path, r#"{"connection_timeout_ms":1999}"#);
    assert_eq!(status, 200);
    gateway.line(&[
        "[WARN] connection_timeout_ms of class glasses is 1999, less than twice \
         heartbeat_interval_ms, which is 1000: one lost ping would close a live peer; set it to at \
         least 2000",
    ]);
    // Under the old policy it would have had a minute.
    let (_, event) = frozen.next_mute();
    assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
    gateway.end();
}

#[test]
fn the_log_level_is_changed_live() {
    let gateway = quiet();
    assert_eq!(gateway.api("/api/v1/log-level")["level"], "info");
    drop(glasses(&gateway, "unseen"));
    gateway.line(&["close ", "user=unseen"]);
    let (status, _) = gateway.act("PUT", "/api/v1/log-level", r#"{"level":"debug"}"#);
    assert_eq!(status, 200);
    drop(glasses(&gateway, "seen"));
    gateway.line(&["[DEBUG] open ", "user=seen"]);
    assert_eq!(gateway.lines(&["open ", "user=unseen"]), [""; 0]);
    assert_eq!(
        gateway
            .act("PUT", "/api/v1/log-level", r#"{"level":"off"}"#)
            .0,
        400
    );
    gateway.end();
}

// ---- access ----

/// Returns every path of the OpenAPI document with its methods, and the paths that it does not
/// list.
fn all_paths(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut all: Vec<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    assert!(all.len() >= 21, "{all:?}");
    all.push(("GET".to_owned(), "/nowhere".to_owned()));
    all
}

#[test]
fn nothing_is_reached_without_the_token() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let document = gateway.admin_request("GET", "/api/v1/openapi.json", &bearer, "");
    assert_eq!(document.status, 200);
    let document: Value = serde_json::from_str(&document.body).expect("JSON");
    let wrong = format!("Authorization: Bearer {}x\r\n", &TOKEN[..31]);
    let short = format!("Authorization: Bearer {}\r\n", &TOKEN[..31]);
    let basic = format!("Authorization: Basic {TOKEN}\r\n");
    let refused = |method: &str, path: &str| {
        for header in [
            "",
            "Authorization: Bearer \r\n",
            "Authorization:\r\n",
            &wrong,
            &short,
            &basic,
        ] {
            let response = gateway.admin_request(method, path, header, "");
            assert_eq!(
                response.status, 401,
                "{method} {path} {header:?}: {response:?}"
            );
            assert!(
                response.header("www-authenticate").is_some(),
                "{response:?}"
            );
        }
    };
    let paths: Vec<(String, String)> = all_paths(&document)
        .into_iter()
        .map(|(method, path)| {
            let path = path.replace("{id}", "1.1").replace("{class}", "app");
            (method, path.replace("{user}", "u"))
        })
        .collect();
    // Except the probes, which reveal nothing else.
    let paths: Vec<_> = paths
        .into_iter()
        .filter(|(_, path)| !matches!(&**path, "/healthz" | "/readyz"))
        .collect();
    // In parallel, because wrong tokens are delayed.
    std::thread::scope(|scope| {
        for (method, path) in &paths {
            scope.spawn(|| refused(method, path));
        }
    });
    for (method, path) in &paths {
        // tests/admin/page.rs reads the endless stream.
        if path != "/api/v1/live" {
            let response = gateway.admin_request(method, path, &bearer, "");
            assert_ne!(response.status, 401, "{method} {path}: {response:?}");
        }
    }
    // A token in the address does not count, because addresses are logged.
    let path = format!("/api/v1/overview?token={TOKEN}");
    assert_eq!(gateway.admin_request("GET", &path, "", "").status, 401);
    let log = gateway.log.clone();
    gateway.end();
    let log = log.lock().expect("no panic");
    assert!(!log.iter().any(|line| line.contains(TOKEN)), "{log:?}");
}

#[test]
fn a_page_of_another_origin_can_neither_read_nor_act() {
    let gateway = quiet();
    let own = gateway.admin.expect("an address").to_string();
    let json_body = "Content-Type: application/json\r\n";
    for headers in [
        "Origin: http://evil.example\r\n".to_owned(),
        "Origin: null\r\n".to_owned(),
        format!("Origin: http://{own}.evil.example\r\n"),
        "Origin: http://localhost:3000\r\n".to_owned(),
        "Sec-Fetch-Site: cross-site\r\n".to_owned(),
        "Sec-Fetch-Site: same-site\r\n".to_owned(),
    ] {
        for (method, path, body) in [
            ("GET", "/api/v1/overview", ""),
            ("GET", "/metrics", ""),
            ("GET", "/api/v1/live", ""),
            ("PUT", "/api/v1/log-level", r#"{"level":"trace"}"#),
            ("POST", "/api/v1/drain", r#"{"class":"all"}"#),
            ("OPTIONS", "/api/v1/drain", ""),
        ] {
            let response =
                gateway.admin_request(method, path, &format!("{headers}{json_body}"), body);
            assert_eq!(
                response.status, 403,
                "{method} {path} {headers}: {response:?}"
            );
            assert!(response.header("access-control-allow-origin").is_none());
        }
    }
    // DNS rebinding: the page's own name resolves to us, so the browser considers it the same
    // origin.
    for host in [
        "evil.example",
        "evil.example:9002",
        "localhost.evil.example",
        "",
    ] {
        let request =
            format!("GET /api/v1/overview HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.admin_raw(request.as_bytes()).status, 403, "{host}");
    }
    // A form can send a body without a preflight request, but not as JSON.
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let all = r#"{"class":"all"}"#;
        let response = gateway.admin_request("POST", "/api/v1/drain", kind, all);
        assert_eq!(response.status, 415, "{kind}: {response:?}");
    }
    // Our own pages, and clients that are not browsers.
    for headers in [
        String::new(),
        format!("Origin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n"),
        "Sec-Fetch-Site: none\r\n".to_owned(),
    ] {
        assert_eq!(
            gateway
                .admin_request("GET", "/api/v1/overview", &headers, "")
                .status,
            200,
            "{headers}"
        );
    }
    for host in ["localhost", "localhost:9002", "127.0.0.1", "[::1]:9002"] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.admin_raw(request.as_bytes()).status, 200, "{host}");
    }
    assert_eq!(
        gateway.api("/api/v1/log-level")["level"],
        "info",
        "nothing was done"
    );
    gateway.end();
}

/// Requests of load balancers and orchestrators: any Host or none, HTTP/1.0, OPTIONS, no token.
#[test]
fn probes_are_answered_without_a_token_and_nothing_else_is() {
    let open = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_HOSTS", "Gate.example.org,inner")]);
    let closed = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let ask = |gateway: &Gateway, method: &str, path: &str, rest: &str| {
        let request = format!("{method} {path} {rest}Connection: close\r\n\r\n");
        gateway.admin_raw(request.as_bytes()).status
    };
    for gateway in [&open, &closed] {
        for path in ["/healthz", "/readyz"] {
            for method in ["GET", "HEAD", "OPTIONS"] {
                for rest in [
                    "HTTP/1.0\r\n",
                    "HTTP/1.0\r\nHost: pod.example\r\n",
                    "HTTP/1.1\r\nHost: 10.1.2.3:9002\r\n",
                    "HTTP/1.1\r\nHost: pod.example:9002\r\n",
                    "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n",
                ] {
                    let status = ask(gateway, method, path, rest);
                    assert_eq!(status, 200, "{method} {path} {rest}");
                }
            }
            let post = ask(gateway, "POST", path, "HTTP/1.1\r\nHost: x\r\n");
            assert_ne!(post, 200, "POST {path}");
        }
    }
    // With the token any Host is accepted, but exactly one.
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (host, status) in [
        ("Host: pulsegate_upstream\r\n", 200),
        ("Host: a.example\r\n", 200),
        ("", 400),
    ] {
        let rest = format!("HTTP/1.1\r\n{host}{bearer}");
        assert_eq!(ask(&closed, "GET", "/metrics", &rest), status, "{host}");
    }
    // Without a token, only the names of this listener.
    for (host, status) in [
        ("gate.example.org", 200),
        ("GATE.EXAMPLE.ORG:9002", 200),
        ("inner", 200),
        ("evil.example", 403),
        ("gate.example.org.evil.example", 403),
        ("", 403),
    ] {
        let rest = format!("HTTP/1.1\r\nHost: {host}\r\n");
        assert_eq!(ask(&open, "GET", "/metrics", &rest), status, "{host}");
        assert_eq!(ask(&open, "GET", "/", &rest), status, "{host}: the page");
    }
    assert_eq!(ask(&open, "GET", "/metrics", "HTTP/1.0\r\n"), 400);
    open.end();
    closed.end();
}

/// nginx sends its upstream's name as the Host, which differs from the Origin of the page.
#[test]
fn a_page_behind_a_proxy_may_act() {
    let act = |gateway: &Gateway, headers: &str| {
        let body = r#"{"level":"info"}"#;
        let request = format!(
            "PUT /api/v1/log-level HTTP/1.1\r\nHost: 127.0.0.1:9002\r\n\
             Origin: https://ops.example.org\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        gateway.admin_raw(request.as_bytes()).status
    };
    let open = quiet();
    assert_eq!(act(&open, "Sec-Fetch-Site: same-origin\r\n"), 200);
    for headers in [
        "",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        assert_eq!(act(&open, headers), 403, "{headers}");
    }
    open.end();
    let closed = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(act(&closed, &bearer), 200);
    assert_eq!(
        act(&closed, &format!("{bearer}Sec-Fetch-Site: same-site\r\n")),
        200
    );
    assert_eq!(act(&closed, "Sec-Fetch-Site: same-origin\r\n"), 401);
    closed.end();
}

#[test]
fn malformed_requests_of_every_kind_get_a_clear_4xx() {
    let gateway = quiet();
    let client = glasses(&gateway, "ada");
    let kick = "/api/v1/connections/0.1/kick";
    let long = "x".repeat(20_000);
    let rows: &[(&str, &str, &str, u16)] = &[
        ("GET", "/nowhere", "", 404),
        ("GET", "/api/v1", "", 404),
        ("GET", "/api/v2/overview", "", 404),
        ("POST", "/api/v1/overview", "{}", 405),
        ("DELETE", "/metrics", "", 405),
        ("GET", kick, "", 405),
        ("GET", "/api/v1/connections?limit=0", "", 400),
        ("GET", "/api/v1/connections?limit=1001", "", 400),
        ("GET", "/api/v1/connections?limit=-1", "", 400),
        (
            "GET",
            "/api/v1/connections?limit=99999999999999999999",
            "",
            400,
        ),
        ("GET", "/api/v1/connections?limit=ten", "", 400),
        ("GET", "/api/v1/connections?class=phones", "", 400),
        ("GET", "/api/v1/connections?state=dead", "", 400),
        ("GET", "/api/v1/connections?sort=name", "", 400),
        ("GET", "/api/v1/connections?order=up", "", 400),
        ("GET", "/api/v1/connections?after=zzz", "", 400),
        ("GET", "/api/v1/connections?after=-", "", 400),
        ("GET", "/api/v1/connections?address=localhost", "", 400),
        ("GET", "/api/v1/connections?address=10.0.0.0/33", "", 400),
        ("GET", "/api/v1/connections?usr=ada", "", 400),
        ("GET", "/api/v1/connections?class=app&class=app", "", 400),
        ("GET", "/api/v1/connections/x", "", 400),
        ("GET", "/api/v1/connections/0", "", 400),
        ("GET", "/api/v1/connections/-1.2", "", 400),
        ("GET", "/api/v1/connections/4294967296.1", "", 400),
        ("GET", "/api/v1/connections/%ff", "", 400),
        ("GET", "/api/v1/connections/9.9", "", 404),
        ("GET", "/api/v1/closed/9.9", "", 404),
        ("GET", "/api/v1/closed?cause=boredom", "", 400),
        ("GET", "/api/v1/closed?before=x", "", 400),
        ("GET", "/api/v1/causes?minutes=0", "", 400),
        ("GET", "/api/v1/causes?minutes=61", "", 400),
        ("GET", "/api/v1/sessions?limit=5000", "", 400),
        ("POST", "/api/v1/connections/9.9/kick", "{}", 404),
        ("POST", kick, "", 415),
        ("POST", kick, "{", 400),
        ("POST", kick, "[]", 400),
        ("POST", kick, "null", 400),
        ("POST", kick, r#"{"reason":5}"#, 400),
        ("POST", kick, r#"{"reason":"a","because":"b"}"#, 400),
        ("POST", kick, r#"{"block_ms":-1}"#, 400),
        ("POST", kick, r#"{"block_ms":86400001}"#, 400),
        ("POST", kick, r#"{"block_ms":1e3}"#, 400),
        ("POST", "/api/v1/drain", "{}", 400),
        ("POST", "/api/v1/drain", r#"{"class":null}"#, 400),
        ("POST", "/api/v1/drain", r#"{"class":"both"}"#, 400),
        ("POST", "/api/v1/drain", r#"["all"]"#, 400),
        (
            "POST",
            "/api/v1/drain",
            r#"{"class":"app","delay_ms":1}"#,
            400,
        ),
        (
            "POST",
            "/api/v1/drain",
            r#"{"class":"all","refuse_ms":1}"#,
            400,
        ),
        (
            "POST",
            "/api/v1/drain",
            r#"{"class":"all","spread_ms":86400001}"#,
            400,
        ),
        ("DELETE", "/api/v1/drain/all", "", 400),
        ("DELETE", "/api/v1/drain/app", "", 404),
        ("DELETE", "/api/v1/blocks", "", 400),
        ("DELETE", "/api/v1/blocks?user=ada", "", 404),
        ("PATCH", "/api/v1/policies/phones", "{}", 400),
        (
            "PATCH",
            "/api/v1/policies/app",
            r#"{"suspect_after":0}"#,
            400,
        ),
        (
            "PATCH",
            "/api/v1/policies/app",
            r#"{"suspect_after":65536}"#,
            400,
        ),
        (
            "PATCH",
            "/api/v1/policies/app",
            r#"{"heartbeat_mode":"never"}"#,
            400,
        ),
        (
            "PATCH",
            "/api/v1/policies/app",
            r#"{"heartbeat_interval_ms":9}"#,
            400,
        ),
        (
            "PATCH",
            "/api/v1/policies/app",
            r#"{"connection_timeout_ms":86400001}"#,
            400,
        ),
        (
            "PATCH",
            "/api/v1/policies/app",
            r#"{"close_timeout_ms":0}"#,
            400,
        ),
        ("PUT", "/api/v1/log-level", r#"{"level":"loud"}"#, 400),
        ("PUT", "/api/v1/log-level", "{}", 400),
        ("PUT", "/api/v1/log-level", r#"["debug"]"#, 400),
        ("PUT", "/api/v1/log-level", r#""debug""#, 400),
        (
            "PUT",
            "/api/v1/log-level",
            r#"{"level":"debug","level":"info"}"#,
            400,
        ),
        ("PATCH", "/api/v1/policies/app", "[20000]", 400),
        ("POST", kick, &long, 413),
    ];
    for (method, path, body, expected) in rows {
        let (status, answer) = gateway.act(method, path, body);
        assert_eq!(status, *expected, "{method} {path} {body:.80}: {answer}");
        assert_eq!(answer["status"], *expected);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.len() > 5, "{method} {path}: {answer}");
    }
    // Not even HTTP.
    let long_head = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    for (request, expected) in [
        (
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
            400,
        ),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 400), // no Host
        (b"GET /metrics HTTP/1.0\r\n\r\n", 400),
        (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\n\r\n",
            400,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
            400,
        ),
        (long_head.as_bytes(), 431),
    ] {
        let response = gateway.admin_raw(request);
        assert_eq!(
            response.status,
            expected,
            "{:.60}: {response:?}",
            String::from_utf8_lossy(request)
        );
    }
    assert_eq!(
        gateway.connection("user=ada")["state"],
        "healthy",
        "no connection was hurt"
    );
    drop(client);
    gateway.end();
}

/// Sends a request over a keep-alive connection and reads its answer.
fn ask_over(stream: &mut TcpStream, headers: &str) -> String {
    let path = "/api/v1/log-level";
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("room");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"}") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1);
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("UTF-8")
}

/// Returns whether the other side has closed this connection.
fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    let read = (&*stream).read(&mut [0]);
    stream.set_nonblocking(false).expect("a mode");
    match read {
        Ok(0) => true,
        Ok(_) => panic!("nothing more was to come"),
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn requests_without_a_token_keep_none_out_that_have_it() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    // A connection is closed after a refusal.
    for (headers, status) in [
        (String::new(), "401"),
        (format!("{bearer}Host: evil.example\r\n"), "400"),
    ] {
        let mut stranger = gateway.admin_stream();
        let answer = ask_over(&mut stranger, &headers);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}"))
                && answer.contains("connection: close"),
            "{answer}"
        );
        assert_eq!(stranger.read(&mut [0]).expect("an end"), 0);
    }
    // Operators with all the places that they may keep, and unproven connections with the rest.
    let mut operators: Vec<TcpStream> = (0..56).map(|_| gateway.admin_stream()).collect();
    for operator in &mut operators {
        assert!(ask_over(operator, &bearer).starts_with("HTTP/1.1 200"));
    }
    let strangers: Vec<TcpStream> = (0..8).map(|_| gateway.admin_stream()).collect();
    let mut newcomer = gateway.admin_stream();
    assert!(ask_over(&mut newcomer, &bearer).starts_with("HTTP/1.1 200"));
    eventually("a stranger has gone", || {
        is_over(&strangers[0]).then_some(())
    });
    // The operator that has been idle for longest makes room; it is not the oldest.
    eventually("it has gone", || is_over(&operators[0]).then_some(()));
    operators.remove(0);
    assert!(ask_over(&mut operators[0], &bearer).starts_with("HTTP/1.1 200"));
    let mut another = gateway.admin_stream();
    assert!(ask_over(&mut another, &bearer).starts_with("HTTP/1.1 200"));
    eventually("it has gone", || is_over(&operators[1]).then_some(()));
    operators.remove(1);
    // A flood of unproven connections, some silent, some not: it takes no operator's place, and
    // does not delay others.
    let strangers: Vec<TcpStream> = (0..200)
        .map(|i| {
            let mut stranger = gateway.admin_stream();
            // It may have been closed already.
            let _ = stranger.write_all([&b""[..], b"GET / HTTP/1.1\r\n"][i % 2]);
            stranger
        })
        .collect();
    operators.extend([newcomer, another]);
    for operator in &mut operators {
        assert!(ask_over(operator, &bearer).starts_with("HTTP/1.1 200"));
    }
    drop(strangers);
    gateway.end();
}

/// Requests the page over a keep-alive connection and reads all of it.
fn ask_for_page(stream: &mut TcpStream) {
    let request = b"GET /page/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("room");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"</svg>\n") {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1);
        answer.push(byte[0]);
    }
}

#[test]
fn strangers_that_fetch_the_page_do_not_evict_an_operator() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut operator = gateway.admin_stream();
    assert!(ask_over(&mut operator, &bearer).starts_with("HTTP/1.1 200"));
    let strangers: Vec<TcpStream> = (0..70)
        .map(|_| {
            let mut stranger = gateway.admin_stream();
            ask_for_page(&mut stranger);
            stranger
        })
        .collect();
    assert!(ask_over(&mut operator, &bearer).starts_with("HTTP/1.1 200"));
    eventually("strangers beyond their 56 places have made room", || {
        (strangers.iter().filter(|s| is_over(s)).count() == 14).then_some(())
    });
    gateway.end();
}

#[test]
fn what_has_arrived_is_read_before_a_connection_makes_room() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let request =
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    // Everything waits when the gateway continues: first the operators, then a flood.
    gateway.signal("STOP");
    let operators: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut operator = gateway.admin_stream();
            operator.write_all(request.as_bytes()).expect("room");
            operator
        })
        .collect();
    let flood: Vec<TcpStream> = (0..300).map(|_| gateway.admin_stream()).collect();
    gateway.signal("CONT");
    for mut operator in operators {
        let mut status = [0; 12];
        operator.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    drop(flood);
    gateway.end();
}

#[test]
fn a_flood_of_connections_resets_no_operators_new_one() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let made = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    // The queue may be full.
                    let addr = gateway.admin.expect("an address");
                    held.extend(TcpStream::connect(addr).ok());
                    if held.len() > 200 {
                        held.pop_front();
                    }
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the flood", || {
                (made.load(std::sync::atomic::Ordering::Relaxed) > 1_000).then_some(())
            });
            for _ in 0..300 {
                let response = gateway.admin_request("GET", "/healthz", &bearer, "");
                assert_eq!(response.status, 200, "{response:?}");
            }
        }));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = asked {
            std::panic::resume_unwind(panic);
        }
    });
    gateway.end();
}

/// A request with a body that does not arrive.
const SLOW_BODY: &[u8] =
    b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                           Content-Length: 19\r\n\r\n{";

#[test]
fn slow_bodies_without_the_token_are_refused_at_the_head() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("ADMIN_TOKEN", TOKEN)]);
    for _ in 0..80 {
        let mut stranger = gateway.admin_stream();
        stranger.write_all(SLOW_BODY).expect("room");
        let mut answer = Vec::new();
        // It may end with a reset, because its last bytes were not read.
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{answer:?}");
    }
    gateway.end();
}

#[test]
fn slow_bodies_make_room_where_there_is_no_token() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("LOG_LEVEL", "debug")]);
    // One that was answered before, and one that was not.
    let slow: Vec<TcpStream> = (0..80)
        .map(|i| {
            let mut stream = gateway.admin_stream();
            if i % 2 == 0 {
                assert!(ask_over(&mut stream, "").starts_with("HTTP/1.1 200"));
            }
            stream.write_all(SLOW_BODY).expect("room");
            stream
        })
        .collect();
    let mut operator = gateway.admin_stream();
    assert!(ask_over(&mut operator, "").starts_with("HTTP/1.1 200"));
    gateway.line(&["admin connection ended", "made room"]);
    // The youngest continues where it was.
    let mut youngest = slow.last().expect("one");
    youngest.write_all(b"\"class\":\"nowhere\"}").expect("room");
    let mut status = [0; 12];
    youngest.read_exact(&mut status).expect("an answer");
    assert!(status.starts_with(b"HTTP/1.1 4"), "{status:?}");
    assert!(ask_over(&mut operator, "").starts_with("HTTP/1.1 200"));
    gateway.end();
}

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

#[test]
fn an_app_server_that_answers_100_continue_for_ever_holds_no_other_request_up() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/webhook",
        server.local_addr().expect("an address")
    );
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let some = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
                while stream.write_all(&some).is_ok() {}
            });
        }
    });
    let apps: Vec<Value> = (0..16)
        .map(|n| json!({"package": format!("p{n}"), "api_key": "key", "webhook_url": url}))
        .collect();
    let file = std::env::temp_dir().join(format!("pulsegate-continue-{}", std::process::id()));
    std::fs::write(&file, Value::from(apps).to_string()).expect("a file");
    let secret = "the-secret-of-this-test-and-no-other";
    // These webhooks never time out.
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("AUTH_JWT_SECRET", secret),
        ("APPS_FILE", file.to_str().expect("UTF-8")),
        ("WEBHOOK_TIMEOUT_MS", "3600000"),
    ]);
    let path = format!("/glasses-ws?token={}", crate::tokens::token("ada", secret));
    let mut glasses = Client::open(gateway.addr, &path);
    for n in 0..16 {
        glasses
            .send_text(&json!({"type": "start_app", "packageName": format!("p{n}")}).to_string());
    }
    for _ in 0..100 {
        let response = gateway.admin_request("GET", "/healthz", "", "");
        assert_eq!(response.status, 200);
    }
    gateway.line(&[
        "outcome=unreachable",
        "no final response head within the first 65536 bytes",
    ]);
    // The user is told this, and no more.
    let told = loop {
        match glasses.next_answering() {
            Event::Text(text) if text.contains("app_stopped") => break text,
            Event::Text(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(
        told.contains("the app's server cannot be reached"),
        "{told}"
    );
    std::fs::remove_file(&file).expect("ours");
    gateway.end();
}

#[test]
fn a_reload_changes_where_webhooks_may_go() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/webhook",
        server.local_addr().expect("an address")
    );
    let name = |what: &str| {
        let name = format!("pulsegate-egress-{}-{what}", std::process::id());
        std::env::temp_dir().join(name)
    };
    let (apps, config) = (name("apps.json"), name("settings.toml"));
    let list = json!([{"package": "p", "api_key": "key", "webhook_url": url}]);
    std::fs::write(&apps, list.to_string()).expect("a file");
    std::fs::write(&config, "webhook_allow = ['203.0.113.0/24']").expect("a file");
    let secret = "the-secret-of-this-test-and-no-other";
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("AUTH_JWT_SECRET", secret),
        ("APPS_FILE", apps.to_str().expect("UTF-8")),
        ("CONFIG_FILE", config.to_str().expect("UTF-8")),
    ]);
    let path = format!("/glasses-ws?token={}", crate::tokens::token("ada", secret));
    let mut glasses = Client::open(gateway.addr, &path);
    let start = json!({"type": "start_app", "packageName": "p"}).to_string();
    glasses.send_text(&start);
    gateway.line(&["127.0.0.1 is in no network that WEBHOOK_ALLOW lists"]);
    loop {
        match glasses.next_answering() {
            Event::Text(text) if text.contains("app_stopped") => break,
            Event::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    std::fs::write(&config, "webhook_allow = ['127.0.0.0/8']").expect("a file");
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload webhook_allow="]);
    // The loop logs its part first; the signal thread applies the webhook settings, perhaps
    // slightly later.
    server.set_nonblocking(true).expect("ours");
    let mut asked = eventually("the app's server is asked", || {
        glasses.send_text(&start);
        server.accept().ok().map(|(stream, _)| stream)
    });
    asked.set_nonblocking(false).expect("ours");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        asked.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("UTF-8");
    assert!(head.contains("x-pulsegate-signature: t="), "{head}");
    for file in [apps, config] {
        std::fs::remove_file(file).expect("ours");
    }
    gateway.end();
}

#[test]
fn a_client_that_asks_nothing_does_not_stay() {
    let gateway = quiet();
    let mut silent = gateway.admin_stream();
    let mut trickling = gateway.admin_stream();
    trickling.write_all(b"GET / HTTP/1.1\r\n").expect("room");
    let mut answered = gateway.admin_stream();
    assert!(ask_over(&mut answered, "").starts_with("HTTP/1.1 200"));
    for stream in [&mut silent, &mut trickling] {
        let mut rest = Vec::new();
        // There may be an answer, or none.
        stream.read_to_end(&mut rest).expect("an end");
    }
    // After 5 s, not the 30 s for connections that have sent a request.
    assert!(!is_over(&answered));
    gateway.end();
}

#[test]
fn slow_readers_and_idlers_on_the_admin_listener_hold_no_request_up() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    // More than the limit: some request much and read nothing, some send nothing, some never
    // complete a request.
    let idlers: Vec<_> = (0..90)
        .map(|i| {
            let mut stream = gateway.admin_stream();
            let request =
                "GET /api/v1/connections?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
            let request = match i % 3 {
                0 => request.as_str(),
                1 => "GET /metrics HT",
                _ => "",
            };
            stream.write_all(request.as_bytes()).expect("room");
            stream
        })
        .collect();
    controls.await_pings(3);
    // Idle ones make room.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let mut stream = gateway.admin_stream();
        let asked = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        if asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK")
        {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{answer}");
    }
    controls.finish();
    drop(idlers);
    gateway.end();
}

#[test]
fn the_document_describes_what_is_there() {
    let gateway = quiet();
    let document = gateway.api("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    // Every response is described, and every reference resolves.
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    found.push(to.clone());
                }
                map.values().for_each(|v| references(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 30, "{found:?}");
    for reference in found {
        let name = reference.rsplit('/').next().expect("a name");
        assert!(schemas.contains_key(name), "{reference}");
    }
    for (method, path) in all_paths(&document) {
        let operation = &document["paths"][&path][method.to_lowercase()];
        if ["/", "/nowhere"].contains(&&*path) {
            continue;
        }
        assert!(
            operation["summary"].is_string(),
            "{method} {path}: {operation}"
        );
        for status in ["400", "401", "403"] {
            let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
            assert_eq!(
                schema["$ref"], "#/components/schemas/Problem",
                "{method} {path} {status}"
            );
        }
    }
    gateway.end();
}

const HANDBOOK: &str = include_str!("../../docs/operations.md");

/// Returns the names in backticks in the first cells of the handbook's table with this name.
fn handbook(table: &str) -> Vec<String> {
    let (_, rest) = HANDBOOK
        .split_once(&format!("<!-- {table}:begin -->"))
        .expect("a begin");
    let (rows, _) = rest
        .split_once(&format!("<!-- {table}:end -->"))
        .expect("an end");
    let cells = rows.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut found: Vec<String> = cells
        .flat_map(|line| {
            let cell = line.split(" | ").next().expect("a cell");
            cell.split("`, `")
                .map(|name| name.trim_end_matches('`').to_owned())
        })
        .collect();
    found.sort();
    found
}

/// Returns the lines of `# TYPE` as a map from the family to its type.
fn types(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = lines.map(|line| line.split_once(' ').expect("a name and a kind"));
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let gateway = quiet();
    let ask = |headers: &str| gateway.admin_request("GET", "/metrics", headers, "");
    // The format that every parser understands, unless the client asks for another.
    for headers in [
        "",
        "Accept: */*\r\n",
        "Accept: text/plain;version=0.0.4\r\n",
    ] {
        let page = ask(headers);
        let kind = page.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(page.header("vary"), Some("accept, accept-encoding"));
        let types = types(&page.body);
        let samples = page.body.lines().filter(|line| !line.starts_with('#'));
        for sample in samples {
            let end = sample.find(['{', ' ']).expect("a name");
            let name = &sample[..end];
            // A histogram has three names of one family.
            let family = ["", "_bucket", "_sum", "_count"]
                .into_iter()
                .filter_map(|ending| name.strip_suffix(ending))
                .find_map(|family| types.get(family));
            assert!(family.is_some(), "{name} is of no family with a type");
        }
        assert!(
            types
                .values()
                .all(|kind| kind != "unknown" && kind != "untyped")
        );
        assert!(!page.body.contains("# EOF") && !page.body.contains("# UNIT"));
    }
    let newer = ask("Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    let kind = newer.header("content-type");
    assert_eq!(
        kind,
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(newer.body.ends_with("# EOF\n"));
    // Compressed only if the client accepts it.
    let mut stream = gateway.admin_stream();
    let request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("room");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    assert!(String::from_utf8_lossy(head).contains("content-encoding: gzip"));
    let mut page = String::new();
    let mut decoder = flate2::read::GzDecoder::new(body);
    decoder
        .read_to_string(&mut page)
        .expect("what was compressed");
    assert_eq!(types(&page), types(&ask("").body));
    assert!(
        ask("Accept-Encoding: gzip;q=0\r\n")
            .header("content-encoding")
            .is_none()
    );
    gateway.end();
}

#[test]
fn the_handbook_has_every_metric_and_every_endpoint_and_no_other() {
    let gateway = quiet();
    let page = gateway.metrics().0;
    let mut metrics: Vec<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned()))
        .collect();
    metrics.sort();
    assert_eq!(metrics, handbook("metrics"));
    let document = gateway.api("/api/v1/openapi.json");
    let mut endpoints: Vec<String> = all_paths(&document)
        .into_iter()
        .map(|(method, path)| format!("{method} {path}"))
        .filter(|endpoint| endpoint != "GET /nowhere")
        .collect();
    endpoints.sort();
    assert_eq!(endpoints, handbook("endpoints"));
    gateway.end();
}

#[test]
fn a_loop_that_stands_still_is_not_ready_and_questions_to_it_do_not_pile_up() {
    use pulsegate::gateway::{
        Credentials, Desk, Gateway, Options as GatewayOptions, Progress, ProxyProtocol,
        RelaySettings,
    };
    use pulsegate::side::{self, SideOptions, WebhookOptions};
    use pulsegate::{ClassConfig, Config, Micros, Policy, Reactor};
    use std::sync::{Arc, Mutex};

    let gateway = Gateway::new(GatewayOptions {
        stats_interval: Micros::from_secs(60),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 10,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        restored: Vec::new(),
        products: Vec::new(),
    });
    let product_classes = gateway.classes().clone();
    let (closed, missed, errands) = (gateway.closed(), gateway.expired_peers(), gateway.errands());
    let classes = pulsegate::gateway::RELAY_CLASSES.map(|info| ClassConfig {
        name: info.name.to_owned(),
        policy: Policy::default(),
    });
    let config = Config {
        classes: classes.to_vec(),
        causes: &pulsegate::gateway::CAUSES,
        ..Config::default()
    };
    let listen = || pulsegate::reactor::listen("127.0.0.1:0".parse().expect("an address"), false);
    let mut reactor = Reactor::new(config, listen().expect("a port"), 10, gateway).expect("a loop");
    let desk: Desk = reactor.with_io(|gateway, io| gateway.desk(io.remote()));
    let admin = side::start(SideOptions {
        listener: Some(listen().expect("a port")),
        token: None,
        hosts: Vec::new(),
        desk: desk.clone(),
        causes: pulsegate::CauseTable::with(&pulsegate::gateway::CAUSES),
        classes: product_classes,
        closed,
        missed,
        alerts: Arc::default(),
        errands,
        webhooks: WebhookOptions {
            timeout: std::time::Duration::from_secs(10),
            websocket_url: "ws://127.0.0.1/app-ws".into(),
            settings: Arc::default(),
        },
        state: None,
        listen_addr: reactor.local_addr(),
        check_policy: |_| Ok(()),
        drain_times: Arc::new(Mutex::new((Micros::ZERO, Micros::ZERO))),
        drain: Arc::new(|_, _| {}),
    })
    .expect("the side thread");
    let admin = admin.addr().expect("a listener");
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(admin).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("room");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    // The loop does not turn: the test does not drive it.
    assert!(get("/healthz").starts_with("HTTP/1.1 200"));
    let ready = get("/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("the event loop is stalled"),
        "{ready}"
    );
    let overview = get("/api/v1/overview");
    assert!(
        overview.starts_with("HTTP/1.1 503") && overview.contains("has not answered for 5 s"),
        "{overview}"
    );
    while desk.send_sliced(Box::new(|_, _| Progress::Done)).is_ok() {}
    let busy = get("/metrics");
    assert!(
        busy.starts_with("HTTP/1.1 503") && busy.contains("64 requests wait"),
        "{busy}"
    );
    // The loop turns again, and processes the waiting requests, one slice a turn.
    let turning = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            eventually("it is ready", || {
                get("/readyz").starts_with("HTTP/1.1 200").then_some(())
            });
        });
        while !asking.is_finished() {
            let wait = Some(std::time::Duration::from_millis(10));
            reactor.run_turn(wait).expect("a turn");
        }
        asking.join()
    });
    assert!(turning.is_ok());
}
