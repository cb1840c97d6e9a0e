//! The one table of settings. What is read, checked, printed and documented comes from here.

use std::fmt;
use std::net::SocketAddr;

use Audience::{Advanced, Basic};

/// One setting: an environment variable, and the flag of the same name.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// What a value is, its unit and its bounds.
    pub kind: Kind,
    /// What holds if it is not given.
    pub default: Fallback,
    /// What is asked of the value beside its bounds, in words that go on after them; held in `effective.rs`.
    pub rule: Option<&'static str>,
    /// Who wants to know of it.
    pub audience: Audience,
    /// One sentence on what it does.
    pub help: &'static str,
}

/// What the values of a setting are.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number within bounds that are both allowed.
    Number {
        /// What it counts.
        unit: Unit,
        /// The smallest that means anything.
        least: u64,
        /// Above this it is a slip of the keyboard.
        most: u64,
    },
    /// One of these words, in capitals or not.
    Word(&'static [&'static str]),
    /// On or off: `1`, `0`, `true`, `false`. The flag alone means on.
    Switch,
    /// An IP address with a port.
    Address,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Octets.
    Bytes,
    /// Connections.
    Connections,
    /// Connections in a second.
    PerSecond,
}

/// What holds if a setting is not given.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// This, as an operator would write it.
    Value(&'static str),
    /// What the setting of this name has; it stands earlier in the table.
    Of(&'static str),
    /// What is worked out at start: how, in words.
    Derived(&'static str),
}

/// Who wants to know of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who runs a gateway.
    Basic,
    /// Whoever has measured something and has a reason.
    Advanced,
}

/// A checked value; prints as an operator would write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Word(&'static str),
    Switch(bool),
    Address(SocketAddr),
}

/// No time is longer than a day: nobody means to wait for longer, and the wheel stays exact far beyond it.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// From two ticks of the wheel to a day.
const TIME: Kind = Kind::Number {
    unit: Unit::Milliseconds,
    least: 10,
    most: DAY_MS,
};

/// A time that may also be none.
const TIME_OR_NONE: Kind = Kind::Number {
    unit: Unit::Milliseconds,
    least: 0,
    most: DAY_MS,
};

