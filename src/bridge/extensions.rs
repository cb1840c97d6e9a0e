//! The header field Sec-WebSocket-Extensions (RFC 6455 §9.1), and the parameters of
//! permessage-deflate (RFC 7692 §7.1).

use crate::wire::http::{HeaderValue, is_token_byte};
use std::borrow::Cow;

/// The only extension that is negotiated.
const DEFLATE: &[u8] = b"permessage-deflate";

/// A value of Sec-WebSocket-Extensions that does not follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed Sec-WebSocket-Extensions")]
pub(crate) struct MalformedExtensions;

/// An element of Sec-WebSocket-Extensions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    /// The element as it came.
    text: &'a [u8],
    name: &'a [u8],
    parameters: Vec<Parameter<'a>>,
}

/// A parameter of an extension.
#[derive(Debug, PartialEq, Eq)]
struct Parameter<'a> {
    name: &'a [u8],
    /// The value without quotes.
    value: Option<Cow<'a, [u8]>>,
}

/// Parses all lines of a field. Empty elements are skipped (RFC 9110 §5.6.1).
pub(super) fn extensions<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> Result<Vec<Extension<'a>>, MalformedExtensions> {
    let mut found = Vec::new();
    for line in lines {
        let mut cursor = Cursor {
            rest: line.as_bytes(),
        };
        loop {
            cursor.skip_ows();
            if cursor.rest.is_empty() {
                break;
            }
            if !cursor.take(b',') {
                found.push(cursor.extension()?);
                if !cursor.rest.is_empty() && !cursor.take(b',') {
                    return Err(MalformedExtensions);
                }
            }
        }
    }
    Ok(found)
}

/// Returns the valid offers of permessage-deflate, and their texts.
pub(super) fn deflate_offers<'a, 'b>(
    all: &'b [Extension<'a>],
) -> impl Iterator<Item = (DeflateParameters, &'a [u8])> + use<'a, 'b> {
    let offers = all.iter().filter(|extension| extension.name == DEFLATE);
    offers.filter_map(|offer| Some((DeflateParameters::of(offer)?, offer.text)))
}

/// Returns the parameters of an answer that accepts permessage-deflate; `None` if it accepts
/// another extension, or is invalid.
pub(super) fn deflate_answer(answer: &Extension<'_>) -> Option<DeflateParameters> {
    let parameters = DeflateParameters::of(answer).filter(|_| answer.name == DEFLATE);
    // RFC 7692 §7.1.2.2: the value is optional in offers only.
    parameters.filter(|p| p.client_window != Window::Unvalued)
}

/// The parameters of permessage-deflate, in an offer or in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeflateParameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_window: Window,
    client_window: Window,
}

/// The largest window, as a parameter states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    /// The parameter is missing.
    Absent,
    /// The parameter has no value.
    Unvalued,
    /// The base-2 logarithm, from 8 to 15.
    Bits(u8),
}

impl DeflateParameters {
    /// Returns the parameters; `None` if one is unknown, repeated, or has an invalid value. Such an
    /// offer must be declined, and such an answer fails the connection (RFC 7692 §7.1).
    fn of(extension: &Extension<'_>) -> Option<Self> {
        let mut found = DeflateParameters {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_window: Window::Absent,
            client_window: Window::Absent,
        };
        for parameter in &extension.parameters {
            let value = parameter.value.as_deref();
            let is_new = match parameter.name {
                b"server_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut found.server_no_context_takeover, true)
                }
                b"client_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut found.client_no_context_takeover, true)
                }
                b"server_max_window_bits" => found.server_window.set(Window::Bits(bits(value?)?)),
                b"client_max_window_bits" => found.client_window.set(match value {
                    Some(value) => Window::Bits(bits(value)?),
                    None => Window::Unvalued,
                }),
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(found)
    }

    /// Returns whether an answer with these parameters accepts this offer (RFC 7692 §7.1.1 and
    /// §7.1.2).
    pub(super) fn allows(&self, answer: &Self) -> bool {
        // What the client demands of the server must be confirmed.
        let takeover = answer.server_no_context_takeover || !self.server_no_context_takeover;
        let server_window = match (self.server_window, answer.server_window) {
            (Window::Bits(most), Window::Bits(bits)) => bits <= most,
            (Window::Bits(_), _) => false,
            _ => true,
        };
        // What the server demands of the client must have been offered. The server may always
        // demand client_no_context_takeover, and limit itself.
        let client_window = match (self.client_window, answer.client_window) {
            (_, Window::Absent) | (Window::Unvalued, _) => true,
            (Window::Bits(most), Window::Bits(bits)) => bits <= most,
            _ => false,
        };
        takeover && server_window && client_window
    }
}

impl Window {
    /// Sets the parameter; returns whether it was absent.
    fn set(&mut self, value: Window) -> bool {
        std::mem::replace(self, value) == Window::Absent
    }
}

