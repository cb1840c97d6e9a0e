//! Alerts of a real gateway: in its log, in its API, and at a webhook receiver that is sometimes
//! down.
//!
//! Whether each rule fires when it should is tested beside the rules, on invented looks
//! (src/side/watch/alerts/tests).

use crate::alert_receiver::Receiver;
use crate::folder::Folder;
use crate::sockets::{Client, Event, Gateway, eventually, upgrade};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::process::Command;

/// Settings that make everything happen soon. Ten losses are a mass death, and only what the tests
/// cause is reported.
const FAST: [(&str, &str); 11] = [
    ("ALERT_INTERVAL_MS", "50"),
    ("ALERT_WINDOW_MS", "1500"),
    ("ALERT_RESOLVE_MS", "300"),
    ("ALERT_MASS_DEATH", "10"),
    ("ALERT_MASS_DEATH_WINDOW_MS", "1500"),
    // A machine that is busy with other tests must not cause an alert.
    ("ALERT_STALLS", "0"),
    ("ALERT_FDS_PERCENT", "0"),
    ("ALERT_MEMORY_PERCENT", "0"),
    // The clients of these tests do not answer heartbeats.
    ("ALERT_COHORT_LATE", "0"),
    ("ALERT_FLEET_LATE", "0"),
    ("FLAPPING_LIMIT", "3"),
];

pub(crate) fn start(more: &[(&str, &str)]) -> Gateway {
    Gateway::start(&[&FAST, more].concat())
}

/// Connects many glasses and loses all of them.
pub(crate) fn mass_death(gateway: &Gateway) {
    let open = |n| Client::open(gateway.addr, &format!("/glasses-ws?user=dies{n}"));
    let clients: Vec<Client> = (0..20).map(open).collect();
    drop(clients);
}

/// Waits until the alert with this name is in this state, and returns it as the API shows it.
#[track_caller]
pub(crate) fn alert(gateway: &Gateway, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), || {
        let list = gateway.api("/api/v1/alerts");
        let alerts = list["alerts"].as_array().expect("a list").clone();
        let mut those = alerts.into_iter();
        those.find(|alert| alert["name"] == name && alert["state"] == state)
    })
}

