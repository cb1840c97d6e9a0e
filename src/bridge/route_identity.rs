//! The identity of a route's clients: where it stands in a request.

use super::request_key::RequestKey;
use crate::engine::Request;
use crate::host::{Credentials, is_valid_name};
use std::fmt;
use std::net::IpAddr;

/// The longest name of a claim, in bytes.
const CLAIM_MAX: usize = 128;

/// Where the name of a client stands in its request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteIdentity {
    /// In a header field, a cookie, or a parameter of the query. It proves nothing: any client can
    /// write any name there.
    Key(RequestKey),
    /// In this claim of the client's token. It is proved if the route verifies tokens.
    JwtClaim(Box<str>),
}

/// Which clients a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RouteAuth {
    /// All: the service decides.
    #[default]
    None,
    /// Those with a token that is signed with the gateway's secret.
    Jwt,
}

impl RouteIdentity {
    /// Parses `header:NAME`, `query:NAME`, `cookie:NAME` or `jwt:CLAIM`. `None` if it has another
    /// form.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(claim) = text.strip_prefix("jwt:") {
            let is_claim = claim.len() <= CLAIM_MAX && is_valid_name(claim);
            return is_claim.then(|| RouteIdentity::JwtClaim(claim.into()));
        }
        match RequestKey::parse(text)? {
            RequestKey::Address => None,
            key => Some(RouteIdentity::Key(key)),
        }
    }

    /// Returns the name that a request states without proof; `None` if it states none, or one that
    /// is empty, longer than 256 bytes, or no text.
    pub(super) fn stated(&self, request: &Request, client: IpAddr) -> Option<Box<str>> {
        match self {
            RouteIdentity::Key(key) => {
                let value = key.value(request, client)?;
                let name = str::from_utf8(&value).ok()?;
                is_valid_name(name).then(|| name.into())
            }
            RouteIdentity::JwtClaim(claim) => Credentials::unverified_claims(request)?.name(claim),
        }
    }
}

impl fmt::Display for RouteIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteIdentity::Key(key) => write!(f, "{key}"),
            RouteIdentity::JwtClaim(claim) => write!(f, "jwt:{claim}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64URL_NOPAD;

    #[test]
    fn what_can_name_a_client_is_parsed_and_written() {
        for text in [
            "header:x-user",
            "query:user",
            "cookie:sid",
            "jwt:sub",
            "jwt:a b",
        ] {
            let parsed = RouteIdentity::parse(text).expect(text);
            assert_eq!(parsed.to_string(), text);
        }
        for text in [
            "",
            "address",
            "user",
            "jwt:",
            "jwt",
            "query:",
            "header:a b",
            "sub:jwt",
        ] {
            assert_eq!(RouteIdentity::parse(text), None, "{text:?}");
        }
        let long = format!("jwt:{}", "c".repeat(CLAIM_MAX + 1));
        assert_eq!(RouteIdentity::parse(&long), None);
    }

    #[test]
    fn a_request_states_a_name_or_none() {
        let token = |claims: &str| {
            let parts = [r#"{"alg":"none"}"#, claims].map(|p| BASE64URL_NOPAD.encode(p.as_bytes()));
            format!("{}.{}.x", parts[0], parts[1])
        };
        let request = |claims: &str| {
            Request::of(&format!(
                "GET /?user=&%75ser=%61d%61&user=x&empty=&bytes=%ff&line=a%0Ab\
                 &long={} HTTP/1.1\r\nHost: h\r\nX-User: b c\r\n\
                 Cookie: sid=1\r\nAuthorization: Bearer {}\r\n\r\n",
                "l".repeat(300),
                token(claims)
            ))
        };
        let claims = r#"{"sub":"ada","n":7,"f":1.5,"empty":"","list":["a"],"line":"a\nb"}"#;
        for (place, expected) in [
            ("query:user", Some("ada")),
            ("query:empty", None),
            ("query:bytes", None),
            ("query:line", None),
            ("query:long", None),
            ("query:other", None),
            ("header:x-user", Some("b c")),
            ("cookie:sid", Some("1")),
            ("jwt:sub", Some("ada")),
            ("jwt:n", None),
            ("jwt:f", None),
            ("jwt:empty", None),
            ("jwt:list", None),
            ("jwt:line", None),
            ("jwt:other", None),
        ] {
            let identity = RouteIdentity::parse(place).expect("valid");
            let stated = identity.stated(&request(claims), [127, 0, 0, 1].into());
            assert_eq!(stated.as_deref(), expected, "{place}");
        }
        let sub = RouteIdentity::parse("jwt:sub").expect("valid");
        for broken in ["", "[]", "{", r#"{"sub":null}"#] {
            assert_eq!(sub.stated(&request(broken), [127, 0, 0, 1].into()), None);
        }
    }
}
