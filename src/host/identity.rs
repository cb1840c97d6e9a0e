//! Who a connection is.

use super::names::{GLASSES, TPA};
use crate::engine::Class;

/// Who a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user.
    pub user: Box<str>,
    /// What of that user's.
    pub role: Role,
}

/// What of a user's a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// The glasses.
    Glasses,
    /// With its package.
    Tpa(Box<str>),
}

impl Identity {
    /// Returns the class of its connections.
    pub fn class(&self) -> Class {
        match &self.role {
            Role::Glasses => GLASSES,
            Role::Tpa(_) => TPA,
        }
    }

    /// An identity of this class: of a user, or of one of the user's packages.
    pub fn new(package: Option<&str>, user: &str) -> Self {
        Identity {
            user: user.into(),
            role: package.map_or(Role::Glasses, |package| Role::Tpa(package.into())),
        }
    }

    /// Returns the package, if it is one of the user's.
    pub fn package(&self) -> Option<&str> {
        match &self.role {
            Role::Glasses => None,
            Role::Tpa(package) => Some(package),
        }
    }
}
