//! The ledgers of sent and of received messages.

use pulsegate::client::ClientOutbox;
use pulsegate::pulse::ReceivedCount;
use pulsegate::{Message, Micros};
use serde::Deserialize;

use super::format::{given, vectors};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxCase {
    name: String,
    steps: Vec<OutboxStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboxStep {
    #[serde(rename = "do")]
    event: OutboxEvent,
    /// Of `push` the length of the message, of other steps what is kept.
    bytes: Option<usize>,
    count: Option<usize>,
    rx: Option<u64>,
    ok: Option<bool>,
    sent: Option<u64>,
    unconfirmed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutboxEvent {
    Push,
    Send,
    Ack,
    Resume,
    Take,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxCase {
    name: String,
    steps: Vec<InboxStep>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum InboxStep {
    Count {
        at: u64,
        bytes: usize,
        #[serde(default, deserialize_with = "given")]
        ack_at: Option<Option<u64>>,
    },
    Tell {
        rx: u64,
        #[serde(default, deserialize_with = "given")]
        ack_at: Option<Option<u64>>,
    },
}

fn run_outbox(outbox: &mut ClientOutbox, step: &OutboxStep) {
    let count = || step.count.expect("a count");
    let rx = || step.rx.expect("an rx");
    let ok = match step.event {
        OutboxEvent::Push => {
            let bytes = step.bytes.expect("a length");
            let pushed = outbox.push(Message::text("x".repeat(bytes)));
            return pushed.expect("room");
        }
        OutboxEvent::Send => {
            for _ in 0..count() {
                outbox.send_next().unwrap_or_else(|| panic!("{step:?}"));
            }
            None
        }
        OutboxEvent::Ack => Some(outbox.acknowledge(rx()).is_ok()),
        OutboxEvent::Resume => Some(outbox.resume(rx()).is_ok()),
        OutboxEvent::Take => {
            assert_eq!(outbox.take().messages.len(), count(), "{step:?}");
            None
        }
    };
    assert_eq!(ok, step.ok, "{step:?}");
    if let Some(bytes) = step.bytes {
        assert_eq!(outbox.bytes(), bytes, "{step:?}");
    }
    if let Some(sent) = step.sent {
        assert_eq!(outbox.sent(), sent, "{step:?}");
    }
    if let Some(unconfirmed) = step.unconfirmed {
        assert_eq!(outbox.unconfirmed(), unconfirmed, "{step:?}");
    }
}

#[test]
fn outboxes() {
    for case in vectors().outbox {
        println!("{}", case.name);
        let mut outbox = ClientOutbox::new(1 << 20);
        for step in &case.steps {
            run_outbox(&mut outbox, step);
        }
    }
}

#[test]
fn inboxes() {
    for case in vectors().inbox {
        println!("{}", case.name);
        let mut inbox = ReceivedCount::NOTHING;
        for step in &case.steps {
            let expected = match step {
                InboxStep::Count { at, bytes, ack_at } => {
                    inbox.count(*bytes, Micros::from_millis(*at));
                    ack_at
                }
                InboxStep::Tell { rx, ack_at } => {
                    assert_eq!(inbox.tell(), *rx, "{step:?}");
                    ack_at
                }
            };
            if let Some(expected) = expected {
                let expected = expected.map(Micros::from_millis);
                assert_eq!(inbox.ack_at(), expected, "{step:?}");
            }
        }
    }
}
