//! Routing: frames of the glasses go to the apps that subscribed, requests of apps go to the
//! glasses of their session.

use super::protocol;
use super::protocol::{APP_FIELDS, AppFrame, GLASSES_FIELDS, GlassesFrame, Malformed};
use super::relay::Relay;
use super::session::{AppEvent, FanOut, RelayFrame, adjust_charge};
use super::subscriptions::{AUDIO, Subscriptions};
use super::tables::{GlassesRoom, ReadMessage};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::{Class, Io, Message};
use crate::host::Identity;
use crate::relay::role::{GLASSES, PeerRole};

/// How many malformed frames within [`MALFORMED_WINDOW`] close a connection.
const MALFORMED_MAX: u32 = 5;

const MALFORMED_WINDOW: Micros = Micros::from_secs(60);

/// Sets of subscriptions up to this many bytes are accepted even if memory is short.
const SMALL_SET: usize = 1024;

/// Subscriptions that are read and sorted per work unit (about a microsecond).
const SORTED: u32 = 4;

/// Bytes of JSON that are parsed per work unit.
const JSON: usize = 64;

/// What becomes of a frame of an app.
enum AppFrameOutcome {
    Handled,
    /// The glasses have no room for it. The app is paused; the frame is handled when the app is
    /// read again.
    MustWait,
}

impl Relay {
    /// Handles a message of a connection with a known identity.
    pub(super) fn handle_message(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        message: Message,
    ) {
        let fields = match PeerRole::of(identity) {
            PeerRole::Glasses => GLASSES_FIELDS,
            PeerRole::App(_) => APP_FIELDS,
        };
        let read = self.read_message(io, id, message, fields);
        self.handle_read(io, id, identity, read);
    }

    /// Continues the last message of a connection: reading it, or delivering it to many apps.
    pub(super) fn continue_message(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        if io.class(id).is_none() {
            // The connection is no longer open, and holds no memory from now on.
            if !sabotage::on(Bug::ReadingKept) {
                self.drop_partial_text(id);
            }
            if PeerRole::of(identity) == PeerRole::Glasses {
                self.orphan_fan_outs(io, id, &identity.user);
            }
        } else if self.partial_texts.has(id) {
            let read = self.read_more(io, id);
            self.handle_read(io, id, identity, read);
        } else {
            self.continue_fan_out(io, id, &identity.user);
        }
    }

    /// Acts on a message that was read completely; with `None` there is none yet, and nothing is
    /// done.
    fn handle_read(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        read: Option<Result<ReadMessage, Malformed>>,
    ) {
        let len = match &read {
            Some(Ok(read)) => read.message.len(),
            Some(Err(_)) | None => 0,
        };
        let done = match read {
            None => return,
            Some(Err(why)) => Err(why),
            Some(Ok(read)) => match PeerRole::of(identity) {
                PeerRole::Glasses => self.handle_glasses_frame(io, id, identity, &read),
                PeerRole::App(package) => {
                    match self.handle_app_frame(io, id, identity, package, &read) {
                        Ok(AppFrameOutcome::MustWait) => return self.postpone(io, id, read),
                        Ok(AppFrameOutcome::Handled) => Ok(()),
                        Err(why) => Err(why),
                    }
                }
            },
        };
        if let Err(why) = done {
            self.count_malformed(io, id, PeerRole::of(identity).class(), &why);
        }
        self.count_handled(io, id, len);
    }

    fn handle_glasses_frame(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        read: &ReadMessage,
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
        match read.parse(GlassesFrame::parse)? {
            GlassesFrame::Init => self.answer(io, id, protocol::connection_ack(user)),
            GlassesFrame::StartApp(package) => self.start_app(io, user, &package),
            GlassesFrame::StopApp(package) => self.stop_app_for_user(io, user, &package),
            GlassesFrame::Ping => self.answer(io, id, protocol::PONG.to_owned()),
            GlassesFrame::Data(kind) => {
                let is_kept = !self.is_skipped(&kind);
                let stream = protocol::stream_of(&kind);
                self.fan_out(
                    io,
                    id,
                    user,
                    FanOut::new(id, read.message.clone(), stream, is_kept),
                );
            }
        }
        Ok(())
    }

