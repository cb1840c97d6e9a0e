//! What the API says of connections at risk, of cohorts, and of whose fault late heartbeats are.

use crate::peers::{glasses, quiet};
use crate::sockets::{Client, Controls, Event, Gateway, eventually, upgrade};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::Duration;

/// Starts a gateway whose heartbeats are late after 0.25 s. It closes no silent peer.
fn watchful(more: &[(&str, &str)]) -> Gateway {
    let mut settings = vec![
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "500"),
        ("CONNECTION_TIMEOUT_MS", "600000"),
    ];
    settings.extend(more);
    Gateway::start(&settings)
}

/// Opens a connection of glasses from this address of loopback.
fn glasses_from(source: [u8; 4], gateway: &Gateway, user: &str) -> Client {
    let path = format!("/glasses-ws?user={user}");
    Client::connect_from(source, gateway.addr).upgraded(&path)
}

/// Answers all heartbeats until the gateway ends.
fn answering(mut client: Client) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !matches!(
            client.next_answering(),
            Event::Close(..) | Event::Eof | Event::Reset
        ) {}
    })
}

/// Waits until a user is at risk with this reason, and returns the entry.
#[track_caller]
fn at_risk_for(gateway: &Gateway, user: &str, reason: &str) -> Value {
    eventually(&format!("{user} is at risk: {reason}"), || {
        let list = gateway.api("/api/v1/at-risk");
        let mut rows = list["connections"].as_array().expect("rows").iter();
        let entry = rows.find(|row| row["user"] == user)?;
        reasons(entry).contains(&reason).then(|| entry.clone())
    })
}

