//! A value of a request that stands for its client: an address, a cookie, a header field, or a
//! parameter of the query.

use crate::engine::Request;
use crate::wire::http::HeaderName;
use crate::wire::http::header::COOKIE;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// The longest name of a cookie or parameter, in bytes.
const NAME_MAX: usize = 128;

/// Where a request has a value that stands for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestKey {
    /// The client's IP address.
    Address,
    /// The cookie with this name.
    Cookie(Box<str>),
    /// The header field with this name.
    Header(HeaderName),
    /// The parameter of the query with this name, compared as it was sent.
    Query(Box<str>),
}

impl RequestKey {
    /// Parses `address`, `cookie:NAME`, `header:NAME` or `query:NAME`. `None` if it has another
    /// form.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "address" {
            return Some(RequestKey::Address);
        }
        let (place, name) = text.split_once(':')?;
        match place {
            "cookie" if is_token(name) => Some(RequestKey::Cookie(name.into())),
            "header" => name.parse().ok().map(RequestKey::Header),
            "query" if is_token(name) => Some(RequestKey::Query(name.into())),
            _ => None,
        }
    }

    /// Returns the value in a request of a client with this address; `None` if it has none.
    pub(super) fn value<'a>(&self, request: &'a Request, client: IpAddr) -> Option<Cow<'a, [u8]>> {
        match self {
            RequestKey::Address => Some(Cow::Owned(client.to_string().into_bytes())),
            RequestKey::Cookie(name) => cookie(request, name).map(Cow::Borrowed),
            RequestKey::Header(name) => {
                let value = request.headers().get(name)?;
                Some(Cow::Borrowed(value.as_bytes()))
            }
            RequestKey::Query(name) => {
                let mut parameters = request.query()?.split('&');
                parameters.find_map(|parameter| {
                    let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    (key == &**name).then_some(Cow::Borrowed(value.as_bytes()))
                })
            }
        }
    }
}

/// Returns the value of a request's first cookie with this name (RFC 6265 §4.2.1).
pub(super) fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a [u8]> {
    let lines = request.headers().get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value)
    })
}

/// Returns whether a text is a token (RFC 9110 §5.6.2) of at most 128 characters.
pub(super) fn is_token(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestKey::Address => f.write_str("address"),
            RequestKey::Cookie(name) => write!(f, "cookie:{name}"),
            RequestKey::Header(name) => write!(f, "header:{name}"),
            RequestKey::Query(name) => write!(f, "query:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_a_place_in_the_request() {
        let request = Request::of(
            "GET /?a=1&user=u%201&user=2&b HTTP/1.1\r\nHost: h\r\nCookie: xsid=0; sid=s 1 ;t=\r\n\
             Cookie: late=yes\r\nX-User: ada\r\nX-User: bob\r\n\r\n",
        );
        let client = IpAddr::from([192, 0, 2, 7]);
        for (text, value) in [
            ("address", Some("192.0.2.7")),
            ("cookie:sid", Some("s 1")),
            ("cookie:t", Some("")),
            ("cookie:late", Some("yes")),
            ("cookie:id", None),
            ("header:x-user", Some("ada")),
            ("header:x-other", None),
            ("query:user", Some("u%201")),
            ("query:b", Some("")),
            ("query:c", None),
        ] {
            let key = RequestKey::parse(text).expect(text);
            assert_eq!(key.to_string(), text);
            let found = key.value(&request, client);
            assert_eq!(found.as_deref(), value.map(str::as_bytes), "{text}");
        }
        for text in [
            "",
            "Address",
            "cookie:",
            "cookie:a b",
            "header:a b",
            "query:",
            "jwt:sub",
        ] {
            assert_eq!(RequestKey::parse(text), None, "{text}");
        }
    }
}
