//! The health of a connection: tables to read, and a specification to compare with.
//!
//! The tables show, to the microsecond, when heartbeats are sent and when a peer becomes suspect,
//! healthy again and stale. They cover both heartbeat modes, and time in which our own bytes have
//! to wait. Thousands of random histories are compared with a list of what happened. Further tests
//! show that first pings are spread, and which pongs yield a round-trip time.
//!
//! All times are virtual. A failure names its seed; `SEED=n cargo test --all-features --test engine
//! health` runs that one alone.

use fastrand::Rng;
use pulsegate::health::{Health, HealthAction, HealthChange, HealthState, HeartbeatMode, Policy};
use pulsegate::time::Micros;

// Tables. Policy: the defaults, a ping every 15 s, stale after 45 s.

#[test]
fn a_ghost_is_suspect_at_30_s_and_stale_at_45_s() {
    let mut peer = Peer::new();
    //          at, s        what is done        the new state, and the next look
    peer.looks(15.000_000, Does::Pings);
    peer.is(15.000_000, HealthState::Healthy, 1, 30.0);
    peer.looks(29.999_999, Does::Nothing);
    peer.looks(30.000_000, Does::PingsAndSuspects);
    peer.is(30.000_000, HealthState::Suspect, 2, 45.0);
    peer.looks(44.999_999, Does::Nothing);
    peer.looks(45.000_000, Does::Stale);
}

#[test]
fn with_its_first_ping_at_p_a_ghost_is_suspect_at_p_and_15_s() {
    for seed in 0..1_000 {
        let mut peer = Peer::with_seed(Policy::default(), seed);
        let p = seconds(peer.due());
        assert!(p > 0.0 && p <= 15.0, "within an interval: {p}");
        peer.looks(p - 0.000_001, Does::Nothing);
        peer.looks(p, Does::Pings);
        peer.looks(p + 14.999_999, Does::Nothing);
        peer.looks(p + 15.0, Does::PingsAndSuspects);
        if p + 30.0 < 45.0 {
            peer.looks(p + 30.0, Does::Pings);
            peer.is(p + 30.0, HealthState::Suspect, 3, 45.0);
        }
        peer.looks(44.999_999, Does::Nothing);
        peer.looks(45.0, Does::Stale);
    }
}

#[test]
fn a_peer_that_answers_is_pinged_every_interval_and_never_suspect() {
    let mut peer = Peer::new();
    for round in 1..1_000 {
        let at = 15.0 * f64::from(round);
        peer.looks(at, Does::Pings);
        peer.is(at, HealthState::Healthy, 1, at + 15.0);
        peer.answers(at + 0.050, 0.050);
        peer.is(at + 0.050, HealthState::Healthy, 0, at + 15.0);
        assert_eq!(peer.health.rtt().srtt_us(), Some(50_000));
    }
}

#[test]
fn a_suspect_that_is_heard_is_healthy_at_once() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.looks(30.0, Does::PingsAndSuspects);
    let change = peer.health.on_heard(at(37.0)).expect("a change");
    assert_eq!(
        (change.state, change.silence, change.unanswered),
        (HealthState::Healthy, at(37.0), 2)
    );
    peer.is(37.0, HealthState::Healthy, 0, 45.0);
    peer.looks(45.0, Does::Pings);
    peer.looks(60.0, Does::PingsAndSuspects);
    peer.looks(75.0, Does::Pings);
    peer.is(75.0, HealthState::Suspect, 3, 82.0);
    peer.looks(82.0, Does::Stale);
}

#[test]
fn patience_is_counted_in_unanswered_pings() {
    let mut peer = Peer::with(|policy| {
        policy.suspect_after = 3;
        policy.connection_timeout = at(300.0);
    });
    peer.looks(15.0, Does::Pings);
    peer.looks(30.0, Does::Pings);
    peer.looks(45.0, Does::Pings);
    peer.looks(60.0, Does::PingsAndSuspects);
    peer.looks(75.0, Does::Pings);
}

#[test]
fn in_idle_mode_a_talker_is_pinged_once_and_then_only_when_it_falls_silent() {
    let mut peer = Peer::with(|policy| policy.mode = HeartbeatMode::Idle);
    for second in 1..15 {
        assert_eq!(peer.health.on_heard(at(f64::from(second))), None);
    }
    peer.looks(15.0, Does::Pings); // the first is sent in both modes: it spreads the later ones
    for second in 16..=100 {
        let now = f64::from(second);
        assert_eq!(peer.health.on_heard(at(now)), None);
        peer.is(now, HealthState::Healthy, 0, now + 15.0);
        peer.looks(now + 0.5, Does::Nothing);
    }
    peer.looks(115.0, Does::Pings);
    peer.looks(130.0, Does::PingsAndSuspects);
    peer.looks(145.0, Does::Stale);
}

// Our own bytes have to wait, and heartbeats behind them.

#[test]
fn a_heartbeat_is_not_queued_behind_another_and_waits_its_interval_from_when_it_left() {
    let mut peer = Peer::with(|policy| policy.connection_timeout = at(300.0));
    peer.asks(15.0);
    let payload = peer.health.ping_payload();
    peer.health.on_progress(at(29.0));
    peer.looks(30.0, Does::Waits);
    peer.looks(44.999_999, Does::Nothing);
    peer.health.on_progress(at(44.0));
    peer.looks(45.0, Does::Waits); // not suspect: a ping that is not sent cannot be answered
    assert_eq!(peer.health.ping_payload(), payload, "still the same ping");
    peer.health.on_progress(at(52.0));
    peer.leaves(52.0);
    peer.is(52.0, HealthState::Healthy, 1, 67.0);
    peer.looks(67.0, Does::PingsAndSuspects);
}

