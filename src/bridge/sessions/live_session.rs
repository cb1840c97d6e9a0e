//! One session: the client's connection, if there is one, and the leg to the upstream.

use super::hold_book::{BookedHold, HoldAccounts};
use super::session_due::SessionTimes;
use super::session_key::SessionKey;
use super::session_owner::SessionOwner;
use crate::base::address_block::AddressBlock;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::bridge::route::Route;
use crate::host::{AckWatch, ClientLeg, PairTarget};
use crate::pulse::{PulseSession, SessionEnd, TokenPair};
use std::sync::Arc;

/// A session of a client with the upstream.
#[derive(Debug)]
pub(super) struct LiveSession {
    pub(super) pulse: PulseSession,
    pub(super) owner: SessionOwner,
    pub(super) route: Arc<Route>,
    /// Where it leads.
    pub(super) target: PairTarget,
    /// The block of the client's last address.
    pub(super) block: AddressBlock,
    pub(super) began: Micros,
    pub(super) place: ClientPlace,
    pub(super) upstream: UpstreamPlace,
    /// The tokens under which the session is found. They follow [`PulseSession::tokens`].
    pub(super) tokens: Option<TokenPair>,
    /// The close frame of the upstream.
    pub(super) ended: Option<SessionEnd>,
    /// Whether the client acknowledges what came before the end.
    pub(super) end_watch: AckWatch,
    /// How many times it was resumed.
    pub(super) resumes: u32,
    /// The longest time for which the client wants to hear nothing.
    pub(super) wanted_sign: Option<Micros>,
    /// The bytes that are charged for it.
    pub(super) charged: usize,
    /// When something of each kind is due.
    pub(super) times: SessionTimes,
}

/// Where the client of a session is.
#[derive(Debug)]
pub(super) enum ClientPlace {
    /// It has a connection.
    Attached(ClientLeg),
    /// It was lost, and may come back.
    Held(Hold),
}

/// A session without a connection of its client.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) since: Micros,
    /// When the client has had its time.
    pub(super) until: Micros,
    /// The accounts that it is on.
    pub(super) accounts: HoldAccounts,
    /// The connection that was lost, and why.
    pub(super) lost: (ConnId, Cause),
}

/// Where the upstream of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpstreamPlace {
    /// It is connected.
    Open {
        id: ConnId,
        /// Whether it is not read, because the client is behind or away.
        is_paused: bool,
    },
    /// It has closed. What it sent, and its close, are for the client.
    Closed { id: ConnId },
}

impl LiveSession {
    /// Begins a session with its first connection.
    pub(super) fn new(
        pulse: PulseSession,
        owner: SessionOwner,
        (route, target): (Arc<Route>, PairTarget),
        block: AddressBlock,
        (client, upstream): (ConnId, ConnId),
        now: Micros,
    ) -> Self {
        LiveSession {
            pulse,
            owner,
            route,
            target,
            block,
            began: now,
            place: ClientPlace::Attached(ClientLeg::new(client)),
            upstream: UpstreamPlace::Open {
                id: upstream,
                is_paused: false,
            },
            tokens: None,
            ended: None,
            end_watch: AckWatch::default(),
            resumes: 0,
            wanted_sign: None,
            charged: 0,
            times: SessionTimes::NOTHING,
        }
    }

    /// Returns the client's connection.
    pub(super) fn client(&self) -> Option<ConnId> {
        match &self.place {
            ClientPlace::Attached(leg) => Some(leg.id),
            ClientPlace::Held(_) => None,
        }
    }

    /// Returns the client's connection, if it is open.
    pub(super) fn open_leg(&mut self) -> Option<&mut ClientLeg> {
        match &mut self.place {
            ClientPlace::Attached(leg) if leg.is_open => Some(leg),
            ClientPlace::Attached(_) | ClientPlace::Held(_) => None,
        }
    }

    /// Returns the client's connection, if it has one, and what is sent on it.
    pub(super) fn attached(&mut self) -> Option<(&mut ClientLeg, &mut PulseSession)> {
        match &mut self.place {
            ClientPlace::Attached(leg) => Some((leg, &mut self.pulse)),
            ClientPlace::Held(_) => None,
        }
    }

    /// Returns the client's connection, or the last one that it had.
    pub(super) fn last_client(&self) -> ConnId {
        match &self.place {
            ClientPlace::Attached(leg) => leg.id,
            ClientPlace::Held(hold) => hold.lost.0,
        }
    }

    /// Returns the hold, if the client is away.
    pub(super) fn hold(&self) -> Option<&Hold> {
        match &self.place {
            ClientPlace::Attached(_) => None,
            ClientPlace::Held(hold) => Some(hold),
        }
    }

    /// Returns the leg to the upstream, while it is connected.
    pub(super) fn upstream(&self) -> Option<ConnId> {
        match self.upstream {
            UpstreamPlace::Open { id, .. } => Some(id),
            UpstreamPlace::Closed { .. } => None,
        }
    }

    /// Returns the memory that is allocated for the session, in bytes.
    pub(super) fn allocated(&self) -> usize {
        /// What the tables take for a session: four entries and the places that are free.
        const PLACES: usize = 320;
        PLACES + size_of::<Self>() - size_of::<PulseSession>()
            + self.pulse.allocated()
            + self.owner.allocated()
    }
}

impl UpstreamPlace {
    /// Returns the connection to the upstream, also after it has closed.
    pub(super) const fn id(self) -> ConnId {
        match self {
            UpstreamPlace::Open { id, .. } | UpstreamPlace::Closed { id } => id,
        }
    }
}

impl Hold {
    /// Returns the hold as the book of all holds knows it.
    pub(super) const fn booked(&self, key: SessionKey) -> BookedHold {
        BookedHold {
            key,
            since: self.since,
            accounts: self.accounts,
        }
    }
}
