//! Admission: checks the identity, credentials and limits of glasses and apps before they take a
//! place.
//!
//! For glasses this happens at the request; for apps, by their first message at the latest.

use super::causes::{FLAPPING, SESSION_UNKNOWN};
use super::protocol;
use super::protocol::Init;
use super::relay::{ANONYMOUS, Relay};
use super::routing::answer;
use super::session::{SESSION_APPS_MAX, TO_APPS, TO_GLASSES};
use super::tables::Greeting;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Io, Message, Reply, Request};
use crate::host::{Admission, Credentials, Identity, is_name, seconds};
use crate::relay::role::Role;
use std::borrow::Cow;

/// The refusal text for an app whose session already has [`SESSION_APPS_MAX`] apps.
const TOO_MANY_APPS: &str = "this session already has 1000 apps, the most that are allowed";

/// Why an app is not admitted.
enum Refused {
    /// The app is sent the error, and its connection is closed.
    Closed(Refusal),
    /// The app's `reconnect` is rejected; the app may still introduce itself with an init message.
    Anew(&'static str),
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
    pub(super) fn glasses_asked(&mut self, request: &Request) -> Result<Identity, (Cause, Reply)> {
        let user = if self.credentials.is_open() {
            match names(request)?.user {
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
            let checked = self.credentials.user(request, now);
            let refusal = |fault| (Cause::UNAUTHORIZED, Credentials::unauthorized(&fault, now));
            checked.map_err(refusal)?
        };
        Ok(Role::Glasses.identity(&user))
    }

    /// Returns the identity of the app that a request shows; `None` if its first message will name
    /// it.
    /// The query counts only in an open gateway.
    ///
    /// # Errors
    /// The cause and the HTTP answer if the request is refused.
    pub(super) fn app_asked(&self, request: &Request) -> Result<Option<Identity>, (Cause, Reply)> {
        if !self.credentials.is_open() {
            return Ok(None);
        }
        let Names { user, package } = names(request)?;
        match (user, package) {
            (None, None) => Ok(None),
            (Some(user), Some(package)) => {
                let full = self.sessions.get(&user).is_some_and(|session| {
                    session.apps.len() >= SESSION_APPS_MAX && session.app(&package).is_none()
                });
                if full {
                    return Err((Cause::AT_CAPACITY, Reply::error(503, TOO_MANY_APPS)));
                }
                Ok(Some(Role::App(&package).identity(&user)))
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
        if let Some(left) = self.blocks.left(identity, now) {
            let reply = Reply::error(403, "blocked by the operator");
            return Some((Cause::BLOCKED, reply.with_retry_after(seconds(left))));
        }
        let left = self.flaps(identity, now)?;
        let reply = Reply::error(429, "this identity reconnects too often");
        Some((FLAPPING, reply.with_retry_after(seconds(left))))
    }

    /// Returns how long an identity that reconnects too often is refused.
    fn flaps(&mut self, identity: &Identity, now: Micros) -> Option<Micros> {
        let limit = self.settings.flapping_limit;
        let left = self.flapping.refuses(identity, limit, now)?;
        let class = match Role::of(identity) {
            Role::Glasses => TO_GLASSES,
            Role::App(_) => TO_APPS,
        };
        self.stats.flapping[class] += 1;
        Some(left)
    }

    /// Reads and checks the first message of an app. Returns its identity if it is admitted, and
    /// how it introduced itself.
    pub(super) fn introduction(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
    ) -> Option<(Identity, Greeting)> {
        let mut greeting = self.introductions.greeting(id);
        let refusal = match self.check_introduction(io, id, message, &mut greeting) {
            Ok(identity) => {
                self.forget_introduction(io, id);
                return Some((identity, greeting));
            }
            Err(Refused::Anew(why)) => {
                let rejected = protocol::reconnect_rejected("SESSION_NOT_FOUND", why);
                answer(io, id, rejected);
                self.await_init(io, id);
                return None;
            }
            Err(Refused::Closed(refusal)) => refusal,
        };
        let Refusal { code, why, cause } = refusal;
        self.stats.malformed += u64::from(code == "MALFORMED_MESSAGE");
        let not_started = code == NOT_STARTED;
        if not_started && greeting.reconnects {
            let rejected = protocol::reconnect_rejected("NOT_RUNNING", &why);
            answer(io, id, rejected);
        }
        // The app would reconnect without `app_stopped`.
        if cause == Cause::BLOCKED || not_started && greeting.insists {
            answer(io, id, protocol::app_stopped(&why));
            io.close_for(id, cause, 1000, super::apps::STOPPED);
        } else {
            answer(io, id, protocol::app_error(code, &why));
            io.close_for(id, cause, cause.close_code(), &why);
        }
        None
    }

    fn check_introduction(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
        greeting: &mut Greeting,
    ) -> Result<Identity, Refused> {
        let refuse = |code, why: Cow<'static, str>, cause| {
            Err(Refused::Closed(Refusal { code, why, cause }))
        };
        let malformed = |why| refuse("MALFORMED_MESSAGE", why, Cause::FORBIDDEN);
        let Message::Text(text) = message else {
            return malformed(protocol::NO_INIT.into());
        };
        io.spend(super::routing::parsed(text.len()));
        let init = match Init::parse(text) {
            Ok(init) => init,
            Err(why) => return malformed(why.0.into()),
        };
        greeting.insists |= init.is_newer;
        greeting.reconnects = init.reconnect;
        // A rejected `reconnect` has already been answered with the reason.
        if init.reconnect && self.introductions.is_awaited(id) {
            return malformed(protocol::NO_INIT.into());
        }
        let headers = self.introductions.headers(id);
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
            return malformed("sessionId must be the user, a hyphen and packageName".into());
        };
        if !is_name(user) || !is_name(package) {
            return malformed(NAMES.into());
        }
        let key = init.api_key.as_deref().or(headers.map(|h| &*h.key));
        // An unknown package gets the same answer as a wrong key.
        if !self.credentials.app(package, key.unwrap_or_default()) {
            let why = "apiKey is not the API key of this package";
            return refuse("INVALID_API_KEY", why.into(), Cause::FORBIDDEN);
        }
        let identity = Role::App(package).identity(user);
        let (user, package) = (&*identity.user, package.to_owned());
        let package = &*package;
        let now = io.now();
        if self.blocks.left(&identity, now).is_some() {
            return refuse("BLOCKED", "blocked by the operator".into(), Cause::BLOCKED);
        }
        if let Some(left) = self.flaps(&identity, now) {
            let why = format!("reconnects too often: try again in {} s", seconds(left));
            return refuse("RECONNECTS_TOO_OFTEN", why.into(), FLAPPING);
        }
        let session = self.sessions.get(user);
        let started = session.is_some_and(|session| session.app(package).is_some());
        // If its server was to be asked again, this connection belongs to a session that failed,
        // and no handler of the app listens to it. An app that reconnects had been acknowledged.
        let app = session.and_then(|session| session.app(package));
        let orphan =
            !init.reconnect && app.is_some_and(|app| app.is_orphan(now, greeting.insists, ORPHANS));
        match self.credentials.admission() {
            _ if orphan => {
                let why = "this app is being started: wait for the webhook";
                return refuse(NOT_STARTED, why.into(), Cause::FORBIDDEN);
            }
            _ if started => {}
            Admission::Started if session.is_none() => {
                let why = "this user has no session: no glasses are connected";
                if init.reconnect {
                    return Err(Refused::Anew(why));
                }
                return refuse("SESSION_NOT_FOUND", why.into(), SESSION_UNKNOWN);
            }
            Admission::Started => {
                let why = "the user has not started this app";
                return refuse(NOT_STARTED, why.into(), Cause::FORBIDDEN);
            }
            Admission::Key if init.reconnect => {
                return Err(Refused::Anew("this app is not in a session of this user"));
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
const ORPHANS: Micros = Micros::from_secs(3);

/// The error code for an app that its user has not started, or that is being asked for another
/// session.
const NOT_STARTED: &str = "APP_NOT_STARTED";

/// The error text for a name that [`is_name`] refuses.
const NAMES: &str = "user and package must have at most 256 bytes each, and no control characters";

/// The user and the package that the query names.
struct Names {
    user: Option<Box<str>>,
    package: Option<Box<str>>,
}

/// Reads user and package from the query, decoded.
fn names(request: &Request) -> Result<Names, (Cause, Reply)> {
    let query = request.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| Box::from(value))
    };
    let names: [Option<Box<str>>; 2] = ["user", "package"].map(parameter);
    if names.iter().flatten().any(|name| !is_name(name)) {
        return Err((Cause::BAD_REQUEST, Reply::error(400, NAMES)));
    }
    let [user, package] = names;
    Ok(Names { user, package })
}