#[test]
fn a_frozen_peer_is_suspect_though_no_ping_leaves() {
    let mut peer = Peer::with(|policy| policy.connection_timeout = at(300.0));
    peer.asks(15.0);
    peer.looks(29.999_999, Does::Nothing);
    peer.looks(30.0, Does::Suspects);
    peer.is(30.0, HealthState::Suspect, 0, 45.0);
    assert!(peer.health.on_heard(at(31.0)).is_some(), "it was only slow");
    peer.looks(45.0, Does::Waits);
    peer.looks(60.0, Does::Suspects);
}

#[test]
fn patience_is_counted_in_intervals_that_a_ping_has_waited_too() {
    let mut peer = Peer::with(|policy| {
        policy.suspect_after = 3;
        policy.connection_timeout = at(300.0);
    });
    peer.looks(15.0, Does::Pings);
    peer.asks(30.0);
    let mut heard = peer.clone();
    peer.looks(45.0, Does::Waits); // one that was sent, and one interval
    peer.looks(60.0, Does::Suspects);

    let mut moved = heard.clone();
    moved.looks(45.0, Does::Waits);
    moved.health.on_progress(at(45.0)); // only intervals without movement count
    moved.looks(60.0, Does::Waits);
    moved.looks(75.0, Does::Suspects);

    heard.looks(45.0, Does::Waits);
    assert_eq!(heard.health.on_heard(at(45.0)), None);
    heard.looks(60.0, Does::Waits);
    heard.looks(75.0, Does::Waits);
    heard.looks(90.0, Does::Suspects);
}

#[test]
fn a_ghost_with_blocked_output_is_suspect_after_an_interval_without_movement_and_stale_later() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.health.on_progress(at(29.0));
    peer.asks(30.0); // not suspect yet; and this ping waits
    peer.is(30.0, HealthState::Healthy, 1, 45.0);
    peer.looks(44.999_999, Does::Nothing);
    peer.looks(45.0, Does::Suspects); // without another ping
    peer.is(45.0, HealthState::Suspect, 1, 60.0);
    peer.looks(60.0, Does::Waits);
    peer.is(60.0, HealthState::Suspect, 1, 74.0);
    peer.looks(73.999_999, Does::Nothing);
    peer.looks(74.0, Does::Stale);
}

#[test]
fn bytes_that_moved_within_an_interval_defer_suspicion_by_one() {
    for (moved, at_30, at_45) in [
        (15.0, Does::PingsAndSuspects, Does::Pings),
        (15.000_001, Does::Pings, Does::PingsAndSuspects),
        (30.0, Does::Pings, Does::PingsAndSuspects),
    ] {
        let mut peer = Peer::new();
        peer.looks(15.0, Does::Pings);
        peer.health.on_progress(at(moved));
        peer.health.on_progress(at(14.0)); // reported late: changes nothing
        peer.looks(30.0, at_30);
        peer.looks(45.0, at_45);
        assert_eq!(peer.health.stale_at(&peer.policy), at(moved + 45.0));
    }
}

#[test]
fn a_slow_peer_has_time_to_answer_when_all_that_waited_has_left() {
    let mut slow = Peer::new();
    slow.looks(15.0, Does::Pings);
    for second in 16..60 {
        slow.health.on_progress(at(f64::from(second))); // a message of ours, 45 seconds long
        match second {
            30 => slow.asks(30.0),
            45 => slow.looks(45.0, Does::Waits),
            _ => slow.looks(f64::from(second), Does::Nothing),
        }
    }
    slow.health.on_progress(at(60.0));
    slow.leaves(60.0);
    slow.is(60.0, HealthState::Healthy, 2, 75.0);
    slow.looks(74.999_999, Does::Nothing);

    let mut ghost = slow.clone();
    ghost.looks(75.0, Does::PingsAndSuspects);
    ghost.looks(90.0, Does::Pings);
    ghost.looks(104.999_999, Does::Nothing);
    ghost.looks(105.0, Does::Stale);

    slow.answers(74.999_999, 14.999_999);
    slow.looks(75.0, Does::Pings);
    slow.is(75.0, HealthState::Healthy, 1, 90.0);
}

#[test]
fn whenever_the_last_byte_moves_suspicion_and_death_count_from_there() {
    for_seeds(3_000, |rng| {
        let policy = Policy {
            suspect_after: 1,
            ..some_policy(rng)
        };
        let (interval, timeout) = (policy.heartbeat_interval, policy.connection_timeout);
        let mut health = Health::new(&policy, Micros(rng.u64(1..1 << 50)), rng.u64(..));
        let mut moved = health.due(&policy);
        let pings = HealthAction::Heartbeat {
            ping: true,
            change: None,
        };
        assert_eq!(health.on_due(&policy, moved), pings);
        health.on_ping_sent(&policy, moved, false);
        health.on_progress(moved);
        let gap = Micros(rng.u64(1..=interval.0));
        let mut moves = rng.u64(1..60); // within the hour that movement counts for
        let (mut asked, mut suspect) = (0, None);
        let stale = loop {
            let due = health.due(&policy);
            if moves > 0 && moved + gap <= due {
                moves -= 1;
                moved += gap;
                health.on_progress(moved);
                continue;
            }
            match health.on_due(&policy, due) {
                HealthAction::None => panic!("nothing to do when due"),
                HealthAction::Stale => break due,
                HealthAction::Heartbeat { ping, change } => {
                    asked += u8::from(ping);
                    suspect = suspect.or(change.map(|_| due));
                }
            }
        };
        assert_eq!((moves, stale), (0, moved + timeout));
        assert!(asked <= 1, "{asked} pings queued");
        match suspect {
            Some(at) => assert!(moved + interval <= at && at < moved + interval + interval),
            None => assert!(timeout < interval + interval, "never suspect"),
        }
    });
}

