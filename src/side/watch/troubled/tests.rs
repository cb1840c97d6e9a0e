//! Invented trouble on a virtual clock.

use super::table::{IDENTITIES_MAX, RankedIdentity, Troubled};
use super::trouble::{AGES_MAX, HOUR, HOURS};
use crate::base::cause::{Cause, EndCode, EndedBy};
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::engine::Ending;
use crate::gateway::{APP, ClosedConn, ExpiredPeer, GLASSES, Identity};
use crate::health::Rtt;

pub(in crate::side::watch) const HOUR_MS: u64 = HOUR.as_millis();
pub(in crate::side::watch) const START: u64 = 500 * 24 * HOUR_MS;

/// Returns this moment, with a wall clock that is not stepped.
pub(in crate::side::watch) fn moment(ms: u64) -> Timestamp {
    Timestamp {
        raw: Micros::from_millis(ms),
        wall: UnixMillis(ms),
    }
}

pub(in crate::side::watch) fn closed(
    user: &str,
    at: u64,
    cause: Cause,
    rtt_ms: u64,
    age_s: u64,
) -> ClosedConn {
    let mut rtt = Rtt::default();
    rtt.sample(rtt_ms * 1_000);
    ClosedConn {
        generated: false,
        at: moment(at),
        id: crate::base::id::ConnId::new(1, 1),
        user: Some(user.into()),
        package: user.ends_with("app").then(|| "org.a".into()),
        address: None,
        user_agent: None,
        target: None,
        partner: None,
        end: Ending {
            class: Some(if user.ends_with("app") { APP } else { GLASSES }),
            peer_addr: ([127, 0, 0, 1], 1).into(),
            by: EndedBy::Server,
            age: Micros::from_secs(age_s),
            rtt,
            ..Ending::sample(cause)
        },
        history: None,
        session: None,
        judged: None,
        report: None,
    }
}

pub(in crate::side::watch) fn expired(user: &str, at: u64, cause: Cause) -> ExpiredPeer {
    let user = user.into();
    ExpiredPeer {
        at: moment(at),
        identity: Identity {
            class: GLASSES,
            user,
            package: None,
            address: None,
        },
        cause,
        lost: cause.is_loss(EndCode::None),
    }
}

/// Returns the only entry of a ranking.
#[track_caller]
fn one(troubled: &mut Troubled, now: u64) -> RankedIdentity {
    let worst = troubled.worst(moment(now), 10);
    assert_eq!(worst.len(), 1, "{worst:?}");
    worst[0].clone()
}

#[test]
fn the_pattern_is_told_in_words() {
    let mut troubled = Troubled::default();
    let step = 3 * HOUR_MS / 11;
    for n in 0..12 {
        let (at, age) = (START + n * step, 100 + n * 37);
        troubled.record_closed(&[closed("ada", at, Cause::STALE, 2_500, age)]);
    }
    let found = one(&mut troubled, START + 3 * HOUR_MS);
    assert_eq!(
        found.pattern,
        "12 drops in 3 h, all stale, silent after RTT above 2 s"
    );
    assert_eq!((found.drops, found.stale, found.slow), (12, 12, 12));
    assert_eq!(found.first_at, UnixMillis(START));
    assert_eq!(found.last_at, UnixMillis(START + 11 * step));
    assert_eq!((&*found.user, found.package), ("ada", None));

    let mut troubled = Troubled::default();
    for n in 0..25 {
        let at = START + n * 301_000;
        troubled.record_closed(&[closed("an-app", at, Cause::PEER_EOF, 20, 300)]);
    }
    let found = one(&mut troubled, START + 3 * HOUR_MS);
    assert_eq!(
        found.pattern,
        "25 drops in 2 h, all peer_eof, each after 5 min"
    );
    assert_eq!(found.package.as_deref(), Some("org.a"));

    let mut troubled = Troubled::default();
    let causes = [Cause::STALE, Cause::PEER_RESET, Cause::STALE];
    for (n, cause) in causes.into_iter().enumerate() {
        let n = n as u64;
        let rtt = if n == 1 { 3_000 } else { 20 };
        let record = closed("ada", START + n * HOUR_MS, cause, rtt, 10 + n * 100);
        troubled.record_closed(&[record]);
        troubled.record_expired(&[expired("ada", START + n * HOUR_MS, cause)]);
    }
    assert_eq!(
        one(&mut troubled, START + 2 * HOUR_MS).pattern,
        "3 drops in 2 h, 2 of them stale, RTT above 2 s at the end once, not reconnected in time 3 \
         times"
    );

    let mut troubled = Troubled::default();
    for n in 0..3 {
        troubled.record_expired(&[expired("ada", START + n * HOUR_MS, Cause::PEER_EOF)]);
    }
    assert_eq!(
        one(&mut troubled, START + 2 * HOUR_MS).pattern,
        "not reconnected in time 3 times in 2 h"
    );
}

