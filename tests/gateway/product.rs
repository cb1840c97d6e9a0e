//! A product unknown to the gateway: its class is in the API, the metrics, the alerts, the page and
//! the log, and can be drained and blocked like any other.

use crate::sockets::{Client, Event, eventually};
use pulsegate::engine::{Class, Io, Message, Request, Upgrade, Verdict};
use pulsegate::gateway::{
    BootId, CAUSES, ClassInfo, ClientCheck, Credentials, Gateway, GatewayOptions, Identity,
    Product, ProxyProtocol, RELAY_CLASSES, RelaySettings, ReportMode, RequestDecision,
};
use pulsegate::reactor::listen;
use pulsegate::side::{self, AlertSettings, WebhookOptions};
use pulsegate::{Cause, CauseTable, Config, ConnId, Micros, Policy, Reactor, Remote};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::Duration;

const SENSORS: [ClassInfo; 1] = [ClassInfo {
    name: "sensor",
    label: "weather sensors",
    ended_by: None,
    policy: Policy::DEFAULT,
}];

/// Sensors at `/sensor-ws/NAME`; each message is echoed.
#[derive(Default)]
struct Sensors {
    class: Option<Class>,
}

impl Product for Sensors {
    fn classes(&self) -> &'static [ClassInfo] {
        &SENSORS
    }

    fn on_register(&mut self, first: Class) {
        self.class = Some(first);
    }

    fn on_request(
        &mut self,
        _: &mut Io<'_>,
        _: ConnId,
        request: &Request,
        _: &ClientCheck,
    ) -> Option<RequestDecision> {
        let name = request.path().strip_prefix("/sensor-ws/")?;
        let class = self.class.expect("registered");
        if name.is_empty() {
            return Some(RequestDecision {
                class,
                identity: None,
                verdict: Verdict::refuse(Cause::BAD_REQUEST, 400, "a sensor has a name"),
            });
        }
        let upgrade = Upgrade {
            identified: true,
            ..Upgrade::to(class)
        };
        Some(RequestDecision {
            class,
            identity: Some(Identity {
                class,
                user: name.into(),
                package: None,
                address: None,
            }),
            verdict: Verdict::Upgrade(upgrade),
        })
    }

    fn on_open(&mut self, _: &mut Io<'_>, _: ConnId, _: &Identity) -> &'static str {
        "first"
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, _: &Identity, message: Message) {
        io.send(id, message);
    }
}

/// A gateway in this process, with the relay and the sensors.
struct Rig {
    addr: SocketAddr,
    admin: SocketAddr,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
    _side: side::SideHandle,
}