#[test]
fn under_a_shorter_policy_a_peer_has_an_interval_to_be_pinged_and_a_timeout_to_be_heard() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.answers(15.1, 0.1);
    peer.changes(28.0, 2.0, 6.0);
    let ping = seconds(peer.due());
    assert!(ping > 28.0 && ping <= 30.0, "within an interval: {ping}");
    peer.looks(ping, Does::Pings);
    let mut ghost = peer.clone();
    ghost.looks(ping + 2.0, Does::PingsAndSuspects);
    ghost.looks(33.999_999, Does::Pings);
    ghost.looks(34.0, Does::Stale);
    peer.answers(ping + 0.1, 0.1);
    peer.looks(ping + 2.0, Does::Pings);
}

#[test]
fn a_new_policy_gives_no_peer_more_time_than_the_former_one() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.looks(30.0, Does::PingsAndSuspects);
    // Not 40 s from now: it would have been stale at 45 s.
    peer.changes(44.0, 15.0, 40.0);
    peer.looks(44.999_999, Does::Nothing);
    peer.looks(45.0, Does::Stale);
}

#[test]
fn a_ping_that_is_on_its_way_has_one_of_the_new_intervals_to_be_answered() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.changes(15.5, 2.0, 45.0);
    peer.looks(16.999_999, Does::Nothing);
    let due = seconds(peer.due());
    assert!((17.0..=17.5).contains(&due), "{due}");
    peer.looks(due, Does::PingsAndSuspects);
}

#[test]
fn a_ping_that_waits_has_one_of_the_new_intervals_to_leave() {
    let mut peer = Peer::new();
    peer.asks(15.0);
    peer.changes(15.5, 2.0, 45.0);
    peer.is(15.5, HealthState::Healthy, 0, 17.5);
    peer.looks(17.5, Does::Suspects);
}

#[test]
fn under_a_longer_policy_the_next_ping_stays_and_silence_counts_from_when_it_began() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.answers(15.1, 0.1);
    peer.changes(29.0, 60.0, 180.0);
    peer.is(29.0, HealthState::Healthy, 0, 30.0);
    peer.looks(30.0, Does::Pings);
    peer.looks(90.0, Does::PingsAndSuspects);
    peer.looks(150.0, Does::Pings);
    peer.looks(195.099_999, Does::Nothing);
    peer.looks(195.1, Does::Stale);
}

#[test]
fn talkers_that_were_pinged_when_idle_are_pinged_spread_over_the_interval() {
    let idle = Policy {
        mode: HeartbeatMode::Idle,
        ..Policy::default()
    };
    let always = Policy::default();
    let mut dues = Vec::new();
    for seed in 0..1_000 {
        let mut health = Health::new(&idle, Micros::ZERO, seed);
        let first = health.due(&idle);
        health.on_due(&idle, first);
        health.on_ping_sent(&idle, first, false);
        for second in 16..1_000 {
            health.on_heard(at(f64::from(second)));
        }
        health.change_policy(&idle, &always, at(1_000.0), seed);
        dues.push(seconds(health.ping_due(&always)) - 1_000.0);
    }
    assert!(dues.iter().all(|due| *due > 0.0 && *due <= 15.0));
    for tenth in 0..9 {
        let from = 1.5 * f64::from(tenth);
        let n = dues
            .iter()
            .filter(|d| (from..from + 1.5).contains(*d))
            .count();
        assert!((60..150).contains(&n), "{n} from {from} s on");
    }
}

#[test]
fn days_of_silence_that_a_policy_allowed_are_not_blamed_under_a_short_one() {
    for hours in [1.0, 1.2, 23.9, 70.0] {
        let day = 72.0 * 3_600.0;
        let mut peer = Peer::with(|policy| {
            policy.heartbeat_interval = at(day);
            policy.connection_timeout = at(2.0 * day);
        });
        let now = hours * 3_600.0;
        peer.changes(now, 2.0, 6.0);
        let stale_at = seconds(peer.health.stale_at(&peer.policy));
        assert!((now + 6.0..now + 6.002).contains(&stale_at), "{stale_at}");
    }
}

// A list of what happened, compared with the real code.

#[test]
fn random_lives_agree_with_the_specification() {
    for_seeds(6_000, |rng| {
        let mut life = Life::new(rng);
        for _ in 0..150 {
            life.something_happens(rng);
            if life.over {
                break;
            }
        }
    });
}

