//! Control frames from the gateway to the client.

use super::closing_frames::{Bye, Refused, SessionEnd};
use super::hello::Hello;
use super::invalid_control::{InvalidControl, check_control_length, no_rx, only_kind};
use super::link_risk::LinkRisk;
use super::number::some_number;
use crate::base::json_fields::{Object, present};
use serde::Deserialize;

/// A control frame from the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayFrame {
    /// `{"hello":{…}}`: the first frame of a connection.
    Hello(Box<Hello>),
    /// `{"ping":N,"rx":N}`: asks for a pong.
    Ping {
        /// The number that the pong repeats.
        number: u64,
        /// How many messages the gateway has received in the session.
        rx: u64,
        /// The time over which first tries are spread now, in milliseconds, if it has changed much
        /// since the client was told.
        first_ms: Option<u64>,
        /// How likely a loss of the connection is, if that has changed since the client was told.
        risk: Option<LinkRisk>,
    },
    /// `{"probe":N,"rx":N}`: the answer to a probe.
    Probe {
        /// The number of the probe.
        number: u64,
        /// How many messages the gateway has received in the session.
        rx: u64,
    },
    /// `{"rx":N}`: how many messages the gateway has received in the session.
    Ack(u64),
    /// `{"bye":{…}}`: the gateway is about to close the connection, and says when to come back.
    Bye(Bye),
    /// `{"refused":{…}}`: the gateway does not admit the client.
    Refused(Refused),
    /// `{"big":N}`: a message of this many bytes follows.
    Big(u64),
    /// `{"end":{…}}`: the session has ended. It counts as a message.
    End(SessionEnd),
    /// A frame that this version does not know. It is ignored.
    Unknown,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "present")]
    hello: Option<Object<Hello>>,
    #[serde(default, deserialize_with = "some_number")]
    rx: Option<u64>,
    #[serde(default, deserialize_with = "some_number")]
    ping: Option<u64>,
    #[serde(default, deserialize_with = "some_number")]
    first_ms: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    risk: Option<LinkRisk>,
    #[serde(default, deserialize_with = "some_number")]
    probe: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    bye: Option<Object<Bye>>,
    #[serde(default, deserialize_with = "present")]
    refused: Option<Object<Refused>>,
    #[serde(default, deserialize_with = "some_number")]
    big: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    end: Option<Object<SessionEnd>>,
}

