//! The policy that applies to a connection: its class's, or its own.
//!
//! A connection stores two bytes for this. Own policies are few and often equal, so they are shared
//! and counted. A class has two policies during a change: 100 000 connections cannot all be
//! migrated in one turn, and each keeps the former policy until its turn has come.
//!
//! With adaptive cadence, a connection may have its class's policy at another pace: with another
//! interval, and the timeout that belongs to it. All connections of a class with the same pace
//! share that policy, and the reference says which pace it is.

use crate::base::id::Class;
use crate::base::time::Micros;
use crate::health::{Pace, Policy};

/// A connection's reference to its policy: below 100, twice the number of its pace, plus the number
/// of one of the two policies of its class; from 100 on, the index of an own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PolicyRef(u16);

impl PolicyRef {
    /// The number of references that stand for class policies.
    const OF_CLASS: u16 = 2 * Pace::COUNT as u16;

    /// Returns whether the policy is the connection's own.
    pub(crate) fn is_own(self) -> bool {
        self.own().is_some()
    }

    fn own(self) -> Option<usize> {
        self.0.checked_sub(Self::OF_CLASS).map(usize::from)
    }

    /// Returns the pace of the connection.
    pub(crate) fn pace(self) -> Pace {
        match self.is_own() {
            true => Pace::Configured,
            false => Pace::from_index(usize::from(self.0 / 2)),
        }
    }

    /// Returns the reference to the same policy at another pace. An own policy has only one.
    pub(crate) fn at_pace(self, pace: Pace) -> Self {
        match self.is_own() {
            true => self,
            false => PolicyRef(2 * pace.index() as u16 + self.0 % 2),
        }
    }
}

/// The policies of classes, and of single connections.
#[derive(Debug)]
pub(crate) struct Policies {
    /// The policies as they were last set.
    classes: Vec<Policy>,
    /// By class, the policies that connections use: the newest and the one before it. They are
    /// equal unless a change is in progress.
    held: Vec<[Policy; 2]>,
    newest: PolicyRef,
    own: Vec<(Policy, u32)>,
    /// By class and reference, the policies of classes at each pace; empty unless connections may
    /// have another one than the configured one.
    paced: Vec<Policy>,
    has_paces: bool,
    /// Whether the change that is in progress, and the next one, bring all connections back to the
    /// configured pace.
    resets_paces: bool,
    will_reset_paces: bool,
    shortest_timeout: Micros,
}

impl Policies {
    pub(crate) fn new(classes: Vec<Policy>, has_paces: bool) -> Self {
        let mut policies = Policies {
            held: classes.iter().map(|policy| [*policy; 2]).collect(),
            newest: PolicyRef::default(),
            classes,
            own: Vec::new(),
            paced: Vec::new(),
            has_paces,
            resets_paces: false,
            will_reset_paces: false,
            shortest_timeout: Micros::ZERO,
        };
        policies.derive();
        policies
    }

    pub(crate) fn of(&self, class: Class, which: PolicyRef) -> &Policy {
        let class = usize::from(class.0);
        match (which.0, which.own()) {
            (0..2, _) => &self.held[class][usize::from(which.0)],
            (_, Some(index)) => &self.own[index].0,
            (_, None) => {
                &self.paced[class * usize::from(PolicyRef::OF_CLASS) + usize::from(which.0)]
            }
        }
    }

    /// Returns the policy of the class from which a connection's policy is derived; `None` if the
    /// connection has its own policy.
    pub(crate) fn configured(&self, class: Class, which: PolicyRef) -> Option<&Policy> {
        let configured = which.at_pace(Pace::Configured);
        (!which.is_own()).then(|| self.of(class, configured))
    }

    /// Sets whether connections may have another pace than the configured one. The next change
    /// brings all back to that one.
    pub(crate) fn set_paces(&mut self, has_paces: bool) {
        self.has_paces = has_paces;
        self.will_reset_paces = true;
        self.derive();
    }

    /// Sets a class's policy. It takes effect with the next
    /// [`begin_migration`](Policies::begin_migration). Returns `false` if there is no such class.
    pub(crate) fn set(&mut self, class: Class, policy: Policy) -> bool {
        let Some(slot) = self.classes.get_mut(usize::from(class.0)) else {
            return false;
        };
        *slot = policy;
        true
    }

    /// Applies the policies that were set to new connections, and to those that
    /// [`migrate`](Policies::migrate) moves. The previous change must have ended.
    pub(crate) fn begin_migration(&mut self) {
        let newest = PolicyRef(1 - self.newest.0);
        for (held, set) in self.held.iter_mut().zip(&self.classes) {
            held[usize::from(newest.0)] = *set;
        }
        self.newest = newest;
        self.resets_paces = std::mem::take(&mut self.will_reset_paces);
        self.derive();
    }