#[test]
fn a_silent_peer_looked_at_when_due_is_stale_on_the_microsecond() {
    for_seeds(3_000, |rng| {
        let policy = some_policy(rng);
        let opened = Micros(rng.u64(..1 << 50));
        let mut health = Health::new(&policy, opened, rng.u64(..));
        let mut now = opened;
        let timeout = policy.connection_timeout;
        let looks = timeout.0 / policy.heartbeat_interval.0 + 2;
        for _ in 0..looks {
            let due = health.due(&policy);
            assert!(due > now, "each look moves on");
            now = due;
            match health.on_due(&policy, now) {
                HealthAction::Heartbeat { ping: true, .. } => {
                    health.on_ping_sent(&policy, now, false)
                }
                HealthAction::Stale => break,
                other => panic!("{other:?} when due"),
            }
        }
        assert_eq!(now, opened + timeout);
        let pings = u64::from(health.unanswered());
        assert!(
            pings == looks - 1 || pings + 1 == looks - 1,
            "{pings} pings in {timeout:?}"
        );
    });
}

/// The basis of one peer's health: everything that happened, in order.
struct Story {
    opened: Micros,
    first_ping: Micros,
    events: Vec<(Micros, Event)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Heard,
    /// Our waiting bytes were sent.
    Moved,
    /// The policy changed; this is when the next heartbeat is due.
    Changed(Micros),
    /// A change of policy counts as a sign of life at this time.
    Spared,
    /// A heartbeat was requested; the next is not due before this time.
    Asked(Micros),
    /// A heartbeat would have been due, but the one before is not sent yet; whether nothing had
    /// moved for an interval.
    Held(Micros, bool),
    /// The kernel took it; if it had to wait for that, its interval starts only then.
    Sent(Option<Micros>),
    Suspected,
    /// Its pong arrived, or it was given up for an RTT.
    Settled,
}

/// The specification (design, §5).
impl Story {
    fn last(&self, event: Event) -> Option<Micros> {
        let all = self.events.iter().filter(|(_, e)| *e == event);
        all.map(|(t, _)| *t).max()
    }

    fn heard(&self) -> Micros {
        self.last(Event::Heard).unwrap_or_default().max(self.opened)
    }

    fn since_heard(&self) -> &[(Micros, Event)] {
        let last = self.events.iter().rposition(|(_, e)| *e == Event::Heard);
        &self.events[last.map_or(0, |i| i + 1)..]
    }

    fn unanswered(&self) -> u16 {
        let sent = |(_, e): &&(Micros, Event)| matches!(e, Event::Sent(_));
        self.since_heard().iter().filter(sent).count() as u16
    }

    fn state(&self) -> HealthState {
        let suspected = |(_, e): &(Micros, Event)| *e == Event::Suspected;
        match self.since_heard().iter().any(suspected) {
            true => HealthState::Suspect,
            false => HealthState::Healthy,
        }
    }

    /// Returns the latest heartbeat and its latest event.
    fn heartbeat(&self) -> Option<(Micros, Event)> {
        let of_it = |e| matches!(e, Event::Asked(_) | Event::Sent(_) | Event::Settled);
        self.events.iter().rfind(|(_, e)| of_it(*e)).copied()
    }

    fn queued(&self) -> bool {
        matches!(self.heartbeat(), Some((_, Event::Asked(_))))
    }

    fn ping_due(&self, policy: &Policy) -> Micros {
        let restart = |(_, e): &(Micros, Event)| match e {
            Event::Asked(next) | Event::Held(next, _) | Event::Changed(next) => Some(*next),
            Event::Sent(next) => *next,
            Event::Heard | Event::Moved | Event::Spared | Event::Suspected | Event::Settled => None,
        };
        let Some(next) = self.events.iter().rev().find_map(restart) else {
            return self.first_ping; // in both modes: it spreads the later ones
        };
        let pinged = self
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::Asked(_)));
        match policy.mode {
            HeartbeatMode::Idle if pinged => next.max(self.heard() + policy.heartbeat_interval),
            HeartbeatMode::Always | HeartbeatMode::Idle => next,
        }
    }

    fn alive(&self) -> Micros {
        let moved = self.last(Event::Moved).unwrap_or_default();
        let spared = self.last(Event::Spared).unwrap_or_default();
        self.heard().max(moved).max(spared)
    }

    fn stale_at(&self, policy: &Policy) -> Micros {
        self.alive() + policy.connection_timeout
    }

    /// Returns whether nothing has moved or was heard for an interval.
    fn still(&self, policy: &Policy, now: Micros) -> bool {
        now - self.alive() >= policy.heartbeat_interval
    }

    /// Returns the number of intervals in a row that a queued heartbeat has waited in vain.
    fn waited(&self) -> u16 {
        if !self.queued() {
            return 0;
        }
        let all = self.events.iter().rev();
        let since = all.take_while(|(_, e)| {
            let anew = Event::Heard == *e || Event::Moved == *e || Event::Spared == *e;
            !anew && !matches!(e, Event::Asked(_))
        });
        since
            .filter(|(_, e)| matches!(e, Event::Held(_, true)))
            .count() as u16
    }

    /// Returns the expected result of a look at `now`, without the numbers of a change.
    fn verdict(&self, policy: &Policy, now: Micros) -> Does {
        if now >= self.stale_at(policy) {
            return Does::Stale;
        }
        if now < self.ping_due(policy) {
            return Does::Nothing;
        }
        let still = self.still(policy, now);
        let missed = self.unanswered() + self.waited() + u16::from(self.queued() && still);
        let suspects =
            self.state() == HealthState::Healthy && missed >= policy.suspect_after && still;
        match (self.queued(), suspects) {
            (false, false) => Does::Pings,
            (false, true) => Does::PingsAndSuspects,
            (true, false) => Does::Waits,
            (true, true) => Does::Suspects,
        }
    }
}

