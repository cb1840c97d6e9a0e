//! Connections: a filtered page of them, or one with all its details.

use super::common::{
    ClassName, ClockReading, RiskName, RttBody, StateName, TrafficBody, address, rfc3339,
};
use super::explain::{self, Explanation};
use super::foresight::ForesightBody;
use super::page_entries::PageEntries;
use super::recent_losses::recent_losses;
use crate::base::id::ConnId;
use crate::engine::ConnView;
use crate::gateway::{
    self, Classes, ConnRow, ConnState, Filter, History, HistoryReason, PageRequest, Position,
};
use crate::health::Risk;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{PathParam, Problem, QueryParams};
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The default size of a page.
const PAGE_DEFAULT: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionParams {
    /// Only connections of this class.
    class: Option<ClassName>,
    /// Only connections in this state.
    state: Option<StateName>,
    /// Only connections of this user (exact match).
    user: Option<String>,
    /// Only connections of this package (exact match).
    package: Option<String>,
    /// Only connections with this `User-Agent`, in the form that the client sends or in the form
    /// shown here.
    user_agent: Option<String>,
    /// Only connections from this IP address or CIDR block.
    #[param(example = "192.0.2.0/24")]
    address: Option<String>,
    /// Only legs of pairs of this route, and connections that are being made for it (exact match).
    route: Option<String>,
    /// The same for this address of an upstream (exact match).
    #[param(example = "10.0.0.1:3000")]
    upstream: Option<String>,
    /// Only open connections of this risk or a higher one.
    risk: Option<RiskName>,
    /// What comes first: the longest silence, the longest RTT, the oldest connection, the most
    /// unsent bytes, or the highest risk.
    sort: Option<SortName>,
    /// `desc`: the order that `sort` describes; `asc`: the reverse.
    order: Option<Order>,
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SortName {
    Silence,
    Rtt,
    Age,
    Pending,
    Risk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Desc,
    Asc,
}

/// A page of connections.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = List)]
pub(super) struct ConnectionList {
    /// How many connections match the filter, on all pages.
    matched: usize,
    connections: Vec<ConnectionBody>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<String>,
}

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub(super) struct ConnectionBody {
    /// The connection's id: `slot.generation`.
    #[schema(example = "17.4242")]
    id: String,
    /// Null before the connection becomes a WebSocket.
    #[schema(value_type = Option<ClassName>)]
    class: Option<&'static str>,
    state: StateName,
    /// The risk that one of the next heartbeats is late. Null if it is not open.
    risk: Option<RiskName>,
    user: Option<String>,
    package: Option<String>,
    /// The `User-Agent` of its request, cut to 128 bytes, with every byte that is not visible ASCII
    /// written as `\xNN`. It is `other` if 4096 different ones were in use already. Null if the
    /// request had none.
    #[schema(example = "glasses-os/3.2.1")]
    user_agent: Option<String>,
    /// The client's address and port; the port is 0 if a proxy did not report it.
    peer: String,
    /// The connection that it is linked to: the other one of a client and its upstream.
    #[schema(example = "18.4243")]
    partner: Option<String>,
    /// The route of its pair, also of a connection to an upstream that is not linked yet. Null for
    /// any other connection.
    route: Option<String>,
    /// The address of the upstream of its pair. Null if there is no `route`.
    #[schema(example = "10.0.0.1:3000")]
    upstream: Option<String>,
    /// When the connection opened; if it has not opened, when it was accepted.
    since: String,
    age_ms: u64,
    silence_ms: u64,
    /// Pings sent since the last byte was received.
    unanswered: u16,
    #[serde(flatten)]
    rtt: RttBody,
    /// The least age of the round-trip time, in ms, while heartbeats go unanswered. Null while the
    /// round-trip time is current.
    rtt_age_ms: Option<u64>,
    /// Bytes that wait to be sent.
    pending_bytes: usize,
    /// Bytes of an unfinished message or frame.
    held_bytes: u64,
    #[serde(flatten)]
    traffic: TrafficBody,
}

/// All that is known about one connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Detail)]
pub(super) struct ConnectionDetail {
    connection: ConnectionBody,
    /// How it joined its session: `first`, `resume` (after a loss) or `takeover` (it replaced an
    /// older connection). Null if it belongs to no session.
    taken: Option<&'static str>,
    explain: Explanation,
    /// The connection's recent history. It is recorded for connections that were suspect, for a
    /// sample of all, and from the first request for this connection on.
    history: Option<HistoryBody>,
}

/// The recent history of a connection, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryBody {
    /// When the recording began.
    since: String,
    /// Why the history is recorded.
    reason: ReasonName,
    /// The last 24 round-trip times.
    rtts: Vec<RttSample>,
    /// The last 16 changes of state.
    changes: Vec<ChangeBody>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReasonName {
    Suspect,
    Sample,
    Asked,
}

#[derive(Debug, Serialize, ToSchema)]
struct RttSample {
    at: String,
    rtt_us: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct ChangeBody {
    at: String,
    /// The new state.
    state: StateName,
    /// How long nothing had been received at that time.
    silence_ms: u64,
    /// The number of unanswered pings at that time.
    unanswered: u16,
}

/// Connections, filtered and sorted, one page at a time. A page has at most `limit` entries and at
/// most 1 MiB.
#[utoipa::path(
    get, path = "/api/v1/connections", tag = "connections", params(ConnectionParams),
    responses(
        (status = 200, body = ConnectionList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<ConnectionParams>,
) -> Result<Json<ConnectionList>, Problem> {
    let query = params.query(&admin.classes)?;
    let mut connections = PageEntries::new(query.limit);
    let page = loop_query::search(&admin.queries, query).await?;
    let now = ClockReading {
        wall: page.wall,
        engine: page.now,
    };
    let (mut next, mut last) = (page.next, None);
    for (position, row) in page.rows {
        if !connections.push(ConnectionBody::of(&admin.classes, row, &now)) {
            next = last;
            break;
        }
        last = Some(position);
    }
    Ok(Json(ConnectionList {
        matched: page.matched,
        connections: connections.into_vec(),
        next: next.map(position_text),
    }))
}

/// One connection with its history: why it is in its state, when the next ping is due, when it will
/// end and for which cause.
#[utoipa::path(
    get, path = "/api/v1/connections/{id}", tag = "connections",
    params((
        "id" = String, Path, description = "`slot.generation`",
        pattern = r"^\d{1,9}\.\d{1,9}$"
    )),
    responses(
        (status = 200, body = ConnectionDetail),
        (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn one(
    State(admin): State<Arc<AdminState>>,
    PathParam(id): PathParam<String>,
) -> Result<Json<ConnectionDetail>, Problem> {
    let id = parse_id(&admin, &id)?;
    let portrait =
        loop_query::query(&admin.queries, move |gateway, io| gateway.inspect(io, id)).await?;
    let Some(portrait) = portrait else {
        return Err(connection_not_found(&admin, id));
    };
    let now = ClockReading {
        wall: portrait.wall,
        engine: portrait.now,
    };
    let losses: u32 = recent_losses(&admin, [&portrait.row]).into_iter().sum();
    let foresight = ForesightBody::of(&admin.classes, &portrait.row, &portrait.fleet, losses);
    Ok(Json(ConnectionDetail {
        explain: explain::explain(&portrait, foresight, &now),
        connection: ConnectionBody::of(&admin.classes, portrait.row, &now),
        taken: portrait.how.map(|how| how.name()),
        history: portrait.history.map(HistoryBody::from),
    }))
}

/// Parses the id of a connection. It may begin with the id of this run, as upstreams are told it.
pub(super) fn parse_id(admin: &AdminState, text: &str) -> Result<ConnId, Problem> {
    let id = match text.split_once('.') {
        Some((boot, id)) if id.contains('.') => {
            let own = admin.boot.to_string();
            if boot != own {
                let what = format!("{text} is of another run of the gateway; this one is {own}");
                return Err(Problem::not_found(what));
            }
            id
        }
        _ => text,
    };
    id.parse()
        .map_err(|e| Problem::bad_request(format!("{text:?}: {e}")))
}

/// Returns the 404 for an unknown connection; it tells whether the connection has ended.
pub(super) fn connection_not_found(admin: &AdminState, id: ConnId) -> Problem {
    admin.watchers.collect_records();
    match admin.watchers.ended().find(id) {
        Some((_, closed)) => Problem::not_found(format!(
            "{id} ended at {}, cause {}: see /api/v1/closed/{id}",
            rfc3339(closed.at.wall),
            closed.end.cause
        )),
        None => Problem::not_found(format!("no connection {id}")),
    }
}

/// Parses the parameter of this name, if it is given: an address, or a block of addresses.
pub(super) fn parse_optional_address(
    name: &str,
    text: Option<&str>,
) -> Result<Option<IpNet>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let ip = || text.parse::<IpAddr>().map(IpNet::from);
    let parsed = text.parse::<IpNet>().or_else(|_| ip());
    parsed.map(Some).map_err(|_| {
        Problem::bad_request(format!(
            "{name} is {text:?}; it must be an IP address, or a block such as 192.0.2.0/24"
        ))
    })
}

pub(super) fn page_size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit {
        None => Ok(PAGE_DEFAULT),
        Some(n) if (1..=gateway::PAGE_MAX).contains(&n) => Ok(n),
        Some(n) => Err(Problem::bad_request(format!("limit {n}: 1 to 1000"))),
    }
}

impl ConnectionParams {
    fn query(self, classes: &Classes) -> Result<PageRequest, Problem> {
        let address = parse_optional_address("address", self.address.as_deref())?;
        let after = self.after.as_deref().map(parse_position).transpose()?;
        Ok(PageRequest {
            filter: Filter {
                class: self.class.map(|name| name.resolve(classes)).transpose()?,
                state: self.state.map(ConnState::from),
                user: self.user,
                package: self.package,
                user_agent: self
                    .user_agent
                    .as_deref()
                    .map(gateway::normalize_user_agent),
                address,
                route: self.route,
                upstream: self.upstream,
                least_risk: self.risk.map(Risk::from),
            },
            sort: match self.sort {
                None | Some(SortName::Silence) => gateway::Sort::Silence,
                Some(SortName::Rtt) => gateway::Sort::Rtt,
                Some(SortName::Age) => gateway::Sort::Age,
                Some(SortName::Pending) => gateway::Sort::Pending,
                Some(SortName::Risk) => gateway::Sort::Risk,
            },
            reverse: self.order == Some(Order::Asc),
            after,
            limit: page_size(self.limit)?,
        })
    }
}

/// Returns a position as `next` of a page has it.
pub(super) fn position_text(position: Position) -> String {
    format!("{:x}-{}", position.key, position.id)
}

/// Parses the position of a page.
pub(super) fn parse_position(text: &str) -> Result<Position, Problem> {
    let parts = text.split_once('-');
    let position = parts.and_then(|(key, id)| {
        Some(Position {
            key: u64::from_str_radix(key, 16).ok()?,
            id: id.parse().ok()?,
        })
    });
    position
        .ok_or_else(|| Problem::bad_request("after must be the value of next in the previous page"))
}

impl ConnectionBody {
    pub(super) fn of(classes: &Classes, row: ConnRow, now: &ClockReading) -> Self {
        let view = row.view;
        ConnectionBody {
            id: row.id.to_string(),
            class: view.class.map(|class| classes.name(class)),
            state: ConnState::of(&view).into(),
            risk: row.risk.map(RiskName::from),
            user: row.user.map(String::from),
            package: row.package.map(String::from),
            user_agent: row.user_agent.as_deref().map(String::from),
            peer: address(view.peer_addr),
            partner: view.partner.map(|id| id.to_string()),
            route: row.target.as_ref().map(|target| target.route.to_string()),
            upstream: row.target.map(|target| target.upstream.to_string()),
            since: now.past(view.since),
            age_ms: (now.engine - view.since).as_millis(),
            silence_ms: view.health.silence.as_millis(),
            unanswered: view.health.unanswered,
            rtt: view.health.rtt.into(),
            rtt_age_ms: rtt_age(&view),
            pending_bytes: view.pending,
            held_bytes: view.held,
            traffic: view.traffic.into(),
        }
    }
}

impl From<History> for HistoryBody {
    fn from(history: History) -> Self {
        HistoryBody {
            since: rfc3339(history.since),
            reason: match history.reason {
                HistoryReason::Suspect => ReasonName::Suspect,
                HistoryReason::Sample => ReasonName::Sample,
                HistoryReason::Inspected => ReasonName::Asked,
            },
            rtts: history
                .rtts
                .into_iter()
                .map(|(at, rtt)| RttSample {
                    at: rfc3339(at),
                    rtt_us: rtt.0,
                })
                .collect(),
            changes: history
                .changes
                .into_iter()
                .map(|change| ChangeBody {
                    at: rfc3339(change.at),
                    state: change.state.into(),
                    silence_ms: change.silence.as_millis(),
                    unanswered: change.unanswered,
                })
                .collect(),
        }
    }
}

/// Returns the least age of the round-trip time, in ms, if nothing was received since a heartbeat
/// was sent; otherwise the time is current.
fn rtt_age(view: &ConnView) -> Option<u64> {
    let health = &view.health;
    let is_old = health.unanswered > 0 && health.rtt.srtt_us().is_some();
    is_old.then(|| health.silence.as_millis())
}
