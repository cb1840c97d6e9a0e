//! Connections that have ended: the last 10 000.

use super::client_side::ClientSide;
use super::common::{ClassName, RttBody, TrafficBody, address, code, rfc3339};
use super::connections::{HistoryBody, page_size, parse_id, parse_optional_address};
use super::page_entries::PageEntries;
use crate::base::cause::{Cause, CauseTable};
use crate::engine::Class;
use crate::gateway::{Classes, ClosedConn, EndVerdict, normalize_user_agent};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{PathParam, Problem, QueryParams};
use axum::Json;
use axum::extract::State;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ClosedParams {
    /// Only connections of this class.
    class: Option<ClassName>,
    /// Only connections of this user (exact match).
    user: Option<String>,
    /// Only connections of this package (exact match).
    package: Option<String>,
    /// Only connections with this `User-Agent`, in the form that the client sends or in the form
    /// shown here.
    user_agent: Option<String>,
    /// Only connections from this IP address or CIDR block.
    address: Option<String>,
    /// Only legs of pairs of this route, and clients that it has refused (exact match).
    route: Option<String>,
    /// The same for this address of an upstream (exact match).
    upstream: Option<String>,
    /// Only connections that ended for this cause.
    #[param(example = "stale")]
    cause: Option<String>,
    /// Only connections with this verdict.
    #[param(example = "network_lost")]
    verdict: Option<String>,
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    before: Option<u64>,
}

/// A page of connections that have ended, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosedList {
    /// The number of records that are kept, whether they match the filter or not; 10 000 at most.
    remembered: usize,
    closed: Vec<ClosedBody>,
    /// The start of the next page: pass it as `before`. Null on the last page.
    next: Option<u64>,
}

/// A connection that has ended. The words are those of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosedBody {
    /// The record's number; it grows with each connection that ends.
    number: u64,
    /// When the end was recorded.
    at: String,
    /// The connection's id.
    id: String,
    /// Null if the connection never became a WebSocket.
    #[schema(value_type = Option<ClassName>)]
    class: Option<&'static str>,
    user: Option<String>,
    package: Option<String>,
    /// The `User-Agent`, in the same form as for a live connection.
    user_agent: Option<String>,
    peer: String,
    /// Why the connection ended: the name of the cause.
    #[schema(example = "stale")]
    cause: &'static str,
    /// Which side ended the connection: `us`, `peer`, `network` or `operator`. For connections of
    /// a bridge: `gateway`, `client`, `upstream`, `network` or `operator`.
    by: &'static str,
    /// Why the connection really ended. Null if it was no WebSocket of a client.
    #[schema(example = "network_lost")]
    verdict: Option<&'static str>,
    /// Whose records the verdict is made from: `gateway`, or `both` if the client has reported the
    /// end, too.
    #[schema(example = "gateway")]
    evidence: Option<&'static str>,
    /// What the verdict means, in words.
    why: Option<&'static str>,
    /// What has led to the verdict: what the gateway saw, and what its kernel and the client said.
    because: Option<String>,
    /// What the kernel said when a heartbeat was late: `nothing`, `acknowledged`, `window_full`,
    /// `unacknowledged` or `lost`.
    kernel: Option<&'static str>,
    /// What the client has reported of the end. Null if it has not, or if that is not kept.
    client: Option<ClientSide>,
    /// The connection that it was linked to: the other one of a client and its upstream. Of a
    /// client that was refused: the last connection to an upstream that was made for it.
    partner: Option<String>,
    /// The route of its pair, or the one that has refused it. Null for any other connection.
    route: Option<String>,
    /// The address of the upstream of its pair. Of a client that was refused: of the last upstream
    /// that was dialled for it. Null if there is none.
    upstream: Option<String>,
    /// The close code, `http_` and a status, or `none`.
    #[schema(example = "3008")]
    code: String,
    reason: String,
    /// Whether the closing handshake was completed.
    clean: bool,
    age_ms: u64,
    silence_ms: u64,
    unanswered: u16,
    #[serde(flatten)]
    rtt: RttBody,
    #[serde(flatten)]
    traffic: TrafficBody,
}

/// A connection that has ended, with the history that was recorded for it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosedDetail {
    #[serde(flatten)]
    closed: ClosedBody,
    history: Option<HistoryBody>,
}

/// Ended connections, newest first, one page at a time. A page has at most `limit` entries and at
/// most 1 MiB. Health checks and port scans are not recorded.
#[utoipa::path(
    get, path = "/api/v1/closed", tag = "closed", params(ClosedParams),
    responses((status = 200, body = ClosedList), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(mut params): QueryParams<ClosedParams>,
) -> Result<Json<ClosedList>, Problem> {
    params.user_agent = params.user_agent.as_deref().map(normalize_user_agent);
    let limit = page_size(params.limit)?;
    if params.before.is_some_and(|n| i64::try_from(n).is_err()) {
        return Err(Problem::bad_request(
            "before must be the value of next in the previous page",
        ));
    }
    let address = parse_optional_address("address", params.address.as_deref())?;
    let class = params.class.as_ref();
    let class = class.map(|name| name.resolve(&admin.classes)).transpose()?;
    let named = |name: &str| parse_cause(admin.causes, name);
    let cause = params.cause.as_deref().map(named).transpose()?;
    let verdict = params.verdict.as_deref().map(parse_verdict).transpose()?;
    admin.watchers.collect_records();
    let ring = admin.watchers.ended();
    let fits = |closed: &ClosedConn| params.fit(closed, class, address, (cause, verdict));
    let found = ring
        .newest(params.before)
        .filter(|(_, closed)| fits(closed));
    let (mut closed, mut last, mut more) = (PageEntries::new(limit), None, false);
    for (number, record) in found {
        if !closed.push(ClosedBody::of(&admin.classes, number, record)) {
            more = true;
            break;
        }
        last = Some(number);
    }
    Ok(Json(ClosedList {
        remembered: ring.len(),
        closed: closed.into_vec(),
        next: last.filter(|_| more),
    }))
}

