//! Which names are counted, and which make room.

use super::*;
use crate::engine::Class;
use std::net::{IpAddr, Ipv6Addr};

const NOW: Micros = Micros::from_secs(1_000);
const LIMIT: u32 = 3;

fn proved(n: usize) -> Identity {
    Identity {
        class: Class(0),
        user: format!("u{n}").into(),
        package: None,
        address: None,
    }
}

fn at(n: usize, address: IpAddr) -> Identity {
    Identity {
        address: Some(Box::new(address)),
        ..proved(n)
    }
}

fn ipv4(n: u32) -> IpAddr {
    std::net::Ipv4Addr::from(0x0a00_0000 + n).into()
}

impl Flapping {
    /// Connects; returns whether that was admitted.
    fn connect(&mut self, scope: &str, identity: &Identity, now: Micros) -> bool {
        let is_admitted = self.check_refusal(scope, identity, LIMIT, now).is_none();
        if is_admitted {
            self.count_reconnect(scope, identity, LIMIT, now);
        }
        self.assert_consistent();
        is_admitted
    }

    /// Connects as often as the limit allows, and once more.
    fn use_up(&mut self, scope: &str, identity: &Identity, now: Micros) {
        for _ in 0..LIMIT {
            assert!(self.connect(scope, identity, now));
        }
        assert!(!self.connect(scope, identity, now));
    }

    fn unproved(&self) -> usize {
        self.counts.len() - self.proved.len()
    }

    fn assert_consistent(&self) {
        assert!(self.proved.len() <= PROVED_MAX && self.unproved() <= UNPROVED_MAX);
        assert_eq!(self.blocks.len(), self.by_size.len());
    }
}

#[test]
fn each_scope_and_each_identity_counts_apart() {
    let mut flapping = Flapping::default();
    flapping.use_up("a", &proved(1), NOW);
    flapping.use_up("b", &proved(1), NOW);
    flapping.use_up("a", &proved(2), NOW);
    flapping.use_up("a", &at(1, ipv4(1)), NOW);
    flapping.use_up("a", &at(1, ipv4(2)), NOW);
    assert_eq!(flapping.refused_identities(NOW).count(), 3);
    assert!(flapping.refusal_left("b", &proved(1), NOW).is_some());
    assert!(flapping.refusal_left("b", &proved(2), NOW).is_none());
    // 0 is no limit.
    assert_eq!(flapping.check_refusal("a", &proved(1), 0, NOW), None);
}

/// A host can take any address of its /64.
#[test]
fn the_addresses_of_an_ipv6_block_are_one() {
    let mut flapping = Flapping::default();
    let address = |n: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, n, 0, 0, n));
    for n in 0..LIMIT {
        assert!(flapping.connect("r", &at(1, address(n as u16)), NOW));
    }
    assert!(!flapping.connect("r", &at(1, address(9)), NOW));
    let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
    assert!(flapping.connect("r", &at(1, other.into()), NOW));
}

#[test]
fn names_without_proof_push_out_no_proved_name() {
    let mut flapping = Flapping::default();
    flapping.use_up("r", &proved(1), NOW);
    for n in 0..2 * UNPROVED_MAX {
        flapping.count_reconnect("r", &at(n, ipv4(n as u32)), LIMIT, NOW);
    }
    flapping.assert_consistent();
    assert_eq!(flapping.unproved(), UNPROVED_MAX);
    assert!(!flapping.connect("r", &proved(1), NOW));
    // They do not keep proved names out, either.
    flapping.use_up("r", &proved(2), NOW);
}

#[test]
fn one_address_pushes_out_no_name_of_another() {
    let mut flapping = Flapping::default();
    flapping.use_up("r", &at(1, ipv4(1)), NOW);
    // Eleven addresses with as many names as are counted apart.
    for n in 0..11 * NAMES_PER_BLOCK {
        let address = ipv4(2 + n as u32 % 11);
        flapping.count_reconnect("r", &at(n, address), LIMIT, NOW);
    }
    flapping.assert_consistent();
    assert_eq!(flapping.unproved(), UNPROVED_MAX);
    assert!(!flapping.connect("r", &at(1, ipv4(1)), NOW));
    flapping.use_up("r", &at(2, ipv4(1)), NOW);
}

#[test]
fn a_client_with_very_many_names_does_not_escape() {
    let mut flapping = Flapping::default();
    let most = LIMIT as usize * NAMES_PER_BLOCK;
    let mut admitted = 0;
    for n in 0..20_000 {
        let name = at(n, ipv4(1));
        if flapping.check_refusal("r", &name, LIMIT, NOW).is_none() {
            flapping.count_reconnect("r", &name, LIMIT, NOW);
            admitted += 1;
        }
    }
    assert_eq!(admitted, NAMES_PER_BLOCK + most);
    flapping.assert_consistent();
    assert!(flapping.unproved() <= NAMES_PER_BLOCK + 1);
    // Its counted names, and other addresses, have limits of their own.
    assert!(flapping.connect("r", &at(0, ipv4(1)), NOW));
    assert!(flapping.connect("r", &at(100_000, ipv4(2)), NOW));
    // After a quiet while its names are counted apart again.
    let later = NOW + Micros::from_secs(300);
    flapping.use_up("r", &at(100_000, ipv4(1)), later);
}

#[test]
fn of_too_many_proved_names_those_stay_that_connect_again_and_again() {
    let mut flapping = Flapping::default();
    flapping.use_up("r", &proved(0), NOW);
    for n in 1..2 * PROVED_MAX {
        flapping.count_reconnect("r", &proved(n), LIMIT, NOW + Micros(n as u64));
    }
    flapping.assert_consistent();
    assert_eq!(flapping.proved.len(), PROVED_MAX);
    assert!(!flapping.connect("r", &proved(0), NOW + Micros::from_secs(1)));
}

#[test]
fn what_is_over_makes_room_by_itself() {
    let mut flapping = Flapping::default();
    for n in 0..1_000 {
        flapping.count_reconnect("r", &proved(n), LIMIT, NOW);
        flapping.count_reconnect("r", &at(n, ipv4(n as u32 % 10)), LIMIT, NOW);
    }
    let later = NOW + Micros::from_secs(60);
    for n in 1_000..1_200 {
        flapping.count_reconnect("r", &proved(n), LIMIT, later);
        flapping.count_reconnect("r", &at(n, ipv4(n as u32 % 10)), LIMIT, later);
    }
    assert_eq!((flapping.proved.len(), flapping.unproved()), (200, 200));
    flapping.assert_consistent();
}
