//! A gateway in front of a service that does only what a test tells it.

use crate::sockets::{Client, Event, Gateway, Listener, Server, eventually, field, upgrade};
use pulsegate::wire::frame::TEXT;
use serde_json::Value;

/// A gateway in front of a service.
pub struct Bridge {
    pub gateway: Gateway,
    pub service: Listener,
}

/// Settings under which no heartbeat is sent during a test, and closes are quick.
pub const QUIET: [(&str, &str); 5] = [
    ("DRAIN_MS", "0"),
    ("HEARTBEAT_INTERVAL_MS", "60000"),
    ("CONNECTION_TIMEOUT_MS", "180000"),
    ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "60000"),
    ("UPSTREAM_CONNECTION_TIMEOUT_MS", "180000"),
];

impl Bridge {
    /// Starts a gateway without heartbeats, and with these settings.
    pub fn start(settings: &[(&str, &str)]) -> Bridge {
        Self::before(Listener::tcp(), settings)
    }

    /// Starts a gateway in front of this service.
    pub fn before(service: Listener, settings: &[(&str, &str)]) -> Bridge {
        let upstream = [("UPSTREAM", service.url.as_str())];
        let gateway = Gateway::start(&[&QUIET[..], &upstream, settings].concat());
        Bridge { gateway, service }
    }

    /// Sends a client's upgrade request with these lines, each ended by CRLF.
    #[track_caller]
    pub fn ask(&self, path: &str, lines: &str) -> Client {
        let mut client = Client::connect(self.gateway.addr);
        client.write(request(path, lines).as_bytes());
        client
    }

    /// Opens a pair: a client, and the service's end of its connection to the upstream.
    #[track_caller]
    pub fn pair(&self) -> (Client, Server) {
        let mut client = self.ask("/", "");
        let leg = self.service.open();
        client.switched();
        (client, leg)
    }

    /// Asserts that texts pass both ways.
    #[track_caller]
    pub fn assert_linked(client: &mut Client, leg: &mut Server) {
        client.send_text("to the service");
        assert_eq!(
            leg.next_answering(),
            Event::Text("to the service".to_owned())
        );
        leg.send(TEXT, b"to the client");
        let event = client.next_answering();
        assert_eq!(event, Event::Text("to the client".to_owned()));
    }

    /// Waits for the record of the only ended connection of this class.
    #[track_caller]
    pub fn record(&self, class: &str) -> Value {
        eventually(&format!("the record of a {class}"), || {
            let list = self.gateway.api("/api/v1/closed");
            let records = list["closed"].as_array().expect("a list");
            let of_class: Vec<_> = records.iter().filter(|r| names(r, class)).collect();
            assert!(of_class.len() <= 1, "{list}");
            of_class.first().map(|record| Value::clone(record))
        })
    }

    /// Asserts how the only pair has ended, in its two records and in the log.
    #[track_caller]
    pub fn assert_ended(&self, client: Told, upstream: Told) {
        let records = ["client", "upstream"].map(|class| self.record(class));
        for ((record, told), partner) in records.iter().zip([client, upstream]).zip([1, 0]) {
            told.assert_is(record);
            assert_eq!(record["partner"], records[partner]["id"], "{record}");
            assert_eq!(record["route"], "default", "{record}");
            let (_, address) = self.service.url.rsplit_once("//").expect("a scheme");
            assert_eq!(record["upstream"], address, "{record}");
        }
        let first = match client.cause {
            "partner_ended" => upstream,
            _ => client,
        };
        let [id, upstream_id] = records.each_ref().map(|r| r["id"].as_str().expect("an id"));
        let line = self.gateway.line(&["pair ", &format!(" client={id} ")]);
        let [is_clean, is_upstream_clean] = [client, upstream].map(|leg| leg.clean.to_string());
        for (key, value) in [
            ("upstream_id", upstream_id),
            ("cause", first.cause),
            ("by", first.by),
            ("code_client", client.code),
            ("code_upstream", upstream.code),
            ("clean_client", &is_clean),
            ("clean_upstream", &is_upstream_clean),
        ] {
            assert_eq!(field(&line, key), Some(value), "{key}: {line}");
        }
        // The legs have no line of their own.
        assert_eq!(self.gateway.lines(&["close class=client"]), [""; 0]);
        assert_eq!(self.gateway.lines(&["close class=upstream"]), [""; 0]);
    }
}

/// Returns whether a record is of this class; `none`: of no class.
fn names(record: &Value, class: &str) -> bool {
    record["class"].as_str().unwrap_or("none") == class
}

/// What is told of the end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub cause: &'static str,
    pub code: &'static str,
    pub by: &'static str,
    /// The beginning of the reason.
    pub reason: &'static str,
    pub clean: bool,
}

impl Told {
    /// Returns an end without a closing handshake.
    pub fn unclean(
        cause: &'static str,
        code: &'static str,
        by: &'static str,
        reason: &'static str,
    ) -> Told {
        Told {
            cause,
            code,
            by,
            reason,
            clean: false,
        }
    }

    /// Returns an end with a complete closing handshake.
    pub fn clean(
        cause: &'static str,
        code: &'static str,
        by: &'static str,
        reason: &'static str,
    ) -> Told {
        Told {
            clean: true,
            ..Told::unclean(cause, code, by, reason)
        }
    }

    #[track_caller]
    pub fn assert_is(&self, record: &Value) {
        let of = |key: &str| record[key].as_str().unwrap_or_default();
        let seen = (of("cause"), of("code"), of("by"), &record["clean"]);
        let told = (self.cause, self.code, self.by, &Value::Bool(self.clean));
        assert_eq!(seen, told, "{record}");
        let reason = of("reason");
        let is_right = match self.reason {
            "" => reason.is_empty(),
            start => reason.starts_with(start),
        };
        assert!(is_right, "{reason:?}, not {:?}", self.reason);
    }
}

/// Returns an upgrade request with these lines, each ended by CRLF.
pub fn request(path: &str, lines: &str) -> String {
    let request = upgrade(path);
    let head = request.strip_suffix("\r\n").expect("an empty line");
    format!("{head}{lines}\r\n")
}
