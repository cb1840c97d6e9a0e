//! The identity of a connection.

use crate::engine::Class;
use std::net::IpAddr;

/// The identity of a connection: its class, its user, its package if it has one, and its address if
/// nothing proves the user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The class of the connections with this identity.
    pub class: Class,
    /// The user.
    pub user: Box<str>,
    /// The package of an app; tells several peers of one class apart for the same user.
    pub package: Option<Box<str>>,
    /// The client's address, if only the client itself says that it is this user. Then the same
    /// name at another address is another identity, so that a block concerns this client alone.
    /// Boxed, because there are very many identities without one.
    pub address: Option<Box<IpAddr>>,
}

impl Identity {
    /// Returns the package, if it has one.
    pub fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }

    /// Returns whether something proves that the client is this user.
    pub const fn is_proved(&self) -> bool {
        self.address.is_none()
    }
}
