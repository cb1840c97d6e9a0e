//! Admission: checks the identity, credentials and limits of glasses and apps before they take a
//! slot.
//!
//! For glasses this happens at the request; for apps, by their first message at the latest.

use super::causes::{FLAPPING, SESSION_UNKNOWN};
use super::protocol;
use super::protocol::Init;
use super::relay::{ANONYMOUS, LIMIT_SCOPE, Relay};
use super::session::SESSION_APPS_MAX;
use super::tables::Introduction;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Io, Message, Reply, Request};
use crate::host::{Admission, Credentials, Identity, is_valid_name, retry_after_secs};
use crate::relay::role::PeerRole;
use std::borrow::Cow;

/// The refusal text for an app whose session already has [`SESSION_APPS_MAX`] apps.
const TOO_MANY_APPS: &str = "this session already has 1000 apps, the most that are allowed";

/// Why an app is not admitted.
enum AppRefusal {
    /// The app is sent the error, and its connection is closed.
    Close(Refusal),
    /// The app's `reconnect` is rejected; the app may still introduce itself with an init message.
    AwaitInit(&'static str),
}

/// The error that a refused app is sent, and the cause for which its connection is closed.
struct Refusal {
    code: &'static str,
    why: Cow<'static, str>,
    cause: Cause,
}

impl Relay {
    /// Returns the identity of the glasses that send this request: the user of its token, or the
    /// user in its query.
    ///
    /// # Errors
    /// The cause and the HTTP answer if the request is refused.
    pub(super) fn identify_glasses(
        &mut self,
        request: &Request,
    ) -> Result<Identity, (Cause, Reply)> {
        let user = if self.credentials.is_open() {
            match query_names(request)?.user {
                Some(user) if user.starts_with(ANONYMOUS) => {
                    let why = "user names that begin with anonymous- are reserved for the gateway";
                    return Err((Cause::BAD_REQUEST, Reply::error(400, why)));
                }
                Some(user) => user,
                None => {
                    self.anonymous += 1;
                    format!("{ANONYMOUS}{}", self.anonymous).into()
                }
            }
        } else {
            let now = UnixMillis::now();
            let checked = self.credentials.authenticate(request, now);
            let refusal = |fault| {
                (
                    Cause::UNAUTHORIZED,
                    Credentials::unauthorized_reply(&fault, now),
                )
            };
            checked.map_err(refusal)?
        };
        Ok(PeerRole::Glasses.identity(&user))
    }

    /// Returns the identity of the app that a request shows; `None` if its first message will name
    /// it.
    /// The query counts only in an open gateway.
    ///
    /// # Errors
    /// The cause and the HTTP answer if the request is refused.
    pub(super) fn identify_app(
        &self,
        request: &Request,
    ) -> Result<Option<Identity>, (Cause, Reply)> {
        if !self.credentials.is_open() {
            return Ok(None);
        }
        let QueryNames { user, package } = query_names(request)?;
        match (user, package) {
            (None, None) => Ok(None),
            (Some(user), Some(package)) => {
                let full = self.sessions.get(&user).is_some_and(|session| {
                    session.apps.len() >= SESSION_APPS_MAX && session.app(&package).is_none()
                });
                if full {
                    return Err((Cause::AT_CAPACITY, Reply::error(503, TOO_MANY_APPS)));
                }
                Ok(Some(PeerRole::App(&package).identity(&user)))
            }
            (Some(_), None) | (None, Some(_)) => {
                let why = "the query must have both user and package, or neither";
                Err((Cause::BAD_REQUEST, Reply::error(400, why)))
            }
        }
    }

    /// Returns the cause and the HTTP answer if this identity is refused for now (it is blocked, or
    /// reconnects too often); `None` if it is not.
    pub(super) fn refuses(&mut self, identity: &Identity, now: Micros) -> Option<(Cause, Reply)> {
        if let Some(left) = self.blocks.remaining(identity, now) {
            let reply = Reply::error(403, "blocked by the operator");
            return Some((
                Cause::BLOCKED,
                reply.with_retry_after(retry_after_secs(left)),
            ));
        }
        let left = self.check_flapping(identity, now)?;
        let reply = Reply::error(429, "this identity reconnects too often");
        Some((FLAPPING, reply.with_retry_after(retry_after_secs(left))))
    }

    /// Returns how long an identity that reconnects too often is refused.
    pub(super) fn check_flapping(&mut self, identity: &Identity, now: Micros) -> Option<Micros> {
        let limit = self.settings.flapping_limit;
        let left = self
            .flapping
            .check_refusal(LIMIT_SCOPE, identity, limit, now)?;
        self.stats.flapping[PeerRole::of(identity).class_index()] += 1;
        Some(left)
    }

    /// Reads and checks the first message of an app. Returns its identity if it is admitted, and
    /// how it introduced itself.
    pub(super) fn read_introduction(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
    ) -> Option<(Identity, Introduction)> {
        let mut introduction = self.pending_introductions.introduction_of(id);
        let refusal = match self.check_introduction(io, id, message, &mut introduction) {
            Ok(identity) => {
                self.forget_introduction(io, id);
                return Some((identity, introduction));
            }
            Err(AppRefusal::AwaitInit(why)) => {
                let rejected = protocol::reconnect_rejected("SESSION_NOT_FOUND", why);
                self.answer(io, id, rejected);
                self.await_init(io, id);
                return None;
            }
            Err(AppRefusal::Close(refusal)) => refusal,
        };
        let Refusal { code, why, cause } = refusal;
        self.stats.malformed += u64::from(code == "MALFORMED_MESSAGE");
        let not_started = code == NOT_STARTED;
        if not_started && introduction.is_reconnect {
            let rejected = protocol::reconnect_rejected("NOT_RUNNING", &why);
            self.answer(io, id, rejected);
        }
        // The app would reconnect without `app_stopped`.
        if cause == Cause::BLOCKED || not_started && introduction.has_newer_sdk {
            self.answer(io, id, protocol::app_stopped(&why));
            io.close_for(id, cause, 1000, super::app_lifecycle::STOPPED);
        } else {
            self.answer(io, id, protocol::app_error(code, &why));
            io.close_for(id, cause, cause.close_code(), &why);
        }
        None
    }

