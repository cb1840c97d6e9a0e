//! The kinds of values of settings: how they are parsed, bounded and printed.

use std::fmt;
use std::net::Ipv4Addr;

use super::secret::Secret;
use super::setting_value::SettingValue;
use super::{lists, networks};
use crate::gateway::{
    Balance, HostHeader, RouteIdentity, StickyCookie, UpstreamUrl, WeightedUpstream, ipv6_literal,
    is_url,
};

/// The longest path of a health check, in bytes.
const PATH_MAX: usize = 128;

/// Characters of wildcards and regular expressions. But for the star, no path of a URL has them
/// (RFC 3986 §3.3).
pub(super) const PATTERN_CHARACTERS: [char; 9] = ['*', '^', '[', ']', '{', '}', '|', '\\', '"'];

/// The kind of a setting's values.
#[derive(Debug, Clone, Copy)]
pub enum ValueKind {
    /// A whole number within inclusive bounds.
    Number {
        /// The unit.
        unit: Unit,
        /// The smallest value that is useful.
        min: u64,
        /// The largest value; more is most likely a typing error.
        max: u64,
    },
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// On or off: `1`, `0`, `true`, `false`. The flag alone means on.
    Switch,
    /// An IP address with a port.
    Address,
    /// An IP address with a port, or `off`.
    AddressOrOff,
    /// A path of a file. The content is checked when the file is read.
    Path,
    /// A secret: it has no flag and is never printed.
    Secret {
        /// The least number of characters.
        min: usize,
        /// Whether spaces are allowed.
        spaces: bool,
    },
    /// An HTTP URL that is secret.
    SecretUrl,
    /// IP addresses and CIDR blocks, separated by commas.
    Networks,
    /// Origins of pages, separated by commas.
    Origins,
    /// Values of `type` in JSON frames, separated by commas.
    FrameTypes,
    /// WebSocket subprotocols, separated by commas, or `any`.
    Subprotocols,
    /// Host names, separated by commas.
    HostNames,
    /// A WebSocket URL.
    WebSocketUrl,
    /// The location of a service.
    Upstream,
    /// The rule for the header Host: a word, or a name.
    HostHeader,
    /// The path of a URL.
    HttpPath,
    /// The path of a URL and everything below it. A pattern is not allowed.
    RoutePath,
    /// A name of a few letters, digits, dashes and underscores.
    Name,
    /// One host name, or an IP address; an IPv6 address in brackets.
    HostName,
    /// Locations of services, each with an optional weight, separated by commas.
    Upstreams,
    /// How a route chooses an upstream.
    Balance,
    /// `cookie:` and the name of a cookie.
    Cookie,
    /// IP addresses, separated by commas.
    IpAddresses,
    /// Where the name of a client stands in its request.
    RouteIdentity,
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// Connections.
    Connections,
    /// Connections per second.
    PerSecond,
    /// Connections per minute.
    PerMinute,
    /// Messages.
    Messages,
    /// Percent.
    Percent,
    /// Identities of glasses and apps.
    Identities,
    /// Stalls of the loop.
    Stalls,
    /// Events for backends.
    Events,
}