/// One random history: the real health, the list of events, and the rules that always hold.
struct Life {
    health: Health,
    policy: Policy,
    story: Story,
    now: Micros,
    /// The payloads of all pings requested.
    payloads: Vec<[u8; 8]>,
    /// The latest ping: when it was requested, when it was sent, and the interval at that time.
    sent: Option<(Micros, Micros, Micros)>,
    samples: Vec<Micros>,
    over: bool,
}

impl Life {
    fn new(rng: &mut Rng) -> Self {
        let policy = some_policy(rng);
        let now = Micros(rng.u64(..1 << 45));
        let health = Health::new(&policy, now, rng.u64(..));
        let story = Story {
            opened: now,
            // The seed chooses the point in the interval; `first_pings_are_spread` tests that.
            first_ping: health.ping_due(&Policy {
                mode: HeartbeatMode::Always,
                ..policy
            }),
            events: Vec::new(),
        };
        assert!(now < story.first_ping && story.first_ping <= now + policy.heartbeat_interval);
        Life {
            health,
            policy,
            story,
            now,
            payloads: Vec::new(),
            sent: None,
            samples: Vec::new(),
            over: false,
        }
    }

    fn something_happens(&mut self, rng: &mut Rng) {
        match rng.u8(..20) {
            0..3 => self.now += Micros(rng.u64(..=self.policy.heartbeat_interval.0)),
            3..7 => self.look_at_due(rng),
            7..9 => self.look(),
            9..12 => self.hear(self.now),
            12 => self.hear(self.now - Micros(rng.u64(..1_000_000))),
            13 => self.ping_leaves(true),
            14 => {
                self.moves(self.now);
                self.ping_leaves(true);
            }
            15 => self.right_pong(),
            16 => self.wrong_pong(rng),
            17 => self.moves(self.now - Micros(rng.u64(..2) * rng.u64(..20_000_000))),
            18 if rng.bool() => self.change(rng),
            18 => {}
            _ => self.stall(rng),
        }
        self.compare();
    }

    fn change(&mut self, rng: &mut Rng) {
        let (former, policy, now, seed) = (self.policy, some_policy(rng), self.now, rng.u64(..));
        let (story, interval) = (&mut self.story, policy.heartbeat_interval);
        let always = Policy {
            mode: HeartbeatMode::Always,
            ..policy
        };
        let mut due = if story.queued() {
            now + interval
        } else {
            Health::new(&always, now, seed).ping_due(&always)
        };
        let mut events = story.events.iter().rev();
        let left = events.find(|(_, e)| matches!(e, Event::Sent(_)));
        if let Some((left, _)) = left.filter(|_| story.unanswered() > 0 && !story.queued()) {
            // After a stall it may be in the future of engine time.
            due = due.max(now.min(*left) + interval);
        }
        assert!(now < due && due <= now + interval, "within an interval");
        due = due.min(story.ping_due(&former));
        let stale_at = story.stale_at(&former).min(now + policy.connection_timeout);
        story.events.push((now, Event::Changed(due)));
        story
            .events
            .push((stale_at - policy.connection_timeout, Event::Spared));
        self.health.change_policy(&former, &policy, now, seed);
        self.policy = policy;
        if let Some((_, _, before)) = &mut self.sent {
            *before = interval.min(*before);
        }
        let stale_at = self.health.stale_at(&policy);
        assert!(stale_at <= now + policy.connection_timeout || now < self.story.alive());
    }

    /// Looks when due, a microsecond early, or a little late. The ping is sent at once, in the same
    /// turn, or not yet.
    fn look_at_due(&mut self, rng: &mut Rng) {
        let due = self.health.due(&self.policy);
        let when = match rng.u8(..3) {
            0 => due - Micros(1),
            1 => due,
            _ => due + Micros(rng.u64(..10_000)),
        };
        self.now = self.now.max(when);
        self.look();
        self.compare();
        if rng.u8(..4) > 0 {
            let asked_now = matches!(self.story.events.last(), Some((_, Event::Asked(_))));
            self.now += Micros(rng.u64(..2) * rng.u64(..5_000));
            self.ping_leaves(!asked_now);
        }
    }

    fn look(&mut self) {
        let (policy, now) = (self.policy, self.now);
        let early = now < self.health.due(&policy);
        let ping_due = self.story.ping_due(&policy);
        let before = format!("{:?}", self.health);
        let expected = self.story.verdict(&policy, now);
        let got = self.health.on_due(&policy, now);
        assert_eq!(Does::what(got), expected, "looked at {now:?}");

        let from = if now - ping_due < punctual(policy.heartbeat_interval) {
            ping_due
        } else {
            now
        };
        let next = from + policy.heartbeat_interval;
        match got {
            HealthAction::None => {}
            HealthAction::Heartbeat { ping, change } => {
                if let Some(change) = change {
                    self.rules_of_suspicion(change);
                    self.story.events.push((now, Event::Suspected));
                }
                let payload = self.health.ping_payload();
                let still = self.story.still(&policy, now);
                if ping {
                    self.story.events.push((now, Event::Asked(next)));
                    assert!(
                        !self.payloads.contains(&payload),
                        "each ping has its own payload"
                    );
                    self.payloads.push(payload);
                } else {
                    self.story.events.push((now, Event::Held(next, still)));
                    assert_eq!(self.payloads.last(), Some(&payload), "still the same ping");
                }
            }
            HealthAction::Stale => {
                assert!(now >= self.story.opened + policy.connection_timeout);
                assert!(
                    self.health.silence(now) >= policy.connection_timeout,
                    "stale too early"
                );
                self.over = true;
                return;
            }
        }
        if early {
            assert_eq!(got, HealthAction::None, "asked for something before due");
            let after = format!("{:?}", self.health);
            assert_eq!(after, before, "an early look changed something");
        }
        assert!(self.health.due(&policy) > now, "due again at once");
    }

