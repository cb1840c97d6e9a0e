//! A loop that stands still.

use crate::sockets::eventually;
use pulsegate::gateway::{
    BootId, Credentials, Gateway, GatewayOptions, GatewayQueries, Progress, ProxyProtocol,
    RelaySettings, ReportMode,
};
use pulsegate::side::{self, SideOptions, WebhookOptions};
use pulsegate::{ClassConfig, Config, Micros, Policy, Reactor};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// Returns a gateway with a loop that turns only when the test turns it, and the address of its
/// admin listener.
fn standing_gateway() -> (Reactor<Gateway>, GatewayQueries, SocketAddr) {
    let gateway = Gateway::new(GatewayOptions {
        stats_interval: Micros::from_secs(60),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 10,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        client_reports: ReportMode::Off,
        restored: Vec::new(),
        health_path: "/healthz".into(),
        serves_relay: true,
        bridge: None,
        products: Vec::new(),
    });
    let product_classes = gateway.classes().clone();
    let (closed, reports, expired, jobs) = (
        gateway.closed_conns(),
        gateway.reports(),
        gateway.expired_peers(),
        gateway.jobs(),
    );
    let events = side::EventOptions::new(gateway.events());
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
    let queries: GatewayQueries = reactor.with_io(|gateway, io| gateway.query_sender(io.remote()));
    let admin = side::start(SideOptions {
        boot: BootId::default(),
        ready_needs_upstream: false,
        listener: Some(listen().expect("a port")),
        token: None,
        hosts: Vec::new(),
        queries: queries.clone(),
        causes: pulsegate::CauseTable::with(&pulsegate::gateway::CAUSES),
        classes: product_classes,
        closed,
        reports,
        expired,
        events,
        alerts: Arc::default(),
        jobs,
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
        http: None,
        reload: Arc::new(pulsegate::side::ReloadReport::default),
    })
    .expect("the side thread");
    let admin = admin.addr().expect("a listener");
    (reactor, queries, admin)
}

#[test]
fn a_loop_that_stands_still_is_not_ready_and_questions_to_it_do_not_pile_up() {
    let (mut reactor, queries, admin) = standing_gateway();
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
    while queries.send_sliced(Box::new(|_, _| Progress::Done)).is_ok() {}
    let busy = get("/metrics");
    assert!(
        busy.starts_with("HTTP/1.1 503") && busy.contains("64 requests wait"),
        "{busy}"
    );
    // For so long only a loop stands still that hangs.
    eventually("a gateway that is to be restarted", || {
        let alive = get("/healthz");
        let is_hung = alive.starts_with("HTTP/1.1 503") && alive.contains("has not turned");
        is_hung.then_some(())
    });
    // The loop turns again, and processes the waiting requests, one slice a turn.
    let turning = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            eventually("it is ready", || {
                get("/readyz").starts_with("HTTP/1.1 200").then_some(())
            });
            eventually("it is alive", || {
                get("/healthz").starts_with("HTTP/1.1 200").then_some(())
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
