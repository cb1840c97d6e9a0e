//! An edge in front of the gateway that ends WebSockets: it answers pings itself, and drops its
//! client without telling.

use super::legs::{Bridge, request};
use crate::sockets::{Client, Event, PATIENCE, Server, frame};
use pulsegate::wire::frame::{FIN, Header, PING, PONG};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// A heartbeat every 300 ms, stale after 900 ms.
const QUICK: [(&str, &str); 2] = [
    ("HEARTBEAT_INTERVAL_MS", "300"),
    ("CONNECTION_TIMEOUT_MS", "900"),
];

/// An edge for one client.
struct Edge {
    addr: SocketAddr,
    /// One entry for each ping that it has answered.
    answered: Receiver<()>,
}

impl Edge {
    fn before(gateway: SocketAddr) -> Edge {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (tell, answered) = channel();
        std::thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            serve(
                client,
                TcpStream::connect(gateway).expect("the gateway"),
                &tell,
            );
        });
        Edge { addr, answered }
    }

    /// Waits until one more ping is answered.
    #[track_caller]
    fn answers_a_ping(&self) {
        let answered = self.answered.recv_timeout(PATIENCE);
        answered.expect("a ping of the gateway");
    }
}

/// Passes frames both ways until the gateway ends the connection.
fn serve(client: TcpStream, gateway: TcpStream, tell: &Sender<()>) {
    let mut from_gateway = gateway.try_clone().expect("a second handle");
    let to_gateway = Arc::new(Mutex::new(gateway));
    let mut from_client = client.try_clone().expect("a second handle");
    let to_gateway_too = to_gateway.clone();
    std::thread::spawn(move || {
        // When the client leaves, the gateway is not told.
        pass(&mut from_client, |frame| write(&to_gateway_too, frame));
    });
    let mut to_client = client;
    pass(&mut from_gateway, |bytes| match Header::parse(bytes) {
        Some(header) if header.first == FIN | PING => {
            write(&to_gateway, &frame(PONG, &bytes[header.len..]));
            let _ = tell.send(());
        }
        // The client may have left.
        _ => drop(to_client.write_all(bytes)),
    });
}

fn write(socket: &Mutex<TcpStream>, bytes: &[u8]) {
    let mut socket = socket.lock().expect("no panic");
    // The gateway may have closed the connection.
    let _ = socket.write_all(bytes);
}

/// Passes a head, and then frame by frame, until the end of the stream.
fn pass(from: &mut TcpStream, mut take: impl FnMut(&[u8])) {
    let (mut input, mut buffer) = (Vec::new(), [0; 4_096]);
    let mut has_head = false;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        input.extend_from_slice(&buffer[..read]);
        if !has_head && let Some(at) = input.windows(4).position(|w| w == b"\r\n\r\n") {
            let head: Vec<u8> = input.drain(..at + 4).collect();
            take(&head);
            has_head = true;
        }
        while has_head
            && let Some(len) = Header::parse(&input).map(|header| header.frame_len())
            && len <= input.len()
        {
            let frame: Vec<u8> = input.drain(..len).collect();
            take(&frame);
        }
    }
}

/// Opens a pair through an edge, and passes a text each time that the edge has answered a ping, for
/// longer than the timeout.
fn talk(bridge: &Bridge, edge: &Edge) -> (Client, Server) {
    let mut client = Client::connect(edge.addr);
    client.write(request("/", "").as_bytes());
    let mut leg = bridge.service.open();
    client.switched();
    for nth in 0..6 {
        edge.answers_a_ping();
        let text = format!("text {nth}");
        client.send_text(&text);
        assert_eq!(leg.next_answering(), Event::Text(text));
    }
    (client, leg)
}

#[test]
fn by_pongs_a_ghost_behind_an_edge_lives_as_long_as_the_edge() {
    let bridge = Bridge::start(&QUICK);
    let edge = Edge::before(bridge.gateway.addr);
    let (client, mut leg) = talk(&bridge, &edge);
    drop(client);
    // Twice the timeout.
    for _ in 0..6 {
        edge.answers_a_ping();
    }
    assert!(leg.is_quiet());
    assert_eq!(bridge.gateway.lines(&["[WARN] stale"]), [""; 0]);
    bridge.gateway.end();
}

#[test]
fn by_data_a_ghost_behind_an_edge_is_found_and_a_client_that_talks_lives() {
    let bridge = Bridge::start(&[&QUICK[..], &[("ALIVE_BY", "data")]].concat());
    let edge = Edge::before(bridge.gateway.addr);
    let (client, leg) = talk(&bridge, &edge);
    drop(client);
    // The edge still answers for it.
    edge.answers_a_ping();
    edge.answers_a_ping();
    let (code, reason) = leg.expect_close();
    assert_eq!(code, 1001);
    assert!(reason.starts_with("client lost"), "{reason}");
    let record = bridge.record("client");
    assert_eq!(record["cause"], "stale", "{record}");
    let reason = record["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("no message heard for "), "{reason}");
    bridge.gateway.end();
}
