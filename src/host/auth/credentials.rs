//! Credentials: the user tokens, app keys and origins that peers are checked against.

use super::app_registry::AppRegistry;
use super::claims::Claims;
use super::origin_check::foreign_origin;
use super::token::{self, TokenKey};
use super::token_fault::TokenFault;
use super::url::WebOrigin;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Reply, Request};
use std::borrow::Cow;

/// The bytes of a token that are verified in one unit of work. A header of many short fields costs
/// more than the hash.
const TOKEN_BYTES_PER_UNIT: usize = 64;

/// When an app with a valid key is admitted to a user's session. A key proves the app, not the
/// user's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admission {
    /// The app is admitted only if that user has started it.
    #[default]
    Started,
    /// The app is always admitted.
    Key,
}

/// The secrets and lists that peers are checked against. Secrets are never shown. The default is
/// the open gateway: it checks nothing.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    tokens: Option<TokenKey>,
    apps: Option<AppRegistry>,
    admission: Admission,
    allowed_origins: Vec<WebOrigin>,
    leeway: Micros,
}

impl Credentials {
    /// Makes credentials that check user tokens with `jwt_secret` and apps against `apps`; without
    /// both the gateway is open.
    pub fn new(
        jwt_secret: Option<&str>,
        apps: Option<AppRegistry>,
        admission: Admission,
        allowed_origins: Vec<WebOrigin>,
    ) -> Self {
        Credentials {
            tokens: jwt_secret.map(TokenKey::new),
            apps,
            admission,
            allowed_origins,
            leeway: Micros::ZERO,
        }
    }

    /// Sets how long before their time (`nbf`) and after it (`exp`) tokens are accepted.
    #[must_use]
    pub fn with_leeway(self, leeway: Micros) -> Self {
        Credentials { leeway, ..self }
    }

    /// Returns whether the gateway is open: peers prove nothing, and the query gives the identity.
    pub fn is_open(&self) -> bool {
        self.tokens.is_none() && self.apps.is_none()
    }

    /// Returns the user that a request shows: the claim `email` of the token in
    /// `Authorization: Bearer …`, or else in `?token=`.
    ///
    /// Call it only if the gateway [is not open](Self::is_open): an open gateway has no secret to
    /// check a token with, and the result is always an error.
    ///
    /// # Errors
    /// What is wrong with the token. The token is not repeated.
    pub fn authenticate(&self, request: &Request, now: UnixMillis) -> Result<Box<str>, TokenFault> {
        let key = self.tokens.as_ref().ok_or(TokenFault::NoSecret)?;
        key.verify(&token::from_request(request)?, now, self.leeway)
    }

    /// Returns the claims of the token of a request.
    ///
    /// # Errors
    /// What is wrong with the token. The token is not repeated.
    pub(crate) fn verified_claims(
        &self,
        request: &Request,
        now: UnixMillis,
    ) -> Result<Claims, TokenFault> {
        let key = self.tokens.as_ref().ok_or(TokenFault::NoSecret)?;
        key.claims(&token::from_request(request)?, now, self.leeway)
    }

    /// Returns the claims of the token of a request, which nothing proves; `None` if it has none.
    pub(crate) fn unverified_claims(request: &Request) -> Option<Claims> {
        token::unverified(&token::from_request(request).ok()?).ok()
    }

    /// Returns the work units for finding the token of a request and verifying it: it is decoded,
    /// hashed and parsed, whether it is valid or not.
    pub(crate) fn token_units(request: &Request) -> u32 {
        let fields = request.headers().get_all("authorization").iter();
        let bytes: usize = fields.map(|field| field.as_bytes().len()).sum();
        let bytes = bytes + request.query().unwrap_or_default().len();
        u32::try_from(bytes / TOKEN_BYTES_PER_UNIT).unwrap_or(u32::MAX)
    }

    /// Returns how long after its time a token is still accepted.
    pub(crate) fn leeway(&self) -> Micros {
        self.leeway
    }

    /// Returns the hash of the package's key; `None` in an open gateway, and for an unknown
    /// package.
    pub(crate) fn app_key_hash(&self, package: &str) -> Option<[u8; 32]> {
        self.apps.as_ref()?.key_hash(package)
    }

    /// Returns whether this is the package's key; in an open gateway any key is. An unknown package
    /// takes as long as a wrong key.
    pub fn is_app_key(&self, package: &str, key: &str) -> bool {
        match &self.apps {
            Some(apps) => apps.is_key(package, key),
            None => self.is_open(),
        }
    }

    /// Returns the URL to which starts and stops of the package's app are POSTed, if any.
    pub fn webhook_url(&self, package: &str) -> Option<&str> {
        self.apps.as_ref()?.webhook_url(package)
    }

    /// Returns whether there is such an app; an open gateway knows every one.
    pub fn has_app(&self, package: &str) -> bool {
        match &self.apps {
            Some(apps) => apps.contains(package),
            None => self.is_open(),
        }
    }

    /// Returns whether an app of this package may send frames of this type. Types reserved for the
    /// gateway are checked elsewhere.
    pub fn may_send(&self, package: &str, kind: &str) -> bool {
        let apps = self.apps.as_ref();
        apps.is_none_or(|apps| apps.may_send(package, kind))
    }

    /// Returns when an app with a valid key is admitted. An open gateway asks for no consent.
    pub fn admission(&self) -> Admission {
        if self.is_open() {
            Admission::Key
        } else {
            self.admission
        }
    }

    /// Returns the `Origin` of a page that may not connect; `None` if the request has no such
    /// origin. Origins are checked if the list of allowed ones is not empty. They are also checked
    /// if the gateway is open, because any page in a user's browser can reach a loopback port.
    pub fn refused_origin<'a>(&self, request: &'a Request) -> Option<Cow<'a, str>> {
        if !self.is_open() && self.allowed_origins.is_empty() {
            return None;
        }
        foreign_origin(request, &self.allowed_origins)
    }

    /// The answer to a request without a valid token: HTTP 401 with the body that clients expect.
    pub fn unauthorized_reply(fault: &TokenFault, now: UnixMillis) -> Reply {
        let body = format!(
            r#"{{"type":"connection_error","code":"{}","timestamp":"{}","message":"{fault}"}}"#,
            fault.code(),
            format_rfc3339(now)
        );
        Reply::new(401, body)
            .with_reason(&fault.to_string())
            .with_challenge("Bearer")
    }
}

/// Formats a time as in frames: `2026-11-24T10:00:00.000Z`.
pub(crate) fn format_rfc3339(time: UnixMillis) -> String {
    /// The last time with a year of four digits.
    const LAST: UnixMillis = UnixMillis(253_402_300_799_999);
    humantime::format_rfc3339_millis(time.min(LAST).into()).to_string()
}
