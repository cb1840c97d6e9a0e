//! Questions of operators are answered in slices, with a budget.

use crate::fleet::Fleet;
use crate::scenarios::OVERSHOOT;
use pulsegate::gateway::{
    CohortFilter, CohortScan, Filter, GLASSES, Gateway, GatewaySlicedQuery, PageRequest, Progress,
    QUERY_UNITS, RelaySettings, SLICE_UNITS, Search, Sort,
};
use pulsegate::health::Risk;
use pulsegate::testing::upgrade_request;
use pulsegate::{Io, Micros};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns a gateway with 20 sessions of 1 000 apps, and 1 000 sessions of one.
fn crowded() -> Fleet {
    let packages = |n: usize| (0..n).map(|n| format!("p.{:04}", n * 7_919 % 1_000).into());
    let users = (0..20).map(|n| (format!("big{n:02}").into(), packages(1_000).collect()));
    let small = (0..1_000).map(|n| (format!("small{n:04}").into(), packages(1).collect()));
    let users = users.chain(small).collect();
    Fleet::start(RelaySettings::default(), None, users)
}

#[test]
fn a_slice_of_an_operators_question_stops_in_the_middle_of_a_session_of_1000_apps() {
    let mut fleet = crowded();
    let slice = |fleet: &mut Fleet, after: Option<&str>| {
        let before = fleet.work_units();
        let slice = fleet
            .net
            .with_io(|gateway, io| gateway.session_slice(io, after, 1_000));
        let units = fleet.work_units() - before;
        assert!(units <= u64::from(SLICE_UNITS) + OVERSHOOT, "{units} units");
        assert!(units as usize >= slice.rows.len() / 4, "{units} units");
        slice
    };
    let (mut users, mut after) = (Vec::new(), None::<Box<str>>);
    loop {
        let found = slice(&mut fleet, after.as_deref());
        assert_eq!(found.total, 1_020);
        for row in &found.rows {
            let many = row.user.starts_with("big");
            assert_eq!(row.apps_total, if many { 1_000 } else { 1 });
            assert_eq!(
                (row.apps.len(), row.more_apps),
                (if many { 64 } else { 1 }, many)
            );
            users.push(row.user.clone());
        }
        after = users.last().cloned();
        if !found.more {
            break;
        }
    }
    assert!(users.is_sorted_by(|a, b| a < b));
    assert_eq!(
        users.len(),
        1_020,
        "nobody is left out, nobody is named twice"
    );

    let (mut packages, mut after) = (Vec::new(), None::<Box<str>>);
    loop {
        let before = fleet.work_units();
        let row = fleet
            .net
            .with_io(|gateway, io| gateway.app_slice(io, "big07", after.as_deref(), 1_000))
            .expect("a session");
        let units = fleet.work_units() - before;
        assert!(units <= u64::from(SLICE_UNITS) + OVERSHOOT, "{units} units");
        packages.extend(row.apps.into_iter().map(|app| app.package));
        after = packages.last().cloned();
        if !row.more_apps {
            break;
        }
    }
    let expected: Vec<Box<str>> = (0..1_000).map(|n| format!("p.{n:04}").into()).collect();
    assert_eq!(packages, expected);
}

