//! Lists of names, separated by commas.

use crate::gateway::{AcceptedSubprotocols, WebOrigin, WeightedUpstream};
use std::net::IpAddr;

/// The limit of origins; more are most likely a mistake.
pub(super) const ORIGINS_MAX: usize = 64;

/// The limit of frame types; peers use fewer.
pub(super) const TYPES_MAX: usize = 64;

/// The longest type of a frame, in bytes.
pub(super) const TYPE_MAX: usize = 128;

/// The limit of subprotocols; a class of peers speaks fewer.
pub(super) const SUBPROTOCOLS_MAX: usize = 16;

/// The longest subprotocol, in bytes.
pub(super) const SUBPROTOCOL_MAX: usize = 128;

/// The word for all subprotocols.
pub(super) const ANY: &str = "any";

/// The longest name of a route, in bytes: it is a label of metrics.
pub(super) const NAME_MAX: usize = 64;

/// The limit of upstreams of a route, before host names are looked up.
pub(super) const UPSTREAMS_MAX: usize = 64;

/// The limit of source addresses of a route.
pub(super) const ADDRESSES_MAX: usize = 64;

/// The limit of host names; a listener has fewer.
pub(super) const HOSTS_MAX: usize = 64;

/// The longest host name, in bytes (RFC 1123 §2.1).
const HOST_MAX: usize = 255;

/// The word for an empty list where the default is not empty.
pub(super) const NONE: &str = "none";

/// Parses a list of origins; `None` if one is not valid.
pub(super) fn parse_origins(text: &str) -> Option<Vec<WebOrigin>> {
    parse_list(text, ORIGINS_MAX, WebOrigin::parse)
}

/// Parses a list of frame types; `None` if one is not valid.
pub(super) fn parse_types(text: &str) -> Option<Vec<Box<str>>> {
    if text.eq_ignore_ascii_case(NONE) {
        return Some(Vec::new());
    }
    parse_list(text, TYPES_MAX, |one| {
        let is_type =
            (1..=TYPE_MAX).contains(&one.len()) && one.bytes().all(|b| b.is_ascii_graphic());
        is_type.then(|| one.into())
    })
}

/// Parses a list of subprotocols (RFC 6455 §4.1); `None` if one is not valid. `any` and `none` must
/// be the only element.
pub(super) fn parse_subprotocols(text: &str) -> Option<AcceptedSubprotocols> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is(ANY) {
        return Some(AcceptedSubprotocols::Any);
    }
    if is(NONE) {
        return Some(AcceptedSubprotocols::Only(Vec::new()));
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let names = parse_list(text, SUBPROTOCOLS_MAX, |one| {
        let is_word = [ANY, NONE]
            .iter()
            .any(|word| one.eq_ignore_ascii_case(word));
        let is_name =
            (1..=SUBPROTOCOL_MAX).contains(&one.len()) && one.bytes().all(is_token) && !is_word;
        is_name.then(|| Box::from(one))
    });
    names.map(AcceptedSubprotocols::Only)
}

/// Parses a list of host names (RFC 1123 §2.1) into lower case; `None` if one is not valid.
pub(super) fn parse_hosts(text: &str) -> Option<Vec<Box<str>>> {
    parse_list(text, HOSTS_MAX, |one| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let is_name = (1..=HOST_MAX).contains(&one.len()) && one.bytes().all(is_plain);
        is_name.then(|| one.to_ascii_lowercase().into())
    })
}

/// Parses a name of a few letters.
pub(super) fn parse_name(text: &str) -> Option<Box<str>> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let is_name = (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_plain);
    is_name.then(|| text.into())
}

/// Parses a list of IP addresses; `None` if one is not valid.
pub(super) fn parse_addresses(text: &str) -> Option<Vec<IpAddr>> {
    parse_list(text, ADDRESSES_MAX, |one| one.parse().ok())
}

/// Parses a list of upstreams with weights; `None` if one is not valid, if two lead to the same
/// place, or if there is none.
pub(super) fn parse_upstreams(text: &str) -> Option<Vec<WeightedUpstream>> {
    let list = parse_list(text, UPSTREAMS_MAX, WeightedUpstream::parse)?;
    let is_twice = |nth: usize| {
        list[..nth]
            .iter()
            .any(|other| other.url.is_same_place(&list[nth].url))
    };
    let is_valid = !list.is_empty() && !(0..list.len()).any(is_twice);
    is_valid.then_some(list)
}

