//! A session without a client: how long it waits, and how it ends.

use crate::rig::{Pair, Rig, S, control};
use pulsegate::Cause;
use pulsegate::gateway::{HoldEnd, NotHeld, SessionLimits};
use pulsegate::testing::PeerId;
use pulsegate::{Message, Micros};

fn limits() -> SessionLimits {
    SessionLimits::default()
}

/// Opens a session of a user at its own address, and loses it.
#[track_caller]
fn lost(rig: &mut Rig, user: &str) -> Pair {
    let address = user.bytes().next().expect("a name");
    lost_at(rig, user, address)
}

/// Opens a session of a user at this address, and loses it.
#[track_caller]
fn lost_at(rig: &mut Rig, user: &str, address: u8) -> Pair {
    rig.address = [10, 0, 0, address].into();
    let pair = rig.open_as(&format!("/?user={user}&pulse=1"), "");
    rig.say(pair.client, r#"{"rx":0}"#);
    rig.cut(pair.client);
    pair
}

/// Lets a client take so many binary messages, and acknowledge what it has.
#[track_caller]
fn acknowledge_all(rig: &mut Rig, client: PeerId, messages: usize) {
    let mut got = 0;
    for _ in 0..10 {
        rig.pass(S);
        let heard = rig.heard(client);
        let binary = heard.iter().filter(|line| line.starts_with("binary"));
        got += binary.count();
        rig.say(client, &format!(r#"{{"rx":{got}}}"#));
    }
    assert_eq!(got, messages);
}

#[test]
fn a_hold_that_expires_closes_the_connection_to_the_service() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.cut(pair.client);
    rig.pass(59 * S);
    let heard = rig.heard(pair.service);
    assert!(heard.iter().all(|line| line == "ping"), "{heard:?}");
    rig.pass(2 * S);
    let heard = rig.heard(pair.service);
    assert_eq!(
        heard.last().expect("a close"),
        "close 1001 client lost: expired after 60000 ms"
    );
    assert_eq!(rig.counts().holds_ended[HoldEnd::Expired as usize], 1);
    let client = rig.resume(&pair.hello, 0);
    rig.cut(client);
    rig.assert_empty();
}

#[test]
fn a_silent_client_is_lost_and_may_come_back() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.pass(46 * S);
    let heard = rig.heard(pair.client);
    assert!(
        heard.last().expect("a close").starts_with("close 3008"),
        "{heard:?}"
    );
    assert_eq!(rig.counts().held, 1);
    let client = rig.resume(&pair.hello, 0);
    assert!(rig.hello(client).resumed);
}

#[test]
fn the_close_code_of_the_client_decides() {
    for (code, told) in [
        (1000, Some("close 1000 bye")),
        (3500, Some("close 3500 bye")),
        (4000, Some("close 4000 bye")),
        (1001, None),
        (1011, None),
    ] {
        let mut rig = Rig::new();
        let pair = rig.proved();
        rig.text(pair.client, "last words");
        rig.close(pair.client, code, "bye");
        rig.pass(S);
        let heard = rig.heard(pair.service);
        let expected: Vec<_> = ["last words"].into_iter().chain(told).collect();
        assert_eq!(heard, expected, "{code}");
        assert_eq!(rig.counts().held, u64::from(told.is_none()), "{code}");
    }
}

#[test]
fn a_close_counts_although_the_client_takes_nothing() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.set_window(pair.client, Some(10));
    rig.text(pair.service, "more than ten bytes");
    rig.close(pair.client, 1000, "bye");
    rig.pass(5 * S);
    assert_eq!(rig.counts().held, 0);
    assert_eq!(rig.heard(pair.service), ["close 1000 bye"]);
    rig.assert_empty();
}

#[test]
fn a_client_that_says_farewell_is_not_waited_for() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.say(pair.client, r#"{"farewell":true}"#);
    rig.cut(pair.client);
    rig.pass(S);
    assert_eq!(rig.heard(pair.service), ["close 1001 client lost: reset"]);
    rig.assert_empty();
}

