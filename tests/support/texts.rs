//! A host whose heartbeats are texts, and clients that answer them.

use pulsegate::engine::{Class, Handler, Io, Message, Pong, Request, Verdict};
use pulsegate::health::{HealthChange, HealthState};
use pulsegate::testing::{Net, PeerId, Received};
use pulsegate::{ConnId, HeartbeatText, Micros};
use std::fmt::Write;

/// A host that sends `beat N` as heartbeats, takes `echo N` as their answers, and records the rest.
#[derive(Default)]
pub struct TextHost {
    /// Messages that are no answers, and what a call of
    /// [`Io::heartbeat_answered`](pulsegate::Io::heartbeat_answered) returned.
    pub messages: Vec<Message>,
    pub rtts: Vec<Option<Micros>>,
    pub pongs: Vec<Pong>,
    pub states: Vec<HealthState>,
    pub texts: u32,
    /// Closes the connection instead of a heartbeat.
    pub closes: bool,
    /// Sends this message during the call for a heartbeat.
    pub says: Option<Message>,
}

impl Handler for TextHost {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        io.report_pongs(id, true);
    }

    fn heartbeat_text(&mut self, io: &mut Io<'_>, id: ConnId, number: u64) -> HeartbeatText {
        self.texts += 1;
        if self.closes {
            io.close(id, 4001, "no heartbeat");
        }
        if let Some(message) = self.says.take() {
            io.send(id, message);
        }
        let mut text = HeartbeatText::default();
        write!(text, "beat {number}").expect("at most 125 bytes");
        text
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let text = match &message {
            Message::Text(text) => text.as_str(),
            _ => "",
        };
        match text.strip_prefix("echo ").and_then(|n| n.parse().ok()) {
            Some(number) => self.rtts.push(io.heartbeat_answered(id, number)),
            None => self.messages.push(message),
        }
    }

    fn on_pong(&mut self, _: &mut Io<'_>, _: ConnId, pong: Pong) {
        self.pongs.push(pong);
    }

    fn on_health(&mut self, _: &mut Io<'_>, _: ConnId, change: HealthChange) {
        self.states.push(change.state);
    }
}

/// Returns a client's answer to a heartbeat of [`TextHost`].
pub fn echo_of(text: &str) -> Option<String> {
    Some(format!("echo {}", text.strip_prefix("beat ")?))
}

/// Connects a client that answers pings, and heartbeats that are texts.
pub fn connect_answering(net: &mut Net<TextHost>) -> PeerId {
    let peer = net.connect("/");
    net.answer_texts(peer, echo_of);
    peer
}

/// Returns the numbers of the heartbeats among what a peer received since the last call.
pub fn numbers(net: &mut Net<TextHost>, peer: PeerId) -> Vec<u64> {
    let text = |received: Received| match received {
        Received::Message(Message::Text(text)) => text.strip_prefix("beat ")?.parse().ok(),
        _ => None,
    };
    net.received(peer).into_iter().filter_map(text).collect()
}