    /// A peer is suspect only if a ping is older than an interval and there was only silence since,
    /// also on our side if our bytes had to wait. The time from being due to leaving is subtracted,
    /// unless it restarted the interval.
    fn rules_of_suspicion(&self, change: HealthChange) {
        if self.story.queued() {
            assert!(change.unanswered + self.story.waited() + 1 >= self.policy.suspect_after);
        } else {
            let (asked, left, interval) = self.sent.expect("suspect without a ping");
            assert!(
                self.now - left + punctual(interval) >= interval - (left - asked),
                "suspect before an interval was over"
            );
            assert!(
                left >= self.story.heard() || self.story.unanswered() > 0,
                "heard since"
            );
            assert!(change.unanswered >= self.policy.suspect_after);
        }
        if let Some(moved) = self.story.last(Event::Moved) {
            let still = self.now - moved;
            assert!(
                still >= self.policy.heartbeat_interval,
                "suspect {still:?} after our bytes moved"
            );
        }
        let expected = HealthChange {
            state: HealthState::Suspect,
            silence: self.now - self.story.heard(),
            unanswered: self.story.unanswered(),
            rtt: self.health.rtt(),
        };
        assert_eq!(change, expected);
    }

    fn hear(&mut self, when: Micros) {
        let due = self.health.due(&self.policy);
        let expected = (self.story.state() == HealthState::Suspect).then(|| HealthChange {
            state: HealthState::Healthy,
            silence: when - self.story.heard(),
            unanswered: self.story.unanswered(),
            rtt: self.health.rtt(),
        });
        assert_eq!(self.health.on_heard(when), expected);
        self.story.events.push((when, Event::Heard));
        assert!(
            self.health.due(&self.policy) >= due,
            "hearing made something due earlier"
        );
    }

    fn moves(&mut self, when: Micros) {
        let due = self.health.due(&self.policy);
        self.health.on_progress(when);
        self.story.events.push((when, Event::Moved));
        assert!(
            self.health.due(&self.policy) >= due,
            "movement made something due earlier"
        );
    }

    fn ping_leaves(&mut self, late: bool) {
        let Some((asked, Event::Asked(_))) = self.story.heartbeat() else {
            return;
        };
        self.health.on_ping_sent(&self.policy, self.now, late);
        let next = self.now + self.policy.heartbeat_interval;
        self.story
            .events
            .push((self.now, Event::Sent(late.then_some(next))));
        let counts_from = if late { self.now } else { asked };
        self.sent = Some((counts_from, self.now, self.policy.heartbeat_interval));
    }

    /// Delivers the pong of the latest ping, whatever its state: sent, answered already, given up,
    /// not sent yet.
    fn right_pong(&mut self) {
        let Some(payload) = self.payloads.last() else {
            return;
        };
        let expected = match self.story.heartbeat() {
            Some((left, Event::Sent(_))) => Some(self.now - left),
            _ => None,
        };
        assert_eq!(self.health.on_pong(payload, self.now), expected);
        if let Some(rtt) = expected {
            self.samples.push(rtt);
            self.story.events.push((self.now, Event::Settled));
        }
        self.hear(self.now);
    }

    /// Delivers the pong of an earlier ping, or of none of ours.
    fn wrong_pong(&mut self, rng: &mut Rng) {
        let earlier = self.payloads.iter().rev().nth(1).map(|p| p.to_vec());
        let latest = self.payloads.last().map(|p| p.to_vec()).unwrap_or_default();
        let foreign = [
            vec![],
            b"hello".to_vec(),
            [latest.clone(), vec![0]].concat(),
            latest[..latest.len() / 2].to_vec(),
        ];
        let payload = earlier
            .filter(|_| rng.bool())
            .unwrap_or_else(|| rng.choice(foreign).expect("some"));
        assert_eq!(
            self.health.on_pong(&payload, self.now),
            None,
            "an RTT from {payload:?}"
        );
        self.hear(self.now);
    }

    /// Stalls the loop: times of what it read meanwhile are then in the future of engine time.
    fn stall(&mut self, rng: &mut Rng) {
        self.now = (self.now - Micros(rng.u64(..2_000_000))).max(self.story.opened);
        self.health.discard_rtt();
        if let Some((asked, left, _)) = &mut self.sent {
            (*asked, *left) = (self.now.min(*asked), self.now.min(*left));
        }
        if let Some((_, Event::Sent(_))) = self.story.heartbeat() {
            self.story.events.push((self.now, Event::Settled));
        }
    }

    fn compare(&self) {
        let (health, story, policy) = (&self.health, &self.story, &self.policy);
        assert_eq!(health.state(), story.state());
        assert_eq!(health.unanswered(), story.unanswered());
        assert_eq!(health.silence(self.now), self.now - story.heard());
        assert_eq!(health.is_ping_queued(), story.queued());
        assert_eq!(health.ping_due(policy), story.ping_due(policy));
        assert_eq!(health.stale_at(policy), story.stale_at(policy));
        let due = story.ping_due(policy).min(story.stale_at(policy));
        assert_eq!(health.due(policy), due);
        let srtt = health.rtt().srtt_us().map(u64::from);
        let (least, most) = (self.samples.iter().min(), self.samples.iter().max());
        match (srtt, least, most) {
            (Some(srtt), Some(least), Some(most)) => {
                assert!((least.0.max(1)..=most.0.max(1)).contains(&srtt))
            }
            (None, None, None) => {}
            _ => panic!("{srtt:?} from {} samples", self.samples.len()),
        }
    }
}

