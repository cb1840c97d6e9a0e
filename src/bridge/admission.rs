//! Which clients a route admits, and the identity of each.

use super::bridge::{BRIDGE_CLASSES, Bridge};
use super::end_to_end::{CONNECTION_FIELD, Field};
use super::gateway_path::GatewayPath;
use super::route::Route;
use super::route_identity::{RouteAuth, RouteIdentity};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Io, Reply, Request};
use crate::host::{Claims, ClientCheck, ConnectLimit, Credentials, Identity, LogValue};
use crate::wire::http::{HeaderName, HeaderValue};
use std::net::IpAddr;
use std::sync::Arc;

/// A client that a route admits.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The route, as it was then.
    pub(crate) route: Arc<Route>,
    /// The client's address.
    pub(crate) address: IpAddr,
    /// The client's identity, if it has one.
    pub(crate) identity: Option<Identity>,
    /// When its token expires.
    pub(super) expires: Option<UnixMillis>,
}

/// A client that a route does not admit.
#[derive(Debug)]
pub(super) struct NotAdmitted {
    /// The identity that its request states, for records.
    identity: Option<Identity>,
    pub(super) refusal: (Cause, Reply),
}

impl Bridge {
    /// Checks the client of a request for a WebSocket: route, form, origin, token. A client that
    /// is refused here must not count for the name that it states: any page can send requests in
    /// the name of its visitor.
    pub(super) fn check_upgrade(
        &self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
    ) -> ClientCheck {
        let Some(live) = self.routes.find(request) else {
            return ClientCheck::default();
        };
        let route = &live.route;
        let address = io.peer_addr(id).unwrap_or(request.peer_addr()).ip();
        let admitted = match upgrade_refusal(request, route) {
            None => self.admit(io, request, route, address),
            Some(refusal) => Err(Box::new(NotAdmitted {
                identity: self.identity_of(request, route, None, address),
                refusal,
            })),
        };
        let first = self.client_class().0;
        let limit = (route.flapping_limit > 0).then(|| ConnectLimit {
            scope: route.name.clone(),
            per_minute: route.flapping_limit,
        });
        let check = ClientCheck {
            classes: first..first + BRIDGE_CLASSES.len() as u8,
            limit,
            ..ClientCheck::default()
        };
        match admitted {
            Ok(admitted) => ClientCheck {
                identity: admitted.identity,
                expires: admitted.expires,
                ..check
            },
            Err(refused) => ClientCheck {
                identity: refused.identity,
                refusal: Some(refused.refusal),
                ..check
            },
        }
    }

    /// Checks that a route admits the client of a request. Called once for a request: the work
    /// grows with the token.
    ///
    /// # Errors
    /// The cause and the reply, if it does not.
    pub(super) fn admit(
        &self,
        io: &mut Io<'_>,
        request: &Request,
        route: &Arc<Route>,
        address: IpAddr,
    ) -> Result<Admitted, Box<NotAdmitted>> {
        if route.reads_token() {
            io.spend(Credentials::token_units(request));
        }
        let claims = match (GatewayPath::of(request).fault(self.boot), route.auth) {
            (Some(why), _) => Err((Cause::BAD_REQUEST, Reply::error(508, why))),
            (None, RouteAuth::None) => Ok(None),
            (None, RouteAuth::Jwt) => self.verify(request, route).map(Some),
        };
        let verified = claims.as_ref().ok().and_then(Option::as_ref);
        let identity = self.identity_of(request, route, verified, address);
        match claims {
            Ok(claims) => Ok(Admitted {
                route: route.clone(),
                address,
                identity,
                expires: claims.and_then(|claims| claims.expires()),
            }),
            Err(refusal) => Err(Box::new(NotAdmitted { identity, refusal })),
        }
    }

    /// Returns the claims of the valid token of a request.
    ///
    /// # Errors
    /// The cause and the reply, if it has none.
    fn verify(&self, request: &Request, route: &Route) -> Result<Claims, (Cause, Reply)> {
        let refuse = |why: &str| {
            let reply = Reply::error(401, why).with_challenge("Bearer");
            (Cause::UNAUTHORIZED, reply)
        };
        let claims = self.credentials.verified_claims(request, UnixMillis::now());
        let claims = claims.map_err(|fault| refuse(&fault.to_string()))?;
        // A client without a name could be neither blocked nor limited.
        if let Some(RouteIdentity::JwtClaim(claim)) = &route.identity
            && claims.name(claim).is_none()
        {
            return Err(refuse(claims.name_fault(claim)));
        }
        Ok(claims)
    }

    /// Returns the identity of a client; `None` if it has none. `verified` are the claims of its
    /// valid token.
    ///
    /// A name that is not proved belongs to its address: otherwise a client could be blocked by
    /// another one that uses its name.
    fn identity_of(
        &self,
        request: &Request,
        route: &Route,
        verified: Option<&Claims>,
        client: IpAddr,
    ) -> Option<Identity> {
        let identity = route.identity.as_ref()?;
        let (user, is_proved) = match (identity, route.auth) {
            (RouteIdentity::JwtClaim(claim), RouteAuth::Jwt) => (verified?.name(claim)?, true),
            _ => (identity.stated(request, client)?, false),
        };
        Some(Identity {
            class: self.client_class(),
            user,
            package: None,
            address: (!is_proved).then(|| Box::new(client.to_canonical())),
        })
    }

    /// Returns the fields that tell the upstream the id of a connection (the id of this run, and
    /// that of the connection) and the earlier gateways of a request.
    pub(super) fn gateway_fields(&self, id: ConnId, request: &Request) -> Vec<Field> {
        let id = format!("{}.{id}", self.boot);
        let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static(""));
        let connection = (HeaderName::from_static(CONNECTION_FIELD), value);
        let path = GatewayPath::of(request).field();
        std::iter::once(connection).chain(path).collect()
    }

    /// Returns the engine time at which a token that expires at this time is no longer accepted.
    pub(super) fn engine_time(&self, expires: UnixMillis, now: Micros) -> Micros {
        let left = expires.0.saturating_sub(UnixMillis::now().0);
        now + Micros(left.saturating_mul(1_000)) + self.credentials.leeway()
    }
}

/// Returns the refusal of a request that asks for no WebSocket, or for one from a page of another
/// origin.
fn upgrade_refusal(request: &Request, route: &Route) -> Option<(Cause, Reply)> {
    if let Some(reply) = request.upgrade_refusal() {
        return Some((Cause::BAD_REQUEST, reply));
    }
    let origin = route.refused_origin(request)?;
    let why = format!(
        "the page's origin {} is not in allowed_origins of the route {}",
        LogValue(&origin),
        route.name
    );
    Some((Cause::BLOCKED, Reply::error(403, &why)))
}