#[test]
fn a_client_that_leaves_has_no_trouble() {
    let mut troubled = Troubled::default();
    for n in 0..10 {
        let at = START + n;
        let mut handshake = closed("ada", at, Cause::HANDSHAKE_TIMEOUT, 20, 60);
        handshake.end.class = None;
        troubled.record_closed(&[
            closed("ada", at, Cause::PEER_CLOSED, 20, 60),
            closed("ada", at, Cause::REPLACED, 20, 60),
            closed("ada", at, Cause::DRAINING, 20, 60),
            ClosedConn {
                generated: true,
                ..closed("anonymous-1", at, Cause::STALE, 20, 60)
            },
            handshake,
        ]);
        troubled.record_expired(&[expired("ada", at, Cause::PEER_CLOSED)]);
    }
    assert_eq!(troubled.worst(moment(START), 10), []);
    // A connection that was replaced while it did not answer had been lost.
    for n in 0..3 {
        let mut taken = closed("ada", START + n * HOUR_MS, Cause::REPLACED, 20, 60 * n);
        taken.end.unanswered = 1;
        troubled.record_closed(&[taken]);
    }
    let found = one(&mut troubled, START + 2 * HOUR_MS);
    assert_eq!(found.pattern, "3 drops in 2 h, all replaced");
}

#[test]
fn trouble_fades_and_is_forgotten() {
    let mut troubled = Troubled::default();
    for hours_ago in [2, 1, 1, 0] {
        let at = START - hours_ago * HOUR_MS;
        troubled.record_closed(&[closed("ada", at, Cause::PEER_EOF, 20, hours_ago)]);
    }
    let score = |troubled: &mut Troubled, hours: u64| {
        let worst = troubled.worst(moment(START + hours * HOUR_MS), 10);
        worst.first().map(|ranked| (ranked.score * 100.0).round())
    };
    assert_eq!(score(&mut troubled, 0), Some(358.0));
    assert_eq!(score(&mut troubled, 6), Some(179.0));
    assert_eq!(score(&mut troubled, 12), Some(89.0));
    // Two of the hours are remembered, which is not enough.
    assert_eq!(score(&mut troubled, 22), None);
    assert_eq!((troubled.by_identity.len(), troubled.count()), (1, 0));
    assert_eq!(score(&mut troubled, 24), None);
    assert!(troubled.by_identity.is_empty());
}

#[test]
fn the_worst_come_first_and_a_flood_of_names_does_not_drive_them_out() {
    let mut troubled = Troubled::default();
    for n in 0..10 {
        for nth in 0..n + 3 {
            let (user, at) = (format!("bad{n}"), START - (2 - nth.min(2)) * HOUR_MS);
            troubled.record_closed(&[closed(&user, at, Cause::STALE, 20, 5)]);
        }
    }
    // A flood with more trouble, at one time.
    for n in 0..10_000 {
        let user = format!("once{n}");
        for _ in 0..20 {
            troubled.record_closed(&[closed(&user, START + n, Cause::PEER_EOF, 20, 5)]);
        }
        assert!(troubled.by_identity.len() <= IDENTITIES_MAX);
    }
    let worst = troubled.worst(moment(START), 3);
    let users: Vec<&str> = worst.iter().map(|ranked| &*ranked.user).collect();
    assert_eq!(users, ["bad9", "bad8", "bad7"]);
}

/// Each identity is dropped while it is slow, and does not come back in time, which makes three
/// problems. Some come back and are lost again, as long as the network is bad. The hour may end
/// meanwhile.
#[test]
fn one_mass_death_fills_no_ranking() {
    let mut troubled = Troubled::default();
    let died = START + HOUR_MS - 2_000;
    // One of them had been lost in each of the hours before, too.
    for hours_ago in [2, 1] {
        let at = died - hours_ago * HOUR_MS;
        troubled.record_closed(&[closed("ada", at, Cause::PEER_EOF, 20, 60)]);
    }
    troubled.record_closed(&[closed("ada", died, Cause::STALE, 20, 60)]);
    for n in 0..500 {
        let user = format!("peer{n}");
        for again in 0..n % 6 {
            let at = died + again * 300_000;
            troubled.record_closed(&[closed(&user, at, Cause::STALE, 2_500, 60)]);
            troubled.record_expired(&[expired(&user, at + 60_000, Cause::STALE)]);
        }
    }
    for after in [60_000, 30 * 60_000, 5 * HOUR_MS] {
        let found = one(&mut troubled, died + after);
        assert_eq!((&*found.user, found.drops), ("ada", 3));
        assert_eq!(troubled.count(), 1);
    }
}

