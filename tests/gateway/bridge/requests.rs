//! What the service sees of a client's request.

use super::legs::{Bridge, request};
use crate::folder::Folder;
use crate::proxies::v2_header;
use crate::sockets::{Client, Server};
use std::net::TcpStream;

/// Sends a request with these lines, and returns the service's connection with the head it got.
#[track_caller]
fn passed(bridge: &Bridge, path: &str, lines: &str) -> Server {
    let client = bridge.ask(path, lines);
    let mut leg = bridge.service.accept();
    leg.read_head();
    drop(client);
    leg
}

#[test]
fn path_query_and_end_to_end_fields_arrive_as_they_were_sent() {
    let bridge = Bridge::start(&[]);
    let lines = "Origin: https://chat.example:8443\r\nCookie: sid=\"a b\"; x=1\r\n\
                 Authorization: Bearer t.o.k\r\nCookie: y=2\r\nUser-Agent: agent/1\r\n\
                 Sec-WebSocket-Protocol: graphql-ws, graphql-transport-ws\r\n\
                 X-Own: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                 Proxy-Authorization: Basic eA==\r\n";
    let target = "/socket.io/?EIO=4&t=%20a&q={}//..";
    let leg = passed(&bridge, target, lines);
    let line = leg.head.lines().next();
    assert_eq!(line, Some(&*format!("GET {target} HTTP/1.1")));
    for (name, values) in [
        ("host", &["test"][..]),
        ("upgrade", &["websocket"]),
        ("connection", &["Upgrade"]),
        ("sec-websocket-version", &["13"]),
        ("origin", &["https://chat.example:8443"]),
        ("cookie", &["sid=\"a b\"; x=1", "y=2"]),
        ("authorization", &["Bearer t.o.k"]),
        ("user-agent", &["agent/1"]),
        (
            "sec-websocket-protocol",
            &["graphql-ws, graphql-transport-ws"],
        ),
        ("x-own", &["1"]),
        ("x-hop", &[]),
        ("te", &[]),
        ("proxy-authorization", &[]),
    ] {
        assert_eq!(leg.fields(name), values, "{name}: {}", leg.head);
    }
    let keys = leg.fields("sec-websocket-key");
    assert_eq!(keys.len(), 1);
    assert_ne!(keys, ["dGhlIHNhbXBsZSBub25jZQ=="], "a key of its own");
    bridge.gateway.end();
}

#[test]
fn permessage_deflate_is_the_only_extension_that_is_offered_onward() {
    let bridge = Bridge::start(&[]);
    for (sent, offered) in [
        (
            "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
            &["permessage-deflate; client_max_window_bits"][..],
        ),
        ("x-webkit-deflate-frame", &[]),
    ] {
        let lines = format!("Sec-WebSocket-Extensions: {sent}\r\n");
        let leg = passed(&bridge, "/", &lines);
        assert_eq!(leg.fields("sec-websocket-extensions"), offered);
    }
    bridge.gateway.end();
}

#[test]
fn host_is_the_clients_the_upstreams_or_a_name() {
    for (setting, host) in [
        ("keep", Some("test")),
        ("upstream", None),
        ("chat.example:81", Some("chat.example:81")),
    ] {
        let bridge = Bridge::start(&[("UPSTREAM_HOST_HEADER", setting)]);
        let own = bridge.service.socket_addr().to_string();
        let leg = passed(&bridge, "/", "");
        assert_eq!(leg.fields("host"), [host.unwrap_or(&own)], "{setting}");
        assert_eq!(leg.fields("x-forwarded-host"), ["test"], "{setting}");
        bridge.gateway.end();
    }
}

/// What a peer, perhaps one that lies, says about the client.
const FORWARDED: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
                         X-Forwarded-Host: chat.example\r\nX-Real-IP: 192.0.2.7\r\n\
                         X-Forwarded-Port: 444\r\nForwarded: for=192.0.2.7\r\n\
                         X_Forwarded_For: 192.0.2.8\r\n";

/// Asserts the values of the forwarding fields.
#[track_caller]
fn assert_forwarded(leg: &Server, expected: [&[&str]; 7]) {
    let names = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
        "x-forwarded-port",
        "forwarded",
        "x_forwarded_for",
    ];
    for (name, values) in names.iter().zip(expected) {
        assert_eq!(leg.fields(name), values, "{name}: {}", leg.head);
    }
}

#[test]
fn an_untrusted_peer_is_not_believed() {
    let bridge = Bridge::start(&[]);
    let nothing: &[&str] = &[];
    let own: [&[&str]; 3] = [&["127.0.0.1"], &["http"], &["test"]];
    let [address, scheme, host] = own;
    let expected = [address, scheme, host, nothing, nothing, nothing, nothing];
    for lines in ["", FORWARDED] {
        let leg = passed(&bridge, "/", lines);
        assert_forwarded(&leg, expected);
    }
    bridge.gateway.end();
}

