//! A block of peers goes dark, on real sockets: what the gateway tells by itself, and when it ends.

use crate::alert_receiver::Receiver;
use crate::alerts::alert;
use crate::sockets::{Client, Event, Gateway, eventually, frame};
use pulsegate::wire::frame::PONG;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The peers of the block.
const PEERS: u8 = 30;

/// Heartbeats every second, which are late after half of it. Only what the tests cause is reported.
const SETTINGS: [(&str, &str); 7] = [
    ("HEARTBEAT_INTERVAL_MS", "1000"),
    ("CONNECTION_TIMEOUT_MS", "600000"),
    ("ALERT_RESOLVE_MS", "0"),
    ("ALERT_STALLS", "0"),
    ("ALERT_FDS_PERCENT", "0"),
    ("ALERT_MEMORY_PERCENT", "0"),
    ("ALERT_VERDICT_JUMP", "0"),
];

/// Peers in one /24 block that answer their heartbeats, until they are dark.
struct Block {
    is_dark: Arc<AtomicBool>,
    writers: Vec<Client>,
    readers: Vec<JoinHandle<()>>,
}

impl Block {
    fn open(gateway: &Gateway) -> Block {
        let is_dark = Arc::new(AtomicBool::new(false));
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for n in 1..=PEERS {
            let client = Client::connect_from([127, 0, 7, n], gateway.addr);
            let mut client = client.upgraded(&format!("/glasses-ws?user=peer{n}"));
            writers.push(client.writer());
            let is_dark = is_dark.clone();
            readers.push(std::thread::spawn(move || {
                loop {
                    match client.next() {
                        Event::Ping(_) if is_dark.load(Ordering::SeqCst) => {}
                        Event::Ping(payload) => drop(client.try_write(&frame(PONG, &payload))),
                        Event::Eof | Event::Reset | Event::Close(..) => return,
                        _ => {}
                    }
                }
            }));
        }
        Block {
            is_dark,
            writers,
            readers,
        }
    }

    fn set_dark(&self, is_dark: bool) {
        self.is_dark.store(is_dark, Ordering::SeqCst);
    }

    /// Ends these many of the connections without a close frame.
    fn lose(&mut self, many: usize) {
        for mut writer in self.writers.drain(..many) {
            writer.send_fin();
        }
    }

    fn end(mut self) {
        self.lose(self.writers.len());
        for reader in self.readers {
            reader.join().expect("a peer");
        }
    }
}

/// The rules are evaluated once an hour, so that only a new alarm can be the reason for an alert.
#[test]
fn a_block_that_goes_dark_is_told_at_once_and_so_is_its_end() {
    let settings = [&SETTINGS[..], &[("ALERT_INTERVAL_MS", "3600000")]].concat();
    let gateway = Gateway::start(&settings);
    let mut block = Block::open(&gateway);
    let elsewhere = Client::open(gateway.addr, "/glasses-ws?user=elsewhere");
    // Each has answered a heartbeat.
    eventually("they answer", || {
        let answered = gateway.metrics().sum("pulsegate_heartbeats_answered_total");
        (answered >= 2.0 * f64::from(PEERS)).then_some(())
    });
    block.set_dark(true);
    let fired = alert(&gateway, "cohort_late", "firing");
    let labels = json!({ "block": "127.0.7.0/24", "class": "glasses" });
    assert_eq!(fired["labels"], labels);
    let summary = fired["summary"].as_str().expect("a summary");
    assert!(
        summary.contains("heartbeats of at least ") && summary.contains(" of 30 connections"),
        "{summary}"
    );
    gateway.line(&[
        "[WARN] cohort state=late class=glasses block=127.0.7.0/24 connections=30 late_peers=",
    ]);
    let metrics = gateway.metrics();
    assert_eq!(metrics.get("pulsegate_cohorts"), 2.0);
    assert_eq!(metrics.get("pulsegate_cohorts_late"), 1.0);
    let high = "pulsegate_connections_at_risk{class=\"glasses\",level=\"high\"}";
    assert!(metrics.get(high) >= 5.0, "{}", metrics.get(high));
    // The connections of the block that end meanwhile are kept with the alert, and no others.
    block.lose(3);
    elsewhere.reset();
    let path = format!("/api/v1/alerts/{}", fired["id"]);
    let sample = eventually("their ends are kept", || {
        let sample = gateway.api(&path)["ends"]["sample"].clone();
        let ended = gateway.api("/api/v1/closed")["remembered"].as_u64()?;
        (ended == 4 && sample.as_array()?.len() >= 3).then_some(sample)
    });
    let peers: Vec<&Value> = sample.as_array().expect("a list").iter().collect();
    assert_eq!(peers.len(), 3, "{sample}");
    for peer in peers {
        let address = peer["peer"].as_str().expect("an address");
        assert!(address.starts_with("127.0.7."), "{address}");
    }
    block.set_dark(false);
    alert(&gateway, "cohort_late", "resolved");
    gateway.line(&["[INFO] cohort state=answers class=glasses block=127.0.7.0/24"]);
    assert_eq!(gateway.metrics().get("pulsegate_cohorts_late"), 0.0);
    block.end();
    gateway.end();
}