impl ValueKind {
    /// Parses `text`; `None` if it is not allowed.
    pub(super) fn parse(&self, text: &str) -> Option<SettingValue> {
        match self {
            ValueKind::Number { unit, min, max } => {
                let number = match text.parse() {
                    Ok(number) => number,
                    Err(_) if *unit == Unit::Milliseconds => time_with_unit(text)?,
                    Err(_) => return None,
                };
                (*min..=*max)
                    .contains(&number)
                    .then_some(SettingValue::Number(number))
            }
            ValueKind::Word(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text))?;
                Some(SettingValue::Word(word))
            }
            ValueKind::Switch => match text.to_ascii_lowercase().as_str() {
                "1" | "true" => Some(SettingValue::Switch(true)),
                "0" | "false" => Some(SettingValue::Switch(false)),
                _ => None,
            },
            ValueKind::Address => {
                // Every machine has this name, and it always stands for one address here, so no
                // resolver is needed.
                let port = text.strip_prefix("localhost:").map(str::parse);
                if let Some(port) = port {
                    return Some(SettingValue::Address(
                        (Ipv4Addr::LOCALHOST, port.ok()?).into(),
                    ));
                }
                text.parse().ok().map(SettingValue::Address)
            }
            ValueKind::AddressOrOff if text.eq_ignore_ascii_case("off") => Some(SettingValue::Off),
            ValueKind::AddressOrOff => ValueKind::Address.parse(text),
            ValueKind::Path => {
                let is_one_line = !text.is_empty() && !text.contains(char::is_control);
                is_one_line.then(|| SettingValue::Path(text.into()))
            }
            ValueKind::Secret { min, spaces } => {
                Secret::parse(text, *min, *spaces).map(SettingValue::Secret)
            }
            ValueKind::SecretUrl => Secret::parse_url(text).map(SettingValue::Secret),
            ValueKind::Networks => networks::parse_networks(text).map(SettingValue::Networks),
            ValueKind::Origins => lists::parse_origins(text).map(SettingValue::Origins),
            ValueKind::FrameTypes => lists::parse_types(text).map(SettingValue::FrameTypes),
            ValueKind::Subprotocols => {
                lists::parse_subprotocols(text).map(SettingValue::Subprotocols)
            }
            ValueKind::HostNames => lists::parse_hosts(text).map(SettingValue::HostNames),
            ValueKind::WebSocketUrl => {
                let has_path = text
                    .split_once("://")
                    .is_some_and(|(_, rest)| rest.contains('/'));
                let is_right = has_path && is_url(text, &["ws", "wss"]);
                is_right.then(|| SettingValue::Url(text.to_owned()))
            }
            ValueKind::Upstream => UpstreamUrl::parse(text).map(SettingValue::Upstream),
            ValueKind::HostHeader => HostHeader::parse(text).map(SettingValue::HostHeader),
            ValueKind::HttpPath => {
                let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#');
                let is_path = text.starts_with('/') && text.len() <= PATH_MAX;
                (is_path && text.bytes().all(is_plain)).then(|| SettingValue::HttpPath(text.into()))
            }
            ValueKind::RoutePath => {
                let is_parameter = |segment: &str| segment.starts_with(':');
                let is_pattern = text.contains(PATTERN_CHARACTERS)
                    || text.ends_with('$')
                    || text.split('/').any(is_parameter);
                ValueKind::HttpPath.parse(text).filter(|_| !is_pattern)
            }
            ValueKind::Name => lists::parse_name(text).map(SettingValue::Name),
            ValueKind::HostName => {
                if let Some(literal) = ipv6_literal(text) {
                    return Some(SettingValue::Name(literal.into()));
                }
                let mut hosts = lists::parse_hosts(text)?.into_iter();
                let (host, second) = (hosts.next()?, hosts.next());
                second.is_none().then_some(SettingValue::Name(host))
            }
            ValueKind::Upstreams => lists::parse_upstreams(text).map(SettingValue::Upstreams),
            ValueKind::Balance => Balance::parse(text).map(SettingValue::Balance),
            ValueKind::RouteIdentity => RouteIdentity::parse(text).map(SettingValue::RouteIdentity),
            ValueKind::IpAddresses => lists::parse_addresses(text).map(SettingValue::IpAddresses),
            ValueKind::Cookie => {
                let name = text.strip_prefix("cookie:")?;
                StickyCookie::named(name).map(SettingValue::Cookie)
            }
        }
    }

    /// Returns the placeholder of a value in the list of flags.
    pub(super) fn placeholder(&self) -> &'static str {
        match self {
            ValueKind::Number { unit, .. } => match unit {
                Unit::Milliseconds => "ms",
                Unit::Bytes => "bytes",
                Unit::Percent => "percent",
                Unit::Connections
                | Unit::PerSecond
                | Unit::PerMinute
                | Unit::Messages
                | Unit::Identities
                | Unit::Stalls
                | Unit::Events => "number",
            },
            ValueKind::Word(_) => "word",
            ValueKind::Switch => "0|1",
            ValueKind::Address => "ip:port",
            ValueKind::AddressOrOff => "ip:port|off",
            ValueKind::Path => "path",
            ValueKind::Secret { .. } => "secret",
            ValueKind::SecretUrl => "url",
            ValueKind::Networks => "ip,ip/bits",
            ValueKind::Origins => "origin,origin",
            ValueKind::FrameTypes => "type,type|none",
            ValueKind::Subprotocols => "name,name|any|none",
            ValueKind::HostNames => "name,name",
            ValueKind::WebSocketUrl | ValueKind::Upstream => "url",
            ValueKind::HostHeader => "keep|upstream|name",
            ValueKind::HttpPath | ValueKind::RoutePath => "path",
            ValueKind::Name | ValueKind::HostName => "name",
            ValueKind::Upstreams => "url,url",
            ValueKind::Balance => "rule",
            ValueKind::RouteIdentity => "place",
            ValueKind::Cookie => "cookie:name",
            ValueKind::IpAddresses => "ip,ip",
        }
    }
}

