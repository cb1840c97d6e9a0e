//! One random history: the real health, the list of events, and the rules that always hold.

use crate::health::peer::Does;
use crate::health::story::{Event, Story, punctual, some_policy};
use fastrand::Rng;
use pulsegate::health::{Health, HealthAction, HealthChange, HealthState, HeartbeatMode, Policy};
use pulsegate::time::Micros;

/// One random history: the real health, the list of events, and the rules that always hold.
pub struct Life {
    pub health: Health,
    pub policy: Policy,
    pub story: Story,
    pub now: Micros,
    /// The payloads of all pings requested.
    pub payloads: Vec<[u8; 8]>,
    /// The latest ping: when it was requested, when it was sent, and the interval at that time.
    pub sent: Option<(Micros, Micros, Micros)>,
    pub samples: Vec<Micros>,
    pub over: bool,
}

impl Life {
    pub fn new(rng: &mut Rng) -> Self {
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

    pub fn something_happens(&mut self, rng: &mut Rng) {
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

    pub fn change(&mut self, rng: &mut Rng) {
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
    pub fn look_at_due(&mut self, rng: &mut Rng) {
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

    pub fn look(&mut self) {
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
    pub fn rules_of_suspicion(&self, change: HealthChange) {
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

    pub fn hear(&mut self, when: Micros) {
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

    pub fn moves(&mut self, when: Micros) {
        let due = self.health.due(&self.policy);
        self.health.on_progress(when);
        self.story.events.push((when, Event::Moved));
        assert!(
            self.health.due(&self.policy) >= due,
            "movement made something due earlier"
        );
    }

    pub fn ping_leaves(&mut self, late: bool) {
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
    pub fn right_pong(&mut self) {
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
    pub fn wrong_pong(&mut self, rng: &mut Rng) {
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
    pub fn stall(&mut self, rng: &mut Rng) {
        self.now = (self.now - Micros(rng.u64(..2_000_000))).max(self.story.opened);
        self.health.discard_rtt();
        if let Some((asked, left, _)) = &mut self.sent {
            (*asked, *left) = (self.now.min(*asked), self.now.min(*left));
        }
        if let Some((_, Event::Sent(_))) = self.story.heartbeat() {
            self.story.events.push((self.now, Event::Settled));
        }
    }

    pub fn compare(&self) {
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
