//! The table of both sides, a row at a time.

use super::*;
use crate::host::reports::ClientReport;
use crate::pulse::{ClientFrame, Report};

/// Returns what a client says: the fields of the report besides `start`, and of its entry.
pub(super) fn client(start: &str, ended: &str) -> PackedReport {
    let json = format!(
        r#"{{"report":{{"v":1,"rt":"rust","lib":"1","start":"{start}","ended":[{{{ended}}}]}}}}"#
    );
    match ClientFrame::parse(&json) {
        Ok(ClientFrame::Report(Some(report))) => packed(&report),
        other => panic!("{json}: {other:?}"),
    }
}

fn packed(report: &Report) -> PackedReport {
    ClientReport::packed(report)
        .into_iter()
        .next()
        .expect("an entry")
}

/// What a client says that gave up after 25 s.
const WATCHDOG: &str = r#""end":"watchdog","ended_ago":1000,"heard_ago":26000"#;

pub(super) fn says(more: &str) -> PackedReport {
    client("same", &format!("{WATCHDOG}{more}"))
}

/// Asserts that these facts and this report match the row with this number.
#[track_caller]
pub(super) fn row(nth: usize, end: EndFacts, report: &PackedReport, verdict: EndVerdict) {
    let words = Some(&BOTH_ROWS[nth].words);
    assert_eq!(
        both_table::judge(&end, report),
        (verdict, words),
        "{end:?} {report:?}"
    );
}

/// Asserts that they miss it.
#[track_caller]
pub(super) fn miss(nth: usize, end: EndFacts, report: &PackedReport) {
    let words = Some(&BOTH_ROWS[nth].words);
    assert_ne!(
        both_table::judge(&end, report).1,
        words,
        "{end:?} {report:?}"
    );
}

pub(super) fn with(kind: EndKind, kernel: KernelView) -> EndFacts {
    EndFacts {
        kernel,
        ..facts(kind)
    }
}

pub(super) const NET: &str = r#","net":{"then":"cell","now":"wifi"}"#;
const SAME_NET: &str = r#","net":{"then":"wifi","now":"wifi"}"#;
pub(super) const GAP: &str = r#","clock_gap":20000"#;
const FROZEN: &str = r#","page":{"vis":"visible","frozen":true}"#;
const HIDDEN: &str = r#","page":{"vis":"hidden"}"#;
pub(super) const TCP_TRY: &str = r#","tries":[{"ago":900,"phase":"tcp","ms":500,"why":"timeout"}]"#;
const HTTP_TRY: &str = r#","tries":[{"ago":900,"phase":"http","ms":500,"why":"other"}]"#;
const BROWSER_TRY: &str = r#","tries":[{"ago":900,"ms":500}]"#;

