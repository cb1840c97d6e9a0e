//! Every rule on looks that a test makes up, on a clock of its own: it fires, is silent just below, resolves, and does not flap.

use super::Watch;
use super::book::{ACTIVE_MAX, Alert, AlertState, News, RESOLVED_MAX};
use super::deaths::{Death, block_of};
use super::payload::{self, Sender};
use super::rules::{Labels, RULES, Severity};
use super::sample::{Counters, Sample};
use super::settings::AlertSettings;
use super::sink::{BATCH, Outbox, WAITING_MAX};
use crate::cause::{By, Cause, Code};
use crate::control::process::Memory;
use crate::control::webhooks::DownApp;
use crate::engine::{Class, Traffic};
use crate::gateway::SESSION_ENDED;
use crate::gateway::{AgentCount, Closed, Identity, Role};
use crate::health::Rtt;
use crate::id::ConnId;
use crate::time::{Micros, Moment, UnixMillis};
use serde_json::Value;
use std::sync::Arc;

const S: fn(u64) -> Micros = Micros::from_secs;

/// A fleet of made-up counters, looked at every ten seconds with the default settings.
struct Bench {
    watch: Watch,
    settings: AlertSettings,
    sample: Sample,
    /// What was told, in order.
    told: Vec<(&'static str, AlertState)>,
    news: Vec<News>,
    deaths: u64,
}

impl Bench {
    /// With a thousand glasses and as many apps that are well.
    fn new() -> Bench {
        let counters = Counters {
            live: [1_000, 1_000],
            places: (2_000, 10_000),
            opened: [1_000, 1_000],
            ..Counters::default()
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

    fn counters(&mut self) -> &mut Counters {
        self.sample.counters.as_mut().expect("the loop answers")
    }

    fn look(&mut self) {
        self.sample.now += self.settings.interval;
        self.sample.wall.0 += self.settings.interval.as_millis();
        for news in self.watch.look(&self.settings, &self.sample) {
            if let News::Changed(alert) = &news {
                self.told.push((alert.name, alert.state));
            }
            self.news.push(news);
        }
    }

    /// The wall clock is set, forwards or back.
    fn step_wall(&mut self, by_s: i64) {
        let wall = &mut self.sample.wall.0;
        *wall = wall.saturating_add_signed(by_s * 1_000);
    }

    /// So many looks at what there is.
    fn looks(&mut self, many: u64) {
        (0..many).for_each(|_| self.look());
    }

    /// Each look after something has happened again.
    fn looks_with(&mut self, many: u64, what: impl Fn(&mut Bench)) {
        for _ in 0..many {
            what(self);
            self.look();
        }
    }

    fn alert(&self) -> Alert {
        let last = self.news.last().expect("something was told");
        match last {
            News::Changed(alert) | News::Still(alert) => alert.clone(),
        }
    }

    #[track_caller]
    fn told(&mut self, wanted: &[(&'static str, AlertState)]) {
        assert_eq!(self.told, wanted);
        self.told.clear();
    }

    #[track_caller]
    fn fires(&mut self, name: &'static str) -> Alert {
        self.told(&[(name, AlertState::Firing)]);
        self.alert()
    }

    /// Everything is well again: it is resolved, once.
    #[track_caller]
    fn resolves(&mut self, name: &'static str) {
        self.looks(30);
        self.told(&[(name, AlertState::Resolved)]);
        assert!(self.alert().resolved_at.is_some());
        assert_eq!(self.watch.book.firing().count(), 0);
    }

    /// Connections of a class are lost, all from this /24, a millisecond apart.
    fn lose(&mut self, class: usize, many: u64, block: u8, cause: Cause) {
        self.lose_of(class, many, block, cause, None);
    }

    /// Connections of a class that have this user agent are lost, all from this /24, a millisecond apart.
    fn lose_of(&mut self, class: usize, many: u64, block: u8, cause: Cause, agent: Option<&str>) {
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

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(k, v)| (k, v.into())).collect()
}

use AlertState::{Firing, Resolved};

// ---- each rule ----

#[test]
fn suspects_of_a_class() {
    let mut bench = Bench::new();
    bench.counters().suspects = [99, 99];
    bench.looks(100);
    bench.told(&[]);
    bench.counters().suspects[0] = 100;
    bench.looks(12);
    bench.told(&[]);
    bench.look();
    let alert = bench.fires("many_suspects");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        "10.0 % of glasses are suspect, 100 of 1000 (threshold 10 %)"
    );
    // Up and down between the bounds.
    for n in [99, 101, 80, 150, 81, 99, 100] {
        bench.counters().suspects[0] = n;
        bench.looks(10);
    }
    bench.told(&[]);
    bench.counters().suspects[0] = 79;
    bench.looks(6);
    bench.told(&[]);
    bench.resolves("many_suspects");
}

#[test]
fn a_value_at_the_threshold_does_not_flap() {
    let mut bench = Bench::new();
    for n in 0..1_000 {
        bench.counters().suspects[0] = if n % 2 == 0 { 101 } else { 99 };
        bench.look();
    }
    bench.told(&[]);
    bench.counters().suspects[0] = 101;
    bench.looks(20);
    bench.fires("many_suspects");
    for n in 0..1_000 {
        bench.counters().suspects[0] = if n % 2 == 0 { 101 } else { 60 };
        bench.look();
    }
    bench.told(&[]);
}

#[test]
fn a_handful_of_connections_has_no_share() {
    let mut bench = Bench::new();
    let counters = bench.counters();
    (counters.live[1], counters.suspects[1]) = (49, 49);
    bench.looks(100);
    bench.told(&[]);
}

#[test]
fn a_class_that_is_sent_away_is_not_judged() {
    let mut bench = Bench::new();
    bench.counters().draining = [true; 2];
    bench.counters().suspects[0] = 900;
    bench.looks(100);
    bench.told(&[]);
}

#[test]
fn stale_closes() {
    // One after the other, from everywhere: nothing dies at once.
    let trickle = |n: u64| {
        move |bench: &mut Bench| {
            bench.counters().stale[1] += n;
            bench.counters().ended[1] += n;
        }
    };
    let mut bench = Bench::new();
    bench.looks_with(100, trickle(8));
    bench.told(&[]);
    bench.looks_with(30, trickle(9));
    let alert = bench.fires("stale_closes");
    assert_eq!(alert.labels, labels([("class", "tpa")]));
    assert!(alert.summary.starts_with("5"), "{}", alert.summary);
    bench.resolves("stale_closes");
    // The share is high, but there are few.
    bench.counters().live[1] = 100;
    bench.looks(10);
    bench.looks_with(100, trickle(8));
    bench.told(&[]);
}

#[test]
fn a_mass_death_in_one_block_is_told_once_and_nothing_else_is() {
    let mut bench = Bench::new();
    bench.lose(0, 49, 7, Cause::STALE);
    bench.looks(60);
    bench.told(&[]);
    bench.lose(0, 500, 7, Cause::STALE);
    bench.look();
    let alert = bench.fires("mass_death");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        "500 connections from 10.0.7.0/24 were lost within 20 s, 500 of them of class glasses, all of them stale: it is the \
         network or a proxy, not the peers"
    );
    // All of them come back within a few seconds.
    let counters = bench.counters();
    counters.live[0] += 500;
    counters.opened[0] += 500;
    bench.resolves("mass_death");
}

#[test]
fn a_mass_death_of_a_class_names_the_class() {
    let mut bench = Bench::new();
    for block in 0..100 {
        bench.lose(1, 2, block, Cause::PEER_EOF);
    }
    bench.look();
    let alert = bench.fires("mass_death");
    assert_eq!(alert.labels, labels([("class", "tpa")]));
    assert!(
        alert
            .summary
            .starts_with("200 connections of class tpa from 100 address blocks were lost"),
        "{}",
        alert.summary
    );
    bench.resolves("mass_death");
}

#[test]
fn a_class_that_dies_in_big_blocks_is_told_once() {
    let mut bench = Bench::new();
    for block in 0..5 {
        bench.lose(0, 100, block, Cause::PEER_RESET);
    }
    bench.look();
    let alert = bench.fires("mass_death");
    assert!(
        alert
            .summary
            .starts_with("500 connections of class glasses from 5 address blocks"),
        "{}",
        alert.summary
    );
    bench.resolves("mass_death");
}

#[test]
fn a_mass_death_that_two_looks_see_in_part_is_told_once() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.lose(0, 60, 7, Cause::STALE);
        bench.look();
    }
    bench.fires("mass_death");
    bench.resolves("mass_death");
}

#[test]
fn a_step_of_the_wall_clock_makes_no_mass_death_and_hides_none() {
    for step_s in [-600_i64, 3_600] {
        // 62 that are lost one after the other, over minutes, are no mass death, though the clock steps back meanwhile.
        let mut bench = Bench::new();
        for n in 0..62 {
            if n % 8 == 7 {
                bench.step_wall(step_s);
            }
            bench.lose(0, 1, 7, Cause::STALE);
            bench.looks(2);
        }
        bench.told(&[]);
        // 500 that are lost at once are, though the clock steps before the look.
        bench.lose(0, 500, 9, Cause::STALE);
        bench.step_wall(step_s);
        bench.look();
        bench.fires("mass_death");
        bench.step_wall(step_s);
        bench.counters().live[0] = 1_000;
        bench.resolves("mass_death");
    }
}

#[test]
fn what_is_usual_is_no_mass_death() {
    let mut bench = Bench::new();
    // A proxy's block from which more and more come and go all the time.
    let coming_and_going = |many: u64| {
        move |bench: &mut Bench| {
            bench.lose(0, many, 7, Cause::PEER_EOF);
            bench.counters().live[0] += many;
            bench.counters().opened[0] += many;
        }
    };
    bench.settings.storm_percent = 0;
    for many in [20, 24, 30, 40] {
        bench.looks_with(30, coming_and_going(many));
    }
    bench.told(&[]);
    bench.lose(0, 400, 7, Cause::PEER_EOF);
    bench.look();
    bench.fires("mass_death");
}

/// A fleet of which so many percent of each class have this user agent.
fn fleet_of(agent: &str, percent: u64) -> Bench {
    let mut bench = Bench::new();
    let count = |name, open| AgentCount {
        name: Arc::from(name),
        open,
        suspects: 0,
    };
    let counts = vec![
        count("glasses-os/3.1", 1_000 - 10 * percent),
        count(agent, 10 * percent),
    ];
    bench.counters().agents = [counts.clone(), counts];
    bench.look();
    bench
}

#[test]
fn a_mass_death_of_one_release_names_its_user_agent() {
    let mut bench = fleet_of("glasses-os/3.2", 30);
    for block in 0..95 {
        bench.lose_of(0, 2, block, Cause::PEER_RESET, Some("glasses-os/3.2"));
    }
    bench.lose_of(0, 10, 200, Cause::PEER_RESET, Some("glasses-os/3.1"));
    // They are back at once, most of them of another release.
    bench.counters().agents = Default::default();
    bench.look();
    let alert = bench.fires("mass_death");
    assert_eq!(
        alert.summary,
        "200 connections of class glasses from 96 address blocks were lost within 20 s, all of them peer_reset; 95 % of the \
         losses have the user agent \"glasses-os/3.2\", which at most 30 % of the connections have: look at that client's release"
    );
    assert!(alert.action.contains("user agent"), "{}", alert.action);
    // Within one block it may be either.
    let mut bench = fleet_of("glasses-os/3.2", 30);
    bench.lose_of(0, 100, 7, Cause::STALE, Some("glasses-os/3.2"));
    bench.look();
    let alert = bench.fires("mass_death");
    assert!(
        alert
            .summary
            .starts_with("100 connections from 10.0.7.0/24")
            && alert
                .summary
                .ends_with("look at that client's release, or at this block's network"),
        "{}",
        alert.summary
    );
}

#[test]
fn a_release_that_is_rare_has_no_share_in_the_summary() {
    let mut bench = Bench::new();
    for block in 0..100 {
        bench.lose_of(0, 1, block, Cause::PEER_RESET, Some("rare/1"));
    }
    bench.look();
    let summary = bench.fires("mass_death").summary;
    assert!(
        summary.ends_with(
            "; 100 % of the losses have the user agent \"rare/1\", which is not among the most frequent ones: look at that \
             client's release"
        ),
        "{summary}"
    );
}

#[test]
fn a_user_agent_has_no_words_for_the_operator() {
    let summary = |agent: &str| {
        let mut bench = Bench::new();
        for block in 0..100 {
            bench.lose_of(0, 1, block, Cause::PEER_RESET, Some(agent));
        }
        bench.look();
        bench.fires("mass_death").summary
    };
    let named = |agent: &str| {
        let summary = summary(agent);
        let (_, rest) = summary.split_once("the user agent \"").expect("a name");
        rest.split_once("\", which ").expect("a share").0.to_owned()
    };
    assert_eq!(
        named("glasses-os/3.2 (call 555-1234 at once)"),
        "glasses-os/3.2"
    );
    assert_eq!(named("<b>x</b>\\x1b"), "?b?x?/b??x1b");
    assert_eq!(named(&"x".repeat(128)), "x".repeat(48));
}

#[test]
fn strangers_name_no_user_agent() {
    // Whose connection has no identity, or a name that we gave.
    for name in [None, Some("anonymous-")] {
        let mut bench = Bench::new();
        for n in 0..100 {
            let at = bench.sample.now + Micros::from_millis(n);
            let user = name.map(|name| format!("{name}{n}"));
            let mut closed = lost(user.as_deref(), at, n, [10, n as u8, 7, 1]);
            closed.user_agent = Some("evil/1".into());
            bench.watch.deaths.note([&closed]);
        }
        bench.look();
        let alert = bench.fires("mass_death");
        assert!(!alert.summary.contains("user agent"), "{}", alert.summary);
    }
}

#[test]
fn suspects_of_one_release_name_its_user_agent() {
    let mut bench = fleet_of("glasses-os/3.2", 30);
    bench.counters().suspects[0] = 100;
    let agents = &mut bench.counters().agents[0];
    (agents[0].suspects, agents[1].suspects) = (20, 80);
    bench.looks(13);
    let alert = bench.fires("many_suspects");
    assert_eq!(
        alert.summary,
        "10.0 % of glasses are suspect, 100 of 1000 (threshold 10 %); 80 % of the suspects have the user agent \"glasses-os/3.2\", \
         which at most 30 % of the connections have: look at that client's release"
    );
    bench.counters().agents[0][1].suspects = 79;
    bench.look();
    let all = bench.watch.book.all();
    assert!(!all[0].summary.contains("user agent"), "{}", all[0].summary);
}

#[test]
fn a_release_is_not_blamed_for_what_all_suffer() {
    let blamed = |agent: Option<&str>, percent, lost_of_it| {
        let mut bench = fleet_of(agent.unwrap_or("glasses-os/3.2"), percent);
        for n in 0..100 {
            let agent = agent.filter(|_| n < lost_of_it);
            bench.lose_of(0, 1, n as u8, Cause::PEER_RESET, agent);
        }
        bench.look();
        let summary = bench.fires("mass_death").summary;
        let is_network = summary.ends_with("it is the network or a proxy, not the peers");
        assert_ne!(is_network, summary.contains("user agent"), "{summary}");
        !is_network
    };
    let agent = Some("glasses-os/3.2");
    // Nearly all clients have it, so nearly all losses do.
    assert!(!blamed(agent, 90, 100));
    assert!(!blamed(agent, 81, 100));
    assert!(blamed(agent, 80, 100));
    assert!(blamed(agent, 60, 80));
    assert!(!blamed(agent, 10, 79));
    // Connections without a user agent have nothing in common.
    assert!(!blamed(None, 10, 100));
}

#[test]
fn user_agents_that_are_not_known_are_nobodys() {
    let mut bench = Bench::new();
    for n in 0..100 {
        let at = bench.sample.now + Micros::from_millis(n);
        let mut closed = lost(Some(&format!("user{n}")), at, n, [10, n as u8, 7, 1]);
        closed.user_agent = Some("other".into());
        bench.watch.deaths.note([&closed]);
    }
    bench.look();
    let alert = bench.fires("mass_death");
    assert!(!alert.summary.contains("user agent"), "{}", alert.summary);
}

#[test]
fn stale_closes_of_one_release_name_its_user_agent() {
    let mut bench = fleet_of("app-sdk/2 \"x\"", 20);
    // One after the other, from everywhere, and nothing else of the fleet.
    for n in 0..30 {
        for block in 0..9 {
            bench.lose_of(
                1,
                1,
                9 * (n % 28) + block,
                Cause::STALE,
                Some("app-sdk/2 \"x\""),
            );
        }
        bench.counters().live[1] += 9;
        bench.counters().agents[1][1].open += 9;
        bench.look();
    }
    let alert = bench.fires("stale_closes");
    assert!(
        alert.summary.ends_with(
            "; 100 % of the losses have the user agent \"app-sdk/2\", which at most 20 % of the connections have: look at that \
             client's release"
        ),
        "{}",
        alert.summary
    );
}

/// A connection of these glasses that was lost, or of nobody's.
fn lost(user: Option<&str>, at: Micros, n: u64, address: [u8; 4]) -> Closed {
    let identity = user.map(|user| flapping(user, None));
    Closed {
        at: Moment {
            raw: at,
            wall: UnixMillis::default(),
        },
        id: ConnId::new(n as u32, 1),
        class: Some(Class(0)),
        generated: user.is_some_and(|user| user.starts_with("anonymous-")),
        user: identity.map(|identity| identity.user),
        package: None,
        user_agent: None,
        peer_addr: (address, 4_242).into(),
        cause: Cause::PEER_EOF,
        by: By::Peer,
        lost: true,
        code: Code::None,
        reason: "".into(),
        clean: false,
        age: S(1),
        silence: Micros::ZERO,
        unanswered: 0,
        rtt: Rtt::default(),
        traffic: Traffic::default(),
        history: None,
    }
}

#[test]
fn a_few_who_come_back_all_the_time_are_no_mass_death() {
    let mut bench = Bench::new();
    bench.settings.storm_percent = 0;
    // Four users, sixteen times each, within three seconds; and one without a name.
    for _ in 0..10 {
        for n in 0..80 {
            let user = ["ada", "eve", "bob", "joe", ""][n as usize % 5];
            let user = Some(user).filter(|user| !user.is_empty());
            let at = bench.sample.now + Micros::from_millis(40 * n);
            // As from a radio network, where each time the address is another.
            let address = [10, 0, 7, if user.is_some() { n as u8 } else { 200 }];
            bench.watch.deaths.note([&lost(user, at, n, address)]);
        }
        bench.look();
    }
    bench.told(&[]);
    // The names that we gave are nobody's: whoever has them is known by the address.
    for n in 0..80 {
        let at = bench.sample.now + Micros::from_millis(n);
        let name = format!("anonymous-{n}");
        let closed = lost(Some(&name), at, n, [10, 0, 7, 200]);
        bench.watch.deaths.note([&closed]);
    }
    bench.looks(3);
    bench.told(&[]);
    // As many identities are one, though these four are among them.
    for n in 0..60 {
        let at = bench.sample.now + Micros::from_millis(n);
        let name = format!("user{n}");
        let closed = lost(Some(&name), at, n, [10, 0, 7, 1]);
        bench.watch.deaths.note([&closed]);
    }
    bench.look();
    let alert = bench.fires("mass_death");
    assert!((60.0..70.0).contains(&alert.value), "{}", alert.value);
    bench.resolves("mass_death");
}

#[test]
fn who_leaves_or_is_sent_away_has_not_died() {
    let mut bench = Bench::new();
    let told = |cause: Cause, code| cause.is_loss(Code::Close(code));
    for cause in [
        Cause::PEER_CLOSED,
        Cause::DRAINING,
        Cause::KICKED,
        Cause::REPLACED,
        SESSION_ENDED,
        Cause::SHUTDOWN,
    ] {
        assert!(!told(cause, 1000) && !told(cause, 1001), "{cause}");
    }
    for cause in [Cause::STALE, Cause::PEER_EOF, Cause::PEER_RESET] {
        assert!(cause.is_loss(Code::None), "{cause}");
    }
    assert!(told(Cause::PEER_CLOSED, 1002));
    // A rolling drain of everybody.
    bench.looks_with(50, |bench| {
        bench.counters().live[0] -= 20;
        bench.counters().ended[0] += 20;
    });
    bench.told(&[]);
}

#[test]
fn round_trips() {
    let mut bench = Bench::new();
    let pongs = |slow: u64, us: u64| {
        move |bench: &mut Bench| {
            for _ in 0..1_000 - slow {
                bench.counters().rtt.record(50_000);
            }
            for _ in 0..slow {
                bench.counters().rtt.record(us);
            }
        }
    };
    bench.looks_with(100, pongs(9, 20_000_000));
    bench.looks_with(100, pongs(20, 4_000_000));
    bench.told(&[]);
    bench.looks_with(30, pongs(20, 6_000_000));
    bench.told(&[]);
    bench.looks_with(10, pongs(20, 6_000_000));
    let alert = bench.fires("rtt_high");
    assert!(alert.value >= 5_000.0 && alert.threshold == 5_000.0);
    bench.looks_with(30, pongs(0, 0));
    bench.told(&[("rtt_high", Resolved)]);
    // Slow ones, but hardly any.
    bench.looks_with(100, |bench| bench.counters().rtt.record(60_000_000));
    bench.told(&[]);
}

fn flapping(user: &str, package: Option<&str>) -> Identity {
    Identity {
        user: user.into(),
        role: package.map_or(Role::Glasses, |package| Role::Tpa(package.into())),
    }
}

#[test]
fn flapping_identities_are_named() {
    let mut bench = Bench::new();
    bench.settings.flapping = 2;
    bench.sample.flapping = vec![flapping("ada", Some("org.a"))];
    bench.looks(10);
    bench.told(&[]);
    let users = (0..7).map(|n| flapping(&format!("u{n}"), Some("org.a")));
    bench.sample.flapping = users.collect();
    bench.look();
    let alert = bench.fires("flapping");
    assert_eq!(
        alert.labels,
        labels([("class", "tpa"), ("package", "org.a")])
    );
    assert_eq!(
        alert.summary,
        "org.a of u0, u1, u2, u3, u4 and 2 more come back too often"
    );
    // Let in once, and refused again.
    bench.sample.flapping.clear();
    bench.looks(5);
    bench.sample.flapping = vec![flapping("u1", Some("org.a")), flapping("u2", Some("org.a"))];
    bench.looks(5);
    bench.told(&[]);
    bench.sample.flapping.clear();
    bench.resolves("flapping");
    bench.settings.flapping = 1;
    bench.sample.flapping = vec![
        flapping(&"x".repeat(10_000), None),
        flapping("a\nb", None),
        flapping("eve\u{202e}", None),
    ];
    bench.look();
    let alert = bench.fires("flapping");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        format!(
            "glasses of \"a\\nb\", \"eve\\u{{202e}}\", \"{}…\" come back too often",
            "x".repeat(64)
        )
    );
}

