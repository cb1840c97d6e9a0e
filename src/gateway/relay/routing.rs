//! What goes where: frames of the glasses to the apps that subscribed, requests of apps to their session's glasses.

use super::Relay;
use super::account::moved;
use super::chores::units;
use super::post::{Parcel, TO_APPS, TO_GLASSES};
use super::session::App;
use crate::cause::Cause;
use crate::engine::{Io, Message, Sent};
use crate::gateway::protocol::{self, FromApp, FromGlasses, Malformed};
use crate::gateway::subscriptions::AUDIO;
use crate::gateway::{Identity, Role, Subscriptions};
use crate::id::ConnId;
use crate::time::Micros;

/// Frames of one connection in a minute that may be no JSON of the contract; the one that makes this many closes it.
const STRIKES: u32 = 5;

const STRIKE_WINDOW: Micros = Micros::from_secs(60);

/// Sets of subscriptions of at most this many bytes are taken even if there is no room.
const SMALL_SET: usize = 1024;

/// Subscriptions that are read and sorted in a microsecond.
const SORTED: u32 = 4;

/// Bytes of JSON that are looked through in a microsecond.
const JSON: usize = 512;

/// Payloads above this size are not copied when their frame is built, and may be part of a buffer that is larger still.
const SHARED: usize = 64 * 1024;

impl Relay {
    /// A message of a connection whose identity is known.
    pub(in crate::gateway) fn message(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        message: Message,
    ) {
        match &identity.role {
            Role::Glasses => self.of_glasses(io, id, identity, message),
            Role::Tpa(package) => self.of_app(io, id, identity, package, message),
        }
    }

    fn of_glasses(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, message: Message) {
        let user = &identity.user;
        let Message::Text(text) = &message else {
            // The SDK takes an empty frame for an error.
            if message.is_empty() {
                self.stats.unrouted += 1;
                return;
            }
            return self.route_to_apps(io, user, AUDIO, false, |_| Some(message.clone()));
        };
        io.spend(parsed(text));
        match FromGlasses::parse(text) {
            Ok(FromGlasses::Init) => answer(io, id, protocol::connection_ack(user)),
            Ok(FromGlasses::StartApp(package)) => self.start_app(io, user, &package),
            Ok(FromGlasses::StopApp(package)) => self.user_stops_app(io, user, &package),
            Ok(FromGlasses::Ping) => answer(io, id, protocol::PONG.to_owned()),
            Ok(FromGlasses::Data(kind)) => {
                let kept = !self.is_skipped(&kind);
                let stream = protocol::stream_of(&kind);
                self.route_to_apps(io, user, stream, kept, |session| {
                    Some(Message::text(protocol::data_stream(session, stream, text)))
                });
            }
            Err(why) => self.strike(io, id, TO_GLASSES, &why),
        }
    }

    fn of_app(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        message: Message,
    ) {
        let Message::Text(text) = &message else {
            // Apps have nothing to say in binary.
            self.stats.unrouted += 1;
            return;
        };
        io.spend(parsed(text));
        match FromApp::parse(text, package) {
            Ok(FromApp::Init(init)) => {
                if init.user() != Some(&identity.user) {
                    let why = "another user than this connection's".to_owned();
                    return self.strike(io, id, TO_APPS, &Malformed(why));
                }
                answer(io, id, protocol::app_ack(&identity.user, package));
            }
            Ok(FromApp::Subscribe(subscriptions)) => {
                self.subscribe(io, id, identity, package, subscriptions);
            }
            Ok(FromApp::Release) => {
                if let Some(app) = self.app_of(id, identity, package) {
                    app.released = true;
                }
            }
            Ok(FromApp::Ping) => answer(io, id, protocol::PONG.to_owned()),
            Ok(FromApp::Request(kind)) if protocol::is_reserved(&kind) => self.stats.forbidden += 1,
            Ok(FromApp::Request(kind)) if !self.credentials.may_send(package, &kind) => {
                self.stats.forbidden += 1;
            }
            // Its session is over, and its turn to hear so has not come.
            Ok(FromApp::Request(_))
                if self.chores.has_ends() && self.app_of(id, identity, package).is_none() =>
            {
                self.stats.unrouted += 1;
            }
            Ok(FromApp::Request(kind)) => {
                let kept = !self.is_skipped(&kind);
                self.route_to_glasses(io, id, &identity.user, &message, kept);
            }
            Err(why) => self.strike(io, id, TO_APPS, &why),
        }
    }

