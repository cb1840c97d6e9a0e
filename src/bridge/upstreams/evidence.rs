//! What requests, health checks and pings tell of one address.

use super::endpoint::{Endpoint, Failure};
use super::request_kind::RequestKind;
use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;
use crate::bridge::frozen::is_service_unresponsive;

/// How long an address is avoided after a failure; doubled by each further failure.
const AVOIDED_FIRST: Micros = Micros::from_secs(1);

/// The longest time for which an address is avoided.
const AVOIDED_MOST: Micros = Micros::from_secs(30);

/// After this many failures an address is avoided for the longest time.
const FAILURES_OF_MOST: u32 = 5;

/// After requests of this many different clients without an answer, one after the other, an address
/// is avoided. One may be a request that is slow by itself.
const SILENT_MOST: usize = 3;

impl Endpoint {
    /// Notes that a request of a kind is sent to the address.
    pub(in crate::bridge) fn chosen(&mut self, kind: RequestKind, now: Micros) {
        self.refusals[kind as usize].chosen(now);
    }

    /// Notes that the service has failed to serve a request of a client, although the request
    /// reached it: its answer says so or is not valid, or there is none. `known` is how many
    /// different clients its route has had.
    pub(in crate::bridge) fn failed(
        &mut self,
        kind: RequestKind,
        client: AddressBlock,
        known: usize,
        now: Micros,
        why: &str,
    ) {
        if self.refusals[kind as usize].failed(client, known, now) {
            self.settle(now, why);
        }
    }

    /// Notes that the service has done what a request has asked for.
    pub(in crate::bridge) fn accepted(&mut self, kind: RequestKind, now: Micros) {
        if self.refusals[kind as usize].accepted(now) {
            self.begin(now);
            self.settle(now, "a request was accepted");
        }
    }

    /// Notes the result of a health check: what was wrong, if something was. One that succeeds ends
    /// the time for which an address that could not be reached is avoided.
    pub(in crate::bridge) fn checked(&mut self, result: Result<(), &str>, now: Micros) {
        let was_unhealthy = self.is_unhealthy();
        self.failed_checks = match result {
            Ok(()) => 0,
            Err(_) => self.failed_checks.saturating_add(1),
        };
        let is_reached = self.failures > 0 && self.failed_as != Failure::Unanswered;
        match result {
            Ok(()) if is_reached => self.reached(now, "the health check succeeded"),
            Ok(()) if was_unhealthy => self.begin(now),
            _ => {}
        }
        self.settle(now, result.err().unwrap_or("the health check succeeded"));
    }

    /// Notes the result of a connect that only finds out whether the address can be reached again.
    pub(in crate::bridge) fn connected(&mut self, result: Result<(), &str>, now: Micros) {
        match result {
            Ok(()) if self.failed_as == Failure::Unreachable => {
                self.reached(now, "it accepts connections again");
            }
            Ok(()) => {}
            Err(why) => self.unreachable(now, why),
        }
    }

    /// Ends the time for which the address is avoided.
    fn reached(&mut self, now: Micros, how: &str) {
        if self.failures > 0 {
            self.begin(now);
        }
        (self.failures, self.avoided_until) = (0, Micros::ZERO);
        self.settle(now, how);
    }

    /// Notes that a request was answered, whatever the answer.
    pub(in crate::bridge) fn answered(&mut self, now: Micros) {
        self.is_unresponsive = false;
        self.failed_as = Failure::Unreachable;
        self.silent_for.clear();
        self.answered_at = now;
        self.reached(now, "a request was answered");
    }

    /// Notes that connecting failed. The address is avoided for a while. Dials that were under way
    /// then fail for the same reason, and count once.
    pub(in crate::bridge) fn unreachable(&mut self, now: Micros, why: &str) {
        self.fail(Failure::Unreachable, now, why);
    }

    fn fail(&mut self, what: Failure, now: Micros, why: &str) {
        if self.avoided_until > now {
            return;
        }
        // A service that has answered no ping, and now no request, is still the same.
        let is_still_silent = self.is_frozen() && what == Failure::Unanswered;
        if !is_still_silent {
            self.failed_as = what;
        }
        let doubled = AVOIDED_FIRST.0 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.avoided_until = now + AVOIDED_MOST.min(Micros(doubled));
        self.settle(now, why);
    }

    /// Notes that a request of this client, sent at `since`, was not answered in time. One client
    /// alone cannot make the upstream look bad, whatever it asks for. An upstream that has answered
    /// others in this time is not silent.
    pub(in crate::bridge) fn unanswered(
        &mut self,
        client: AddressBlock,
        since: Micros,
        now: Micros,
        why: &str,
    ) {
        if self.answered_at > since || self.silent_for.contains(&client) {
            return;
        }
        // Answers to plain HTTP requests are counted off the loop.
        let answers = self.requests.answered();
        if answers != self.answers_then {
            self.answers_then = answers;
            self.silent_for.clear();
        }
        self.silent_for.push(client);
        // One that was frozen a while ago is on trial.
        if self.silent_for.len() >= SILENT_MOST || self.failures > 0 {
            self.silent_for.clear();
            self.fail(Failure::Unanswered, now, why);
        }
    }

    /// Judges the service by its pings, after a connection has become suspect or was heard again.
    pub(super) fn judge_pings(&mut self, is_heard: bool, now: Micros) {
        let (silent, open) = (self.suspects, self.open);
        let is_unresponsive = is_service_unresponsive(open, silent);
        if is_unresponsive && !self.is_unresponsive {
            self.is_unresponsive = true;
            self.settle(now, &format!("{silent} of {open} connections are silent"));
        } else if self.is_unresponsive && !is_unresponsive && is_heard {
            self.is_unresponsive = false;
            self.settle(now, "pings are answered");
        }
    }

    /// Judges the service after a connection has ended. When the last one to a silent service has
    /// ended, no ping will tell that it answers again, so requests are tried now and then.
    pub(super) fn judge_end(&mut self, now: Micros) {
        if self.is_unresponsive && self.open == 0 {
            self.is_unresponsive = false;
            self.failures = self.failures.max(FAILURES_OF_MOST);
            self.failed_as = Failure::Silent;
            self.avoided_until = now + AVOIDED_MOST;
            let why = "its last connection has ended, and it answered no ping";
            self.settle(now, why);
        }
    }
}
