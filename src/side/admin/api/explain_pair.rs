//! Explains what will become of a pair.

use super::common::{ClockReading, PredictedTime};
use crate::base::cause::Cause;
use crate::gateway::{PairFate, PairForecast, UpstreamCondition};
use serde::Serialize;
use utoipa::ToSchema;

/// What will become of the pair of a connection if nothing more is received from either side.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PairExplanation {
    /// The leg of the client.
    #[schema(example = "17.4242")]
    client: String,
    /// The leg to the upstream.
    #[schema(example = "18.4243")]
    upstream_id: String,
    /// The name of its route.
    route: String,
    /// The address of its upstream.
    #[schema(example = "10.0.0.1:3000")]
    upstream: String,
    /// The state of the upstream, as in `/api/v1/upstreams`.
    #[schema(example = "up")]
    upstream_state: &'static str,
    /// When and how the pair ends. Null if it is ending already, or if silence closes nothing.
    end: Option<PredictedPairEnd>,
}

/// The predicted end of a pair.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PairEnd)]
struct PredictedPairEnd {
    #[serde(flatten)]
    when: PredictedTime,
    /// The leg that ends first: `client` or `upstream`.
    #[schema(example = "client")]
    first: &'static str,
    /// The cause of the end of that leg.
    #[schema(example = "stale")]
    cause: &'static str,
    /// The close code for the client.
    #[schema(example = "3008")]
    code_client: String,
    /// The close code for the service.
    #[schema(example = "1001")]
    code_upstream: String,
    /// The reason in the close frame of the other leg. Null if it is not known before the end.
    #[schema(example = "client lost: nothing heard for 45000 ms")]
    reason: Option<String>,
}

impl PairExplanation {
    /// Explains the pair. Adds the same facts to `text` as sentences.
    pub(super) fn of(pair: &PairForecast, now: &ClockReading, text: &mut Vec<String>) -> Self {
        text.push(format!(
            "it is a leg of a pair of the route {:?}: the client is {}, the connection to the \
             upstream {} is {}",
            pair.target.route, pair.client, pair.target.upstream, pair.upstream
        ));
        text.extend(describe_upstream(pair));
        let end = pair
            .end
            .as_ref()
            .map(|fate| PredictedPairEnd::of(fate, now));
        match &end {
            Some(end) => text.push(end.describe()),
            None if !pair.is_open => text.push("the pair is ending".to_owned()),
            None => {}
        }
        PairExplanation {
            client: pair.client.to_string(),
            upstream_id: pair.upstream.to_string(),
            route: pair.target.route.to_string(),
            upstream: pair.target.upstream.to_string(),
            upstream_state: pair.condition.name(),
            end,
        }
    }
}

/// Returns what the state of the upstream means for the pair, if it means something.
fn describe_upstream(pair: &PairForecast) -> Option<String> {
    match (pair.patience, pair.condition) {
        (_, UpstreamCondition::Drained) => {
            Some("its upstream is drained: the pair is closed".to_owned())
        }
        (_, UpstreamCondition::Removed) => {
            Some("its upstream was removed: the pair is closed".to_owned())
        }
        (Some(patience), _) => Some(format!(
            "its upstream is unresponsive: most connections to it answer no ping, so none is \
             closed before it was silent for {} ms",
            patience.as_millis()
        )),
        (None, UpstreamCondition::Vanished) => Some(
            "its upstream gets no new clients, because its name no longer has the address; the \
             pair stays"
                .to_owned(),
        ),
        _ => None,
    }
}

impl PredictedPairEnd {
    fn of(fate: &PairFate, now: &ClockReading) -> Self {
        PredictedPairEnd {
            when: now.future(fate.at),
            first: match fate.is_client {
                true => "client",
                false => "upstream",
            },
            cause: fate.cause.name(),
            code_client: fate.client_code.to_string(),
            code_upstream: fate.upstream_code.to_string(),
            reason: fate.reason.clone(),
        }
    }

    fn describe(&self) -> String {
        let first = match self.first {
            "client" => "client",
            _ => "service",
        };
        let is = |cause: Cause| self.cause == cause.name();
        let why = match &self.reason {
            _ if is(Cause::UNAUTHORIZED) => "when the token of its client expires".to_owned(),
            Some(reason) if is(Cause::DRAINING) => format!("at the latest ({reason})"),
            _ if is(Cause::STALE) => format!("if nothing is received from the {first} until then"),
            _ if is(Cause::SLOW_CONSUMER) => {
                format!("if the {first} reads no bytes until then")
            }
            _ => format!("{} of the {first}", self.cause),
        };
        let reason = self.reason.as_ref();
        let reason = reason.map_or(String::new(), |reason| format!(" {reason:?}"));
        let (in_ms, client, service) = (self.when.in_ms, &self.code_client, &self.code_upstream);
        let told = match first {
            "client" => format!("the client is told {client}, the service {service}{reason}"),
            _ => format!("the service is told {service}, the client {client}{reason}"),
        };
        format!("the pair ends in {in_ms} ms, {why}: {told}")
    }
}
