//! Late heartbeats: when the host is told, and what of the peer's silence is kept.

use crate::nets::{S, check_invariants, one_class, timed};
use pulsegate::cause::Cause;
use pulsegate::engine::{
    Class, Ending, Handler, Io, KernelEvidence, Message, Request, SilenceEvidence, Verdict,
};
use pulsegate::health::{AliveBy, HealthChange, HealthState};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{ConnId, Micros, Policy};

/// What the host was told, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Late(SilenceEvidence),
    State(HealthState, Micros),
}

#[derive(Default)]
struct Host {
    told: Vec<Told>,
    proxied: bool,
    is_paused: bool,
}

impl Handler for Host {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, _: &Request) -> Verdict {
        if self.proxied {
            io.set_peer_addr(id, ([192, 0, 2, 1], 4_242).into());
        }
        Verdict::upgrade(Class(0))
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        if self.is_paused {
            io.pause_reading(id);
        }
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}

    fn on_late(&mut self, _: &mut Io<'_>, _: ConnId, evidence: &SilenceEvidence) {
        self.told.push(Told::Late(*evidence));
    }

    fn on_health(&mut self, io: &mut Io<'_>, _: ConnId, change: HealthChange) {
        self.told.push(Told::State(change.state, io.now()));
    }

    fn on_close(&mut self, _: &mut Io<'_>, _: ConnId, _: &Ending) {}
}

/// Returns a server with this policy, and a peer that answers no heartbeat.
fn silent(policy: Policy) -> (Net<Host>, PeerId) {
    let mut net = Net::new(one_class(policy), Host::default());
    let peer = net.connect("/");
    net.mute(peer);
    (net, peer)
}

/// Lets time pass until the server has sent this many heartbeats to the peer. Returns when it sent
/// the last of them.
fn beat(net: &mut Net<Host>, peer: PeerId, many: usize) -> Micros {
    while net.heartbeats_sent_at(peer).len() < many {
        assert!(net.is_open(peer));
        net.advance(10);
    }
    net.heartbeats_sent_at(peer)[many - 1]
}

fn lates(net: &mut Net<Host>) -> Vec<SilenceEvidence> {
    let late = |told: &Told| match told {
        Told::Late(evidence) => Some(*evidence),
        Told::State(..) => None,
    };
    net.host().told.iter().filter_map(late).collect()
}

fn evidence(net: &mut Net<Host>, peer: PeerId) -> Option<SilenceEvidence> {
    let id = net.id(peer);
    net.with_io(|_, io| io.view(id))
        .and_then(|view| view.silence_evidence)
}

const TWO_SECONDS: Micros = Micros::from_secs(2);
const FIFTEEN_SECONDS: Micros = Micros::from_secs(15);

#[test]
fn each_heartbeat_is_late_once_and_before_its_peer_is_suspect() {
    let (mut net, peer) = silent(timed(15, 45));
    let first = beat(&mut net, peer, 1);
    let id = net.id(peer);
    let heard = net.with_io(|_, io| io.view(id)).expect("it is open").heard;
    net.advance(60 * S);
    net.expect_closed(peer, Cause::STALE);
    let told = std::mem::take(&mut net.host().told);
    let late = |nth: u64| {
        let sent = first + Micros(nth * FIFTEEN_SECONDS.0);
        Told::Late(SilenceEvidence {
            at: sent + TWO_SECONDS,
            waited: TWO_SECONDS,
            idle_before: first - heard,
            kernel: Some(KernelEvidence {
                heartbeat_acked: true,
                ..KernelEvidence::default()
            }),
        })
    };
    let suspect = Told::State(HealthState::Suspect, first + FIFTEEN_SECONDS);
    // The last one left less than 2 s before the end.
    let many = net.heartbeats_sent_at(peer).len() as u64 - 1;
    let wanted: Vec<Told> = [late(0), suspect]
        .into_iter()
        .chain((1..many).map(late))
        .collect();
    assert_eq!(told, wanted);
    let end = net.ending(peer).expect("an end");
    assert_eq!(u64::from(end.late_heartbeats), many);
    assert_eq!(end.silence_evidence.map(Told::Late), Some(late(many - 1)));
    assert_eq!(net.engine().stats().classes[0].late, many);
    assert_eq!(net.kernel_asked(peer), many);
    net.advance(10 * S);
    assert_eq!(net.late_entries(), 0, "nothing is left of it");
}