/// Every setting, the basic ones first, in the order in which help and documentation show them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "LISTEN_ADDR",
        kind: Kind::Address,
        default: Fallback::Value("127.0.0.1:8002"),
        rule: Some("a loopback address unless ALLOW_UNAUTHENTICATED is 1"),
        audience: Basic,
        help: "The address and port to accept connections on; port 0 takes a free one.",
    },
    Setting {
        name: "ALLOW_UNAUTHENTICATED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Basic,
        help: "Whether LISTEN_ADDR may be reached from other machines although nobody has to prove who they are.",
    },
    Setting {
        name: "HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("15000"),
        rule: None,
        audience: Basic,
        help: "The time from one ping to the next, for every class without an interval of its own.",
    },
    Setting {
        name: "CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("45000"),
        rule: Some("more than the heartbeat interval"),
        audience: Basic,
        help: "The silence after which a connection is stale and closed, for every class without a timeout of its own.",
    },
    Setting {
        name: "STATS_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Basic,
        help: "The time from one line of statistics in the log to the next.",
    },
    Setting {
        name: "MAX_CONNECTIONS",
        kind: Kind::Number {
            unit: Unit::Connections,
            least: 1,
            most: 10_000_000,
        },
        default: Fallback::Derived("what the limit of file descriptors allows"),
        rule: None,
        audience: Basic,
        help: "How many connections are held at once; one more is answered with HTTP 503 and Retry-After.",
    },
    Setting {
        name: "MAX_MESSAGE_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            // The largest control frame (RFC 6455 §5.5): the limit holds for frames of every kind.
            least: 125,
            most: 64 << 20,
        },
        default: Fallback::Value("1048576"),
        rule: None,
        audience: Basic,
        help: "The largest message, and the largest frame, that a peer may send; a larger one is answered with close code 1009.",
    },
    Setting {
        name: "LOG_LEVEL",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: Fallback::Value("info"),
        rule: None,
        audience: Basic,
        help: "The least important lines that are still logged; what libraries say of payloads is logged at no level.",
    },
    Setting {
        name: "DRAIN_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("5000"),
        rule: None,
        audience: Basic,
        help: "The time over which the connections are closed evenly, with close code 1012, after SIGTERM or SIGINT.",
    },
    Setting {
        name: "DRAIN_DELAY_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        help: "How long after SIGTERM or SIGINT connections are still accepted, while /healthz already answers 503.",
    },
    Setting {
        name: "GLASSES_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Of("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        help: "The time from one ping to the next, for glasses.",
    },
    Setting {
        name: "GLASSES_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Of("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of glasses"),
        audience: Advanced,
        help: "The silence after which a connection of glasses is stale and closed.",
    },
    Setting {
        name: "TPA_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Of("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        help: "The time from one ping to the next, for third-party apps.",
    },
    Setting {
        name: "TPA_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Of("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of third-party apps"),
        audience: Advanced,
        help: "The silence after which a connection of a third-party app is stale and closed.",
    },
    Setting {
        name: "HEARTBEAT_MODE",
        kind: Kind::Word(&["always", "idle"]),
        default: Fallback::Value("always"),
        rule: None,
        audience: Advanced,
        help: "Whether a ping goes out every interval, or only when nothing was heard for an interval.",
    },
    Setting {
        name: "HANDSHAKE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        help: "How long a request may take from the accepted connection to its answer; then it is answered with HTTP 408.",
    },
    Setting {
        name: "CLOSE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("2000"),
        rule: None,
        audience: Advanced,
        help: "How long a peer may take to answer a close frame before its connection is dropped.",
    },
    Setting {
        name: "MAX_PENDING_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            // What a socket's buffers hold by default; below, a peer that is merely far away would be called slow.
            least: 64 << 10,
            most: 1 << 30,
        },
        default: Fallback::Derived("4194304, or twice MAX_MESSAGE_BYTES if that is more"),
        rule: Some("at least MAX_MESSAGE_BYTES and 14 more"),
        audience: Advanced,
        help: "The bytes that may wait for one peer to read them; with more it is a slow consumer and closed with code 1013.",
    },
    Setting {
        name: "MAX_BUFFERED_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: 64 << 10,
            most: 1 << 40,
        },
        default: Fallback::Value("1073741824"),
        rule: Some("at least MAX_PENDING_BYTES"),
        audience: Advanced,
        help: "The bytes that all connections together may hold in buffers, received and unsent.",
    },
    Setting {
        name: "STALE_CLOSES_PER_SECOND",
        kind: Kind::Number {
            unit: Unit::PerSecond,
            least: 0,
            most: 1_000_000,
        },
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        help: "How many stale connections are closed in a second, so that a network that comes back finds its peers alive; 0 is no limit.",
    },
    Setting {
        name: "REUSE_PORT",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        help: "Whether other processes of the same user may listen on the same address and share its connections (SO_REUSEPORT).",
    },
];

/// The row of the setting `name`. In a `const` block a name that is not in the table does not compile.
///
/// # Panics
/// If there is no such setting.
pub(super) const fn row(name: &str) -> usize {
    let mut row = 0;
    while row < SETTINGS.len() {
        if same(SETTINGS[row].name.as_bytes(), name.as_bytes()) {
            return row;
        }
        row += 1;
    }
    panic!("no such setting");
}

/// `==` on slices is not `const` yet.
const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

impl Setting {
    /// The flag, with its dashes: `--heartbeat-interval-ms` for `HEARTBEAT_INTERVAL_MS`.
    pub fn flag(&self) -> String {
        format!("--{}", self.key().replace('_', "-"))
    }

