//! Control frames from the client to the gateway.

use super::condition::ClientCondition;
use super::control_text::control_text;
use super::invalid_control::{InvalidControl, check_control_length, no_rx, only_kind};
use super::limits::REPORT_BYTES_MAX;
use super::number::some_number;
use super::report::Report;
use super::resume_token::{OpaqueToken, ResumeToken};
use crate::base::json_fields::{BoundedStr, Object, present};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The longest token that is read. A token of this gateway is shorter.
const TOKEN_BYTES_MAX: usize = 128;

/// `{"report":` and `}`.
const REPORT_WRAPPING: usize = 12;

/// A control frame from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientFrame {
    /// `{"resume":TOKEN,"rx":N}`: the first frame of a client that wants its session back.
    Resume {
        /// The token; `None` if the text cannot be a token of a gateway.
        token: Option<ResumeToken>,
        /// How many messages the client has received in the session.
        rx: u64,
    },
    /// `{"pong":N,"rx":N}`: the answer to a ping.
    Pong {
        /// The number of the ping.
        number: u64,
        /// How many messages the client has received in the session.
        rx: u64,
    },
    /// `{"probe":N}`: the client asks whether the gateway is there.
    Probe(u64),
    /// `{"rx":N}`: how many messages the client has received in the session.
    Ack(u64),
    /// `{"state":{…}}`: what the client says of its surroundings.
    State(ClientCondition),
    /// `{"report":{…}}`: what the client reports about connections that ended. `None` if it is not
    /// valid: it is ignored, because a report is not worth a connection.
    Report(Option<Box<Report>>),
    /// `{"farewell":true}`: the application closes for good.
    Farewell,
    /// A frame that this version does not know. It is ignored.
    Unknown,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    resume: Option<BoundedStr<'a, TOKEN_BYTES_MAX>>,
    #[serde(default, deserialize_with = "some_number")]
    rx: Option<u64>,
    #[serde(default, deserialize_with = "some_number")]
    pong: Option<u64>,
    #[serde(default, deserialize_with = "some_number")]
    probe: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    state: Option<Object<ClientCondition>>,
    #[serde(default, deserialize_with = "present")]
    report: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    farewell: Option<bool>,
}

impl ClientFrame {
    /// Parses the JSON of a control frame.
    ///
    /// # Errors
    /// The frame is too long, is not valid, or is of two kinds.
    pub fn parse(json: &str) -> Result<Self, InvalidControl> {
        check_control_length(json)?;
        let Object(fields) = serde_json::from_str::<Object<Fields<'_>>>(json)?;
        let kind = only_kind(&[
            ("resume", fields.resume.is_some()),
            ("pong", fields.pong.is_some()),
            ("probe", fields.probe.is_some()),
            ("state", fields.state.is_some()),
            ("report", fields.report.is_some()),
            ("farewell", fields.farewell.is_some()),
        ])?;
        let rx = || fields.rx.ok_or_else(no_rx);
        Ok(match kind {
            Some("resume") => ClientFrame::Resume {
                token: fields.resume.and_then(|token| token.0.parse().ok()),
                rx: rx()?,
            },
            Some("pong") => ClientFrame::Pong {
                number: fields.pong.unwrap_or_default(),
                rx: rx()?,
            },
            Some("probe") => ClientFrame::Probe(fields.probe.unwrap_or_default()),
            Some("state") => {
                ClientFrame::State(fields.state.map(|state| state.0).unwrap_or_default())
            }
            Some("report") => ClientFrame::Report(parse_report(json)),
            Some(_) if fields.farewell == Some(true) => ClientFrame::Farewell,
            None if fields.rx.is_some() => ClientFrame::Ack(rx()?),
            Some(_) | None => ClientFrame::Unknown,
        })
    }
}

fn parse_report(json: &str) -> Option<Box<Report>> {
    #[derive(Deserialize)]
    struct ReportFrame {
        report: Object<Report>,
    }
    if json.len() > REPORT_BYTES_MAX + REPORT_WRAPPING {
        return None;
    }
    let Object(frame) = serde_json::from_str::<Object<ReportFrame>>(json).ok()?;
    Some(Box::new(frame.report.0))
}

/// Returns the first frame of a client that wants its session back.
pub fn resume_frame(token: &OpaqueToken, rx: u64) -> String {
    #[derive(Serialize)]
    struct Resume<'a> {
        resume: &'a str,
        rx: u64,
    }
    let resume = token.as_str();
    control_text(&Resume { resume, rx })
}

/// Returns the frame that says what a client knows of its surroundings.
pub fn state_frame(state: &ClientCondition) -> String {
    #[derive(Serialize)]
    struct State<'a> {
        state: &'a ClientCondition,
    }
    control_text(&State { state })
}

/// Returns the frame with a report.
pub fn report_frame(report: &Report) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        report: &'a Report,
    }
    control_text(&Frame { report })
}

