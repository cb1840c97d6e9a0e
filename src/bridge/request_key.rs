//! A value of a request that stands for its client: an address, a cookie, a header field, or a
//! parameter of the query.

use crate::engine::Request;
use crate::wire::http::header::COOKIE;
use crate::wire::http::{HeaderName, HeaderValue};
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
    /// The parameter of the query with this name. Names and values are decoded, as services do it.
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

    /// Returns the first value in a request of a client with this address that is not empty; `None`
    /// if it has none. The work is linear in the length of the request's head.
    pub(super) fn value<'a>(&self, request: &'a Request, client: IpAddr) -> Option<Cow<'a, [u8]>> {
        match self {
            RequestKey::Address => Some(Cow::Owned(client.to_string().into_bytes())),
            RequestKey::Cookie(name) => {
                let mut values = cookies(request, name);
                values.find(|value| !value.is_empty()).map(Cow::Borrowed)
            }
            RequestKey::Header(name) => {
                let values = request.headers().get_all(name).iter();
                let mut values = values.map(HeaderValue::as_bytes);
                values.find(|value| !value.is_empty()).map(Cow::Borrowed)
            }
            RequestKey::Query(name) => {
                let mut parameters = request.query()?.split('&');
                parameters.find_map(|parameter| {
                    let (key, value) = parameter.split_once('=')?;
                    let is_named = !value.is_empty() && *form_decoded(key) == *name.as_bytes();
                    is_named.then(|| form_decoded(value))
                })
            }
        }
    }
}

/// Returns the values of a request's cookies with this name (RFC 6265 §4.2.1), in their order.
pub(super) fn cookies<'a>(request: &'a Request, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.headers().get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(move |pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    })
}

/// Decodes a name or a value of a query as services do it (`application/x-www-form-urlencoded`):
/// `+` is a space, `%` and two hexadecimal digits are a byte. Any other `%` stands for itself.
fn form_decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| [b'%', b'+'].contains(b)) {
        return Cow::Borrowed(bytes);
    }
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = match byte {
            b'%' => digit(at + 1).zip(digit(at + 2)),
            _ => None,
        };
        at += if escaped.is_some() { 3 } else { 1 };
        decoded.push(match (byte, escaped) {
            (_, Some((high, low))) => (high * 16 + low) as u8,
            (b'+', None) => b' ',
            (other, None) => *other,
        });
    }
    Cow::Owned(decoded)
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
            "GET /?a=1&user=&user=u%201&user=2&b&%63d=%C3%A9+x HTTP/1.1\r\nHost: h\r\n\
             Cookie: xsid=0; sid=; sid=s 1 ;t=\r\nCookie: late=yes\r\n\
             X-User:\r\nX-User: ada\r\nX-User: bob\r\n\r\n",
        );
        let client = IpAddr::from([192, 0, 2, 7]);
        for (text, value) in [
            ("address", Some("192.0.2.7")),
            ("cookie:sid", Some("s 1")),
            ("cookie:t", None),
            ("cookie:late", Some("yes")),
            ("cookie:id", None),
            ("header:x-user", Some("ada")),
            ("header:x-other", None),
            ("query:user", Some("u 1")),
            ("query:b", None),
            ("query:cd", Some("é x")),
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

    #[test]
    fn a_query_is_decoded_as_services_do_it() {
        for (text, decoded) in [
            ("ada", "ada"),
            ("%61d%61", "ada"),
            ("%41", "A"),
            ("a+b%2Bc%20d", "a b+c d"),
            ("%2561", "%61"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%+1", "%zz% 1"),
            ("%c3%A9", "é"),
            ("", ""),
        ] {
            assert_eq!(&*form_decoded(text), decoded.as_bytes(), "{text}");
        }
        // What is no text stays apart, too.
        assert_ne!(form_decoded("%ff"), form_decoded("%fe"));
        let whole: String = (0..=255).map(|b| format!("%{b:02x}")).collect();
        assert_eq!(*form_decoded(&whole), (0..=255).collect::<Vec<u8>>());
    }
}
