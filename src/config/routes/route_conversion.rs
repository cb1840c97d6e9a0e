//! Converts the effective values of a route to the route that the bridge uses.

use super::values::RouteValues;
use crate::base::time::Micros;
use crate::config::setting_value::SettingValue;
use crate::config::table::field;
use crate::config::upstream_policy::upstream_policy;
use crate::gateway::{Route, RouteAuth, RouteHealth, SameSite, SecureCookie, StickyCookie};
use crate::health::{AliveBy, Policy, StaleAction};

/// The fields that make the policy of a leg: timeout, interval, judge, what counts as received,
/// whether late heartbeats are found.
const CLIENT: [usize; 5] = [
    field("connection_timeout_ms"),
    field("heartbeat_interval_ms"),
    field("client_judge"),
    field("alive_by"),
    field("late"),
];
const UPSTREAM: [usize; 5] = [
    field("upstream_connection_timeout_ms"),
    field("upstream_heartbeat_interval_ms"),
    field("upstream_judge"),
    field("upstream_alive_by"),
    field("upstream_late"),
];

impl RouteValues {
    /// Returns the route; `None` only if there was a fault. `general` has what a route cannot set:
    /// the mode of heartbeats and the close timeout.
    pub(in crate::config) fn route(&self, general: &Policy) -> Option<Route> {
        let value = |at: usize| self.fields[at].value.as_ref();
        let (host, path) = self.place()?;
        let SettingValue::Upstreams(upstreams) = value(const { field("upstream") })? else {
            return None;
        };
        let SettingValue::HostHeader(host_header) = value(const { field("host_header") })? else {
            return None;
        };
        let allowed_origins = match value(const { field("allowed_origins") })? {
            SettingValue::Origins(origins) => Some(origins.clone()),
            _ => None,
        };
        let SettingValue::Balance(balance) = value(const { field("balance") })? else {
            return None;
        };
        let most = self.number(const { field("max_message_bytes") })?;
        let max_dialing = self.number(const { field("max_dialing") })?;
        let max_age = self.millis(const { field("max_age_ms") })?;
        Some(Route {
            host: host.map(Box::from),
            path: path.into(),
            strip_prefix: self.switch(const { field("strip_prefix") })?,
            host_header: host_header.clone(),
            allowed_origins,
            client_policy: self.own_policy(CLIENT, general, |policy| policy)?,
            upstream_policy: self.own_policy(UPSTREAM, general, upstream_policy)?,
            connect_timeout: self.millis(const { field("connect_timeout_ms") })?,
            answer_timeout: self.millis(const { field("answer_timeout_ms") })?,
            max_message_bytes: u32::try_from(most).unwrap_or(u32::MAX),
            balance: balance.clone(),
            sticky: self.sticky()?,
            slow_start: self.millis(const { field("slow_start_ms") })?,
            max_dialing: u32::try_from(max_dialing).unwrap_or(u32::MAX),
            health: self.health()?,
            source_addresses: match value(const { field("source_addresses") })? {
                SettingValue::IpAddresses(addresses) => addresses.clone(),
                _ => Vec::new(),
            },
            identity: match value(const { field("identity") })? {
                SettingValue::RouteIdentity(place) => Some(place.clone()),
                _ => None,
            },
            auth: match self.word(const { field("auth") })? {
                "jwt" => RouteAuth::Jwt,
                _ => RouteAuth::None,
            },
            flapping_limit: u32::try_from(self.number(const { field("flapping_limit") })?)
                .unwrap_or(u32::MAX),
            pulse: self.switch(const { field("pulse") })?,
            accept_per_second: u32::try_from(self.number(const { field("accept_per_second") })?)
                .unwrap_or(u32::MAX),
            max_age: Some(max_age).filter(|age| *age > Micros::ZERO),
            ..Route::to(self.name(), upstreams.clone())
        })
    }

    /// Returns the health check; `None` inside if there is none.
    fn health(&self) -> Option<Option<RouteHealth>> {
        let path = match self.fields[const { field("health_path") }].value.as_ref()? {
            SettingValue::HttpPath(path) => path.clone(),
            _ => return Some(None),
        };
        Some(Some(RouteHealth {
            path,
            interval: self.millis(const { field("health_interval_ms") })?,
            timeout: self.millis(const { field("health_timeout_ms") })?,
        }))
    }

    /// Returns the cookie; `None` inside if there is none.
    fn sticky(&self) -> Option<Option<StickyCookie>> {
        let cookie = match self.fields[const { field("sticky") }].value.as_ref()? {
            SettingValue::Cookie(cookie) => cookie.clone(),
            _ => return Some(None),
        };
        Some(Some(StickyCookie {
            same_site: match self.word(const { field("sticky_same_site") })? {
                "strict" => SameSite::Strict,
                "none" => SameSite::None,
                _ => SameSite::Lax,
            },
            secure: match self.word(const { field("sticky_secure") })? {
                "always" => SecureCookie::Always,
                "never" => SecureCookie::Never,
                _ => SecureCookie::Auto,
            },
            ..cookie
        }))
    }

    /// Returns the policy of a leg, if the route gives one of its fields. Otherwise the leg has
    /// the policy of its class, which follows changes.
    fn own_policy(
        &self,
        fields: [usize; 5],
        general: &Policy,
        finish: impl Fn(Policy) -> Policy,
    ) -> Option<Option<Policy>> {
        let [timeout, interval, judge, alive_by, late] = fields;
        let policy = Policy {
            connection_timeout: self.millis(timeout)?,
            heartbeat_interval: self.millis(interval)?,
            when_stale: match self.word(judge)? {
                "report" => StaleAction::Report,
                _ => StaleAction::Close,
            },
            alive_by: AliveBy::parse(self.word(alive_by)?),
            late: self.switch(late)?,
            ..*general
        };
        let is_own = fields.iter().any(|at| self.fields[*at].is_given);
        Some(is_own.then(|| finish(policy)))
    }

    fn millis(&self, at: usize) -> Option<Micros> {
        self.number(at).map(Micros::from_millis)
    }

    fn switch(&self, at: usize) -> Option<bool> {
        match self.fields[at].value.as_ref()? {
            SettingValue::Switch(on) => Some(*on),
            _ => None,
        }
    }

    fn word(&self, at: usize) -> Option<&'static str> {
        match self.fields[at].value.as_ref()? {
            SettingValue::Word(word) => Some(word),
            _ => None,
        }
    }
}