#[test]
fn apps_that_are_down_are_named_each() {
    let mut bench = Bench::new();
    let down = |package: &str| DownApp {
        package: package.into(),
        since: UnixMillis(0),
        last_error: "answered with status 503".into(),
    };
    bench.sample.down = vec![down("org.a"), down("org.b")];
    bench.looks(6);
    bench.told(&[]);
    bench.look();
    bench.told(&[("app_down", Firing), ("app_down", Firing)]);
    assert_eq!(bench.alert().labels, labels([("package", "org.b")]));
    assert_eq!(
        bench.alert().summary,
        "the webhook of org.b fails: answered with status 503"
    );
    bench.sample.down = vec![down("org.a")];
    bench.looks(30);
    bench.told(&[("app_down", Resolved)]);
    bench.settings.app_down = false;
    bench.look();
    bench.told(&[("app_down", Resolved)]);
}

#[test]
fn stalls_of_the_loop() {
    let mut bench = Bench::new();
    bench.settings.stalls = 2;
    let counters = bench.counters();
    (counters.stalls, counters.stalled) = (1, S(6));
    bench.looks(30);
    bench.told(&[]);
    let counters = bench.counters();
    (counters.stalls, counters.stalled) = (3, S(18));
    bench.look();
    let alert = bench.fires("loop_stalls");
    assert_eq!(
        alert.summary,
        "the loop was away 2 times, 12000 ms in all, within 60 s"
    );
    bench.resolves("loop_stalls");
}

