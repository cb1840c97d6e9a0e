//! Plain HTTP requests: which upstream serves one, and what it is sent. The requests themselves are
//! passed on outside the loop.

use super::admission::{Admitted, NotAdmitted};
use super::bridge::Bridge;
use super::counting::is_failure;
use super::end_to_end::{Field, NamedFields, passed_fields};
use super::health_check::UpstreamNumber;
use super::hop::Hop;
use super::http_requests::{HttpRequestRow, HttpTicket};
use super::requests::{from_source, wish};
use super::route::Route;
use super::upstream_request::{HostHeader, PassedHead, Target, passed_head};
use super::upstreams::{Choice, InFlight, RequestKind};
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{DialAddress, Io, Reply, Request};
use crate::host::{Identity, PairTarget};
use crate::wire::http::header::{CONTENT_LENGTH, SET_COOKIE};
use crate::wire::http::{HeaderMap, HeaderValue, elements};
use std::sync::Arc;

/// When a client that has too many requests may come back, in seconds.
const RETRY_AFTER: u32 = 5;

/// The most characters of a path that are kept for operators.
const PATH_MAX: usize = 200;

/// The upstream for a plain HTTP request.
#[derive(Debug)]
#[non_exhaustive]
pub struct HttpUpstream {
    /// The number of the upstream.
    pub number: UpstreamNumber,
    /// Where to connect to: the same address from each source address of the route, in the order
    /// in which they are tried. The ports of one source may be used up. There is at least one.
    pub addresses: Vec<DialAddress>,
    /// The upstream as operators see it.
    pub target: PairTarget,
    /// The route that serves the request.
    pub route: Arc<Route>,
    /// The client of the request, for the next try.
    pub(crate) admitted: Arc<Admitted>,
    /// Whether another upstream of the route may be tried if connecting to this one fails.
    pub may_retry: bool,
    /// Whether the upstream has failed before, so that an answer changes something.
    pub is_in_doubt: bool,
    /// The client, as bounds see it.
    client: AddressBlock,
    host: HeaderValue,
    /// The fields that name the client's connection, and earlier gateways.
    gateway_fields: Vec<Field>,
    hop: Hop,
    set_cookie: Option<HeaderValue>,
    /// How long the client's token is still accepted; `None`: it does not expire.
    pub expires_in: Option<Micros>,
    /// The request as operators see it, while it is in progress.
    pub ticket: Arc<HttpTicket>,
    /// How many requests the upstream had answered when this one was sent.
    answers_before: u64,
    /// Counts the request at the upstream while it is in progress.
    in_flight: InFlight,
}

/// The upstream and the client of a plain HTTP request, for reports of what came of it.
#[derive(Debug, Clone, Copy)]
pub struct HttpTarget {
    number: UpstreamNumber,
    client: AddressBlock,
    /// How many requests the upstream had answered when this one was sent.
    answers_before: u64,
}

impl HttpUpstream {
    /// Returns what reports name.
    pub(crate) fn reported(&self) -> HttpTarget {
        HttpTarget {
            number: self.number,
            client: self.client,
            answers_before: self.answers_before,
        }
    }

    /// Notes that the upstream has answered the request.
    pub(crate) fn note_answer(&self) {
        self.in_flight.answered();
    }

    /// Returns the head of the request that the upstream is sent.
    ///
    /// # Errors
    /// The reply to a request that cannot be passed on.
    pub(crate) fn head(&self, request: &Request) -> Result<PassedHead, Reply> {
        let path = self.route.upstream_path(request.path());
        let host_header = &self.route.host_header;
        let target = Target::of(path, request.query());
        let mut head = passed_head(request, &self.hop, host_header, &self.host, target)?;
        if head.host.is_empty() || *host_header == HostHeader::Upstream {
            head.host = self.host.clone();
        }
        // The body passes as it is framed.
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.map(|value| (CONTENT_LENGTH, value.clone()));
        head.fields.extend(length);
        head.fields.extend(self.gateway_fields.iter().cloned());
        Ok(head)
    }

    /// Returns the header fields of the upstream's answer that pass to the client.
    pub(crate) fn answer_fields(&self, headers: &HeaderMap) -> Vec<Field> {
        let mut fields = passed_fields(headers, NamedFields::Removed);
        // One element of a list of equal ones (RFC 9110 §8.6): hyper has checked that they are.
        let length = elements(headers, &CONTENT_LENGTH).next();
        let length = length.and_then(|digits| HeaderValue::from_bytes(digits).ok());
        fields.extend(length.map(|value| (CONTENT_LENGTH, value)));
        let cookie = self.set_cookie.as_ref();
        fields.extend(cookie.map(|value| (SET_COOKIE, value.clone())));
        fields
    }
}

