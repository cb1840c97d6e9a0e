//! A service whose host name has several addresses, such as `localhost`: ::1 and 127.0.0.1.

use super::legs::{Bridge, request};
use crate::sockets::{Client, Listener, LoopThread, eventually};
use pulsegate::gateway::{
    BRIDGE_CLASSES, BridgeOptions, CAUSES, Credentials, Gateway, GatewayOptions, Proxies,
    ProxyProtocol, RelaySettings, ReportMode, Route, SessionLimits, WeightedUpstream,
};
use pulsegate::reactor::listen;
use pulsegate::{Config, Micros, Reactor};
use std::net::{SocketAddr, TcpListener};

/// Starts a gateway in this process, before a service with these addresses.
fn start(addresses: Vec<SocketAddr>) -> LoopThread {
    LoopThread::spawn(move || reactor(addresses))
}

/// Sends a client's upgrade request.
#[track_caller]
fn ask(gateway: &LoopThread) -> Client {
    let mut client = Client::connect(gateway.addr);
    client.write(request("/", "").as_bytes());
    client
}

fn reactor(addresses: Vec<SocketAddr>) -> Reactor<Gateway> {
    let upstream = WeightedUpstream::parse("http://chat.example").expect("a location");
    let bridge = BridgeOptions {
        routes: vec![Route {
            connect_timeout: Micros::from_secs(30),
            answer_timeout: Micros::from_secs(30),
            ..Route::to("default", vec![upstream])
        }],
        forwarded_https: false,
        http_pass: false,
        http_max_requests: 0,
        proxies: Proxies::default(),
        sessions: SessionLimits::default(),
    };
    let mut gateway = Gateway::new(GatewayOptions {
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
        serves_relay: false,
        bridge: Some(bridge),
        products: Vec::new(),
    });
    let bridge = gateway.bridge().expect("a bridge");
    assert!(bridge.set_addresses("chat.example", 80, &addresses, None));
    let classes = gateway.classes().clone();
    assert!(classes.by_name(BRIDGE_CLASSES[1].name).is_some());
    let config = Config {
        classes: classes.configs(),
        causes: &CAUSES,
        ..Config::default()
    };
    let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a port");
    Reactor::new(config, listener, 100, gateway).expect("a loop")
}

/// Returns an address at which nothing listens.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

#[test]
fn each_address_is_tried_and_those_that_failed_are_avoided() {
    let service = Listener::tcp();
    let gateway = start(vec![
        refusing(),
        refusing(),
        service.socket_addr(),
        refusing(),
    ]);
    for _ in 0..3 {
        let mut client = ask(&gateway);
        let mut leg = service.open();
        client.switched();
        Bridge::assert_linked(&mut client, &mut leg);
    }
    gateway.stop();
}

#[test]
fn a_service_that_no_address_reaches_is_a_502() {
    let gateway = start(vec![refusing(), refusing()]);
    for _ in 0..3 {
        let response = ask(&gateway).response();
        assert_eq!(response.status, 502, "{response:?}");
        assert!(response.body.contains("the upstream cannot be reached"));
    }
    gateway.stop();
}

/// A service that has taken a request may have acted on it, so no other address gets it.
#[test]
fn a_request_that_was_taken_is_not_sent_to_the_next_address() {
    let services = [Listener::tcp(), Listener::tcp()];
    let gateway = start(services.iter().map(Listener::socket_addr).collect());
    let mut client = ask(&gateway);
    let (at, mut leg) = eventually("a connection to one of the two", || {
        let mut accepted = services.iter().enumerate();
        accepted.find_map(|(at, service)| Some((at, service.try_accept()?)))
    });
    leg.read_head();
    drop(leg);
    let response = client.response();
    assert_eq!(response.status, 502, "{response:?}");
    assert!(services[1 - at].try_accept().is_none());
    gateway.stop();
}
