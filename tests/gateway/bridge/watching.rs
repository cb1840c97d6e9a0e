//! What metrics, alerts and probes tell of pairs: both legs apart, and a lost service as that.

use super::legs::{QUIET, request};
use crate::folder::Folder;
use crate::sockets::{Client, Event, Gateway, Listener, Server, eventually};
use serde_json::json;
use std::net::TcpListener;

/// A gateway before some services, in one route `r`.
struct Rig {
    gateway: Gateway,
    services: Vec<Listener>,
    _folder: Folder,
}

impl Rig {
    fn start(services: usize, settings: &[(&str, &str)]) -> Rig {
        let services: Vec<_> = (0..services).map(|_| Listener::tcp()).collect();
        let folder = Folder::new();
        let urls: Vec<_> = services.iter().map(|service| &*service.url).collect();
        let route = format!("[[route]]\nname = 'r'\npath = '/'\nupstream = {urls:?}\n");
        let file = folder.file("routes.toml", route);
        let gateway = Gateway::start(&[&[("CONFIG_FILE", &*file)], settings].concat());
        Rig {
            gateway,
            services,
            _folder: folder,
        }
    }

    fn ask(&self) -> Client {
        let mut client = Client::connect(self.gateway.addr);
        client.write(request("/", "").as_bytes());
        client
    }

    /// Accepts the leg of a client that has asked. Returns the port of its service, too.
    #[track_caller]
    fn accept(&self) -> (u16, Server) {
        eventually("a connection to a service", || {
            let mut all = self.services.iter();
            all.find_map(|service| Some((service.socket_addr().port(), service.try_accept()?)))
        })
    }

    #[track_caller]
    fn pair(&self) -> (u16, Client, Server) {
        let mut client = self.ask();
        let (port, mut leg) = self.accept();
        leg.agree("");
        client.switched();
        (port, client, leg)
    }

    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        self.gateway.metrics().get(name)
    }
}

#[test]
fn one_of_three_services_ends_under_2_000_pairs_and_one_alert_fires() {
    let alerts = [
        ("ALERT_INTERVAL_MS", "200"),
        // A machine that is busy with other tests must not cause an alert.
        ("ALERT_STALLS", "0"),
        ("ALERT_RTT_MS", "0"),
        ("ALERT_FDS_PERCENT", "0"),
        ("ALERT_MEMORY_PERCENT", "0"),
        // These clients answer no heartbeat while they wait for others.
        ("ALERT_COHORT_LATE", "0"),
        ("ALERT_FLEET_LATE", "0"),
    ];
    let mut rig = Rig::start(3, &[&QUIET[..], &alerts].concat());
    let mut pairs: Vec<_> = (0..2_000).map(|_| rig.pair()).collect();
    let killed = rig.services.remove(0);
    let port = killed.socket_addr().port();
    drop(killed);
    let (lost, mut kept): (Vec<_>, Vec<_>) = pairs.drain(..).partition(|(at, ..)| *at == port);
    assert!((600..=700).contains(&lost.len()), "{}", lost.len());
    let many = lost.len();
    let (clients, legs): (Vec<_>, Vec<_>) = lost.into_iter().map(|(_, c, l)| (c, l)).unzip();
    legs.into_iter().for_each(Server::reset);
    for mut client in clients {
        let close = client.expect_close();
        assert_eq!(close.0, 1012, "{close:?}");
        drop(client);
        kept.push(rig.pair());
    }
    let alerts = eventually("an alert fires", || {
        let list = rig.gateway.api("/api/v1/alerts");
        let alerts = list["alerts"].as_array().expect("a list").clone();
        let is_firing = alerts.iter().any(|alert| alert["state"] == "firing");
        is_firing.then_some(alerts)
    });
    let names: Vec<_> = alerts.iter().map(|alert| &alert["name"]).collect();
    assert_eq!(names, ["upstream_down"], "{alerts:#?}");
    assert_eq!(
        alerts[0]["labels"],
        json!({"route": "r", "upstream": format!("127.0.0.1:{port}")})
    );
    // The clients have not died, and stand in no ranking of those with trouble.
    let troubled = rig.gateway.api("/api/v1/troubled");
    assert_eq!(troubled["troubled"], json!([]), "{troubled}");
    let ends = r#"pulsegate_pairs_closed_total{route="r",cause="peer_reset",by="network"}"#;
    assert_eq!(rig.metric(ends), many as f64);
    let opened = r#"pulsegate_pairs_opened_total{route="r"}"#;
    assert_eq!(rig.metric(opened), (2_000 + many) as f64);
    drop(kept);
}

