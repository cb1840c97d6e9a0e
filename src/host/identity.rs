//! Who a connection is.

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
