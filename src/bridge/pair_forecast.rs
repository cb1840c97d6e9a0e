//! What will become of a pair if nothing more is received from either side.

use super::age_limits::PlannedEnd;
use super::bridge::Bridge;
use super::leaving_walk::NEW;
use super::pair_ends::{Leg, partner_close};
use super::planned_ends::{EXPIRED, LAST_SPREAD, OLD, POLICY};
use super::upstream_row::UpstreamCondition;
use super::upstreams::Endpoint;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Class, ConnView, Outlook, PairEnd, PhaseView};
use crate::health::StaleAction;
use crate::host::PairTarget;

/// The reason in the close frames of a drain.
const RESTART: &str = "service restart";

/// What will become of a pair if nothing more is received from either side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairForecast {
    /// The leg of the client.
    pub client: ConnId,
    /// The leg to the upstream.
    pub upstream: ConnId,
    /// Where the pair leads.
    pub target: PairTarget,
    /// The state of the upstream.
    pub condition: UpstreamCondition,
    /// While the upstream does not answer: the silence after which its legs may be closed.
    pub patience: Option<Micros>,
    /// Whether both legs are open; otherwise the pair is ending.
    pub is_open: bool,
    /// When and how the pair ends; `None` if it is ending, or nothing will end it.
    pub end: Option<PairFate>,
}

/// When and how a pair will end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairFate {
    /// When the first leg begins to end: engine time. For [`Cause::DRAINING`] by a drain, or
    /// because the upstream was drained or removed, this is the latest time.
    pub at: Micros,
    /// Whether the client's leg ends first.
    pub is_client: bool,
    /// The cause of the leg that ends first.
    pub cause: Cause,
    /// The close code for the client.
    pub client_code: u16,
    /// The close code for the service.
    pub upstream_code: u16,
    /// The reason in the close frame of the other leg, if it is known already.
    pub reason: Option<String>,
}

/// One leg as it is now, and what will become of it.
pub(crate) type LegOutlook = (ConnView, Outlook);

impl Bridge {
    /// Returns what will become of the pair of these two connections, of which either may be the
    /// client; `None` if they are no pair.
    pub(crate) fn forecast(
        &self,
        (a, of_a): (ConnId, LegOutlook),
        (b, of_b): (ConnId, LegOutlook),
        now: Micros,
    ) -> Option<PairForecast> {
        let (client, of_client, upstream, of_upstream) = match self.target(b) {
            Some(_) => (a, of_a, b, of_b),
            None => (b, of_b, a, of_a),
        };
        let endpoint = self.endpoints.get(self.endpoints.of_leg(upstream)?)?;
        let is_open = [&of_client, &of_upstream]
            .iter()
            .all(|(view, _)| view.phase == PhaseView::Open);
        let ends = [
            leg_end(Leg::Client, &of_client.1),
            leg_end(Leg::Upstream, &of_upstream.1),
            self.ages.of(upstream).map(planned_end),
            self.leaving_end(endpoint, upstream, of_upstream.0.since, now),
        ];
        let first = ends.into_iter().flatten().min_by_key(|fate| fate.at);
        Some(PairForecast {
            client,
            upstream,
            target: endpoint.target(),
            condition: endpoint.condition(),
            patience: self.patience(upstream, &of_upstream.1),
            is_open,
            end: first.filter(|_| is_open),
        })
    }

    /// Corrects the outlook of a leg to an upstream that does not answer: it is not closed as early
    /// as others are.
    pub(crate) fn correct_outlook(&self, id: ConnId, view: &ConnView, outlook: &mut Outlook) {
        if let Some(until) = self.hold_end_of(id) {
            outlook.ended(until, Cause::PARTNER_ENDED);
        }
        let is_judged = [Cause::STALE, Cause::SLOW_CONSUMER].contains(&outlook.ends_for);
        let patience = self.patience(id, outlook).filter(|_| is_judged);
        let Some(patience) = patience.filter(|_| view.phase == PhaseView::Open) else {
            return;
        };
        let endpoint = self.endpoints.of_leg(id);
        let endpoint = endpoint.and_then(|at| self.endpoints.get(at));
        let turn = endpoint.and_then(|endpoint| endpoint.frozen.turn(id));
        let at = turn.unwrap_or(view.heard + patience);
        outlook.ends_at = outlook.ends_at.max(at);
        if let Some(by) = outlook.drained_by {
            outlook.drained(by);
        }
    }

    /// Returns how the pair of a leg that is open since `since` leaves an upstream that was drained
    /// or removed; `None` if it stays. The time is the latest one.
    fn leaving_end(
        &self,
        endpoint: &Endpoint,
        leg: ConnId,
        since: Micros,
        now: Micros,
    ) -> Option<PairFate> {
        if !endpoint.is_left() {
            return None;
        }
        let number = endpoint.leaving;
        let walk = self.leaving.iter().find(|w| Some(w.number) == number);
        let due = walk.and_then(|leaving| leaving.walk.deadline(leg, now));
        // The first walk passes a new pair over, and comes to no slot twice.
        let last = endpoint.own_until(now).map(|until| until + LAST_SPREAD);
        let at = match due {
            Some(due) if now - since >= NEW => due,
            _ => due.max(last)?,
        };
        let cause = Cause::DRAINING;
        let reason = Some(endpoint.why_left());
        Some(fate(Leg::Client, at, cause, cause.close_code(), reason))
    }

    /// Returns the silence after which a leg to an upstream that does not answer may be closed.
    /// `None` for any other leg.
    fn patience(&self, id: ConnId, outlook: &Outlook) -> Option<Micros> {
        let endpoint = self.endpoints.get(self.endpoints.of_leg(id)?)?;
        endpoint.state().patience(outlook.policy.connection_timeout)
    }
}

/// Returns how a pair ends by the end of one leg; `None` if that leg stays open.
fn leg_end(leg: Leg, outlook: &Outlook) -> Option<PairFate> {
    let (policy, cause) = (&outlook.policy, outlook.ends_for);
    if cause == Cause::STALE && policy.when_stale == StaleAction::Report {
        return None;
    }
    let reason = match cause {
        cause if cause == Cause::STALE => {
            let timeout = policy.connection_timeout.as_millis();
            Some(format!(
                "{} heard for {timeout} ms",
                policy.alive_by.missing()
            ))
        }
        cause if cause == Cause::DRAINING => Some(RESTART.to_owned()),
        _ => None,
    };
    let (at, code) = (outlook.ends_at, cause.close_code());
    Some(fate(leg, at, cause, code, reason.as_deref()))
}

/// Returns how a pair ends at its planned time.
fn planned_end((at, why): (Micros, PlannedEnd)) -> PairFate {
    let drained = Cause::DRAINING;
    match why {
        PlannedEnd::Age => fate(Leg::Client, at, drained, drained.close_code(), Some(OLD)),
        PlannedEnd::Expiry => fate(Leg::Client, at, Cause::UNAUTHORIZED, POLICY, Some(EXPIRED)),
    }
}

fn fate(first: Leg, at: Micros, cause: Cause, code: u16, reason: Option<&str>) -> PairFate {
    let end = PairEnd {
        cause,
        class: Class(0),
        reason: reason.unwrap_or_default().into(),
    };
    let (other, told) = partner_close(first, &end);
    let (client_code, upstream_code) = match first {
        Leg::Client => (code, other),
        Leg::Upstream => (other, code),
    };
    PairFate {
        at,
        is_client: first == Leg::Client,
        cause,
        client_code,
        upstream_code,
        reason: reason.map(|_| told),
    }
}
