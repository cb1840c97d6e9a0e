//! An invented fleet with a virtual clock.

use super::super::alerting::Watch;
use super::super::book::{Alert, AlertState, News};
use super::super::deaths::{Death, block_of};
use super::super::rule::Labels;
use super::super::sample::{Counters, Sample};
use super::super::settings::AlertSettings;
use crate::base::cause::{Cause, EndCode, EndedBy};
use crate::base::id::ConnId;
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::engine::{Class, Ending, Traffic};
use crate::gateway::{APP, Classes, Closed, GLASSES, Identity, RELAY_CLASSES};
use crate::health::Rtt;
use crate::side::process::Memory;
use std::sync::Arc;

pub(super) const S: fn(u64) -> Micros = Micros::from_secs;

/// Invented counters of a fleet, evaluated every ten seconds with the default settings.
pub(super) struct Bench {
    pub(super) watch: Watch,
    pub(super) settings: AlertSettings,
    pub(super) sample: Sample,
    /// The reports so far, in order.
    pub(super) told: Vec<(&'static str, AlertState)>,
    pub(super) news: Vec<News>,
    pub(super) deaths: u64,
}

/// Returns two classes, as a product registers them.
pub(super) fn classes() -> Classes {
    Classes::new(RELAY_CLASSES)
}

impl Bench {
    /// Creates a fleet of a thousand glasses and a thousand apps, all healthy.
    pub(super) fn new() -> Bench {
        let counters = Counters {
            live: vec![1_000, 1_000],
            places: (2_000, 10_000),
            opened: vec![1_000, 1_000],
            ..Counters::none(classes())
        };
        let mut bench = Bench {
            watch: Watch::default(),
            settings: AlertSettings::default(),
            sample: Sample {
                now: S(1_000),
                wall: UnixMillis(1_750_000_000_000),
                counters: Some(counters),
                fds: Some((100, 1_000)),
                memory: Some(Memory {
                    used: 10,
                    limit: 100,
                    of: "the machine's memory",
                }),
                ..Sample::default()
            },
            told: Vec::new(),
            news: Vec::new(),
            deaths: 0,
        };
        bench.looks(30);
        assert_eq!(bench.told, [], "all is well");
        bench
    }

    pub(super) fn counters(&mut self) -> &mut Counters {
        self.sample.counters.as_mut().expect("the loop answers")
    }

    pub(super) fn look(&mut self) {
        self.sample.now += self.settings.interval;
        self.sample.wall.0 += self.settings.interval.as_millis();
        for news in self.watch.look(&self.settings, &self.sample) {
            if let News::Changed(alert) = &news {
                self.told.push((alert.name, alert.state));
            }
            self.news.push(news);
        }
    }

    /// Steps the wall clock, forwards or back.
    pub(super) fn step_wall(&mut self, by_s: i64) {
        let wall = &mut self.sample.wall.0;
        *wall = wall.saturating_add_signed(by_s * 1_000);
    }

    /// Evaluates this number of looks without a change.
    pub(super) fn looks(&mut self, many: u64) {
        (0..many).for_each(|_| self.look());
    }

    /// Evaluates this number of looks, with the change before each.
    pub(super) fn looks_with(&mut self, many: u64, what: impl Fn(&mut Bench)) {
        for _ in 0..many {
            what(self);
            self.look();
        }
    }

    pub(super) fn alert(&self) -> Alert {
        let last = self.news.last().expect("something was told");
        match last {
            News::Changed(alert) | News::Still(alert) => alert.clone(),
        }
    }

    #[track_caller]
    pub(super) fn told(&mut self, wanted: &[(&'static str, AlertState)]) {
        assert_eq!(self.told, wanted);
        self.told.clear();
    }

    #[track_caller]
    pub(super) fn fires(&mut self, name: &'static str) -> Alert {
        self.told(&[(name, AlertState::Firing)]);
        self.alert()
    }

    /// Makes everything healthy again, and asserts that the alert is resolved, once.
    #[track_caller]
    pub(super) fn resolves(&mut self, name: &'static str) {
        self.looks(30);
        self.told(&[(name, AlertState::Resolved)]);
        assert!(self.alert().resolved_at.is_some());
        assert_eq!(self.watch.book.firing().count(), 0);
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
            self.deaths += 1;
            let address = [10, 0, block, self.deaths as u8].into();
            self.watch.deaths.add(Death {
                at,
                class,
                who: self.deaths,
                block: block_of(address),
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
pub(super) fn lost(user: Option<&str>, at: Micros, n: u64, address: [u8; 4]) -> Closed {
    let identity = user.map(|user| flapping(user, None));
    Closed {
        at: Timestamp {
            raw: at,
            wall: UnixMillis::default(),
        },
        id: ConnId::new(n as u32, 1),
        generated: user.is_some_and(|user| user.starts_with("anonymous-")),
        user: identity.map(|identity| identity.user),
        package: None,
        user_agent: None,
        end: Ending {
            class: Some(Class(0)),
            peer_addr: (address, 4_242).into(),
            cause: Cause::PEER_EOF,
            by: EndedBy::Peer,
            lost: true,
            code: EndCode::None,
            reason: "".into(),
            clean: false,
            age: S(1),
            silence: Micros::ZERO,
            unanswered: 0,
            rtt: Rtt::default(),
            traffic: Traffic::default(),
            unsent: 0,
        },
        history: None,
    }
}

pub(super) fn flapping(user: &str, package: Option<&str>) -> Identity {
    Identity {
        user: user.into(),
        class: if package.is_some() { APP } else { GLASSES },
        package: package.map(Box::from),
    }
}
