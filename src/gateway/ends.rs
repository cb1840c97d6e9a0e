//! How the end of a connection is told: in the log, and in its record.

use super::ended_legs::EndedLeg;
use super::event_log::PeerInfo;
use super::gateway::Gateway;
use super::log_ties::LogTies;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{Ending, Io};
use crate::health::HeartbeatForm;
use crate::host::{Directory, EndVerdict, History, Identity, JudgedEnd, PairTarget};
use std::borrow::Cow;
use std::sync::Arc;

/// The end of a connection as it is told.
#[derive(Debug)]
pub(super) struct ToldEnd {
    end: Ending,
    judged: Option<JudgedEnd>,
    /// Where its pair leads.
    target: Option<PairTarget>,
    /// The other leg.
    partner: Option<ConnId>,
    /// The number of its session on the bridge.
    session: Option<u64>,
}

impl ToldEnd {
    fn verdict(&self) -> Option<EndVerdict> {
        self.judged.map(|judged| judged.verdict)
    }
}

impl Gateway {
    /// Returns the end of a connection with its verdict and what it is tied to.
    pub(super) fn tell_end(&mut self, io: &Io<'_>, id: ConnId, end: &Ending) -> ToldEnd {
        let (target, partner, session) = self.ties_of_ended(id, end);
        let told = self.told_end(id, end).into_owned();
        let awaits_report = self.reports.report_bytes() > 0 && speaks_pulse(io, id);
        self.judge.look(io.now(), io.stats().stalled);
        let classes = &self.classes;
        let judged = (self.judge).judge(io.now(), &told, awaits_report, classes);
        ToldEnd {
            end: told,
            judged,
            target,
            partner,
            session,
        }
    }

    /// Queues the record of a connection that has ended.
    pub(super) fn record_end(
        &mut self,
        id: ConnId,
        (identity, user_agent): (Option<Identity>, Option<Arc<str>>),
        history: Option<Box<History>>,
        told: ToldEnd,
    ) {
        let generated = self.is_generated(identity.as_ref());
        let ties = (told.target, told.partner, told.session);
        let end = (&told.end, told.judged);
        self.closed
            .record(id, (identity, user_agent), generated, history, ties, end);
    }

    /// Returns where the pair of a connection leads that has ended, and the other leg. Of a client
    /// that is no leg: what it has asked for, and the last connection that was made for it. Also
    /// returns the number of its session, if it has one.
    fn ties_of_ended(
        &self,
        id: ConnId,
        end: &Ending,
    ) -> (Option<PairTarget>, Option<ConnId>, Option<u64>) {
        let bridge = self.products.shared_bridge();
        if let Some(asked) = bridge.and_then(|b| b.asked(id)) {
            return (Some(asked.target.clone()), asked.dial, None);
        }
        if let Some(tie) = bridge.and_then(|b| b.session_tie(id)) {
            return (Some(tie.target), Some(tie.partner), Some(tie.session));
        }
        let partner = end.partner.map(|partner| partner.id);
        let target = self.target(id, partner);
        let target = target.or_else(|| self.ended_legs.target(id));
        (target, partner, None)
    }

    /// Returns the end of a connection as the log and its record tell it.
    fn told_end<'a>(&self, id: ConnId, end: &'a Ending) -> Cow<'a, Ending> {
        match self.products.shared_bridge() {
            Some(bridge) => bridge.told_end(id, end),
            None => Cow::Borrowed(end),
        }
    }

    /// Returns whether the end is that of a connection to an upstream that was never one leg of a
    /// pair or a session.
    pub(super) fn is_failed_dial(&self, id: ConnId, end: &Ending) -> bool {
        let is_upstream = |class| self.classes.is_upstream(class);
        let is_leg = self.products.shared_bridge().is_some_and(|b| b.is_leg(id));
        end.partner.is_none() && end.class.is_some_and(is_upstream) && !is_leg
    }

    /// Logs the end of a connection: by a line of its own, or by that of its pair.
    pub(super) fn log_end(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        (identity, user_agent): (Option<&Identity>, Option<&Arc<str>>),
        end: &Ending,
        told: &ToldEnd,
    ) {
        let peer = PeerInfo(identity, user_agent.map(|name| &**name));
        let verdict = told.verdict();
        let ties = LogTies {
            target: told.target.as_ref(),
            connection: end.class.is_none().then_some((self.boot, id)),
            partner: told.partner,
            session: told.session,
        };
        // The service of a session is closed for what its client has done, which has a line.
        let is_follower = told.session.is_some()
            && end.cause == Cause::PARTNER_ENDED
            && end
                .class
                .is_some_and(|class| self.classes.is_upstream(class));
        if is_follower || self.is_failed_dial(id, end) {
            return self.event_log.log_leg(id, peer, (&told.end, verdict), ties);
        }
        let (Some(partner), Some(target)) = (end.partner, &told.target) else {
            let end = (&told.end, verdict);
            return self.event_log.log_close(io, id, peer, end, ties);
        };
        self.event_log.log_leg(id, peer, (end, verdict), ties);
        let bridge = self.products.shared_bridge();
        let leg = EndedLeg {
            id,
            identity: identity.cloned(),
            user_agent: user_agent.cloned(),
            end: end.clone(),
            verdict,
            is_upstream: bridge.is_some_and(|bridge| bridge.target(id).is_some()),
            target: target.clone(),
        };
        if let Some(pair) = self.ended_legs.add(io, leg, partner.id) {
            self.event_log.log_pair(io, &pair, self.boot);
        }
    }
}

/// Returns whether the client of a connection speaks pulse: only then its heartbeats are texts.
fn speaks_pulse(io: &Io<'_>, id: ConnId) -> bool {
    let policy = io.policy_of(id);
    policy.is_some_and(|policy| policy.heartbeat_form == HeartbeatForm::Text)
}
