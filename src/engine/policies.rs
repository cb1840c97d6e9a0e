//! Which policy holds for a connection: its class's, or one of its own.
//!
//! A connection keeps two bytes for that. Policies of their own are few and equal, so they are shared and counted.

use crate::engine::handler::Class;
use crate::health::Policy;
use crate::time::Micros;

/// Instead of its class's: one more than an index, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OwnPolicy(u16);

impl OwnPolicy {
    /// Whether there is one.
    pub(crate) fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// The policies of classes, and of single connections.
#[derive(Debug)]
pub(crate) struct Policies {
    classes: Vec<Policy>,
    own: Vec<(Policy, u32)>,
    shortest_timeout: Micros,
}

impl Policies {
    pub(crate) fn new(classes: Vec<Policy>) -> Self {
        let mut policies = Policies {
            classes,
            own: Vec::new(),
            shortest_timeout: Micros::ZERO,
        };
        policies.find_shortest();
        policies
    }

    pub(crate) fn of(&self, class: Class, own: OwnPolicy) -> &Policy {
        match own.0.checked_sub(1) {
            Some(index) => &self.own[usize::from(index)].0,
            None => &self.classes[usize::from(class.0)],
        }
    }

    /// Changes a class's policy. `false`: there is no such class.
    pub(crate) fn set(&mut self, class: Class, policy: Policy) -> bool {
        let Some(slot) = self.classes.get_mut(usize::from(class.0)) else {
            return false;
        };
        *slot = policy;
        self.find_shortest();
        true
    }

    /// Counts one more connection with this policy. `None`: there are 65 535 different ones.
    pub(crate) fn adopt(&mut self, policy: Policy) -> Option<OwnPolicy> {
        let same = self
            .own
            .iter()
            .position(|(p, users)| *p == policy && *users > 0);
        let index = match same.or_else(|| self.own.iter().position(|(_, users)| *users == 0)) {
            Some(index) => index,
            None if self.own.len() < usize::from(u16::MAX) => {
                self.own.push((policy, 0));
                self.own.len() - 1
            }
            None => return None,
        };
        let users = self.own[index].1 + 1;
        self.own[index] = (policy, users);
        if users == 1 {
            self.find_shortest();
        }
        Some(OwnPolicy(index as u16 + 1))
    }

    /// One connection less has this policy.
    pub(crate) fn release(&mut self, own: OwnPolicy) {
        if let Some(index) = own.0.checked_sub(1) {
            let users = &mut self.own[usize::from(index)].1;
            *users -= 1;
            if *users == 0 {
                self.find_shortest();
            }
        }
    }

    /// The shortest connection timeout that any connection may have.
    pub(crate) fn shortest_timeout(&self) -> Micros {
        self.shortest_timeout
    }

    pub(crate) fn classes(&self) -> &[Policy] {
        &self.classes
    }

    fn find_shortest(&mut self) {
        let own = self
            .own
            .iter()
            .filter(|(_, users)| *users > 0)
            .map(|(p, _)| p);
        let timeouts = self.classes.iter().chain(own).map(|p| p.connection_timeout);
        self.shortest_timeout = timeouts.min().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_policies_are_shared_and_given_up_with_their_last_user() {
        let secs = |s| Policy {
            connection_timeout: Micros::from_secs(s),
            ..Policy::default()
        };
        let mut policies = Policies::new(vec![secs(45)]);
        let (a, b, c) = (
            policies.adopt(secs(20)),
            policies.adopt(secs(20)),
            policies.adopt(secs(30)),
        );
        let (a, b, c) = (a.expect("room"), b.expect("room"), c.expect("room"));
        assert!(a == b && a != c);
        assert_eq!(policies.of(Class(0), a), &secs(20));
        assert_eq!(policies.of(Class(0), OwnPolicy::default()), &secs(45));
        policies.release(a);
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(20));
        policies.release(b);
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(30));
        assert_eq!(policies.adopt(secs(10)), Some(a), "the place is used again");
        assert!(policies.set(Class(0), secs(5)) && !policies.set(Class(1), secs(5)));
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(5));
    }
}
