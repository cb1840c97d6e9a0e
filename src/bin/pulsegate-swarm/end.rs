//! How connections fail and end, in words that a JSON key can be.

use std::io;

/// Why a connection is no more.
#[derive(Debug)]
pub enum End {
    /// The server's close frame, with its code.
    Closed(Option<u16>),
    /// End of stream without a close frame, or behind one that was dealt with.
    Eof,
    /// The server broke the protocol, or its answer to the upgrade was a refusal or nonsense.
    Refused(String),
    /// The socket's error.
    Socket(io::Error),
    /// The server took nothing off us for so long that too much was waiting.
    Stuck,
}

impl End {
    /// `1000`, `no_code`, `eof`, `http_503`, `ECONNRESET`, …
    pub fn kind(&self) -> String {
        match self {
            End::Closed(Some(code)) => code.to_string(),
            End::Closed(None) => "no_code".into(),
            End::Eof => "eof".into(),
            End::Refused(kind) => kind.clone(),
            End::Socket(error) => name(error),
            End::Stuck => "stuck".into(),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Socket(error)
    }
}

/// The error's name as in errno(3) where it is one that load brings about.
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
        assert_eq!(End::Closed(Some(3_008)).kind(), "3008");
        assert_eq!(
            End::from(io::Error::from_raw_os_error(111)).kind(),
            "ECONNREFUSED"
        );
        assert_eq!(End::from(io::Error::from_raw_os_error(9)).kind(), "errno_9");
        assert_eq!(
            End::from(io::Error::from(io::ErrorKind::TimedOut)).kind(),
            "TimedOut"
        );
    }
}
