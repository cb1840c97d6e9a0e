//! What the hello promises to a client, and how its connection is judged.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::health::{AliveBy, HeartbeatForm, Policy};
use crate::host::boot_id::BootId;
use crate::pulse::{Hello, ResumeToken, RetryHint};

/// How much later than expected a ping may come.
const GRACE_MAX: Micros = Micros::from_secs(10);

/// The longest time between two tries of a client.
const RETRY_MAX: Micros = Micros::from_secs(30);

/// What the hello promises, besides the policy of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HelloTerms {
    /// The token with which the client resumes after this connection.
    pub(crate) offer: ResumeToken,
    /// Whether an older session goes on.
    pub(crate) resumed: bool,
    /// How many messages were received in it.
    pub(crate) rx: u64,
    /// How long the session waits for its client.
    pub(crate) hold: Micros,
    /// The largest message that is taken, in bytes.
    pub(crate) message_bytes_max: usize,
    /// The time over which first tries are spread, in milliseconds.
    pub(crate) first_ms: u64,
    /// The largest report that is taken, in bytes; 0: none.
    pub(crate) report_bytes: u64,
}

impl HelloTerms {
    /// Returns the hello of a connection. A draining gateway holds no session.
    pub(crate) fn hello(&self, io: &Io<'_>, boot: BootId, client: ConnId) -> Hello {
        let policy = io.policy_of(client).copied().unwrap_or(Policy::DEFAULT);
        let mut hello = Hello::new(&format!("{boot}.{client}"), self.offer.into());
        let ms = |time: Micros| time.as_millis();
        hello.resumed = self.resumed;
        hello.rx = self.rx;
        hello.ping_ms = ms(policy.heartbeat_interval);
        let spare = policy.connection_timeout - policy.heartbeat_interval;
        hello.grace_ms = ms(Micros(spare.0 / 3).min(GRACE_MAX));
        hello.timeout_ms = ms(policy.connection_timeout);
        hello.hold_ms = match io.is_draining() {
            true => 0,
            false => ms(self.hold),
        };
        hello.max_message_bytes = self.message_bytes_max as u64;
        hello.report_bytes = self.report_bytes;
        hello.retry = RetryHint {
            first_ms: self.first_ms,
            max_ms: ms(RETRY_MAX),
        };
        hello
    }
}

/// Returns the policy of a client that speaks pulse. Its heartbeats are texts, so what a proxy
/// answers on its own says nothing of it.
pub(crate) fn pulse_policy(policy: Policy) -> Policy {
    Policy {
        heartbeat_form: HeartbeatForm::Text,
        alive_by: match policy.alive_by {
            AliveBy::Any => AliveBy::Data,
            stricter => stricter,
        },
        ..policy
    }
}
