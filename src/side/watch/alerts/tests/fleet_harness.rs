//! An invented fleet with a virtual clock.

use super::super::alert_rule::Labels;
use super::super::alert_settings::AlertSettings;
use super::super::alert_table::{Alert, AlertEvent, AlertState};
use super::super::alerting::Evaluator;
use super::super::losses::Loss;
use super::super::sample::{Counters, Sample};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::network_block::NetworkBlock;
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::engine::Ending;
use crate::gateway::{APP, Classes, ClosedConn, GLASSES, Identity, RELAY_CLASSES};
use crate::side::process::MemoryUse;
use std::sync::Arc;

pub(super) const S: fn(u64) -> Micros = Micros::from_secs;

/// Invented counters of a fleet, evaluated every ten seconds with the default settings.
pub(super) struct FleetHarness {
    pub(super) evaluator: Evaluator,
    pub(super) settings: AlertSettings,
    pub(super) sample: Sample,
    /// The reports so far, in order.
    pub(super) reports: Vec<(&'static str, AlertState)>,
    pub(super) events: Vec<AlertEvent>,
    pub(super) losses: u64,
}

/// Returns two classes, as a product registers them.
pub(super) fn classes() -> Classes {
    Classes::new(RELAY_CLASSES)
}

impl FleetHarness {
    /// Creates a fleet of a thousand glasses and a thousand apps, all healthy.
    pub(super) fn new() -> FleetHarness {
        FleetHarness::of(Counters {
            live: vec![1_000, 1_000],
            places: (2_000, 10_000),
            opened: vec![1_000, 1_000],
            ..Counters::zero(classes())
        })
    }

    /// Creates a healthy fleet with these counters.
    pub(super) fn of(counters: Counters) -> FleetHarness {
        let mut fleet = FleetHarness {
            evaluator: Evaluator::default(),
            settings: AlertSettings::default(),
            sample: Sample {
                now: S(1_000),
                wall: UnixMillis(1_750_000_000_000),
                counters: Some(counters),
                fds: Some((100, 1_000)),
                memory: Some(MemoryUse {
                    used: 10,
                    limit: 100,
                    name: "the machine's memory",
                }),
                ..Sample::default()
            },
            reports: Vec::new(),
            events: Vec::new(),
            losses: 0,
        };
        fleet.evaluate_times(30);
        assert_eq!(fleet.reports, [], "all is well");
        fleet
    }

    pub(super) fn counters(&mut self) -> &mut Counters {
        self.sample.counters.as_mut().expect("the loop answers")
    }

    pub(super) fn evaluate(&mut self) {
        self.sample.now += self.settings.interval;
        self.sample.wall.0 += self.settings.interval.as_millis();
        for event in self.evaluator.evaluate(&self.settings, &self.sample) {
            if let AlertEvent::Changed(alert) = &event {
                self.reports.push((alert.name, alert.state));
            }
            self.events.push(event);
        }
    }

    /// Steps the wall clock, forwards or back.
    pub(super) fn step_wall(&mut self, by_s: i64) {
        let wall = &mut self.sample.wall.0;
        *wall = wall.saturating_add_signed(by_s * 1_000);
    }

    /// Evaluates this many times without a change.
    pub(super) fn evaluate_times(&mut self, many: u64) {
        (0..many).for_each(|_| self.evaluate());
    }

    /// Evaluates this many times, with the change before each.
    pub(super) fn evaluate_with(&mut self, many: u64, what: impl Fn(&mut FleetHarness)) {
        for _ in 0..many {
            what(self);
            self.evaluate();
        }
    }

    pub(super) fn last_alert(&self) -> Alert {
        let last = self.events.last().expect("something was told");
        match last {
            AlertEvent::Changed(alert) | AlertEvent::Repeated(alert) => alert.clone(),
        }
    }

    #[track_caller]
    pub(super) fn expect_reports(&mut self, wanted: &[(&'static str, AlertState)]) {
        assert_eq!(self.reports, wanted);
        self.reports.clear();
    }

    #[track_caller]
    pub(super) fn expect_firing(&mut self, name: &'static str) -> Alert {
        self.expect_reports(&[(name, AlertState::Firing)]);
        self.last_alert()
    }

    /// Makes everything healthy again, and asserts that the alert is resolved, once.
    #[track_caller]
    pub(super) fn expect_resolved(&mut self, name: &'static str) {
        self.evaluate_times(30);
        self.expect_reports(&[(name, AlertState::Resolved)]);
        assert!(self.last_alert().resolved_at.is_some());
        assert_eq!(self.evaluator.table.firing().count(), 0);
    }

    /// Loses connections of a class, all from this /24, a millisecond apart.
    pub(super) fn lose(&mut self, class: usize, many: u64, block: u8, cause: Cause) {
        self.lose_of(class, many, block, cause, None);
    }

    /// Loses connections of a class with this user agent, all from this /24, a millisecond apart.
    pub(super) fn lose_of(
        &mut self,
        class: usize,
        many: u64,
        block: u8,
        cause: Cause,
        agent: Option<&str>,
    ) {
        for n in 0..many {
            let at = self.sample.now + Micros::from_millis(n);
            self.losses += 1;
            let address = [10, 0, block, self.losses as u8].into();
            self.evaluator.losses.add(Loss {
                at,
                class,
                identity: self.losses,
                block: NetworkBlock::of(address),
                cause,
                agent: agent.map(Arc::from),
            });
        }
        let counters = self.counters();
        counters.live[class] -= many;
        counters.ended[class] += many;
        let agents = counters.agents[class].iter_mut();
        for count in agents.filter(|count| Some(&*count.name) == agent) {
            count.open -= many;
        }
        if cause == Cause::STALE {
            counters.stale[class] += many;
        }
    }
}

pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(k, v)| (k, v.into())).collect()
}

/// Returns the record of a lost glasses connection, with this user or without an identity.
pub(super) fn lost(user: Option<&str>, at: Micros, n: u64, address: [u8; 4]) -> ClosedConn {
    let identity = user.map(|user| flapping(user, None));
    ClosedConn {
        at: Timestamp {
            raw: at,
            wall: UnixMillis::default(),
        },
        id: ConnId::new(n as u32, 1),
        generated: user.is_some_and(|user| user.starts_with("anonymous-")),
        user: identity.map(|identity| identity.user),
        package: None,
        address: None,
        user_agent: None,
        target: None,
        partner: None,
        end: Ending {
            peer_addr: (address, 4_242).into(),
            age: S(1),
            ..Ending::sample(Cause::PEER_EOF)
        },
        history: None,
        session: None,
        judged: None,
        report: None,
    }
}

pub(super) fn flapping(user: &str, package: Option<&str>) -> Identity {
    Identity {
        user: user.into(),
        class: if package.is_some() { APP } else { GLASSES },
        package: package.map(Box::from),
        address: None,
    }
}
