//! Plain HTTP and WebSockets on one connection, and in one count.

use super::rig::{LAST, assert_answer, assert_end, get, read, read_answer, serve, status};
use crate::bridge::legs::{Bridge, QUIET, request};
use crate::folder::Folder;
use crate::sockets::{Client, Event, Gateway, Listener, eventually, frame};
use pulsegate::wire::frame::TEXT;

/// Returns how many connections the thread for plain HTTP has.
fn http_connections(gateway: &Gateway) -> f64 {
    gateway.metrics().get("pulsegate_http_connections")
}

#[test]
fn a_kept_connection_becomes_a_websocket_and_leaves_the_thread_for_http() {
    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/page", "").as_bytes());
    let mut kept = bridge.service.accept();
    serve(&mut kept, "page");
    assert_answer(&mut client, "page");
    assert_eq!(http_connections(&bridge.gateway), 1.0);
    client.write(request("/ws?a=b", "Sec-WebSocket-Protocol: chat\r\n").as_bytes());
    let mut leg = bridge.service.accept();
    leg.agree("Sec-WebSocket-Protocol: chat\r\n");
    assert!(
        leg.head.starts_with("GET /ws?a=b HTTP/1.1\r\n"),
        "{}",
        leg.head
    );
    let head = client.switched();
    assert!(
        head.contains("\r\nSec-WebSocket-Protocol: chat\r\n"),
        "{head}"
    );
    Bridge::assert_linked(&mut client, &mut leg);
    eventually("nothing is left", || {
        (http_connections(&bridge.gateway) == 0.0).then_some(())
    });
    let record = bridge.gateway.connection("class=client");
    assert!(
        record["peer"]
            .as_str()
            .is_some_and(|p| p.starts_with("127.0.0.1:")),
        "{record}"
    );
    bridge.gateway.end();
}

/// The bytes behind the upgrade are the first frame; the bytes before it are requests whose answers
/// are sent first.
#[test]
fn an_upgrade_in_the_middle_of_other_bytes_loses_none_of_them() {
    let bridge = Bridge::start(&[]);
    let bytes = [
        get("/1", "").into_bytes(),
        b"POST /2 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        request("/ws", "").into_bytes(),
        frame(TEXT, b"early"),
    ]
    .concat();
    // In one piece, and byte by byte.
    for piece in [bytes.len(), 1] {
        let mut client = Client::connect(bridge.gateway.addr);
        let mut writer = client.writer();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || {
            sent.chunks(piece).for_each(|part| writer.write(part));
        });
        let mut leg = bridge.service.accept();
        leg.read_head();
        leg.write(LAST);
        read_answer(&mut client);
        let mut leg = bridge.service.accept();
        leg.read_head();
        assert_eq!(leg.read_exactly(3), b"abc");
        assert!(
            bridge.service.try_accept().is_none(),
            "the answer comes first"
        );
        leg.write(LAST);
        read_answer(&mut client);
        let mut leg = bridge.service.open();
        client.switched();
        assert_eq!(leg.next_answering(), Event::Text("early".to_owned()));
        Bridge::assert_linked(&mut client, &mut leg);
        writing.join().expect("all sent");
    }
    bridge.gateway.end();
}

#[test]
fn a_sticky_client_has_one_upstream_for_both() {
    let folder = Folder::new();
    let services = [Listener::tcp(), Listener::tcp()];
    let route = format!(
        "[[route]]\nname = 'r'\npath = '/'\nsticky = 'cookie:gate'\nupstream = ['{}', '{}']\n",
        services[0].url, services[1].url
    );
    let file = folder.file("routes.toml", route);
    let gateway = Gateway::start(&[&QUIET[..], &[("CONFIG_FILE", &*file)]].concat());
    for _ in 0..4 {
        let mut client = Client::connect(gateway.addr);
        client.write(get("/poll", "").as_bytes());
        let (at, mut leg) = eventually("a request", || {
            let mut legs = services.iter().enumerate();
            legs.find_map(|(at, service)| Some((at, service.try_accept()?)))
        });
        leg.read_head();
        leg.write(LAST);
        let (head, _) = read_answer(&mut client);
        let cookie = head
            .lines()
            .find_map(|line| line.strip_prefix("Set-Cookie: "));
        let cookie = cookie.and_then(|c| c.split(';').next()).expect("a cookie");
        let lines = format!("Cookie: other=1; {cookie}\r\n");
        client.write(get("/poll", &lines).as_bytes());
        let mut leg = services[at].accept();
        leg.read_head();
        leg.write(LAST);
        let (head, _) = read_answer(&mut client);
        assert!(!head.contains("Set-Cookie"), "{head}");
        client.write(request("/ws", &lines).as_bytes());
        services[at].open();
        client.switched();
    }
    gateway.end();
}

#[test]
fn connections_of_plain_http_count_under_the_limit() {
    let bridge = Bridge::start(&[("MAX_CONNECTIONS", "2")]);
    let mut clients: Vec<_> = (0..2)
        .map(|_| {
            let mut client = Client::connect(bridge.gateway.addr);
            client.write(get("/", "").as_bytes());
            let mut leg = bridge.service.accept();
            leg.read_head();
            leg.write(LAST);
            read_answer(&mut client);
            client
        })
        .collect();
    let refused = Client::get(bridge.gateway.addr, "/");
    assert_eq!(refused.status, 503, "{refused:?}");
    // One becomes a WebSocket: it still has its place, and no second one.
    let mut client = clients.pop().expect("one");
    client.write(request("/", "").as_bytes());
    let mut leg = bridge.service.open();
    client.switched();
    assert_eq!(Client::get(bridge.gateway.addr, "/").status, 503);
    drop(clients);
    eventually("a free place", || {
        let mut client = Client::connect(bridge.gateway.addr);
        client.write(get("/free", "Connection: close\r\n").as_bytes());
        let leg = bridge.service.try_accept().or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            bridge.service.try_accept()
        });
        leg.map(|mut leg| serve(&mut leg, "free"))
    });
    Bridge::assert_linked(&mut client, &mut leg);
    bridge.gateway.end();
}

