//! The peers of a fleet: what they do, and what they have received.

use super::credentials::SECRET;
use super::frames::json;
use super::start::Fleet;
use crate::tokens::token;
use pulsegate::testing::{PeerId, Received};
use pulsegate::{Cause, EndCode, Ending, Message};
use serde_json::{Value, json as object};

impl Fleet {
    /// Connects glasses, with a token if one is needed.
    #[track_caller]
    pub fn glasses(&mut self, user: &str) -> PeerId {
        let path = if self.closed {
            format!("/glasses-ws?token={}", token(user, SECRET))
        } else {
            format!("/glasses-ws?user={user}")
        };
        let peer = self.net.connect(&path);
        assert!(self.net.is_open(peer), "{:?}", self.net.response(peer));
        peer
    }

    /// Connects an app by its query, and reads its ack.
    #[track_caller]
    pub fn app(&mut self, user: &str, package: &str) -> PeerId {
        let peer = self.app_again(user, package);
        assert_eq!(self.next(peer)["type"], "tpa_connection_ack");
        peer
    }

    /// Connects an app by its query; reads nothing yet.
    #[track_caller]
    pub fn app_again(&mut self, user: &str, package: &str) -> PeerId {
        let path = format!("/app-ws?user={user}&package={package}");
        let peer = self.net.connect(&path);
        assert!(self.net.is_open(peer), "{:?}", self.net.response(peer));
        peer
    }

    /// Connects an app and sends its init message.
    pub fn init(&mut self, user: &str, package: &str, key: &str) -> PeerId {
        let peer = self.net.connect("/app-ws");
        let session = format!("{user}-{package}");
        self.say(
            peer,
            object!({
                "type": "tpa_connection_init", "sessionId": session, "packageName": package,
                "apiKey": key,
            }),
        );
        peer
    }

    /// The glasses start an app, it connects, and its server answers.
    pub fn started(&mut self, glasses: PeerId, user: &str, package: &str) -> PeerId {
        self.say(glasses, object!({"type":"start_app","packageName":package}));
        let app = self.init(user, package, &format!("key-of-{package}"));
        assert_eq!(self.next(app)["type"], "tpa_connection_ack");
        let starts = self.starts();
        assert_eq!(starts.len(), 1);
        assert_eq!(self.cancelled(), starts);
        self.answer(starts[0]);
        app
    }

    /// Connects glasses; `None` if they are refused.
    pub fn try_glasses(&mut self, user: &str) -> Option<PeerId> {
        let peer = self
            .net
            .connect(&format!("/glasses-ws?token={}", token(user, SECRET)));
        self.net.is_open(peer).then_some(peer)
    }

    /// Sends a frame; returns whether the gateway received it. Frames of a muted peer are lost.
    pub fn say_heard(&mut self, peer: PeerId, frame: Value) -> bool {
        let before = self.received();
        self.say(peer, frame);
        self.received() > before
    }

    fn received(&self) -> u64 {
        self.net.engine().stats().messages_in
    }

    /// Replaces the subscriptions of an app.
    pub fn subscribe(&mut self, app: PeerId, streams: &[&str]) {
        self.say(
            app,
            object!({ "type": "subscription_update", "subscriptions": streams }),
        );
    }

    pub fn say(&mut self, peer: PeerId, frame: Value) {
        self.say_text(peer, &frame.to_string());
    }

    pub fn say_text(&mut self, peer: PeerId, text: &str) {
        self.net.send(peer, Message::text(text));
        self.net.settle();
    }

    pub fn binary(&mut self, peer: PeerId, bytes: &[u8]) {
        self.net.send(peer, Message::binary(bytes.to_vec()));
        self.net.settle();
    }

    /// Ends a peer's connection; the gateway has noticed when this returns.
    pub fn lose(&mut self, peer: PeerId, how: &str) {
        match how {
            "reset" => self.net.reset(peer),
            "close" => self.net.send(peer, Message::Close(None)),
            "freeze" => {
                self.net.mute(peer);
                self.net.settle();
                while self.net.is_open(peer) {
                    self.net.advance(10);
                }
            }
            other => panic!("{other}"),
        }
        self.net.settle();
        self.net.advance(10);
        assert!(!self.net.is_open(peer));
    }

    fn messages(&mut self, peer: PeerId) -> Vec<Message> {
        let received = self.net.received(peer).into_iter();
        received
            .filter_map(|r| match r {
                Received::Message(message) => Some(message),
                Received::Fragment(..)
                | Received::Ping(_)
                | Received::Pong(_)
                | Received::Close(..) => None,
            })
            .collect()
    }

    /// Returns all texts since the last call.
    pub fn texts(&mut self, peer: PeerId) -> Vec<String> {
        let texts = self.messages(peer).into_iter();
        texts
            .filter_map(|m| match m {
                Message::Text(text) => Some(text.to_string()),
                _ => None,
            })
            .collect()
    }

    pub fn binaries(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        let messages = self.messages(peer).into_iter();
        messages
            .filter_map(|m| match m {
                Message::Binary(bytes) => Some(bytes.to_vec()),
                _ => None,
            })
            .collect()
    }

    /// Returns the first text since the last call; drops the others.
    #[track_caller]
    pub fn next(&mut self, peer: PeerId) -> Value {
        let texts = self.texts(peer);
        json(texts.first().expect("a text"))
    }

    pub fn drain(&mut self, peer: PeerId) {
        self.net.received(peer);
    }

    pub fn silent(&mut self, peer: PeerId) -> bool {
        self.messages(peer).is_empty()
    }

    pub fn is_open(&self, peer: PeerId) -> bool {
        self.net.is_open(peer)
    }

    pub fn ending(&self, peer: PeerId) -> &Ending {
        self.net.ending(peer).expect("an end")
    }

    #[track_caller]
    pub fn expect_closed(&self, peer: PeerId, cause: Cause) {
        self.net.expect_closed(peer, cause);
    }

    /// Asserts that it is closed for this cause, with this code; the peer need not have answered
    /// yet.
    #[track_caller]
    pub fn expect_closing(&mut self, peer: PeerId, cause: Cause, code: u16) {
        self.advance(3_000);
        let end = self.ending(peer);
        assert_eq!(
            (end.cause, end.code),
            (cause, EndCode::Close(code)),
            "{end:?}"
        );
    }

    /// Returns the status and head of a response that is not an upgrade.
    pub fn refused(&mut self, path: &str) -> (u16, String) {
        let peer = self.net.connect(path);
        let head = self.net.response(peer).expect("an answer").to_owned();
        (head[9..12].parse().expect("a status"), head)
    }
}