fn reasons(entry: &Value) -> Vec<&str> {
    let reasons = entry["foresight"]["reasons"].as_array().expect("reasons");
    let names = reasons.iter().map(|reason| reason["reason"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

fn users(list: &Value) -> Vec<&str> {
    let rows = list["connections"].as_array().expect("rows");
    rows.iter().filter_map(|row| row["user"].as_str()).collect()
}

#[test]
fn a_peer_that_does_not_answer_is_at_risk_until_it_answers() {
    let gateway = watchful(&[]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let silent = glasses(&gateway, "silent");
    let entry = at_risk_for(&gateway, "silent", "late_heartbeats");
    let foresight = &entry["foresight"];
    for (what, value, wanted) in [
        ("its risk", &entry["risk"], json!("high")),
        ("the same", &foresight["risk"], json!("high")),
        ("late soon", &foresight["late_soon_percent"], json!(52)),
        ("losses", &foresight["losses_last_hour"], json!(0)),
        ("its class", &foresight["cohort"]["class"], json!("glasses")),
        (
            "its block",
            &foresight["cohort"]["block"],
            json!("127.0.0.0/24"),
        ),
    ] {
        assert_eq!(value, &wanted, "{what}: {entry}");
    }
    assert!(
        foresight["late_of_latest_16"].as_u64() >= Some(1),
        "{entry}"
    );
    assert!(
        foresight["heartbeats_since_late"].as_u64() <= Some(1),
        "{entry}"
    );
    for (parameters, matched) in [
        ("class=glasses&risk=high&address=127.0.0.0/8", 1),
        ("class=app", 0),
        ("address=192.0.2.0/24", 0),
        ("route=chat", 0),
    ] {
        let list = gateway.api(&format!("/api/v1/at-risk?{parameters}"));
        let is_listed = users(&list).contains(&"silent");
        assert_eq!(usize::from(is_listed), matched, "{parameters}: {list}");
    }
    let found = gateway.api("/api/v1/connections?risk=high&user=silent");
    assert_eq!(users(&found), ["silent"], "{found}");
    eventually("those with the most late heartbeats come first", || {
        let first = gateway.api("/api/v1/connections?sort=risk&limit=1");
        (users(&first) == ["silent"]).then_some(())
    });
    // The details say the same in words.
    let id = entry["id"].as_str().expect("an id");
    let detail = gateway.api(&format!("/api/v1/connections/{id}"));
    assert_eq!(detail["explain"]["foresight"]["risk"], "high", "{detail}");
    let text = detail["explain"]["text"].to_string();
    assert!(text.contains("its risk is high: "), "{text}");
    let client = answering(silent);
    eventually("it has answered four heartbeats", || {
        let found = gateway.connection("user=silent");
        (found["risk"] == "low").then_some(())
    });
    controls.finish();
    gateway.end();
    client.join().expect("a client");
}

#[test]
fn all_peers_of_a_block_that_stops_answering_are_at_risk() {
    let gateway = watchful(&[]);
    let elsewhere = answering(glasses_from([127, 0, 7, 1], &gateway, "elsewhere"));
    let beside = answering(glasses_from([127, 0, 9, 99], &gateway, "beside"));
    let silent: Vec<Client> = (1..=8)
        .map(|n| glasses_from([127, 0, 9, n], &gateway, &format!("silent-{n}")))
        .collect();
    // It answers, and is at risk with the others.
    let entry = at_risk_for(&gateway, "beside", "cohort_alarm");
    assert_eq!(entry["risk"], "high", "{entry}");
    assert_eq!(
        entry["foresight"]["cohort"]["connections"], 9,
        "all of the block: {entry}"
    );
    let list = gateway.api("/api/v1/at-risk?risk=high&address=127.0.9.0/24");
    assert_eq!(list["matched"], 9, "{list}");
    let cohorts = gateway.api("/api/v1/cohorts?alarmed=true");
    assert_eq!(
        (&cohorts["alarmed"], &cohorts["matched"], &cohorts["total"]),
        (&json!(1), &json!(1), &json!(2)),
        "{cohorts}"
    );
    let cohort = &cohorts["cohorts"][0];
    assert_eq!(
        (&cohort["class"], &cohort["block"]),
        (&json!("glasses"), &json!("127.0.9.0/24")),
        "{cohorts}"
    );
    assert!(cohort["late_peers"].as_u64() >= Some(5), "{cohorts}");
    assert!(cohort["score_percent"].as_u64() > Some(0), "{cohorts}");
    assert!(cohort["alarmed_for_ms"].is_u64(), "{cohorts}");
    let all = gateway.api("/api/v1/cohorts?limit=1");
    assert_eq!(all["cohorts"][0]["block"], "127.0.9.0/24", "first: {all}");
    // They answer again: the alarm is over, and nothing was closed.
    let clients: Vec<_> = silent.into_iter().map(answering).collect();
    eventually("the alarm is over", || {
        let cohorts = gateway.api("/api/v1/cohorts");
        (cohorts["alarmed"] == 0).then_some(())
    });
    assert_eq!(gateway.api("/api/v1/connections")["matched"], 10);
    gateway.end();
    for client in clients.into_iter().chain([beside, elsewhere]) {
        client.join().expect("a client");
    }
}

#[test]
fn cohorts_are_filtered_and_paged() {
    let gateway = quiet();
    let user = |n| format!("user-{n}");
    let clients: Vec<Client> = (1..=5)
        .map(|n| glasses_from([127, 0, n, 1], &gateway, &user(n)))
        .collect();
    let app = Client::connect_from([127, 0, 3, 2], gateway.addr)
        .upgraded("/tpa-ws?user=user-3&package=org.example.captions");
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.api(&format!("/api/v1/cohorts?limit=2{after}"));
        assert_eq!(
            (&page["total"], &page["matched"]),
            (&json!(6), &json!(6)),
            "{page}"
        );
        let rows = page["cohorts"].as_array().expect("rows");
        assert!(rows.len() <= 2, "{page}");
        seen.extend(
            rows.iter()
                .map(|row| (row["class"].to_string(), row["block"].to_string())),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let different: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (6, 6), "{seen:?}");
    for (parameters, matched) in [
        ("class=app", 1),
        ("class=glasses", 5),
        ("block=127.0.3.77", 2),
        ("block=127.0.3.0/24&class=app", 1),
        ("block=127.0.0.0/16", 6),
        ("block=127.1.0.0/16", 0),
        ("block=::1", 0),
        ("alarmed=true", 0),
        ("alarmed=false", 6),
    ] {
        let page = gateway.api(&format!("/api/v1/cohorts?{parameters}"));
        assert_eq!(page["matched"], matched, "{parameters}: {page}");
    }
    for parameters in [
        "block=nowhere",
        "after=1-2",
        "class=nobody",
        "limit=0",
        "x=1",
    ] {
        let path = format!("/api/v1/cohorts?{parameters}");
        assert_eq!(gateway.act("GET", &path, "").0, 400, "{parameters}");
    }
    assert_eq!(gateway.act("GET", "/api/v1/at-risk?risk=most", "").0, 400);
    drop((clients, app));
    gateway.end();
}

#[test]
fn an_identity_that_was_lost_often_and_a_proxy_are_reasons() {
    let gateway = watchful(&[("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let open = |user: &str| {
        let mut client = Client::connect(gateway.addr);
        let request = upgrade(&format!("/glasses-ws?user={user}"));
        let proxied = request.replacen("\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\n", 1);
        client.write(proxied.as_bytes());
        client.switched();
        client
    };
    for n in 1..=3 {
        open("thrice").reset();
        eventually("its end is recorded", || {
            let closed = gateway.api("/api/v1/closed?user=thrice");
            (closed["closed"].as_array().map(Vec::len) == Some(n)).then_some(())
        });
    }
    let (thrice, never) = (open("thrice"), open("never"));
    let entry = at_risk_for(&gateway, "thrice", "often_lost");
    assert_eq!(entry["foresight"]["losses_last_hour"], 3, "{entry}");
    let entry = at_risk_for(&gateway, "never", "proxy_kernel");
    assert!(!reasons(&entry).contains(&"often_lost"), "{entry}");
    assert_eq!(
        entry["foresight"]["cohort"]["block"], "192.0.2.0/24",
        "{entry}"
    );
    drop((thrice, never));
    gateway.end();
}

#[test]
fn while_the_fault_is_our_own_it_says_so() {
    // A gap is a stall from an eighth of the timeout on.
    let gateway = watchful(&[("CONNECTION_TIMEOUT_MS", "16000")]);
    let silent = glasses(&gateway, "silent");
    at_risk_for(&gateway, "silent", "late_heartbeats");
    // Until a stall was long enough, however busy the machine is.
    eventually("a stall is our own fault", || {
        gateway.signal("STOP");
        std::thread::sleep(Duration::from_secs(3));
        gateway.signal("CONT");
        let list = gateway.api("/api/v1/at-risk");
        (list["frozen_by"] == "stall").then_some(())
    });
    let fleet = &gateway.api("/api/v1/cohorts")["fleet"];
    assert_eq!(fleet["own_fault"], "stall", "{fleet}");
    assert_eq!(fleet["is_late"], false, "{fleet}");
    let id = gateway.connection("user=silent")["id"].clone();
    let id = id.as_str().expect("an id");
    let detail = gateway.api(&format!("/api/v1/connections/{id}"));
    let foresight = &detail["explain"]["foresight"];
    assert_eq!(foresight["frozen_by"], "stall", "{detail}");
    drop(silent);
    gateway.end();
}
