//! The upstream: where it is, and under which name.

use crate::engine::DialAddress;
use crate::wire::http::HeaderValue;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// The location of an upstream as a setting names it: `http://HOST:PORT`, `ws://HOST:PORT` or
/// `unix:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    text: Box<str>,
    location: Location,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    /// A host name or an IP address without brackets, and a port.
    Tcp(Box<str>, u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// The longest path of a Unix socket, in bytes (unix(7)).
const UNIX_PATH_MAX: usize = 107;

/// The longest host name, in bytes (RFC 1123 §2.1).
const HOST_MAX: usize = 255;

impl UpstreamUrl {
    /// Parses a location. `None` if it has another form: another scheme, a path, a query, a user.
    /// The default port is 80.
    pub fn parse(text: &str) -> Option<Self> {
        let location = match text.strip_prefix("unix:") {
            Some(path) => unix_location(path)?,
            None => tcp_location(text)?,
        };
        Some(UpstreamUrl {
            text: text.into(),
            location,
        })
    }

    /// Returns the location as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether another location leads to the same place, although it may be written in
    /// another way.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (&self.location, &other.location) {
            (Location::Tcp(a, port), Location::Tcp(b, other)) => {
                a.eq_ignore_ascii_case(b) && port == other
            }
            (a, b) => a == b,
        }
    }

    /// Returns the host and the port to look up; `None` for a Unix socket.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        match &self.location {
            Location::Tcp(host, port) => Some((host, *port)),
            Location::Unix(_) => None,
        }
    }

    /// Returns the address, if it is known without a lookup: that of a Unix socket, or an IP
    /// address.
    pub fn fixed_address(&self) -> Option<DialAddress> {
        match &self.location {
            Location::Tcp(host, port) => {
                let ip: IpAddr = host.parse().ok()?;
                Some(DialAddress::Tcp((ip, *port).into()))
            }
            Location::Unix(path) => Some(DialAddress::Unix(path.clone())),
        }
    }

    /// Returns the value of the header field Host that names this upstream.
    pub(super) fn host_field(&self) -> HeaderValue {
        let text = match &self.location {
            Location::Tcp(host, 80) if host.contains(':') => format!("[{host}]"),
            Location::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Location::Tcp(host, 80) => host.to_string(),
            Location::Tcp(host, port) => format!("{host}:{port}"),
            Location::Unix(_) => "localhost".to_owned(),
        };
        // The parser takes visible ASCII only.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("localhost"))
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unix_location(path: &str) -> Option<Location> {
    let is_path =
        path.starts_with('/') && path.len() <= UNIX_PATH_MAX && !path.contains(char::is_control);
    is_path.then(|| Location::Unix(path.into()))
}

fn tcp_location(text: &str) -> Option<Location> {
    let (scheme, rest) = text.split_once("://")?;
    if !["http", "ws"]
        .iter()
        .any(|s| s.eq_ignore_ascii_case(scheme))
    {
        return None;
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let end = rest.find(':').unwrap_or(rest.len());
            let (host, port) = rest.split_at(end);
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            let is_host = !host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(is_name);
            is_host.then_some((host, port))?
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        None if port.is_empty() => 80,
        _ => return None,
    };
    (port > 0).then(|| Location::Tcp(host.into(), port))
}

/// The location of an upstream and its weight: its part of the route's clients.
///
/// Prints as it is written in a setting: `http://127.0.0.1:3000 weight=2`; the weight 1 is left
/// out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct WeightedUpstream {
    /// The location.
    pub url: UpstreamUrl,
    /// The weight, 1 to [`WEIGHT_MAX`](Self::WEIGHT_MAX).
    pub weight: u32,
}

impl WeightedUpstream {
    /// The largest weight.
    pub const WEIGHT_MAX: u32 = 256;