#[test]
fn a_block_that_dies_is_one_alert_that_becomes_worse() {
    let receiver = Receiver::new();
    let url = receiver.url();
    let more = [
        ("ALERT_INTERVAL_MS", "50"),
        ("ALERT_WINDOW_MS", "1500"),
        ("ALERT_MASS_DEATH", "10"),
        ("ALERT_MASS_DEATH_WINDOW_MS", "1500"),
        ("ALERT_WEBHOOK_URL", &url),
    ];
    // While the alert lasts, it explains the alarm, which ends later.
    let settings = SETTINGS.map(|(name, value)| match name {
        "ALERT_RESOLVE_MS" => (name, "300"),
        _ => (name, value),
    });
    let gateway = Gateway::start(&[&settings[..], &more].concat());
    let block = Block::open(&gateway);
    eventually("they answer", || {
        let answered = gateway.metrics().sum("pulsegate_heartbeats_answered_total");
        (answered >= f64::from(PEERS)).then_some(())
    });
    block.set_dark(true);
    let fired = alert(&gateway, "cohort_late", "firing");
    receiver.wait_for(&[("cohort_late", "firing")]);
    block.end();
    let worse = alert(&gateway, "mass_death", "firing");
    assert_eq!(
        (&worse["id"], &worse["since"]),
        (&fired["id"], &fired["since"])
    );
    assert_eq!(worse["labels"], json!({ "class": "glasses" }));
    alert(&gateway, "mass_death", "resolved");
    receiver.wait_for(&[
        ("cohort_late", "firing"),
        ("mass_death", "firing"),
        ("mass_death", "resolved"),
    ]);
    let posts = receiver.posts();
    for post in &posts {
        for same in ["fingerprint", "generatorURL", "startsAt"] {
            assert_eq!(
                post["alerts"][0][same], posts[0]["alerts"][0][same],
                "{post}"
            );
        }
        assert_eq!(post["groupKey"], posts[0]["groupKey"]);
    }
    gateway.line(&["alert state=firing name=mass_death before=cohort_late class=glasses"]);
    gateway.end();
}

/// Returns the heartbeats that were late by a fault of peers.
fn lates(gateway: &Gateway) -> f64 {
    let metrics = gateway.metrics();
    let excused = metrics.get("pulsegate_heartbeats_late_excused_total");
    metrics.sum("pulsegate_heartbeats_late_total") - excused
}

/// Opens connections that answer no heartbeat, and waits until each has had late ones.
fn mute(gateway: &Gateway, users: std::ops::Range<usize>) -> Vec<Client> {
    let before = lates(gateway);
    let many = users.len() as f64;
    let open = |n| Client::open(gateway.addr, &format!("/glasses-ws?user=user{n}"));
    let clients = users.map(open).collect();
    eventually("they are late", || {
        (lates(gateway) >= before + 2.0 * many).then_some(())
    });
    clients
}

#[test]
fn a_user_that_comes_back_is_the_same_peer() {
    let gateway = Gateway::start(&[&SETTINGS[..], &[("FLAPPING_LIMIT", "0")]].concat());
    // Four users with three connections each, one after the other: an alarm needs five peers.
    for _ in 0..3 {
        drop(mute(&gateway, 0..4));
    }
    assert_eq!(gateway.metrics().get("pulsegate_cohorts_late"), 0.0);
    let clients = mute(&gateway, 0..5);
    gateway.line(&["[WARN] cohort state=late class=glasses block=127.0.0.0/24 connections=5"]);
    drop(clients);
    gateway.end();
}
