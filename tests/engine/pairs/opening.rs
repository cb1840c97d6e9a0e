//! Pairs whose connections open one after the other.

use crate::nets::{S, check_invariants, timed};
use crate::pairs_host::{PairHost, pair_config};
use pulsegate::testing::{
    Net, OnDial, PeerId, Received, client_frame, frame_of_server, upgrade_request,
};
use pulsegate::{Cause, Message};

fn net(opens_clients_first: bool) -> Net<PairHost> {
    let policy = timed(15, 45);
    let mut net = Net::new(pair_config(policy, policy), PairHost::default());
    net.host().opens_clients_first = opens_clients_first;
    net.set_on_dial(OnDial::Accept);
    net
}

fn only_server(net: &mut Net<PairHost>) -> PeerId {
    let servers = net.take_dialed();
    assert_eq!(servers.len(), 1);
    servers[0]
}

#[test]
fn what_a_client_sends_before_its_server_is_open_arrives() {
    let mut net = net(true);
    let client = net.connect("/chat");
    assert!(net.is_open(client));
    for i in 0..200_u8 {
        net.send(client, Message::binary(vec![i; 1_000]));
    }
    net.advance(9 * S);
    check_invariants(&net);
    let id = net.id(client);
    let is_paused = net.with_io(|_, io| io.view(id).is_some_and(|v| v.paused));
    assert!(is_paused, "its input stays in its socket");
    let server = only_server(&mut net);
    net.agree(server, "");
    net.settle();
    check_invariants(&net);
    let got = net.received(server);
    let expected = (0..200_u8).map(|i| Received::Message(Message::binary(vec![i; 1_000])));
    assert_eq!(got, expected.collect::<Vec<_>>());
    net.send(server, Message::text("welcome"));
    net.settle();
    let got = net.received(client);
    assert_eq!(got, [Received::Message(Message::text("welcome"))]);
}

#[test]
pub fn what_stands_right_behind_either_handshake_arrives() {
    for first in [true, false] {
        let mut net = net(first);
        let client = net.open_socket();
        let early = [
            upgrade_request("/chat").into_bytes(),
            client_frame(0x81, b"right behind"),
        ];
        net.write(client, &early.concat());
        net.settle();
        let server = only_server(&mut net);
        let request = net.request(server).expect("a request");
        let answer = pulsegate::testing::upgrade_response(request, "");
        let answer = [answer.into_bytes(), frame_of_server(0x81, b"welcome")];
        net.write(server, &answer.concat());
        net.settle();
        check_invariants(&net);
        assert!(net.is_open(client) && net.is_open(server));
        let right_behind = Received::Message(Message::text("right behind"));
        assert_eq!(net.received(server), [right_behind], "{first}");
        let welcome = Received::Message(Message::text("welcome"));
        assert_eq!(net.received(client), [welcome], "{first}");
    }
}

#[test]
fn an_open_client_is_told_that_its_server_did_not_open() {
    type Act = fn(&mut Net<PairHost>, PeerId);
    let rows: &[(&str, Act, Cause)] = &[
        (
            "refused",
            |n, p| n.write(p, b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n"),
            Cause::NOT_UPGRADED,
        ),
        ("garbage", |n, p| n.write(p, b"SSH-2.0"), Cause::BAD_ANSWER),
        ("reset", |n, p| n.reset(p), Cause::PEER_RESET),
        ("silent", |_, _| {}, Cause::ANSWER_TIMEOUT),
    ];
    for (what, act, cause) in rows {
        let mut net = net(true);
        let client = net.connect("/chat");
        net.send(client, Message::text("waits"));
        net.settle();
        let server = only_server(&mut net);
        act(&mut net, server);
        net.advance(10 * S + 100);
        net.expect_closed(server, *cause);
        let got = net.received(client);
        let closed = Received::Close(1012, cause.name().to_owned());
        assert_eq!(got, [closed], "{what}");
        check_invariants(&net);
        net.advance(10 * S);
        net.expect_closed(client, Cause::PARTNER_ENDED);
    }
}

#[test]
fn a_client_that_leaves_ends_the_dial() {
    for first in [true, false] {
        let mut net = net(first);
        let client = net.connect("/chat");
        let server = only_server(&mut net);
        net.reset(client);
        net.advance(100);
        assert!(net.ending(client).is_some(), "{first}");
        let end = net.ending(server).expect("the dial is ended");
        assert!(
            [Cause::PARTNER_ENDED, Cause::KICKED].contains(&end.cause),
            "{end:?}"
        );
        check_invariants(&net);
        assert!(net.engine().is_empty());
    }
}
