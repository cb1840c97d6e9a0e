//! Half-open and suspect peers.

use crate::seen::TIMEOUT;
use crate::sockets::{Client, Controls, Event, Host, Seen, config};
use pulsegate::Micros;
use pulsegate::cause::{Cause, EndCode, EndedBy};

#[test]
fn half_open_peers_are_stale_and_told_so() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    // They read, and send nothing.
    let mut mute: Vec<_> = (0..10)
        .map(|i| Client::open(host.addr, &format!("/deaf/{i}")))
        .collect();
    // They neither read nor send.
    let mut frozen: Vec<_> = (0..10)
        .map(|i| Client::open(host.addr, &format!("/frozen/{i}")))
        .collect();
    for (i, client) in mute.iter_mut().enumerate() {
        let (pings, event) = client.next_mute();
        let Event::Close(3008, reason) = event else {
            panic!("{event:?}");
        };
        assert!(pings >= 1, "{reason}");
        assert_eq!(
            client.next(),
            Event::Eof,
            "FIN stands behind the close frame"
        );
        let end = host.ending(&format!("/deaf/{i}"));
        let plural = if pings == 1 { "" } else { "s" };
        let silence = end.silence;
        let words = reason
            .strip_prefix("nothing heard for ")
            .and_then(|rest| rest.split_once(" ms, "));
        let (ms, rest) = words.unwrap_or_else(|| panic!("{reason}"));
        let ms: u64 = ms.parse().expect("milliseconds");
        assert!((3_000..=silence.as_millis()).contains(&ms), "{reason}");
        assert_eq!(rest, format!("{pings} ping{plural} unanswered"));
        assert!(silence >= TIMEOUT.into(), "{end:?}");
        assert_eq!((end.cause, end.by), (Cause::STALE, EndedBy::Server));
        assert_eq!((end.code, &*end.reason), (EndCode::Close(3008), &*reason));
        assert_eq!((end.clean, usize::from(end.unanswered)), (false, pings));
    }
    for i in 0..10 {
        assert_eq!(host.ending(&format!("/frozen/{i}")).cause, Cause::STALE);
    }
    // What was sent to them is in their own kernel, and the end after it.
    for client in &mut frozen {
        let (_, event) = client.next_mute();
        assert!(
            matches!(event, Event::Close(3008, _) | Event::Reset),
            "{event:?}"
        );
    }
    controls.finish();
    let seen = host.seen();
    let suspects = seen.iter().filter(|s| {
        matches!(s, Seen::Health { path, change }
            if path.starts_with("/deaf") && change.state == pulsegate::HealthState::Suspect)
    });
    assert_eq!(suspects.count(), 10, "each was suspect before it was stale");
    assert_eq!(host.stop().closed(Cause::STALE.index()), 20);
}

#[test]
fn an_answer_saves_a_suspect_peer() {
    let mut config = config();
    config.classes[0].policy.connection_timeout = Micros::from_secs(20);
    let host = Host::start_with(config, 10_000);
    let controls = Controls::start(host.addr);
    let mut client = Client::open(host.addr, "/late");
    for _ in 0..3 {
        // No ping is answered before the connection is suspect.
        host.wait_for("a suspect", |seen| {
            let last = seen
                .iter()
                .rfind(|s| matches!(s, Seen::Health { path, .. } if path == "/late"));
            matches!(last, Some(Seen::Health { change, .. })
                if change.state == pulsegate::HealthState::Suspect)
            .then_some(())
        });
        // Any frame is enough.
        client.expect_echo("I am");
        host.wait_for("a healthy one", |seen| {
            let last = seen
                .iter()
                .rfind(|s| matches!(s, Seen::Health { path, .. } if path == "/late"));
            matches!(last, Some(Seen::Health { change, .. })
                if change.state == pulsegate::HealthState::Healthy)
            .then_some(())
        });
    }
    controls.finish();
    host.stop();
}
