//! Sticky sessions: a cookie that leads a client back to its upstream.

use super::balance::stable_hash;
use super::request_key::{cookies, is_token};
use crate::engine::Request;
use crate::wire::http::HeaderValue;
use std::fmt;

/// The cookie that leads a client back to its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct StickyCookie {
    /// The cookie's name.
    pub name: Box<str>,
    /// The attribute SameSite.
    pub same_site: SameSite,
    /// Whether it has the attribute Secure.
    pub secure: SecureCookie,
}

/// When browsers send a cookie along with requests that other sites cause (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "a standard names them")]
pub enum SameSite {
    /// Also to top-level navigations.
    #[default]
    Lax,
    /// Never.
    Strict,
    /// Always; browsers then ask for Secure, too.
    None,
}

/// Whether a cookie has the attribute Secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum SecureCookie {
    /// If the client uses https.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl StickyCookie {
    /// Returns a cookie with this name and the default attributes; `None` if it is not a name.
    pub fn named(name: &str) -> Option<Self> {
        is_token(name).then(|| StickyCookie {
            name: name.into(),
            same_site: SameSite::default(),
            secure: SecureCookie::default(),
        })
    }

    /// Returns the value that a request has; empty if it has none.
    pub(super) fn value<'a>(&self, request: &'a Request) -> &'a [u8] {
        cookies(request, &self.name).next().unwrap_or_default()
    }

    /// Returns the value of Set-Cookie for this token.
    pub(super) fn set_cookie(&self, token: &str, is_https: bool) -> Option<HeaderValue> {
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        };
        let is_secure = match self.secure {
            SecureCookie::Auto => is_https,
            SecureCookie::Always => true,
            SecureCookie::Never => false,
        };
        let secure = if is_secure { "; Secure" } else { "" };
        let name = &self.name;
        let text = format!("{name}={token}; Path=/; HttpOnly; SameSite={same_site}{secure}");
        HeaderValue::from_str(&text).ok()
    }
}

impl fmt::Display for StickyCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cookie:{}", self.name)
    }
}

/// Returns the token of an address: the same for every gateway with this route.
pub(super) fn sticky_token(route: &str, address: &str) -> Box<str> {
    let hash = stable_hash(&[route.as_bytes(), address.as_bytes()]);
    format!("{hash:016x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_has_the_attributes_that_were_asked_for() {
        let of = |same_site, secure| StickyCookie {
            same_site,
            secure,
            ..StickyCookie::named("route").expect("a name")
        };
        for (cookie, is_https, wanted) in [
            (of(SameSite::Lax, SecureCookie::Auto), false, "SameSite=Lax"),
            (
                of(SameSite::Lax, SecureCookie::Auto),
                true,
                "SameSite=Lax; Secure",
            ),
            (
                of(SameSite::Strict, SecureCookie::Never),
                true,
                "SameSite=Strict",
            ),
            (
                of(SameSite::None, SecureCookie::Always),
                false,
                "SameSite=None; Secure",
            ),
        ] {
            let set = cookie.set_cookie("0123", is_https).expect("a value");
            assert_eq!(set, format!("route=0123; Path=/; HttpOnly; {wanted}"));
        }
        let request = Request::of("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b; route=0123\r\n\r\n");
        let cookie = StickyCookie::named("route").expect("a name");
        assert_eq!(cookie.value(&request), b"0123");
        assert_eq!(cookie.to_string(), "cookie:route");
        assert_eq!(StickyCookie::named("a b"), None);
        assert_ne!(sticky_token("a", "/s"), sticky_token("b", "/s"));
    }
}
