//! The table of the gateway's side, a row at a time.

use super::*;

/// Asserts that these facts match the row with this number, and that each change makes them miss
/// it.
#[track_caller]
fn row(nth: usize, facts: EndFacts, verdict: EndVerdict, misses: &[fn(&mut EndFacts)]) {
    let words = Some(&GATEWAY_ROWS[nth].words);
    assert_eq!(gateway_table::judge(&facts), (verdict, words));
    for (at, miss) in misses.iter().enumerate() {
        let mut other = facts;
        miss(&mut other);
        assert_ne!(
            gateway_table::judge(&other).1,
            words,
            "miss {at}: {other:?}"
        );
    }
}

#[test]
fn each_row_holds_and_is_missed() {
    let of = facts;
    let with = |kind, kernel| EndFacts {
        kernel,
        ..facts(kind)
    };
    for kind in [
        EndKind::PeerClosed,
        EndKind::Eof,
        EndKind::Reset,
        EndKind::NetworkError,
        EndKind::Replaced,
    ] {
        let stalled = EndFacts {
            stall_ms: 1_000,
            ..of(kind)
        };
        let misses: [fn(&mut EndFacts); 4] = [
            |end| end.stall_ms = 999,
            |end| end.kind = EndKind::Stale,
            |end| end.kind = EndKind::SlowConsumer,
            |end| end.kind = EndKind::Action,
        ];
        row(0, stalled, EndVerdict::GatewayStall, &misses);
    }
    row(
        1,
        of(EndKind::Action),
        EndVerdict::GatewayAction,
        &[|end| end.kind = EndKind::Other],
    );
    row(
        2,
        of(EndKind::NetworkError),
        EndVerdict::NetworkLost,
        &[|end| end.kind = EndKind::Reset, |end| end.stall_ms = 1_000],
    );
    row(
        3,
        with(EndKind::Stale, KernelView::Lost),
        EndVerdict::NetworkLost,
        &[
            |end| end.kernel = KernelView::Unacknowledged,
            |end| end.kernel = KernelView::Nothing,
            |end| end.kernel = KernelView::WindowFull,
            |end| end.kind = EndKind::SlowConsumer,
        ],
    );
    for kernel in [KernelView::Acknowledged, KernelView::WindowFull] {
        row(
            4,
            with(EndKind::Stale, kernel),
            EndVerdict::PeerSilent,
            &[
                |end| end.kernel = KernelView::Lost,
                |end| end.kernel = KernelView::Unacknowledged,
                |end| end.kernel = KernelView::Nothing,
                |end| end.kind = EndKind::Eof,
            ],
        );
    }
    row(
        5,
        with(EndKind::SlowConsumer, KernelView::WindowFull),
        EndVerdict::PeerSilent,
        &[
            |end| end.kernel = KernelView::Acknowledged,
            |end| end.kind = EndKind::Stale,
        ],
    );
    for kind in [EndKind::Eof, EndKind::Reset] {
        let same_age = EndFacts {
            common_age: true,
            ..of(kind)
        };
        row(
            6,
            same_age,
            EndVerdict::ProxyTimeout,
            &[
                |end| end.common_age = false,
                |end| end.kind = EndKind::Stale,
                |end| end.stall_ms = 5_000,
            ],
        );
    }
    let clean = EndFacts {
        clean: true,
        ..of(EndKind::Replaced)
    };
    row(
        7,
        clean,
        EndVerdict::SecondDevice,
        &[
            |end| end.clean = false,
            |end| end.kind = EndKind::PeerClosed,
        ],
    );
    row(
        8,
        of(EndKind::Replaced),
        EndVerdict::TakeoverOfDead,
        &[|end| end.clean = true, |end| end.kind = EndKind::Eof],
    );
    let slow = EndFacts {
        slow_path: true,
        ..of(EndKind::SlowConsumer)
    };
    row(
        9,
        slow,
        EndVerdict::SlowLink,
        &[
            |end| end.slow_path = false,
            |end| end.kind = EndKind::Stale,
            |end| end.kernel = KernelView::WindowFull,
        ],
    );
    for kernel in [KernelView::Unacknowledged, KernelView::Lost] {
        row(
            10,
            with(EndKind::SlowConsumer, kernel),
            EndVerdict::SlowLink,
            &[
                |end| end.kernel = KernelView::Nothing,
                |end| end.kernel = KernelView::Acknowledged,
                |end| end.kind = EndKind::Stale,
            ],
        );
    }
    let blocked = |kind, kernel| EndFacts {
        kernel,
        blocked_ms: 2_000,
        ..of(kind)
    };
    row(
        11,
        blocked(EndKind::Stale, KernelView::Unacknowledged),
        EndVerdict::SlowLink,
        &[
            |end| end.blocked_ms = 1_999,
            |end| end.kernel = KernelView::Lost,
            |end| end.kernel = KernelView::Acknowledged,
            |end| end.kernel = KernelView::Nothing,
            |end| end.kind = EndKind::Reset,
        ],
    );
    for kernel in [KernelView::Nothing, KernelView::Unacknowledged] {
        row(
            12,
            blocked(EndKind::PeerClosed, kernel),
            EndVerdict::SlowLink,
            &[
                |end| end.blocked_ms = 1_999,
                |end| end.kernel = KernelView::WindowFull,
                |end| end.kind = EndKind::Eof,
                |end| end.stall_ms = 1_000,
            ],
        );
    }
    row(
        13,
        of(EndKind::UpstreamLost),
        EndVerdict::UpstreamLost,
        &[|end| end.kind = EndKind::UpstreamClosed],
    );
    row(
        14,
        of(EndKind::UpstreamClosed),
        EndVerdict::UpstreamClosed,
        &[|end| end.kind = EndKind::UpstreamLost],
    );
    for kind in [EndKind::PeerClosed, EndKind::Eof] {
        row(
            15,
            of(kind),
            EndVerdict::PeerLeft,
            &[|end| end.kind = EndKind::Reset],
        );
    }
    assert_eq!(GATEWAY_ROWS.len(), 16);
}

#[test]
fn what_no_row_fits_is_unknown() {
    let unknown = (EndVerdict::Unknown, None);
    for end in [
        facts(EndKind::Stale),
        EndFacts {
            kernel: KernelView::Unacknowledged,
            ..facts(EndKind::Stale)
        },
        // Engine time leaves stalls out, so that a stall makes no peer stale.
        EndFacts {
            stall_ms: 60_000,
            ..facts(EndKind::Stale)
        },
        facts(EndKind::Reset),
        facts(EndKind::SlowConsumer),
        EndFacts {
            kernel: KernelView::Acknowledged,
            ..facts(EndKind::SlowConsumer)
        },
        facts(EndKind::Other),
    ] {
        assert_eq!(gateway_table::judge(&end), unknown, "{end:?}");
    }
}
