//! The sessions that wait for their clients: which account each is on, and what is kept for it.

use super::session_key::SessionKey;
use super::session_owner::HoldOwner;
use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;
use crate::host::Identity;
use slab::Slab;
use std::collections::{BTreeSet, HashMap};

/// The sessions that wait for their clients. Each is on one or two accounts; one of them pays for
/// its bytes. Each operation costs the logarithm of their number at most.
#[derive(Debug, Default)]
pub(super) struct HoldBook {
    accounts: Slab<HoldAccount>,
    by_owner: HashMap<HoldOwner, usize>,
    /// The accounts that pay, by their bytes.
    payers: BTreeSet<(usize, usize)>,
    held: usize,
    bytes: usize,
}

/// The holds of one owner.
#[derive(Debug)]
struct HoldAccount {
    owner: HoldOwner,
    by_age: BTreeSet<(Micros, SessionKey)>,
    /// Those that this account pays for.
    by_bytes: BTreeSet<(usize, SessionKey)>,
    /// The bytes that it pays for.
    bytes: usize,
}

/// The accounts of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HoldAccounts {
    payer: usize,
    /// The account of a name that proves nothing: the address pays.
    name: Option<usize>,
}

/// A hold as the book knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BookedHold {
    pub(super) key: SessionKey,
    pub(super) since: Micros,
    pub(super) accounts: HoldAccounts,
}

impl HoldBook {
    /// Adds a hold that keeps this many bytes.
    pub(super) fn add(
        &mut self,
        (key, since, bytes): (SessionKey, Micros, usize),
        identity: Option<&Identity>,
        block: AddressBlock,
    ) -> HoldAccounts {
        let named = identity.cloned().map(HoldOwner::Named);
        let is_proved = identity.is_some_and(|identity| identity.address.is_none());
        let accounts = match named {
            Some(name) if is_proved => HoldAccounts {
                payer: self.account(name),
                name: None,
            },
            name => HoldAccounts {
                payer: self.account(HoldOwner::Block(block)),
                name: name.map(|name| self.account(name)),
            },
        };
        for account in accounts.all() {
            self.accounts[account].by_age.insert((since, key));
        }
        self.held += 1;
        self.pay(accounts.payer, key, None, Some(bytes));
        accounts
    }

    /// Removes a hold that keeps this many bytes.
    pub(super) fn remove(&mut self, hold: BookedHold, bytes: usize) {
        self.pay(hold.accounts.payer, hold.key, Some(bytes), None);
        self.held -= 1;
        for account in hold.accounts.all() {
            let holds = &mut self.accounts[account].by_age;
            holds.remove(&(hold.since, hold.key));
            if holds.is_empty() {
                let gone = self.accounts.remove(account);
                self.by_owner.remove(&gone.owner);
            }
        }
        if self.held == 0 {
            // What a mass of holds needed is given back.
            *self = HoldBook::default();
        }
    }

    /// Changes the bytes of a hold.
    pub(super) fn resize(&mut self, hold: BookedHold, before: usize, now: usize) {
        self.pay(hold.accounts.payer, hold.key, Some(before), Some(now));
    }

    /// Returns how many sessions wait.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Returns the bytes that are kept for all of them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the oldest hold of an owner with this many holds or more.
    pub(super) fn oldest_of(&self, owner: &HoldOwner, most: usize) -> Option<SessionKey> {
        let account = &self.accounts[*self.by_owner.get(owner)?];
        let is_full = account.by_age.len() >= most;
        let oldest = account.by_age.first().filter(|_| is_full);
        oldest.map(|(_, key)| *key)
    }

    /// Returns the largest hold of the account that pays for the most bytes.
    pub(super) fn heaviest(&self) -> Option<SessionKey> {
        let (_, account) = self.payers.last()?;
        let (_, key) = self.accounts[*account].by_bytes.last()?;
        Some(*key)
    }

    /// Returns whether the payer of a hold has more than its equal part of these bytes.
    pub(super) fn is_above_share(&self, accounts: HoldAccounts, bytes: usize) -> bool {
        self.accounts[accounts.payer].bytes > bytes / self.payers.len().max(1)
    }

    /// Returns the holds of an owner, the oldest first.
    pub(super) fn of(&self, owner: &HoldOwner) -> impl Iterator<Item = SessionKey> {
        let account = self.by_owner.get(owner).map(|at| &self.accounts[*at]);
        let holds = account.into_iter().flat_map(|account| &account.by_age);
        holds.map(|(_, key)| *key)
    }

    /// Returns all holds, those of the account that pays for the most bytes first.
    pub(super) fn all(&self) -> impl Iterator<Item = SessionKey> {
        let payers = self.payers.iter().rev();
        let accounts = payers.map(|(_, payer)| &self.accounts[*payer]);
        let holds = accounts.flat_map(|account| account.by_bytes.iter().rev());
        holds.map(|(_, key)| *key)
    }