#[test]
fn a_step_of_the_wall_clock_neither_forgets_trouble_nor_ages_it() {
    for step in [-600_000_i64, -30 * HOUR_MS as i64, 30 * HOUR_MS as i64] {
        let stepped = |ms: u64| Timestamp {
            wall: UnixMillis(ms.saturating_add_signed(step)),
            ..moment(ms)
        };
        let mut troubled = Troubled::default();
        for n in 0..4 {
            let mut record = closed("ada", START + n * HOUR_MS, Cause::PEER_EOF, 20, n);
            if n >= 2 {
                record.at = stepped(START + n * HOUR_MS);
            }
            troubled.record_closed(&[record]);
        }
        let worst = troubled.worst(stepped(START + 3 * HOUR_MS), 10);
        assert_eq!(worst.len(), 1, "{step}");
        assert_eq!((worst[0].score * 10.0).round(), 34.0, "{step}");
        let pattern = &worst[0].pattern;
        assert_eq!(pattern, "4 drops in 3 h, all peer_eof", "{step}");
    }
}

#[test]
fn a_clock_that_steps_back_and_a_day_of_drops_stay_small() {
    let mut troubled = Troubled::default();
    for n in (0..1_000).rev() {
        let at = START + (n % 100) * HOUR_MS;
        troubled.record_closed(&[closed("ada", at, Cause::STALE, 20, 5)]);
    }
    let (_, trouble) = troubled.by_identity.iter().next().expect("ada");
    assert!(trouble.hours.len() as u64 <= HOURS && trouble.ages.len() == AGES_MAX);
}

/// A name that is not proved belongs to its address; one that is proved is the same everywhere.
#[test]
fn one_name_at_two_addresses_is_two_identities_unless_it_is_proved() {
    let mut troubled = Troubled::default();
    let client = |user: &str, at: u64, address: Option<[u8; 4]>| ClosedConn {
        address: address.map(|address| Box::new(address.into())),
        ..closed(user, at, Cause::STALE, 20, 60)
    };
    for n in 0..3 {
        let at = START + n * HOUR_MS;
        troubled.record_closed(&[
            client("ada", at, Some([192, 0, 2, 1])),
            client("ada", at, Some([192, 0, 2, 1])),
            client("ada", at, Some([192, 0, 2, 2])),
            client("eve", at, None),
        ]);
    }
    let worst = troubled.worst(moment(START + 2 * HOUR_MS), 10);
    let told: Vec<_> = worst
        .iter()
        .map(|ranked| (&*ranked.user, ranked.address, ranked.drops))
        .collect();
    let first = ("ada", Some([192, 0, 2, 1].into()), 6);
    let second = ("ada", Some([192, 0, 2, 2].into()), 3);
    assert_eq!(told, [first, second, ("eve", None, 3)]);
}

#[test]
fn trouble_is_persistent_at_a_weight_of_10_within_six_hours_and_in_three_of_them() {
    let persistent = |drops: &[(u64, u64)], now_h: u64| {
        let mut troubled = Troubled::default();
        for (hour, many) in drops {
            let record = closed("ada", START + hour * HOUR_MS, Cause::PEER_EOF, 20, 60);
            (0..*many).for_each(|_| troubled.record_closed([&record]));
        }
        let found = troubled.persistent(moment(START + now_h * HOUR_MS), 20);
        assert_eq!(found.count, found.worst.len());
        found.count == 1
    };
    assert!(persistent(&[(0, 4), (1, 3), (2, 3)], 2));
    assert!(!persistent(&[(0, 4), (1, 3), (2, 2)], 2), "a weight of 9");
    assert!(!persistent(&[(0, 5), (1, 50)], 2), "two hours");
    assert!(persistent(&[(0, 4), (1, 3), (2, 3)], 5));
    assert!(
        !persistent(&[(0, 4), (1, 3), (2, 3)], 6),
        "longer ago than six hours"
    );
}