    /// Ends a change: no connection uses a former policy.
    pub(crate) fn end_migration(&mut self) {
        for held in &mut self.held {
            *held = [held[usize::from(self.newest.0)]; 2];
        }
        // Connections may have got another pace since, which the next change takes from them.
        let was_reset = std::mem::take(&mut self.resets_paces);
        if was_reset && !self.has_paces && !self.will_reset_paces {
            self.paced = Vec::new();
        }
        self.derive();
    }

    /// Returns the policy reference for a new connection.
    pub(crate) fn newest(&self) -> PolicyRef {
        self.newest
    }

    /// Moves a connection of this class to the newest policy. Returns the former and the newest
    /// policy if they differ. The connection keeps its pace only if its class's policy is the same.
    pub(crate) fn migrate(
        &self,
        class: Class,
        which: &mut PolicyRef,
    ) -> Option<(&Policy, &Policy)> {
        if which.is_own() {
            return None;
        }
        let held = &self.held[usize::from(class.0)];
        let newest = match held[0] == held[1] && !self.resets_paces {
            true => self.newest.at_pace(which.pace()),
            false => self.newest,
        };
        let former = self.of(class, std::mem::replace(which, newest));
        Some((former, self.of(class, *which))).filter(|(former, newest)| former != newest)
    }

    /// Counts one more connection with this policy. `None`: there are already 65 436 different
    /// ones.
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

    /// Counts one connection less with this policy.
    pub(crate) fn release(&mut self, which: PolicyRef) {
        if let Some(index) = which.own() {
            let users = &mut self.own[index].1;
            *users -= 1;
            if *users == 0 {
                self.find_shortest();
            }
        }
    }

    /// Returns the shortest timeout of any connection.
    pub(crate) fn shortest_timeout(&self) -> Micros {
        self.shortest_timeout
    }

    /// Returns the policies as they were set, by class.
    pub(crate) fn classes(&self) -> &[Policy] {
        &self.classes
    }

    /// Computes what follows from the policies of classes.
    fn derive(&mut self) {
        self.find_shortest();
        if !self.has_paces && self.paced.is_empty() {
            return;
        }
        let paces = |held: &[Policy; 2]| {
            let held = *held;
            (0..Pace::COUNT).flat_map(move |index| {
                let pace = Pace::from_index(index);
                held.map(|policy| pace.policy(&policy))
            })
        };
        self.paced = self.held.iter().flat_map(paces).collect();
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
        let mut policies = Policies::new(vec![secs(45)], false);
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
        let mut policies = Policies::new(vec![secs(45), secs(60)], false);
        let own = policies.adopt(secs(50)).expect("room");
        let here = policies.newest();
        assert!(policies.set(Class(0), secs(20)) && !policies.set(Class(2), secs(20)));
        assert_eq!(policies.of(Class(0), policies.newest()), &secs(45));
        policies.begin_migration();
        assert_eq!(policies.of(Class(0), here), &secs(45), "its turn comes");
        assert_eq!(policies.of(Class(0), policies.newest()), &secs(20));
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(20));
        for (class, mut which, change) in [
            (Class(0), here, Some((&secs(45), &secs(20)))),
            (Class(0), policies.newest(), None),
            (Class(1), here, None),
        ] {
            assert_eq!(policies.migrate(class, &mut which), change);
            assert_eq!(which, policies.newest());
        }
        let mut mine = own;
        assert_eq!((policies.migrate(Class(0), &mut mine), mine), (None, own));
        // A second change, before all connections have left the first.
        assert!(policies.set(Class(0), secs(30)));
        assert_eq!(policies.of(Class(0), here), &secs(45));
        policies.end_migration();
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(20));
        policies.begin_migration();
        policies.end_migration();
        assert_eq!(policies.shortest_timeout(), Micros::from_secs(30));
    }

    /// Paces are switched on and, before all connections have been migrated, off again. One that
    /// has been migrated has got another pace meanwhile.
    #[test]
    fn paces_that_are_switched_off_during_a_change_are_taken_by_the_next_one() {
        let mut policies = Policies::new(vec![Policy::DEFAULT], false);
        policies.set_paces(true);
        policies.begin_migration();
        let mut which = policies.newest();
        policies.migrate(Class(0), &mut which);
        which = which.at_pace(Pace::AtRisk(None));
        policies.set_paces(false);
        policies.end_migration();
        let interval = |policies: &Policies, which| policies.of(Class(0), which).heartbeat_interval;
        assert_eq!(interval(&policies, which), Micros::from_secs(5));
        policies.begin_migration();
        policies.migrate(Class(0), &mut which);
        policies.end_migration();
        assert_eq!(which, policies.newest());
        assert_eq!(
            interval(&policies, which),
            Policy::DEFAULT.heartbeat_interval
        );
        assert!(policies.paced.is_empty());
    }
}