fn parse_list<T>(text: &str, max: usize, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let list: Option<Vec<T>> = text.split(',').map(|one| parse(one.trim())).collect();
    list.filter(|list| list.len() <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_in_small_letters() {
        let shown = |text: &str| {
            let origins = parse_origins(text)?;
            let origins: Vec<_> = origins.iter().map(WebOrigin::as_str).collect();
            Some(origins.join(" "))
        };
        for (text, wanted) in [
            ("", Some("")),
            (" ", Some("")),
            ("https://A.example", Some("https://a.example")),
            ("https://a , http://b:1", Some("https://a http://b:1")),
            ("https://a,", None),
            (",", None),
            ("a", Some("a")),
            ("*", None),
            ("https://*.a", None),
            ("null,file://", Some("null file://")),
            ("https://a/Path", Some("https://a/Path")),
        ] {
            assert_eq!(shown(text).as_deref(), wanted, "{text:?}");
        }
        let many = |n| vec!["http://a"; n].join(",");
        assert_eq!(parse_origins(&many(ORIGINS_MAX)).map(|o| o.len()), Some(64));
        assert_eq!(parse_origins(&many(ORIGINS_MAX + 1)), None);
    }

    #[test]
    fn subprotocols_are_tokens_in_their_order() {
        let shown = |text: &str| match parse_subprotocols(text)? {
            AcceptedSubprotocols::Any => Some("*".to_owned()),
            AcceptedSubprotocols::Only(names) => Some(names.join(" ")),
        };
        for (text, wanted) in [
            ("any", Some("*")),
            ("ANY", Some("*")),
            ("none", Some("")),
            ("", Some("")),
            ("b, a", Some("b a")),
            ("v1.relay", Some("v1.relay")),
            ("a,any", None),
            ("none,a", None),
            ("a,", None),
            ("a b", None),
            ("a(b)", None),
        ] {
            assert_eq!(shown(text).as_deref(), wanted, "{text:?}");
        }
        let many = |n| vec!["a"; n].join(",");
        assert!(parse_subprotocols(&many(SUBPROTOCOLS_MAX)).is_some());
        assert!(parse_subprotocols(&many(SUBPROTOCOLS_MAX + 1)).is_none());
        assert!(parse_subprotocols(&"a".repeat(SUBPROTOCOL_MAX)).is_some());
        assert!(parse_subprotocols(&"a".repeat(SUBPROTOCOL_MAX + 1)).is_none());
    }

    #[test]
    fn hosts_are_names_without_a_port() {
        let shown = |text: &str| Some(parse_hosts(text)?.join(" "));
        for (text, wanted) in [
            ("", Some("")),
            (
                "Gateway.Example.org, pulsegate",
                Some("gateway.example.org pulsegate"),
            ),
            (
                "pulsegate_admin.default.svc",
                Some("pulsegate_admin.default.svc"),
            ),
            ("a:9002", None),
            ("http://a", None),
            ("*", None),
            ("a,", None),
            ("a b", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(shown(text).as_deref(), wanted, "{text:?}");
        }
        let many = |n| vec!["a"; n].join(",");
        assert_eq!(parse_hosts(&many(HOSTS_MAX)).map(|h| h.len()), Some(64));
        assert_eq!(parse_hosts(&many(HOSTS_MAX + 1)), None);
    }

    #[test]
    fn types_are_read_as_they_are_written() {
        let shown = |text: &str| Some(parse_types(text)?.join(" "));
        let longest = "x".repeat(TYPE_MAX);
        for (text, wanted) in [
            ("", Some("")),
            ("none", Some("")),
            ("NONE", Some("")),
            ("VAD", Some("VAD")),
            ("VAD, transcription:en-US", Some("VAD transcription:en-US")),
            (&longest, Some(&*longest)),
            (&format!("{longest}x"), None),
            ("VAD,", None),
            ("a b", None),
            ("a\n", Some("a")),
            ("\u{e9}", None),
        ] {
            assert_eq!(shown(text).as_deref(), wanted, "{text:?}");
        }
        let many = |n| vec!["a"; n].join(",");
        assert_eq!(parse_types(&many(TYPES_MAX)).map(|t| t.len()), Some(64));
        assert_eq!(parse_types(&many(TYPES_MAX + 1)), None);
    }
}
