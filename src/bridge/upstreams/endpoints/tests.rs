use super::*;
use crate::bridge::upstream::UpstreamUrl;
use std::net::{IpAddr, Ipv4Addr};

fn endpoints(count: u16) -> (Endpoints, Vec<EndpointId>) {
    let mut all = Endpoints::default();
    let ids = (1..=count).map(|port| {
        let url = UpstreamUrl::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
        let address = url.fixed_address().expect("an address");
        all.add(Endpoint::new("r".into(), url, address, 1))
    });
    let ids = ids.collect();
    (all, ids)
}

const CLIENT: AddressBlock = AddressBlock::of(IpAddr::V4(Ipv4Addr::LOCALHOST));

const RULES: ChoiceRules = ChoiceRules {
    max_dialing: 200,
    slow_start: Micros::ZERO,
    kind: RequestKind::WebSocket,
    client: CLIENT,
    is_contended: false,
};

const ONE_EACH: ChoiceRules = ChoiceRules {
    max_dialing: 1,
    ..RULES
};

#[test]
fn clients_are_spread_evenly_and_equal_ones_take_turns() {
    let (mut all, ids) = endpoints(3);
    let mut chosen = Vec::new();
    for nth in 0..6 {
        let Choice::Endpoint(best) =
            all.choose(&ids, &[], nth, &Wish::default(), RULES, Micros::ZERO)
        else {
            panic!("no address");
        };
        all.dialed(ConnId::new(nth as u32, 1), best, CLIENT);
        chosen.push(ids.iter().position(|id| *id == best).expect("one of them"));
    }
    assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    // One client leaves: its place is taken first.
    assert!(all.ended(ConnId::new(4, 1), Micros::ZERO).is_none());
    assert_eq!(
        all.choose(&ids, &[], 0, &Wish::default(), RULES, Micros::ZERO),
        Choice::Endpoint(ids[1])
    );
    assert_eq!(
        all.choose(&ids, &ids[1..], 0, &Wish::default(), RULES, Micros::ZERO),
        Choice::Endpoint(ids[0])
    );
    assert_eq!(
        all.choose(&ids, &ids, 0, &Wish::default(), RULES, Micros::ZERO),
        Choice::Nothing
    );
    assert_eq!(
        all.choose(&[], &[], 5, &Wish::default(), RULES, Micros::ZERO),
        Choice::Nothing
    );
}

#[test]
fn an_address_that_is_not_listed_stays_until_its_last_connection_has_ended() {
    let (mut all, ids) = endpoints(2);
    let [dialed, open] = [ConnId::new(1, 1), ConnId::new(2, 1)];
    all.dialed(dialed, ids[0], CLIENT);
    all.dialed(open, ids[0], CLIENT);
    all.opened(open);
    all.set_suspect(open, true, Micros::ZERO);
    all.set_suspect(dialed, true, Micros::ZERO);
    let state = all.get(ids[0]).expect("there").state();
    assert_eq!((state.open, state.silent), (1, 1));
    all.get_mut(ids[0]).expect("there").listing = Listing::Removed;
    assert_eq!((all.begin_leaving(7), all.begin_leaving(8)), (1, 0));
    assert!(all.remove_unused(ids[0]).is_none());
    assert_eq!(
        all.choose(&ids, &[], 0, &Wish::default(), RULES, Micros::ZERO),
        Choice::Endpoint(ids[1])
    );
    assert!(all.ended(dialed, Micros::ZERO).is_none());
    let (gone, endpoint) = all.ended(open, Micros::ZERO).expect("the last one");
    assert_eq!((gone, endpoint.suspects), (ids[0], 0));
    assert!(all.get(ids[0]).is_none() && all.ended(open, Micros::ZERO).is_none());
}

#[test]
fn a_cookie_and_a_key_lead_to_an_address_while_it_is_well_and_has_room() {
    let (mut all, ids) = endpoints(3);
    let now = Micros::from_secs(5);
    let token: Box<[u8]> = all.get(ids[2]).expect("there").token.as_bytes().into();
    let sticky = Wish {
        token,
        ..Wish::default()
    };
    let by_key = |key| Wish {
        key: Some(key),
        ..Wish::default()
    };
    let of_key = all.choose(&ids, &[], 0, &by_key(7), RULES, now);
    for start in 0..3 {
        let chosen = all.choose(&ids, &[], start, &sticky, RULES, now);
        assert_eq!(chosen, Choice::Endpoint(ids[2]));
        assert_eq!(all.choose(&ids, &[], start, &by_key(7), RULES, now), of_key);
    }
    // Not to one that is avoided.
    all.get_mut(ids[2]).expect("there").unreachable(now, "");
    let other = all.choose(&ids, &[], 0, &sticky, RULES, now);
    assert_eq!(other, Choice::Endpoint(ids[0]));
    let Choice::Endpoint(avoided) = of_key else {
        panic!("{of_key:?}");
    };
    all.get_mut(avoided).expect("there").unreachable(now, "");
    assert_ne!(all.choose(&ids, &[], 0, &by_key(7), RULES, now), of_key);
    // Not to one that an operator has drained, and not beyond the limit of requests.
    all.get_mut(ids[0]).expect("there").is_drained = true;
    for (leg, id) in [(1, ids[1]), (2, ids[2])] {
        let chosen = all.choose(
            &ids,
            &[],
            0,
            &Wish::default(),
            ONE_EACH,
            now + Micros::from_secs(60),
        );
        assert_eq!(chosen, Choice::Endpoint(id));
        all.dialed(ConnId::new(leg, 1), id, CLIENT);
    }
    let chosen = all.choose(&ids, &[], 0, &Wish::default(), ONE_EACH, now);
    assert_eq!(chosen, Choice::Full(None));
    all.opened(ConnId::new(1, 1));
    let chosen = all.choose(&ids, &[], 0, &Wish::default(), ONE_EACH, now);
    assert_eq!(chosen, Choice::Endpoint(ids[1]));
}

