//! The traits by which connections are grouped.

use crate::base::cause::Cause;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::engine::Class;
use crate::gateway::{Classes, ClosedConn, EndVerdict, LivingConn, OTHER_USER_AGENT, PairTarget};
use std::net::IpAddr;
use std::sync::Arc;

/// What a trait is about. Of traits that stand out alike, one of a dimension further up comes
/// first: it names a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::side) enum Dimension {
    Upstream,
    Route,
    Block,
    UserAgent,
    Class,
    Verdict,
    Cause,
    Rtt,
    Age,
}

/// A trait of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::side) enum TraitValue {
    Upstream(Arc<str>),
    Route(Arc<str>),
    /// The /24 of the peer's address, or /48 for IPv6.
    Block(NetworkBlock),
    UserAgent(Arc<str>),
    Class(Class),
    Verdict(EndVerdict),
    Cause(Cause),
    /// A band of smoothed round-trip times.
    Rtt(&'static str),
    /// A band of ages.
    Age(&'static str),
}

/// The most traits that a connection has.
const TRAITS_MAX: usize = Dimension::ALL.len();

/// The bands of ages, each up to a number of seconds.
const AGES: [(u64, &str); 6] = [
    (10, "below 10 s"),
    (60, "10 s to 1 min"),
    (600, "1 to 10 min"),
    (3_600, "10 min to 1 h"),
    (21_600, "1 to 6 h"),
    (86_400, "6 h to 1 d"),
];

/// The bands of round-trip times, each up to a number of milliseconds.
const RTTS: [(u32, &str); 4] = [
    (50, "below 50 ms"),
    (150, "50 to 150 ms"),
    (500, "150 to 500 ms"),
    (2_000, "500 ms to 2 s"),
];

impl Dimension {
    /// All dimensions; the position equals the number that `as usize` yields.
    pub(super) const ALL: [Dimension; 9] = [
        Dimension::Upstream,
        Dimension::Route,
        Dimension::Block,
        Dimension::UserAgent,
        Dimension::Class,
        Dimension::Verdict,
        Dimension::Cause,
        Dimension::Rtt,
        Dimension::Age,
    ];

    /// Returns the name in the API.
    pub(in crate::side) const fn name(self) -> &'static str {
        match self {
            Dimension::Upstream => "upstream",
            Dimension::Route => "route",
            Dimension::Block => "block",
            Dimension::UserAgent => "user_agent",
            Dimension::Class => "class",
            Dimension::Verdict => "verdict",
            Dimension::Cause => "cause",
            Dimension::Rtt => "rtt",
            Dimension::Age => "age",
        }
    }

    /// Returns whether a connection has such a trait only when it has ended.
    pub(super) const fn is_of_ends(self) -> bool {
        matches!(self, Dimension::Verdict | Dimension::Cause)
    }
}

impl TraitValue {
    pub(in crate::side) fn dimension(&self) -> Dimension {
        match self {
            TraitValue::Upstream(_) => Dimension::Upstream,
            TraitValue::Route(_) => Dimension::Route,
            TraitValue::Block(_) => Dimension::Block,
            TraitValue::UserAgent(_) => Dimension::UserAgent,
            TraitValue::Class(_) => Dimension::Class,
            TraitValue::Verdict(_) => Dimension::Verdict,
            TraitValue::Cause(_) => Dimension::Cause,
            TraitValue::Rtt(_) => Dimension::Rtt,
            TraitValue::Age(_) => Dimension::Age,
        }
    }

    /// Returns the value as the API writes it.
    pub(in crate::side) fn text(&self, classes: &Classes) -> String {
        match self {
            TraitValue::Upstream(name) | TraitValue::Route(name) | TraitValue::UserAgent(name) => {
                name.to_string()
            }
            TraitValue::Block(block) => block.to_string(),
            TraitValue::Class(class) => classes.name(*class).to_owned(),
            TraitValue::Verdict(verdict) => verdict.name().to_owned(),
            TraitValue::Cause(cause) => cause.name().to_owned(),
            TraitValue::Rtt(band) | TraitValue::Age(band) => (*band).to_owned(),
        }
    }
}

/// Returns the traits of a client's connection that has ended; none of any other connection.
pub(super) fn of_ended(
    classes: &Classes,
    closed: &ClosedConn,
) -> impl Iterator<Item = TraitValue> + use<> {
    let end = &closed.end;
    let ended = end.class.filter(|class| !classes.is_upstream(*class));
    let traits: [Option<TraitValue>; TRAITS_MAX] = match ended {
        None => Default::default(),
        Some(class) => {
            let shared = shared(Shared {
                class,
                address: end.peer_addr.ip(),
                user_agent: closed.user_agent.as_ref(),
                target: closed.target.as_ref(),
                age: end.age,
                srtt_us: end.rtt.srtt_us(),
            });
            let [upstream, route, block, agent, class, rtt, age] = shared;
            let verdict = closed
                .judged
                .map(|judged| TraitValue::Verdict(judged.verdict));
            let cause = Some(TraitValue::Cause(end.cause));
            [
                upstream, route, block, agent, class, verdict, cause, rtt, age,
            ]
        }
    };
    traits.into_iter().flatten()
}

/// Returns the traits of a client's open connection.
pub(super) fn of_living(living: &LivingConn) -> impl Iterator<Item = TraitValue> + use<> {
    let traits = shared(Shared {
        class: living.class,
        address: living.address,
        user_agent: living.user_agent.as_ref(),
        target: living.target.as_ref(),
        age: living.age,
        srtt_us: living.srtt_us,
    });
    traits.into_iter().flatten()
}

/// What both ended and open connections have.
struct Shared<'a> {
    class: Class,
    address: IpAddr,
    user_agent: Option<&'a Arc<str>>,
    target: Option<&'a PairTarget>,
    age: Micros,
    srtt_us: Option<u32>,
}

fn shared(of: Shared<'_>) -> [Option<TraitValue>; 7] {
    let upstream = of.target.filter(|target| !target.upstream.is_empty());
    // Names that found no room say nothing.
    let agent = of.user_agent.filter(|name| ***name != *OTHER_USER_AGENT);
    [
        upstream.map(|target| TraitValue::Upstream(target.upstream.clone())),
        of.target
            .map(|target| TraitValue::Route(target.route.clone())),
        Some(TraitValue::Block(NetworkBlock::of(of.address))),
        agent.map(|name| TraitValue::UserAgent(name.clone())),
        Some(TraitValue::Class(of.class)),
        Some(TraitValue::Rtt(rtt_band(of.srtt_us))),
        Some(TraitValue::Age(age_band(of.age))),
    ]
}

fn age_band(age: Micros) -> &'static str {
    let band = AGES.iter().find(|(below, _)| age.as_secs() < *below);
    band.map_or("1 d and more", |(_, name)| name)
}

fn rtt_band(srtt_us: Option<u32>) -> &'static str {
    let Some(srtt_us) = srtt_us else {
        return "not measured";
    };
    let band = RTTS.iter().find(|(below, _)| srtt_us / 1_000 < *below);
    band.map_or("2 s and more", |(_, name)| name)
}