    /// Returns how many entries there are.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.accounts.len() + self.by_owner.len() + self.payers.len() + self.held
    }

    fn account(&mut self, owner: HoldOwner) -> usize {
        let accounts = &mut self.accounts;
        *self.by_owner.entry(owner).or_insert_with_key(|owner| {
            accounts.insert(HoldAccount {
                owner: owner.clone(),
                by_age: BTreeSet::new(),
                by_bytes: BTreeSet::new(),
                bytes: 0,
            })
        })
    }

    /// Changes what an account pays for a hold: from these bytes to those.
    fn pay(&mut self, payer: usize, key: SessionKey, from: Option<usize>, to: Option<usize>) {
        let account = &mut self.accounts[payer];
        self.payers.remove(&(account.bytes, payer));
        if let Some(from) = from {
            account.by_bytes.remove(&(from, key));
            account.bytes -= from;
            self.bytes -= from;
        }
        if let Some(to) = to {
            account.by_bytes.insert((to, key));
            account.bytes += to;
            self.bytes += to;
        }
        if !account.by_bytes.is_empty() {
            self.payers.insert((account.bytes, payer));
        }
    }
}

impl HoldAccounts {
    fn all(self) -> impl Iterator<Item = usize> {
        std::iter::once(self.payer).chain(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;
    use std::collections::BTreeMap;

    fn block(n: u8) -> AddressBlock {
        AddressBlock::of(std::net::IpAddr::from([10, 0, 0, n]))
    }

    fn identity(user: &str, address: Option<u8>) -> Identity {
        Identity {
            class: Class(0),
            user: user.into(),
            package: None,
            address: address.map(|n| Box::new(std::net::IpAddr::from([10, 0, 0, n]))),
        }
    }

    fn booked(key: u64, accounts: HoldAccounts) -> BookedHold {
        BookedHold {
            key: SessionKey(key),
            since: Micros(key),
            accounts,
        }
    }

    #[test]
    fn invented_names_are_on_the_account_of_their_address() {
        let mut book = HoldBook::default();
        for n in 1..=3 {
            let invented = identity(&format!("name{n}"), Some(1));
            book.add((SessionKey(n), Micros(n), 10), Some(&invented), block(1));
        }
        let address = HoldOwner::Block(block(1));
        assert_eq!(book.oldest_of(&address, 3), Some(SessionKey(1)));
        assert_eq!(book.oldest_of(&address, 4), None);
        let name = HoldOwner::Named(identity("name2", Some(1)));
        assert_eq!(book.oldest_of(&name, 1), Some(SessionKey(2)));
    }

    #[test]
    fn the_largest_hold_of_the_account_with_the_most_bytes_is_the_heaviest() {
        let mut book = HoldBook::default();
        let (ada, bob) = (identity("ada", None), identity("bob", None));
        book.add((SessionKey(1), Micros(1), 60), Some(&ada), block(1));
        let small = book.add((SessionKey(2), Micros(2), 30), Some(&bob), block(1));
        book.add((SessionKey(3), Micros(3), 40), Some(&bob), block(1));
        assert_eq!((book.heaviest(), book.bytes()), (Some(SessionKey(3)), 130));
        assert!(book.is_above_share(small, 130));
        book.resize(booked(2, small), 30, 10);
        assert_eq!(book.heaviest(), Some(SessionKey(1)));
        assert!(!book.is_above_share(small, 130));
    }

    /// Random changes, beside a plain list.
    #[test]
    fn the_book_agrees_with_a_plain_list() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut book, mut plain) = (HoldBook::default(), BTreeMap::new());
            for key in 0..120_u64 {
                match rng.u8(0..4) {
                    0 | 1 => {
                        let (user, at) = (rng.u8(0..4), rng.u8(0..3));
                        let address = rng.bool().then_some(at);
                        let name = identity(&user.to_string(), address);
                        let name = (rng.u8(0..3) > 0).then_some(name);
                        let bytes = rng.usize(0..1_000);
                        let entry = (SessionKey(key), Micros(key), bytes);
                        let accounts = book.add(entry, name.as_ref(), block(at));
                        let payer = match name {
                            Some(name) if name.address.is_none() => format!("{user}"),
                            _ => format!("at {at}"),
                        };
                        plain.insert(key, (accounts, payer, bytes));
                    }
                    2 => {
                        let (&key, _) = match plain.iter().nth(rng.usize(0..=plain.len())) {
                            Some(entry) => entry,
                            None => continue,
                        };
                        let (accounts, _, bytes) = plain.remove(&key).expect("it is there");
                        book.remove(booked(key, accounts), bytes);
                    }
                    _ => {
                        if let Some((key, entry)) = plain.iter_mut().next_back() {
                            let now = rng.usize(0..1_000);
                            book.resize(booked(*key, entry.0), entry.2, now);
                            entry.2 = now;
                        }
                    }
                }
                let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
                for (_, payer, bytes) in plain.values() {
                    *sums.entry(payer).or_default() += bytes;
                }
                let most = sums.values().max().copied();
                let heaviest = book.heaviest().map(|key| &plain[&key.0]);
                assert_eq!(heaviest.map(|(_, payer, _)| sums[&**payer]), most);
                assert_eq!(book.bytes(), sums.values().sum::<usize>());
                assert_eq!(book.held(), plain.len());
                let mut all: Vec<_> = book.all().map(|key| key.0).collect();
                all.sort_unstable();
                assert!(all.iter().eq(plain.keys()), "each hold once");
            }
        }
    }
}