#[test]
fn a_loop_that_does_not_answer_is_a_stall_and_nothing_else_changes() {
    let mut bench = Bench::new();
    bench.counters().suspects[0] = 500;
    bench.looks(20);
    bench.fires("many_suspects");
    let counters = bench.sample.counters.take();
    bench.looks(100);
    bench.fires("loop_stalls");
    bench.sample.counters = counters;
    bench.counters().suspects[0] = 0;
    bench.looks(30);
    bench.told(&[("many_suspects", Resolved), ("loop_stalls", Resolved)]);
}

#[test]
fn descriptors() {
    let mut bench = Bench::new();
    bench.sample.fds = Some((899, 1_000));
    bench.looks(30);
    bench.told(&[]);
    bench.sample.fds = Some((900, 1_000));
    bench.looks(10);
    let alert = bench.fires("fds_near_limit");
    assert_eq!(
        alert.summary,
        "900 of 1000 file descriptors are open, 90.0 % (threshold 90 %)"
    );
    bench.sample.fds = Some((730, 1_000));
    bench.looks(30);
    bench.told(&[]);
    // What cannot be read changes nothing.
    bench.sample.fds = None;
    bench.looks(30);
    bench.told(&[]);
    bench.sample.fds = Some((100, 1_000));
    bench.resolves("fds_near_limit");
}

