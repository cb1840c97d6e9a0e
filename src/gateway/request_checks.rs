//! Refusals of requests for what operators and limits have decided: drains, blocks, reconnects.

use crate::base::cause::Cause;
use crate::base::time::Micros;
use crate::engine::{Reply, Request, Verdict};
use crate::host::{Blocks, ClassDrain, ClientCheck, ConnectLimit, Flapping, retry_after_secs};
use crate::relay::FLAPPING;
use std::ops::Range;

/// Returns the refusal of an upgrade to one of these classes, if a drain refuses its new
/// connections. The longest drain says when to come back.
pub(super) fn drain_refusal(
    drains: &[Option<ClassDrain>],
    classes: Range<u8>,
    request: &Request,
    now: Micros,
) -> Option<Verdict> {
    let drains = drains.get(usize::from(classes.start)..usize::from(classes.end))?;
    let drains = drains.iter().flatten();
    let left = drains
        .filter_map(|drain| drain.refusal_remaining(now))
        .max()?;
    request.is_upgrade().then(|| Verdict::Reply {
        reply: Reply::error(503, "this class is being drained")
            .with_retry_after(retry_after_secs(left)),
        cause: Cause::DRAINING,
    })
}

/// Returns the reply to a client whose identity is still blocked for this long.
pub(super) fn blocked_reply(left: Micros) -> Reply {
    let reply = Reply::error(403, "blocked by the operator");
    reply.with_retry_after(retry_after_secs(left))
}

pub(super) fn blocked_verdict(left: Micros) -> Verdict {
    Verdict::Reply {
        reply: blocked_reply(left),
        cause: Cause::BLOCKED,
    }
}

/// Returns the refusal of a client whose identity is blocked, or has connected more often than its
/// limit allows. Counts the connection otherwise.
pub(super) fn identity_refusal(
    blocks: &mut Blocks,
    flapping: &mut Flapping,
    check: &ClientCheck,
    now: Micros,
) -> Option<Verdict> {
    let identity = check.identity.as_ref()?;
    if let Some(left) = blocks.remaining(identity, now) {
        return Some(blocked_verdict(left));
    }
    let ConnectLimit { scope, per_minute } = check.limit.as_ref()?;
    let Some(left) = flapping.check_refusal(scope, identity, *per_minute, now) else {
        flapping.count_reconnect(scope, identity, *per_minute, now);
        return None;
    };
    let reply = Reply::error(429, "this client connects too often");
    Some(Verdict::Reply {
        reply: reply.with_retry_after(retry_after_secs(left)),
        cause: FLAPPING,
    })
}