// First pings.

#[test]
fn first_pings_are_spread() {
    spread_of_first_pings(HeartbeatMode::Always);
}

#[test]
fn first_pings_are_spread_in_idle_mode_too() {
    spread_of_first_pings(HeartbeatMode::Idle);
}

/// 100 000 clients that reconnect at once get sequential slots: 150 buckets of 100 ms, each with
/// its share.
fn spread_of_first_pings(mode: HeartbeatMode) {
    const CLIENTS: u64 = 100_000;
    const BUCKETS: usize = 150;
    let policy = Policy {
        mode,
        ..Policy::default()
    };
    let mut buckets = [0_u64; BUCKETS];
    for slot in 0..CLIENTS {
        let first = Health::new(&policy, Micros::ZERO, slot).ping_due(&policy);
        // (0, interval]: the bucket that ends with it.
        buckets[(first.0 as usize - 1) * BUCKETS / policy.heartbeat_interval.0 as usize] += 1;
    }
    let mean = CLIENTS / BUCKETS as u64;
    for (i, &n) in buckets.iter().enumerate() {
        assert!(
            (mean * 8 / 10..=mean * 12 / 10).contains(&n),
            "{n} first pings in bucket {i}; {mean} would be even"
        );
    }
}

// Round-trip times.

#[test]
fn a_round_trip_time_comes_only_from_the_latest_pings_pong_and_once() {
    let mut peer = Peer::with(|policy| {
        policy.suspect_after = 2;
        policy.connection_timeout = at(300.0);
    });
    assert_eq!(
        peer.health.on_pong(&peer.health.ping_payload(), at(1.0)),
        None,
        "no ping yet"
    );
    peer.looks(15.0, Does::Pings);
    let first = peer.health.ping_payload();
    peer.asks(30.0);
    let second = peer.health.ping_payload();
    assert_ne!(first, second);
    assert_eq!(
        peer.health.on_pong(&second, at(30.1)),
        None,
        "it has not left yet"
    );
    peer.leaves(31.0);
    let longer = [&second[..], b"x"].concat();
    for (payload, why) in [
        (&first[..], "an earlier ping's"),
        (b"", "unsolicited"),
        (&longer, "too long"),
    ] {
        assert_eq!(peer.health.on_pong(payload, at(31.1)), None, "{why}");
    }
    assert_eq!(
        peer.health.on_pong(&second, at(31.2)),
        Some(Micros(200_000))
    );
    assert_eq!(peer.health.on_pong(&second, at(31.3)), None, "twice");
    assert_eq!(peer.health.rtt().srtt_us(), Some(200_000));
    assert_eq!(peer.health.rtt().rttvar_us(), Some(100_000));
    assert_eq!(
        peer.health.unanswered(),
        2,
        "a pong is heard by the frame that it is, not here"
    );
}

#[test]
fn a_ping_that_was_out_while_we_were_away_yields_none() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.health.discard_rtt();
    assert_eq!(
        peer.health.on_pong(&peer.health.ping_payload(), at(15.1)),
        None
    );
    peer.is(15.1, HealthState::Healthy, 1, 30.0);
    peer.looks(30.0, Does::PingsAndSuspects); // it is still unanswered
    peer.answers(30.1, 0.1);
    assert_eq!(peer.health.rtt().srtt_us(), Some(100_000));
}

#[test]
fn a_ping_that_had_not_left_when_we_were_away_yields_one() {
    let mut peer = Peer::new();
    peer.asks(15.0);
    peer.health.discard_rtt();
    assert!(peer.health.is_ping_queued());
    peer.leaves(16.0);
    peer.answers(16.3, 0.3);
}

// Policies.

#[test]
fn every_fault_of_a_policy_is_named_in_one_text() {
    let faulty = Policy {
        heartbeat_interval: Micros::from_millis(9),
        connection_timeout: Micros::from_millis(8),
        suspect_after: 0,
        first_message_timeout: Some(Micros::from_millis(7)),
        first_message_bytes: Some(124),
        close_timeout: Micros::from_millis(6),
        mode: HeartbeatMode::Idle,
    };
    let text = faulty.validate().expect_err("six faults").to_string();
    for fault in [
        "heartbeat_interval is 9 ms",
        "connection_timeout is 8 ms",
        "suspect_after is 0",
        "first_message_timeout is 7 ms",
        "first_message_bytes is 124",
        "close_timeout is 6 ms",
    ] {
        assert_eq!(text.matches(fault).count(), 1, "{fault:?} in {text:?}");
    }
}

