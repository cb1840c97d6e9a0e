//! Which peers were last reported as throttled: one line a minute for each identity.

use super::Identity;
use crate::time::Micros;
use std::collections::HashMap;
use std::net::IpAddr;

/// How long an identity is not reported again.
const EVERY: Micros = Micros::from_secs(60);

/// Identities that are remembered. When there are more, all that are older than a minute are forgotten; if none is, no more are
/// reported until then.
const MOST: usize = 1_024;

/// The peer that a line is about: its identity, or its address if it has not said.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Identity(Identity),
    Address(Option<IpAddr>),
}

/// When each peer was reported.
#[derive(Debug, Default)]
pub(super) struct Throttled {
    reported: HashMap<Key, Micros>,
}

impl Throttled {
    /// Returns whether a line is due for this peer, and marks it as written.
    pub(super) fn admits(
        &mut self,
        identity: Option<&Identity>,
        address: Option<IpAddr>,
        now: Micros,
    ) -> bool {
        let key = identity.map_or(Key::Address(address), |i| Key::Identity(i.clone()));
        if let Some(at) = self.reported.get_mut(&key) {
            let due = now >= *at + EVERY;
            if due {
                *at = now;
            }
            return due;
        }
        if self.reported.len() >= MOST {
            self.reported.retain(|_, at| now < *at + EVERY);
        }
        let room = self.reported.len() < MOST;
        if room {
            self.reported.insert(key, now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Role;

    fn user(name: usize) -> Identity {
        Identity {
            user: name.to_string().into(),
            role: Role::Glasses,
        }
    }

    #[test]
    fn an_identity_is_reported_once_a_minute() {
        let mut throttled = Throttled::default();
        let mut admits = |name, s| throttled.admits(Some(&user(name)), None, Micros::from_secs(s));
        assert!(admits(1, 0) && admits(2, 1));
        assert!(!admits(1, 59));
        assert!(admits(1, 60));
        assert!(!admits(1, 119));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut throttled = Throttled::default();
        let now = Micros::from_secs(1);
        let reported = (0..3 * MOST).filter(|n| throttled.admits(Some(&user(*n)), None, now));
        assert_eq!(reported.count(), MOST);
        let later = Micros::from_secs(61);
        assert!(throttled.admits(Some(&user(9_999)), None, later));
        assert_eq!(throttled.reported.len(), 1);
    }
}
