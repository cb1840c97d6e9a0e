//! What the API says of a pair, and how its legs are found.

use super::identities::{Rig, SECRET, now, token};
use super::legs::Bridge;
use super::routes::{ask, route};
use crate::folder::Folder;
use crate::sockets::{Gateway, Listener, eventually};
use serde_json::{Value, json};

/// Returns the explanation of the only connection of a class.
#[track_caller]
fn explained(gateway: &Gateway, class: &str) -> Value {
    let found = gateway.connection(&format!("class={class}"));
    let id = found["id"].as_str().expect("an id");
    let detail = gateway.api(&format!("/api/v1/connections/{id}"));
    detail["explain"].clone()
}

/// Returns whether a sentence of an explanation contains these words.
fn says(explain: &Value, words: &str) -> bool {
    let mut text = explain["text"].as_array().expect("sentences").iter();
    text.any(|sentence| sentence.as_str().is_some_and(|s| s.contains(words)))
}

#[test]
fn legs_are_found_by_route_and_upstream_while_they_are_open_and_afterwards() {
    let bridge = Bridge::start(&[]);
    let (client, leg) = bridge.pair();
    let upstream = bridge.service.socket_addr().to_string();
    let filters = [
        ("route=default".to_owned(), 2),
        (format!("upstream={upstream}"), 2),
        (format!("route=default&upstream={upstream}&class=client"), 1),
        ("route=other".to_owned(), 0),
        (format!("route=other&upstream={upstream}"), 0),
        ("upstream=192.0.2.1:1".to_owned(), 0),
    ];
    for (filter, count) in &filters {
        let list = bridge.gateway.api(&format!("/api/v1/connections?{filter}"));
        assert_eq!(list["matched"], *count, "{filter}: {list}");
        for row in list["connections"].as_array().expect("rows") {
            assert_eq!(row["route"], "default", "{row}");
            assert_eq!(row["upstream"], upstream, "{row}");
        }
    }
    drop((client, leg));
    eventually("both records", || {
        let list = bridge.gateway.api("/api/v1/closed?route=default");
        (list["closed"].as_array()?.len() == 2).then_some(())
    });
    for (filter, count) in filters {
        let list = bridge.gateway.api(&format!("/api/v1/closed?{filter}"));
        let records = list["closed"].as_array().expect("records");
        assert_eq!(records.len(), count, "{filter}: {list}");
    }
    bridge.gateway.end();
}

/// Either leg says the same of the pair: which one ends first, and what both sides are told.
#[test]
fn a_leg_explains_what_will_become_of_its_pair() {
    let long = "600000";
    for (patient, first, codes, reason) in [
        (
            "UPSTREAM_CONNECTION_TIMEOUT_MS",
            "client",
            ("3008", "1001"),
            "client lost: nothing heard for 180000 ms",
        ),
        (
            "CONNECTION_TIMEOUT_MS",
            "upstream",
            ("1012", "3008"),
            "upstream lost: nothing heard for 180000 ms",
        ),
    ] {
        let bridge = Bridge::start(&[(patient, long), ("TRUSTED_PROXIES", "127.0.0.1")]);
        let (_client, _leg) = bridge.pair();
        let ids = ["client", "upstream"].map(|class| {
            let found = bridge.gateway.connection(&format!("class={class}"));
            found["id"].clone()
        });
        for class in ["client", "upstream"] {
            let explain = explained(&bridge.gateway, class);
            let pair = &explain["pair"];
            assert_eq!([&pair["client"], &pair["upstream_id"]], [&ids[0], &ids[1]]);
            assert_eq!(pair["route"], "default", "{pair}");
            assert_eq!(pair["upstream"], bridge.service.socket_addr().to_string());
            assert_eq!(pair["upstream_state"], "up", "{pair}");
            let end = &pair["end"];
            assert_eq!(
                (&end["first"], &end["cause"]),
                (&json!(first), &json!("stale"))
            );
            assert_eq!(end["code_client"], codes.0, "{pair}");
            assert_eq!(end["code_upstream"], codes.1, "{pair}");
            assert_eq!(end["reason"], reason, "{pair}");
            assert!(says(&explain, reason), "{explain}");
            assert!(says(&explain, "the upstream"), "{explain}");
        }
        bridge.gateway.end();
    }
}

