//! What is wrong with a value that is not allowed, in words: the mistake that was probably made.

use super::file_value::excerpt;
use super::suggestion::suggest_word;
use super::upstream_mistakes;
use super::value_kind::{PATTERN_CHARACTERS, Unit, ValueKind};

/// Returns what is wrong with a value that is not allowed; `None` if that is not known. The words
/// come before "(allowed: …)".
pub(super) fn find_mistake(kind: ValueKind, text: &str) -> Option<String> {
    match kind {
        ValueKind::Upstream => upstream_mistakes::url_mistake(text),
        ValueKind::Upstreams => upstream_mistakes::list_mistake(text),
        ValueKind::RoutePath => pattern_mistake(text).or_else(|| path_mistake(text)),
        ValueKind::HttpPath => path_mistake(text),
        ValueKind::HostName => host_mistake(text),
        ValueKind::Word(words) => suggest_word(text, words).map(did_you_mean),
        ValueKind::Balance => balance_mistake(text),
        ValueKind::Name => corrected(kind, text, &name_of(text)),
        ValueKind::Cookie => corrected(kind, text, &format!("cookie:{text}")),
        ValueKind::Address | ValueKind::AddressOrOff => {
            let bare = text.strip_prefix(':').unwrap_or(text);
            corrected(kind, text, &format!("127.0.0.1:{bare}"))
        }
        ValueKind::Switch => match &*text.to_ascii_lowercase() {
            "yes" | "on" => Some(did_you_mean("1")),
            "no" | "off" => Some(did_you_mean("0")),
            _ => None,
        },
        ValueKind::Number {
            unit: Unit::Milliseconds,
            ..
        } => corrected(
            kind,
            text,
            &text.replace(char::is_whitespace, "").to_lowercase(),
        ),
        _ => None,
    }
}

fn did_you_mean(meant: &str) -> String {
    format!("did you mean {meant}?")
}

/// Returns the question whether `meant` is meant, if it is allowed.
fn corrected(kind: ValueKind, text: &str, meant: &str) -> Option<String> {
    (text != meant && kind.parse(meant).is_some()).then(|| did_you_mean(meant))
}

/// Returns what a name is with allowed characters only.
fn name_of(text: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let lower = text.trim().to_ascii_lowercase();
    lower.replace(|c| !is_allowed(c), "-")
}

/// Returns what is wrong with a path that is probably meant as a pattern.
fn pattern_mistake(text: &str) -> Option<String> {
    let path = text.trim_start_matches(['^', '~', '=', ' ']);
    let is_pattern = |segment: &str| {
        segment.contains(PATTERN_CHARACTERS) || segment.starts_with(':') || segment.ends_with('$')
    };
    if path == text && !path.split('/').any(is_pattern) {
        return None;
    }
    let segments = path.split('/').skip(1);
    let plain: Vec<&str> = segments
        .take_while(|segment| !is_pattern(segment))
        .collect();
    let plain = format!("/{}", plain.join("/"));
    Some(format!(
        "a path is no pattern, and serves everything below it, too; write {:?}",
        excerpt(&plain)
    ))
}

fn path_mistake(text: &str) -> Option<String> {
    if let Some(end) = text.find(['?', '#']) {
        return corrected(ValueKind::HttpPath, text, &text[..end]);
    }
    corrected(ValueKind::HttpPath, text, &format!("/{text}"))
}

fn host_mistake(text: &str) -> Option<String> {
    if text.contains('*') {
        let why = "there are no wildcards; give each host a route of its own, or leave host out";
        return Some(why.to_owned());
    }
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    corrected(ValueKind::HostName, text, host)
}

