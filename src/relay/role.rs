//! The relay's classes, and the role of a connection for its user: glasses or app.

use crate::engine::Class;
use crate::health::Policy;
use crate::host::{ClassInfo, Identity};

/// Smart glasses, on `/glasses-ws`.
pub const GLASSES: Class = Class(0);

/// Third-party apps, on `/tpa-ws` and `/app-ws`.
pub const APP: Class = Class(1);

/// The classes of the relay, by [`Class`].
pub const RELAY_CLASSES: [ClassInfo; 2] = [
    ClassInfo {
        name: "glasses",
        label: "glasses",
        ended_by: None,
        policy: Policy::DEFAULT,
    },
    ClassInfo {
        name: "app",
        label: "apps",
        ended_by: None,
        policy: Policy::DEFAULT,
    },
];

/// The role of a connection for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerRole<'a> {
    /// The glasses.
    Glasses,
    /// The app of this package.
    App(&'a str),
}

impl<'a> PeerRole<'a> {
    /// Returns the role of an identity of the relay.
    pub(crate) fn of(identity: &'a Identity) -> Self {
        identity.package().map_or(PeerRole::Glasses, PeerRole::App)
    }

    /// Returns the class of connections in this role.
    pub(crate) const fn class(self) -> Class {
        match self {
            PeerRole::Glasses => GLASSES,
            PeerRole::App(_) => APP,
        }
    }

    /// Returns the index of the class in arrays of the relay's counters.
    pub(crate) fn class_index(self) -> usize {
        usize::from(self.class().0)
    }

    /// Returns the identity of a user in this role.
    pub(crate) fn identity(self, user: &str) -> Identity {
        match self {
            PeerRole::Glasses => Identity {
                class: GLASSES,
                user: user.into(),
                package: None,
                address: None,
            },
            PeerRole::App(package) => Identity {
                class: APP,
                user: user.into(),
                package: Some(package.into()),
                address: None,
            },
        }
    }
}
