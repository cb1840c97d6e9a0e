//! What is wrong with the location of an upstream, in words.

use super::file_value::excerpt;
use super::lists::UPSTREAMS_MAX;
use crate::gateway::{UpstreamUrl, WeightedUpstream};

/// Returns what is wrong with each of these locations, which are separated by commas.
pub(super) fn list_mistake(text: &str) -> Option<String> {
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    if items.len() > UPSTREAMS_MAX {
        return Some(format!("there are {}", items.len()));
    }
    let mistakes = items.iter().enumerate().filter_map(|(nth, item)| {
        let mut earlier = items[..nth].iter();
        match earlier.find(|other| same_place(other, item)) {
            Some(earlier) if earlier == item => {
                Some(format!("{} is given twice{USE_WEIGHT}", shown(item)))
            }
            Some(earlier) => {
                let earlier = shown(earlier);
                Some(format!(
                    "{} is the same as {earlier}{USE_WEIGHT}",
                    shown(item)
                ))
            }
            None => item_mistake(item),
        }
    });
    let mistakes: Vec<String> = mistakes.collect();
    (!mistakes.is_empty()).then(|| mistakes.join("; "))
}

const USE_WEIGHT: &str = "; write it once, with a weight if it is to get more clients";

/// Returns whether two valid locations lead to the same place.
fn same_place(a: &str, b: &str) -> bool {
    match (WeightedUpstream::parse(a), WeightedUpstream::parse(b)) {
        (Some(a), Some(b)) => a.url.is_same_place(&b.url),
        _ => false,
    }
}

/// Returns what is wrong with a location and its weight.
fn item_mistake(item: &str) -> Option<String> {
    if WeightedUpstream::parse(item).is_some() {
        return None;
    }
    let (url, weight) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
    url_mistake(url).or_else(|| {
        let most = WeightedUpstream::WEIGHT_MAX;
        let why = format!(
            "{}: behind the URL stands weight=N, with N from 1 to {most}",
            shown(item)
        );
        (!weight.is_empty()).then_some(why)
    })
}

/// Returns what is wrong with a location without a weight.
pub(super) fn url_mistake(url: &str) -> Option<String> {
    if UpstreamUrl::parse(url).is_some() {
        return None;
    }
    let shown = shown(url);
    let Some((scheme, rest)) = url.split_once("://") else {
        return schemeless_mistake(url);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let is_plain = |text: &str| UpstreamUrl::parse(&format!("http://{text}")).is_some();
    Some(match &*scheme.to_ascii_lowercase() {
        "https" | "wss" => format!(
            "{shown} asks for TLS, and the gateway speaks none to upstreams; write http:// and the \
             service's port without TLS, or let a proxy such as stunnel speak TLS to the service"
        ),
        "http" | "ws" if host.contains('@') => {
            format!("{shown} has a user name; clients authenticate themselves to the service")
        }
        "http" | "ws" if !path.is_empty() && is_plain(host) => format!(
            "{shown} has the path {}, but the path is the client's; write {scheme}://{host}, and \
             choose paths by path and strip_prefix of a [[route]]",
            self::shown(path)
        ),
        "http" | "ws" => format!("{shown} has no valid host, or no port from 1 to 65535"),
        other => format!("{shown} has the scheme {:?}", excerpt(other)),
    })
}

/// Returns what is wrong with a location without `://`.
fn schemeless_mistake(url: &str) -> Option<String> {
    let shown = shown(url);
    let with_scheme = format!("http://{url}");
    if url.is_empty() {
        return Some("one of them is empty".to_owned());
    }
    if UpstreamUrl::parse(&with_scheme).is_some() {
        return Some(format!("{shown} has no scheme; write {with_scheme}"));
    }
    if url.starts_with('/') {
        return Some(format!(
            "{shown} has no scheme; write unix:{}",
            excerpt(url)
        ));
    }
    let is_relative = url
        .strip_prefix("unix:")
        .is_some_and(|path| !path.starts_with('/'));
    is_relative.then(|| format!("{shown} has no absolute path"))
}

fn shown(text: &str) -> String {
    format!("{:?}", excerpt(text))
}
