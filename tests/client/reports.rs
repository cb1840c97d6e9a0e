//! What a client reports of its ends.

use pulsegate::client::FakePulse;
use pulsegate::pulse::{
    ClientCondition, ClientFrame, ClientRuntime, ClientStart, FailureClass, NetworkKind, Report,
    ReportedEnd, TryFailure, TryPhase,
};
use pulsegate::testing::OnDial;
use pulsegate::{Message, Micros};
use std::io::ErrorKind;

use crate::rig::{Rig, options, target};

/// Returns the reports that the gateway has received.
fn reports(rig: &mut Rig) -> Vec<Report> {
    let frames = rig.gateway().frames.iter();
    let reports = frames.filter_map(|frame| match frame {
        ClientFrame::Report(report) => Some(report.as_deref().expect("a valid report").clone()),
        _ => None,
    });
    reports.collect()
}

fn move_to(rig: &mut Rig, net: NetworkKind) {
    let mut condition = ClientCondition::default();
    condition.net = Some(net);
    rig.client(|clients, io, id| clients.set_condition(io, id, condition));
}

#[test]
fn ends_are_reported_after_the_next_hello() {
    let mut rig = Rig::open();
    rig.nets
        .dialer
        .set_on_dial(OnDial::Fail(ErrorKind::ConnectionRefused));
    rig.nets.cut_after(0, 0);
    rig.advance(1_000);
    rig.nets.dialer.set_on_dial(OnDial::Accept);
    rig.advance(4_000);
    let reports = reports(&mut rig);
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert_eq!((report.rt, report.ended.len()), (ClientRuntime::Rust, 1));
    assert_eq!(report.start, ClientStart::Same);
    let ended = &report.ended[0];
    assert_eq!((ended.end, ended.code), (ReportedEnd::Error, Some(1_006)));
    assert_eq!(ended.class, Some(FailureClass::Blip));
    let conn = ended.conn.as_deref();
    assert!(conn.is_some_and(|conn| conn.starts_with("fake.")));
    let first = ended.tries.first().expect("a try that failed");
    assert_eq!(
        (first.phase, first.why),
        (Some(TryPhase::Tcp), Some(TryFailure::Refused))
    );
}

#[test]
fn the_network_is_that_on_which_the_connection_was_opened() {
    let mut rig = Rig::open();
    for net in [NetworkKind::Wifi, NetworkKind::Cell] {
        move_to(&mut rig, net);
    }
    rig.nets.cut_after(0, 0);
    rig.advance(5_000);
    rig.nets.cut_after(0, 0);
    rig.advance(5_000);
    let nets: Vec<_> = reports(&mut rig)
        .iter()
        .map(|report| report.ended[0].net.map(|net| (net.then, net.now)))
        .collect();
    let (wifi, cell) = (NetworkKind::Wifi, NetworkKind::Cell);
    assert_eq!(nets, [Some((wifi, cell)), Some((cell, cell))]);
}

#[test]
fn a_new_process_names_the_connection_of_the_one_before() {
    let mut options = options();
    options.earlier_conn = Some("1a2b3c4d.3.8".into());
    let mut rig = Rig::new(options, FakePulse::new());
    rig.advance(10);
    rig.nets.cut_after(0, 0);
    rig.advance(5_000);
    let reports = reports(&mut rig);
    let starts: Vec<_> = reports.iter().map(|report| report.start).collect();
    assert_eq!(starts, [ClientStart::New, ClientStart::Same]);
    let ended = &reports[0].ended[0];
    assert_eq!(
        (ended.conn.as_deref(), ended.end, ended.code),
        (Some("1a2b3c4d.3.8"), ReportedEnd::Error, None)
    );
    assert_eq!(reports[1].ended.len(), 1, "it is reported once");
}

#[test]
fn a_new_process_tells_the_tries_that_failed_before() {
    let mut options = options();
    options.earlier_conn = Some("1a2b3c4d.3.8".into());
    let mut rig = Rig::with_target(options, FakePulse::new(), None);
    rig.advance(10);
    rig.client(|clients, io, id| clients.fail(io, id, "no such name"));
    rig.advance(2_000);
    rig.client(|clients, io, id| clients.connect(io, id, target()));
    rig.advance(10);
    let reports = reports(&mut rig);
    let ended = &reports[0].ended;
    assert_eq!(ended.len(), 1, "it was never open only in this process");
    assert_eq!(ended[0].tries.len(), 1);
    assert!(ended[0].ended_ago > 0);
}

#[test]
fn a_try_that_is_given_up_has_a_phase() {
    let mut options = options();
    options.open_timeout = Micros::from_secs(2);
    let mut rig = Rig::new(options, FakePulse::new());
    rig.advance(10);
    rig.nets.set_latency(300);
    rig.nets.cut_after(0, 0);
    rig.advance(501);
    // The request or its answer is on its way.
    rig.nets.silence();
    rig.nets.dialer.set_on_dial(OnDial::Wait);
    rig.advance(2_000 + 1_000);
    rig.nets.dialer.set_on_dial(OnDial::Accept);
    rig.advance(10_000);
    let reports = reports(&mut rig);
    let tries = &reports[0].ended[0].tries;
    let tries: Vec<_> = tries.iter().map(|tried| (tried.phase, tried.why)).collect();
    let timeout = Some(TryFailure::Timeout);
    assert_eq!(
        tries,
        [
            (Some(TryPhase::Http), timeout),
            (Some(TryPhase::Tcp), timeout)
        ]
    );
}

#[test]
fn a_sleep_is_told_although_the_end_is_read_first() {
    let mut rig = Rig::open();
    rig.sleep(60_000);
    rig.serve(|gateway, io| {
        let conn = gateway.session().and_then(|session| gateway.conn(session));
        let conn = conn.expect("a connection");
        io.send(conn, Message::text("late"));
        io.close(conn, 3_008, "");
    });
    rig.advance(5_000);
    let reports = reports(&mut rig);
    let ended = &reports[0].ended[0];
    assert_eq!((ended.end, ended.code), (ReportedEnd::Close, Some(3_008)));
    let gap = ended.clock_gap.expect("a gap");
    assert!((30_000..=60_000).contains(&gap), "{gap} ms");
}
