//! Verdicts that the host defers: what arrives meanwhile, its bound, and verdicts that cannot be
//! carried out.

use crate::echo::{check_all_ended, server};
use crate::frames::text;
use crate::http::response::check_response;
use crate::nets::S;
use pulsegate::Class;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message, SendError, SendOutcome, Upgrade, Verdict};
use pulsegate::health::Policy;
use pulsegate::testing::{Received, upgrade_request};

#[test]
fn a_deferred_verdict_opens_with_what_came_meanwhile() {
    let mut net = server(Config::default());
    let peer = net.open_socket();
    net.write(
        peer,
        &[upgrade_request("/defer").as_bytes(), &text("early")].concat(),
    );
    net.settle();
    net.write(peer, &text("and late")[..5]);
    net.settle();
    assert!(net.response(peer).is_none() && !net.is_open(peer));
    let id = net.id(peer);
    assert_eq!(
        net.with_io(|_, io| io.send(id, Message::text("x"))),
        SendOutcome::Refused(SendError::Gone)
    );
    net.with_io(|_, io| io.answer(id, Verdict::Defer)); // changes nothing
    net.advance(9 * S);
    net.with_io(|_, io| io.answer(id, Verdict::upgrade(Class(0))));
    net.write(peer, &text("and late")[5..]);
    net.settle();
    let expected = ["early", "and late"].map(|t| Received::Message(Message::text(t)));
    assert_eq!(net.received(peer), expected);
    // A second verdict is ignored.
    net.with_io(|_, io| io.answer(id, Verdict::refuse(Cause::BLOCKED, 403, "changed my mind")));
    assert!(net.is_open(peer));
}

/// At most 8 KiB are kept behind a request whose verdict is deferred, whether they arrive with it
/// or later.
#[test]
fn what_comes_before_a_deferred_verdict_is_bounded_however_it_is_cut() {
    let request = upgrade_request("/defer");
    for (early, is_kept) in [(8 * 1024, true), (8 * 1024 + 1, false)] {
        let stream = [request.as_bytes(), &vec![0; early][..]].concat();
        for cut in [stream.len(), request.len(), 1_000] {
            let mut net = server(Config::default());
            let peer = net.open_socket();
            for piece in stream.chunks(cut) {
                net.write(peer, piece);
                net.settle();
            }
            assert_eq!(net.response(peer).is_none(), is_kept, "cuts of {cut}");
            if !is_kept {
                check_response("early", net.response(peer).expect("an answer"), 400, false);
            }
            let id = net.id(peer);
            net.with_io(|_, io| io.answer(id, Verdict::refuse(Cause::BLOCKED, 403, "no")));
            net.settle();
            net.advance(2 * S + 10);
            let cause = if is_kept {
                Cause::BLOCKED
            } else {
                Cause::BAD_REQUEST
            };
            net.expect_closed(peer, cause);
            check_all_ended(&mut net);
        }
    }
}

#[test]
fn a_verdict_that_cannot_be_carried_out_is_answered_500() {
    let bad_policy = Policy {
        suspect_after: 0,
        ..Policy::default()
    };
    let of = |class, policy| Upgrade {
        class: Class(class),
        protocol: None,
        headers: vec![],
        policy,
        identified: false,
    };
    for upgrade in [of(7, None), of(0, Some(bad_policy))] {
        let mut net = server(Config::default());
        let peer = net.open_socket();
        net.write(peer, upgrade_request("/defer").as_bytes());
        net.settle();
        let id = net.id(peer);
        net.with_io(|_, io| io.answer(id, Verdict::Upgrade(upgrade.clone())));
        net.settle();
        check_response(
            "internal",
            net.response(peer).expect("an answer"),
            500,
            false,
        );
        net.advance(2 * S + 10);
        net.expect_closed(peer, Cause::INTERNAL);
        check_all_ended(&mut net);
    }
}