/// Asserts that these two posts tell of the alert as the API does.
fn assert_posts(gateway: &Gateway, got: &[Value], fired: &Value, resolved: &Value) {
    for (body, status) in got.iter().zip(["firing", "resolved"]) {
        assert_eq!(
            (&body["version"], &body["status"], &body["receiver"]),
            (&json!("4"), &json!(status), &json!("pulsegate"))
        );
        let item = &body["alerts"][0];
        assert_eq!(item["startsAt"], fired["since"]);
        assert_eq!(item["annotations"]["action"], fired["action"]);
        let instance = item["labels"]["instance"].as_str().expect("an instance");
        assert!(instance.ends_with(&format!(":{}", gateway.addr.port())));
        assert_eq!(
            item["generatorURL"],
            format!(
                "http://{}/api/v1/alerts/{}",
                gateway.admin.expect("there is one"),
                fired["id"]
            )
        );
    }
    assert_eq!(got[0]["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(got[1]["alerts"][0]["endsAt"], resolved["resolved_at"]);
    assert_eq!(
        got[0]["alerts"][0]["fingerprint"],
        got[1]["alerts"][0]["fingerprint"]
    );
}

#[test]
fn an_alert_is_told_once_everywhere_and_once_more_when_it_is_over() {
    let receiver = Receiver::new();
    let gateway = start(&[("ALERT_WEBHOOK_URL", &receiver.url())]);
    assert_eq!(
        gateway.api("/api/v1/alerts"),
        json!({
            "alerts": [],
            "total": 0,
            "sink": { "configured": true, "delivered": 0, "failed": 0, "last_error": null },
        })
    );
    mass_death(&gateway);
    let fired = alert(&gateway, "mass_death", "firing");
    assert_eq!(fired["labels"], json!({ "class": "glasses" }));
    assert_eq!(fired["resolved_at"], Value::Null);
    let summary = fired["summary"].as_str().expect("a summary");
    assert!(
        summary.contains(" connections from 127.0.0.0/24 were lost within 1.5 s, ")
            && summary.contains(" of them of class glasses, "),
        "{summary}"
    );
    let resolved = alert(&gateway, "mass_death", "resolved");
    assert_eq!(resolved["since"], fired["since"]);
    // Value and summary are from the same moment everywhere.
    let (value, summary) = (&resolved["value"], &resolved["summary"]);
    let words = summary.as_str().expect("a summary");
    assert!(
        words.starts_with(&format!(
            "{:.0} connections ",
            value.as_f64().expect("a number")
        )),
        "{resolved}"
    );
    receiver.wait_for(&[("mass_death", "firing"), ("mass_death", "resolved")]);
    let got = receiver.posts();
    assert_posts(&gateway, &got, &fired, &resolved);
    gateway.line(&[
        "[WARN] alert state=firing name=mass_death class=glasses severity=critical value=",
    ]);
    assert_eq!(&got[1]["alerts"][0]["annotations"]["summary"], summary);
    gateway.line(&[
        "[INFO] alert state=resolved name=mass_death class=glasses",
        &format!(" value={:.1} ", value.as_f64().expect("a number")),
        &format!(" summary={words:?}"),
    ]);
    assert_eq!(gateway.lines(&["alert state="]).len(), 2);
    assert!(gateway.lines(&["s3cret"]).is_empty());
    // The receiver has a request before the gateway has its answer.
    eventually("both posts are answered", || {
        let posts = "pulsegate_alert_posts_total{result=\"answered\"}";
        (gateway.metrics().get(posts) == 2.0).then_some(())
    });
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.get("pulsegate_alerts_firing{name=\"mass_death\"}"),
        0.0
    );
    gateway.end();
}

#[test]
fn a_release_that_dies_while_others_live_is_named() {
    let gateway = start(&[]);
    let open = |name: &str, n: usize| {
        let mut client = Client::connect(gateway.addr);
        let head = upgrade(&format!("/glasses-ws?user=u{n}"));
        client.write(format!("{}\r\nUser-Agent: {name}\r\n\r\n", head.trim_end()).as_bytes());
        client.switched();
        client
    };
    let stay: Vec<Client> = (0..60).map(|n| open("glasses-os/3.1", n)).collect();
    let die: Vec<Client> = (60..90).map(|n| open("glasses-os/3.2", n)).collect();
    drop(die);
    let wanted = r#"; 100 % of the losses have the user agent "glasses-os/3.2", which "#;
    let summary = eventually("the release is named", || {
        let fires = alert(&gateway, "mass_death", "firing");
        let summary = fires["summary"].as_str().expect("words").to_owned();
        summary.contains(wanted).then_some(summary)
    });
    assert!(summary.ends_with("check that client's release, or this block's network"));
    drop(stay);
    gateway.end();
}

#[test]
fn one_peer_that_is_lost_again_and_again_is_no_mass_death() {
    let gateway = start(&[("FLAPPING_LIMIT", "0")]);
    for n in 0..30 {
        drop(Client::open(gateway.addr, "/glasses-ws?user=ada"));
        eventually("it is noticed", || {
            let closed = gateway.api("/api/v1/closed");
            (closed["remembered"].as_u64() > Some(n)).then_some(())
        });
    }
    mass_death(&gateway);
    let fired = alert(&gateway, "mass_death", "firing");
    assert!(fired["value"].as_f64() <= Some(21.0), "{fired}");
    gateway.line(&["alert state=firing"]);
    assert_eq!(gateway.lines(&["alert state=firing"]).len(), 1);
    gateway.end();
}

#[test]
fn a_receiver_that_was_down_is_told_the_newest_state_of_each() {
    let receiver = Receiver::new();
    receiver.set_down(true);
    let gateway = start(&[("ALERT_WEBHOOK_URL", &receiver.url())]);
    mass_death(&gateway);
    alert(&gateway, "mass_death", "resolved");
    // Two connections with one identity take each other's place again and again.
    let path = "/app-ws?user=ada&package=org.flaps";
    let mut held = Vec::new();
    let refused = eventually("it is slowed", || {
        let mut client = Client::connect(gateway.addr);
        client.write(crate::sockets::upgrade(path).as_bytes());
        let mut line = String::new();
        let read = BufReader::new(&client.stream).read_line(&mut line);
        read.expect("a line");
        let status = line.split(' ').nth(1).expect("a status").to_owned();
        held.push(client);
        (status != "101").then_some(status)
    });
    assert_eq!(refused, "429");
    let flapping = alert(&gateway, "flapping", "firing");
    assert_eq!(
        flapping["labels"],
        json!({ "class": "app", "package": "org.flaps" })
    );
    assert_eq!(flapping["summary"], "org.flaps of ada reconnect too often");
    eventually("it was tried again", || {
        (receiver.refused() >= 2).then_some(())
    });
    let sink = gateway.api("/api/v1/alerts")["sink"].clone();
    assert_eq!(sink["delivered"], 0);
    assert_eq!(sink["last_error"], "answered with status 503");
    gateway.line(&["[WARN] alert sink=down error=\"answered with status 503\""]);
    receiver.set_down(false);
    receiver.wait_for(&[("mass_death", "resolved"), ("flapping", "firing")]);
    gateway.line(&["[INFO] alert sink=up"]);
    assert_eq!(gateway.lines(&["alert sink="]).len(), 2);
    let sink = gateway.api("/api/v1/alerts")["sink"].clone();
    assert_eq!(sink["last_error"], Value::Null);
    gateway.end();
}

#[test]
fn what_still_fires_is_posted_again() {
    let receiver = Receiver::new();
    let gateway = start(&[
        ("ALERT_WEBHOOK_URL", &receiver.url()),
        ("ALERT_REPEAT_MS", "300"),
        ("ALERT_RESOLVE_MS", "2000"),
    ]);
    mass_death(&gateway);
    eventually("it is posted again", || {
        (receiver.told().len() >= 3).then_some(())
    });
    let told = receiver.told();
    assert!(
        told[..3]
            .iter()
            .all(|(name, state)| name == "mass_death" && state == "firing")
    );
    gateway.line(&["alert state=firing"]);
    assert_eq!(gateway.lines(&["alert state=firing"]).len(), 1);
    gateway.end();
}

#[test]
fn a_reload_applies_and_off_is_off() {
    let folder = Folder::new();
    let write = |text: &str| folder.file("settings.toml", text);
    let file = write("alert_resolve_ms = 86400000\n");
    let fast = FAST.iter().filter(|(name, _)| *name != "ALERT_RESOLVE_MS");
    let mut settings: Vec<_> = fast.copied().collect();
    settings.push(("CONFIG_FILE", &file));
    let gateway = Gateway::start(&settings);
    mass_death(&gateway);
    alert(&gateway, "mass_death", "firing");
    write("alerts = \"off\"\nalert_resolve_ms = 86400000\n");
    gateway.signal("HUP");
    alert(&gateway, "mass_death", "resolved");
    mass_death(&gateway);
    // The connections of the second time have ended, and many looks have passed.
    eventually("they are gone", || {
        let closed = gateway.api("/api/v1/closed");
        (closed["remembered"].as_u64() >= Some(40)).then_some(())
    });
    for _ in 0..20 {
        gateway.api("/api/v1/alerts");
    }
    gateway.line(&["alert state=firing"]);
    assert_eq!(gateway.lines(&["alert state=firing"]).len(), 1);
    gateway.end();
}

#[test]
fn alerts_need_no_admin_listener() {
    let gateway = start(&[("ADMIN_ADDR", "off")]);
    mass_death(&gateway);
    gateway.line(&["alert state=firing name=mass_death"]);
    gateway.line(&["alert state=resolved name=mass_death"]);
    gateway.end();
}

#[test]
fn a_process_that_was_stopped_says_so() {
    let gateway = start(&[("ALERT_STALLS", "1"), ("HEARTBEAT_INTERVAL_MS", "200")]);
    // This gives the loop regular work.
    let mut client = Client::open(gateway.addr, "/glasses-ws?user=ada");
    while !matches!(client.next(), Event::Ping(_)) {}
    gateway.signal("STOP");
    // Longer than the limit that counts as noise.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    gateway.signal("CONT");
    let fired = alert(&gateway, "loop_stalls", "firing");
    assert_eq!(fired["labels"], json!({}));
    gateway.line(&["loop stalled"]);
    alert(&gateway, "loop_stalls", "resolved");
    gateway.line(&["alert state=resolved"]);
    assert_eq!(gateway.lines(&["alert state="]).len(), 2);
    gateway.end();
}

#[test]
fn what_goes_wrong_at_one_time_is_no_trouble_over_hours() {
    let gateway = start(&[("GLASSES_GRACE_MS", "50"), ("APP_GRACE_MS", "50")]);
    for _ in 0..3 {
        drop(Client::open(gateway.addr, "/glasses-ws?user=ada"));
        drop(Client::open(gateway.addr, "/glasses-ws")); // no identity
        eventually("it is waited for in vain", || {
            let users = gateway.api("/api/v1/sessions")["total"].clone();
            (users == 0).then_some(())
        });
    }
    // Six problems within a moment, and their records have arrived.
    eventually("all of it has come in", || {
        let ended = gateway.api("/api/v1/closed?user=ada")["closed"].clone();
        (ended.as_array().map(Vec::len) == Some(3)).then_some(())
    });
    assert_eq!(
        gateway.api("/api/v1/troubled"),
        json!({ "total": 0, "troubled": [] })
    );
    let wrong = gateway.admin_request("GET", "/api/v1/troubled?limit=0", "", "");
    assert_eq!(wrong.status, 400);
    gateway.end();
}

/// Connects glasses of these users.
fn crowd(gateway: &Gateway, users: Range<usize>) -> Vec<Client> {
    let open = |n| Client::open(gateway.addr, &format!("/glasses-ws?user=user{n}"));
    users.map(open).collect()
}

#[test]
fn a_house_that_fills_up_is_told_before_and_when_a_newcomer_is_refused() {
    let receiver = Receiver::new();
    let url = receiver.url();
    let gateway = start(&[
        ("MAX_CONNECTIONS", "10"),
        ("ALERT_LIMITS_FOR_MS", "200"),
        ("ALERT_WEBHOOK_URL", &url),
    ]);
    let mut clients = crowd(&gateway, 0..9);
    let near = alert(&gateway, "near_capacity", "firing");
    gateway.line(&["alert state=firing name=near_capacity severity=warning"]);
    assert_eq!(
        near["summary"],
        "9 of at most 10 connections are open, 90.0 % (threshold 90 %)"
    );
    clients.extend(crowd(&gateway, 9..10));
    // A request that a full gateway still answers does not count as refused.
    assert_eq!(gateway.health(), 200);
    let late = Client::refused(gateway.addr, "/glasses-ws?user=late");
    assert_eq!(late.status, 503, "{late:?}");
    let full = alert(&gateway, "at_capacity", "firing");
    gateway.line(&["alert state=firing name=at_capacity severity=critical"]);
    assert_eq!(
        full["summary"],
        "1 newcomer was refused within 1.5 s: 10 of at most 10 connections are open"
    );
    drop(clients);
    alert(&gateway, "at_capacity", "resolved");
    alert(&gateway, "near_capacity", "resolved");
    eventually("all of it is told", || {
        let told = receiver.told();
        let is_over = |name: &str| told.contains(&(name.to_owned(), "resolved".to_owned()));
        (is_over("at_capacity") && is_over("near_capacity")).then_some(())
    });
    gateway.end();
}

#[test]
fn a_full_house_of_descriptors_is_one_story() {
    let bare = Gateway::command(&[
        ("DRAIN_MS", "0"),
        ("ALERT_INTERVAL_MS", "50"),
        ("ALERT_WINDOW_MS", "1500"),
        ("ALERT_RESOLVE_MS", "300"),
        ("ALERT_LIMITS_FOR_MS", "200"),
        ("ALERT_CAPACITY_PERCENT", "80"),
        // The reserve is a large part of so few descriptors: at the limit, six tenths are open.
        ("ALERT_FDS_PERCENT", "56"),
        ("ALERT_MASS_DEATH", "0"),
        ("ALERT_STALLS", "0"),
        ("ALERT_MEMORY_PERCENT", "0"),
    ]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 400 && exec \"$0\""])
        .arg(bare.get_program())
        .envs(
            bare.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    let gateway = Gateway::start_unread(command).read();
    let most = gateway.api("/api/v1/overview")["connections_max"].clone();
    let most = most.as_u64().expect("a number") as usize;
    let clients = crowd(&gateway, 0..most);
    let near = alert(&gateway, "near_capacity", "firing");
    let summary = near["summary"].as_str().expect("a summary");
    assert!(
        summary.ends_with("; the file descriptors allow no more"),
        "{summary}"
    );
    let open = gateway.metrics().get("process_open_fds");
    assert!(open >= 224.0, "{open} of 400 are open");
    let late = Client::refused(gateway.addr, "/glasses-ws?user=late");
    assert_eq!(late.status, 503, "{late:?}");
    alert(&gateway, "at_capacity", "firing");
    drop(clients);
    alert(&gateway, "at_capacity", "resolved");
    alert(&gateway, "near_capacity", "resolved");
    assert_eq!(gateway.lines(&["alert state=", "fds_near_limit"]), [""; 0]);
    gateway.end();
}
