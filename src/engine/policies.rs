//! Which policy holds for a connection: its class's, or one of its own.
//!
//! A connection keeps two bytes for that. Policies of their own are few and equal, so they are shared and counted. A class's policy
//! is there twice while it changes: 100 000 connections cannot all change over in one turn, and each lives under the former one
//! until its turn has come.

use crate::base::id::Class;
use crate::base::time::Micros;
use crate::health::Policy;

/// What a connection keeps: below 2 which of the two of its class, from there on the index of one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PolicyRef(u16);

impl PolicyRef {
    /// So many are the class's.
    const OF_CLASS: u16 = 2;

    /// Returns whether it is the connection's own.
    pub(crate) fn is_own(self) -> bool {
        self.own().is_some()
    }

    fn own(self) -> Option<usize> {
        self.0.checked_sub(Self::OF_CLASS).map(usize::from)
    }
}

/// The policies of classes, and of single connections.
#[derive(Debug)]
pub(crate) struct Policies {
    /// As they were set last.
    classes: Vec<Policy>,
    /// By class, those that connections live under: the newest and the one before it, which are the same unless a change is
    /// being carried out.
    held: Vec<[Policy; 2]>,
    newest: PolicyRef,
    own: Vec<(Policy, u32)>,
    shortest_timeout: Micros,
}

impl Policies {
    pub(crate) fn new(classes: Vec<Policy>) -> Self {
        let mut policies = Policies {
            held: classes.iter().map(|policy| [*policy; 2]).collect(),
            newest: PolicyRef::default(),
            classes,
            own: Vec::new(),
            shortest_timeout: Micros::ZERO,
        };
        policies.find_shortest();
        policies
    }

    pub(crate) fn of(&self, class: Class, which: PolicyRef) -> &Policy {
        match which.own() {
            Some(index) => &self.own[index].0,
            None => &self.held[usize::from(class.0)][usize::from(which.0)],
        }
    }

    /// Sets a class's policy. Nobody lives under it before the next [`begin_change`](Policies::begin_change). `false`: there is no
    /// such class.
    pub(crate) fn set(&mut self, class: Class, policy: Policy) -> bool {
        let Some(slot) = self.classes.get_mut(usize::from(class.0)) else {
            return false;
        };
        *slot = policy;
        true
    }

    /// What was set holds for who comes, and for who [`changes`](Policies::change). The change before must have been ended.
    pub(crate) fn begin_change(&mut self) {
        let newest = PolicyRef(1 - self.newest.0);
        for (held, set) in self.held.iter_mut().zip(&self.classes) {
            held[usize::from(newest.0)] = *set;
        }
        self.newest = newest;
        self.find_shortest();
    }

    /// Nobody lives under a former policy any more.
    pub(crate) fn end_change(&mut self) {
        for held in &mut self.held {
            *held = [held[usize::from(self.newest.0)]; 2];
        }
        self.find_shortest();
    }

    /// What holds for a connection of a class that comes now.
    pub(crate) fn newest(&self) -> PolicyRef {
        self.newest
    }

    /// Has a connection of this class live under the newest policy. The former one and the newest, if they differ.
    pub(crate) fn change(&self, class: Class, which: &mut PolicyRef) -> Option<(&Policy, &Policy)> {
        if which.is_own() {
            return None;
        }
        let former = self.of(class, std::mem::replace(which, self.newest));
        Some((former, self.of(class, *which))).filter(|(former, newest)| former != newest)
    }

    /// Counts one more connection with this policy. `None`: there are 65 534 different ones.
    pub(crate) fn adopt(&mut self, policy: Policy) -> Option<PolicyRef> {
        let same = self
            .own
            .iter()
            .position(|(p, users)| *p == policy && *users > 0);
        let index = match same.or_else(|| self.own.iter().position(|(_, users)| *users == 0)) {
            Some(index) => index,
            None if self.own.len() <= usize::from(u16::MAX - PolicyRef::OF_CLASS) => {
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
        Some(PolicyRef(index as u16 + PolicyRef::OF_CLASS))
    }

    /// One connection less has this policy.
    pub(crate) fn release(&mut self, which: PolicyRef) {
        if let Some(index) = which.own() {
            let users = &mut self.own[index].1;
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

    /// By class, as they were set.
    pub(crate) fn classes(&self) -> &[Policy] {
        &self.classes
    }

    fn find_shortest(&mut self) {
        let own = self
            .own
            .iter()
            .filter(|(_, users)| *users > 0)
            .map(|(p, _)| p);
        let all = self.held.iter().flatten().chain(own);
        let timeouts = all.map(|p| p.connection_timeout);
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
        assert_eq!(policies.of(Class(0), PolicyRef::default()), &secs(45));
        policies.release(a);
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(20));
        policies.release(b);
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(30));
        assert_eq!(policies.adopt(secs(10)), Some(a), "the place is used again");
    }

    #[test]
    fn a_class_has_two_policies_while_it_changes() {
        let secs = |s| Policy {
            connection_timeout: Micros::from_secs(s),
            ..Policy::default()
        };
        let mut policies = Policies::new(vec![secs(45), secs(60)]);
        let own = policies.adopt(secs(50)).expect("room");
        let here = policies.newest();
        assert!(policies.set(Class(0), secs(20)) && !policies.set(Class(2), secs(20)));
        assert_eq!(policies.of(Class(0), policies.newest()), &secs(45));
        policies.begin_change();
        assert_eq!(policies.of(Class(0), here), &secs(45), "its turn comes");
        assert_eq!(policies.of(Class(0), policies.newest()), &secs(20));
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(20));
        for (class, mut which, change) in [
            (Class(0), here, Some((&secs(45), &secs(20)))),
            (Class(0), policies.newest(), None),
            (Class(1), here, None),
        ] {
            assert_eq!(policies.change(class, &mut which), change);
            assert_eq!(which, policies.newest());
        }
        let mut mine = own;
        assert_eq!((policies.change(Class(0), &mut mine), mine), (None, own));
        // The next one, before nobody is left under the first.
        assert!(policies.set(Class(0), secs(30)));
        assert_eq!(policies.of(Class(0), here), &secs(45));
        policies.end_change();
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(20));
        policies.begin_change();
        policies.end_change();
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(30));
    }
}