/// Parses a time such as `500ms`, `15s`, `2m` or `1h`, a whole number with its unit, into
/// milliseconds.
fn time_with_unit(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(ms)
}

impl fmt::Display for ValueKind {
    /// Writes the allowed values in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueKind::Number { unit, min, max } => {
                write!(f, "a whole number of {unit} from {min} to {max}")?;
                match unit {
                    Unit::Milliseconds => f.write_str(", or with a unit (15s, 2m)"),
                    _ => Ok(()),
                }
            }
            ValueKind::Word(words) => match words {
                [first @ .., last] if !first.is_empty() => {
                    write!(f, "{} or {last}", first.join(", "))
                }
                words => f.write_str(&words.concat()),
            },
            ValueKind::Switch => f.write_str("0, 1, false or true"),
            ValueKind::Address => {
                f.write_str("an IP address with a port, such as 127.0.0.1:8002 or [::1]:8002")
            }
            ValueKind::AddressOrOff => write!(f, "off, or {}", ValueKind::Address),
            ValueKind::Path => f.write_str("the path of a file"),
            ValueKind::Secret { min, spaces } => f.write_str(&Secret::allowed(*min, *spaces)),
            ValueKind::SecretUrl => write!(f, "{}", Secret::ALLOWED_URL),
            ValueKind::Networks => write!(
                f,
                "up to {} IP addresses and CIDR blocks, separated by commas, such as \
                 192.168.1.1,10.0.0.0/8",
                networks::NETWORKS_MAX
            ),
            ValueKind::Origins => write!(
                f,
                "up to {} origins, separated by commas, such as \
                 https://app.example.org,http://localhost:3000,file://,null, spelt as clients send \
                 them; * is not allowed",
                lists::ORIGINS_MAX
            ),
            ValueKind::FrameTypes => write!(
                f,
                "up to {} types of frames, separated by commas, each of up to {} visible ASCII \
                 characters; or {}",
                lists::TYPES_MAX,
                lists::TYPE_MAX,
                lists::NONE
            ),
            ValueKind::Subprotocols => write!(
                f,
                "up to {} subprotocols, separated by commas, each a token (RFC 9110) of up to {} \
                 characters; or {}, or {}",
                lists::SUBPROTOCOLS_MAX,
                lists::SUBPROTOCOL_MAX,
                lists::ANY,
                lists::NONE
            ),
            ValueKind::HostNames => write!(
                f,
                "up to {} host names without a port, separated by commas, such as \
                 gateway.example.org",
                lists::HOSTS_MAX
            ),
            ValueKind::Upstream => f.write_str(
                "http:// or ws:// with a host and an optional port, or unix: with an absolute \
                 path, such as http://127.0.0.1:3000 or unix:/run/chat.sock",
            ),
            ValueKind::HostHeader => {
                f.write_str("keep, upstream, or a host name with an optional port")
            }
            ValueKind::HttpPath => write!(
                f,
                "a path that begins with a slash, of up to {PATH_MAX} visible ASCII characters, \
                 without ? and #"
            ),
            ValueKind::RoutePath => write!(
                f,
                "{}; it is no pattern: *, :NAME and regular expressions are not allowed",
                ValueKind::HttpPath
            ),
            ValueKind::Name => write!(
                f,
                "up to {} lower-case letters, digits, dashes and underscores",
                lists::NAME_MAX
            ),
            ValueKind::HostName => f.write_str(
                "a host name or IP address without a port, such as chat.example.org or [::1]",
            ),
            ValueKind::Upstreams => write!(
                f,
                "1 to {} of these: {}; each may have a weight of 1 to {}, such as \
                 \"http://127.0.0.1:3000 weight=2\"",
                lists::UPSTREAMS_MAX,
                ValueKind::Upstream,
                WeightedUpstream::WEIGHT_MAX
            ),
            ValueKind::Balance => f.write_str(
                "least_connections, hash:address, hash:cookie:NAME, hash:header:NAME or \
                 hash:query:NAME",
            ),
            ValueKind::Cookie => f.write_str("cookie:NAME"),
            ValueKind::RouteIdentity => {
                f.write_str("header:NAME, query:NAME, cookie:NAME or jwt:CLAIM")
            }
            ValueKind::IpAddresses => {
                write!(f, "up to {} IP addresses", lists::ADDRESSES_MAX)
            }
            ValueKind::WebSocketUrl => f.write_str(
                "a URL with ws:// or wss://, a host and a path, such as \
                 wss://gateway.example.org/app-ws",
            ),
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
            Unit::PerMinute => "connections per minute",
            Unit::Messages => "messages",
            Unit::Percent => "percent",
            Unit::Identities => "identities",
            Unit::Stalls => "stalls",
            Unit::Events => "events",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_have_a_unit_and_a_bare_number_is_milliseconds() {
        let time = ValueKind::Number {
            unit: Unit::Milliseconds,
            min: 10,
            max: 86_400_000,
        };
        for (text, ms) in [
            ("15000", Some(15_000)),
            ("15s", Some(15_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("24h", Some(86_400_000)),
            ("25h", None),
            ("0s", None),
            ("1.5s", None),
            ("s", None),
            ("15 s", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(time.parse(text), ms.map(SettingValue::Number), "{text}");
        }
        let bytes = ValueKind::Number {
            unit: Unit::Bytes,
            min: 1,
            max: 100,
        };
        assert_eq!(bytes.parse("5s"), None);
        let local = SettingValue::Address(([127, 0, 0, 1], 8080).into());
        assert_eq!(
            ValueKind::Address.parse("localhost:8080"),
            Some(local.clone())
        );
        assert_eq!(ValueKind::AddressOrOff.parse("localhost:8080"), Some(local));
        for text in ["localhost", "localhost:", "localhost:x", "example.org:80"] {
            assert_eq!(ValueKind::Address.parse(text), None, "{text}");
        }
    }

    #[test]
    fn words_and_switches_are_read_in_capitals_too() {
        let levels = ValueKind::Word(&["error", "warn", "info"]);
        assert_eq!(levels.parse("WARN"), Some(SettingValue::Word("warn")));
        assert_eq!(levels.parse("off"), None);
        assert_eq!(
            ValueKind::Switch.parse("True"),
            Some(SettingValue::Switch(true))
        );
        assert_eq!(ValueKind::Switch.parse("yes"), None);
        assert_eq!(ValueKind::Word(&["a", "b", "c"]).to_string(), "a, b or c");
        assert_eq!(ValueKind::Word(&["a"]).to_string(), "a");
    }
}
