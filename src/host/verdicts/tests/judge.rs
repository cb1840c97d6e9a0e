//! The judge: from an end to its facts, and what it remembers.

use super::*;

const NOW: Micros = Micros::from_secs(1_000);

fn judge(end: &Ending, kernel: Option<KernelEvidence>) -> Option<EndVerdict> {
    let mut judge = VerdictJudge::default();
    let end = with_evidence(end, kernel, Micros::ZERO);
    let judged = judge.judge(NOW, &end, true, &classes())?;
    assert_eq!(
        (judged.evidence, judged.awaits_report),
        (Evidence::Gateway, true)
    );
    Some(judged.verdict)
}

/// Returns the end of a peer whose last heartbeat was late.
fn with_evidence(end: &Ending, kernel: Option<KernelEvidence>, idle_before: Micros) -> Ending {
    let evidence = kernel.map(|kernel| SilenceEvidence {
        at: NOW,
        waited: Micros::from_secs(2),
        idle_before,
        kernel: Some(kernel),
    });
    Ending {
        silence_evidence: evidence,
        ..end.clone()
    }
}

fn follows(cause: Cause, class: Class) -> Ending {
    Ending {
        partner: Some(PartnerEnd {
            id: ConnId::new(1, 1),
            first: Some((cause, class)),
        }),
        ..ending(Cause::PARTNER_ENDED)
    }
}

#[test]
fn each_cause_has_its_verdict() {
    for (cause, verdict) in [
        (Cause::STALE, EndVerdict::Unknown),
        (Cause::PEER_EOF, EndVerdict::PeerLeft),
        (Cause::PEER_CLOSED, EndVerdict::PeerLeft),
        (Cause::PEER_RESET, EndVerdict::Unknown),
        (Cause::TCP_TIMEOUT, EndVerdict::NetworkLost),
        (Cause::READ_ERROR, EndVerdict::NetworkLost),
        (Cause::REPLACED, EndVerdict::TakeoverOfDead),
        (Cause::SLOW_CONSUMER, EndVerdict::Unknown),
        (Cause::KICKED, EndVerdict::GatewayAction),
        (Cause::DRAINING, EndVerdict::GatewayAction),
        (Cause::SHUTDOWN, EndVerdict::GatewayAction),
        (Cause::PROTOCOL, EndVerdict::GatewayAction),
        (Cause::BUFFERS_FULL, EndVerdict::GatewayAction),
        (Cause::PARTNER_ENDED, EndVerdict::Unknown),
    ] {
        assert_eq!(judge(&ending(cause), None), Some(verdict), "{cause}");
    }
}

#[test]
fn the_end_that_came_first_is_judged() {
    for (first, verdict) in [
        (Cause::PEER_EOF, EndVerdict::UpstreamLost),
        (Cause::STALE, EndVerdict::UpstreamLost),
        (Cause::PEER_RESET, EndVerdict::UpstreamLost),
        (Cause::PEER_CLOSED, EndVerdict::UpstreamClosed),
        (Cause::KICKED, EndVerdict::GatewayAction),
        (Cause::DRAINING, EndVerdict::GatewayAction),
    ] {
        assert_eq!(
            judge(&follows(first, UPSTREAM), None),
            Some(verdict),
            "{first}"
        );
    }
    // What ended the session of this client was another connection of the client.
    let of_client = follows(Cause::PEER_CLOSED, CLIENT);
    assert_eq!(judge(&of_client, None), Some(EndVerdict::PeerLeft));
}

#[test]
fn only_websockets_of_clients_are_judged() {
    let of = |class| Ending {
        class,
        ..ending(Cause::PEER_EOF)
    };
    assert_eq!(judge(&of(Some(UPSTREAM)), None), None);
    assert_eq!(judge(&of(None), None), None);
    assert!(judge(&of(Some(CLIENT)), None).is_some());
}