#[test]
fn a_leg_behind_a_proxy_says_whose_kernel_answers() {
    let bridge = Bridge::start(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    let mut client = bridge.ask("/", "X-Forwarded-For: 192.0.2.7\r\n");
    let _leg = bridge.service.open();
    client.switched();
    assert_eq!(explained(&bridge.gateway, "client")["kernel"], "proxy");
    assert_eq!(explained(&bridge.gateway, "upstream")["kernel"], "peer");
    bridge.gateway.end();
}

#[test]
fn a_planned_end_is_foreseen() {
    for (lines, cause, code, reason) in [
        (
            "max_age_ms = 60000",
            "draining",
            "1012",
            "planned age reached",
        ),
        (
            "auth = 'jwt'",
            "unauthorized",
            "1008",
            "client closed: the token has expired",
        ),
    ] {
        let rig = Rig::start(lines, &[("AUTH_JWT_SECRET", SECRET)]);
        let soon = token(json!({"sub": "ada", "exp": now() + 60}));
        let (_client, _leg) = rig.pair(&format!("/?token={soon}"), "");
        for class in ["client", "upstream"] {
            let explain = explained(&rig.gateway, class);
            let end = &explain["pair"]["end"];
            let (of_client, of_upstream) = (&end["code_client"], &end["code_upstream"]);
            assert_eq!(
                (&end["first"], &end["cause"]),
                (&json!("client"), &json!(cause))
            );
            assert_eq!((of_client, of_upstream), (&json!(code), &json!("1001")));
            assert_eq!(end["reason"], reason, "{explain}");
            let in_ms = end["in_ms"].as_u64().expect("a time");
            assert!((40_000..=130_000).contains(&in_ms), "{explain}");
        }
        rig.gateway.end();
    }
}

/// A frozen service: its legs wait, and their explanation says how long.
#[test]
fn a_leg_to_a_service_that_stands_still_says_that_it_waits() {
    let bridge = Bridge::start(&[
        ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "300"),
        ("UPSTREAM_CONNECTION_TIMEOUT_MS", "60000"),
    ]);
    let pairs: Vec<_> = (0..10).map(|_| bridge.pair()).collect();
    let explain = eventually("the service is unresponsive", || {
        let legs = bridge.gateway.api("/api/v1/connections?class=upstream");
        let id = legs["connections"][0]["id"].as_str().expect("an id");
        let detail = bridge.gateway.api(&format!("/api/v1/connections/{id}"));
        let explain = detail["explain"].clone();
        (explain["pair"]["upstream_state"] == "unresponsive").then_some(explain)
    });
    assert!(says(&explain, "silent for 180000 ms"), "{explain}");
    let in_ms = explain["end"]["in_ms"].as_u64().expect("a time");
    assert!(in_ms > 120_000, "{explain}");
    drop(pairs);
    bridge.gateway.end();
}

/// Settings under which silence closes no leg for an hour.
const PATIENT: [(&str, &str); 2] = [
    ("CONNECTION_TIMEOUT_MS", "3600000"),
    ("UPSTREAM_CONNECTION_TIMEOUT_MS", "3600000"),
];

/// Asserts that a leg foresees when its pair leaves its upstream, at the latest in so many ms.
#[track_caller]
fn assert_leaves(gateway: &Gateway, state: &str, in_ms: std::ops::RangeInclusive<u64>) {
    for class in ["client", "upstream"] {
        let explain = explained(gateway, class);
        let (pair, end) = (&explain["pair"], &explain["pair"]["end"]);
        assert_eq!(pair["upstream_state"], state, "{explain}");
        assert_eq!(
            (&end["first"], &end["cause"]),
            (&json!("client"), &json!("draining")),
            "{explain}"
        );
        let codes = (&end["code_client"], &end["code_upstream"]);
        assert_eq!(codes, (&json!("1012"), &json!("1001")));
        assert_eq!(end["reason"], format!("upstream {state}"), "{explain}");
        let found = end["in_ms"].as_u64().expect("a time");
        assert!(in_ms.contains(&found), "{explain}");
        assert!(says(&explain, state), "{explain}");
        assert!(says(&explain, "at the latest"), "{explain}");
    }
}

#[test]
fn a_leg_to_a_drained_upstream_says_when_its_pair_leaves() {
    let bridge = Bridge::start(&PATIENT);
    let (_client, _leg) = bridge.pair();
    let upstream = bridge.service.socket_addr().to_string();
    let body = json!({"route": "default", "upstream": upstream, "spread_ms": 600_000});
    let path = "/api/v1/upstreams/drain";
    let (status, answer) = bridge.gateway.act("POST", path, &body.to_string());
    assert_eq!(status, 202, "{answer}");
    assert_leaves(&bridge.gateway, "drained", 500_000..=620_000);
    bridge.gateway.end();
}

#[test]
fn a_leg_to_a_removed_upstream_says_when_its_pair_leaves() {
    let [old, new] = [(); 2].map(|()| Listener::tcp());
    let folder = Folder::new();
    let file = folder.file("settings.toml", route("r", &old, ""));
    let mut settings = vec![("CONFIG_FILE", &*file), ("DRAIN_MS", "600000")];
    settings.extend(PATIENT);
    let gateway = Gateway::start(&settings);
    let mut client = ask(&gateway, "/", "");
    let _leg = old.open();
    client.switched();
    folder.file("settings.toml", route("r", &new, ""));
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload "]);
    assert_leaves(&gateway, "removed", 500_000..=620_000);
}

/// The history of a client with a name becomes a part of its record, beside the other leg's id.
#[test]
fn a_named_client_has_a_history_and_its_record_names_the_other_leg() {
    let rig = Rig::start("identity = 'query:user'", &[]);
    let (client, leg) = rig.pair("/?user=ada", "");
    let found = rig.gateway.connection("user=ada");
    let id = found["id"].as_str().expect("an id");
    let detail = rig.gateway.api(&format!("/api/v1/connections/{id}"));
    assert_eq!(detail["history"]["reason"], "asked", "{detail}");
    drop(client);
    leg.expect_close();
    let record = eventually("its record", || {
        let (status, record) = rig.gateway.act("GET", &format!("/api/v1/closed/{id}"), "");
        (status == 200).then_some(record)
    });
    assert_eq!(
        (&record["user"], &record["route"]),
        (&json!("ada"), &json!("r"))
    );
    assert_eq!(record["history"]["reason"], "asked", "{record}");
    let partner = found["partner"].as_str().expect("an id");
    let other = eventually("the record of the other leg", || {
        let (status, record) = rig
            .gateway
            .act("GET", &format!("/api/v1/closed/{partner}"), "");
        (status == 200).then_some(record)
    });
    assert_eq!(
        (&record["partner"], &other["partner"]),
        (&json!(partner), &json!(id))
    );
    rig.gateway.end();
}