#[test]
fn gateway_stall() {
    let stalled = |stall_ms| EndFacts {
        stall_ms,
        ..facts(EndKind::Eof)
    };
    row(0, stalled(8_334), &says(""), EndVerdict::GatewayStall);
    miss(0, stalled(8_332), &says(""));
    let error = client(
        "same",
        r#""end":"error","ended_ago":1000,"heard_ago":26000"#,
    );
    miss(0, stalled(9_000), &error);
    let short = client(
        "same",
        r#""end":"watchdog","ended_ago":1000,"heard_ago":2000"#,
    );
    miss(0, stalled(999), &short);
    let slept = |gap| {
        let words = r#""end":"sleep","ended_ago":1000,"heard_ago":26000"#;
        client("same", &format!(r#"{words},"clock_gap":{gap}"#))
    };
    row(0, stalled(9_000), &slept(8_999), EndVerdict::GatewayStall);
    miss(0, stalled(9_000), &slept(9_000));
    // The client closed it: the stall was not the reason.
    let local = client("same", r#""end":"local","ended_ago":1"#);
    assert_eq!(
        both_table::judge(&stalled(9_000), &local).0,
        EndVerdict::PeerLeft
    );
}

#[test]
fn gateway_action() {
    let closed = EndFacts {
        code: Some(1_012),
        ..facts(EndKind::Action)
    };
    let told = client("same", r#""end":"close","code":1012,"ended_ago":1"#);
    row(1, closed, &told, EndVerdict::GatewayAction);
    let other = client("same", r#""end":"close","code":1006,"ended_ago":1"#);
    miss(1, closed, &other);
    // The close frame was lost. It was an action all the same.
    assert_eq!(
        both_table::judge(&closed, &says("")).0,
        EndVerdict::GatewayAction
    );
    // A stopped client reads the close of its stale connection much later.
    let stale = EndFacts {
        code: Some(3_008),
        ..facts(EndKind::Stale)
    };
    miss(
        1,
        stale,
        &client("same", r#""end":"close","code":3008,"ended_ago":1"#),
    );
}

#[test]
fn handover() {
    for kernel in [
        KernelView::Lost,
        KernelView::Unacknowledged,
        KernelView::Nothing,
    ] {
        row(
            3,
            with(EndKind::Stale, kernel),
            &says(NET),
            EndVerdict::Handover,
        );
    }
    for kind in [
        EndKind::PeerClosed,
        EndKind::Eof,
        EndKind::Reset,
        EndKind::NetworkError,
        EndKind::Replaced,
    ] {
        row(3, facts(kind), &says(NET), EndVerdict::Handover);
        let error = format!(r#""end":"error","ended_ago":1{NET}"#);
        miss(3, facts(kind), &client("same", &error));
    }
    let lost = with(EndKind::Stale, KernelView::Lost);
    miss(3, lost, &says(SAME_NET));
    miss(3, lost, &says(r#","net":{"then":"none","now":"wifi"}"#));
    miss(3, lost, &says(r#","net":{"then":"cell","now":"6g"}"#));
    miss(3, lost, &says(""));
    for kernel in [KernelView::Acknowledged, KernelView::WindowFull] {
        miss(3, with(EndKind::Stale, kernel), &says(NET));
    }
    for kind in [EndKind::SlowConsumer, EndKind::Action, EndKind::Other] {
        miss(3, facts(kind), &says(NET));
    }
}

#[test]
fn outage() {
    let lost = with(EndKind::Stale, KernelView::Unacknowledged);
    for tries in [
        TCP_TRY,
        BROWSER_TRY,
        r#","tries":[{"ago":9,"phase":"dns","ms":5}]"#,
    ] {
        row(4, lost, &says(tries), EndVerdict::Outage);
        row(
            4,
            facts(EndKind::Stale),
            &says(&format!("{SAME_NET}{tries}")),
            EndVerdict::Outage,
        );
        miss(
            4,
            with(EndKind::Stale, KernelView::Acknowledged),
            &says(tries),
        );
        miss(4, lost, &says(&format!("{GAP}{tries}")));
    }
    let offline = client("same", r#""end":"offline","ended_ago":1"#);
    row(4, lost, &offline, EndVerdict::Outage);
    row(4, facts(EndKind::Replaced), &offline, EndVerdict::Outage);
    miss(4, lost, &says(HTTP_TRY));
    miss(4, lost, &says(""));
    row(
        4,
        facts(EndKind::PeerClosed),
        &says(TCP_TRY),
        EndVerdict::Outage,
    );
    let closed = client("same", &format!(r#""end":"close","ended_ago":1{TCP_TRY}"#));
    miss(4, facts(EndKind::PeerClosed), &closed);
}

#[test]
fn device_sleep() {
    let lost = with(EndKind::Stale, KernelView::Lost);
    let sleep = client("same", r#""end":"sleep","ended_ago":1"#);
    row(5, lost, &sleep, EndVerdict::DeviceSleep);
    row(5, facts(EndKind::Replaced), &sleep, EndVerdict::DeviceSleep);
    row(
        5,
        lost,
        &says(r#","clock_gap":12500"#),
        EndVerdict::DeviceSleep,
    );
    row(
        5,
        facts(EndKind::Stale),
        &says(&format!("{GAP}{HIDDEN}")),
        EndVerdict::DeviceSleep,
    );
    miss(5, lost, &says(r#","clock_gap":12499"#));
    miss(5, facts(EndKind::Stale), &says(&format!("{GAP}{FROZEN}")));
    miss(
        5,
        with(EndKind::Stale, KernelView::Acknowledged),
        &says(GAP),
    );
    miss(5, with(EndKind::Stale, KernelView::WindowFull), &sleep);
}

#[test]
fn app_frozen() {
    let acked = with(EndKind::Stale, KernelView::Acknowledged);
    for words in [FROZEN, HIDDEN, GAP] {
        row(6, acked, &says(words), EndVerdict::AppFrozen);
        row(
            6,
            with(EndKind::Stale, KernelView::WindowFull),
            &says(words),
            EndVerdict::AppFrozen,
        );
        miss(6, with(EndKind::Stale, KernelView::Lost), &says(words));
        let slow = with(EndKind::SlowConsumer, KernelView::WindowFull);
        row(7, slow, &says(words), EndVerdict::AppFrozen);
        miss(7, facts(EndKind::SlowConsumer), &says(words));
    }
    row(
        6,
        facts(EndKind::Stale),
        &says(FROZEN),
        EndVerdict::AppFrozen,
    );
    miss(6, acked, &says(r#","page":{"vis":"visible"}"#));
    row(
        6,
        with(EndKind::Reset, KernelView::Acknowledged),
        &says(HIDDEN),
        EndVerdict::AppFrozen,
    );
    miss(6, facts(EndKind::Reset), &says(HIDDEN));
    miss(
        7,
        with(EndKind::SlowConsumer, KernelView::WindowFull),
        &says(""),
    );
}

#[test]
fn middlebox() {
    let acked = with(EndKind::Stale, KernelView::Acknowledged);
    row(8, acked, &says(""), EndVerdict::Middlebox);
    row(
        8,
        acked,
        &says(r#","page":{"vis":"visible"}"#),
        EndVerdict::Middlebox,
    );
    miss(8, acked, &says(HIDDEN));
    miss(8, acked, &says(GAP));
    miss(8, facts(EndKind::Stale), &says(""));
    miss(8, with(EndKind::Stale, KernelView::WindowFull), &says(""));
    let error = client("same", r#""end":"error","ended_ago":1"#);
    for kind in [EndKind::Replaced, EndKind::Eof, EndKind::PeerClosed] {
        let acked = with(kind, KernelView::Acknowledged);
        row(8, acked, &says(""), EndVerdict::Middlebox);
        miss(8, acked, &error);
        miss(8, facts(kind), &says(""));
    }
    miss(8, acked, &error);
}

#[test]
fn nat_timeout() {
    let gap = |kind| EndFacts {
        common_gap: true,
        ..facts(kind)
    };
    let error = client("same", r#""end":"error","ended_ago":1"#);
    for kind in [EndKind::Stale, EndKind::Reset, EndKind::NetworkError] {
        row(9, gap(kind), &error, EndVerdict::NatTimeout);
        miss(9, facts(kind), &error);
        miss(
            9,
            gap(kind),
            &client("same", r#""end":"offline","ended_ago":1"#),
        );
        let tried = format!(r#""end":"error","ended_ago":1{HTTP_TRY}"#);
        miss(9, gap(kind), &client("same", &tried));
    }
    for kind in [EndKind::Replaced, EndKind::Eof, EndKind::PeerClosed] {
        row(9, gap(kind), &says(""), EndVerdict::NatTimeout);
        miss(9, facts(kind), &says(""));
        miss(9, gap(kind), &says(TCP_TRY));
        miss(9, gap(kind), &error);
    }
}

#[test]
fn app_killed() {
    let new = client("new", r#""end":"error","ended_ago":1"#);
    for kind in [EndKind::Eof, EndKind::Reset] {
        row(10, facts(kind), &new, EndVerdict::AppKilled);
        miss(
            10,
            facts(kind),
            &client("same", r#""end":"error","ended_ago":1"#),
        );
        miss(
            10,
            facts(kind),
            &client("new", r#""end":"local","ended_ago":1"#),
        );
    }
    miss(10, facts(EndKind::PeerClosed), &new);
    miss(10, facts(EndKind::Stale), &new);
}

#[test]
fn second_device_and_takeover_of_dead() {
    let replaced = EndFacts {
        code: Some(4_003),
        ..facts(EndKind::Replaced)
    };
    let told = client("same", r#""end":"close","code":4003,"ended_ago":1"#);
    row(11, replaced, &told, EndVerdict::SecondDevice);
    miss(
        11,
        replaced,
        &client("same", r#""end":"close","code":1000,"ended_ago":1"#),
    );
    miss(
        11,
        replaced,
        &client("same", r#""end":"error","code":4003,"ended_ago":1"#),
    );
    miss(
        11,
        EndFacts {
            code: Some(4_003),
            ..facts(EndKind::Action)
        },
        &told,
    );
    row(12, replaced, &says(""), EndVerdict::TakeoverOfDead);
    miss(12, replaced, &told);
    miss(12, facts(EndKind::Eof), &says(""));
    // It answered the close frame, but what had read it was not the client.
    row(
        12,
        EndFacts {
            clean: true,
            ..replaced
        },
        &says(""),
        EndVerdict::TakeoverOfDead,
    );
}

#[test]
fn unreachable() {
    let tried = |end: &str, many: usize| {
        let tries = [r#"{"ago":9,"ms":5,"phase":"tls"}"#].repeat(many).join(",");
        client(
            "same",
            &format!(r#""end":"{end}","ended_ago":1,"tries":[{tries}]"#),
        )
    };
    let judged = |report| both_table::judge_never_open(&report);
    assert_eq!(
        judged(tried("never_open", 2)),
        Some(EndVerdict::Unreachable)
    );
    assert_eq!(judged(tried("never_open", 1)), None);
    assert_eq!(judged(tried("error", 8)), None);
}

#[test]
fn without_a_row_the_gateways_side_decides() {
    for (kind, verdict) in [
        (EndKind::UpstreamLost, EndVerdict::UpstreamLost),
        (EndKind::UpstreamClosed, EndVerdict::UpstreamClosed),
        (EndKind::Action, EndVerdict::GatewayAction),
        (EndKind::Eof, EndVerdict::PeerLeft),
        (EndKind::Stale, EndVerdict::Unknown),
    ] {
        assert_eq!(both_table::judge(&facts(kind), &says("")).0, verdict);
    }
    let stalled = EndFacts {
        stall_ms: 2_000,
        ..facts(EndKind::Eof)
    };
    assert_eq!(
        both_table::judge(&stalled, &says("")).0,
        EndVerdict::GatewayStall
    );
}
