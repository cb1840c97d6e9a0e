//! The rules that involve several settings.

use super::conversion::{CLASSES, SUBPROTOCOLS};
use super::effective_values::{CREDENTIALS, EffectiveValues, SECRETS};
use super::routes::{RouteValues, check_routes};
use super::setting_faults::SettingFaults;
use super::setting_value::SettingValue;
use super::table::{SETTINGS, row};
use crate::gateway::AcceptedSubprotocols;
use crate::health::Policy;
use crate::wire::frame::Role;
use std::net::SocketAddr;

/// The rows of the timeout and of the interval of connections to the upstream.
const UPSTREAM_POLICY: [usize; 2] = [
    row("UPSTREAM_CONNECTION_TIMEOUT_MS"),
    row("UPSTREAM_HEARTBEAT_INTERVAL_MS"),
];

/// The longest header of a frame that we write (RFC 6455 §5.2).
const FRAME_HEADER: u64 = Role::Server.header_max() as u64;

impl EffectiveValues {
    /// Returns warnings about settings that are allowed but close live peers: a timeout that ends
    /// before a second ping can be answered, or before a frozen service is known as such.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (timeout, interval) in self.policies() {
            if let (Some(t), Some(i)) = (self.number(timeout), self.number(interval))
                && t < Policy::SAFE_INTERVALS * i
            {
                let warning = format!(
                    "{}, is less than twice {}: one lost ping would close a live peer; set it to \
                     at least {}",
                    self.cite(timeout),
                    self.cite(interval),
                    Policy::SAFE_INTERVALS * i
                );
                // Two classes that both inherit the general pair have one warning, not two.
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        warnings.extend(self.frozen_warning());
        warnings.extend(self.unused_warning());
        warnings.extend(self.unsigned_warning());
        warnings.extend(self.cadence_warning());
        warnings
    }

    /// Returns a warning if events are posted without a signature, or a key signs nothing.
    fn unsigned_warning(&self) -> Option<String> {
        let [url, secret, file] = const {
            [
                row("EVENTS_URL"),
                row("EVENTS_SECRET"),
                row("EVENTS_SECRET_FILE"),
            ]
        };
        let has_secret = !self.is_absent(secret) || !self.is_absent(file);
        let warning = match (!self.is_absent(url), has_secret) {
            (true, false) => {
                "EVENTS_URL: set EVENTS_SECRET or EVENTS_SECRET_FILE, too: without a signature the \
                 receiver cannot know that a post is from this gateway"
            }
            (false, true) => "EVENTS_SECRET: no effect, because EVENTS_URL is not set",
            _ => return None,
        };
        Some(warning.to_owned())
    }

    /// Returns a warning if clients are to be restricted, and a service behind the gateway decides
    /// about them alone.
    fn unused_warning(&self) -> Option<String> {
        let restrictions = CREDENTIALS.into_iter().chain([row("ALLOWED_ORIGINS")]);
        let is_used = |at: &usize| {
            let of_tokens = const { [row("AUTH_JWT_SECRET"), row("AUTH_JWT_SECRET_FILE")] };
            of_tokens.contains(at) && self.routes.iter().any(RouteValues::verifies_tokens)
        };
        let given: Vec<&str> = restrictions
            .filter(|at| !self.is_absent(*at) && !is_used(at))
            .map(|at| SETTINGS[at].name)
            .collect();
        (!self.serves_relay() && !given.is_empty()).then(|| {
            format!(
                "{}: no effect if a route serves all paths, because the service decides which \
                 clients may connect",
                given.join(", ")
            )
        })
    }

    /// Returns a warning if a service that stands still loses connections before more than half of
    /// them are suspect: an idle one is suspect up to two intervals after its last answer.
    fn frozen_warning(&self) -> Option<String> {
        let [timeout, interval] = UPSTREAM_POLICY.map(|at| self.source_row(at));
        let (t, i) = (self.number(timeout)?, self.number(interval)?);
        let is_late = t >= Policy::SAFE_INTERVALS * i && 2 * t < 5 * i;
        (self.has_routes() && is_late).then(|| {
            format!(
                "{}, is less than two and a half times {}: a service that stands still would lose \
                 connections before it counts as unresponsive; set it to at least {}",
                self.cite(timeout),
                self.cite(interval),
                (5 * i).div_ceil(2)
            )
        })
    }

