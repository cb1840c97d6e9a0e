//! The answer to a request that nothing here serves.

use crate::engine::Request;
use crate::host::LogValue;

/// Returns why a request is answered 404: its path and its host, and nothing of what is served.
pub(super) fn no_such_path(request: &Request) -> String {
    let host = request.host();
    let host = host.as_ref().and_then(|host| host.to_str().ok());
    let path = LogValue(request.path());
    match host.filter(|host| !host.is_empty()) {
        Some(host) => format!("no such path: {path} on the host {}", LogValue(host)),
        None => format!("no such path: {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_and_the_host_are_named() {
        let long = format!("/{}", "x".repeat(1_000));
        for (path, fields, told) in [
            (
                "/x?token=s",
                "Host: h.example:80\r\n",
                "/x on the host h.example:80",
            ),
            ("/x", "Host:\r\n", "/x"),
            ("/%22", "Host: h\r\n", "\"/%22\" on the host h"),
            (
                &long,
                "Host: h\r\n",
                &format!("\"/{}…\" on the host h", "x".repeat(63)),
            ),
        ] {
            let request = Request::of(&format!("GET {path} HTTP/1.1\r\n{fields}\r\n"));
            assert_eq!(no_such_path(&request), format!("no such path: {told}"));
        }
    }
}