/// A rate is of what a counter has grown by: a series that begins with 1 has none.
#[test]
fn counters_of_pairs_begin_with_0() {
    let rig = Rig::start(1, &QUIET);
    let metrics = rig.gateway.metrics();
    assert_eq!(
        metrics.get(r#"pulsegate_pairs_opened_total{route="r"}"#),
        0.0
    );
    for (cause, by) in [
        ("peer_closed", "client"),
        ("peer_closed", "upstream"),
        ("peer_eof", "client"),
        ("peer_reset", "network"),
        ("stale", "gateway"),
        ("draining", "operator"),
    ] {
        let labels = format!(r#"route="r",cause="{cause}",by="{by}""#);
        let ends = format!("pulsegate_pairs_closed_total{{{labels}}}");
        assert_eq!(metrics.get(&ends), 0.0, "{ends}");
    }
    let all = metrics.samples();
    let ends = all.filter(|(name, _)| name.starts_with("pulsegate_pairs_closed_total"));
    assert_eq!(ends.count(), 12, "each once");
}

#[test]
fn heartbeats_are_counted_by_leg() {
    let settings = [
        ("HEARTBEAT_INTERVAL_MS", "60000"),
        ("CONNECTION_TIMEOUT_MS", "180000"),
        ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "100"),
        ("UPSTREAM_CONNECTION_TIMEOUT_MS", "60000"),
    ];
    let rig = Rig::start(1, &settings);
    let (_, _client, mut leg) = rig.pair();
    let sent = |leg| format!(r#"pulsegate_heartbeats_sent_total{{class="{leg}",leg="{leg}"}}"#);
    let answered = r#"pulsegate_heartbeats_answered_total{class="upstream",leg="upstream"}"#;
    let unheard = r#"pulsegate_heartbeats_unanswered_total{class="upstream",leg="upstream"}"#;
    eventually("pings that the service does not answer", || {
        (rig.metric(unheard) >= 2.0).then_some(())
    });
    assert_eq!(rig.metric(answered), 0.0);
    let Event::Ping(payload) = leg.next() else {
        panic!("no ping");
    };
    leg.send(10, &payload);
    // Pings that wait in the socket are older. Only the newest one is expected.
    eventually("a ping that the service answers", || {
        while !leg.is_quiet() {
            if let Event::Ping(payload) = leg.next() {
                leg.send(10, &payload);
            }
        }
        (rig.metric(answered) >= 1.0).then_some(())
    });
    assert_eq!(rig.metric(&sent("client")), 0.0);
    assert!(rig.metric(&sent("upstream")) >= 3.0);
    let rtts = r#"pulsegate_heartbeat_rtt_seconds_count{class="upstream",leg="upstream"}"#;
    assert!(rig.metric(rtts) >= 1.0);
    let rtts = r#"pulsegate_heartbeat_rtt_seconds_count{class="client",leg="client"}"#;
    assert_eq!(rig.metric(rtts), 0.0);
}

#[test]
fn handshakes_are_counted_by_what_came_of_them() {
    let mut rig = Rig::start(1, &QUIET);
    let upstream = rig.services[0].socket_addr().to_string();
    let count = |rig: &Rig, result| {
        let labels = format!(r#"route="r",upstream="{upstream}",result="{result}""#);
        rig.metric(&format!("pulsegate_upstream_handshakes_total{{{labels}}}"))
    };
    let all = |rig: &Rig| {
        let results = ["opened", "refused", "invalid", "unreachable", "abandoned"];
        results.map(|result| count(rig, result))
    };
    assert_eq!(all(&rig), [0.0; 5]);
    let _pair = rig.pair();
    for (answer, status) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
    ] {
        let mut client = rig.ask();
        let (_, mut leg) = rig.accept();
        leg.read_head();
        leg.write(answer.as_bytes());
        assert_eq!(client.response().status, status);
    }
    let client = rig.ask();
    let (_, mut leg) = rig.accept();
    leg.read_head();
    client.reset();
    leg.expect_end();
    rig.services.clear();
    assert_eq!(rig.ask().response().status, 502);
    eventually("all are counted", || (all(&rig) == [1.0; 5]).then_some(()));
    let answers = r#"pulsegate_upstream_handshake_seconds_count{route="r"}"#;
    assert_eq!(rig.metric(answers), 2.0);
}

#[test]
fn a_gateway_is_ready_without_its_service_unless_it_is_told_otherwise() {
    for (needs, status) in [("0", 200), ("1", 503)] {
        let mut rig = Rig::start(
            1,
            &[&QUIET[..], &[("READY_NEEDS_UPSTREAM", needs)]].concat(),
        );
        let ready = |rig: &Rig| rig.gateway.admin_request("GET", "/readyz", "", "");
        assert_eq!(ready(&rig).status, 200, "nothing is known against it");
        rig.services.clear();
        assert_eq!(rig.ask().response().status, 502);
        let answer = ready(&rig);
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 503 {
            let upstream = answer.body.contains(": 127.0.0.1:");
            assert!(upstream && answer.body.contains("is avoided"), "{answer:?}");
            assert!(
                answer.body.contains("the route r has no upstream"),
                "{answer:?}"
            );
        }
    }
}

/// A service that restarts, and to which no client comes meanwhile.
#[test]
fn a_service_that_is_back_is_found_without_a_client() {
    let needs = [("READY_NEEDS_UPSTREAM", "1")];
    let mut rig = Rig::start(1, &[&QUIET[..], &needs].concat());
    let service = rig.services.remove(0);
    let (addr, url) = (service.socket_addr(), service.url.clone());
    drop(service);
    assert_eq!(rig.ask().response().status, 502);
    let listed = || rig.gateway.api("/api/v1/upstreams")["upstreams"][0].clone();
    let entry = listed();
    assert_eq!(entry["state"], "avoided", "{entry}");
    let reason = entry["reason"].as_str().expect("a reason");
    assert!(reason.contains("refused"), "{entry}");
    assert!(
        entry["since"]
            .as_str()
            .is_some_and(|since| since.ends_with('Z'))
    );
    let up = format!("pulsegate_upstream_up{{route=\"r\",upstream=\"{addr}\"}}");
    assert_eq!(rig.metric(&up), 0.0);
    let _listener = TcpListener::bind(addr).expect("the same port");
    let entry = eventually("the service is back", || {
        let entry = listed();
        (entry["state"] == "up").then_some(entry)
    });
    assert_eq!(entry["reason"], "it accepts connections again", "{url}");
    assert_eq!(rig.metric(&up), 1.0);
    let ready = rig.gateway.admin_request("GET", "/readyz", "", "");
    assert_eq!(ready.status, 200, "{ready:?}");
    let lines = rig.gateway.lines(&["upstream route=r ", "state=up"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Of one upstream: a drain is another state than a failure.
#[test]
fn each_upstream_has_its_state_the_time_of_its_answers_and_its_ports() {
    let rig = Rig::start(1, &QUIET);
    let upstream = rig.services[0].socket_addr().to_string();
    let of = |name: &str, more: &str| {
        let labels = format!(r#"route="r",upstream="{upstream}"{more}"#);
        rig.metric(&format!("pulsegate_upstream_{name}{{{labels}}}"))
    };
    let is_in = |state: &str| of("state", &format!(r#",state="{state}""#));
    assert_eq!((is_in("up"), of("answer_seconds_total", "")), (1.0, 0.0));
    let _pair = rig.pair();
    assert!(of("answer_seconds_total", "") > 0.0);
    let ports = of("ports_ratio", "");
    assert!(ports > 0.0 && ports < 0.01, "{ports}");
    let drain = json!({"route": "r", "upstream": upstream, "spread_ms": 3_600_000});
    let path = "/api/v1/upstreams/drain";
    let (status, _) = rig.gateway.act("POST", path, &drain.to_string());
    assert_eq!(status, 202);
    let states = ["up", "unresolved", "unhealthy", "avoided", "unresponsive"];
    for state in [&states[..], &["vanished", "removed"]].concat() {
        assert_eq!(is_in(state), 0.0, "{state}");
    }
    assert_eq!((is_in("drained"), of("up", "")), (1.0, 0.0));
}