#[test]
fn a_short_interval_leaves_half_of_it() {
    let (mut net, peer) = silent(timed(3, 9));
    beat(&mut net, peer, 1);
    net.advance(2 * S);
    let waited = lates(&mut net)
        .iter()
        .map(|late| late.waited.as_millis())
        .collect::<Vec<_>>();
    assert_eq!(waited, [1_500]);
}

#[test]
fn a_peer_whose_answers_usually_take_long_has_more_time() {
    let mut net = Net::new(one_class(timed(15, 45)), Host::default());
    let peer = net.connect("/");
    net.set_latency(peer, 2_500);
    beat(&mut net, peer, 1);
    net.advance(14 * S);
    assert_eq!(lates(&mut net).len(), 1, "its time is not known yet");
    assert_eq!(evidence(&mut net, peer), None, "it was heard since");
    beat(&mut net, peer, 6);
    net.advance(14 * S);
    assert_eq!(lates(&mut net).len(), 1);
    net.mute(peer);
    let sent = beat(&mut net, peer, 7);
    net.advance(14 * S);
    let late = lates(&mut net)[1];
    let most = Micros(FIFTEEN_SECONDS.0 / 2);
    assert!(
        (sent + Micros::from_millis(2_500)..=sent + most).contains(&late.at),
        "{late:?}"
    );
    let end = evidence(&mut net, peer);
    assert_eq!(end, Some(late));
}

/// Otherwise a death right after an outage would be flagged only after half of the interval.
#[test]
fn an_outage_gives_the_next_heartbeats_little_more_time() {
    let mut net = Net::new(one_class(timed(15, 45)), Host::default());
    let peer = net.connect("/");
    net.set_latency(peer, 80);
    beat(&mut net, peer, 8);
    net.advance(S);
    net.set_latency(peer, 12_000);
    beat(&mut net, peer, 9);
    net.advance(13 * S);
    assert_eq!((lates(&mut net).len(), evidence(&mut net, peer)), (1, None));
    net.mute(peer);
    let sent = beat(&mut net, peer, 10);
    net.advance(8 * S);
    let late = lates(&mut net)[1];
    let most = Micros::from_millis(2_750);
    assert!(
        (sent + TWO_SECONDS..=sent + most).contains(&late.at),
        "{late:?}"
    );
}

#[test]
fn what_the_kernel_says_of_a_stopped_peer_and_of_a_cut_link() {
    for (is_cut, proxied) in [(false, false), (true, false), (false, true), (true, true)] {
        let host = Host {
            proxied,
            ..Host::default()
        };
        let mut net = Net::new(one_class(timed(15, 45)), host);
        let peer = net.connect("/");
        if is_cut {
            net.set_link(peer, 0, 1_000);
            net.set_backoff(peer, 3);
        } else {
            net.mute(peer);
        }
        beat(&mut net, peer, 1);
        net.advance(3 * S);
        let wanted = match is_cut {
            true => KernelEvidence {
                in_flight: 1,
                backoff: 3,
                retransmits: 3,
                proxy: proxied,
                ..KernelEvidence::default()
            },
            false => KernelEvidence {
                heartbeat_acked: true,
                proxy: proxied,
                ..KernelEvidence::default()
            },
        };
        let seen = evidence(&mut net, peer).and_then(|evidence| evidence.kernel);
        assert_eq!(seen, Some(wanted));
        check_invariants(&net);
    }
}

