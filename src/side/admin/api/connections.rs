//! Connections: a page of them, and one with everything that is known of it.

use super::explain::{self, Explanation};
use super::page::Entries;
use super::words::{ClassName, Now, RttBody, StateName, TrafficBody, address, time};
use crate::base::id::ConnId;
use crate::engine::ConnView;
use crate::gateway::{self, Classes, ConnState, Filter, History, Position, Query, Reason, Row};
use crate::side::admin::control::Control;
use crate::side::admin::problem::{Params, Part, Problem};
use crate::side::ask;
use axum::Json;
use axum::extract::State;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// How many a page has if nothing else is asked for.
const PAGE: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only of this class.
    class: Option<ClassName>,
    /// Only in this state.
    state: Option<StateName>,
    /// Only of this user; exactly.
    user: Option<String>,
    /// Only of this package; exactly.
    package: Option<String>,
    /// Only with this `User-Agent`, as sent or as shown here.
    user_agent: Option<String>,
    /// Only from this IP address, or from this block of them (CIDR).
    #[param(example = "192.0.2.0/24")]
    address: Option<String>,
    /// What comes first: who was silent for longest, the longest RTT, the oldest, the most unsent bytes.
    sort: Option<SortName>,
    /// `desc` (as `sort` says) or `asc` (the reverse).
    order: Option<Order>,
    /// How many, 1 to 1000; 100 if not given. A page ends earlier when its connections take 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before.
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SortName {
    Silence,
    Rtt,
    Age,
    Pending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Desc,
    Asc,
}

/// A page of connections.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List {
    /// How many fit the filter, on all pages.
    matched: usize,
    connections: Vec<Connection>,
    /// Where the next page begins: give it as `after`. Null: this is the last.
    next: Option<String>,
}

/// A connection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Connection {
    /// Its name: `slot.generation`.
    #[schema(example = "17.4242")]
    id: String,
    /// Null before it is a WebSocket.
    #[schema(value_type = Option<ClassName>)]
    class: Option<&'static str>,
    state: StateName,
    user: Option<String>,
    package: Option<String>,
    /// What its request named as `User-Agent`, cut to 128 bytes and with every byte that is not visible ASCII as `\xNN`; `other` if
    /// 4096 different ones were here already. Null: it named none.
    #[schema(example = "glasses-os/3.2.1")]
    user_agent: Option<String>,
    /// The client's address and port; the port is 0 if a proxy did not name it.
    peer: String,
    /// When it opened, or was accepted if it has not opened.
    since: String,
    age_ms: u64,
    silence_ms: u64,
    /// Pings since something was last heard.
    unanswered: u16,
    #[serde(flatten)]
    rtt: RttBody,
    /// While heartbeats go unanswered: the round-trip time is at least so old. Null while it is current.
    rtt_age_ms: Option<u64>,
    /// Bytes that wait to be sent.
    pending_bytes: usize,
    /// Bytes of an unfinished message or frame.
    held_bytes: u64,
    #[serde(flatten)]
    traffic: TrafficBody,
}

/// Everything about one connection.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Detail {
    connection: Connection,
    /// How it took its place in its session: `first`, `resume` (after a loss) or `takeover` (from an older connection). Null: it has
    /// none.
    taken: Option<&'static str>,
    explain: Explanation,
    /// What was kept of its recent life: of suspects, of a sample, and of those that were asked for, from then on.
    history: Option<HistoryBody>,
}

/// The recent life of a connection, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HistoryBody {
    /// Since when it is kept.
    since: String,
    /// Why it is kept.
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
    /// How long nothing had been heard.
    silence_ms: u64,
    /// Pings that had gone unanswered.
    unanswered: u16,
}

