//! The files of the pulse client for browsers, which the gateway serves itself.

use crate::engine::{Reply, Request};
use crate::wire::Bytes;
use crate::wire::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use crate::wire::http::{HeaderValue, list_elements};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

/// The path below which the files are.
const FOLDER: &str = "/.well-known/pulsegate/";

/// What the fixed name of the client's second file begins with: `pulse-report-0.1.0.js`.
const REPORT_PREFIX: &str = "pulse-report-";

/// The fixed name of the client's second file.
const REPORT_NAME: &str = concat!("pulse-report-", env!("CARGO_PKG_VERSION"), ".js");

/// A second file that makes no report.
const NO_REPORT: &str = "export const report=()=>{};";

/// A file that the gateway serves.
struct ClientFile {
    plain_name: &'static str,
    /// The name that is never used for another content.
    fixed_name: &'static str,
    content: Bytes,
    tag: HeaderValue,
}

impl ClientFile {
    fn new(plain_name: &'static str, fixed_name: &'static str, content: String) -> Self {
        // A changed file has another tag; two builds with equal files may differ in theirs.
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        ClientFile {
            plain_name,
            fixed_name,
            content: content.into(),
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

static FILES: LazyLock<[ClientFile; 2]> = LazyLock::new(|| {
    // Both files call the properties of one object by short names, which another version may give
    // to other properties. So the first one loads the second one of its own version.
    let main = include_str!("../client/js/dist/pulse.js");
    let main = main.replace("./pulse-report.js", &format!("./{REPORT_NAME}"));
    let report = include_str!("../client/js/dist/pulse-report.js").to_owned();
    [
        ClientFile::new(
            "pulse.js",
            concat!("pulse-", env!("CARGO_PKG_VERSION"), ".js"),
            main,
        ),
        ClientFile::new("pulse-report.js", REPORT_NAME, report),
    ]
});

/// The answer for a report file of another version. A page that was loaded before an update of the
/// gateway asks for it, and then reports nothing.
static NO_REPORT_FILE: LazyLock<ClientFile> =
    LazyLock::new(|| ClientFile::new("", "", NO_REPORT.to_owned()));

/// Returns whether this is the path of a file.
pub(super) fn is_client_file(path: &str) -> bool {
    file(path).is_some()
}

/// Returns the file of a path, and whether its name is never used for another content.
fn file(path: &str) -> Option<(&'static ClientFile, bool)> {
    let name = path.strip_prefix(FOLDER)?;
    for file in &*FILES {
        if name == file.plain_name || name == file.fixed_name {
            return Some((file, name == file.fixed_name));
        }
    }
    let version = name.strip_prefix(REPORT_PREFIX)?.strip_suffix(".js")?;
    let is_version = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    version
        .bytes()
        .all(is_version)
        .then_some((&*NO_REPORT_FILE, false))
}

/// Returns the answer to a request for a file; `None` if it is for no file. Pages of every origin
/// may load it.
pub(super) fn client_file(request: &Request) -> Option<Reply> {
    let (file, is_fixed) = file(request.path()).filter(|_| !request.is_upgrade())?;
    let value = HeaderValue::from_static;
    let known = request.headers().get_all(IF_NONE_MATCH);
    let mut known = known.iter().flat_map(list_elements);
    let is_known = known.any(|known| {
        let known = known.strip_prefix(b"W/").unwrap_or(known);
        known == file.tag.as_bytes() || known == b"*"
    });
    let reply = match is_known {
        true => Reply::new(304, ""),
        false => Reply::new(200, file.content.clone()),
    };
    let fresh = match is_fixed {
        true => "public, max-age=31536000, immutable",
        // Browsers ask each time, and mostly hear that it is the same.
        false => "no-cache",
    };
    let reply = reply
        .with_header(CONTENT_TYPE, value("text/javascript; charset=utf-8"))
        .with_header(ACCESS_CONTROL_ALLOW_ORIGIN, value("*"))
        .with_header(X_CONTENT_TYPE_OPTIONS, value("nosniff"))
        .with_header(CACHE_CONTROL, value(fresh))
        .with_header(ETAG, file.tag.clone());
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

    fn path(name: &str) -> String {
        format!("{FOLDER}{name}")
    }

    #[test]
    fn each_file_has_a_name_that_changes_and_one_that_does_not() {
        for file in &*FILES {
            let len = file.content.len();
            assert_eq!(
                answered(&path(file.plain_name), ""),
                Some((200, len, "no-cache".into()))
            );
            let (status, fixed_len, fresh) = answered(&path(file.fixed_name), "").expect("a file");
            assert_eq!((status, fixed_len), (200, len));
            assert!(fresh.contains("immutable"), "{fresh}");
        }
        assert_eq!(answered(&path("other.js"), ""), None);
        assert_eq!(answered(&path("pulse-0.0.0.js"), ""), None);
        assert_eq!(answered("/pulse.js", ""), None);
    }

    #[test]
    fn a_page_loads_the_report_of_its_own_version_or_one_that_says_nothing() {
        let main = std::str::from_utf8(&FILES[0].content).expect("text");
        assert!(main.contains(&format!("import(\"./{REPORT_NAME}\")")));
        assert!(!main.contains("pulse-report.js"));
        let other = path("pulse-report-0.0.0.js");
        let nothing = (200, NO_REPORT.len(), "no-cache".into());
        assert_eq!(answered(&other, ""), Some(nothing));
        assert_eq!(answered(&path("pulse-report-a/b.js"), ""), None);
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