#[test]
fn an_answer_in_the_receive_buffer_is_read_first() {
    let mut net = Net::new(one_class(timed(15, 45)), Host::default());
    let peer = net.connect("/");
    net.set_unread(peer, true);
    beat(&mut net, peer, 1);
    net.advance(10 * S);
    assert_eq!((lates(&mut net), net.kernel_asked(peer)), (vec![], 0));
    assert_eq!(net.engine().stats().pongs(), 1);
}

#[test]
fn a_peer_that_is_not_read_has_no_late_heartbeat() {
    let host = Host {
        is_paused: true,
        ..Host::default()
    };
    let mut net = Net::new(one_class(timed(15, 45)), host);
    let peer = net.connect("/");
    net.mute(peer);
    net.advance(120 * S);
    assert!(net.is_open(peer));
    assert_eq!((lates(&mut net), net.kernel_asked(peer)), (vec![], 0));
}

#[test]
fn a_stall_of_the_loop_does_not_make_a_heartbeat_late() {
    let (mut net, peer) = silent(timed(15, 45));
    let sent = beat(&mut net, peer, 1);
    net.stall(20_000);
    assert!(lates(&mut net).is_empty());
    net.advance(3 * S);
    assert_eq!(
        lates(&mut net).first().map(|late| late.at),
        Some(sent + TWO_SECONDS)
    );
}

#[test]
fn an_answer_that_is_no_sign_of_life_ends_the_evidence() {
    let (mut net, peer) = silent(Policy {
        alive_by: AliveBy::Data,
        ..timed(15, 45)
    });
    beat(&mut net, peer, 1);
    net.advance(3 * S);
    assert!(evidence(&mut net, peer).is_some());
    net.unmute(peer);
    net.advance(10);
    assert_eq!(evidence(&mut net, peer), None);
    let id = net.id(peer);
    let health = net.with_io(|_, io| io.health(id)).expect("a connection");
    assert_eq!(health.unanswered, 1, "no message came");
    beat(&mut net, peer, 2);
    net.advance(10 * S);
    assert_eq!(lates(&mut net).len(), 1, "the second is answered");
}

#[test]
fn a_class_without_late_heartbeats_has_none_and_changes_at_once() {
    let off = Policy {
        late: false,
        ..timed(15, 300)
    };
    let (mut net, peer) = silent(off);
    beat(&mut net, peer, 2);
    net.advance(10 * S);
    assert!(lates(&mut net).is_empty());
    net.with_io(|_, io| io.set_policy(Class(0), timed(15, 300)))
        .expect("a policy");
    beat(&mut net, peer, 3);
    net.advance(3 * S);
    assert_eq!(lates(&mut net).len(), 1);
    beat(&mut net, peer, 4);
    net.with_io(|_, io| io.set_policy(Class(0), off))
        .expect("a policy");
    net.advance(10 * S);
    assert_eq!(lates(&mut net).len(), 1, "it is not judged any more");
}

#[test]
fn a_driver_that_does_not_judge_them_keeps_none_and_sleeps_as_before() {
    let (mut net, peer) = silent(timed(15, 300));
    net.judge_no_late();
    beat(&mut net, peer, 3);
    assert_eq!(net.late_entries(), 0);
    let sleep = net.engine().sleep_time(net.now()).expect("a heartbeat");
    assert!(sleep > Micros::from_secs(14), "{sleep}");
    net.advance(60 * S);
    assert!(lates(&mut net).is_empty());
}

#[test]
fn a_driver_that_stops_judging_them_is_not_kept_awake() {
    let (mut net, peer) = silent(timed(15, 300));
    let sent = beat(&mut net, peer, 2);
    assert_eq!(
        net.engine().sleep_time(net.now()),
        Some(sent + TWO_SECONDS - net.now())
    );
    net.judge_no_late();
    net.run_turn_after(1);
    let sleep = net.engine().sleep_time(net.now()).expect("a heartbeat");
    assert!(sleep > Micros::from_secs(14), "{sleep}");
    net.advance(100 * S);
    assert_eq!(
        net.late_entries(),
        1,
        "the record of its first late heartbeat"
    );
}
