//! Legs of pairs that have ended: the first one waits here for the second, and both have one line
//! in the log.

use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{Ending, Io};
use crate::host::{
    BootId, Classes, EndVerdict, Identity, LogReason, LogUserAgent, LogValue, OrDash, PairTarget,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Bytes that a leg which waits costs besides itself: its entry in the table, which may have twice
/// as many places as entries.
const ENTRY_BYTES: usize = 2 * size_of::<(ConnId, Box<EndedLeg>)>();

/// The places that the table keeps when it is empty.
const PLACES_KEPT: usize = 64;

/// A leg of a pair that has ended.
#[derive(Debug)]
pub(super) struct EndedLeg {
    pub(super) id: ConnId,
    pub(super) identity: Option<Identity>,
    pub(super) user_agent: Option<Arc<str>>,
    pub(super) end: Ending,
    /// Why it has ended, if it is the connection of the client.
    pub(super) verdict: Option<EndVerdict>,
    /// Whether it is the connection to the upstream.
    pub(super) is_upstream: bool,
    pub(super) target: PairTarget,
}

/// Both legs of a pair that has ended.
#[derive(Debug)]
pub(super) struct EndedPair {
    pub(super) client: EndedLeg,
    pub(super) upstream: EndedLeg,
}

/// The legs that have ended before their partner, which ends next. There are never more of them
/// than connections, and each is charged.
#[derive(Debug, Default)]
pub(super) struct EndedLegs {
    /// By the partner.
    waiting: HashMap<ConnId, Box<EndedLeg>>,
}

impl EndedLegs {
    /// Adds a leg that has ended. Returns the pair if its partner has ended, too; otherwise the leg
    /// is kept until then.
    pub(super) fn add(
        &mut self,
        io: &mut Io<'_>,
        leg: EndedLeg,
        partner: ConnId,
    ) -> Option<EndedPair> {
        let Some(first) = self.waiting.remove(&leg.id) else {
            io.charge(leg.allocated());
            self.waiting.insert(partner, Box::new(leg));
            return None;
        };
        io.release(first.allocated());
        if self.waiting.is_empty() {
            self.waiting.shrink_to(PLACES_KEPT);
        }
        let (client, upstream) = match first.is_upstream {
            true => (leg, *first),
            false => (*first, leg),
        };
        Some(EndedPair { client, upstream })
    }

    /// Returns where the pair of a connection leads whose partner has ended.
    pub(super) fn target(&self, id: ConnId) -> Option<PairTarget> {
        self.waiting.get(&id).map(|leg| leg.target.clone())
    }
}

impl EndedLeg {
    /// Returns how much memory the leg takes while it waits. The user agent and the names of the
    /// target are shared.
    fn allocated(&self) -> usize {
        let identity = self.identity.as_ref();
        let user = identity.map_or(0, |identity| identity.user.len());
        let address = identity.and_then(|identity| identity.address.as_deref());
        let names = user + address.map_or(0, size_of_val);
        size_of::<Self>() + ENTRY_BYTES + names + self.end.reason.len()
    }
}

impl EndedPair {
    /// Returns the leg that has ended first, so that the other one had to end, too.
    pub(super) fn first(&self) -> &EndedLeg {
        let is_second = |leg: &EndedLeg| {
            leg.end.cause == Cause::PARTNER_ENDED
                || leg.end.partner.is_some_and(|p| p.first.is_some())
        };
        match is_second(&self.client) && !is_second(&self.upstream) {
            true => &self.upstream,
            false => &self.client,
        }
    }

    /// Returns whether one of its legs was closed as silent.
    pub(super) fn is_stale(&self) -> bool {
        [&self.client, &self.upstream]
            .iter()
            .any(|leg| leg.end.cause == Cause::STALE)
    }
}

/// Prints as the line of a pair in the log.
pub(super) struct LogPair<'a>(
    pub(super) &'a EndedPair,
    pub(super) &'a Classes,
    pub(super) BootId,
);

impl fmt::Display for LogPair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogPair(pair, classes, boot) = self;
        let (client, upstream, first) = (&pair.client, &pair.upstream, pair.first());
        let user = client.identity.as_ref().map(|i| LogValue(&i.user));
        write!(
            f,
            "pair route={} upstream={} user={} client={} upstream_id={} peer={} user_agent={} \
             connection={boot}.{} age_ms={} cause={} by={} verdict={} reason={}",
            LogValue(&client.target.route),
            LogValue(&client.target.upstream),
            OrDash(user),
            client.id,
            upstream.id,
            client.end.peer_addr,
            OrDash(client.user_agent.as_deref().map(LogUserAgent)),
            client.id,
            first.end.age.as_millis(),
            first.end.cause,
            classes.ended_by(&first.end),
            OrDash(client.verdict),
            LogReason(&first.end.reason),
        )?;
        let (of_client, of_upstream) = (&client.end, &upstream.end);
        write!(
            f,
            " code_client={} code_upstream={} clean_client={} clean_upstream={} messages_up={} \
             messages_down={} bytes_up={} bytes_down={} rtt_client_us={} rtt_upstream_us={}",
            of_client.code,
            of_upstream.code,
            of_client.clean,
            of_upstream.clean,
            of_client.traffic.messages_in,
            of_upstream.traffic.messages_in,
            of_client.traffic.bytes_in,
            of_upstream.traffic.bytes_in,
            OrDash(of_client.rtt.srtt_us()),
            OrDash(of_upstream.rtt.srtt_us()),
        )
    }
}
