//! A service whose host name has several addresses, such as `localhost`: ::1 and 127.0.0.1.

use super::legs::{Bridge, request};
use crate::sockets::{Client, Listener, LoopThread};
use pulsegate::gateway::{
    BRIDGE_CLASSES, Bridge as Product, BridgeOptions, CAUSES, Credentials, Gateway, GatewayOptions,
    HostHeader, Proxies, ProxyProtocol, RelaySettings, UpstreamUrl,
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
    let url = UpstreamUrl::parse("http://chat.example").expect("a location");
    let bridge = Product::new(BridgeOptions {
        upstream: url.at(addresses),
        host_header: HostHeader::Keep,
        forwarded_https: false,
        connect_timeout: Micros::from_secs(30),
        answer_timeout: Micros::from_secs(30),
        max_message_bytes: 0,
        proxies: Proxies::default(),
    });
    let gateway = Gateway::new(GatewayOptions {
        stats_interval: Micros::from_secs(60),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 100,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        restored: Vec::new(),
        health_path: "/healthz".into(),
        relay_serves: false,
        products: vec![Box::new(bridge)],
    });
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
fn each_address_is_tried_and_the_one_that_was_reached_is_tried_first() {
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
    let mut leg = services[0].accept();
    leg.read_head();
    drop(leg);
    let response = client.response();
    assert_eq!(response.status, 502, "{response:?}");
    assert!(services[1].try_accept().is_none());
    gateway.stop();
}
