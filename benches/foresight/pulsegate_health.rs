//! Our own detectors: the product's `Health`, driven on virtual time as the engine drives it.

use crate::link::Ping;
use crate::suspicion::{Suspicion, Suspicions};
use pulsegate::Micros;
use pulsegate::engine::wheel::PING_GRID;
use pulsegate::health::{Health, HealthAction, HealthState, PAYLOAD_LEN, Policy};

/// What makes a peer suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its latest heartbeat is late.
    Late,
    /// This many heartbeats are unanswered for an interval each.
    Unanswered(u16),
}

/// Returns the default policy, except that no peer becomes stale: otherwise a mistake would be cut
/// short by a close.
fn policy(sign: Sign) -> Policy {
    Policy {
        connection_timeout: Micros::from_secs(24 * 3_600),
        suspect_after: match sign {
            Sign::Late => 1,
            Sign::Unanswered(count) => count,
        },
        ..Policy::DEFAULT
    }
}

/// Returns when the heartbeats of a connection that opens at 0 are sent, until this second. `seed`
/// selects the point of the interval.
pub fn heartbeats(seed: u64, until: f64) -> Vec<Micros> {
    let policy = policy(Sign::Late);
    let mut health = Health::new(&policy, Micros::ZERO, seed);
    let mut sent = Vec::new();
    loop {
        let now = on_grid(health.ping_due(&policy));
        if now.as_secs_f64() >= until {
            return sent;
        }
        assert!(matches!(
            health.on_due(&policy, now),
            HealthAction::Heartbeat { ping: true, .. }
        ));
        health.on_ping_sent(&policy, now, false);
        health.on_heard(now);
        sent.push(now);
    }
}

/// Returns the suspicions about a peer that answers so. The heartbeats are those of
/// [`heartbeats`] with the same seed.
pub fn watch(sign: Sign, seed: u64, pings: &[Ping]) -> Vec<Suspicion> {
    let mut watch = Watch {
        policy: policy(sign),
        sign,
        health: Health::new(&policy(sign), Micros::ZERO, seed),
        late_at: None,
        suspicions: Suspicions::default(),
    };
    let mut answers: Vec<(Micros, [u8; PAYLOAD_LEN])> = Vec::new();
    let mut next_answer = 0;
    for (index, ping) in pings.iter().enumerate() {
        // Answers arrive in the order of the heartbeats.
        while let Some((at, payload)) = answers.get(next_answer)
            && *at <= ping.sent
        {
            watch.answer(*at, payload);
            next_answer += 1;
        }
        let payload = watch.ping(ping.sent);
        if let Some(at) = ping.answered {
            assert!(
                answers.len() == index,
                "a peer that has died does not answer"
            );
            answers.push((at, payload));
        }
    }
    for (at, payload) in &answers[next_answer..] {
        watch.answer(*at, payload);
    }
    watch.judge_late(Micros(u64::MAX));
    watch.suspicions.into_all()
}

struct Watch {
    policy: Policy,
    sign: Sign,
    health: Health,
    /// When the latest heartbeat is late unless it is answered, and when it was sent.
    late_at: Option<(Micros, u32)>,
    suspicions: Suspicions,
}

impl Watch {
    /// Sends a heartbeat. Returns its payload.
    fn ping(&mut self, now: Micros) -> [u8; PAYLOAD_LEN] {
        self.judge_late(now);
        let due = on_grid(self.health.ping_due(&self.policy));
        assert_eq!(due, now, "the heartbeats of another connection");
        let action = self.health.on_due(&self.policy, now);
        let HealthAction::Heartbeat { ping: true, change } = action else {
            panic!("{action:?}");
        };
        let is_suspect = change.is_some_and(|change| change.state == HealthState::Suspect);
        if is_suspect && self.sign != Sign::Late {
            self.suspicions.begin(now.as_secs_f64());
        }
        self.health.on_ping_sent(&self.policy, now, false);
        let after = queued_for(self.health.late_after(&self.policy));
        self.late_at = Some((on_grid(now + after), now.0 as u32));
        self.health.ping_payload()
    }

    fn answer(&mut self, now: Micros, payload: &[u8]) {
        // The engine reads a socket once more before it judges: an answer counts that arrives with
        // the judgement.
        self.judge_late(now - Micros(1));
        self.health.on_heard(now);
        self.health.on_pong(payload, now);
        self.suspicions.end(now.as_secs_f64());
    }

    /// Judges the latest heartbeat if that is due at `now`.
    fn judge_late(&mut self, now: Micros) {
        let Some((at, sent)) = self.late_at.filter(|(at, _)| *at <= now) else {
            return;
        };
        self.late_at = None;
        let is_late = self.health.may_be_late(sent) && self.health.mark_late(at).is_some();
        if is_late && self.sign == Sign::Late {
            self.suspicions.begin(at.as_secs_f64());
        }
    }
}

fn on_grid(at: Micros) -> Micros {
    Micros(at.0.next_multiple_of(PING_GRID.0))
}

/// Returns how long the engine's queue of late heartbeats waits for one that is late after this
/// time (`engine/late_queue.rs`): its steps are an eighth of a power of two of 1/2048 of 2 s.
fn queued_for(after: Micros) -> Micros {
    let units = (after.0 * 2_048).div_ceil(2_000_000).max(16);
    let step = 1 << ((units - 1).ilog2() - 3);
    Micros((units.next_multiple_of(step) * 2_000_000).div_ceil(2_048))
}

/// Checks both signs on a peer that misses one heartbeat and later dies.
pub fn check() {
    for (ms, queued) in [(2_000, 2_000_000), (7_500, 7_500_000), (2_001, 2_250_000)] {
        assert_eq!(queued_for(Micros::from_millis(ms)), Micros(queued), "{ms}");
    }
    let sent = heartbeats(7, 200.0);
    let answered = |index: usize| {
        let delay = Micros::from_millis(if index == 4 { 6_000 } else { 80 });
        (index < 8).then_some(sent[index] + delay)
    };
    let ping = |(index, sent): (usize, &Micros)| Ping {
        sent: *sent,
        answered: answered(index),
    };
    let pings: Vec<Ping> = sent.iter().enumerate().map(ping).collect();
    let at = |index: usize, after: f64| sent[index].as_secs_f64() + after;
    let late = watch(Sign::Late, 7, &pings);
    assert_eq!(late.len(), 2, "{late:?}");
    assert!((late[0].from - at(4, 2.0)).abs() < 0.011 && late[0].until == Some(at(4, 6.0)));
    assert!(late[1].from <= at(8, 7.51) && late[1].until.is_none());
    let first = watch(Sign::Unanswered(1), 7, &pings);
    assert!(
        first.len() == 1 && (first[0].from - at(9, 0.0)).abs() < 1e-6,
        "{first:?}"
    );
    let second = watch(Sign::Unanswered(2), 7, &pings);
    assert!(second.len() == 1 && (second[0].from - at(10, 0.0)).abs() < 1e-6);
}
