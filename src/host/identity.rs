//! The identity of a connection.

use crate::engine::Class;

/// The identity of a connection: its class, its user, and its package if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The class of the connections with this identity.
    pub class: Class,
    /// The user.
    pub user: Box<str>,
    /// The package of an app; tells several peers of one class apart for the same user.
    pub package: Option<Box<str>>,
}

impl Identity {
    /// Returns the package, if it has one.
    pub fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }
}
