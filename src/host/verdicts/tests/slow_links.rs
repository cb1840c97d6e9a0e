//! The rows of both sides about slow links.

use super::both_sides::{GAP, NET, TCP_TRY, client, miss, row, says, with};
use super::*;

#[test]
fn what_is_heard_while_bytes_wait_came_over_a_slow_link() {
    let slow = |kind| EndFacts {
        blocked_ms: 2_000,
        heard_meanwhile: true,
        ..facts(kind)
    };
    let error = client("same", r#""end":"error","ended_ago":1"#);
    for kind in [
        EndKind::Stale,
        EndKind::SlowConsumer,
        EndKind::PeerClosed,
        EndKind::Eof,
        EndKind::Reset,
        EndKind::NetworkError,
        EndKind::Replaced,
    ] {
        row(2, slow(kind), &says(TCP_TRY), EndVerdict::SlowLink);
        row(2, slow(kind), &says(NET), EndVerdict::SlowLink);
        row(2, slow(kind), &error, EndVerdict::SlowLink);
        let changes: [fn(&mut EndFacts); 3] = [
            |end| end.blocked_ms = 1_999,
            |end| end.heard_meanwhile = false,
            |end| end.kernel = KernelView::WindowFull,
        ];
        for change in changes {
            let mut end = slow(kind);
            change(&mut end);
            miss(2, end, &error);
        }
        miss(2, slow(kind), &says(GAP));
        for end in ["local", "sleep", "offline"] {
            let other = client("same", &format!(r#""end":"{end}","ended_ago":1"#));
            miss(2, slow(kind), &other);
        }
    }
    for kind in [EndKind::Action, EndKind::UpstreamLost, EndKind::Other] {
        miss(2, slow(kind), &error);
    }
    // The bytes may wait in the kernel.
    let in_kernel = |kind, kernel| EndFacts {
        heard_meanwhile: true,
        ..with(kind, kernel)
    };
    let stale = in_kernel(EndKind::Stale, KernelView::Unacknowledged);
    row(2, stale, &error, EndVerdict::SlowLink);
    miss(2, in_kernel(EndKind::Stale, KernelView::Lost), &error);
    miss(2, in_kernel(EndKind::Stale, KernelView::Nothing), &error);
    miss(
        2,
        in_kernel(EndKind::Reset, KernelView::Unacknowledged),
        &error,
    );
    let replaced = EndFacts {
        code: Some(4_003),
        ..slow(EndKind::Replaced)
    };
    let told = client("same", r#""end":"close","code":4003,"ended_ago":1"#);
    miss(2, replaced, &told);
}

#[test]
fn what_was_heard_is_compared_with_when_bytes_began_to_wait() {
    let blocked = EndFacts {
        blocked_ms: 5_000,
        ..facts(EndKind::Stale)
    };
    let is_heard = |heard_ago, after| blocked.with_heard(heard_ago, after).heard_meanwhile;
    // They began to wait 7 s before the report.
    assert!(is_heard(Some(6_000), 2_000));
    assert!(!is_heard(Some(6_001), 2_000), "less than a second after");
    assert!(!is_heard(None, 2_000));
    // The report came 3 s before the end, so they had waited for 2 s.
    assert!(is_heard(Some(1_000), -3_000));
    assert!(!is_heard(Some(1_001), -3_000));
    assert!(!is_heard(Some(0), -9_000));
    assert!(!is_heard(Some(u64::MAX), i64::MAX));
    // The second half of a silence of 12 s begins 8 s before the report.
    let stale = |kernel| EndFacts {
        kernel,
        silence_ms: 12_000,
        ..blocked
    };
    let is_heard = |kernel, ago| stale(kernel).with_heard(Some(ago), 2_000).heard_meanwhile;
    assert!(is_heard(KernelView::Unacknowledged, 7_000));
    assert!(!is_heard(KernelView::Unacknowledged, 7_001));
    assert!(!is_heard(KernelView::Lost, 7_000));
}

#[test]
fn slow_link() {
    let slow = facts(EndKind::SlowConsumer);
    row(
        13,
        slow,
        &says(r#","rtt":{"p50":80,"max":1000}"#),
        EndVerdict::SlowLink,
    );
    miss(13, slow, &says(r#","rtt":{"p50":80,"max":999}"#));
    miss(13, slow, &says(""));
    miss(
        13,
        facts(EndKind::Reset),
        &says(r#","rtt":{"p50":80,"max":1000}"#),
    );
    assert_eq!(BOTH_ROWS.len(), 14);
}
