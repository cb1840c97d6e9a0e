//! Routing: frames of the glasses go to the apps that subscribed, requests of apps go to the
//! glasses of their session.

use super::protocol;
use super::protocol::{FromApp, FromGlasses, Malformed, OF_APPS, OF_GLASSES};
use super::relay::Relay;
use super::session::{AppEvent, FanOut, Parcel, TO_APPS, TO_GLASSES, moved};
use super::subscriptions::{AUDIO, Subscriptions};
use super::tables::Read;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::{Io, Message, SendOutcome};
use crate::host::Identity;
use crate::relay::role::Role;

/// How many malformed frames within [`STRIKE_WINDOW`] close a connection.
const STRIKES: u32 = 5;

const STRIKE_WINDOW: Micros = Micros::from_secs(60);

/// Sets of subscriptions up to this many bytes are accepted even if memory is short.
const SMALL_SET: usize = 1024;

/// Subscriptions that are read and sorted per work unit (about a microsecond).
const SORTED: u32 = 4;

/// Bytes of JSON that are parsed per work unit.
const JSON: usize = 64;

impl Relay {
    /// Handles a message of a connection with a known identity.
    pub(super) fn message(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        message: Message,
    ) {
        let fields = match Role::of(identity) {
            Role::Glasses => OF_GLASSES,
            Role::App(_) => OF_APPS,
        };
        let read = self.read(io, id, message, fields);
        self.act_on(io, id, identity, read);
    }

    /// Continues the last message of a connection: reading it, or delivering it to many apps.
    pub(super) fn go_on(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        if io.class(id).is_none() {
            // The connection is no longer open, and holds no memory from now on.
            if !sabotage::on(Bug::ReadingKept) {
                self.give_up_reading(id);
            }
            if Role::of(identity) == Role::Glasses {
                self.fan_out_without(io, id, &identity.user);
            }
        } else if self.readings.has(id) {
            let read = self.read_on(io, id);
            self.act_on(io, id, identity, read);
        } else {
            self.fan_out_more(io, id, &identity.user);
        }
    }

    /// Acts on a message that was read completely; with `None` there is none yet, and nothing is
    /// done.
    fn act_on(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        read: Option<Result<Read, Malformed>>,
    ) {
        let done = match read {
            None => return,
            Some(Err(why)) => Err(why),
            Some(Ok(read)) => match Role::of(identity) {
                Role::Glasses => self.of_glasses(io, id, identity, &read),
                Role::App(package) => self.of_app(io, id, identity, package, &read),
            },
        };
        if let Err(why) = done {
            let of = match Role::of(identity) {
                Role::Glasses => TO_GLASSES,
                Role::App(_) => TO_APPS,
            };
            self.strike(io, id, of, &why);
        }
    }

    fn of_glasses(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        read: &Read,
    ) -> Result<(), Malformed> {
        let user = &identity.user;
        if !read.message.is_text() {
            // The SDK treats an empty frame as an error.
            if read.message.is_empty() {
                self.stats.unrouted += 1;
            } else {
                self.fan_out(
                    io,
                    id,
                    user,
                    FanOut::new(id, read.message.clone(), AUDIO, false),
                );
            }
            return Ok(());
        }
        match read.parse(FromGlasses::parse)? {
            FromGlasses::Init => answer(io, id, protocol::connection_ack(user)),
            FromGlasses::StartApp(package) => self.start_app(io, user, &package),
            FromGlasses::StopApp(package) => self.user_stops_app(io, user, &package),
            FromGlasses::Ping => answer(io, id, protocol::PONG.to_owned()),
            FromGlasses::Data(kind) => {
                let kept = !self.is_skipped(&kind);
                let stream = protocol::stream_of(&kind);
                self.fan_out(
                    io,
                    id,
                    user,
                    FanOut::new(id, read.message.clone(), stream, kept),
                );
            }
        }
        Ok(())
    }