/// One ended connection.
#[utoipa::path(
    get, path = "/api/v1/closed/{id}", tag = "closed",
    params((
        "id" = String, Path, description = "`slot.generation`",
        pattern = r"^\d{1,9}\.\d{1,9}$"
    )),
    responses(
        (status = 200, body = ClosedDetail), (status = 400, body = Problem),
        (status = 404, body = Problem)
    )
)]
pub(super) async fn one(
    State(admin): State<Arc<AdminState>>,
    PathParam(id): PathParam<String>,
) -> Result<Json<ClosedDetail>, Problem> {
    let id = parse_id(&admin, &id)?;
    admin.watchers.collect_records();
    let ring = admin.watchers.ended();
    let (number, closed) = ring.find(id).ok_or_else(|| {
        Problem::not_found(format!(
            "{id} is not among the last 10000 connections that have ended"
        ))
    })?;
    Ok(Json(ClosedDetail {
        closed: ClosedBody::of(&admin.classes, number, closed),
        history: closed.history.as_deref().cloned().map(HistoryBody::from),
    }))
}

impl ClosedParams {
    fn fit(
        &self,
        closed: &ClosedConn,
        class: Option<Class>,
        address: Option<IpNet>,
        (cause, verdict): (Option<Cause>, Option<EndVerdict>),
    ) -> bool {
        let target = closed.target.as_ref();
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|w| found == Some(w))
        };
        class.is_none_or(|class| closed.end.class == Some(class))
            && cause.is_none_or(|cause| closed.end.cause == cause)
            && verdict.is_none_or(|v| closed.judged.is_some_and(|judged| judged.verdict == v))
            && address.is_none_or(|block| block.contains(&closed.end.peer_addr.ip()))
            && is(&self.user, closed.user.as_deref())
            && is(&self.package, closed.package.as_deref())
            && is(&self.user_agent, closed.user_agent.as_deref())
            && is(&self.route, target.map(|target| &*target.route))
            && is(&self.upstream, target.map(|target| &*target.upstream))
    }
}

fn parse_cause(causes: CauseTable, text: &str) -> Result<Cause, Problem> {
    causes.named(text).ok_or_else(|| {
        let names: Vec<_> = causes.all().map(Cause::name).collect();
        Problem::bad_request(format!(
            "cause is {text:?}; it must be one of {}",
            names.join(", ")
        ))
    })
}

fn parse_verdict(text: &str) -> Result<EndVerdict, Problem> {
    EndVerdict::by_name(text).ok_or_else(|| {
        let names: Vec<_> = EndVerdict::ALL
            .iter()
            .map(|verdict| verdict.name())
            .collect();
        Problem::bad_request(format!(
            "verdict is {text:?}; it must be one of {}",
            names.join(", ")
        ))
    })
}

impl ClosedBody {
    fn of(classes: &Classes, number: u64, closed: &ClosedConn) -> Self {
        let (end, judged) = (&closed.end, closed.judged);
        let upstream = closed.target.as_ref().filter(|t| !t.upstream.is_empty());
        ClosedBody {
            number,
            at: rfc3339(closed.at.wall),
            id: closed.id.to_string(),
            class: end.class.map(|class| classes.name(class)),
            user: closed.user.as_deref().map(str::to_owned),
            package: closed.package.as_deref().map(str::to_owned),
            user_agent: closed.user_agent.as_deref().map(str::to_owned),
            peer: address(end.peer_addr),
            cause: end.cause.name(),
            by: classes.ended_by(end),
            verdict: judged.map(|judged| judged.verdict.name()),
            evidence: judged.map(|judged| judged.evidence.name()),
            why: judged.map(|judged| judged.verdict.meaning()),
            because: judged.and_then(|j| j.words).map(ToString::to_string),
            kernel: judged.map(|judged| judged.facts.kernel.name()),
            client: closed.report.as_deref().map(ClientSide::of),
            partner: closed.partner.map(|partner| partner.to_string()),
            route: closed.target.as_ref().map(|t| t.route.to_string()),
            upstream: upstream.map(|target| target.upstream.to_string()),
            code: code(end.code),
            reason: end.reason.to_string(),
            clean: end.clean,
            age_ms: end.age.as_millis(),
            silence_ms: end.silence.as_millis(),
            unanswered: end.unanswered,
            rtt: end.rtt.into(),
            traffic: end.traffic.into(),
        }
    }
}