#[test]
fn a_client_without_a_proved_token_is_not_waited_for() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.cut(pair.client);
    rig.pass(S);
    assert_eq!(rig.heard(pair.service), ["close 1001 client lost: reset"]);
    assert_eq!(rig.counts().not_held[NotHeld::Unproved as usize], 1);
    rig.assert_empty();
}

#[test]
fn the_close_of_the_service_comes_after_what_was_kept() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.cut(pair.client);
    rig.text(pair.service, "one");
    rig.text(pair.service, "two");
    rig.close(pair.service, 3001, "moved");
    rig.pass(30 * S);
    let client = rig.resume(&pair.hello, 0);
    let heard = rig.heard(client);
    let end = control(r#"{"end":{"code":3001,"reason":"moved"}}"#);
    assert_eq!(heard[1..], ["one", "two", &end]);
    // It has its time to acknowledge.
    rig.pass(9 * S);
    assert_eq!(rig.heard(client), [""; 0]);
    rig.say(client, r#"{"rx":3}"#);
    assert_eq!(rig.heard(client), ["close 3001 moved"]);
    rig.assert_empty();
}

#[test]
fn a_close_without_a_code_reaches_the_client_as_1000() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.write(pair.service, &[0x88, 0]);
    // The service is the one that ends the connection; it has its time for that.
    rig.pass(3 * S);
    let end = control(r#"{"end":{"code":1005,"reason":""}}"#);
    assert_eq!(rig.heard(pair.client), [end]);
    rig.say(pair.client, r#"{"rx":1}"#);
    assert_eq!(rig.heard(pair.client), ["close 1000"]);
    rig.assert_empty();
}

/// The connection is dead, and nothing shows it yet: the end waits for the next one.
#[test]
fn the_end_is_kept_for_a_client_that_is_lost_without_a_sign() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.mute(pair.client);
    rig.text(pair.service, "one");
    rig.close(pair.service, 1000, "done");
    rig.pass(40 * S);
    let client = rig.resume(&pair.hello, 0);
    let heard = rig.heard(client);
    let end = control(r#"{"end":{"code":1000,"reason":"done"}}"#);
    assert_eq!(heard[1..], ["one", &end]);
}

#[cfg(feature = "sabotage")]
#[test]
fn an_end_that_is_hurried_is_noticed() {
    use pulsegate::sabotage::{self, Bug};
    let test = the_end_is_kept_for_a_client_that_is_lost_without_a_sign;
    let caught = std::panic::catch_unwind(|| sabotage::with(Bug::EndHurried, test));
    assert!(caught.is_err());
}

#[test]
fn a_client_that_never_acknowledges_the_end_is_closed_in_the_end() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.close(pair.service, 1000, "done");
    for n in 1..14 {
        rig.pass(10 * S);
        rig.say(pair.client, &format!(r#"{{"pong":{n},"rx":0}}"#));
    }
    let heard = rig.heard(pair.client);
    assert_eq!(heard.last().expect("a close"), "close 1000 done");
    assert_eq!(rig.counts().unacknowledged, 1);
    rig.assert_empty();
}

#[test]
fn a_service_that_closes_and_takes_nothing_has_closed() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.set_window(pair.service, Some(3));
    rig.text(pair.client, "more than three bytes");
    rig.close(pair.service, 3001, "moved");
    rig.pass(5 * S);
    let heard = rig.heard(pair.client);
    let end = control(r#"{"end":{"code":3001,"reason":"moved"}}"#);
    assert!(heard.contains(&end), "{heard:?}");
}

#[test]
fn a_service_that_is_lost_ends_the_session() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.reset(pair.service);
    rig.net.settle();
    assert_eq!(rig.heard(pair.client), ["close 1012 upstream lost"]);
    // While the client is away, it learns of that when it comes back.
    let pair = rig.proved();
    rig.cut(pair.client);
    rig.net.reset(pair.service);
    rig.net.settle();
    assert_eq!(rig.counts().holds_ended[HoldEnd::UpstreamLost as usize], 1);
    let client = rig.resume(&pair.hello, 0);
    let service = rig.dialed();
    rig.net.agree(service, "");
    rig.net.settle();
    assert!(!rig.hello(client).resumed);
    rig.close(client, 1000, "");
    rig.assert_empty();
}

#[test]
fn a_full_hold_stops_the_service_and_ends_after_fifteen_seconds() {
    let mut rig = Rig::tuned(|_, _, config| config.max_message_bytes = 100_000);
    let pair = rig.proved();
    rig.cut(pair.client);
    let long = vec![7; 60_000];
    for _ in 0..10 {
        rig.net.send(pair.service, Message::binary(long.clone()));
    }
    rig.pass(14 * S);
    assert!(rig.net.unread(pair.service) > 0, "nothing is dropped");
    assert!(rig.net.is_open(pair.service));
    assert!(rig.counts().held_bytes < 230_000, "{:?}", rig.counts());
    rig.pass(2 * S);
    let heard = rig.heard(pair.service);
    assert_eq!(
        heard.last().expect("a close"),
        "close 1001 client lost: hold_full after 15000 ms"
    );
    rig.assert_empty();
}

#[test]
fn a_full_hold_goes_on_when_its_client_is_back_in_time() {
    let mut rig = Rig::tuned(|_, _, config| config.max_message_bytes = 100_000);
    let pair = rig.proved();
    rig.cut(pair.client);
    for n in 0..10 {
        rig.net.send(pair.service, Message::binary(vec![n; 60_000]));
    }
    rig.pass(14 * S);
    let client = rig.resume(&pair.hello, 0);
    acknowledge_all(&mut rig, client, 10);
    rig.pass(20 * S);
    assert!(rig.net.is_open(pair.service));
}

#[test]
fn no_more_sessions_wait_than_are_allowed() {
    let mut rig = Rig::with(SessionLimits {
        holds_max: 2,
        ..limits()
    });
    let first = lost(&mut rig, "a");
    rig.pass(S);
    let second = lost(&mut rig, "b");
    let third = lost(&mut rig, "c");
    rig.pass(S);
    // The oldest gives way. An address that has more would come first.
    let heard = rig.heard(first.service);
    assert_eq!(heard, ["close 1001 client lost: crowded after 1000 ms"]);
    assert!(rig.net.is_open(second.service) && rig.net.is_open(third.service));
    let counts = rig.counts();
    assert_eq!(
        (counts.held, counts.holds_ended[HoldEnd::Crowded as usize]),
        (2, 1)
    );
}

/// Many addresses together do not keep a client from being waited for.
#[test]
fn the_address_with_the_most_holds_gives_way() {
    let mut rig = Rig::with(SessionLimits {
        holds_max: 64,
        ..limits()
    });
    for address in 1..=16 {
        for user in ["a", "b", "c", "d"] {
            lost_at(&mut rig, user, address);
        }
    }
    assert_eq!(rig.counts().held, 64);
    let innocent = lost_at(&mut rig, "e", 17);
    rig.pass(S);
    assert!(rig.net.is_open(innocent.service));
    let others = lost_at(&mut rig, "f", 17);
    rig.pass(S);
    assert!(rig.net.is_open(innocent.service) && rig.net.is_open(others.service));
    assert_eq!(rig.counts().held, 64);
}

/// Half of the connections to services are for clients that are here.
#[test]
fn holds_take_half_of_the_places_at_most() {
    let mut rig = Rig::new();
    rig.net.set_max_connections(6);
    for (address, user) in (1..=5).zip(["a", "b", "c", "d", "e"]) {
        lost_at(&mut rig, user, address);
    }
    assert_eq!(rig.counts().held, 3);
}

/// Its probes arrive, and it answers the pings that came before its messages.
#[test]
fn a_client_that_acknowledges_nothing_is_closed() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.text(pair.service, "kept");
    rig.net.set_window(pair.client, Some(0));
    for _ in 0..8 {
        rig.pass(10 * S);
        rig.say(pair.client, r#"{"probe":1}"#);
    }
    let end = rig.net.ending(pair.client).expect("it is closed");
    assert_eq!(end.cause, Cause::SLOW_CONSUMER);
    assert_eq!(rig.counts().held, 1, "it may come back");
}

#[cfg(feature = "sabotage")]
#[test]
fn a_client_that_acknowledges_nothing_and_stays_is_noticed() {
    use pulsegate::sabotage::{self, Bug};
    let test = a_client_that_acknowledges_nothing_is_closed;
    let caught = std::panic::catch_unwind(|| sabotage::with(Bug::SilenceAboutMessages, test));
    assert!(caught.is_err());
}

/// Fifteen sessions want to keep 180 kB each, of 2 MiB in all. The one that acknowledges stays.
#[test]
fn when_memory_is_short_clients_that_acknowledge_nothing_give_way() {
    let mut rig = Rig::tuned(|_, limits, config| {
        limits.hold_bytes_max = 1 << 20;
        (config.max_pending_bytes, config.max_buffered_bytes) = (2 << 20, 2 << 20);
    });
    let pairs: Vec<_> = (0..16).map(|_| rig.proved()).collect();
    let (reader, others) = pairs.split_first().expect("sixteen");
    rig.text(reader.service, "read");
    for _ in 0..18 {
        for pair in others {
            rig.net.send(pair.service, Message::binary(vec![1; 10_000]));
        }
        rig.pass(S / 10);
    }
    rig.say(reader.client, r#"{"rx":1}"#);
    rig.pass(10 * S);
    let early: Vec<_> = pairs
        .iter()
        .filter_map(|pair| rig.net.ending(pair.client))
        .collect();
    assert!(early.is_empty(), "{early:?}");
    rig.pass(30 * S);
    let ends = others.iter().filter_map(|pair| rig.net.ending(pair.client));
    assert!(ends.clone().count() > 0 && ends.clone().all(|end| end.cause == Cause::BUFFERS_FULL));
    assert!(rig.net.is_open(reader.client), "it reads");
    let held = rig.counts().held_bytes;
    assert!(0 < held && held <= 1 << 20, "{held} bytes are held");
}

/// The client's watchdog waits for the message, not for a ping.
#[test]
fn no_ping_stands_between_an_announcement_and_its_message() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    let big = control(r#"{"big":60000}"#);
    rig.net.set_window(pair.client, Some(2 + big.len()));
    rig.net.send(pair.service, Message::binary(vec![1; 60_000]));
    for _ in 0..3 {
        rig.pass(8 * S);
        rig.say(pair.client, r#"{"probe":1}"#);
    }
    rig.net.set_window(pair.client, None);
    rig.pass(S);
    let heard = rig.heard(pair.client);
    let at = heard.iter().position(|line| *line == big);
    let at = at.expect("an announcement");
    assert!(heard[at + 1].starts_with("binary"), "{heard:?}");
}

/// A long message on a slow link takes its time.
#[test]
fn a_client_on_a_slow_link_has_the_time_that_its_message_takes() {
    let mut rig = Rig::tuned(|_, _, config| config.max_message_bytes = 300_000);
    let pair = rig.proved();
    rig.net
        .send(pair.service, Message::binary(vec![1; 200_000]));
    rig.net.settle();
    rig.net.set_window(pair.client, Some(0));
    for _ in 0..13 {
        rig.pass(10 * S);
        rig.say(pair.client, r#"{"probe":1}"#);
    }
    assert!(rig.net.is_open(pair.client), "130 s are not enough for it");
}

#[test]
fn the_oldest_hold_of_an_identity_gives_way() {
    let mut rig = Rig::with(SessionLimits {
        holds_per_identity: 2,
        ..limits()
    });
    let first = lost(&mut rig, "ada");
    rig.pass(S);
    let second = lost(&mut rig, "ada");
    let _other = lost(&mut rig, "bob");
    rig.pass(S);
    let _third = lost(&mut rig, "ada");
    rig.pass(S);
    let heard = rig.heard(first.service);
    assert_eq!(heard, ["close 1001 client lost: crowded after 2000 ms"]);
    assert_eq!(rig.heard(second.service), [""; 0]);
    assert_eq!(rig.counts().held, 3);
}

#[test]
fn clients_without_a_name_share_a_part_per_address() {
    let mut rig = Rig::with(SessionLimits {
        holds_max: 32,
        ..limits()
    });
    for _ in 0..4 {
        let pair = rig.proved();
        rig.cut(pair.client);
    }
    let counts = rig.counts();
    assert_eq!(
        (counts.held, counts.holds_ended[HoldEnd::Crowded as usize]),
        (2, 2)
    );
}

/// A name that the client chooses itself does not give it more room.
#[test]
fn clients_with_invented_names_share_a_part_per_address() {
    let mut rig = Rig::with(SessionLimits {
        holds_max: 32,
        ..limits()
    });
    let others = lost_at(&mut rig, "other", 2);
    for user in ["a", "b", "c", "d"] {
        lost_at(&mut rig, user, 1);
    }
    let counts = rig.counts();
    assert_eq!(
        (counts.held, counts.holds_ended[HoldEnd::Crowded as usize]),
        (3, 2)
    );
    assert!(rig.net.is_open(others.service));
}

#[test]
fn when_bytes_are_short_only_the_services_of_heavy_holds_are_not_read() {
    let mut rig = Rig::with(SessionLimits {
        hold_bytes_max: 100_000,
        ..limits()
    });
    let heavy = lost(&mut rig, "a");
    let light = lost(&mut rig, "b");
    rig.net
        .send(heavy.service, Message::binary(vec![1; 80_000]));
    rig.net.settle();
    rig.net
        .send(heavy.service, Message::binary(vec![2; 10_000]));
    rig.text(light.service, "kept");
    rig.pass(S);
    assert!(rig.net.unread(heavy.service) > 0);
    assert_eq!(rig.net.unread(light.service), 0);
    // The client of the heavy one is back in time: nothing was dropped.
    let client = rig.resume_as("/?user=a&pulse=1&resume=0", "", &heavy.hello, 0);
    rig.pass(2 * S);
    let heard = rig.heard(client);
    let messages = heard.iter().filter(|line| line.starts_with("binary"));
    assert_eq!(messages.count(), 2, "both messages");
}

#[test]
fn the_heaviest_hold_ends_when_the_bytes_of_all_are_used_up() {
    let mut rig = Rig::with(SessionLimits {
        hold_bytes_max: 100_000,
        ..limits()
    });
    let light = lost(&mut rig, "a");
    rig.text(light.service, "kept");
    let heavy = lost(&mut rig, "b");
    rig.net
        .send(heavy.service, Message::binary(vec![1; 60_000]));
    rig.net.settle();
    // Not even for a moment is more kept than is allowed.
    rig.net
        .send(light.service, Message::binary(vec![2; 45_000]));
    rig.net.settle();
    let heard = rig.heard(heavy.service);
    assert_eq!(heard, ["close 1001 client lost: shed after 0 ms"]);
    assert!(rig.counts().held_bytes < 100_000);
    let client = rig.resume_as("/?user=a&pulse=1&resume=0", "", &light.hello, 0);
    rig.pass(S);
    assert_eq!(rig.heard(client)[1], "kept");
}

/// A client that leaves with a full ledger adds it to what is kept for all holds.
#[test]
fn a_hold_that_begins_with_too_many_bytes_ends_at_once() {
    let mut rig = Rig::with(SessionLimits {
        hold_bytes_max: 50_000,
        ..limits()
    });
    let light = lost(&mut rig, "b");
    rig.address = [10, 0, 0, 1].into();
    let pair = rig.open_as("/?user=a&pulse=1", "");
    rig.say(pair.client, r#"{"rx":0}"#);
    rig.net.send(pair.service, Message::binary(vec![1; 60_000]));
    rig.net.settle();
    rig.close(pair.service, 1000, "done");
    rig.cut(pair.client);
    let counts = rig.counts();
    assert_eq!(counts.holds_ended[HoldEnd::Shed as usize], 1);
    assert!(counts.held == 1 && counts.held_bytes < 50_000);
    assert!(rig.net.is_open(light.service));
}

#[test]
fn sessions_do_not_wait_if_that_is_switched_off() {
    let mut rig = Rig::with(SessionLimits {
        hold: Micros::ZERO,
        ..limits()
    });
    let pair = rig.proved();
    assert_eq!(pair.hello.hold_ms, 0);
    rig.cut(pair.client);
    rig.pass(S);
    assert_eq!(rig.heard(pair.service), ["close 1001 client lost: reset"]);
    assert_eq!(rig.counts().not_held[NotHeld::Off as usize], 1);
    rig.assert_empty();
}

#[test]
fn what_the_client_sent_before_it_left_reaches_a_slow_service() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.set_window(pair.service, Some(5));
    for n in 0..20 {
        rig.text(pair.client, &format!("message {n}"));
    }
    rig.close(pair.client, 1000, "done");
    rig.pass(20 * S);
    rig.net.set_window(pair.service, None);
    rig.pass(S);
    let heard = rig.heard(pair.service);
    let closes = heard.iter().position(|line| line.starts_with("close"));
    assert_eq!(closes, Some(heard.len() - 1), "{heard:?}");
    let messages = heard
        .iter()
        .filter(|line| line.starts_with("message"))
        .count();
    let close = heard.last().expect("a close");
    assert_eq!((messages, &**close), (20, "close 1000 done"));
    rig.assert_empty();
}

#[test]
fn a_client_that_takes_nothing_costs_no_work() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.net.set_window(pair.client, Some(0));
    for n in 0..8 {
        rig.net
            .send(pair.service, Message::binary(vec![n; 100_000]));
    }
    rig.pass(S);
    let before = rig.net.engine().stats().work_units;
    rig.pass(10 * S);
    let spent = rig.net.engine().stats().work_units - before;
    assert!(spent < 50, "{spent} units in ten seconds");
    rig.net.set_window(pair.client, None);
    rig.pass(S);
    let heard = rig.heard(pair.client);
    let messages = heard.iter().filter(|line| line.starts_with("binary"));
    assert!(messages.count() >= 2, "what there was room for");
}

#[test]
fn memory_that_is_short_stops_services_and_drops_nothing() {
    let mut rig = Rig::tuned(|_, _, config| {
        config.max_message_bytes = 80_000;
        config.max_pending_bytes = 160_000;
        config.max_buffered_bytes = 165_000;
    });
    let (first, second) = (rig.proved(), rig.proved());
    rig.cut(first.client);
    for _ in 0..300 {
        rig.net.send(first.service, Message::binary(vec![1; 500]));
    }
    rig.pass(3 * S);
    for n in 0..3 {
        rig.text(second.service, &format!("message {n}"));
    }
    rig.pass(S);
    let waiting = rig.net.unread(second.service);
    assert!(waiting > 0, "it is not read");
    // The hold that has used it up is full, and ends.
    rig.pass(20 * S);
    let heard = rig.heard(second.client);
    for n in 0..3 {
        assert!(heard.contains(&format!("message {n}")), "{heard:?}");
    }
}