    /// Returns a warning if adaptive cadence can lengthen nothing.
    fn cadence_warning(&self) -> Option<String> {
        let [detect, interval] = const { [row("DETECT_WITHIN_MS"), row("HEARTBEAT_INTERVAL_MS")] };
        let is_on = self.switch(const { row("ADAPTIVE_CADENCE") })?;
        let timeout = const { row("CONNECTION_TIMEOUT_MS") };
        let (d, i) = (
            self.number(detect).or_else(|| self.number(timeout))?,
            self.number(interval)?,
        );
        if !is_on && !self.is_absent(const { row("CADENCE_FILE") }) {
            return Some("CADENCE_FILE: no effect, because ADAPTIVE_CADENCE is 0".to_owned());
        }
        if is_on && self.switch(const { row("LATE") }) == Some(false) {
            let warning = "ADAPTIVE_CADENCE: no effect on connections without LATE, because their \
                           loss after an idle gap would not be found";
            return Some(warning.to_owned());
        }
        (is_on && d <= 3 * i).then(|| {
            format!(
                "ADAPTIVE_CADENCE: no interval grows, because DETECT_WITHIN_MS, {d}, is at most \
                 three times {}; set DETECT_WITHIN_MS to three times the longest interval that \
                 you want",
                self.cite(interval)
            )
        })
    }

    /// Checks the settings of adaptive cadence.
    fn check_cadence(&self, faults: &mut SettingFaults) {
        let adaptive = const { row("ADAPTIVE_CADENCE") };
        let [detect, timeout] = const { [row("DETECT_WITHIN_MS"), row("CONNECTION_TIMEOUT_MS")] };
        if let (Some(d), Some(t)) = (self.number(detect), self.number(timeout))
            && d < t
        {
            faults.push(self.fault(detect, format!("at least {}", self.cite(timeout))));
        }
        let [learned, state] = const { [row("CADENCE_FILE"), row("STATE_FILE")] };
        if let (Some(l), Some(s)) = (self.path(learned), self.path(state))
            && l == s
        {
            faults.push(self.fault(learned, format!("another file than {}", self.cite(state))));
        }
        if self.switch(adaptive) != Some(true) {
            return;
        }
        let [most, interval] = const { [row("HEARTBEAT_MAX_MS"), row("HEARTBEAT_INTERVAL_MS")] };
        if let (Some(m), Some(i)) = (self.number(most), self.number(interval))
            && m < i
        {
            faults.push(self.fault(most, format!("at least {}", self.cite(interval))));
        }
    }

    /// Returns the rows of the timeout and of the interval of each class, as they were given.
    fn policies(&self) -> impl Iterator<Item = (usize, usize)> {
        // The general pair holds for clients of a service, whatever glasses and apps have.
        let clients = const { (row("CONNECTION_TIMEOUT_MS"), row("HEARTBEAT_INTERVAL_MS")) };
        let general = self.has_routes().then_some(clients);
        let of_class = CLASSES.map(|(t, i)| (self.source_row(t), self.source_row(i)));
        of_class.into_iter().chain(general)
    }