#[test]
fn a_trusted_proxy_is_believed_and_added() {
    let bridge = Bridge::start(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    let leg = passed(&bridge, "/", FORWARDED);
    let element = leg.fields("forwarded").join("|");
    let (first, own) = element.split_once(", ").expect("two elements");
    assert_eq!(first, "for=192.0.2.7");
    assert!(own.starts_with("for=\"127.0.0.1:"), "{own}");
    assert_forwarded(
        &leg,
        [
            &["192.0.2.7, 127.0.0.1"],
            &["https"],
            &["chat.example"],
            &["192.0.2.7"],
            &["444"],
            &[&element],
            &[],
        ],
    );
    let leg = passed(&bridge, "/", "");
    assert_forwarded(
        &leg,
        [&["127.0.0.1"], &["http"], &["test"], &[], &[], &[], &[]],
    );
    bridge.gateway.end();
}

#[test]
fn every_client_uses_https_if_the_operator_says_so() {
    let bridge = Bridge::start(&[("FORWARDED_PROTO", "https")]);
    let leg = passed(&bridge, "/", "X-Forwarded-Proto: http\r\n");
    assert_eq!(leg.fields("x-forwarded-proto"), ["https"]);
    bridge.gateway.end();
}

/// A PROXY header that says that the client uses TLS (PP2_TYPE_SSL, with PP2_CLIENT_SSL set).
fn v2_header_with_tls() -> Vec<u8> {
    let tls = [0x20, 0, 5, 1, 0, 0, 0, 0];
    let mut header = v2_header([192, 0, 2, 7], 56_324);
    header[15] += tls.len() as u8;
    header.extend(tls);
    header
}

#[test]
fn the_proxy_protocol_says_who_the_client_is_and_whether_it_uses_tls() {
    let bridge = Bridge::start(&[("PROXY_PROTOCOL", "v2"), ("TRUSTED_PROXIES", "127.0.0.1")]);
    for (header, scheme) in [
        (v2_header([192, 0, 2, 7], 56_324), "http"),
        (v2_header_with_tls(), "https"),
    ] {
        let mut client = Client::connect(bridge.gateway.addr);
        client.write(&header);
        // The address is the header's, and this client is not trusted to write the fields.
        client.write(super::legs::request("/", FORWARDED).as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        let empty: &[&str] = &[];
        assert_forwarded(
            &leg,
            [
                &["192.0.2.7"],
                &[scheme],
                &["test"],
                empty,
                empty,
                empty,
                empty,
            ],
        );
        drop(client);
    }
    bridge.gateway.end();
}

#[test]
fn a_reload_changes_which_proxies_are_believed() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "trusted_proxies = ['10.0.0.1']\n");
    let bridge = Bridge::start(&[("CONFIG_FILE", &file)]);
    let leg = passed(&bridge, "/", FORWARDED);
    assert_eq!(leg.fields("x-forwarded-for"), ["127.0.0.1"]);
    folder.file("settings.toml", "trusted_proxies = ['127.0.0.1']\n");
    bridge.gateway.signal("HUP");
    bridge.gateway.line(&["reload trusted_proxies="]);
    let leg = passed(&bridge, "/", FORWARDED);
    assert_eq!(leg.fields("x-forwarded-for"), ["192.0.2.7, 127.0.0.1"]);
    bridge.gateway.end();
}

#[test]
fn a_faulty_upgrade_is_not_passed_on() {
    let bridge = Bridge::start(&[]);
    let old = request("/", "").replace("Version: 13", "Version: 8");
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(old.as_bytes());
    let refused = client.response();
    assert_eq!(refused.status, 426, "{refused:?}");
    let malformed = "Sec-WebSocket-Extensions: permessage-deflate; a=\r\n";
    let refused = bridge.ask("/", malformed).response();
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(bridge.service.try_accept().is_none());
    bridge.gateway.end();
}

#[test]
fn the_health_check_has_a_path_of_its_own() {
    let bridge = Bridge::start(&[]);
    let health = "/.well-known/pulsegate/health";
    let answer = Client::get(bridge.gateway.addr, health);
    assert_eq!((answer.status, &*answer.body), (200, "{\"status\":\"ok\"}"));
    // A WebSocket is the service's, whatever its path.
    let mut leg = passed(&bridge, health, "");
    assert!(leg.head.starts_with(&format!("GET {health} ")));
    leg = passed(&bridge, "/healthz", "");
    assert!(leg.head.starts_with("GET /healthz "));
    bridge.gateway.end();
    let bridge = Bridge::start(&[("HEALTH_PATH", "/up"), ("HTTP_PASS", "off")]);
    assert_eq!(Client::get(bridge.gateway.addr, "/up").status, 200);
    assert_eq!(Client::get(bridge.gateway.addr, health).status, 426);
    bridge.gateway.end();
}

/// The service decides which clients may connect, so no credentials are needed.
#[test]
fn a_gateway_before_a_service_may_listen_on_every_address() {
    let bridge = Bridge::start(&[("LISTEN_ADDR", "0.0.0.0:0")]);
    let port = bridge.gateway.addr.port();
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    drop(stream);
    let line = bridge.gateway.line(&["route name=default "]);
    assert!(line.contains(&bridge.service.url), "{line}");
    assert!(
        line.contains("the service decides which clients may connect"),
        "{line}"
    );
    assert_eq!(bridge.gateway.lines(&["[WARN]"]), [""; 0]);
    bridge.gateway.end();
}
