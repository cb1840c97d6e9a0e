//! How connections fail and end, as words for JSON keys.

use std::io;

/// Why a connection ended.
#[derive(Debug)]
pub enum ConnEnd {
    /// The server's close frame, with its code.
    Closed(Option<u16>),
    /// End of stream without a close frame, or after one that was handled.
    Eof,
    /// The server violated the protocol, or it refused the upgrade or answered it with an invalid
    /// response.
    Refused(String),
    /// An error of the socket.
    Socket(io::Error),
    /// The server read nothing for so long that too many bytes were unsent.
    Stuck,
}

impl ConnEnd {
    /// Returns the key: `1000`, `no_code`, `eof`, `http_503`, `ECONNRESET`, …
    pub fn kind(&self) -> String {
        match self {
            ConnEnd::Closed(Some(code)) => code.to_string(),
            ConnEnd::Closed(None) => "no_code".into(),
            ConnEnd::Eof => "eof".into(),
            ConnEnd::Refused(kind) => kind.clone(),
            ConnEnd::Socket(error) => name(error),
            ConnEnd::Stuck => "stuck".into(),
        }
    }
}

impl From<io::Error> for ConnEnd {
    fn from(error: io::Error) -> ConnEnd {
        ConnEnd::Socket(error)
    }
}

/// Returns the error's name as in errno(3), if it is one that load causes.
fn name(error: &io::Error) -> String {
    let known = match error.raw_os_error() {
        Some(11) => "EAGAIN",
        Some(23) => "ENFILE",
        Some(24) => "EMFILE",
        Some(32) => "EPIPE",
        Some(98) => "EADDRINUSE",
        Some(99) => "EADDRNOTAVAIL",
        Some(104) => "ECONNRESET",
        Some(105) => "ENOBUFS",
        Some(110) => "ETIMEDOUT",
        Some(111) => "ECONNREFUSED",
        Some(other) => return format!("errno_{other}"),
        None => return format!("{:?}", error.kind()),
    };
    known.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_short_and_stable() {
        assert_eq!(ConnEnd::Closed(Some(3_008)).kind(), "3008");
        assert_eq!(
            ConnEnd::from(io::Error::from_raw_os_error(111)).kind(),
            "ECONNREFUSED"
        );
        assert_eq!(
            ConnEnd::from(io::Error::from_raw_os_error(9)).kind(),
            "errno_9"
        );
        assert_eq!(
            ConnEnd::from(io::Error::from(io::ErrorKind::TimedOut)).kind(),
            "TimedOut"
        );
    }
}