#[test]
fn descriptors_that_have_run_out_are_told_at_once() {
    let mut bench = Bench::new();
    // Some were free again when the figures were read.
    bench.sample.fds = Some((100, 1_000));
    bench.counters().out_of_descriptors = 7;
    bench.look();
    let alert = bench.fires("fds_near_limit");
    assert_eq!(
        alert.summary,
        "accepting failed 7 times within 60 s: file descriptors have run out (threshold 90 %)"
    );
    // It is counted over the window, and needs no figures of the process.
    bench.sample.fds = None;
    bench.looks(5);
    bench.told(&[]);
    bench.sample.fds = Some((100, 1_000));
    bench.resolves("fds_near_limit");
    bench.settings.fds_percent = 0;
    bench.counters().out_of_descriptors = 8;
    bench.looks(30);
    bench.told(&[]);
}

#[test]
fn near_capacity_fires_at_nine_tenths_of_the_connections() {
    let mut bench = Bench::new();
    bench.counters().places = (8_999, 10_000);
    bench.looks(30);
    bench.told(&[]);
    bench.counters().places = (9_000, 10_000);
    bench.looks(6);
    bench.told(&[]);
    bench.look();
    let alert = bench.fires("near_capacity");
    assert_eq!(alert.severity, Severity::Warning);
    assert_eq!(alert.labels, Labels::new());
    assert_eq!(
        alert.summary,
        "9000 of 10000 connections are here, 90.0 % (threshold 90 %)"
    );
    // Between the bounds nothing changes.
    for taken in [8_000, 9_500, 7_200, 10_000, 8_999] {
        bench.counters().places.0 = taken;
        bench.looks(10);
    }
    bench.told(&[]);
    bench.counters().places.0 = 7_199;
    bench.looks(6);
    bench.told(&[]);
    bench.resolves("near_capacity");
    // A full gateway that refuses no newcomer is near its capacity, and nothing worse.
    bench.counters().places.0 = 10_000;
    bench.looks(30);
    bench.fires("near_capacity");
}

