//! Set-up and checks of an engine on virtual time, whatever its host.

use pulsegate::engine::{ClassConfig, Config, Handler};
use pulsegate::testing::Net;
use pulsegate::{Micros, Policy};

/// A second, in the milliseconds that [`Net::advance`] takes.
pub const S: u64 = 1_000;

/// Returns the configuration of a loop whose one class has this policy.
pub fn one_class(policy: Policy) -> Config {
    Config {
        classes: vec![ClassConfig {
            name: "peer".to_owned(),
            policy,
        }],
        ..Config::default()
    }
}

/// Returns the default policy with another interval and timeout, in seconds.
pub fn timed(interval: u64, timeout: u64) -> Policy {
    Policy {
        heartbeat_interval: Micros::from_secs(interval),
        connection_timeout: Micros::from_secs(timeout),
        ..Policy::default()
    }
}

/// Checks the invariants of the engine.
#[track_caller]
pub fn check_invariants<H: Handler>(net: &Net<H>) {
    net.check().unwrap_or_else(|e| panic!("{e}"));
}