    fn of_app(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        read: &Read,
    ) -> Result<(), Malformed> {
        if !read.message.is_text() {
            // The protocol has no binary frames from apps.
            self.stats.unrouted += 1;
            return Ok(());
        }
        match read.parse(|text| FromApp::parse(text, package))? {
            FromApp::Init(init) => {
                if init.has_session() && init.user(package) != Some(&identity.user) {
                    return Err(Malformed(
                        "the sessionId is of another user than this connection".to_owned(),
                    ));
                }
                answer(io, id, protocol::app_ack(&identity.user, package));
            }
            FromApp::Subscribe(subscriptions) => {
                self.subscribe(io, id, identity, subscriptions);
            }
            FromApp::Release => {
                let event = AppEvent::Releases { conn: id };
                let actions = self.app_on(io, &identity.user, package, event);
                self.carry_out(io, identity, actions);
            }
            FromApp::Ping => answer(io, id, protocol::PONG.to_owned()),
            FromApp::Request(kind) if protocol::is_reserved(&kind) => self.stats.forbidden += 1,
            FromApp::Request(kind) if !self.credentials.may_send(package, &kind) => {
                self.stats.forbidden += 1;
            }
            // The session has ended, and the app is about to be told.
            FromApp::Request(_)
                if self.chores.has_ends() && self.subscriptions_of(id, identity).is_none() =>
            {
                self.stats.unrouted += 1;
            }
            FromApp::Request(kind) => {
                let kept = !self.is_skipped(&kind);
                self.route_to_glasses(io, id, &identity.user, &read.message, kept);
            }
        }
        Ok(())
    }

    /// Replaces an app's set of subscriptions if there is memory for it. A small set is always
    /// accepted, because there is at most one for each connection.
    fn subscribe(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        subscriptions: Subscriptions,
    ) {
        io.spend(subscriptions.len() as u32 / SORTED);
        let Some(older) = self.subscriptions_of(id, identity) else {
            return;
        };
        let (before, after) = (older.allocated(), subscriptions.allocated());
        if after > before && after > SMALL_SET && !io.has_room(after - before) {
            let why = "no memory for these subscriptions now: the old ones stay in force";
            return answer(io, id, protocol::app_error("NO_ROOM", why));
        }
        moved(io, before, after);
        *older = subscriptions;
    }

    /// Returns the subscriptions of the app on this connection, if the connection still holds the
    /// app's place.
    fn subscriptions_of(&mut self, id: ConnId, identity: &Identity) -> Option<&mut Subscriptions> {
        let Role::App(package) = Role::of(identity) else {
            return None;
        };
        let app = self.sessions.app_mut(&identity.user, package)?;
        app.subscriptions_of(id)
    }

    fn is_skipped(&self, kind: &str) -> bool {
        self.settings.replay_skip.iter().any(|skip| **skip == *kind)
    }

    /// Sends an app's request unchanged to the glasses of its session.
    fn route_to_glasses(
        &mut self,
        io: &mut Io<'_>,
        app: ConnId,
        user: &str,
        message: &Message,
        kept: bool,
    ) {
        let (mut post, sessions) = self.post();
        let glasses = sessions.get_mut(user).map(|s| s.addressee(Role::Glasses));
        let parcel = Parcel::new(message.clone(), TO_GLASSES, kept);
        let reached = match (glasses, parcel) {
            (Some(glasses), Some(parcel)) => post.deliver(io, glasses, &parcel),
            (None, _) | (_, None) => false,
        };
        post.stats.unrouted += u64::from(!reached);
        let glasses = self
            .sessions
            .get(user)
            .and_then(|session| session.glasses().conn());
        if let Some(glasses) = glasses {
            self.backpressure.sent(io, app, glasses);
        }
    }

    /// Answers a malformed frame; closes the connection after too many of them.
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
            io.close_for(id, Cause::FORBIDDEN, Cause::FORBIDDEN.close_code(), &reason);
        }
    }

    /// Frees the counts and unfinished texts of a connection that has ended.
    pub(super) fn forget(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.give_up_reading(id);
        self.forget_introduction(io, id);
        if !self.strikes.is_empty() {
            self.strikes.remove(&id);
        }
    }
}

/// Returns the work units for parsing this many bytes of JSON.
pub(super) fn parsed(bytes: usize) -> u32 {
    u32::try_from(bytes / JSON).unwrap_or(u32::MAX)
}

/// Sends an answer to the connection that asked. It is never kept for an absent peer.
pub(super) fn answer(io: &mut Io<'_>, id: ConnId, text: String) {
    if let SendOutcome::Refused(why) = io.send(id, Message::text(text)) {
        log::debug!("answer refused id={id} why={why:?}");
    }
}