#[test]
fn at_capacity_fires_as_soon_as_a_newcomer_is_refused() {
    let mut bench = Bench::new();
    bench.counters().places = (10_000, 10_000);
    bench.counters().refused = 1;
    bench.look();
    let alert = bench.fires("at_capacity");
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(
        alert.summary,
        "1 newcomer was refused within 60 s: 10000 of 10000 connections are here"
    );
    // That it is nearly full is not told as well, though it lasts.
    bench.looks_with(100, |bench| bench.counters().refused += 7);
    bench.told(&[]);
    // Some room, and newcomers are let in: that is over, and what is left of it is told.
    bench.counters().places.0 = 9_500;
    bench.looks(30);
    bench.told(&[("at_capacity", Resolved), ("near_capacity", Firing)]);
    bench.counters().places.0 = 1_000;
    bench.resolves("near_capacity");
    // A threshold of its own, and off.
    bench.settings.refused = 100;
    bench.counters().refused += 99;
    bench.looks(5);
    bench.told(&[]);
    bench.counters().refused += 1;
    bench.look();
    bench.fires("at_capacity");
    bench.settings.refused = 0;
    bench.look();
    bench.told(&[("at_capacity", Resolved)]);
}

/// A full house under a cap that the descriptors set: so many are open, and it is one story.
fn full_house() -> Bench {
    let mut bench = Bench::new();
    bench.settings.capped_by_descriptors = true;
    bench.counters().places = (9_500, 9_800);
    bench.sample.fds = Some((9_540, 10_000));
    bench
}

