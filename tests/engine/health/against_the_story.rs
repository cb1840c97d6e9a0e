//! Thousands of random histories agree with the specification.

use crate::health::life::Life;
use crate::health::story::some_policy;
use crate::seeds::for_seeds;
use pulsegate::health::{Health, HealthAction};
use pulsegate::time::Micros;

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