/// Parses a window's size: decimal without leading zeros, from 8 to 15 (RFC 7692 §7.1.2).
fn bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The rest of a line that is being parsed.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn skip_ows(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Takes this byte; returns whether it came next.
    fn take(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn token(&mut self) -> Result<&'a [u8], MalformedExtensions> {
        let end = self.rest.iter().position(|b| !is_token_byte(*b));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!token.is_empty())
            .then_some(token)
            .ok_or(MalformedExtensions)
    }

    /// Takes the rest of a quoted string, whose content must be a token (RFC 6455 §9.1).
    fn quoted_rest(&mut self) -> Result<Vec<u8>, MalformedExtensions> {
        let mut content = Vec::new();
        loop {
            let (byte, rest) = match self.rest {
                [b'\\', byte, rest @ ..] => (*byte, rest),
                [b'"', rest @ ..] if !content.is_empty() => {
                    self.rest = rest;
                    return Ok(content);
                }
                [byte, rest @ ..] => (*byte, rest),
                [] => return Err(MalformedExtensions),
            };
            if !is_token_byte(byte) {
                return Err(MalformedExtensions);
            }
            content.push(byte);
            self.rest = rest;
        }
    }

    /// Takes an extension with its parameters, and white space behind it.
    fn extension(&mut self) -> Result<Extension<'a>, MalformedExtensions> {
        let start = self.rest;
        let name = self.token()?;
        let mut parameters = Vec::new();
        let mut text = name;
        loop {
            self.skip_ows();
            if !self.take(b';') {
                break;
            }
            self.skip_ows();
            let name = self.token()?;
            let end = self.rest;
            self.skip_ows();
            let value = if self.take(b'=') {
                self.skip_ows();
                Some(if self.take(b'"') {
                    Cow::Owned(self.quoted_rest()?)
                } else {
                    Cow::Borrowed(self.token()?)
                })
            } else {
                self.rest = end;
                None
            };
            parameters.push(Parameter { name, value });
            text = &start[..start.len() - self.rest.len()];
        }
        Ok(Extension {
            text,
            name,
            parameters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<HeaderValue> {
        let value = |text: &&str| HeaderValue::from_bytes(text.as_bytes()).expect("a value");
        texts.iter().map(value).collect()
    }

    /// Returns the extensions as `name;parameter=value`, separated by spaces; `-` if malformed.
    fn parsed(texts: &[&str]) -> String {
        let lines = lines(texts);
        let Ok(all) = extensions(&lines) else {
            return "-".to_owned();
        };
        let show = |extension: &Extension<'_>| {
            let mut text = String::from_utf8_lossy(extension.name).into_owned();
            for Parameter { name, value } in &extension.parameters {
                text.push(';');
                text.push_str(&String::from_utf8_lossy(name));
                if let Some(value) = value {
                    text.push('=');
                    text.push_str(&String::from_utf8_lossy(value));
                }
            }
            text
        };
        all.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// Returns the texts of the valid offers of permessage-deflate, separated by bars.
    fn offered(texts: &[&str]) -> String {
        let lines = lines(texts);
        let all = extensions(&lines).expect("well-formed");
        let offers = deflate_offers(&all).map(|(_, text)| String::from_utf8_lossy(text));
        offers.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_grammar_is_that_of_rfc_6455() {
        for (texts, expected) in [
            (&[""][..], ""),
            (&[" , ,"], ""),
            (&["a"], "a"),
            (&["a,b", "c"], "a b c"),
            (&["a", "", ",b ,"], "a b"),
            (&["a;b;c=d;e=\"f\""], "a;b;c=d;e=f"),
            (&["a ; b =\tc ;d= \"e\" , f ;g"], "a;b=c;d=e f;g"),
            (&["a;b=\"\\c\\d\""], "a;b=cd"),
            (&["a;b=\"c\",d"], "a;b=c d"),
            (&["a;b;b;b=1"], "a;b;b;b=1"),
            (&["!#$%&'*+-.^_`|~"], "!#$%&'*+-.^_`|~"),
            (&["a b"], "-"),
            (&["a;"], "-"),
            (&["a;;b"], "-"),
            (&[";a"], "-"),
            (&["a=b"], "-"),
            (&["a;=b"], "-"),
            (&["a;b="], "-"),
            (&["a;b=,c"], "-"),
            (&["a;b=\"\""], "-"),
            (&["a;b=\"c"], "-"),
            (&["a;b=\"c\\"], "-"),
            (&["a;b=\"c d\""], "-"),
            (&["a;b=\"c,d\""], "-"),
            (&["a;b=\"\\\"\""], "-"),
            (&["a;b=\"c\"d"], "-"),
            (&["a;b=c\"d\""], "-"),
            (&["a;b=c d"], "-"),
            (&["\"a\""], "-"),
            (&["a/b"], "-"),
            (&["\u{e9}"], "-"),
            (&["a;b=\"\u{e9}\""], "-"),
            // A line is parsed for itself.
            (&["a;b=\"c", "d\""], "-"),
            (&["a", "b;"], "-"),
        ] {
            assert_eq!(parsed(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn no_mixture_of_marks_confuses_the_parser() {
        let alphabet = ["a", ";", "=", "\"", "\\", ",", " "];
        for first in alphabet {
            for second in alphabet {
                for third in alphabet {
                    let text = [first, second, third].concat();
                    let deep = text.repeat(5_000);
                    assert_eq!(
                        parsed(&[&text]) == "-",
                        parsed(&[&text, &text]) == "-",
                        "{text}"
                    );
                    parsed(&[&deep]);
                }
            }
        }
    }

    #[test]
    fn only_valid_offers_of_permessage_deflate_are_passed_on() {
        const CHROME: &str = "permessage-deflate; client_max_window_bits";
        let all = "permessage-deflate;server_no_context_takeover;client_no_context_takeover; \
                   server_max_window_bits=\"12\";client_max_window_bits = 8";
        for (texts, expected) in [
            (&[CHROME][..], CHROME),
            (&[all], all),
            (
                &["x-webkit-deflate-frame, permessage-deflate ,x"],
                "permessage-deflate",
            ),
            (
                &[
                    "permessage-deflate; server_max_window_bits=10",
                    "x;y=z, permessage-deflate",
                ],
                "permessage-deflate; server_max_window_bits=10|permessage-deflate",
            ),
            (
                &[
                    "permessage-bzip2",
                    "Permessage-Deflate",
                    "permessage-deflate2",
                ],
                "",
            ),
            (
                &["permessage-deflate; x, permessage-deflate"],
                "permessage-deflate",
            ),
            (&["permessage-deflate; server_no_context_takeover=1"], ""),
            (
                &["permessage-deflate; client_no_context_takeover=\"true\""],
                "",
            ),
            (&["permessage-deflate; server_max_window_bits"], ""),
            (&["permessage-deflate; Client_Max_Window_Bits"], ""),
            (
                &["permessage-deflate; client_max_window_bits; client_max_window_bits=9"],
                "",
            ),
            (
                &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
                "",
            ),
        ] {
            assert_eq!(offered(texts), expected, "{texts:?}");
        }
        for wrong in ["7", "16", "0", "08", "+8", "8.0", "115", "a", "-9", "1"] {
            for side in ["server", "client"] {
                let text = format!("permessage-deflate; {side}_max_window_bits={wrong}");
                assert_eq!(offered(&[&text]), "", "{text}");
            }
        }
        for right in ["8", "9", "10", "11", "12", "13", "14", "15"] {
            let text = format!("permessage-deflate; server_max_window_bits={right}");
            assert_eq!(offered(&[&text]), text);
        }
    }

    #[test]
    fn an_answer_must_fit_an_offer() {
        let read = |parameters: &str| {
            let separator = if parameters.is_empty() { "" } else { ";" };
            lines(&[&format!("permessage-deflate{separator}{parameters}")])
        };
        const BOTH: &str = "server_no_context_takeover;client_no_context_takeover";
        for (offer, answer, is_allowed) in [
            ("", "", true),
            // The server may limit itself, and forbid the client to keep its context.
            ("", BOTH, true),
            ("", "server_max_window_bits=8", true),
            ("", "client_max_window_bits=15", false),
            (BOTH, "", false),
            (BOTH, "client_no_context_takeover", false),
            (BOTH, "server_no_context_takeover", true),
            ("server_max_window_bits=10", "", false),
            (
                "server_max_window_bits=10",
                "server_max_window_bits=10",
                true,
            ),
            (
                "server_max_window_bits=10",
                "server_max_window_bits=8",
                true,
            ),
            (
                "server_max_window_bits=10",
                "server_max_window_bits=11",
                false,
            ),
            (
                "server_max_window_bits=10",
                "server_max_window_bits=\"9\"",
                true,
            ),
            ("client_max_window_bits", "", true),
            ("client_max_window_bits", "client_max_window_bits=15", true),
            ("client_max_window_bits", "client_max_window_bits=8", true),
            (
                "client_max_window_bits=10",
                "client_max_window_bits=10",
                true,
            ),
            (
                "client_max_window_bits=10",
                "client_max_window_bits=11",
                false,
            ),
            ("client_max_window_bits=10", "", true),
            // Invalid answers.
            ("client_max_window_bits", "client_max_window_bits", false),
            ("client_max_window_bits", "client_max_window_bits=7", false),
            ("client_max_window_bits", "x", false),
            (
                "",
                "server_no_context_takeover;server_no_context_takeover",
                false,
            ),
            ("", "server_max_window_bits", false),
        ] {
            let (offer_line, answer_line) = (read(offer), read(answer));
            let offers = extensions(&offer_line).expect("well-formed");
            let answers = extensions(&answer_line).expect("well-formed");
            let (offered, _) = deflate_offers(&offers).next().expect("valid");
            let got = deflate_answer(&answers[0]).is_some_and(|a| offered.allows(&a));
            assert_eq!(got, is_allowed, "{offer:?}, {answer:?}");
        }
        let other = lines(&["x-webkit-deflate-frame"]);
        let other = extensions(&other).expect("well-formed");
        assert_eq!(deflate_answer(&other[0]), None);
    }
}