    fn handle_app_frame(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        package: &str,
        read: &ReadMessage,
    ) -> Result<AppFrameOutcome, Malformed> {
        if !read.message.is_text() {
            // The protocol has no binary frames from apps.
            self.stats.unrouted += 1;
            return Ok(AppFrameOutcome::Handled);
        }
        match read.parse(|text| AppFrame::parse(text, package))? {
            AppFrame::Init(init) => {
                if init.has_session() && init.user(package) != Some(&identity.user) {
                    return Err(Malformed(
                        "the sessionId is of another user than this connection".to_owned(),
                    ));
                }
                self.answer(io, id, protocol::app_ack(&identity.user, package));
            }
            AppFrame::Subscribe(subscriptions) => {
                self.subscribe(io, id, identity, subscriptions);
            }
            AppFrame::Release => {
                let event = AppEvent::Released { conn: id };
                let actions = self.app_on(io, &identity.user, package, event);
                self.run_actions(io, identity, actions);
            }
            AppFrame::Ping => self.answer(io, id, protocol::PONG.to_owned()),
            AppFrame::Request(kind) if protocol::is_reserved(&kind) => self.stats.forbidden += 1,
            AppFrame::Request(kind) if !self.credentials.may_send(package, &kind) => {
                self.stats.forbidden += 1;
            }
            // The session has ended, and the app is about to be told.
            AppFrame::Request(_)
                if self.task_queue.has_ended_sessions()
                    && self.subscriptions_of(id, identity).is_none() =>
            {
                self.stats.unrouted += 1;
            }
            AppFrame::Request(kind) => {
                let is_kept = !self.is_skipped(&kind);
                return Ok(self.route_to_glasses(io, id, &identity.user, &read.message, is_kept));
            }
        }
        Ok(AppFrameOutcome::Handled)
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
            return self.answer(io, id, protocol::app_error("NO_ROOM", why));
        }
        adjust_charge(io, before, after);
        *older = subscriptions;
    }

    /// Returns the subscriptions of the app on this connection, if the connection still holds the
    /// app's slot.
    fn subscriptions_of(&mut self, id: ConnId, identity: &Identity) -> Option<&mut Subscriptions> {
        let PeerRole::App(package) = PeerRole::of(identity) else {
            return None;
        };
        let app = self.sessions.app_mut(&identity.user, package)?;
        app.subscriptions_of(id)
    }

    fn is_skipped(&self, kind: &str) -> bool {
        self.settings.replay_skip.iter().any(|skip| **skip == *kind)
    }

    /// Sends an app's request unchanged to the glasses of its session. It must wait while glasses
    /// that speak pulse have not acknowledged enough.
    fn route_to_glasses(
        &mut self,
        io: &mut Io<'_>,
        app: ConnId,
        user: &str,
        message: &Message,
        is_kept: bool,
    ) -> AppFrameOutcome {
        let conn = self.sessions.get(user).and_then(|s| s.glasses().conn());
        if let Some(conn) = conn.filter(|conn| !self.has_room(*conn)) {
            self.pause_for_glasses(io, app, conn, GlassesRoom::Full);
            return AppFrameOutcome::MustWait;
        }
        let (mut delivery, sessions) = self.delivery();
        let glasses = sessions
            .get_mut(user)
            .map(|s| s.destination(PeerRole::Glasses));
        let frame = RelayFrame::new(message.clone(), GLASSES, is_kept);
        let reached = match (glasses, frame) {
            (Some(glasses), Some(frame)) => delivery.deliver(io, glasses, &frame),
            (None, _) | (_, None) => false,
        };
        delivery.stats.unrouted += u64::from(!reached);
        if let Some(conn) = conn {
            let room = match self.has_room(conn) {
                true => GlassesRoom::Free,
                false => GlassesRoom::Used,
            };
            self.pause_for_glasses(io, app, conn, room);
        }
        AppFrameOutcome::Handled
    }

    /// Returns whether the glasses on this connection have acknowledged enough, or do not speak
    /// pulse.
    fn has_room(&self, glasses: ConnId) -> bool {
        let key = self.pulse.key_of(glasses);
        key.is_none_or(|key| self.pulse.has_room(key))
    }

    /// Stops reading from an app while the glasses of its session are behind.
    fn pause_for_glasses(
        &mut self,
        io: &mut Io<'_>,
        app: ConnId,
        glasses: ConnId,
        room: GlassesRoom,
    ) {
        if self.paused_apps.pause_app(io, app, glasses, room)
            && let Some(key) = self.pulse.key_of(app)
        {
            self.pulse.plan_sign(io, key, true);
        }
    }

    /// Answers a malformed frame; closes the connection after too many of them.
    pub(super) fn count_malformed(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        class: Class,
        why: &Malformed,
    ) {
        self.stats.malformed += 1;
        let now = io.now();
        let (count, since) = self.malformed_counts.entry(id).or_insert((0, now));
        if now - *since > MALFORMED_WINDOW {
            (*count, *since) = (0, now);
        }
        *count += 1;
        let over = *count >= MALFORMED_MAX;
        let error = if class == GLASSES {
            protocol::glasses_error("MALFORMED_MESSAGE", &why.0)
        } else {
            protocol::app_error("MALFORMED_MESSAGE", &why.0)
        };
        self.answer(io, id, error);
        if over {
            let reason = format!("repeated malformed messages: {}", why.0);
            io.close_for(id, Cause::FORBIDDEN, Cause::FORBIDDEN.close_code(), &reason);
        }
    }

    /// Frees the counts and unfinished texts of a connection that has ended.
    pub(super) fn forget_conn(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.drop_partial_text(id);
        self.forget_introduction(io, id);
        if !self.malformed_counts.is_empty() {
            self.malformed_counts.remove(&id);
        }
    }
}

/// Returns the work units for parsing this many bytes of JSON.
pub(super) fn parse_units(bytes: usize) -> u32 {
    u32::try_from(bytes / JSON).unwrap_or(u32::MAX)
}
