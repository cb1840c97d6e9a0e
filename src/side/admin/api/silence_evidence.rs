//! What was seen of a silent peer when a heartbeat was late, as a document and in words.

use super::common::ClockReading;
use crate::engine::{ConnView, KernelEvidence, SilenceEvidence};
use serde::Serialize;
use utoipa::ToSchema;

/// What was seen of the peer when the latest late heartbeat was found late.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SilenceEvidence)]
pub(super) struct SilenceEvidenceBody {
    /// When the heartbeat was found late.
    at: String,
    /// How long the heartbeat was unanswered then.
    #[schema(example = 2004)]
    waited_ms: u64,
    /// What the kernel knew of the TCP connection then. Null where it knows nothing, as for Unix
    /// sockets.
    kernel: Option<KernelEvidenceBody>,
}

/// What the kernel knew of a TCP connection (`TCP_INFO`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KernelEvidence)]
struct KernelEvidenceBody {
    /// The other end of the TCP connection: `peer`, or `proxy` behind a trusted proxy.
    #[schema(example = "peer")]
    of: &'static str,
    /// Whether it has acknowledged the heartbeat: the network works.
    heartbeat_acked: bool,
    /// Segments that were sent and not acknowledged.
    in_flight: u32,
    /// How often in a row the retransmission timer was doubled.
    backoff: u8,
    /// Retransmissions in a row of the oldest segment.
    retransmits: u8,
    /// Probes of a closed window that were not answered: the peer does not read.
    probes: u8,
}

impl SilenceEvidenceBody {
    pub(super) fn of(evidence: &SilenceEvidence, now: &ClockReading) -> Self {
        SilenceEvidenceBody {
            at: now.past(evidence.at),
            waited_ms: evidence.waited.as_millis(),
            kernel: evidence.kernel.map(|kernel| KernelEvidenceBody {
                of: if kernel.proxy { "proxy" } else { "peer" },
                heartbeat_acked: kernel.heartbeat_acked,
                in_flight: kernel.in_flight,
                backoff: kernel.backoff,
                retransmits: kernel.retransmits,
                probes: kernel.probes,
            }),
        }
    }
}

/// Adds the sentences on late heartbeats of a connection.
pub(super) fn describe_late(view: &ConnView, text: &mut Vec<String>) {
    if let Some(evidence) = &view.silence_evidence {
        let waited = evidence.waited.as_millis();
        let kernel = describe_kernel(evidence.kernel);
        text.push(format!(
            "a heartbeat is late: unanswered for {waited} ms; {kernel}"
        ));
    }
    match view.late_heartbeats {
        0 => {}
        1 => text.push("1 heartbeat was late since the connection opened".to_owned()),
        n => text.push(format!(
            "{n} heartbeats were late since the connection opened"
        )),
    }
}

/// Returns the kernel's data in words.
fn describe_kernel(kernel: Option<KernelEvidence>) -> String {
    let Some(kernel) = kernel else {
        return "the kernel has no data about this connection".to_owned();
    };
    let KernelEvidence {
        heartbeat_acked,
        in_flight,
        backoff,
        probes,
        proxy,
        ..
    } = kernel;
    let (name, end) = match proxy {
        true => ("kernel: proxy", "the proxy"),
        false => ("kernel", "the peer"),
    };
    if heartbeat_acked && proxy {
        return format!("{name}: acknowledged by the proxy, which proves nothing of the client");
    }
    if heartbeat_acked {
        return format!("{name}: acknowledged, so the network works and the program is silent");
    }
    if probes > 0 {
        return format!("{name}: {end} does not read, {probes} probes of its window unanswered");
    }
    let segments = match in_flight {
        1 => "1 segment".to_owned(),
        n => format!("{n} segments"),
    };
    let meaning = match backoff {
        0 | 1 => String::new(),
        _ => format!(", so the path to {end} is probably gone"),
    };
    format!("{name}: {segments} not acknowledged, back-off {backoff}{meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_in_words() {
        let kernel = KernelEvidence {
            in_flight: 3,
            backoff: 2,
            ..KernelEvidence::default()
        };
        let cases = [
            (None, "the kernel has no data about this connection"),
            (
                Some(kernel),
                "kernel: 3 segments not acknowledged, back-off 2, so the path to the peer is \
                 probably gone",
            ),
            (
                Some(KernelEvidence {
                    in_flight: 1,
                    backoff: 1,
                    ..kernel
                }),
                "kernel: 1 segment not acknowledged, back-off 1",
            ),
            (
                Some(KernelEvidence {
                    probes: 4,
                    ..kernel
                }),
                "kernel: the peer does not read, 4 probes of its window unanswered",
            ),
            (
                Some(KernelEvidence {
                    heartbeat_acked: true,
                    ..kernel
                }),
                "kernel: acknowledged, so the network works and the program is silent",
            ),
            (
                Some(KernelEvidence {
                    heartbeat_acked: true,
                    proxy: true,
                    ..kernel
                }),
                "kernel: proxy: acknowledged by the proxy, which proves nothing of the client",
            ),
            (
                Some(KernelEvidence {
                    proxy: true,
                    ..kernel
                }),
                "kernel: proxy: 3 segments not acknowledged, back-off 2, so the path to the proxy \
                 is probably gone",
            ),
        ];
        for (kernel, words) in cases {
            assert_eq!(describe_kernel(kernel), words);
        }
    }
}
