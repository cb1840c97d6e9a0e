//! Joining reports with records, and counting each end once.

use super::super::ended::EndedRing;
use super::end_verdicts::{EARLY_MAX, EARLY_WAIT, EndVerdicts, REPORT_WAIT};
use super::report_join::JoinOutcome;
use super::verdict_counts::VerdictCounts;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::engine::{Class, Ending};
use crate::gateway::{
    CLOSED_MAX, Classes, ClientReport, ClosedConn, EndVerdict, Evidence, Identity, PairTarget,
    RELAY_CLASSES, ReportSource, ReportedConn,
};
use crate::host::VerdictJudge;
use crate::pulse::ClientFrame;

const CLASS: Class = Class(0);
const S: fn(u64) -> Micros = Micros::from_secs;

struct Rig {
    ring: EndedRing,
    verdicts: EndVerdicts,
    now: Micros,
}

impl Rig {
    fn new() -> Self {
        let classes = Classes::new(RELAY_CLASSES);
        Rig {
            ring: EndedRing::default(),
            verdicts: EndVerdicts::new(classes, Timestamp::default()),
            now: S(1_000),
        }
    }

    fn record(&mut self, ended: Vec<ClosedConn>, reports: Vec<ClientReport>) {
        let now = self.now;
        self.verdicts
            .record(&mut self.ring, ended.into(), reports.into(), now);
    }

    /// Returns a record of a connection of this user that waits for a report.
    fn ended(&self, n: u32, user: Option<&str>) -> ClosedConn {
        closed(self.now, n, user, true)
    }

    fn wait(&mut self, span: Micros) {
        self.now += span;
        self.record(vec![], vec![]);
    }

    fn counts(&self) -> Vec<(EndVerdict, Evidence, u64)> {
        let all = self.verdicts.counts().all();
        all.map(|(_, verdict, evidence, count)| (verdict, evidence, count))
            .collect()
    }

    /// Returns the outcomes that are not 0.
    fn outcomes(&self) -> Vec<(JoinOutcome, u64)> {
        let counts = self.verdicts.outcomes();
        let all = JoinOutcome::ALL.into_iter().zip(counts);
        all.filter(|(_, count)| *count > 0).collect()
    }

    fn judged(&self, n: u32) -> (EndVerdict, Evidence, bool) {
        let (_, record) = self.ring.find(ConnId::new(n, 1)).expect("a record");
        let judged = record.judged.expect("a client");
        (judged.verdict, judged.evidence, record.report.is_some())
    }
}

/// Returns the record of a connection that ended with EOF.
fn closed(at: Micros, n: u32, user: Option<&str>, awaits_report: bool) -> ClosedConn {
    let end = Ending {
        class: Some(CLASS),
        age: S(10),
        ..Ending::sample(Cause::PEER_EOF)
    };
    let classes = Classes::new(RELAY_CLASSES);
    let judged = VerdictJudge::default().judge(at, &end, awaits_report, &classes);
    let wall = UnixMillis::default();
    ClosedConn {
        at: Timestamp { raw: at, wall },
        id: ConnId::new(n, 1),
        generated: false,
        user: user.map(Box::from),
        package: None,
        address: None,
        user_agent: None,
        target: None,
        partner: None,
        end,
        history: None,
        session: None,
        judged,
        report: None,
    }
}

fn source(user: Option<&str>) -> ReportSource {
    let identity = user.map(|user| Identity {
        class: CLASS,
        user: user.into(),
        package: None,
        address: None,
    });
    ReportSource {
        id: ConnId::new(900_000, 1),
        class: CLASS,
        identity,
        generated: false,
        address: [192, 0, 2, 1].into(),
        session: None,
        route: None,
    }
}

