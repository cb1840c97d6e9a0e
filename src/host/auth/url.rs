//! Origins and URLs, as far as settings name them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest URL that is accepted; a longer one is taken for a mistake.
const URL_MAX: usize = 2_048;

/// The value of the header `Origin`. Either it has the form that browsers send
/// (`https://app.example.org`, with a port only if it is not the scheme's default). Or it is any
/// other text, which is compared unchanged: `null`, `file://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(Box<str>);

impl WebOrigin {
    /// Parses an origin: lower-cased if it has the form that browsers send, else unchanged. `None`
    /// if it is empty, longer than 2 048 bytes, not visible ASCII, or contains `*`: there are no
    /// patterns.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_graphic() && b != b'*';
        if text.is_empty() || text.len() > URL_MAX || !text.bytes().all(is_plain) {
            return None;
        }
        Self::of_a_page(text).or_else(|| Some(WebOrigin(text.into())))
    }

    /// Parses an origin that has the form that browsers send, lower-cased.
    fn of_a_page(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme || !is_authority(rest) {
            return None;
        }
        let own_port = match scheme {
            "http" | "ws" => ":80",
            "https" | "wss" => ":443",
            _ => "",
        };
        let rest = rest.strip_suffix(own_port).unwrap_or(rest);
        Some(WebOrigin(format!("{scheme}://{rest}").into()))
    }

    /// Returns whether this is the origin of `host` (the header `Host`) over HTTP, and `host` is an
    /// IP address or `localhost`. No page of another machine has such an origin, however names are
    /// resolved.
    pub(crate) fn is_own(&self, host: &str) -> bool {
        let is_address = host.parse::<SocketAddr>().is_ok()
            || host.parse::<Ipv4Addr>().is_ok()
            || host
                .strip_prefix('[')
                .and_then(|v6| v6.strip_suffix(']'))
                .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        (is_address || name.eq_ignore_ascii_case("localhost"))
            && ["http", "https", "ws", "wss"]
                .iter()
                .any(|scheme| Self::of_a_page(&format!("{scheme}://{host}")).as_ref() == Some(self))
    }

    /// Returns the origin in the form in which origins are compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether `text` is a URL with one of these schemes (in lower case). It has a host, an
/// optional port, a path and a query. It has no user, no fragment, and nothing that would need an
/// escape.
pub fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b);
    schemes.iter().any(|s| s.eq_ignore_ascii_case(scheme))
        && text.len() <= URL_MAX
        && is_authority(&authority.to_ascii_lowercase())
        && path.bytes().all(is_plain)
}

/// Returns whether `text` is a host in lower case with an optional port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|b| b.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_host = match host.strip_prefix('[') {
        Some(v6) => v6
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => host.split('.').all(is_label),
    };
    is_host && port.is_none_or(is_port)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_write() {
        for (text, wanted) in [
            ("https://app.example.org", Some("https://app.example.org")),
            ("HTTPS://App.Example.org", Some("https://app.example.org")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://a:443", Some("https://a")),
            ("http://a:80", Some("http://a")),
            ("http://a:443", Some("http://a:443")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("http://[::1]", Some("http://[::1]")),
            ("http://127.0.0.1:1", Some("http://127.0.0.1:1")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("chrome-extension://abc", Some("chrome-extension://abc")),
            ("", None),
            ("*", None),
            ("https://a b", None),
            ("https://\u{e9}", None),
            ("https://*.example.org", None),
        ] {
            let origin = WebOrigin::parse(text).map(|o| o.to_string());
            assert_eq!(origin.as_deref(), wanted, "{text:?}");
        }
        let long = format!("https://{}", "a".repeat(URL_MAX));
        assert_eq!(WebOrigin::parse(&long), None);
    }

    #[test]
    fn any_other_origin_is_compared_as_it_is() {
        for text in [
            "null",
            "NULL",
            "file://",
            "file:///C:/App/index.html",
            "app.example.org",
            "https://",
            "://a",
            "https://A/",
            "https://A/path?x",
            "https://u@a",
            "https://a:0",
            "https://a..b",
            "https://::1",
        ] {
            let origin = WebOrigin::parse(text).map(|o| o.to_string());
            assert_eq!(origin.as_deref(), Some(text));
        }
    }

    #[test]
    fn an_address_that_was_asked_is_its_own_origin() {
        let is_own = |origin: &str, host: &str| WebOrigin::parse(origin).expect("one").is_own(host);
        for (origin, host) in [
            ("http://127.0.0.1:8002", "127.0.0.1:8002"),
            ("http://192.168.1.5:8002", "192.168.1.5:8002"),
            ("https://10.0.0.1", "10.0.0.1"),
            ("http://10.0.0.1", "10.0.0.1:80"),
            ("http://10.0.0.1:80", "10.0.0.1"),
            ("http://[::1]:8002", "[::1]:8002"),
            ("http://[::1]", "[::1]"),
            ("http://localhost:8002", "LocalHost:8002"),
            ("HTTP://LOCALHOST", "localhost"),
            ("ws://127.0.0.1:8002", "127.0.0.1:8002"),
        ] {
            assert!(is_own(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://127.0.0.1:3000", "127.0.0.1:8002"),
            ("http://127.0.0.1", "127.0.0.1:8002"),
            ("http://localhost:8002", "127.0.0.1:8002"),
            ("http://rebound.example:8002", "rebound.example:8002"),
            ("http://localhost.example:8002", "localhost.example:8002"),
            ("http://127.0.0.1.example", "127.0.0.1.example"),
            ("http://127.1", "127.1"),
            ("http://127.0.0.1:8002/", "127.0.0.1:8002"),
            ("file://127.0.0.1:8002", "127.0.0.1:8002"),
            ("127.0.0.1:8002", "127.0.0.1:8002"),
            ("null", "127.0.0.1"),
            ("http://127.0.0.1", ""),
        ] {
            assert!(!is_own(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn a_url_has_a_scheme_a_host_and_nothing_hidden() {
        let is = |text: &str| is_url(text, &["http", "https"]);
        for right in [
            "http://a",
            "HTTPS://a.example.org:8443/webhook?x=%20&y=[1]",
            "http://127.0.0.1:3000/webhook",
            "http://[::1]:3000/",
            "http://a?x",
        ] {
            assert!(is(right), "{right}");
        }
        for wrong in [
            "",
            "a",
            "/webhook",
            "ws://a",
            "http:a",
            "http:///webhook",
            "http://user:password@a/",
            "http://a/#b",
            "http://a/ b",
            "http://a/\n",
            "http://a/\u{e9}",
            "http://a:99999/",
            "http://:80/",
            " http://a",
        ] {
            assert!(!is(wrong), "{wrong:?}");
        }
        assert!(is(&format!("http://a/{}", "b".repeat(URL_MAX - 9))));
        assert!(!is(&format!("http://a/{}", "b".repeat(URL_MAX - 8))));
    }
}
