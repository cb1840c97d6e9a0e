//! The files of the pulse client for browsers, which the gateway serves itself.

use crate::engine::{Reply, Request};
use crate::wire::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use crate::wire::http::{HeaderValue, list_elements};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The path below which the files are.
const FOLDER: &str = "/.well-known/pulsegate/";

/// A file: its name, the name that is never used for another content, and the content.
const FILES: [(&str, &str, &str); 2] = [
    (
        "pulse.js",
        concat!("pulse-", env!("CARGO_PKG_VERSION"), ".js"),
        include_str!("../client/js/dist/pulse.js"),
    ),
    (
        "pulse-report.js",
        concat!("pulse-report-", env!("CARGO_PKG_VERSION"), ".js"),
        include_str!("../client/js/dist/pulse-report.js"),
    ),
];

/// Returns whether this is the path of a file.
pub(super) fn is_client_file(path: &str) -> bool {
    file(path).is_some()
}

/// Returns the file of a path, and whether its name is never used for another content.
fn file(path: &str) -> Option<(&'static str, bool)> {
    let name = path.strip_prefix(FOLDER)?;
    let mut files = FILES.iter();
    let (plain, _, content) = files.find(|(plain, fixed, _)| name == *plain || name == *fixed)?;
    Some((content, name != *plain))
}

/// Returns the answer to a request for a file; `None` if it is for no file. Pages of every origin
/// may load it.
pub(super) fn client_file(request: &Request) -> Option<Reply> {
    let (content, is_fixed) = file(request.path()).filter(|_| !request.is_upgrade())?;
    let value = HeaderValue::from_static;
    // A changed file has another tag; two builds with equal files may differ in theirs.
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = request.headers().get_all(IF_NONE_MATCH);
    let mut known = known.iter().flat_map(list_elements);
    let is_known = known.any(|known| {
        let known = known.strip_prefix(b"W/").unwrap_or(known);
        known == tag.as_bytes() || known == b"*"
    });
    let reply = match is_known {
        true => Reply::new(304, ""),
        false => Reply::new(200, content),
    };
    let fresh = match is_fixed {
        true => "public, max-age=31536000, immutable",
        // Browsers ask each time, and mostly hear that it is the same.
        false => "no-cache",
    };
    let tag = HeaderValue::from_str(&tag).unwrap_or(value("\"\""));
    let reply = reply
        .with_header(CONTENT_TYPE, value("text/javascript; charset=utf-8"))
        .with_header(ACCESS_CONTROL_ALLOW_ORIGIN, value("*"))
        .with_header(X_CONTENT_TYPE_OPTIONS, value("nosniff"))
        .with_header(CACHE_CONTROL, value(fresh))
        .with_header(ETAG, tag);
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(path: &str, fields: &str) -> Option<(u16, usize, String)> {
        let request = Request::of(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        let reply = client_file(&request)?;
        let field = |name| reply.headers.iter().find(|(n, _)| *n == name);
        let fresh = field(CACHE_CONTROL).map(|(_, v)| v.to_str().expect("text").to_owned());
        assert_eq!(
            field(ACCESS_CONTROL_ALLOW_ORIGIN).map(|(_, v)| v.as_bytes()),
            Some(&b"*"[..])
        );
        Some((reply.status, reply.body.len(), fresh?))
    }

    fn tag(path: &str) -> String {
        let request = Request::of(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let reply = client_file(&request).expect("a file");
        let (_, tag) = reply.headers.last().expect("the tag");
        tag.to_str().expect("text").to_owned()
    }

    #[test]
    fn each_file_has_a_name_that_changes_and_one_that_does_not() {
        for (plain, fixed, content) in FILES {
            let path = |name| format!("{FOLDER}{name}");
            let len = content.len();
            assert_eq!(
                answered(&path(plain), ""),
                Some((200, len, "no-cache".into()))
            );
            let (status, fixed_len, fresh) = answered(&path(fixed), "").expect("a file");
            assert_eq!((status, fixed_len), (200, len));
            assert!(fresh.contains("immutable"), "{fresh}");
        }
        assert_eq!(answered("/.well-known/pulsegate/other.js", ""), None);
        assert_eq!(answered("/pulse.js", ""), None);
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let path = "/.well-known/pulsegate/pulse.js";
        let tag = tag(path);
        for (fields, status) in [
            (format!("If-None-Match: {tag}\r\n"), 304),
            (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304),
            ("If-None-Match: *\r\n".to_owned(), 304),
            ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        ] {
            let (answered, len, _) = answered(path, &fields).expect("a file");
            assert_eq!(answered, status, "{fields}");
            assert_eq!(len == 0, status == 304, "{fields}");
        }
    }
}
