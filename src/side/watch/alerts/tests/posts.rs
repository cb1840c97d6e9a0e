//! The posts to the webhook.

use super::super::alert_rule::Severity;
use super::super::alert_table::AlertState::{Firing, Resolved};
use super::super::alert_table::{Alert, AlertOrigin, AlertState};
use super::super::payload::{self, AlertSource};
use super::super::sink::{BATCH_MAX, Outbox, WAITING_MAX};
use super::fleet_harness::labels;
use crate::base::time::UnixMillis;
use serde_json::Value;

fn alert(name: &'static str, package: &str, state: AlertState) -> Alert {
    Alert {
        id: 1,
        origin: AlertOrigin {
            name,
            severity: Severity::Warning,
            labels: labels([("package", package)]),
        },
        name,
        labels: labels([("package", package)]),
        severity: Severity::Warning,
        state,
        since: UnixMillis(1_750_000_000_000),
        resolved_at: (state == Resolved).then_some(UnixMillis(1_750_000_060_000)),
        value: 1.0,
        threshold: 1.0,
        summary: format!("{package} is down"),
        action: "Do something.",
    }
}

#[test]
fn only_the_newest_state_of_an_alert_waits() {
    let mut outbox = Outbox::default();
    outbox.put(alert("a", "1", Firing));
    outbox.put(alert("b", "1", Firing));
    outbox.put(alert("a", "2", Firing));
    let batch = outbox.take();
    assert_eq!(batch, [alert("a", "1", Firing), alert("a", "2", Firing)]);
    // The post failed, and one of the alerts has ended meanwhile.
    outbox.put(alert("a", "1", Resolved));
    outbox.requeue(batch);
    assert_eq!(outbox.take(), [alert("b", "1", Firing)]);
    assert_eq!(
        outbox.take(),
        [alert("a", "1", Resolved), alert("a", "2", Firing)]
    );
    assert_eq!(outbox.take(), []);
}

#[test]
fn what_waits_is_bounded_and_what_fires_is_kept() {
    let mut outbox = Outbox::default();
    let many = 3 * WAITING_MAX;
    for n in 0..many {
        let state = if n % 3 == 0 { Firing } else { Resolved };
        outbox.put(alert("a", &format!("p{n}"), state));
    }
    let (mut waited, mut firing) = (0, 0);
    loop {
        let batch = outbox.take();
        if batch.is_empty() {
            break;
        }
        assert!(batch.len() <= BATCH_MAX);
        waited += batch.len();
        firing += batch.iter().filter(|a| a.state == Firing).count();
    }
    assert_eq!((waited, firing), (WAITING_MAX, WAITING_MAX));
}

#[test]
fn the_body_is_alertmanagers() {
    let source = AlertSource {
        instance: "gate-1:8002".to_owned(),
        url: "http://127.0.0.1:9002".to_owned(),
    };
    let alerts = [
        alert("app_down", "org.a", Firing),
        alert("app_down", "org.b", Resolved),
    ];
    let body = payload::body(&alerts, &source);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let fingerprint = |nth: usize| body["alerts"][nth]["fingerprint"].clone();
    assert_ne!(fingerprint(0), fingerprint(1));
    assert_eq!(fingerprint(0).as_str().map(str::len), Some(16));
    let item = |nth: usize, package: &str, status: &str, ends: &str| {
        serde_json::json!({
            "status": status,
            "labels": {
                "alertname": "app_down", "instance": "gate-1:8002", "package": package,
                "severity": "warning",
            },
            "annotations": { "action": "Do something.", "summary": format!("{package} is down") },
            "startsAt": "2025-06-15T15:06:40.000Z",
            "endsAt": ends,
            "generatorURL": "http://127.0.0.1:9002/api/v1/alerts/1",
            "fingerprint": fingerprint(nth),
        })
    };
    assert_eq!(
        body,
        serde_json::json!({
            "version": "4",
            "groupKey": "{}:{alertname=\"app_down\"}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "pulsegate",
            "groupLabels": { "alertname": "app_down" },
            "commonLabels": {
                "alertname": "app_down", "instance": "gate-1:8002", "severity": "warning",
            },
            "commonAnnotations": { "action": "Do something." },
            "externalURL": "http://127.0.0.1:9002",
            "alerts": [
                item(0, "org.a", "firing", "0001-01-01T00:00:00Z"),
                item(1, "org.b", "resolved", "2025-06-15T15:07:40.000Z"),
            ],
        })
    );
    let body = payload::body(&alerts[1..], &source);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["status"], "resolved");
}

/// A receiver sees one incident: its fingerprint and its group stay, and what it is called changes.
#[test]
fn an_alert_that_has_become_another_is_the_same_for_receivers() {
    let before = alert("cohort_late", "org.a", Firing);
    let after = Alert {
        name: "mass_death",
        severity: Severity::Critical,
        labels: labels([("class", "app")]),
        ..before.clone()
    };
    let post = |alert: &Alert| -> Value {
        let body = payload::body(std::slice::from_ref(alert), &AlertSource::default());
        serde_json::from_slice(&body).expect("JSON")
    };
    let (old, new) = (post(&before), post(&after));
    for same in ["groupKey", "groupLabels"] {
        assert_eq!(old[same], new[same]);
    }
    let (old, new) = (&old["alerts"][0], &new["alerts"][0]);
    assert_eq!(old["fingerprint"], new["fingerprint"]);
    assert_eq!(
        new["labels"],
        serde_json::json!({
            "alertname": "mass_death", "class": "app", "instance": "", "severity": "critical",
        })
    );
    // What waits is replaced, and is posted apart from alerts that have not changed.
    let mut outbox = Outbox::default();
    outbox.put(before.clone());
    outbox.put(alert("cohort_late", "org.b", Firing));
    outbox.put(after.clone());
    assert_eq!(outbox.take(), [after]);
    outbox.requeue(vec![before]);
    assert_eq!(outbox.take().len(), 2);
}