    /// Replaces an app's set, if there is room for it. A small one always finds some: there are no more of them than
    /// connections.
    fn subscribe(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        subscriptions: Subscriptions,
    ) {
        io.spend(subscriptions.len() as u32 / SORTED);
        let Some(app) = self.app_of(id, identity, package) else {
            return;
        };
        let (before, after) = (app.subscriptions.allocated(), subscriptions.allocated());
        if after > before && after > SMALL_SET && !io.has_room(after - before) {
            let why = "no room for these subscriptions now: those from before hold";
            return answer(io, id, protocol::app_error("NO_ROOM", why));
        }
        moved(io, before, after);
        app.subscriptions = subscriptions;
    }

    /// The app whose connection this is still.
    fn app_of(&mut self, id: ConnId, identity: &Identity, package: &str) -> Option<&mut App> {
        let app = self.sessions.app_mut(&identity.user, package)?;
        (app.place.conn == Some(id)).then_some(app)
    }

    fn is_skipped(&self, kind: &str) -> bool {
        self.settings.replay_skip.iter().any(|skip| **skip == *kind)
    }

    /// Sends a frame to every app of a session that wants this stream. It is made when the first one does, and once.
    fn route_to_apps(
        &mut self,
        io: &mut Io<'_>,
        user: &str,
        stream: &str,
        kept: bool,
        make: impl FnOnce(&str) -> Option<Message>,
    ) {
        let (mut post, sessions) = self.post();
        let Some(session) = sessions.get_mut(user) else {
            return;
        };
        io.spend(units(session.apps.len()));
        let wanted = |app: &&mut Box<App>| app.subscriptions.wants(stream);
        let mut apps = session.apps.iter_mut().filter(wanted).peekable();
        let parcel = match apps.peek() {
            Some(_) => make(user).and_then(|m| Parcel::new(m, TO_APPS, kept)),
            None => None,
        };
        let mut reached = 0;
        for app in apps {
            if let Some(parcel) = &parcel {
                reached += usize::from(post.deliver(io, &mut app.place, parcel));
            }
        }
        post.stats.unrouted += u64::from(reached == 0);
    }

    /// Sends an app's request to its session's glasses as it is.
    fn route_to_glasses(
        &mut self,
        io: &mut Io<'_>,
        app: ConnId,
        user: &str,
        message: &Message,
        kept: bool,
    ) {
        let message = match message {
            Message::Text(text) if kept && text.len() > SHARED => Message::text(text.as_str()),
            message => message.clone(),
        };
        let (mut post, sessions) = self.post();
        let glasses = sessions.get_mut(user).map(|session| &mut session.glasses);
        let parcel = Parcel::new(message, TO_GLASSES, kept);
        let reached = match (glasses, parcel) {
            (Some(glasses), Some(parcel)) => post.deliver(io, glasses, &parcel),
            (None, _) | (_, None) => false,
        };
        post.stats.unrouted += u64::from(!reached);
        let glasses = self
            .sessions
            .get(user)
            .and_then(|session| session.glasses.conn);
        if let Some(glasses) = glasses {
            self.backpressure.sent(io, app, glasses);
        }
    }

    /// A frame was not understood: that is answered, and when it happens again and again the connection is closed.
    pub(super) fn strike(&mut self, io: &mut Io<'_>, id: ConnId, of: usize, why: &Malformed) {
        self.stats.malformed += 1;
        let now = io.now();
        let (strikes, since) = self.strikes.entry(id).or_insert((0, now));
        if now - *since > STRIKE_WINDOW {
            (*strikes, *since) = (0, now);
        }
        *strikes += 1;
        let over = *strikes >= STRIKES;
        let error = if of == TO_GLASSES {
            protocol::glasses_error("MALFORMED_MESSAGE", &why.0)
        } else {
            protocol::app_error("MALFORMED_MESSAGE", &why.0)
        };
        answer(io, id, error);
        if over {
            let reason = format!("repeated malformed messages: {}", why.0);
            io.close_for(id, Cause::Forbidden, Cause::Forbidden.close_code(), &reason);
        }
    }

    /// Nothing more is counted of a connection that is over.
    pub(in crate::gateway) fn forgive(&mut self, id: ConnId) {
        if !self.strikes.is_empty() {
            self.strikes.remove(&id);
        }
    }
}

/// Work units for a text whose JSON is looked through.
pub(super) fn parsed(text: &str) -> u32 {
    u32::try_from(text.len() / JSON).unwrap_or(u32::MAX)
}

/// Answers whoever has asked. It is not kept: who is not there has not asked.
pub(super) fn answer(io: &mut Io<'_>, id: ConnId, text: String) {
    if let Sent::Refused(why) = io.send(id, Message::text(text)) {
        log::debug!("answer refused id={id} why={why:?}");
    }
}
