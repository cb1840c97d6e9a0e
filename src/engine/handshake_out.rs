//! The handshake of a connection that this side makes.

use crate::base::cause::Cause;
use crate::base::time::Micros;
use crate::wire::http::{BodyReader, Response};

/// A connection that this side makes, until the server has answered.
pub(crate) struct Dialing {
    pub(crate) stage: DialStage,
    /// The request, until it is sent.
    pub(crate) request: Vec<u8>,
    /// The key of the request, which the answer must prove to have read.
    pub(crate) key: String,
    /// The time for the answer, from the end of the connect.
    pub(crate) answer_timeout: Micros,
    /// The deadline of this stage.
    pub(crate) due: Micros,
    /// The received part of the response head.
    pub(crate) bytes: Vec<u8>,
    /// A response that is no upgrade, and what reads its body.
    pub(crate) refusal: Option<(Box<Response>, BodyReader)>,
    /// The bytes of memory held for the connection; the loop's total includes them.
    pub(crate) held: u64,
}

impl Dialing {
    /// Returns the reason of the end if the stage takes too long.
    pub(crate) fn timeout_reason(&self) -> String {
        match self.stage {
            DialStage::Connect => "the server did not accept the connection in time".to_owned(),
            DialStage::Answer => format!("no answer within {}", self.answer_timeout),
        }
    }

    /// Returns the bytes of memory allocated for the handshake.
    pub(crate) fn allocated(&self) -> u64 {
        let refusal = self.refusal.as_ref();
        let body = refusal.map_or(0, |(_, body)| size_of::<Response>() + body.allocated());
        let own = size_of::<Dialing>() + self.request.capacity() + self.bytes.capacity() + body;
        own as u64
    }
}

/// What a dialled connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialStage {
    /// The connect.
    Connect,
    /// The answer to the request.
    Answer,
}

impl DialStage {
    /// Returns the cause of the end if the stage takes too long.
    pub(crate) fn timeout_cause(self) -> Cause {
        match self {
            DialStage::Connect => Cause::CONNECT_TIMEOUT,
            DialStage::Answer => Cause::ANSWER_TIMEOUT,
        }
    }
}