/// Returns a report about this connection: the program has started anew.
fn report(conn: ReportedConn, source: ReportSource) -> ClientReport {
    report_of(conn, source, r#"{"end":"error","ended_ago":1}"#)
}

fn report_of(conn: ReportedConn, source: ReportSource, ended: &str) -> ClientReport {
    let json =
        format!(r#"{{"report":{{"v":1,"rt":"rust","lib":"1","start":"new","ended":[{ended}]}}}}"#);
    let Ok(ClientFrame::Report(Some(report))) = ClientFrame::parse(&json) else {
        panic!("{json}");
    };
    let packed = ClientReport::packed(&report).into_iter();
    ClientReport::of_entries(source, true, packed.map(|packed| (conn, packed)).collect())
}

fn known(n: u32) -> ReportedConn {
    ReportedConn::Known(ConnId::new(n, 1))
}

const LEFT: (EndVerdict, Evidence) = (EndVerdict::PeerLeft, Evidence::Gateway);
const KILLED: (EndVerdict, Evidence) = (EndVerdict::AppKilled, Evidence::Both);

#[test]
fn a_report_corrects_the_verdict_and_is_kept() {
    let mut rig = Rig::new();
    rig.record(vec![rig.ended(1, Some("ada"))], vec![]);
    assert_eq!(rig.judged(1), (LEFT.0, LEFT.1, false));
    assert_eq!(rig.counts(), [], "it waits for a report");
    rig.record(vec![], vec![report(known(1), source(Some("ada")))]);
    assert_eq!(rig.judged(1), (KILLED.0, KILLED.1, true));
    rig.wait(REPORT_WAIT);
    assert_eq!(rig.counts(), [(KILLED.0, KILLED.1, 1)]);
    assert_eq!(rig.outcomes(), [(JoinOutcome::Joined, 1)]);
}

#[test]
fn what_is_only_counted_is_not_kept() {
    let mut rig = Rig::new();
    let mut counted = report(known(1), source(Some("ada")));
    counted.keeps = false;
    rig.record(vec![rig.ended(1, Some("ada"))], vec![counted]);
    assert_eq!(rig.judged(1), (KILLED.0, KILLED.1, false));
}

#[test]
fn without_a_report_an_end_is_counted_after_its_wait_or_at_once() {
    let mut rig = Rig::new();
    rig.record(
        vec![rig.ended(1, None), closed(rig.now, 2, None, false)],
        vec![],
    );
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 1)]);
    rig.wait(REPORT_WAIT - Micros(1));
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 1)]);
    rig.wait(Micros(1));
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 2)]);
    rig.wait(REPORT_WAIT);
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 2)]);
}

#[test]
fn a_late_report_corrects_the_record_and_no_counter() {
    let mut rig = Rig::new();
    rig.record(vec![rig.ended(1, Some("ada"))], vec![]);
    rig.wait(REPORT_WAIT);
    rig.record(vec![], vec![report(known(1), source(Some("ada")))]);
    assert_eq!(rig.judged(1), (KILLED.0, KILLED.1, true));
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 1)]);
    assert_eq!(rig.outcomes(), [(JoinOutcome::Late, 1)]);
}

#[test]
fn a_connection_is_reported_once() {
    let mut rig = Rig::new();
    let again = report_of(
        known(1),
        source(Some("ada")),
        r#"{"end":"local","ended_ago":1}"#,
    );
    let first = report(known(1), source(Some("ada")));
    rig.record(vec![rig.ended(1, Some("ada"))], vec![first, again]);
    assert_eq!(rig.judged(1), (KILLED.0, KILLED.1, true));
    assert_eq!(
        rig.outcomes(),
        [(JoinOutcome::Joined, 1), (JoinOutcome::Repeated, 1)]
    );
}

#[test]
fn a_report_before_the_end_waits_for_it() {
    let mut rig = Rig::new();
    rig.record(vec![], vec![report(known(1), source(Some("ada")))]);
    rig.wait(EARLY_WAIT - Micros(1));
    rig.record(vec![rig.ended(1, Some("ada"))], vec![]);
    assert_eq!(rig.judged(1), (KILLED.0, KILLED.1, true));
    assert_eq!(rig.counts(), [(KILLED.0, KILLED.1, 1)]);
    // Of another one nothing is ever known.
    rig.record(vec![], vec![report(known(2), source(Some("ada")))]);
    rig.wait(EARLY_WAIT);
    assert_eq!(
        rig.outcomes(),
        [(JoinOutcome::Joined, 1), (JoinOutcome::NoRecord, 1)]
    );
}

#[test]
fn a_flood_of_early_reports_is_bounded() {
    let mut rig = Rig::new();
    let many = EARLY_MAX as u32 + 100;
    let reports = (0..many).map(|n| report(known(n), source(None))).collect();
    rig.record(vec![], reports);
    assert_eq!(rig.outcomes(), [(JoinOutcome::NoRecord, 100)]);
    rig.wait(EARLY_WAIT);
    assert_eq!(rig.outcomes(), [(JoinOutcome::NoRecord, many.into())]);
}

#[test]
fn ends_that_leave_the_ring_early_are_counted_once() {
    let mut rig = Rig::new();
    for batch in 0..3 {
        let numbers = (0..CLOSED_MAX as u32).map(|n| n + batch * CLOSED_MAX as u32);
        rig.record(numbers.map(|n| rig.ended(n, None)).collect(), vec![]);
    }
    assert_eq!(rig.ring.len(), CLOSED_MAX);
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 2 * CLOSED_MAX as u64)]);
    rig.wait(REPORT_WAIT);
    assert_eq!(rig.counts(), [(LEFT.0, LEFT.1, 3 * CLOSED_MAX as u64)]);
    assert!(rig.ring.find(ConnId::new(0, 1)).is_none());
    assert!(
        rig.ring
            .find(ConnId::new(2 * CLOSED_MAX as u32, 1))
            .is_some()
    );
}