/// What becomes of a plain HTTP request.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else")]
pub enum HttpChoice {
    /// The gateway answers it. The name is that of its route; empty if no route serves it.
    Answer(Reply, Box<str>),
    /// It goes to this upstream.
    Upstream(Box<HttpUpstream>),
}

impl Bridge {
    /// Returns whether a request is plain HTTP that a route serves. It is passed on outside the
    /// loop.
    pub fn passes_http(&self, request: &Request) -> bool {
        self.http_pass && !request.is_upgrade() && self.routes.find(request).is_some()
    }

    /// Checks that its route admits the client of a plain HTTP request. A client that the same
    /// route has admitted at an earlier try of this request stays admitted. `None`: no route serves
    /// the request.
    ///
    /// # Errors
    /// The answer to a client that is not admitted.
    pub(crate) fn admit_http(
        &self,
        io: &mut Io<'_>,
        request: &Request,
        earlier: Option<Arc<Admitted>>,
    ) -> Option<Result<Arc<Admitted>, HttpChoice>> {
        let route = &self.routes.find(request)?.route;
        if let Some(earlier) = earlier.filter(|earlier| Arc::ptr_eq(&earlier.route, route)) {
            return Some(Ok(earlier));
        }
        let peer = request.peer_addr();
        let client = self.proxies.client_addr(request).unwrap_or(peer).ip();
        let admitted = self.admit(io, request, route, client);
        let answer = |refused: Box<NotAdmitted>| {
            let (_, reply) = refused.refusal;
            HttpChoice::Answer(reply, route.name.clone())
        };
        Some(admitted.map(Arc::new).map_err(answer))
    }

    /// Chooses the upstream for the plain HTTP request of an admitted client, but none of `tried`.
    /// `client_id` is the id that the connection had in the loop. The route, the sticky cookie and
    /// the rules are those of WebSockets, so the requests of one client go to one upstream;
    /// `max_dialing` counts WebSockets alone. `None`: the upstream is gone.
    pub(crate) fn choose_http(
        &mut self,
        now: Micros,
        id: ConnId,
        request: &Request,
        (admitted, tried): (Arc<Admitted>, &[UpstreamNumber]),
    ) -> Option<HttpChoice> {
        let route = admitted.route.clone();
        let answer = |reply| Some(HttpChoice::Answer(reply, route.name.clone()));
        let wish = wish(admitted.address, request, &route);
        let block = AddressBlock::of(admitted.address);
        if tried.is_empty() && self.has_most_requests(block, &route.name, now) {
            let why = "requests of this address have the most places for plain HTTP already";
            return answer(Reply::error(503, why).with_retry_after(RETRY_AFTER));
        }
        let source = self.next_source();
        let tried: Vec<_> = tried.iter().map(|number| number.0).collect();
        let chosen = self.routes.by_name(&route.name).map(|live| {
            let choice = live.choose(
                &self.endpoints,
                &tried,
                &wish,
                (block, RequestKind::Http),
                now,
            );
            (choice, live.listed(&self.endpoints))
        });
        let Some((Choice::Endpoint(number), listed)) = chosen else {
            let (_, reply) = self.no_upstream(&route.name, source as u32);
            return answer(reply);
        };
        self.endpoints
            .get_mut(number)?
            .chosen(RequestKind::Http, now);
        let endpoint = self.endpoints.get(number)?;
        let hop = Hop::of(request, &self.proxies, self.forwarded_https);
        let is_new = endpoint.token.as_bytes() != &*wish.token;
        let sticky = route.sticky.as_ref().filter(|_| is_new);
        let expires = admitted.expires;
        let row = HttpRequestRow {
            id,
            target: endpoint.target(),
            address: admitted.address,
            identity: admitted.identity.clone(),
            method: request.method().into(),
            path: request.path().chars().take(PATH_MAX).collect(),
            since: now,
        };
        Some(HttpChoice::Upstream(Box::new(HttpUpstream {
            number: UpstreamNumber(number),
            addresses: from_each_source(&endpoint.address, &route, source),
            target: row.target.clone(),
            may_retry: tried.len() + 1 < listed,
            is_in_doubt: endpoint.is_in_doubt(),
            client: block,
            host: endpoint.url.host_field(),
            gateway_fields: self.gateway_fields(id, request),
            hop,
            set_cookie: sticky.and_then(|s| s.set_cookie(&endpoint.token, hop.is_https)),
            expires_in: expires.map(|at| self.engine_time(at, now) - now),
            ticket: self.http_requests.begin(row),
            answers_before: endpoint.requests.answered(),
            in_flight: endpoint.requests.begin(),
            route,
            admitted,
        })))
    }

