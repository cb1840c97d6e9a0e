//! Causes of a product: registered by a table, and reported, counted and listed like the engine's
//! own. Also tests a cause that is not registered.

use crate::echo::{Host, peer_code, scripted, server};
use crate::frames::close;
use crate::nets::check_invariants;
use pulsegate::cause::{Cause, CauseInfo, CauseKind, CauseTable, EndCode, EndedBy};
use pulsegate::engine::{Config, Verdict};
use pulsegate::testing::{Net, PeerId, upgrade_request};

pulsegate::causes! {
    /// The causes of a chat.
    static CHAT;
    /// The member left the room.
    const LEFT_ROOM = CauseInfo::new("left_room", EndedBy::Peer, 4001);
    /// The member's screen went dark.
    const SCREEN_OFF = CauseInfo::new("screen_off", EndedBy::Network, 4002)
        .kind(CauseKind::Loss)
        .after(Cause::STALE);
}

mod other {
    use super::{CauseInfo, EndedBy};

    pulsegate::causes! {
        /// A cause of another product, with the same number as [`LEFT_ROOM`](super::LEFT_ROOM).
        pub static OTHER;
        /// The game is over.
        pub const GAME_OVER = CauseInfo::new("game_over", EndedBy::Server, 4003);
    }
}

fn chat() -> Net<Host> {
    server(Config {
        causes: &CHAT,
        ..Config::default()
    })
}

/// Closes an open connection for this cause.
fn close_for(net: &mut Net<Host>, cause: Cause) -> PeerId {
    let peer = net.connect("/");
    let id = net.id(peer);
    net.with_io(|_, io| io.close_for(id, cause, cause.close_code(), "so be it"));
    net.advance(100);
    peer
}

/// Refuses a request for this cause.
fn refuse_for(net: &mut Net<Host>, cause: Cause) -> PeerId {
    let peer = net.open_socket();
    net.write(peer, upgrade_request("/defer").as_bytes());
    net.settle();
    let id = net.id(peer);
    net.with_io(|_, io| io.answer(id, Verdict::refuse(cause, 403, "not here")));
    net.settle();
    net.half_close(peer);
    net.advance(100);
    peer
}

/// Returns the WebSockets ended and the requests refused for this cause.
fn counted(net: &Net<Host>, cause: Cause) -> (u64, u64) {
    let stats = net.engine().stats();
    let at = cause.index();
    (stats.closed(at), stats.rejected[at])
}

#[test]
fn a_products_cause_has_its_name_code_and_counters() {
    let mut net = chat();
    let left = close_for(&mut net, LEFT_ROOM);
    let dark = close_for(&mut net, SCREEN_OFF);
    let refused = refuse_for(&mut net, LEFT_ROOM);
    for (peer, cause, by, code, lost) in [
        (left, LEFT_ROOM, EndedBy::Peer, EndCode::Close(4001), false),
        (
            dark,
            SCREEN_OFF,
            EndedBy::Network,
            EndCode::Close(4002),
            true,
        ),
        (refused, LEFT_ROOM, EndedBy::Peer, EndCode::Http(403), false),
    ] {
        let end = net.ending(peer).expect("it has ended");
        assert_eq!((end.cause, end.by, end.code), (cause, by, code));
        assert_eq!((end.lost, end.clean), (lost, code != EndCode::Http(403)));
    }
    assert_eq!(net.ending(refused).map(|e| &*e.reason), Some("not here"));
    assert_eq!(counted(&net, LEFT_ROOM), (1, 1));
    assert_eq!(counted(&net, SCREEN_OFF), (1, 0));
    assert_eq!(LEFT_ROOM.to_string(), "left_room");
    let stats = net.engine().stats();
    assert_eq!(stats.rejected.len(), Cause::COUNT + CHAT.len());
    let names: Vec<_> = stats.causes.all().map(Cause::name).collect();
    let stale = names.iter().position(|name| *name == "stale");
    assert_eq!(stale.map(|at| names[at + 1]), Some("screen_off"));
    assert_eq!(names.last(), Some(&"left_room"));
    assert_eq!(names.len(), stats.causes.count());
    assert_eq!(stats.causes.named("left_room"), Some(LEFT_ROOM));
    check_invariants(&net);
}

