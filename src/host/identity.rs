//! Who a connection is.

use crate::engine::Class;

/// Who a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The class of its connections.
    pub class: Class,
    /// The user.
    pub user: Box<str>,
    /// Which of the user's peers of this class, where there may be several: the package of an app.
    pub package: Option<Box<str>>,
}

impl Identity {
    /// Returns the package, if it has one.
    pub fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }
}