#[test]
fn reports_about_other_connections_are_told_apart() {
    let mut rig = Rig::new();
    rig.record(vec![], vec![report(ReportedConn::Elsewhere, source(None))]);
    let tries = r#"{"end":"never_open","ended_ago":1,
        "tries":[{"ago":9,"ms":5,"phase":"tls"},{"ago":7,"ms":5,"phase":"tls"}]}"#;
    rig.record(
        vec![],
        vec![report_of(ReportedConn::NeverOpen, source(None), tries)],
    );
    let expected = [(JoinOutcome::Elsewhere, 1), (JoinOutcome::NeverOpen, 1)];
    assert_eq!(rig.outcomes(), expected);
    assert_eq!(rig.counts(), [(EndVerdict::Unreachable, Evidence::Both, 1)]);
}

/// Whether a client with this source may report a connection with this record.
fn is_joined(record: impl Fn(&mut ClosedConn), of: impl Fn(&mut ReportSource)) -> bool {
    let mut rig = Rig::new();
    let mut ended = rig.ended(1, Some("ada"));
    record(&mut ended);
    let mut source = source(Some("ada"));
    of(&mut source);
    rig.record(vec![ended], vec![report(known(1), source)]);
    match rig.outcomes()[..] {
        [(JoinOutcome::Joined, 1)] => true,
        [(JoinOutcome::Foreign, 1)] => false,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_reports_only_its_own_connections() {
    let other_address = |source: &mut ReportSource| source.address = [198, 51, 100, 1].into();
    let identity = |of: fn(&mut Identity)| {
        move |source: &mut ReportSource| source.identity.iter_mut().for_each(of)
    };
    let no_record = |_: &mut ClosedConn| {};
    // The same proved identity, from anywhere.
    assert!(is_joined(no_record, |_| {}));
    assert!(is_joined(no_record, other_address));
    assert!(!is_joined(
        no_record,
        identity(|identity| identity.user = "eve".into())
    ));
    assert!(!is_joined(
        no_record,
        identity(|identity| identity.package = Some("app".into()))
    ));
    assert!(!is_joined(no_record, |source| source.identity = None));
    assert!(!is_joined(no_record, |source| source.generated = true));
    assert!(!is_joined(no_record, |source| source.class = Class(1)));
    // A name that nothing proves is worth its address.
    let unproved = identity(|identity| identity.address = Some(Box::new([192, 0, 2, 1].into())));
    assert!(!is_joined(no_record, unproved));
    let of_address = |record: &mut ClosedConn| {
        record.address = Some(Box::new([192, 0, 2, 1].into()));
    };
    assert!(is_joined(of_address, unproved));
    assert!(!is_joined(of_address, |source| {
        unproved(source);
        other_address(source);
    }));
    assert!(!is_joined(of_address, |_| {}), "one of them is proved");
    // Clients without a name share the account of their address and route.
    let anonymous = |record: &mut ClosedConn| record.user = None;
    let nobody = |source: &mut ReportSource| source.identity = None;
    assert!(is_joined(anonymous, nobody));
    assert!(!is_joined(anonymous, |_| {}));
    assert!(!is_joined(anonymous, |source| {
        nobody(source);
        other_address(source);
    }));
    let routed = |record: &mut ClosedConn| {
        anonymous(record);
        record.target = Some(PairTarget {
            route: "chat".into(),
            upstream: "".into(),
        });
    };
    assert!(!is_joined(routed, nobody));
    assert!(is_joined(routed, |source| {
        nobody(source);
        source.route = Some("chat".into());
    }));
    // A generated name is none.
    let generated = |record: &mut ClosedConn| record.generated = true;
    assert!(is_joined(generated, |source| source.generated = true));
    assert!(!is_joined(generated, |_| {}));
    // The session proves all.
    let of_session = |record: &mut ClosedConn| {
        anonymous(record);
        record.session = Some(7);
    };
    assert!(is_joined(of_session, |source| {
        nobody(source);
        other_address(source);
        source.session = Some(7);
    }));
    assert!(!is_joined(of_session, |source| {
        nobody(source);
        other_address(source);
        source.session = Some(8);
    }));
}

#[test]
fn growth_compares_ten_minutes_with_the_hour_before() {
    let mut counts = VerdictCounts::new(S(0));
    let mut count = |minute: u64, many: u64| {
        for _ in 0..many {
            counts.count(S(minute * 60), 0, EndVerdict::Unknown, Evidence::Gateway);
        }
    };
    count(29, 1);
    count(30, 2);
    count(89, 3);
    count(90, 20);
    count(99, 5);
    let growth = counts.growth(S(99 * 60 + 59));
    let [growth] = growth[..] else {
        panic!("{growth:?}");
    };
    assert_eq!(
        (growth.recent, growth.before, growth.before_minutes),
        (25, 5, 60)
    );
    let mut counts = VerdictCounts::new(S(0));
    counts.count(S(15 * 60), 0, EndVerdict::Unknown, Evidence::Gateway);
    assert_eq!(counts.growth(S(15 * 60))[0].before_minutes, 6);
    // Old minutes are forgotten.
    for minute in 0..10_000 {
        counts.count(S(minute * 60), 0, EndVerdict::Unknown, Evidence::Gateway);
    }
    assert_eq!(counts.minutes_kept(), 71);
}
