//! The policy of connections to a service.

use crate::base::time::Micros;
use crate::health::Policy;

/// Returns the policy of connections to a service. Without pings nothing is judged: the interval
/// and the timeout are then the longest ones.
pub(super) fn upstream_policy(policy: Policy) -> Policy {
    const NEVER: Micros = Micros::from_secs(365 * 24 * 3_600);
    if policy.heartbeat_interval > Micros::ZERO {
        return policy;
    }
    Policy {
        heartbeat_interval: NEVER,
        connection_timeout: Micros(2 * NEVER.0),
        ..policy
    }
}