    /// Parses `URL` or `URL weight=N`. `None` if it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((url, weight)) = text.split_once(' ') else {
            return UpstreamUrl::parse(text).map(Self::from);
        };
        let weight = weight.trim_start().strip_prefix("weight=")?.parse().ok()?;
        let is_allowed = (1..=Self::WEIGHT_MAX).contains(&weight);
        let url = UpstreamUrl::parse(url)?;
        is_allowed.then_some(WeightedUpstream { url, weight })
    }
}

impl From<UpstreamUrl> for WeightedUpstream {
    /// Returns the upstream with the weight 1.
    fn from(url: UpstreamUrl) -> Self {
        WeightedUpstream { url, weight: 1 }
    }
}

impl fmt::Display for WeightedUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            1 => write!(f, "{}", self.url),
            weight => write!(f, "{} weight={weight}", self.url),
        }
    }
}

/// Returns an address as operators see it.
pub(super) fn address_text(address: &DialAddress) -> String {
    match address {
        DialAddress::Tcp(addr) | DialAddress::TcpFrom(addr, _) => addr.to_string(),
        DialAddress::Unix(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_a_host_and_a_port_or_a_path() {
        for (text, host, port, field) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000, "127.0.0.1:3000"),
            (
                "ws://chat.example.org",
                "chat.example.org",
                80,
                "chat.example.org",
            ),
            (
                "HTTP://localhost:8080/",
                "localhost",
                8080,
                "localhost:8080",
            ),
            ("http://[::1]:3000", "::1", 3000, "[::1]:3000"),
            ("http://[2001:db8::1]", "2001:db8::1", 80, "[2001:db8::1]"),
            ("http://my_service:1", "my_service", 1, "my_service:1"),
        ] {
            let url = UpstreamUrl::parse(text).expect("a location");
            assert_eq!(url.host_and_port(), Some((host, port)), "{text}");
            assert_eq!(url.host_field(), field, "{text}");
            let is_address = !text.contains("local") && !text.contains('m');
            assert_eq!(url.fixed_address().is_some(), is_address, "{text}");
            assert_eq!(url.to_string(), text);
        }
        let unix = UpstreamUrl::parse("unix:/run/chat.sock").expect("a location");
        assert_eq!(unix.host_and_port(), None);
        let address = DialAddress::Unix("/run/chat.sock".into());
        assert_eq!(unix.fixed_address(), Some(address));
        assert_eq!(unix.host_field(), "localhost");
    }

    #[test]
    fn other_forms_are_no_locations() {
        for text in [
            "",
            "127.0.0.1:3000",
            "https://a",
            "wss://a",
            "http://",
            "http://a/path",
            "http://a?x",
            "http://user@a",
            "http://a:0",
            "http://a:65536",
            "http://a:",
            "http://a:+1",
            "http://[::1",
            "http://[a]:1",
            "http://a b",
            "http://é",
            "unix:",
            "unix:relative",
            "unix:/a\nb",
            &format!("unix:/{}", "a".repeat(107)),
        ] {
            assert_eq!(UpstreamUrl::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_weight_follows_the_location() {
        for (text, weight, printed) in [
            ("http://a", Some(1), "http://a"),
            ("http://a weight=1", Some(1), "http://a"),
            (
                "http://a:81  weight=256",
                Some(256),
                "http://a:81 weight=256",
            ),
            ("unix:/s weight=2", Some(2), "unix:/s weight=2"),
            ("http://a weight=0", None, ""),
            ("http://a weight=257", None, ""),
            ("http://a weight=", None, ""),
            ("http://a weight=+1 ", None, ""),
            ("http://a 2", None, ""),
            (" weight=2", None, ""),
        ] {
            let upstream = WeightedUpstream::parse(text);
            assert_eq!(upstream.as_ref().map(|u| u.weight), weight, "{text:?}");
            let shown = upstream.map(|u| u.to_string()).unwrap_or_default();
            assert_eq!(shown, printed);
        }
    }
}