#[test]
fn descriptors_that_connections_have_taken_are_explained_by_the_capacity() {
    let mut bench = full_house();
    bench.looks(100);
    let alert = bench.fires("near_capacity");
    assert_eq!(
        alert.summary,
        "9500 of 9800 connections are here, 96.9 % (threshold 90 %); the file descriptors allow no more"
    );
    bench.counters().places.0 = 9_800;
    bench.sample.fds = Some((9_860, 10_000));
    bench.looks_with(100, |bench| bench.counters().refused += 1);
    // The first is over as soon as the second tells it, and the receiver of both hears so.
    bench.told(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    let last = bench.watch.book.all().pop().expect("it is remembered");
    assert_eq!((last.name, last.value), ("near_capacity", 100.0));
    assert_eq!(
        last.summary,
        "9800 of 9800 connections are here, 100.0 % (threshold 90 %); the file descriptors allow no more; told as at_capacity"
    );
    // The same of a house that is full at once.
    let mut bench = full_house();
    bench.counters().places.0 = 9_800;
    bench.looks_with(100, |bench| bench.counters().refused += 1);
    bench.fires("at_capacity");
}

#[test]
fn an_alert_that_fired_first_ends_when_what_explains_it_fires() {
    let firing = |bench: &Bench| -> Vec<&str> {
        let firing = bench.watch.book.firing();
        firing.map(|alert| alert.name).collect()
    };
    // Descriptors first, then the connections that have taken them, then newcomers are refused.
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    bench.counters().places.0 = 9_500;
    bench.looks(30);
    bench.told(&[("near_capacity", Firing), ("fds_near_limit", Resolved)]);
    bench.counters().refused += 1;
    bench.look();
    bench.told(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    assert_eq!(firing(&bench), ["at_capacity"]);
    // Accepting fails: that is told beside it, for as long as it is within the window.
    bench.counters().out_of_descriptors = 1;
    bench.look();
    bench.fires("fds_near_limit");
    bench.looks_with(5, |bench| bench.counters().refused += 1);
    assert_eq!(firing(&bench), ["at_capacity", "fds_near_limit"]);
    bench.looks_with(5, |bench| bench.counters().refused += 1);
    bench.told(&[("fds_near_limit", Resolved)]);
    // Also one that is about to be resolved, and one whose figures cannot be read.
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    bench.counters().places.0 = 9_500;
    bench.looks(7);
    bench.told(&[("near_capacity", Firing), ("fds_near_limit", Resolved)]);
    bench.counters().places.0 = 100;
    bench.sample.fds = None;
    bench.looks(3);
    bench.counters().refused += 1;
    bench.look();
    bench.told(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    bench.sample.fds = None;
    bench.counters().refused += 1;
    bench.look();
    bench.told(&[("at_capacity", Firing), ("fds_near_limit", Resolved)]);
    // A mass death ends nothing that was there before it.
    let mut bench = Bench::new();
    bench.counters().suspects[1] = 500;
    bench.looks(30);
    bench.fires("many_suspects");
    bench.lose(0, 500, 7, Cause::STALE);
    bench.look();
    bench.fires("mass_death");
    assert_eq!(firing(&bench), ["mass_death", "many_suspects"]);
}

#[test]
fn what_is_resolved_has_the_value_and_the_summary_of_one_moment() {
    let mut bench = Bench::new();
    bench.counters().places = (10_000, 10_000);
    bench.counters().refused = 7;
    bench.look();
    let fired = bench.fires("at_capacity");
    bench.counters().places.0 = 1_000;
    bench.resolves("at_capacity");
    // They are counted for a minute.
    let resolved = bench.alert();
    assert_eq!(
        (resolved.value, resolved.threshold),
        (fired.value, fired.threshold)
    );
    assert_eq!(
        resolved.summary,
        "7 newcomers were refused within 60 s: 1000 of 10000 connections are here"
    );
    // One of which the rule says nothing any more.
    bench.sample.flapping = vec![flapping("ada", None), flapping("eve", None)];
    bench.look();
    bench.fires("flapping");
    bench.sample.flapping.pop();
    bench.look();
    bench.sample.flapping.clear();
    bench.resolves("flapping");
    let resolved = bench.alert();
    assert_eq!(resolved.value, 1.0);
    assert_eq!(resolved.summary, "glasses of ada come back too often");
}

#[test]
fn descriptors_are_told_where_the_capacity_does_not_explain_them() {
    // The cap is lower than the descriptors allow.
    let mut bench = full_house();
    bench.settings.capped_by_descriptors = false;
    bench.looks(30);
    bench.told(&[("near_capacity", Firing), ("fds_near_limit", Firing)]);
    // Connections are few: something else has taken them.
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    // No connection is named.
    let mut bench = full_house();
    bench.settings.capacity_percent = 0;
    bench.looks(30);
    bench.fires("fds_near_limit");
    // Under a cap that leaves room for the rest they do not run out.
    let mut bench = full_house();
    bench.looks(30);
    bench.fires("near_capacity");
    bench.counters().out_of_descriptors = 1;
    bench.look();
    bench.fires("fds_near_limit");
}

#[test]
fn memory_says_which_limit() {
    let mut bench = Bench::new();
    let memory = |used: u64| Memory {
        used: used << 20,
        limit: 1_000 << 20,
        of: "the cgroup's limit",
    };
    bench.sample.memory = Some(memory(899));
    bench.looks(30);
    bench.told(&[]);
    bench.sample.memory = Some(memory(950));
    bench.looks(10);
    let alert = bench.fires("memory_near_limit");
    assert_eq!(
        alert.summary,
        "950 MiB of 1000 MiB are used, 95.0 % of the cgroup's limit (threshold 90 %)"
    );
    bench.sample.memory = Some(memory(100));
    bench.resolves("memory_near_limit");
}

#[test]
fn a_storm_is_who_comes_and_goes() {
    let mut bench = Bench::new();
    let churn = |n: u64| {
        move |bench: &mut Bench| {
            bench.counters().opened[0] += n;
            bench.counters().ended[0] += n;
        }
    };
    bench.looks_with(100, churn(83));
    bench.told(&[]);
    bench.looks_with(18, churn(84));
    bench.told(&[]);
    bench.looks_with(10, churn(84));
    let alert = bench.fires("reconnect_storm");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    bench.resolves("reconnect_storm");
    // A fleet that comes up is none, however fast.
    for _ in 0..40 {
        let more = bench.counters().live[0] / 5;
        bench.counters().opened[0] += more;
        bench.counters().live[0] += more;
        bench.look();
    }
    bench.told(&[]);
}

// ---- the book ----

#[test]
fn a_threshold_of_zero_is_off_and_a_reload_applies() {
    let mut bench = Bench::new();
    bench.counters().suspects[0] = 500;
    bench.looks(20);
    bench.fires("many_suspects");
    bench.settings.suspects_percent = 60;
    bench.looks(10);
    bench.told(&[]);
    bench.settings.suspects_percent = 80;
    bench.looks(10);
    bench.told(&[("many_suspects", Resolved)]);
    bench.settings.suspects_percent = 10;
    bench.looks(20);
    bench.fires("many_suspects");
    bench.settings.suspects_percent = 0;
    bench.look();
    bench.told(&[("many_suspects", Resolved)]);
    bench.settings.suspects_percent = 10;
    bench.looks(20);
    bench.fires("many_suspects");
    bench.settings.on = false;
    bench.sample.counters = None;
    bench.look();
    bench.told(&[("many_suspects", Resolved)]);
    bench.looks(100);
    bench.told(&[]);
}

#[test]
fn what_still_fires_is_told_again_and_no_more_often() {
    let mut bench = Bench::new();
    bench.counters().suspects[0] = 500;
    bench.looks(20);
    bench.news.clear();
    // Twelve hours and a bit.
    bench.looks(6 * 60 * 12 + 10);
    assert_eq!(bench.news.len(), 3);
    let is_still = |news: &News| matches!(news, News::Still(alert) if alert.state == Firing);
    assert!(bench.news.iter().all(is_still));
}

#[test]
fn the_book_is_bounded() {
    let mut bench = Bench::new();
    bench.settings.app_down_for = Micros::ZERO;
    bench.settings.resolve = Micros::ZERO;
    let many = ACTIVE_MAX + 10;
    let down = |n: usize| DownApp {
        package: format!("p{n}").into(),
        since: UnixMillis(0),
        last_error: "-".into(),
    };
    bench.sample.down = (0..many).map(down).collect();
    bench.looks(2);
    assert_eq!(bench.told.len(), ACTIVE_MAX);
    assert_eq!(bench.watch.book.refused, 20);
    assert_eq!(bench.watch.book.all().len(), ACTIVE_MAX);
    bench.sample.down.clear();
    bench.looks(2);
    assert_eq!(bench.told.len(), 2 * ACTIVE_MAX);
    assert_eq!(bench.watch.book.all().len(), RESOLVED_MAX);
}

#[test]
fn the_rules_are_fit_to_be_shown() {
    for (nth, rule) in RULES.iter().enumerate() {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(rule.name.chars().all(is_plain), "{}", rule.name);
        assert!(rule.action.ends_with('.') && !rule.action.contains(". "));
        assert!(RULES[..nth].iter().all(|other| other.name != rule.name));
        assert!((rule.threshold)(&AlertSettings::default()) > 0.0);
    }
}

/// The handbook of alerts has each of them, and no other.
#[test]
fn the_handbook_has_every_alert() {
    let page = include_str!("../../../docs/alerts.md");
    let (_, rest) = page.split_once("<!-- rules:begin -->").expect("a begin");
    let (rows, _) = rest.split_once("<!-- rules:end -->").expect("an end");
    let names = rows.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut names: Vec<&str> = names.filter_map(|line| line.split('`').next()).collect();
    let mut wanted: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}

// ---- telling ----

fn alert(name: &'static str, package: &str, state: AlertState) -> Alert {
    Alert {
        name,
        labels: labels([("package", package)]),
        severity: Severity::Warning,
        state,
        since: UnixMillis(1_750_000_000_000),
        resolved_at: (state == Resolved).then_some(UnixMillis(1_750_000_060_000)),
        value: 1.0,
        threshold: 1.0,
        summary: format!("{package} is down"),
        action: "Do something.",
    }
}

#[test]
fn only_the_newest_state_of_an_alert_waits() {
    let mut outbox = Outbox::default();
    outbox.put(alert("a", "1", Firing));
    outbox.put(alert("b", "1", Firing));
    outbox.put(alert("a", "2", Firing));
    let batch = outbox.take();
    assert_eq!(batch, [alert("a", "1", Firing), alert("a", "2", Firing)]);
    // It could not be told, and one of them is over meanwhile.
    outbox.put(alert("a", "1", Resolved));
    outbox.put_back(batch);
    assert_eq!(outbox.take(), [alert("b", "1", Firing)]);
    assert_eq!(
        outbox.take(),
        [alert("a", "1", Resolved), alert("a", "2", Firing)]
    );
    assert_eq!(outbox.take(), []);
}

#[test]
fn what_waits_is_bounded_and_what_fires_is_kept() {
    let mut outbox = Outbox::default();
    let many = 3 * WAITING_MAX;
    for n in 0..many {
        let state = if n % 3 == 0 { Firing } else { Resolved };
        outbox.put(alert("a", &format!("p{n}"), state));
    }
    let (mut waited, mut firing) = (0, 0);
    loop {
        let batch = outbox.take();
        if batch.is_empty() {
            break;
        }
        assert!(batch.len() <= BATCH);
        waited += batch.len();
        firing += batch.iter().filter(|a| a.state == Firing).count();
    }
    assert_eq!((waited, firing), (WAITING_MAX, WAITING_MAX));
}

#[test]
fn the_body_is_alertmanagers() {
    let sender = Sender {
        instance: "gate-1:8002".to_owned(),
        url: "http://127.0.0.1:9002".to_owned(),
    };
    let alerts = [
        alert("app_down", "org.a", Firing),
        alert("app_down", "org.b", Resolved),
    ];
    let body = payload::body(&alerts, &sender);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let fingerprint = |nth: usize| body["alerts"][nth]["fingerprint"].clone();
    assert_ne!(fingerprint(0), fingerprint(1));
    assert_eq!(fingerprint(0).as_str().map(str::len), Some(16));
    let item = |nth: usize, package: &str, status: &str, ends: &str| {
        serde_json::json!({
            "status": status,
            "labels": {
                "alertname": "app_down", "instance": "gate-1:8002", "package": package, "severity": "warning",
            },
            "annotations": { "action": "Do something.", "summary": format!("{package} is down") },
            "startsAt": "2025-06-15T15:06:40.000Z",
            "endsAt": ends,
            "generatorURL": "http://127.0.0.1:9002/api/v1/alerts",
            "fingerprint": fingerprint(nth),
        })
    };
    assert_eq!(
        body,
        serde_json::json!({
            "version": "4",
            "groupKey": "{}:{alertname=\"app_down\"}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "pulsegate",
            "groupLabels": { "alertname": "app_down" },
            "commonLabels": { "alertname": "app_down", "instance": "gate-1:8002", "severity": "warning" },
            "commonAnnotations": { "action": "Do something." },
            "externalURL": "http://127.0.0.1:9002",
            "alerts": [
                item(0, "org.a", "firing", "0001-01-01T00:00:00Z"),
                item(1, "org.b", "resolved", "2025-06-15T15:07:40.000Z"),
            ],
        })
    );
    let body = payload::body(&alerts[1..], &sender);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["status"], "resolved");
}

// ---- a fleet that is well ----

/// A day and a night with everything that happens to a healthy fleet, behind one proxy's block: nothing is told.
#[test]
fn a_healthy_day_is_silent() {
    let mut random = fastrand::Rng::with_seed(6);
    for most in [3, 20, 60, 300, 2_000, 18_000] {
        let mut bench = Bench::new();
        bench.watch = Watch::default();
        *bench.counters() = Counters::default();
        let (looks, mut lost) = (6 * 60 * 24, 0.0);
        for look in 0..looks {
            // Ten at night to six in the morning there is a third; all come within the first minutes.
            let hour = look as f64 / 360.0;
            let share = if hour < 16.0 { 1.0 } else { 0.33 };
            let wanted = (most as f64 * share) as u64;
            for class in 0..2 {
                let live = bench.counters().live[class];
                let pace = (most / 30).max(1);
                let (come, leave) = (
                    wanted.saturating_sub(live).min(pace),
                    live.saturating_sub(wanted).min(pace / 10 + 1),
                );
                // One in fifty a minute leaves and comes back; one in two hundred is lost.
                let churn = live / 300;
                lost += live as f64 / 1_200.0 * random.f64() * 2.0;
                let losses = (lost as u64).min(live - leave);
                lost -= losses as f64;
                bench.lose(class, losses, 1, Cause::STALE);
                let counters = bench.counters();
                counters.live[class] = counters.live[class] + come + losses - leave;
                counters.opened[class] += come + churn + losses;
                counters.ended[class] += leave + churn;
                counters.suspects[class] = counters.live[class] * random.u64(0..4) / 100;
                let pongs = counters.live[class];
                for _ in 0..pongs.min(200) {
                    let slow = random.u32(0..200) == 0;
                    let us = if slow { 6_000_000 } else { 80_000 };
                    counters.rtt.record(us);
                }
            }
            bench.look();
        }
        assert_eq!(bench.told, [], "{most}");
    }
}
