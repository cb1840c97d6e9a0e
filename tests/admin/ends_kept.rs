//! What is kept with an alert, and what the ended had in common, of a real gateway.

use crate::alerts::{alert, mass_death, start};
use crate::sockets::{Client, eventually};
use serde_json::{Value, json};

/// Returns the group of this kind and value.
fn group(ends: &Value, by: &str, value: &str) -> Value {
    let groups = ends["groups"].as_array().expect("a list").iter();
    let mut found = groups.filter(|group| group["by"] == by && group["value"] == value);
    found.next().expect("there is one").clone()
}

#[test]
fn an_alert_leads_to_the_connections_that_ended() {
    let gateway = start(&[]);
    // These stay, and are what the ended are compared with.
    let stays = |n| Client::open(gateway.addr, &format!("/glasses-ws?user=stays{n}"));
    let clients: Vec<Client> = (0..20).map(stays).collect();
    mass_death(&gateway);
    let fired = alert(&gateway, "mass_death", "firing");
    let path = format!("/api/v1/alerts/{}", fired["id"]);
    let detail = eventually("its ends are kept", || {
        let detail = gateway.api(&path);
        let sampled = detail["ends"]["sample"].as_array().map_or(0, Vec::len);
        (sampled == 20).then_some(detail)
    });
    assert_eq!(
        (&detail["name"], &detail["has_ends"]),
        (&json!("mass_death"), &json!(true))
    );
    let ends = &detail["ends"];
    assert_eq!(
        (&ends["ended"], &ends["open_sampled"]),
        (&json!(20), &json!(20))
    );
    let block = group(ends, "block", "127.0.0.0/24");
    assert_eq!(
        (&block["share"], &block["share_of_open"]),
        (&json!(1.0), &json!(1.0))
    );
    assert_eq!(group(ends, "class", "glasses")["ended"], 20);
    assert_eq!(
        ends["in_common"],
        Value::Null,
        "the open ones have all of it, too"
    );
    for end in ends["sample"].as_array().expect("a list") {
        assert!(
            end["user"]
                .as_str()
                .is_some_and(|user| user.starts_with("dies")),
            "{end}"
        );
        let id = end["id"].as_str().expect("an id");
        assert_eq!(
            gateway.api(&format!("/api/v1/closed/{id}"))["user"],
            end["user"]
        );
    }
    // The users come back.
    let missing = |summary: &Value| summary["identities"]["missing"].clone();
    let summary = gateway.api("/api/v1/closed/summary?minutes=60");
    assert_eq!(
        (&summary["ended"], &summary["minutes"]),
        (&json!(20), &json!(60))
    );
    assert_eq!((missing(&summary), missing(ends)), (json!(20), json!(20)));
    let back = |n| Client::open(gateway.addr, &format!("/glasses-ws?user=dies{n}"));
    let returned: Vec<Client> = (0..20).map(back).collect();
    let summary = eventually("all are back", || {
        let summary = gateway.api("/api/v1/closed/summary");
        (missing(&summary) == 0).then_some(summary)
    });
    assert_eq!(summary["identities"]["returned_within_minute"], 20);
    let metrics = gateway.metrics();
    assert_eq!(metrics.get("pulsegate_identities_missing"), 0.0);
    assert_eq!(
        metrics.get("pulsegate_identities_returned_total{after=\"minute\"}"),
        20.0
    );
    drop((clients, returned));
    gateway.end();
}

#[test]
fn what_is_not_there_is_refused() {
    let gateway = start(&[]);
    let status = |path: &str| gateway.admin_request("GET", path, "", "").status;
    assert_eq!(status("/api/v1/alerts/1"), 404);
    for path in [
        "alerts/0",
        "alerts/x",
        "closed/summary?minutes=0",
        "closed/summary?minutes=61",
    ] {
        assert_eq!(status(&format!("/api/v1/{path}")), 400, "{path}");
    }
    let summary = gateway.api("/api/v1/closed/summary");
    assert_eq!(
        (&summary["ended"], &summary["minutes"]),
        (&json!(0), &json!(10))
    );
    gateway.end();
}