    fn check_introduction(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
        introduction: &mut Introduction,
    ) -> Result<Identity, AppRefusal> {
        let refuse = |code, why: Cow<'static, str>, cause| {
            Err(AppRefusal::Close(Refusal { code, why, cause }))
        };
        let malformed = |why| refuse("MALFORMED_MESSAGE", why, Cause::FORBIDDEN);
        let Message::Text(text) = message else {
            return malformed(protocol::NO_INIT.into());
        };
        io.spend(super::routing::parse_units(text.len()));
        let init = match Init::parse(text) {
            Ok(init) => init,
            Err(why) => return malformed(why.0.into()),
        };
        introduction.has_newer_sdk |= init.has_newer_sdk;
        introduction.is_reconnect = init.is_reconnect;
        // A rejected `reconnect` has already been answered with the reason.
        if init.is_reconnect && self.pending_introductions.is_awaited(id) {
            return malformed(protocol::NO_INIT.into());
        }
        let headers = self.pending_introductions.headers(id);
        let Some(package) = init
            .package_name
            .as_deref()
            .or(headers.map(|h| &*h.package))
        else {
            return malformed("packageName is missing".into());
        };
        let user = match headers {
            Some(headers) if !init.has_session() => Some(&*headers.user),
            Some(_) | None => init.user(package),
        };
        let Some(user) = user else {
            return malformed("sessionId must be the user, a hyphen and the packageName".into());
        };
        if !is_valid_name(user) || !is_valid_name(package) {
            return malformed(NAME_ERROR.into());
        }
        let key = init.api_key.as_deref().or(headers.map(|h| &*h.key));
        // An unknown package gets the same answer as a wrong key.
        if !self
            .credentials
            .is_app_key(package, key.unwrap_or_default())
        {
            let why = "apiKey is not the API key of this package";
            return refuse("INVALID_API_KEY", why.into(), Cause::FORBIDDEN);
        }
        let identity = PeerRole::App(package).identity(user);
        let (user, package) = (&*identity.user, package.to_owned());
        let package = &*package;
        let now = io.now();
        if self.blocks.remaining(&identity, now).is_some() {
            return refuse("BLOCKED", "blocked by the operator".into(), Cause::BLOCKED);
        }
        if let Some(left) = self.check_flapping(&identity, now) {
            let why = format!(
                "reconnects too often: try again in {} s",
                retry_after_secs(left)
            );
            return refuse("RECONNECTS_TOO_OFTEN", why.into(), FLAPPING);
        }
        let session = self.sessions.get(user);
        let started = session.is_some_and(|session| session.app(package).is_some());
        // If its server was to be asked again, this connection belongs to a session that failed,
        // and no handler of the app listens to it. An app that reconnects had been acknowledged.
        let app = session.and_then(|session| session.app(package));
        let orphan = !init.is_reconnect
            && app.is_some_and(|app| app.is_orphan(now, introduction.has_newer_sdk, ORPHAN_TIME));
        match self.credentials.admission() {
            _ if orphan => {
                let why = "this app is being started: wait for the webhook";
                return refuse(NOT_STARTED, why.into(), Cause::FORBIDDEN);
            }
            _ if started => {}
            Admission::Started if session.is_none() => {
                let why = "this user has no session: no glasses are connected";
                if init.is_reconnect {
                    return Err(AppRefusal::AwaitInit(why));
                }
                return refuse("SESSION_NOT_FOUND", why.into(), SESSION_UNKNOWN);
            }
            Admission::Started => {
                let why = "the user has not started this app";
                return refuse(NOT_STARTED, why.into(), Cause::FORBIDDEN);
            }
            Admission::Key if init.is_reconnect => {
                return Err(AppRefusal::AwaitInit(
                    "this app is not in a session of this user",
                ));
            }
            Admission::Key => {}
        }
        if !started && session.is_some_and(|session| session.apps.len() >= SESSION_APPS_MAX) {
            return refuse("TOO_MANY_APPS", TOO_MANY_APPS.into(), Cause::AT_CAPACITY);
        }
        Ok(identity)
    }
}

/// How long an orphan of the newer SDK may still connect by itself after its server may be asked
/// again. An orphan is a connection that belongs to a failed session. The SDK retries 1 s and 5 s
/// after the failure.
const ORPHAN_TIME: Micros = Micros::from_secs(3);

/// The error code for an app that its user has not started, or that is being asked for another
/// session.
const NOT_STARTED: &str = "APP_NOT_STARTED";

/// The error text for a name that [`is_valid_name`] refuses.
const NAME_ERROR: &str =
    "user and package must have at most 256 bytes each, and no control characters";

/// The user and the package that the query names.
struct QueryNames {
    user: Option<Box<str>>,
    package: Option<Box<str>>,
}

/// Reads user and package from the query, decoded.
fn query_names(request: &Request) -> Result<QueryNames, (Cause, Reply)> {
    let query = request.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| Box::from(value))
    };
    let names: [Option<Box<str>>; 2] = ["user", "package"].map(parameter);
    if names.iter().flatten().any(|name| !is_valid_name(name)) {
        return Err((Cause::BAD_REQUEST, Reply::error(400, NAME_ERROR)));
    }
    let [user, package] = names;
    Ok(QueryNames { user, package })
}