#[test]
fn a_cause_that_is_not_registered_is_internal() {
    for causes in [&[][..], &other::OTHER] {
        let mut net = server(Config {
            causes,
            ..Config::default()
        });
        for cause in [LEFT_ROOM, SCREEN_OFF] {
            let closed = close_for(&mut net, cause);
            let refused = refuse_for(&mut net, cause);
            for peer in [closed, refused] {
                let end = net.ending(peer).expect("it has ended");
                assert_eq!((end.cause, end.by), (Cause::INTERNAL, EndedBy::Server));
            }
            // The host's own reason reaches the peer.
            let code = net.ending(closed).map(|e| e.code);
            assert_eq!(code, Some(EndCode::Close(cause.close_code())));
            let answer = net.response(refused).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        assert_eq!(counted(&net, Cause::INTERNAL), (2, 2));
        let stats = net.engine().stats();
        assert_eq!(stats.rejected.iter().sum::<u64>(), 2);
        check_invariants(&net);
    }
    // It has the same number as a registered cause, but is a different one.
    assert_eq!(LEFT_ROOM.index(), other::GAME_OVER.index());
    assert_ne!(LEFT_ROOM, other::GAME_OVER);
}

#[test]
fn registered_causes_stay_as_they_were_at_the_start() {
    let mut net = chat();
    net.with_io(|_, io| io.reconfigure(Config::default()))
        .expect("a valid configuration");
    close_for(&mut net, LEFT_ROOM);
    assert_eq!(counted(&net, LEFT_ROOM), (1, 0));
    assert_eq!(net.engine().config().causes.len(), CHAT.len());
}

mod faulty {
    use super::{CauseInfo, EndedBy};

    pulsegate::causes! {
        pub static CAUSES;
        pub const _TWICE = CauseInfo::new("stale", EndedBy::Server, 4000);
        pub const _SPELLED = CauseInfo::new("Left Room", EndedBy::Server, 4000);
        pub const _FORBIDDEN_CODE = CauseInfo::new("abnormal", EndedBy::Server, 1006);
    }
}

#[test]
fn a_faulty_table_is_refused_with_every_fault() {
    let validate = |causes| {
        let config = Config {
            causes,
            ..Config::default()
        };
        config.validate()
    };
    assert_eq!(validate(&CHAT), Ok(()));
    let faults = validate(&faulty::CAUSES).expect_err("three faults");
    for fault in [
        "cause stale: two causes have this name",
        "cause \"Left Room\": its name must have the form [a-z][a-z0-9_]*",
        "cause abnormal: close code 1006 is not allowed in a close frame",
    ] {
        assert!(faults.to_string().contains(fault), "{faults}");
    }
    let faults = validate(&CHAT[1..]).expect_err("a part of a table");
    assert!(
        faults.to_string().contains("cause screen_off: its table"),
        "{faults}"
    );
}

#[test]
fn a_peers_close_is_a_loss_if_it_found_fault_with_us() {
    for (code, lost) in [(1000, false), (1001, false), (1002, true), (1007, true)] {
        let mut net = chat();
        let peer = scripted(&mut net, "/");
        net.write(peer, &close(code, b""));
        net.settle();
        net.half_close(peer);
        net.advance(100);
        let end = net.ending(peer).expect("it has ended");
        assert_eq!((peer_code(end), end.lost), (Some(code), lost));
    }
}

#[test]
fn every_cause_is_listed_once() {
    let all: Vec<Cause> = CauseTable::with(&CHAT).all().collect();
    let mut indexes: Vec<_> = all.iter().map(|cause| cause.index()).collect();
    indexes.sort_unstable();
    assert!(indexes.into_iter().eq(0..Cause::COUNT + CHAT.len()));
}