#[test]
fn each_fault_of_a_policy_is_found_alone_and_limits_are_allowed() {
    const LEAST: Micros = Policy::MIN_TIME;
    const BELOW: Micros = Micros(LEAST.0 - 1);
    let good = Policy {
        heartbeat_interval: LEAST,
        connection_timeout: LEAST + Micros(1),
        suspect_after: 1,
        first_message_timeout: Some(LEAST),
        first_message_bytes: Some(125),
        close_timeout: LEAST,
        mode: HeartbeatMode::Always,
    };
    assert_eq!(good.validate(), Ok(()));
    assert_eq!(Policy::default().validate(), Ok(()));
    type Fault = fn(&mut Policy);
    let faults: [(&str, Fault); 6] = [
        ("heartbeat_interval", |p| p.heartbeat_interval = BELOW),
        ("connection_timeout", |p| p.connection_timeout = LEAST),
        ("suspect_after", |p| p.suspect_after = 0),
        ("first_message_timeout", |p| {
            p.first_message_timeout = Some(BELOW)
        }),
        ("first_message_bytes", |p| p.first_message_bytes = Some(124)),
        ("close_timeout", |p| p.close_timeout = BELOW),
    ];
    for (field, fault) in faults {
        let mut policy = good;
        fault(&mut policy);
        let text = policy.validate().expect_err(field).to_string();
        assert!(text.starts_with(field), "{field}: {text:?}");
        assert_eq!(text.matches("; ").count(), 1, "only {field}: {text:?}");
    }
}

/// The result of a look at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Pings,
    PingsAndSuspects,
    /// An interval is over, but the ping before is not sent yet.
    Waits,
    /// The same, and the peer becomes suspect.
    Suspects,
    Stale,
}

impl Does {
    fn what(due: HealthAction) -> Self {
        match due {
            HealthAction::None => Does::Nothing,
            HealthAction::Heartbeat { ping, change } => match (ping, change) {
                (true, None) => Does::Pings,
                (true, Some(_)) => Does::PingsAndSuspects,
                (false, None) => Does::Waits,
                (false, Some(_)) => Does::Suspects,
            },
            HealthAction::Stale => Does::Stale,
        }
    }
}

/// A peer that connected at zero, with times in seconds.
#[derive(Clone)]
struct Peer {
    health: Health,
    policy: Policy,
}

impl Peer {
    fn new() -> Self {
        Peer::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::default();
        change(&mut policy);
        Peer::with_seed(policy, 0)
    }

    fn with_seed(policy: Policy, seed: u64) -> Self {
        assert_eq!(policy.validate(), Ok(()));
        Peer {
            health: Health::new(&policy, Micros::ZERO, seed),
            policy,
        }
    }

    fn due(&self) -> Micros {
        self.health.due(&self.policy)
    }

    /// Asserts the result of a look at this time; a requested ping is sent at once.
    fn looks(&mut self, s: f64, expected: Does) {
        let does = Does::what(self.health.on_due(&self.policy, at(s)));
        assert_eq!(does, expected, "at {s} s");
        if matches!(does, Does::Pings | Does::PingsAndSuspects) {
            self.health.on_ping_sent(&self.policy, at(s), false);
        }
    }

    /// Asserts that a look requests a ping, which is not sent yet.
    fn asks(&mut self, s: f64) {
        let does = Does::what(self.health.on_due(&self.policy, at(s)));
        assert_eq!(does, Does::Pings, "at {s} s");
    }

    /// Sends the ping that had to wait.
    fn leaves(&mut self, s: f64) {
        self.health.on_ping_sent(&self.policy, at(s), true);
    }

    /// Delivers the pong of the latest ping.
    fn answers(&mut self, s: f64, rtt: f64) {
        self.health.on_heard(at(s));
        let payload = self.health.ping_payload();
        assert_eq!(
            self.health.on_pong(&payload, at(s)),
            Some(at(rtt)),
            "at {s} s"
        );
    }

    /// Sets another interval and timeout, in seconds.
    fn changes(&mut self, s: f64, interval: f64, timeout: f64) {
        let policy = Policy {
            heartbeat_interval: at(interval),
            connection_timeout: at(timeout),
            ..self.policy
        };
        self.health.change_policy(&self.policy, &policy, at(s), 0);
        self.policy = policy;
    }

    fn is(&self, s: f64, state: HealthState, unanswered: u16, due: f64) {
        let found = (self.health.state(), self.health.unanswered(), self.due());
        assert_eq!(found, (state, unanswered, at(due)), "at {s} s");
    }
}

/// Returns a virtual time from seconds (to the microsecond).
fn at(s: f64) -> Micros {
    Micros((s * 1e6).round() as u64)
}

fn seconds(point: Micros) -> f64 {
    point.0 as f64 / 1e6
}

/// Returns a policy that [`Policy::validate`] accepts: from the shortest times to a minute, both
/// modes, one to three pings.
fn some_policy(rng: &mut Rng) -> Policy {
    let interval = match rng.u8(..4) {
        0 => rng.u64(10_000..100_000),
        1 => 15_000_000,
        _ => rng.u64(100_000..60_000_000),
    };
    let policy = Policy {
        heartbeat_interval: Micros(interval),
        connection_timeout: Micros(interval + rng.u64(1..=interval * 5)),
        suspect_after: rng.u16(1..=3),
        mode: if rng.bool() {
            HeartbeatMode::Always
        } else {
            HeartbeatMode::Idle
        },
        ..Policy::default()
    };
    assert_eq!(policy.validate(), Ok(()));
    policy
}

/// Returns how late a ping may be requested so that its interval still counts from the due time.
fn punctual(interval: Micros) -> Micros {
    Micros::from_millis(20).min(Micros(interval.0 / 4))
}

/// Runs `test` with the seeds from 0, or with `SEED` alone, and names the seed that fails.
fn for_seeds(count: u64, test: impl Fn(&mut Rng)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with SEED={}", self.0);
            }
        }
    }
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    };
    for seed in seeds {
        let _named = Named(seed);
        test(&mut Rng::with_seed(seed));
    }
}
