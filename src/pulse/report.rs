//! What a client reports about connections that ended.
//!
//! A report has no address, carrier, place or user agent. Its times are relative to the moment at
//! which it is sent, because the clock of a device may be wrong.

use super::condition::{NetworkKind, PageVisibility};
use super::failure_class::FailureClass;
use super::number::{number, some_number};
use crate::base::json_fields::{BoundedStr, Object, present};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// The most ended connections in a report.
pub const REPORT_ENDED_MAX: usize = 3;

/// The most tries that are reported for one connection.
pub const REPORT_TRIES_MAX: usize = 8;

/// The longest id of a connection, and the longest version of a client.
const NAME_BYTES_MAX: usize = 40;

/// A report about connections that ended: one for each opening, after the hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of the report's format: 1.
    #[serde(deserialize_with = "number")]
    pub v: u64,
    /// What the client runs on.
    pub rt: ClientRuntime,
    /// The version of the client library.
    #[serde(deserialize_with = "name")]
    pub lib: Box<str>,
    /// Whether the program has started anew since the connections ended.
    pub start: ClientStart,
    /// The connections, the newest first; at most three.
    #[serde(deserialize_with = "few::<_, _, REPORT_ENDED_MAX>")]
    pub ended: Vec<EndedReport>,
}

/// What a client runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientRuntime {
    /// A browser.
    Browser,
    /// Node.js.
    Node,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// React Native.
    ReactNative,
    /// A native program with the Rust client.
    Rust,
    /// Another one.
    #[serde(other)]
    Other,
}

/// Whether a client's program has started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "it has or it has not")]
pub enum ClientStart {
    /// It is the same run of the program.
    Same,
    /// It is a new run.
    New,
}

/// How a connection ended, as the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReportedEnd {
    /// Nothing was heard for too long.
    Watchdog,
    /// A close frame came.
    Close,
    /// The transport failed.
    Error,
    /// The device was asleep.
    Sleep,
    /// The network went away.
    Offline,
    /// The application closed it.
    Local,
    /// It was never open.
    NeverOpen,
}

/// The end of one connection. Times are in milliseconds before the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndedReport {
    /// The id of the connection, from its hello; absent if it was never open.
    #[serde(default, deserialize_with = "some_name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn: Option<Box<str>>,
    /// How it ended.
    pub end: ReportedEnd,
    /// The close code, if there was one.
    #[serde(default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// When it was opened.
    #[serde(default, deserialize_with = "some_number")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_ago: Option<u64>,
    /// When something was heard last.
    #[serde(default, deserialize_with = "some_number")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_ago: Option<u64>,
    /// When it ended.
    #[serde(deserialize_with = "number")]
    pub ended_ago: u64,
    /// The time by which a timer was late when it noticed that the device had been asleep.
    #[serde(default, deserialize_with = "some_number")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_gap: Option<u64>,
    /// The gateway's pings.
    #[serde(default, deserialize_with = "some_object")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pings: Option<PingCounts>,
    /// Round-trip times.
    #[serde(default, deserialize_with = "some_object")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<ReportedRtt>,
    /// The network, when it ended and now.
    #[serde(default, deserialize_with = "some_object")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<NetworkChange>,
    /// The page, when it ended.
    #[serde(default, deserialize_with = "some_object")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PageState>,
    /// The class by which the client chose its schedule.
    #[serde(default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The tries to reconnect, the oldest first; at most eight.
    #[serde(default, deserialize_with = "few::<_, _, REPORT_TRIES_MAX>")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<ReportedTry>,
}

/// How many pings of the gateway a client received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PingCounts {
    /// All.
    #[serde(deserialize_with = "number")]
    pub seen: u64,
    /// Those that came after the time at which they were expected.
    #[serde(deserialize_with = "number")]
    pub late: u64,
}

/// Round-trip times that a client measured, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportedRtt {
    /// The median.
    #[serde(deserialize_with = "number")]
    pub p50: u64,
    /// The longest.
    #[serde(deserialize_with = "number")]
    pub max: u64,
}

/// The network at two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetworkChange {
    /// When the connection ended.
    pub then: NetworkKind,
    /// When the report is sent.
    pub now: NetworkKind,
}

/// The state of a page when its connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PageState {
    /// Whether the user saw it.
    pub vis: PageVisibility,
    /// Whether the browser had frozen it.
    #[serde(default)]
    pub frozen: bool,
}

/// One try to reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportedTry {
    /// When it began, in milliseconds before the report.
    #[serde(deserialize_with = "number")]
    pub ago: u64,
    /// How far it got; a browser does not know.
    #[serde(default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<TryPhase>,
    /// How long it took, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub ms: u64,
    /// Why it failed.
    #[serde(default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<TryFailure>,
}

/// How far a try got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TryPhase {
    /// Looking up the name.
    Dns,
    /// Connecting.
    Tcp,
    /// The handshake of TLS.
    Tls,
    /// The upgrade.
    Http,
    /// Waiting for the hello.
    Hello,
}

impl TryPhase {
    /// Returns the name, as a report has it.
    pub const fn name(self) -> &'static str {
        match self {
            TryPhase::Dns => "dns",
            TryPhase::Tcp => "tcp",
            TryPhase::Tls => "tls",
            TryPhase::Http => "http",
            TryPhase::Hello => "hello",
        }
    }
}

/// Why a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TryFailure {
    /// It took too long.
    Timeout,
    /// It was refused.
    Refused,
    /// The connection was reset.
    Reset,
    /// Another reason.
    #[serde(other)]
    Other,
}

/// Parses a short name.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let BoundedStr::<'_, NAME_BYTES_MAX>(name) = BoundedStr::deserialize(deserializer)?;
    // It goes to logs and lists.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    match name.bytes().all(is_plain) {
        true => Ok(name.into()),
        false => Err(D::Error::custom("a name has letters, digits and .-_+ only")),
    }
}

fn some_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    name(deserializer).map(Some)
}

fn some_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(Object::deserialize(deserializer)?.0))
}

/// Parses a list of at most `MOST` objects.
fn few<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Few<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST} objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(Object(item)) = seq.next_element()? {
                if items.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Few::<T, MOST>(PhantomData))
}