/// Connections, filtered and sorted, a page at a time: as many as are asked for, and as fit into 1 MiB.
#[utoipa::path(
    get, path = "/api/v1/connections", tag = "connections", params(ListParams),
    responses((status = 200, body = List), (status = 400, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn list(
    State(control): State<Arc<Control>>,
    Params(params): Params<ListParams>,
) -> Result<Json<List>, Problem> {
    let query = params.query(&control.classes)?;
    let mut connections = Entries::new(query.limit);
    let page = ask::search(&control.desk, query).await?;
    let now = Now {
        wall: page.wall,
        engine: page.now,
    };
    let (mut next, mut last) = (page.next, None);
    for (place, row) in page.rows {
        if !connections.push(Connection::of(&control.classes, row, &now)) {
            next = last;
            break;
        }
        last = Some(place);
    }
    Ok(Json(List {
        matched: page.matched,
        connections: connections.into_vec(),
        next: next.map(|place| format!("{:x}-{}", place.key, place.id)),
    }))
}

/// One connection with its history, and why it is as it is, when it is pinged next, and when and for what it will end.
#[utoipa::path(
    get, path = "/api/v1/connections/{id}", tag = "connections",
    params(("id" = String, Path, description = "`slot.generation`", pattern = r"^\d{1,9}\.\d{1,9}$")),
    responses(
        (status = 200, body = Detail), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn one(
    State(control): State<Arc<Control>>,
    Part(id): Part<String>,
) -> Result<Json<Detail>, Problem> {
    let id = parse_id(&id)?;
    let portrait = ask::ask(&control.desk, move |gateway, io| gateway.portrait(io, id)).await?;
    let Some(portrait) = portrait else {
        return Err(no_such(&control, id));
    };
    let now = Now {
        wall: portrait.wall,
        engine: portrait.now,
    };
    Ok(Json(Detail {
        explain: explain::explain(&portrait, &now),
        connection: Connection::of(&control.classes, portrait.row, &now),
        taken: portrait.how.map(|how| how.name()),
        history: portrait.history.map(HistoryBody::from),
    }))
}

pub(super) fn parse_id(text: &str) -> Result<ConnId, Problem> {
    text.parse()
        .map_err(|e| Problem::bad_request(format!("{text:?}: {e}")))
}

/// There is no such connection; perhaps there was.
pub(super) fn no_such(control: &Control, id: ConnId) -> Problem {
    control.watchers.catch_up();
    match control.watchers.ended().find(id) {
        Some((_, closed)) => Problem::not_found(format!(
            "{id} ended at {}, cause {}: see /api/v1/closed/{id}",
            time(closed.at.wall),
            closed.end.cause
        )),
        None => Problem::not_found(format!("no connection {id}")),
    }
}

pub(super) fn parse_address(text: &str) -> Result<IpNet, Problem> {
    let ip = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| ip()).map_err(|_| {
        let error = format!("address {text:?}: an IP address, or a block as 192.0.2.0/24");
        Problem::bad_request(error)
    })
}

pub(super) fn page_size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit {
        None => Ok(PAGE),
        Some(n) if (1..=gateway::PAGE_MAX).contains(&n) => Ok(n),
        Some(n) => Err(Problem::bad_request(format!("limit {n}: 1 to 1000"))),
    }
}

impl ListParams {
    fn query(self, classes: &Classes) -> Result<Query, Problem> {
        let address = self.address.as_deref().map(parse_address).transpose()?;
        let after = self.after.as_deref().map(parse_place).transpose()?;
        Ok(Query {
            filter: Filter {
                class: self.class.map(|name| name.class(classes)).transpose()?,
                state: self.state.map(ConnState::from),
                user: self.user,
                package: self.package,
                user_agent: self.user_agent.as_deref().map(gateway::user_agent_as_kept),
                address,
            },
            sort: match self.sort {
                None | Some(SortName::Silence) => gateway::Sort::Silence,
                Some(SortName::Rtt) => gateway::Sort::Rtt,
                Some(SortName::Age) => gateway::Sort::Age,
                Some(SortName::Pending) => gateway::Sort::Pending,
            },
            reverse: self.order == Some(Order::Asc),
            after,
            limit: page_size(self.limit)?,
        })
    }
}

fn parse_place(text: &str) -> Result<Position, Problem> {
    let parts = text.split_once('-');
    let place = parts.and_then(|(key, id)| {
        Some(Position {
            key: u64::from_str_radix(key, 16).ok()?,
            id: id.parse().ok()?,
        })
    });
    place.ok_or_else(|| Problem::bad_request("after: the value of next of the page before"))
}

impl Connection {
    pub(super) fn of(classes: &Classes, row: Row, now: &Now) -> Self {
        let view = row.view;
        Connection {
            id: row.id.to_string(),
            class: view.class.map(|class| classes.name(class)),
            state: ConnState::of(&view).into(),
            user: row.user.map(String::from),
            package: row.package.map(String::from),
            user_agent: row.user_agent.as_deref().map(String::from),
            peer: address(view.peer_addr),
            since: now.gone(view.since),
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
            since: time(history.since),
            reason: match history.reason {
                Reason::Suspect => ReasonName::Suspect,
                Reason::Sample => ReasonName::Sample,
                Reason::Asked => ReasonName::Asked,
            },
            rtts: history
                .rtts
                .into_iter()
                .map(|(at, rtt)| RttSample {
                    at: time(at),
                    rtt_us: rtt.0,
                })
                .collect(),
            changes: history
                .changes
                .into_iter()
                .map(|change| ChangeBody {
                    at: time(change.at),
                    state: change.state.into(),
                    silence_ms: change.silence.as_millis(),
                    unanswered: change.unanswered,
                })
                .collect(),
        }
    }
}

/// How old a round-trip time is at least, in ms, if it is not current: nothing was heard since a heartbeat went out.
fn rtt_age(view: &ConnView) -> Option<u64> {
    let health = &view.health;
    let is_old = health.unanswered > 0 && health.rtt.srtt_us().is_some();
    is_old.then(|| health.silence.as_millis())
}