    /// The name as a key in a log line: `heartbeat_interval_ms`.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Every value that is allowed, in words.
    pub fn allowed(&self) -> String {
        match self.rule {
            Some(rule) => format!("{}; {rule}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl Kind {
    /// The value that `text` stands for, if it is allowed.
    pub(super) fn parse(&self, text: &str) -> Option<Value> {
        match self {
            Kind::Number { least, most, .. } => {
                let number = text.parse().ok()?;
                (*least..=*most)
                    .contains(&number)
                    .then_some(Value::Number(number))
            }
            Kind::Word(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text))?;
                Some(Value::Word(word))
            }
            Kind::Switch => match text.to_ascii_lowercase().as_str() {
                "1" | "true" => Some(Value::Switch(true)),
                "0" | "false" => Some(Value::Switch(false)),
                _ => None,
            },
            Kind::Address => text.parse().ok().map(Value::Address),
        }
    }

    /// What stands for a value where flags are listed.
    pub(super) fn placeholder(&self) -> &'static str {
        match self {
            Kind::Number { unit, .. } => match unit {
                Unit::Milliseconds => "ms",
                Unit::Bytes => "bytes",
                Unit::Connections | Unit::PerSecond => "number",
            },
            Kind::Word(_) => "word",
            Kind::Switch => "0|1",
            Kind::Address => "ip:port",
        }
    }
}

impl fmt::Display for Kind {
    /// The values within its bounds, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Number { unit, least, most } => {
                write!(f, "a whole number of {unit} from {least} to {most}")
            }
            Kind::Word(words) => match words {
                [first @ .., last] if !first.is_empty() => {
                    write!(f, "{} or {last}", first.join(", "))
                }
                words => f.write_str(&words.concat()),
            },
            Kind::Switch => f.write_str("0, 1, false or true"),
            Kind::Address => {
                f.write_str("an IP address with a port, such as 127.0.0.1:8002 or [::1]:8002")
            }
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Milliseconds => "milliseconds",
            Unit::Bytes => "bytes",
            Unit::Connections => "connections",
            Unit::PerSecond => "connections per second",
        })
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fallback::Value(text) | Fallback::Of(text) | Fallback::Derived(text) => text,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Word(word) => f.write_str(word),
            Value::Switch(on) => write!(f, "{}", u8::from(*on)),
            Value::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_an_allowed_value_in_its_own_words() {
        for setting in SETTINGS {
            if let Fallback::Value(text) = setting.default {
                let value = setting.kind.parse(text).expect(setting.name);
                assert_eq!(value.to_string(), text, "{}", setting.name);
            }
        }
    }

    #[test]
    fn what_a_default_refers_to_stands_earlier_and_is_of_the_same_kind() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            if let Fallback::Of(name) = setting.default {
                assert!(row(name) < at, "{}", setting.name);
                assert_eq!(
                    SETTINGS[row(name)].kind.to_string(),
                    setting.kind.to_string()
                );
            }
        }
    }

    #[test]
    fn the_bounds_themselves_are_allowed_and_their_neighbours_are_not() {
        for setting in SETTINGS {
            let Kind::Number { least, most, .. } = setting.kind else {
                continue;
            };
            for (number, allowed) in [
                (Some(least), true),
                (Some(most), true),
                (least.checked_sub(1), false),
                (Some(most + 1), false),
                (Some(u64::MAX), false),
            ] {
                let Some(number) = number else { continue };
                let parsed = setting.kind.parse(&number.to_string());
                assert_eq!(parsed.is_some(), allowed, "{}={number}", setting.name);
            }
        }
    }

    #[test]
    fn words_and_switches_are_read_in_capitals_too() {
        let levels = SETTINGS[row("LOG_LEVEL")].kind;
        assert_eq!(levels.parse("WARN"), Some(Value::Word("warn")));
        assert_eq!(levels.parse("off"), None);
        assert_eq!(Kind::Switch.parse("True"), Some(Value::Switch(true)));
        assert_eq!(Kind::Switch.parse("yes"), None);
        assert_eq!(Kind::Word(&["a", "b", "c"]).to_string(), "a, b or c");
        assert_eq!(Kind::Word(&["a"]).to_string(), "a");
    }
}
