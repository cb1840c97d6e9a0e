//! Who is here: sessions by user, each with at most one glasses connection and one TPA per package.

use crate::id::ConnId;
use std::collections::BTreeMap;
use std::ops::Bound;

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

/// The sessions that have a connection.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// In order, so that they can be listed a page at a time; and names that peers choose cannot make it slow.
    by_user: BTreeMap<Box<str>, Session>,
}

/// One user. Packages are few, so a list serves.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// The glasses' connection.
    pub glasses: Option<ConnId>,
    /// The apps' connections, by package.
    pub tpas: Vec<(Box<str>, ConnId)>,
}

impl Sessions {
    /// Gives an identity's place to a connection. Returns the older one that had it.
    pub(super) fn join(&mut self, identity: &Identity, id: ConnId) -> Option<ConnId> {
        let session = match self.by_user.get_mut(&identity.user) {
            Some(session) => session,
            None => self.by_user.entry(identity.user.clone()).or_default(),
        };
        match &identity.role {
            Role::Glasses => session.glasses.replace(id),
            Role::Tpa(package) => match session.tpas.iter_mut().find(|(p, _)| p == package) {
                Some((_, current)) => Some(std::mem::replace(current, id)),
                None => {
                    session.tpas.push((package.clone(), id));
                    None
                }
            },
        }
    }

    /// Frees an identity's place if it is still this connection's: a late end of a replaced one changes nothing.
    pub(super) fn leave(&mut self, identity: &Identity, id: ConnId) {
        let Some(session) = self.by_user.get_mut(&identity.user) else {
            return;
        };
        match &identity.role {
            Role::Glasses => session.glasses = session.glasses.filter(|current| *current != id),
            Role::Tpa(_) => session.tpas.retain(|(_, current)| *current != id),
        }
        if session.glasses.is_none() && session.tpas.is_empty() {
            self.by_user.remove(&identity.user);
        }
    }

    /// The session of a user.
    pub(super) fn get(&self, user: &str) -> Option<&Session> {
        self.by_user.get(user)
    }

    /// The sessions behind this user, in the order of their names.
    pub(super) fn after(&self, user: Option<&str>) -> impl Iterator<Item = (&str, &Session)> {
        let from = user.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.by_user.range::<str, _>((from, Bound::Unbounded));
        range.map(|(user, session)| (&**user, session))
    }

    /// Sessions with a connection.
    pub(super) fn len(&self) -> usize {
        self.by_user.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The registry as a plain map from identity to connection.
    #[derive(Default)]
    struct Model(BTreeMap<(String, Option<String>), ConnId>);

    fn key(identity: &Identity) -> (String, Option<String>) {
        let package = match &identity.role {
            Role::Glasses => None,
            Role::Tpa(package) => Some(package.to_string()),
        };
        (identity.user.to_string(), package)
    }

    #[test]
    fn sessions_behave_as_a_map_of_identities() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut sessions, mut model) = (Sessions::default(), Model::default());
            let mut joined: Vec<(Identity, ConnId)> = Vec::new();
            for step in 0..400u32 {
                if joined.is_empty() || rng.bool() {
                    let role = if rng.bool() {
                        Role::Glasses
                    } else {
                        Role::Tpa(format!("p{}", rng.u8(0..3)).into())
                    };
                    let identity = Identity {
                        user: format!("u{}", rng.u8(0..4)).into(),
                        role,
                    };
                    let id = ConnId::new(rng.u32(0..8), step);
                    let replaced = sessions.join(&identity, id);
                    assert_eq!(
                        replaced,
                        model.0.insert(key(&identity), id),
                        "seed {seed} step {step}"
                    );
                    joined.push((identity, id));
                } else {
                    // In any order: also those who were replaced long ago.
                    let (identity, id) = joined.swap_remove(rng.usize(0..joined.len()));
                    sessions.leave(&identity, id);
                    if model.0.get(&key(&identity)) == Some(&id) {
                        model.0.remove(&key(&identity));
                    }
                }
                let users: std::collections::BTreeSet<_> =
                    model.0.keys().map(|(user, _)| user).collect();
                assert_eq!(sessions.len(), users.len(), "seed {seed} step {step}");
                let places: usize = sessions
                    .by_user
                    .values()
                    .map(|s| s.tpas.len() + usize::from(s.glasses.is_some()))
                    .sum();
                assert_eq!(places, model.0.len(), "seed {seed} step {step}");
            }
            for (identity, id) in joined {
                sessions.leave(&identity, id);
            }
            assert_eq!(sessions.len(), 0, "seed {seed}");
        }
    }
}
