//! What is kept when an alert fires: 30 000 connections that end within a minute leave an answer,
//! although only the last 10 000 records are kept.

use super::super::super::incidents::{Incident, LivingTraits, TraitValue, in_common};
use super::super::super::watchers::Watchers;
use super::super::alerting::Alerts;
use super::fleet_harness::{FleetHarness, S, lost};
use super::upstreams;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Timestamp;
use crate::engine::Class;
use crate::gateway::{
    BRIDGE_CLASSES, Classes, ClosedConn, LivingConn, PairTarget, RELAY_CLASSES, UpstreamCondition,
};
use crate::host::{ClosedSender, ReportInbox};
use crate::relay::ExpiredSender;
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// The number of connections that end in each second.
const PER_SECOND: u64 = 500;

fn classes() -> Classes {
    Classes::new(RELAY_CLASSES.into_iter().chain(BRIDGE_CLASSES))
}

/// A gateway's watchers on the clock of an invented fleet.
struct Minute {
    fleet: FleetHarness,
    watchers: Watchers,
    ended: u64,
}

impl Minute {
    fn new(fleet: FleetHarness) -> Minute {
        let settings = Arc::new(Mutex::new(fleet.settings.clone()));
        let alerts = Alerts::new(settings, ([127, 0, 0, 1], 1).into(), None, classes());
        let boxes = (
            ClosedSender::default().receiver(),
            ReportInbox::default().receiver(),
            ExpiredSender::default().shared(),
        );
        Minute {
            watchers: Watchers::new(boxes, alerts, classes(), Timestamp::default()),
            fleet,
            ended: 0,
        }
    }

    /// Lets 30 000 connections end within a minute; `change` says what each of them was. The alerts
    /// are evaluated every ten seconds.
    fn pass(&mut self, living: &[LivingConn], change: impl Fn(u64, &mut ClosedConn)) {
        for second in 1..=60 {
            let at = self.fleet.sample.now + S(second % 10);
            let ended: VecDeque<ClosedConn> = (0..PER_SECOND)
                .map(|_| {
                    self.ended += 1;
                    let user = format!("user-{}", self.ended);
                    let [.., c, d] = self.ended.to_be_bytes();
                    let mut record = lost(Some(&user), at, self.ended, [10, c, d, 1]);
                    change(self.ended, &mut record);
                    record
                })
                .collect();
            let records = (ended, VecDeque::new());
            let mut ring = self.watchers.ended();
            self.watchers
                .distribute(&mut ring, records, &VecDeque::new());
            drop(ring);
            if second % 10 == 0 {
                self.evaluate(living);
            }
        }
    }

    fn evaluate(&mut self, living: &[LivingConn]) {
        self.fleet.sample.now += S(10);
        self.fleet.sample.wall.0 += 10_000;
        let (settings, sample) = (&self.fleet.settings, &self.fleet.sample);
        self.watchers.alerts().evaluate(settings, sample);
        let living = LivingTraits::of(&classes(), living);
        let living = self.watchers.is_incident_new().then_some(living);
        let now = Timestamp {
            raw: self.fleet.sample.now,
            wall: self.fleet.sample.wall,
        };
        self.watchers.update_incidents_at(living, now);
    }

    /// Returns what is kept with the one alert of this rule.
    #[track_caller]
    fn incident(&self, rule: &str) -> Incident {
        let ids = self.watchers.incidents().into_iter();
        let found = ids.filter_map(|id| self.watchers.incident(id));
        let mut found = found.filter(|incident| incident.alert.name == rule);
        let first = found.next().expect("it fires");
        assert!(found.next().is_none(), "once");
        first
    }
}

/// Returns open connections: `inside` of a hundred at the place that is lost.
fn living(inside: u64, target: impl Fn(bool) -> Option<PairTarget>) -> Vec<LivingConn> {
    let conn = |n: u64| LivingConn {
        class: Class(if target(true).is_some() { 2 } else { 0 }),
        address: match n < inside {
            true => IpAddr::from([10, 200, 7, n as u8]),
            false => IpAddr::from([10, 100, n as u8, 1]),
        },
        user_agent: None,
        target: target(n < inside),
        age: S(1),
        srtt_us: None,
    };
    (0..100).map(conn).collect()
}

fn target(route: &str, upstream: &str) -> PairTarget {
    PairTarget {
        route: route.into(),
        upstream: upstream.into(),
    }
}

fn relay_fleet() -> FleetHarness {
    let mut fleet = FleetHarness::new();
    fleet.counters().live = vec![30_000, 1_000];
    fleet
}

