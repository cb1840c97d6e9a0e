//! What peers are checked against: tokens, keys, and the origins of pages.

use super::apps::Apps;
use super::token::{self, TokenFault, TokenKey};
use super::url::WebOrigin;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Reply, Request};
use std::borrow::Cow;

/// When an app with the right key is let into a user's session. A key proves the app, not the user's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admission {
    /// If that user started it.
    #[default]
    Started,
    /// Always.
    Key,
}

/// What peers are checked against. Secrets are shown nowhere. The default is the open gateway.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    tokens: Option<TokenKey>,
    apps: Option<Apps>,
    admission: Admission,
    allowed_origins: Vec<WebOrigin>,
    leeway: Micros,
}

impl Credentials {
    /// Checks the tokens of users with `jwt_secret` and apps against `apps`; with neither the gateway is open.
    pub fn new(
        jwt_secret: Option<&str>,
        apps: Option<Apps>,
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

    /// Lets tokens count for so long before their time (`nbf`) and after it (`exp`).
    #[must_use]
    pub fn with_leeway(self, leeway: Micros) -> Self {
        Credentials { leeway, ..self }
    }

    /// Returns whether nobody has to prove anything: identity is what the query says.
    pub fn is_open(&self) -> bool {
        self.tokens.is_none() && self.apps.is_none()
    }

    /// The user that a request shows: the claim `email` of the token in `Authorization: Bearer …`, or else in `?token=`.
    ///
    /// To be asked only if the gateway [is not open](Self::is_open): there is no token to check then, and nobody is let in.
    ///
    /// # Errors
    /// What is wrong with the token. It is not repeated.
    pub fn user(&self, request: &Request, now: UnixMillis) -> Result<Box<str>, TokenFault> {
        let key = self.tokens.as_ref().ok_or(TokenFault::NoSecret)?;
        key.user(&token::of(request)?, now, self.leeway)
    }

    /// Returns whether this is the package's key; in an open gateway any is. An unknown package takes the time of a wrong key.
    pub fn app(&self, package: &str, key: &str) -> bool {
        match &self.apps {
            Some(apps) => apps.admits(package, key),
            None => self.is_open(),
        }
    }

    /// Where the package's app is started and stopped by a POST, if anywhere.
    pub fn webhook(&self, package: &str) -> Option<&str> {
        self.apps.as_ref()?.webhook(package)
    }

    /// Returns whether there is such an app; in an open gateway there is every one.
    pub fn knows(&self, package: &str) -> bool {
        match &self.apps {
            Some(apps) => apps.knows(package),
            None => self.is_open(),
        }
    }

    /// Returns whether an app of this package may send frames of this type. Words of the gateway's own are another matter.
    pub fn may_send(&self, package: &str, kind: &str) -> bool {
        let apps = self.apps.as_ref();
        apps.is_none_or(|apps| apps.may_send(package, kind))
    }

    /// When an app with the right key is let in. An open gateway asks for no consent either.
    pub fn admission(&self) -> Admission {
        if self.is_open() {
            Admission::Key
        } else {
            self.admission
        }
    }

    /// The `Origin` of a page that may not connect: one that was not named, when the gateway is open (any page that a user opens
    /// reaches a loopback port) or when any was named. An IP address or `localhost` that is also the request's `Host` is no
    /// foreign page. Most clients that are no browsers send no `Origin`.
    pub fn refused_origin<'a>(&self, request: &'a Request) -> Option<Cow<'a, str>> {
        if !self.is_open() && self.allowed_origins.is_empty() {
            return None;
        }
        let host = request.header("host").unwrap_or_default();
        let is_let_in = |origin: &[u8]| {
            let origin = str::from_utf8(origin).ok().and_then(WebOrigin::parse);
            origin.is_some_and(|o| self.allowed_origins.contains(&o) || o.is_own(host))
        };
        let lines = request.headers().get_all("origin").iter();
        let mut origins = lines.map(|line| line.as_bytes());
        origins
            .find(|origin| !is_let_in(origin))
            .map(String::from_utf8_lossy)
    }

    /// The answer to a request without a token that counts: HTTP 401 with the body that their clients know.
    pub fn unauthorized(fault: &TokenFault, now: UnixMillis) -> Reply {
        let body = format!(
            r#"{{"type":"connection_error","code":"{}","timestamp":"{}","message":"{fault}"}}"#,
            fault.code(),
            iso(now)
        );
        Reply::new(401, body)
            .because(&fault.to_string())
            .challenge("Bearer")
    }
}

/// A time as frames have it: `2026-11-24T10:00:00.000Z`.
pub(crate) fn iso(time: UnixMillis) -> String {
    /// The last that has four digits for its year.
    const LAST: UnixMillis = UnixMillis(253_402_300_799_999);
    humantime::format_rfc3339_millis(time.min(LAST).into()).to_string()
}