    /// Checks the rules that involve more than one setting. A setting whose value is invalid by
    /// itself is left out.
    pub(super) fn check_combinations(&self, faults: &mut SettingFaults) {
        let address = const { row("LISTEN_ADDR") };
        if let Some(listen) = self.address(address)
            && let Some(false) = self.switch(const { row("ALLOW_UNAUTHENTICATED") })
            // Of a route, the service decides which clients may connect.
            && self.serves_relay()
            && !listen.ip().to_canonical().is_loopback()
            && CREDENTIALS.iter().all(|at| self.is_absent(*at))
        {
            let allowed = "a loopback address, unless AUTH_JWT_SECRET, AUTH_JWT_SECRET_FILE or \
                           APPS_FILE is set, UPSTREAM or a route serves all paths, or \
                           ALLOW_UNAUTHENTICATED is 1: otherwise every client that reaches this \
                           address could connect as any user";
            faults.push(self.fault(address, allowed.to_owned()));
        }

        for (secret, file) in SECRETS {
            if self.has_value(secret) && self.has_value(file) {
                let (name, origin) = (SETTINGS[secret].name, self.values[secret].origin);
                faults.push(self.fault(
                    file,
                    format!("left out, because {name} is set as well ({origin})"),
                ));
            }
        }
        let admin = const { row("ADMIN_ADDR") };
        if let Some(SettingValue::Address(address)) = &self.values[admin].value
            && !address.ip().to_canonical().is_loopback()
            && self.is_absent(const { row("ADMIN_TOKEN") })
            && self.is_absent(const { row("ADMIN_TOKEN_FILE") })
        {
            let allowed = "off or a loopback address, unless ADMIN_TOKEN or ADMIN_TOKEN_FILE is \
                           set: otherwise every client that reaches this address could close all \
                           connections";
            faults.push(self.fault(admin, allowed.to_owned()));
        }
        if let (Some(admin_addr), Some(listen)) = (self.address(admin), self.address(address))
            && overlap(admin_addr, listen)
        {
            let allowed = format!(
                "another address or port than {}: two listeners cannot share one",
                self.cite(address)
            );
            faults.push(self.fault(admin, allowed));
        }

        self.check_own_addresses(faults);
        let [secret, file] = const { [row("AUTH_JWT_SECRET"), row("AUTH_JWT_SECRET_FILE")] };
        let has_secret = !self.is_absent(secret) || !self.is_absent(file);
        check_routes(&self.routes, self.has_upstream(), has_secret, faults);

        // Two classes that both inherit the general pair have one fault, not two.
        let mut told = Vec::new();
        for (timeout, interval) in self.policies() {
            if let (Some(t), Some(i)) = (self.number(timeout), self.number(interval))
                && t <= i
                && !told.contains(&(timeout, interval))
            {
                faults.push(self.fault(timeout, format!("more than {}", self.cite(interval))));
                told.push((timeout, interval));
            }
        }

        for (accepted, required) in SUBPROTOCOLS {
            if self.switch(required) == Some(true)
                && let Some(AcceptedSubprotocols::Only(names)) = self.subprotocols(accepted)
                && names.is_empty()
            {
                let name = SETTINGS[accepted].name;
                let allowed = format!(
                    "0, unless {name} names at least one subprotocol: otherwise no client could \
                     connect"
                );
                faults.push(self.fault(required, allowed));
            }
        }

        let pending = const { row("MAX_PENDING_BYTES") };
        let message = const { row("MAX_MESSAGE_BYTES") };
        if let (Some(p), Some(m)) = (self.number(pending), self.number(message))
            && p < m + FRAME_HEADER
        {
            let allowed = format!(
                "at least {FRAME_HEADER} bytes more than {}",
                self.cite(message)
            );
            faults.push(self.fault(pending, allowed));
        }

        // A peer that resumes gets the whole replay at once, and must not become a slow consumer by
        // it.
        let replay = const { row("REPLAY_MAX_BYTES") };
        if let (Some(r), Some(p)) = (self.number(replay), self.number(pending))
            && r > p / 2
        {
            let allowed = format!("at most half of {}", self.cite(pending));
            faults.push(self.fault(replay, allowed));
        }

        let buffered = const { row("MAX_BUFFERED_BYTES") };
        if let (Some(b), Some(p)) = (self.number(buffered), self.number(pending))
            && b < p
        {
            faults.push(self.fault(buffered, format!("at least {}", self.cite(pending))));
        }

        self.check_cadence(faults);

        let protocol = const { row("PROXY_PROTOCOL") };
        if let Some(word) = self.word(protocol)
            && let Some(networks) = self.networks(const { row("TRUSTED_PROXIES") })
            && word != "off"
            && networks.is_empty()
        {
            let allowed = "off, unless TRUSTED_PROXIES names at least one address: otherwise no \
                           proxy is trusted and no header is read";
            faults.push(self.fault(protocol, allowed.to_owned()));
        }
    }
}

/// Returns whether only one of two addresses can be opened: they have the same port, and an address
/// in common. Port 0 is a different port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let [x, y] = [a, b].map(|addr| addr.ip().to_canonical());
    // [::] includes 0.0.0.0, but 0.0.0.0 includes no IPv6 address.
    let takes = |all: std::net::IpAddr, other: std::net::IpAddr| {
        all.is_unspecified() && (all.is_ipv6() || other.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (x == y || takes(x, y) || takes(y, x))
}
