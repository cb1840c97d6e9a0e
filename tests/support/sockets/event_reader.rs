//! A reader of the stream of events.

use super::Gateway;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// An event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

impl Told {
    pub fn number(&self) -> u64 {
        event_number(&self.id)
    }
}

/// Returns the number in the id of an event.
pub fn event_number(id: &str) -> u64 {
    let (_, number) = id.split_once('-').expect("an id");
    number.parse().expect("a number")
}

/// A reader of the stream.
pub struct EventReader(BufReader<TcpStream>);

impl EventReader {
    /// Requests the stream with this query, and this `Last-Event-ID`.
    #[track_caller]
    pub fn open(gateway: &Gateway, query: &str, last: Option<&str>) -> EventReader {
        let mut stream = gateway.admin_stream();
        let last = last.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        // HTTP/1.0: the body comes as it is, without chunks.
        let head = format!("GET /api/v1/events{query} HTTP/1.0\r\nHost: localhost\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).expect("room");
        let mut reader = EventReader(BufReader::new(stream));
        let head = reader.block();
        assert!(head[0].contains(" 200 "), "{head:?}");
        let kind = "content-type: text/event-stream".to_owned();
        assert!(head.contains(&kind), "{head:?}");
        let retry = reader.line();
        assert_eq!(retry, "retry: 1000");
        reader
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).expect("a line"), 0, "it ended");
        line.trim_end().to_owned()
    }

    /// Returns the lines up to the next empty one.
    fn block(&mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| Some(self.line()));
        lines.take_while(|line| !line.is_empty()).collect()
    }

    /// Returns the next event.
    #[track_caller]
    pub fn next(&mut self) -> Told {
        loop {
            let block = self.block();
            let value = |name: &str| {
                let prefix = format!("{name}: ");
                let line = block.iter().find_map(|line| line.strip_prefix(&prefix));
                line.map(str::to_owned)
            };
            let Some(data) = value("data") else { continue };
            return Told {
                id: value("id").expect("an id"),
                kind: value("event").expect("a type"),
                data: serde_json::from_str(&data).expect("JSON"),
            };
        }
    }

    /// Returns the next event, which is of this type.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> Told {
        let told = self.next();
        assert_eq!(told.kind, kind, "{told:?}");
        if !["start", "reset", "missed"].contains(&kind) {
            assert_eq!(told.data["id"], told.id.as_str());
            assert_eq!(told.data["type"], kind);
        }
        told
    }
}