#[test]
fn the_kernel_tells_a_dead_path_from_a_silent_peer() {
    let lost = KernelEvidence {
        in_flight: 2,
        backoff: 2,
        ..KernelEvidence::default()
    };
    let stale = |kernel| judge(&ending(Cause::STALE), Some(kernel)).expect("a verdict");
    assert_eq!(stale(lost), EndVerdict::NetworkLost);
    assert_eq!(
        stale(KernelEvidence {
            backoff: 0,
            retransmits: 2,
            ..lost
        }),
        EndVerdict::NetworkLost
    );
    assert_eq!(
        stale(KernelEvidence { backoff: 1, ..lost }),
        EndVerdict::Unknown
    );
    assert_eq!(
        stale(KernelEvidence {
            proxy: true,
            ..lost
        }),
        EndVerdict::Unknown
    );
    let acked = KernelEvidence {
        heartbeat_acked: true,
        ..lost
    };
    assert_eq!(stale(acked), EndVerdict::PeerSilent);
    assert_eq!(
        stale(KernelEvidence {
            proxy: true,
            ..acked
        }),
        EndVerdict::Unknown
    );
    // The probes of a stopped program's closed window back off, too.
    let window = KernelEvidence {
        in_flight: 0,
        backoff: 5,
        ..lost
    };
    assert_eq!(stale(window), EndVerdict::PeerSilent);
}

#[test]
fn a_stall_within_the_silence_is_ours() {
    let classes = classes();
    let verdict = |noticed: u64, stalled: u64| {
        let mut judge = VerdictJudge::default();
        judge.look(Micros::from_secs(noticed), Micros::from_secs(stalled));
        let end = ending(Cause::PEER_EOF);
        judge
            .judge(NOW, &end, false, &classes)
            .map(|judged| judged.verdict)
    };
    // The silence has lasted for 1 s.
    assert_eq!(verdict(1_000, 30), Some(EndVerdict::GatewayStall));
    assert_eq!(verdict(999, 1), Some(EndVerdict::GatewayStall));
    assert_eq!(verdict(998, 30), Some(EndVerdict::GatewayStall));
    assert_eq!(verdict(997, 30), Some(EndVerdict::PeerLeft));
    assert_eq!(verdict(1_000, 0), Some(EndVerdict::PeerLeft));
}

#[test]
fn the_fifth_end_at_one_age_is_a_proxys() {
    let (mut judge, classes) = (VerdictJudge::default(), classes());
    let mut verdicts = (1..=6).map(|n| {
        let end = ending(Cause::PEER_EOF);
        let now = Micros::from_secs(1_000 + n * 10);
        judge
            .judge(now, &end, false, &classes)
            .map(|judged| judged.verdict)
    });
    assert!(
        verdicts
            .by_ref()
            .take(4)
            .all(|verdict| verdict == Some(EndVerdict::PeerLeft))
    );
    assert!(verdicts.all(|verdict| verdict == Some(EndVerdict::ProxyTimeout)));
}

#[test]
fn idle_times_are_found_for_resets_and_for_late_heartbeats() {
    let (mut judge, classes) = (VerdictJudge::default(), classes());
    let reset = Ending {
        silence: Micros::from_secs(30),
        ..ending(Cause::PEER_RESET)
    };
    let stale = ending(Cause::STALE);
    let late = with_evidence(
        &stale,
        Some(KernelEvidence::default()),
        Micros::from_secs(31),
    );
    let mut gap = |end: &Ending| {
        let judged = judge.judge(NOW, end, false, &classes).expect("a client");
        judged.facts.common_gap
    };
    assert!(!gap(&reset));
    assert!(!gap(&stale), "its silence is the timeout");
    assert!(!gap(&late));
    assert!(gap(&reset));
    assert!(!gap(&ending(Cause::REPLACED)), "no heartbeat was late");
    for cause in [Cause::REPLACED, Cause::PEER_CLOSED, Cause::PEER_EOF] {
        let end = Ending {
            cause,
            ..late.clone()
        };
        assert!(gap(&end), "{cause}");
    }
    let slow = Ending {
        cause: Cause::SLOW_CONSUMER,
        ..late
    };
    assert!(!gap(&slow));
}