    /// Returns whether a client has as many of `HTTP_MAX_REQUESTS` as one may: all but a quarter,
    /// so that others find room, and a quarter while others ask.
    fn has_most_requests(&mut self, client: AddressBlock, route: &str, now: Micros) -> bool {
        let quarter = self.http_max_requests / 4;
        let live = self.routes.by_name(route);
        let most = match live.is_some_and(|live| live.is_contended(client, now)) {
            true => quarter.max(1),
            false => self.http_max_requests - quarter,
        };
        self.http_requests.count_of(client) >= most
    }

    /// Notes that a plain HTTP request was answered, with this status. A status of 5xx but 501 says
    /// that the service could not serve the request; one of 4xx says nothing, as a client can
    /// provoke it.
    pub fn http_answered(&mut self, now: Micros, upstream: &HttpTarget, status: u16) {
        if let Some(endpoint) = self.endpoints.get_mut(upstream.number.0) {
            endpoint.answered(now);
            if !is_failure(status) {
                endpoint.accepted(RequestKind::Http, now);
            }
        }
        if is_failure(status) {
            self.http_failed(now, upstream, &format!("the answer is {status}"));
        }
    }

    /// Returns at most `most` of the plain HTTP requests in progress, those after this one, and
    /// whether more follow.
    pub(crate) fn http_requests_after(
        &self,
        id: Option<ConnId>,
        most: usize,
    ) -> (Vec<HttpRequestRow>, bool) {
        self.http_requests.after(id, most)
    }

    /// Returns the identity of the client whose plain HTTP request is in progress on a connection;
    /// `None` if none is.
    pub(crate) fn http_client(&self, id: ConnId) -> Option<Option<Identity>> {
        self.http_requests.client(id)
    }

    /// Ends the plain HTTP request of a connection, if one is in progress.
    pub(crate) fn end_http(&self, id: ConnId) {
        self.http_requests.end(id);
    }

    /// Ends the plain HTTP requests of an identity among the next `most` after this one. Returns
    /// the last one that was looked at, if more follow.
    pub(crate) fn end_http_of(
        &self,
        identity: &Identity,
        after: Option<ConnId>,
        most: usize,
    ) -> Option<ConnId> {
        self.http_requests.end_of(identity, after, most)
    }

    /// Notes that the answer to a plain HTTP request is not valid, or that there was none before
    /// the upstream has closed the connection.
    pub fn http_failed(&mut self, now: Micros, upstream: &HttpTarget, why: &str) {
        let Some(endpoint) = self.endpoints.get(upstream.number.0) else {
            return;
        };
        let live = self.routes.by_name(&endpoint.route);
        let known = live.map_or(0, |live| live.known_clients(now));
        if let Some(endpoint) = self.endpoints.get_mut(upstream.number.0) {
            endpoint.failed(RequestKind::Http, upstream.client, known, now, why);
        }
    }

    /// Notes that connecting for a plain HTTP request failed.
    pub fn http_unreachable(&mut self, now: Micros, upstream: UpstreamNumber, why: &str) {
        if let Some(endpoint) = self.endpoints.get_mut(upstream.0) {
            endpoint.unreachable(now, why);
        }
    }

    /// Notes that a plain HTTP request, sent at `since`, was not answered in time.
    pub fn http_unanswered(
        &mut self,
        now: Micros,
        upstream: &HttpTarget,
        since: Micros,
        why: &str,
    ) {
        // An upstream that has answered others in this time is not silent.
        if let Some(endpoint) = self.endpoints.get_mut(upstream.number.0)
            && endpoint.requests.answered() == upstream.answers_before
        {
            endpoint.unanswered(upstream.client, since, now, why);
        }
    }
}

/// Returns the address to connect to from each of the route's source addresses, beginning with this
/// one.
fn from_each_source(address: &DialAddress, route: &Route, first: usize) -> Vec<DialAddress> {
    let mut addresses = Vec::with_capacity(1);
    for nth in 0..route.source_addresses.len().max(1) {
        let (address, _) = from_source(address, route, first.wrapping_add(nth));
        // Sources of the other IP version do not fit, and the others come round again.
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}