/// The frame before a client closes for good.
pub const FAREWELL_FRAME: &str = "\u{1}{\"farewell\":true}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::limits::{CONTROL_BYTES_MAX, NUMBER_MAX};
    use crate::pulse::{FailureClass, NetworkKind, PageVisibility, PulseText, ReportedEnd};

    /// The report of design §5.
    const REPORT: &str = r#"{"report":{"v":1,"rt":"browser","lib":"0.1.0","start":"same",
        "ended":[{"conn":"1a2b3c4d.3.8","end":"watchdog","code":1006,"opened_ago":812345,
        "heard_ago":61234,"ended_ago":21034,"clock_gap":48000,"pings":{"seen":54,"late":1},
        "rtt":{"p50":63,"max":2100},"net":{"then":"cell","now":"wifi"},
        "page":{"vis":"hidden","frozen":true},"class":"blip",
        "tries":[{"ago":20500,"phase":"tcp","ms":10000,"why":"timeout"}]}]}}"#;

    #[test]
    fn each_kind_of_frame_is_read() {
        let token = ResumeToken::new([7; 16]);
        // Fields of other versions are skipped without recursion.
        let deep = format!("{}1{}", "[".repeat(1_900), "]".repeat(1_900));
        let cases = [
            (format!("{{\"new\":{deep}}}"), ClientFrame::Unknown),
            (
                format!("{{\"resume\":\"{token}\",\"rx\":5}}"),
                ClientFrame::Resume {
                    token: Some(token),
                    rx: 5,
                },
            ),
            (
                r#"{"rx":5,"resume":"of another gateway"}"#.to_owned(),
                ClientFrame::Resume { token: None, rx: 5 },
            ),
            (
                r#"{"pong":42,"rx":63}"#.to_owned(),
                ClientFrame::Pong { number: 42, rx: 63 },
            ),
            (r#"{"probe":7}"#.to_owned(), ClientFrame::Probe(7)),
            (
                format!("{{\"rx\":{NUMBER_MAX}}}"),
                ClientFrame::Ack(NUMBER_MAX),
            ),
            (r#"{"farewell":true}"#.to_owned(), ClientFrame::Farewell),
            // What another version may send is ignored, but what it acknowledges is not.
            (r#"{"farewell":false}"#.to_owned(), ClientFrame::Unknown),
            (r#"{"new":{"x":[1]}}"#.to_owned(), ClientFrame::Unknown),
            ("{}".to_owned(), ClientFrame::Unknown),
            (
                r#"{"new":1,"rx":3,"x":null}"#.to_owned(),
                ClientFrame::Ack(3),
            ),
        ];
        for (json, expected) in cases {
            assert_eq!(ClientFrame::parse(&json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(CONTROL_BYTES_MAX));
        let beyond = format!("{{\"rx\":{}}}", NUMBER_MAX + 1);
        let cases = [
            "",
            "1",
            "[]",
            "null",
            "\"rx\"",
            "{",
            "{\"rx\":1",
            "{\"rx\":1}x",
            "{\"rx\":-1}",
            "{\"rx\":1.0}",
            "{\"rx\":\"1\"}",
            "{\"rx\":null}",
            "{\"rx\":true}",
            "{\"rx\":1e3}",
            "{\"rx\":1,\"rx\":1}",
            "{\"pong\":1}",
            "{\"resume\":\"x\"}",
            "{\"resume\":1,\"rx\":1}",
            "{\"pong\":1,\"probe\":1,\"rx\":1}",
            "{\"farewell\":1}",
            "{\"state\":[]}",
            "{\"state\":{\"saver\":1}}",
            "{\"state\":{\"net\":null}}",
            "{'rx':1}",
            "{\"rx\":01}",
            &long,
            &beyond,
        ];
        for json in cases {
            assert!(ClientFrame::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_error_does_not_quote_the_frame() {
        let json = r#"{"resume":"secret","rx":"secret"}"#;
        let error = ClientFrame::parse(json).expect_err("rx is a text");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_state_has_what_the_client_knows() {
        let json = r#"{"state":{"net":"6g","vis":"hidden","want_ms":9000,"more":1}}"#;
        let Ok(ClientFrame::State(state)) = ClientFrame::parse(json) else {
            panic!("a state");
        };
        assert_eq!(state.net, Some(NetworkKind::Other));
        assert_eq!(state.vis, Some(PageVisibility::Hidden));
        assert_eq!((state.saver, state.want_ms), (None, Some(9_000)));
        let text = state_frame(&state);
        let expected = "\u{1}{\"state\":{\"net\":\"other\",\"vis\":\"hidden\",\"want_ms\":9000}}";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_report_is_read_and_written() {
        let json: String = REPORT.split_whitespace().collect();
        let Ok(ClientFrame::Report(Some(report))) = ClientFrame::parse(&json) else {
            panic!("a report");
        };
        let ended = &report.ended[0];
        assert_eq!(ended.end, ReportedEnd::Watchdog);
        assert_eq!(ended.class, Some(FailureClass::Blip));
        assert_eq!(ended.net.map(|net| net.now), Some(NetworkKind::Wifi));
        let written = report_frame(&report);
        assert_eq!(PulseText::of(&written), PulseText::Control(&json));
    }

    #[test]
    fn an_invalid_report_costs_the_report_only() {
        let json: String = REPORT.split_whitespace().collect();
        let end = json.find("{\"conn\"").expect("an end")..json.len() - 3;
        let four = [&json[end.clone()]; 4].join(",");
        let cases = [
            json.replace("watchdog", "unknown"),
            json.replace("1a2b3c4d.3.8", "\\n x=1"),
            json.replace(
                "\"lib\":\"0.1.0\"",
                &format!("\"lib\":\"{}\"", "1".repeat(41)),
            ),
            json.replace("\"ended_ago\":21034,", ""),
            json.replace(&json[end], &four),
            json.replace(
                "\"v\":1",
                &format!("\"v\":1,\"x\":\"{}\"", "x".repeat(2_048)),
            ),
            r#"{"report":1}"#.to_owned(),
        ];
        for json in cases {
            assert_eq!(
                ClientFrame::parse(&json),
                Ok(ClientFrame::Report(None)),
                "{json}"
            );
        }
    }
}