/// Calls `step` until it returns an answer; returns it, and after how many slices.
fn sliced<T>(
    fleet: &mut Fleet,
    mut step: impl FnMut(&mut Gateway, &mut Io<'_>) -> Option<T>,
) -> (T, u32) {
    let mut slices = 0;
    loop {
        let before = fleet.work_units();
        let found = fleet.net.with_io(&mut step);
        let units = fleet.work_units() - before;
        assert!(units <= u64::from(SLICE_UNITS) + OVERSHOOT, "{units} units");
        slices += 1;
        if let Some(found) = found {
            return (found, slices);
        }
    }
}

#[test]
fn cohorts_and_connections_at_risk_are_found_in_slices() {
    let mut fleet = Fleet::start(RelaySettings::default(), None, Vec::new());
    for n in 0..2_500_u16 {
        let [high, low] = n.to_be_bytes();
        let peer = fleet.net.open_socket_from([10, high, low, 1].into());
        let request = upgrade_request(&format!("/glasses-ws?user=u{n:04}"));
        fleet.net.write(peer, request.as_bytes());
    }
    fleet.net.settle();
    let mut scan = CohortScan::new(CohortFilter::default());
    let (page, slices) = sliced(&mut fleet, |_, io| scan.step(io));
    assert_eq!((page.total, page.alarmed, slices), (2_500, 0, 2));
    let blocks: BTreeSet<_> = page.cohorts.iter().map(|view| view.block).collect();
    assert_eq!(blocks.len(), 2_500, "each is there once");
    let mut scan = CohortScan::new(CohortFilter {
        block: Some("10.3.0.0/16".parse().expect("a block")),
        ..CohortFilter::default()
    });
    let (page, _) = sliced(&mut fleet, |_, io| scan.step(io));
    assert_eq!((page.total, page.cohorts.len()), (2_500, 256));
    let at_least = |least_risk| {
        let mut search = Search::new(PageRequest {
            filter: Filter {
                least_risk: Some(least_risk),
                ..Filter::default()
            },
            sort: Sort::Risk,
            limit: 1_000,
            ..PageRequest::default()
        });
        move |gateway: &mut Gateway, io: &mut Io<'_>| search.step(gateway, io)
    };
    let (page, slices) = sliced(&mut fleet, at_least(Risk::Low));
    assert!(slices > 4, "{slices} slices");
    assert_eq!((page.matched, page.rows.len()), (2_500, 1_000));
    let (page, _) = sliced(&mut fleet, at_least(Risk::Raised));
    assert_eq!(page.matched, 0, "nothing is at risk");
}

#[test]
fn all_operators_together_have_one_share_of_a_turn() {
    let mut fleet = crowded();
    for n in 0..300 {
        fleet.glasses(&format!("small{n:04}"));
    }
    let queries = fleet
        .net
        .with_io(|gateway, io| gateway.query_sender(io.remote()));
    let done = Arc::new(AtomicUsize::new(0));
    for nth in 0..8 {
        let (mut after, done) = (None::<Box<str>>, done.clone());
        let mut search = Search::new(PageRequest {
            limit: 1_000,
            ..PageRequest::default()
        });
        let work: GatewaySlicedQuery = Box::new(move |gateway, io| {
            let more = if nth % 2 == 0 {
                search.step(gateway, io).is_none()
            } else {
                let slice = gateway.session_slice(io, after.as_deref(), 1_000);
                after = slice.rows.last().map(|row| row.user.clone());
                slice.more
            };
            if more {
                return Progress::More;
            }
            done.fetch_add(1, Ordering::Relaxed);
            Progress::Done
        });
        queries.send_sliced(work).expect("room");
    }
    let (mut turns, mut most) = (0, 0);
    while done.load(Ordering::Relaxed) < 8 {
        let units = fleet.turn();
        assert!(units <= u64::from(QUERY_UNITS) + OVERSHOOT, "{units} units");
        (turns, most) = (turns + 1, most.max(units));
    }
    assert!(
        turns > 20 && most > u64::from(SLICE_UNITS) / 2,
        "{turns} turns, {most} units"
    );
    // A slice without rows is cheap but still counted: many of them fit into a turn, but not all.
    for _ in 0..60 {
        queries
            .send_sliced(Box::new(|_, _| Progress::Done))
            .expect("room");
    }
    let mut turns = 0;
    loop {
        match fleet.turn() {
            0 => break,
            units => assert!(units <= u64::from(QUERY_UNITS)),
        }
        turns += 1;
    }
    assert!((4..=8).contains(&turns), "{turns}");
}

#[test]
fn a_class_drain_closes_so_many_in_one_step_and_no_more() {
    let mut fleet = Fleet::open();
    let glasses: Vec<_> = (0..700).map(|n| fleet.glasses(&format!("u{n}"))).collect();
    let before = fleet.work_units();
    fleet
        .net
        .with_io(|gateway, io| gateway.drain_class(io, GLASSES, Micros::ZERO, Micros::ZERO));
    let mut left = glasses.len();
    let mut steps = vec![(fleet.work_units() - before, 0)];
    while left > 0 {
        fleet.net.advance(5);
        let open = glasses.iter().filter(|peer| fleet.is_open(**peer)).count();
        steps.push((0, left - open));
        left = open;
        assert!(steps.len() < 100);
    }
    assert!(steps[0].0 > 100 && steps[0].0 < 600, "{steps:?}");
    assert!(steps.iter().all(|(_, closed)| *closed <= 256), "{steps:?}");
}
