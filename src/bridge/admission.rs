//! Which clients a route admits, and the identity of each.

use super::bridge::Bridge;
use super::end_to_end::{CONNECTION_FIELD, Field};
use super::route::Route;
use super::route_identity::{RouteAuth, RouteIdentity};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Reply, Request};
use crate::host::{Claims, Identity};
use crate::wire::http::{HeaderName, HeaderValue};
use std::net::IpAddr;

impl Bridge {
    /// Returns the identity of the client that sends a request; `None` if it has none.
    ///
    /// A name that is not proved belongs to its address: otherwise a client could be blocked by
    /// another one that uses its name.
    pub(super) fn identity_of(&self, request: &Request, client: IpAddr) -> Option<Identity> {
        let route = &self.routes.find(request)?.route;
        let identity = route.identity.as_ref()?;
        let proved = match (route.auth, identity) {
            (RouteAuth::Jwt, RouteIdentity::JwtClaim(claim)) => {
                let claims = self.credentials.verified_claims(request, UnixMillis::now());
                Some(claims.ok()?.name(claim)?)
            }
            _ => None,
        };
        let is_proved = proved.is_some();
        Some(Identity {
            class: self.client_class(),
            user: proved.or_else(|| identity.stated(request, client))?,
            package: None,
            address: (!is_proved).then(|| Box::new(client.to_canonical())),
        })
    }

    /// Checks that a route admits the client that sends a request. Returns the claims of its token,
    /// if the route asks for one.
    ///
    /// # Errors
    /// The cause and the reply, if it does not.
    pub(super) fn check_client(
        &self,
        request: &Request,
        route: &Route,
    ) -> Result<Option<Claims>, (Cause, Reply)> {
        if self.is_own_request(request) {
            let why = "the upstream leads back to this gateway";
            return Err((Cause::BAD_REQUEST, Reply::error(508, why)));
        }
        if route.auth == RouteAuth::None {
            return Ok(None);
        }
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
            return Err(refuse("the token does not name its bearer"));
        }
        Ok(Some(claims))
    }

    /// Returns the field that tells the upstream the id of a connection: the id of this run, and
    /// that of the connection.
    pub(super) fn connection_field(&self, id: ConnId) -> Field {
        let id = format!("{}.{id}", self.boot);
        let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static(""));
        (HeaderName::from_static(CONNECTION_FIELD), value)
    }

    /// Returns the engine time at which a token that expires at this time is no longer accepted.
    pub(super) fn engine_time(&self, expires: UnixMillis, now: Micros) -> Micros {
        let left = expires.0.saturating_sub(UnixMillis::now().0);
        now + Micros(left.saturating_mul(1_000)) + self.credentials.leeway()
    }

    /// Returns whether this gateway itself has sent the request.
    fn is_own_request(&self, request: &Request) -> bool {
        let own = format!("{}.", self.boot);
        let mut stated = request.headers().get_all(CONNECTION_FIELD).iter();
        stated.any(|value| value.as_bytes().starts_with(own.as_bytes()))
    }
}
