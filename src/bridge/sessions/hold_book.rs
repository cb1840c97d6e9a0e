//! The sessions that wait for their clients: which account each is on, and what is kept for it.

use super::session_key::SessionKey;
use super::session_owner::HoldOwner;
use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;
use crate::host::Identity;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// The sessions that wait for their clients. Each is on one or two accounts; one of them pays for
/// its bytes. Each operation costs the logarithm of their number at most.
#[derive(Debug, Default)]
pub(super) struct HoldBook {
    accounts: Slab<HoldAccount>,
    by_owner: HashMap<HoldOwner, usize>,
    /// The accounts that pay, by their weight.
    by_weight: BTreeSet<(usize, usize)>,
    /// The accounts that pay, by the number of their holds, and by the age of the oldest.
    by_holds: BTreeSet<(HoldRank, usize)>,
    held: usize,
    bytes: usize,
}

/// The bytes of a hold that weigh nothing: what each session takes, and a few short messages. So an
/// address with many clients is not heavy by their number.
const FREE: usize = 4 << 10;

/// The number of holds of an account, and since when the oldest waits. The last one in this order
/// has the most, and of those the oldest.
type HoldRank = (usize, Reverse<Micros>);

/// The holds of one owner.
#[derive(Debug)]
struct HoldAccount {
    owner: HoldOwner,
    by_age: BTreeSet<(Micros, SessionKey)>,
    /// Those that this account pays for.
    by_bytes: BTreeSet<(usize, SessionKey)>,
    /// The bytes that it pays for, without those that weigh nothing.
    weight: usize,
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
        let is_proved = identity.is_some_and(Identity::is_proved);
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
        self.unrank(accounts.payer);
        for account in accounts.all() {
            self.accounts[account].by_age.insert((since, key));
        }
        self.held += 1;
        self.pay(accounts.payer, key, None, Some(bytes));
        accounts
    }

    /// Removes a hold that keeps this many bytes.
    pub(super) fn remove(&mut self, hold: BookedHold, bytes: usize) {
        self.unrank(hold.accounts.payer);
        for account in hold.accounts.all() {
            let holds = &mut self.accounts[account].by_age;
            holds.remove(&(hold.since, hold.key));
        }
        self.pay(hold.accounts.payer, hold.key, Some(bytes), None);
        self.held -= 1;
        for account in hold.accounts.all() {
            if self.accounts[account].by_age.is_empty() {
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

    /// Returns the largest hold of the heaviest account. If none has any weight, returns the oldest
    /// hold of the account with the most holds.
    pub(super) fn heaviest(&self) -> Option<SessionKey> {
        let (weight, account) = self.by_weight.last()?;
        if *weight == 0 {
            return self.most_held();
        }
        let (_, key) = self.accounts[*account].by_bytes.last()?;
        Some(*key)
    }

    /// Returns the oldest hold of the account with the most holds.
    pub(super) fn most_held(&self) -> Option<SessionKey> {
        let (_, account) = self.by_holds.last()?;
        let (_, key) = self.accounts[*account].by_age.first()?;
        Some(*key)
    }

    /// Returns whether a hold of this many bytes is not small, and its payer has more than its
    /// equal part of `most`.
    pub(super) fn is_above_share(&self, hold: HoldAccounts, bytes: usize, most: usize) -> bool {
        let weight = self.accounts[hold.payer].weight;
        bytes > FREE && weight > most / self.by_weight.len().max(1)
    }

    /// Returns the holds of an owner, the oldest first.
    pub(super) fn of(&self, owner: &HoldOwner) -> impl Iterator<Item = SessionKey> {
        let account = self.by_owner.get(owner).map(|at| &self.accounts[*at]);
        let holds = account.into_iter().flat_map(|account| &account.by_age);
        holds.map(|(_, key)| *key)
    }

    /// Returns all holds, those of the heaviest account first.
    pub(super) fn all(&self) -> impl Iterator<Item = SessionKey> {
        let payers = self.by_weight.iter().rev();
        let accounts = payers.map(|(_, payer)| &self.accounts[*payer]);
        let holds = accounts.flat_map(|account| account.by_bytes.iter().rev());
        holds.map(|(_, key)| *key)
    }

    /// Returns how many entries there are.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.accounts.len() + self.by_owner.len() + self.by_weight.len() + self.by_holds.len()
    }

    fn account(&mut self, owner: HoldOwner) -> usize {
        let accounts = &mut self.accounts;
        *self.by_owner.entry(owner).or_insert_with_key(|owner| {
            accounts.insert(HoldAccount {
                owner: owner.clone(),
                by_age: BTreeSet::new(),
                by_bytes: BTreeSet::new(),
                weight: 0,
            })
        })
    }

    /// Changes what an account pays for a hold: from these bytes to those.
    fn pay(&mut self, payer: usize, key: SessionKey, from: Option<usize>, to: Option<usize>) {
        self.unrank(payer);
        let account = &mut self.accounts[payer];
        if let Some(from) = from {
            account.by_bytes.remove(&(from, key));
            account.weight -= from.saturating_sub(FREE);
            self.bytes -= from;
        }
        if let Some(to) = to {
            account.by_bytes.insert((to, key));
            account.weight += to.saturating_sub(FREE);
            self.bytes += to;
        }
        if !account.by_bytes.is_empty() {
            self.by_weight.insert((account.weight, payer));
            self.by_holds.insert((account.rank(), payer));
        }
    }

    /// Takes an account out of the orders, because its place in them is about to change.
    fn unrank(&mut self, payer: usize) {
        let account = &self.accounts[payer];
        self.by_weight.remove(&(account.weight, payer));
        self.by_holds.remove(&(account.rank(), payer));
    }
}

impl HoldAccount {
    fn rank(&self) -> HoldRank {
        let oldest = self
            .by_age
            .first()
            .map_or(Micros::ZERO, |(since, _)| *since);
        (self.by_age.len(), Reverse(oldest))
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
    fn the_largest_hold_of_the_heaviest_account_is_the_heaviest() {
        let mut book = HoldBook::default();
        let (ada, bob) = (identity("ada", None), identity("bob", None));
        let [of_60, of_30, of_40] = [60, 30, 40].map(|weight| FREE + weight);
        book.add((SessionKey(1), Micros(1), of_60), Some(&ada), block(1));
        let small = book.add((SessionKey(2), Micros(2), of_30), Some(&bob), block(1));
        book.add((SessionKey(3), Micros(3), of_40), Some(&bob), block(1));
        assert_eq!(book.heaviest(), Some(SessionKey(3)));
        assert_eq!(book.bytes(), 3 * FREE + 130);
        assert!(book.is_above_share(small, of_30, 130));
        book.resize(booked(2, small), of_30, 10);
        assert_eq!(book.heaviest(), Some(SessionKey(1)));
        assert!(!book.is_above_share(small, 10, 0), "a small one never is");
    }

    /// Many clients behind one address keep little each.
    #[test]
    fn an_address_with_many_small_holds_is_not_heavy() {
        let mut book = HoldBook::default();
        for n in 0..1_000 {
            book.add((SessionKey(n), Micros(n), 1_000), None, block(1));
        }
        book.add((SessionKey(2_000), Micros(0), 50_000), None, block(2));
        assert_eq!(book.heaviest(), Some(SessionKey(2_000)));
        assert_eq!(book.most_held(), Some(SessionKey(0)));
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
                        let bytes = rng.usize(0..3 * FREE);
                        let entry = (SessionKey(key), Micros(key), bytes);
                        let accounts = book.add(entry, name.as_ref(), block(at));
                        let payer = match name {
                            Some(name) if name.is_proved() => format!("{user}"),
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
                            let now = rng.usize(0..3 * FREE);
                            book.resize(booked(*key, entry.0), entry.2, now);
                            entry.2 = now;
                        }
                    }
                }
                let mut sums: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
                for (_, payer, bytes) in plain.values() {
                    let (weight, holds) = sums.entry(payer).or_default();
                    *weight += bytes.saturating_sub(FREE);
                    *holds += 1;
                }
                let heaviest = book.heaviest().map(|key| &plain[&key.0]);
                let most = sums.values().map(|(weight, _)| *weight).max();
                assert_eq!(heaviest.map(|(_, payer, _)| sums[&**payer].0), most);
                let most_held = book.most_held().map(|key| &plain[&key.0]);
                let most = sums.values().map(|(_, holds)| *holds).max();
                assert_eq!(most_held.map(|(_, payer, _)| sums[&**payer].1), most);
                let bytes: usize = plain.values().map(|(_, _, bytes)| bytes).sum();
                assert_eq!(book.bytes(), bytes);
                assert_eq!(book.held(), plain.len());
                let mut all: Vec<_> = book.all().map(|key| key.0).collect();
                all.sort_unstable();
                assert!(all.iter().eq(plain.keys()), "each hold once");
            }
        }
    }
}