#[test]
fn one_that_refuses_is_tried_now_and_then_and_by_each_kind_alone() {
    let (mut all, ids) = endpoints(2);
    let mut now = Micros::from_secs(5);
    let token: Box<[u8]> = all.get(ids[0]).expect("there").token.as_bytes().into();
    let own = Wish {
        token,
        ..Wish::default()
    };
    let refusing = all.get_mut(ids[0]).expect("there");
    for _ in 0..3 {
        refusing.failed(RequestKind::WebSocket, CLIENT, 1, now, "");
    }
    assert_eq!(refusing.condition().name(), "refusing");
    let http = ChoiceRules {
        kind: RequestKind::Http,
        ..RULES
    };
    let choose =
        |all: &Endpoints, wish: &Wish, rules, now| all.choose(&ids, &[], 0, wish, rules, now);
    for wish in [Wish::default(), own] {
        let chosen = choose(&all, &wish, RULES, now);
        assert_eq!(chosen, Choice::Endpoint(ids[1]));
        assert_eq!(choose(&all, &wish, http, now), Choice::Endpoint(ids[0]));
    }
    // A second later one client tries it.
    now += Micros::from_secs(1);
    for best in [ids[0], ids[1]] {
        let chosen = choose(&all, &Wish::default(), RULES, now);
        assert_eq!(chosen, Choice::Endpoint(best));
        let best = all.get_mut(best).expect("there");
        best.chosen(RequestKind::WebSocket, now);
    }
    // If all refuse, the one with the fewest connections is as good as any.
    let other = all.get_mut(ids[1]).expect("there");
    for _ in 0..3 {
        other.failed(RequestKind::WebSocket, CLIENT, 1, now, "");
    }
    all.dialed(ConnId::new(1, 1), ids[1], CLIENT);
    let chosen = choose(&all, &Wish::default(), RULES, now);
    assert_eq!(chosen, Choice::Endpoint(ids[0]));
    let tried = all.get_mut(ids[0]).expect("there");
    tried.accepted(RequestKind::WebSocket, now);
    assert_eq!(tried.condition().name(), "up");
}

#[test]
fn a_client_waits_rather_than_go_to_an_address_that_is_not_well() {
    let (mut all, ids) = endpoints(2);
    let now = Micros::from_secs(5);
    all.get_mut(ids[1]).expect("there").unreachable(now, "");
    all.dialed(ConnId::new(1, 1), ids[0], CLIENT);
    let choose = |all: &Endpoints, wish: &Wish| all.choose(&ids, &[], 1, wish, ONE_EACH, now);
    assert_eq!(choose(&all, &Wish::default()), Choice::Full(None));
    all.opened(ConnId::new(1, 1));
    assert_eq!(choose(&all, &Wish::default()), Choice::Endpoint(ids[0]));
    // If none is well, any may be tried.
    all.get_mut(ids[0]).expect("there").unreachable(now, "");
    assert_eq!(choose(&all, &Wish::default()), Choice::Endpoint(ids[1]));
    let later = now + Micros::from_secs(2);
    // It waits for the one that its cookie names, too.
    let token: Box<[u8]> = all.get(ids[1]).expect("there").token.as_bytes().into();
    let sticky = Wish {
        token,
        ..Wish::default()
    };
    all.dialed(ConnId::new(2, 1), ids[1], CLIENT);
    assert_eq!(
        all.choose(&ids, &[], 0, &sticky, ONE_EACH, later),
        Choice::Full(Some(ids[1]))
    );
    let other = all.choose(&ids, &[], 0, &Wish::default(), ONE_EACH, later);
    assert_eq!(other, Choice::Endpoint(ids[0]));
}

/// A session may consist of several plain requests, which only one upstream knows.
#[test]
fn an_upstream_that_fails_plain_requests_keeps_the_clients_of_its_cookie() {
    let (mut all, ids) = endpoints(2);
    let now = Micros::from_secs(1);
    let first = all.get_mut(ids[0]).expect("an address");
    let own = Wish {
        token: first.token.as_bytes().into(),
        ..Wish::default()
    };
    for last in 0..3 {
        let client = AddressBlock::of(IpAddr::from([192, 0, 2, last]));
        first.failed(RequestKind::Http, client, 3, now, "503");
    }
    let http = ChoiceRules {
        kind: RequestKind::Http,
        ..RULES
    };
    let chosen = |wish: &Wish| all.choose(&ids, &[], 0, wish, http, now);
    assert_eq!(chosen(&Wish::default()), Choice::Endpoint(ids[1]));
    assert_eq!(chosen(&own), Choice::Endpoint(ids[0]));
}