#[test]
fn without_http_pass_only_websockets_are_passed() {
    let bridge = Bridge::start(&[("HTTP_PASS", "off")]);
    let addr = bridge.gateway.addr;
    assert_eq!(Client::get(addr, "/").status, 426);
    let mut client = Client::connect(addr);
    client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.response().status, 405);
    assert!(bridge.service.try_accept().is_none());
    let (mut client, mut leg) = bridge.pair();
    Bridge::assert_linked(&mut client, &mut leg);
    bridge.gateway.end();
}

/// A route owns its paths, and the gateway's own health check stays.
#[test]
fn paths_belong_to_the_route_the_relay_or_the_gateway() {
    let folder = Folder::new();
    let service = Listener::tcp();
    let route = format!(
        "[[route]]\nname = 'r'\npath = '/app'\nupstream = ['{}']\n",
        service.url
    );
    let file = folder.file("routes.toml", route);
    let gateway = Gateway::start(&[&QUIET[..], &[("CONFIG_FILE", &*file)]].concat());
    assert_eq!(Client::get(gateway.addr, "/healthz").status, 200);
    assert_eq!(Client::get(gateway.addr, "/other").status, 404);
    // The same on a connection that was handed over.
    let mut client = Client::connect(gateway.addr);
    for (path, expected) in [
        ("/app/x", 200),
        ("/healthz", 200),
        ("/other", 404),
        ("/app", 200),
    ] {
        client.write(get(path, "").as_bytes());
        if path.starts_with("/app") {
            let mut leg = service.accept();
            leg.read_head();
            leg.write(LAST);
        }
        let (head, body) = read_answer(&mut client);
        assert_eq!(status(&head), expected, "{path}: {body}");
    }
    client.write(request("/glasses-ws", "").as_bytes());
    client.switched();

    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/healthz", "").as_bytes());
    serve(&mut bridge.service.accept(), "the service's own");
    assert_answer(&mut client, "the service's own");
    let own = Client::get(bridge.gateway.addr, "/.well-known/pulsegate/health");
    assert_eq!((own.status, &*own.body), (200, "{\"status\":\"ok\"}"));
    gateway.end();
    bridge.gateway.end();
}

#[test]
fn a_drain_completes_requests_and_closes_what_is_idle() {
    let mut bridge = Bridge::start(&[("DRAIN_MS", "8000")]);
    let mut idle = Client::connect(bridge.gateway.addr);
    idle.write(get("/idle", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    leg.write(LAST);
    read_answer(&mut idle);
    let mut busy = Client::connect(bridge.gateway.addr);
    busy.write(get("/busy", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    bridge.gateway.signal("TERM");
    bridge.gateway.line(&["signal effect=drain"]);
    leg.write(LAST);
    assert_eq!(status(&read_answer(&mut busy).0), 200);
    assert_end(&mut busy);
    assert_end(&mut idle);
    assert_eq!(bridge.gateway.wait_for_exit().code(), Some(0));
}

/// Requests that would go on for ever do not keep the process.
#[test]
fn a_drain_cuts_off_what_does_not_end() {
    let mut bridge = Bridge::start(&[("DRAIN_MS", "0")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/events", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    leg.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    client.refusal();
    assert_eq!(read(&mut client, 6), "1\r\nx\r\n");
    bridge.gateway.signal("TERM");
    assert_end(&mut client);
    leg.expect_end();
    assert_eq!(bridge.gateway.wait_for_exit().code(), Some(0));
}

/// Kept connections do not keep others out.
#[test]
fn kept_connections_end_when_there_is_no_place_left() {
    let bridge = Bridge::start(&[("MAX_CONNECTIONS", "4")]);
    let mut idle: Vec<_> = (0..4)
        .map(|_| {
            let mut client = Client::connect(bridge.gateway.addr);
            client.write(get("/", "").as_bytes());
            let mut leg = bridge.service.accept();
            leg.read_head();
            leg.write(LAST);
            read_answer(&mut client);
            client
        })
        .collect();
    assert_eq!(Client::get(bridge.gateway.addr, "/").status, 503);
    idle.iter_mut().for_each(assert_end);
    // The loop notices the free places in one of its next turns.
    eventually("a place", || {
        let health = "/.well-known/pulsegate/health";
        assert_eq!(Client::get(bridge.gateway.addr, health).status, 200);
        (bridge.gateway.metrics().get("pulsegate_accepting") == 1.0).then_some(())
    });
    let (mut client, mut leg) = bridge.pair();
    Bridge::assert_linked(&mut client, &mut leg);
    bridge.gateway.end();
}

/// A client of HTTP/1.0 knows the length of such an answer from its end alone.
#[test]
fn an_answer_without_a_length_ends_a_connection_of_http_1_0() {
    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(b"GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n");
    let mut leg = bridge.service.accept();
    leg.read_head();
    leg.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let head = client.refusal().to_ascii_lowercase();
    assert!(!head.contains("keep-alive"), "{head}");
    assert_eq!(read(&mut client, 5), "hello");
    assert_end(&mut client);
    bridge.gateway.end();
}