fn balance_mistake(text: &str) -> Option<String> {
    let meant = match &*text.to_ascii_lowercase() {
        "round_robin" | "round-robin" | "roundrobin" | "least_conn" | "leastconn" | "random" => {
            "least_connections"
        }
        "ip_hash" | "source" | "hash" | "hash:ip" | "ip" => "hash:address",
        other => {
            return corrected(ValueKind::Balance, text, &format!("hash:{other}")).or_else(|| {
                suggest_word(other, &["least_connections", "hash:address"]).map(did_you_mean)
            });
        }
    };
    Some(did_you_mean(meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_told(kind: ValueKind, cases: &[(&str, &str)]) {
        for (text, told) in cases {
            assert_eq!(kind.parse(text), None, "{text:?} is allowed");
            let mistake = find_mistake(kind, text).unwrap_or_default();
            let is_told = match told.is_empty() {
                true => mistake.is_empty(),
                false => mistake.contains(told),
            };
            assert!(is_told, "{text:?}: {mistake}");
        }
    }

    #[test]
    fn the_mistake_in_an_upstream_is_told() {
        let cases = [
            ("https://a:8443", "\"https://a:8443\" asks for TLS"),
            ("WSS://a", "asks for TLS"),
            (
                "http://a:3000/chat",
                "has the path \"/chat\", but the path is the client's; write http://a:3000, and",
            ),
            ("http://a?x=1", "has the path \"?x=1\""),
            ("http://ada@a", "has a user name"),
            ("http://a:0", "no port from 1 to 65535"),
            ("http://", "has no valid host"),
            ("tcp://a:1", "has the scheme \"tcp\""),
            (
                "127.0.0.1:3000",
                "has no scheme; write http://127.0.0.1:3000",
            ),
            ("/run/a.sock", "has no scheme; write unix:/run/a.sock"),
            ("unix:a.sock", "has no absolute path"),
            ("a b", ""),
        ];
        assert_told(ValueKind::Upstream, &cases);
        let cases = [
            (
                "http://a,http://a",
                "\"http://a\" is given twice; write it once",
            ),
            (
                "http://a, http://A:80/ weight=2",
                "\"http://A:80/ weight=2\" is the same as \"http://a\"",
            ),
            ("unix:/a,unix:/a", "\"unix:/a\" is given twice"),
            ("http://a weight=0", "weight=N, with N from 1 to 256"),
            ("http://a;http://b", "has no valid host"),
            (
                "http://a 2,https://b",
                "\"http://a 2\": behind the URL stands weight=N",
            ),
            ("http://a 2,https://b", "; \"https://b\" asks for TLS"),
            ("http://a,", "one of them is empty"),
        ];
        assert_told(ValueKind::Upstreams, &cases);
    }

    #[test]
    fn a_pattern_is_no_path() {
        for (path, write) in [
            ("/star/*", "/star"),
            ("/star*", "/"),
            ("/a/**/b", "/a"),
            ("^/e", "/e"),
            ("^/e/.*$", "/e"),
            ("/e$", "/"),
            ("/users/:id/chat", "/users"),
            ("/users/{id}", "/users"),
            ("/(a|b)", "/"),
            ("~ ^/x", "/x"),
        ] {
            assert_told(ValueKind::RoutePath, &[(path, &format!("write {write:?}"))]);
        }
        for path in [
            "/",
            "/a.b/c-d_~",
            "/a(1)",
            "/$batch/x",
            "/a:b",
            "/%2A",
            "/@a+b,c;d=e&f'!",
        ] {
            assert!(ValueKind::RoutePath.parse(path).is_some(), "{path}");
        }
    }

    #[test]
    fn the_value_that_was_probably_meant_is_told() {
        assert_told(
            ValueKind::RoutePath,
            &[("chat", "did you mean /chat?"), ("/a?b", "mean /a?")],
        );
        assert_told(
            ValueKind::Name,
            &[("Chat App", "did you mean chat-app?"), ("", "")],
        );
        let hosts = [
            ("a.example:80", "did you mean a.example?"),
            ("https://a.example/x", "did you mean a.example?"),
            ("*.example", "there are no wildcards"),
        ];
        assert_told(ValueKind::HostName, &hosts);
        let words = [
            ("clos", "did you mean close?"),
            ("reprot", "report"),
            ("kill", ""),
        ];
        assert_told(ValueKind::Word(&["close", "report"]), &words);
        let rules = [
            ("round_robin", "least_connections"),
            ("ip_hash", "hash:address"),
            ("cookie:sid", "did you mean hash:cookie:sid?"),
            ("least_connection", "least_connections"),
            ("x", ""),
        ];
        assert_told(ValueKind::Balance, &rules);
        assert_told(
            ValueKind::Cookie,
            &[("route", "did you mean cookie:route?")],
        );
        assert_told(
            ValueKind::Address,
            &[("8080", "127.0.0.1:8080"), (":80", "127.0.0.1:80")],
        );
        assert_told(
            ValueKind::Switch,
            &[("yes", "mean 1?"), ("Off", "mean 0?"), ("2", "")],
        );
        let (unit, min, max) = (Unit::Milliseconds, 0, 86_400_000);
        let time = ValueKind::Number { unit, min, max };
        assert_told(
            time,
            &[("1 h", "did you mean 1h?"), ("15S", "15s"), ("1.5s", "")],
        );
    }
}
