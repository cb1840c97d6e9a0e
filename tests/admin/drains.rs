//! Drains of one class and of the whole gateway, and readiness.

use crate::peers::{app, glasses, until_closed};
use crate::sockets::{Client, Controls, Gateway, eventually};
use serde_json::json;

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