impl Rig {
    fn start() -> Rig {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || Rig::run(&tell));
        let (addr, remote, side) = told.recv().expect("a start");
        Rig {
            addr,
            admin: side.addr().expect("a listener"),
            remote,
            thread: Some(thread),
            _side: side,
        }
    }

    /// Builds everything on this thread, sends the tests what they need, and turns the loop.
    fn run(tell: &Sender<(SocketAddr, Remote, side::SideHandle)>) {
        let gateway = Gateway::new(GatewayOptions {
            stats_interval: Micros::from_secs(60),
            log_dropped: Box::new(|| 0),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            max_connections: 100,
            watchdog: None,
            relay: RelaySettings::default(),
            credentials: Credentials::default(),
            client_reports: ReportMode::Off,
            restored: Vec::new(),
            health_path: "/healthz".into(),
            serves_relay: true,
            bridge: None,
            products: vec![Box::new(Sensors::default())],
        });
        let registered = gateway.classes().clone();
        assert_eq!(registered.count(), RELAY_CLASSES.len() + 1);
        let (closed, reports, expired, jobs) = (
            gateway.closed_conns(),
            gateway.reports(),
            gateway.expired_peers(),
            gateway.jobs(),
        );
        let events = side::EventOptions::new(gateway.events());
        let config = Config {
            classes: registered.configs(),
            causes: &CAUSES,
            ..Config::default()
        };
        let port = || listen(([127, 0, 0, 1], 0).into(), false).expect("a port");
        let mut reactor = Reactor::new(config, port(), 100, gateway).expect("a loop");
        let queries = reactor.with_io(|gateway, io| gateway.query_sender(io.remote()));
        let (addr, remote) = (reactor.local_addr(), reactor.remote());
        let alerts = AlertSettings {
            interval: Micros::from_millis(20),
            mass_death: 5,
            mass_death_percent: 50,
            ..AlertSettings::default()
        };
        let side = side::start(side::SideOptions {
            boot: BootId::default(),
            ready_needs_upstream: false,
            listener: Some(port()),
            token: None,
            hosts: Vec::new(),
            queries,
            causes: CauseTable::with(&CAUSES),
            classes: registered,
            closed,
            reports,
            expired,
            events,
            alerts: Arc::new(Mutex::new(alerts)),
            jobs,
            webhooks: WebhookOptions {
                timeout: Duration::from_secs(10),
                websocket_url: "ws://127.0.0.1/app-ws".into(),
                settings: Arc::default(),
            },
            state: None,
            listen_addr: addr,
            check_policy: |_| Ok(()),
            drain_times: Arc::new(Mutex::new((Micros::ZERO, Micros::ZERO))),
            drain: Arc::new(|_, _| {}),
            http: None,
            reload: Arc::new(pulsegate::side::ReloadReport::default),
        })
        .expect("the side threads");
        reactor.with_io(|gateway, io| gateway.start(io));
        tell.send((addr, remote, side)).expect("a listener");
        reactor.run().expect("no fault of the loop");
    }

    /// Returns the status and body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("a connection");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("room");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    fn get(&self, path: &str) -> String {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).expect("JSON")
    }

    fn sensor(&self, name: &str) -> Client {
        Client::open(self.addr, &format!("/sensor-ws/{name}"))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.remote.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

#[test]
fn a_third_class_is_in_the_api_the_metrics_and_the_page() {
    let rig = Rig::start();
    let mut sensor = rig.sensor("attic");
    sensor.send_text("21.5");
    assert_eq!(sensor.next(), Event::Text("21.5".to_owned()));

    let overview = rig.json("/api/v1/overview");
    assert_eq!(
        overview["connections"]["sensor"]["healthy"], 1,
        "{overview}"
    );
    assert_eq!(overview["since_start"]["opened"]["sensor"], 1, "{overview}");
    let found = rig.json("/api/v1/connections?class=sensor");
    assert_eq!(found["matched"], 1, "{found}");
    let row = &found["connections"][0];
    assert_eq!(
        (&row["class"], &row["user"]),
        (&"sensor".into(), &"attic".into())
    );
    let glasses = rig.json("/api/v1/connections?class=glasses");
    assert_eq!(glasses["matched"], 0, "{glasses}");
    let (status, why) = rig.ask("GET", "/api/v1/connections?class=radio", "");
    assert_eq!(status, 400);
    assert!(why.contains("one of glasses, app, sensor"), "{why}");
    assert!(rig.json("/api/v1/policies")["sensor"]["heartbeat_interval_ms"].is_u64());

    let document = rig.json("/api/v1/openapi.json");
    let names = &document["components"]["schemas"]["ClassName"]["enum"];
    assert_eq!(*names, serde_json::json!(["glasses", "app", "sensor"]));

    let metrics = rig.get("/metrics");
    let series = "pulsegate_connections{class=\"sensor\",state=\"healthy\"} 1";
    assert!(metrics.contains(series), "{metrics}");

    let page = rig.get("/");
    assert!(
        page.contains("<option value=\"sensor\">weather sensors</option>"),
        "{page}"
    );
    assert!(page.contains("value=\"sensor\"> weather sensors"), "{page}");
    let classes = rig.get("/page/classes.js");
    assert!(
        classes.contains("[\"sensor\",\"weather sensors\"]"),
        "{classes}"
    );
}

#[test]
fn a_third_class_is_drained_blocked_and_remembered() {
    let rig = Rig::start();
    let mut attic = rig.sensor("attic");
    let mut glasses = Client::open(rig.addr, "/glasses-ws?user=ada");
    let _ack = glasses.next();
    // One is kicked, and refused from then on.
    let found = rig.json("/api/v1/connections?class=sensor");
    let id = found["connections"][0]["id"].as_str().expect("an id");
    let kick = format!("/api/v1/connections/{id}/kick");
    let (status, kicked) = rig.ask("POST", &kick, "{\"block_ms\":60000}");
    assert_eq!(status, 200, "{kicked}");
    assert_eq!(attic.expect_close().0, 4000);
    let refused = Client::refused(rig.addr, "/sensor-ws/attic");
    assert_eq!(refused.status, 403);
    let (status, _) = rig.ask("DELETE", "/api/v1/blocks?user=attic", "");
    assert_eq!(status, 204);
    // All sensors are drained, and the glasses stay.
    let mut attic = rig.sensor("attic");
    let drain = "{\"class\":\"sensor\",\"spread_ms\":0,\"refuse_ms\":60000}";
    let (status, draining) = rig.ask("POST", "/api/v1/drain", drain);
    assert_eq!(status, 202, "{draining}");
    assert_eq!(attic.expect_close().0, 1012);
    assert_eq!(Client::refused(rig.addr, "/sensor-ws/cellar").status, 503);
    let overview = rig.json("/api/v1/overview");
    assert_eq!(overview["drained_classes"], serde_json::json!(["sensor"]));
    let (status, _) = rig.ask("DELETE", "/api/v1/drain/sensor", "");
    assert_eq!(status, 204);
    let _cellar = rig.sensor("cellar");
    assert_eq!(
        rig.json("/api/v1/overview")["connections"]["glasses"]["healthy"],
        1
    );
    let closed = eventually("both ends are remembered", || {
        let closed = rig.json("/api/v1/closed?class=sensor");
        let ends = closed["closed"].as_array().expect("a list").iter();
        let causes: Vec<String> = ends
            .map(|end| end["cause"].as_str().expect("a cause").to_owned())
            .collect();
        ["kicked", "draining"]
            .iter()
            .all(|cause| causes.iter().any(|c| c == cause))
            .then_some(closed)
    });
    assert_eq!(closed["closed"][0]["user"], "attic");
}

/// The log of every test of this process.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut lines = LINES.lock().unwrap_or_else(|e| e.into_inner());
        lines.push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn a_third_class_that_dies_is_told_by_alert_and_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Lines).expect("the only logger");
        log::set_max_level(log::LevelFilter::Info);
    });
    let rig = Rig::start();
    let mass_death = || {
        let alerts = rig.json("/api/v1/alerts");
        let all = alerts["alerts"].as_array().expect("a list").clone();
        all.into_iter().find(|alert| alert["name"] == "mass_death")
    };
    // Deaths beside a stall of the loop are not told, and a busy machine makes it stall.
    let alert = eventually("the mass death is told", || {
        let sensors: Vec<Client> = (0..6).map(|n| rig.sensor(&format!("mast{n}"))).collect();
        eventually("the alerts have seen them", || {
            let overview = rig.json("/api/v1/overview");
            (overview["connections"]["sensor"]["healthy"] == 6).then_some(())
        });
        sensors.into_iter().for_each(Client::reset);
        (0..50).find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            mass_death()
        })
    });
    assert_eq!(alert["labels"]["class"], "sensor", "{alert}");
    let summary = alert["summary"].as_str().expect("a summary");
    assert!(summary.contains("of class sensor"), "{summary}");
    let lines = LINES.lock().unwrap_or_else(|e| e.into_inner());
    let told = |line: &&String| line.starts_with("close class=sensor user=mast");
    assert!(lines.iter().filter(told).count() >= 6);
}