#[test]
fn a_block_that_30_000_have_in_common_is_named() {
    let mut minute = Minute::new(relay_fleet());
    minute.pass(&living(3, |_| None), |n, record| {
        if n % 10 != 0 {
            let user = n as u8;
            record.end.peer_addr.set_ip([10, 200, 7, user].into());
        }
    });
    assert_eq!(
        minute.watchers.ended().len(),
        10_000,
        "the ring holds no more"
    );
    let incident = minute.incident("mass_death");
    assert_eq!(incident.summary.ended, 30_000);
    let first = &incident.summary.traits[0];
    assert_eq!(
        first.value,
        TraitValue::Block(NetworkBlock::of([10, 200, 7, 1].into()))
    );
    assert!((0.88..=0.9).contains(&first.share), "{first:?}");
    assert_eq!(first.living, Some(0.03));
    let words = in_common(&classes(), incident.summary.ended, &incident.summary.traits);
    let words = words.expect("something stands out");
    assert!(
        words.contains("of 30000 ended connections came from 10.200.7.0/24"),
        "{words}"
    );
    assert!(words.ends_with("of the open ones 3 % do"), "{words}");
    // The sample is even: each sixth of the minute has its part, also what left the ring.
    assert_eq!(incident.ends().len(), 500);
    let ids: BTreeSet<_> = incident.ends().iter().map(|end| end.id).collect();
    assert_eq!(ids.len(), 500, "each once");
    for sixth in 0..6_u32 {
        let users = incident.ends().iter().filter_map(|end| end.user.as_deref());
        let numbers = users.filter_map(|user| user.rsplit('-').next()?.parse::<u32>().ok());
        let count = numbers.filter(|n| (n - 1) / 5_000 == sixth).count();
        assert!((50..=120).contains(&count), "{sixth}: {count}");
    }
    assert_eq!(incident.identities.affected, 30_000);
    assert_eq!(incident.identities.missing(), 30_000);
}

#[test]
fn an_upstream_that_30_000_have_in_common_is_named() {
    let mut minute = Minute::new(upstreams::fleet());
    minute.fleet.sample.upstreams[0].state = UpstreamCondition::Avoided;
    let of = |inside| {
        Some(target(
            "chat",
            if inside { "10.0.0.1:80" } else { "10.0.0.2:80" },
        ))
    };
    minute.pass(&living(40, of), |n, record| {
        record.end.class = Some(Class(2));
        record.target = of(n % 20 != 0);
    });
    let incident = minute.incident("upstream_down");
    assert_eq!(incident.summary.ended, 30_000);
    let first = &incident.summary.traits[0];
    assert_eq!(first.value, TraitValue::Upstream("10.0.0.1:80".into()));
    assert_eq!((first.share, first.living), (0.95, Some(0.4)));
    let upstreams = incident.ends().iter().filter_map(|end| end.target.as_ref());
    assert!(
        upstreams
            .clone()
            .all(|target| &*target.upstream == "10.0.0.1:80")
    );
    assert_eq!(upstreams.count(), 500);
}

#[test]
fn a_route_that_30_000_have_in_common_is_named() {
    let mut minute = Minute::new(upstreams::fleet());
    let of = |inside, n| {
        let route = if inside { "chat" } else { "mail" };
        Some(target(route, &format!("10.0.{}.1:80", n % 100)))
    };
    minute.pass(&living(50, |inside| of(inside, 1)), |n, record| {
        record.end.class = Some(Class(2));
        record.target = of(true, n);
    });
    let incident = minute.incident("mass_death");
    let first = &incident.summary.traits[0];
    assert_eq!(first.value, TraitValue::Route("chat".into()));
    assert_eq!((first.share, first.living), (1.0, Some(0.5)));
}

#[test]
fn what_is_kept_ends_with_the_alert_and_only_20_are_kept() {
    let mut minute = Minute::new(upstreams::fleet());
    let rows: Vec<_> = (0..25)
        .map(|n| {
            let mut row = minute.fleet.sample.upstreams[0].clone();
            row.address = format!("10.0.0.{n}:80");
            row.state = UpstreamCondition::Avoided;
            row
        })
        .collect();
    minute.fleet.sample.upstreams = rows;
    let open = living(40, |_| None);
    (0..3).for_each(|_| minute.evaluate(&open));
    let ids = minute.watchers.incidents();
    assert_eq!(ids, (6..=25).collect::<Vec<u64>>(), "the last 20");
    // What has made room does not come back.
    minute.evaluate(&open);
    assert_eq!(minute.watchers.incidents(), ids);
    for row in &mut minute.fleet.sample.upstreams {
        row.state = UpstreamCondition::Up;
    }
    (0..10).for_each(|_| minute.evaluate(&open));
    let over = minute.watchers.incident(25).expect("it is kept");
    assert!(over.alert.resolved_at.is_some());
    // An end after it belongs to no alert.
    minute.pass(&open, |_, record| {
        record.target = Some(target("chat", "10.0.0.24:80"))
    });
    let later = minute.watchers.incident(25).expect("it is kept");
    assert_eq!((later.summary.ended, later.ends().len()), (0, 0));
    assert_eq!(later.until, over.until);
}

#[test]
fn an_alert_about_something_else_keeps_no_ends() {
    let mut minute = Minute::new(relay_fleet());
    minute.evaluate(&[]);
    minute.fleet.counters().stalls += 1;
    minute.evaluate(&living(3, |_| None));
    assert_eq!(minute.watchers.alerts().all().len(), 1, "loop_stalls");
    assert!(minute.watchers.incidents().is_empty());
}