impl GatewayFrame {
    /// Parses the JSON of a control frame.
    ///
    /// # Errors
    /// The frame is too long, is not valid, or is of two kinds.
    pub fn parse(json: &str) -> Result<Self, InvalidControl> {
        check_control_length(json)?;
        let Object(fields) = serde_json::from_str::<Object<Fields>>(json)?;
        only_kind(&[
            ("hello", fields.hello.is_some()),
            ("ping", fields.ping.is_some()),
            ("probe", fields.probe.is_some()),
            ("bye", fields.bye.is_some()),
            ("refused", fields.refused.is_some()),
            ("big", fields.big.is_some()),
            ("end", fields.end.is_some()),
        ])?;
        Ok(match fields {
            Fields {
                hello: Some(Object(hello)),
                ..
            } => GatewayFrame::Hello(Box::new(hello)),
            Fields {
                ping: Some(number),
                rx,
                first_ms,
                risk,
                ..
            } => GatewayFrame::Ping {
                number,
                rx: rx.ok_or_else(no_rx)?,
                first_ms,
                risk,
            },
            Fields {
                probe: Some(number),
                rx,
                ..
            } => GatewayFrame::Probe {
                number,
                rx: rx.ok_or_else(no_rx)?,
            },
            Fields {
                bye: Some(Object(bye)),
                ..
            } => GatewayFrame::Bye(bye),
            Fields {
                refused: Some(Object(refused)),
                ..
            } => GatewayFrame::Refused(refused),
            Fields { big: Some(len), .. } => GatewayFrame::Big(len),
            Fields {
                end: Some(Object(end)),
                ..
            } => GatewayFrame::End(end),
            Fields { rx: Some(rx), .. } => GatewayFrame::Ack(rx),
            Fields { .. } => GatewayFrame::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::{
        NUMBER_MAX, OpaqueToken, PulseText, ShortControl, bye_frame, end_frame, hello_frame,
        refused_frame,
    };

    fn parse(text: &str) -> Result<GatewayFrame, InvalidControl> {
        match PulseText::of(text) {
            PulseText::Control(json) => GatewayFrame::parse(json),
            PulseText::Application(_) => panic!("{text} is no control frame"),
        }
    }

    #[test]
    fn every_frame_is_read_as_it_was_written() {
        let mut hello = Hello::new("1a2b3c4d.3.8", OpaqueToken::new("a token"));
        (hello.resumed, hello.rx, hello.retry.first_ms) = (true, 41, 4_000);
        let bye = Bye {
            why: "restart".into(),
            retry_ms: 1_200,
            spread_ms: 3_000,
        };
        let refused = Refused {
            status: 401,
            retry_ms: 0,
        };
        let end = SessionEnd::new(4_001, &"é".repeat(100));
        assert_eq!(end.reason.len(), 122, "a reason has at most 123 bytes");
        let (number, rx) = (42, 17);
        let cases = [
            (hello_frame(&hello), GatewayFrame::Hello(Box::new(hello))),
            (bye_frame(&bye), GatewayFrame::Bye(bye)),
            (refused_frame(refused), GatewayFrame::Refused(refused)),
            (end_frame(&end), GatewayFrame::End(end)),
            (
                ShortControl::ping(number, rx).as_str().to_owned(),
                GatewayFrame::Ping {
                    number,
                    rx,
                    first_ms: None,
                    risk: None,
                },
            ),
            (
                ShortControl::ping_with_risk(u64::from(u32::MAX), NUMBER_MAX, LinkRisk::High)
                    .as_str()
                    .to_owned(),
                GatewayFrame::Ping {
                    number: u64::from(u32::MAX),
                    rx: NUMBER_MAX,
                    first_ms: None,
                    risk: Some(LinkRisk::High),
                },
            ),
            (
                "\u{1}{\"ping\":1,\"rx\":1,\"risk\":\"a later word\"}".to_owned(),
                GatewayFrame::Ping {
                    number: 1,
                    rx: 1,
                    first_ms: None,
                    risk: Some(LinkRisk::Other),
                },
            ),
            (
                ShortControl::ping_with_hint(u64::from(u32::MAX), NUMBER_MAX, 3_600_000)
                    .as_str()
                    .to_owned(),
                GatewayFrame::Ping {
                    number: u64::from(u32::MAX),
                    rx: NUMBER_MAX,
                    first_ms: Some(3_600_000),
                    risk: None,
                },
            ),
            (
                ShortControl::probe_answer(number, rx).as_str().to_owned(),
                GatewayFrame::Probe { number, rx },
            ),
            (
                ShortControl::ack(u64::MAX >> 11).as_str().to_owned(),
                GatewayFrame::Ack(u64::MAX >> 11),
            ),
            (
                ShortControl::big(400_000).as_str().to_owned(),
                GatewayFrame::Big(400_000),
            ),
            ("\u{1}{\"new\":1}".to_owned(), GatewayFrame::Unknown),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        let cases = [
            "",
            "[]",
            "{\"ping\":1}",
            "{\"probe\":1}",
            "{\"ping\":1,\"rx\":1,\"big\":1}",
            "{\"hello\":{}}",
            "{\"hello\":1}",
            "{\"bye\":{\"retry_ms\":1}}",
            "{\"refused\":{}}",
            "{\"refused\":{\"status\":65536}}",
            "{\"end\":{\"reason\":\"x\"}}",
            "{\"rx\":-1}",
        ];
        for json in cases {
            assert!(GatewayFrame::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_hello_of_a_later_version_is_read() {
        let hello = Hello::new("b.1.2", OpaqueToken::new(&"t".repeat(128)));
        let text = hello_frame(&hello).replace("{\"v\":1", "{\"later\":[{}],\"v\":2");
        let Ok(GatewayFrame::Hello(read)) = parse(&text) else {
            panic!("{text}");
        };
        assert_eq!((read.v, &read.resume), (2, &hello.resume));
        assert!(
            !format!("{read:?}").contains("tttt"),
            "a token is not printed"
        );
    }

    #[test]
    fn the_largest_numbers_fit_in_a_short_frame() {
        let ping = ShortControl::ping(u64::MAX, u64::MAX);
        assert!(ping.as_str().ends_with("}"), "{ping:?}");
    }
}
