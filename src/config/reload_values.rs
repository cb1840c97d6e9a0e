//! What a reload changes in the values, and what it must not change.

use super::effective_values::EffectiveValues;
use super::reload_diff::{ReloadDiff, RouteChange, SettingChange};
use super::routes::RouteValues;
use super::setting_faults::{SettingFaults, ValueOrigin};
use super::table::{SETTINGS, field, row};

/// Groups of settings that restrict peers or webhooks. Without any setting of a group there is no
/// such restriction.
const RESTRICTIONS: [&[usize]; 5] = [
    &[row("AUTH_JWT_SECRET"), row("AUTH_JWT_SECRET_FILE")],
    &[row("APPS_FILE")],
    &[row("ALLOWED_ORIGINS")],
    &[row("WEBHOOK_ALLOW")],
    &[row("TRUSTED_PROXIES")],
];

impl EffectiveValues {
    /// Returns the differences of `newer`.
    pub(super) fn diff(&self, newer: &Self) -> ReloadDiff {
        let after = self.merged(newer);
        let mut changes = ReloadDiff::default();
        for (at, setting) in SETTINGS.iter().enumerate() {
            // A default that changed follows from another setting, which is named.
            let is_given = [self, newer].map(|v| v.values[at].origin) != [ValueOrigin::Default; 2];
            if setting.reload && self.values[at] != after.values[at] {
                changes.applied.push(SettingChange {
                    name: setting.name,
                    old: self.describe(at),
                    new: after.describe(at),
                });
            } else if !setting.reload && is_given && self.values[at] != newer.values[at] {
                changes.needs_restart.push(setting.name);
            }
        }
        changes.routes = self.route_changes(&after);
        let is_empty = [self, newer].map(|values| values.given_routes.is_empty());
        if !self.takes_routes_of(newer) && is_empty[0] != is_empty[1] {
            changes.needs_restart.push("route");
        }
        changes
    }

    /// Returns the differences of the routes of `after`.
    fn route_changes(&self, after: &Self) -> Vec<RouteChange> {
        let find = |routes: &[RouteValues], name: &str| {
            let at = routes.iter().position(|route| route.name() == name)?;
            Some(routes[at].clone())
        };
        let name = |route: &RouteValues| Box::from(route.name());
        let removed = self
            .routes
            .iter()
            .filter(|r| find(&after.routes, r.name()).is_none());
        let removed = removed.map(|route| RouteChange::Removed(name(route)));
        let others = after.routes.iter().filter_map(|route| {
            let Some(old) = find(&self.routes, route.name()) else {
                return Some(RouteChange::Added(name(route)));
            };
            let fields: Vec<_> = old.changed_fields(route).collect();
            (!fields.is_empty()).then(|| RouteChange::Changed(name(route), fields))
        });
        removed.chain(others).collect()
    }

    /// Returns the settings after a reload: those of `newer` that a reload applies, and the rest of
    /// `self`.
    pub(super) fn reloaded(&self, newer: &Self, faults: &mut SettingFaults) -> Self {
        let effective = self.merged(newer);
        effective.check_combinations(faults);
        self.check_restrictions_kept(&effective, faults);
        effective
    }

    /// Returns the values of `newer` that a reload applies, and the rest of `self`. A default that
    /// follows from another setting follows from the value in force.
    fn merged(&self, newer: &Self) -> Self {
        let mut merged = EffectiveValues::empty();
        let routes = match self.takes_routes_of(newer) {
            true => newer,
            false => self,
        };
        merged.given_routes.clone_from(&routes.given_routes);
        for (setting, (old, new)) in SETTINGS.iter().zip(self.values.iter().zip(&newer.values)) {
            let mut entry = if setting.reload { new } else { old }.clone();
            if entry.origin == ValueOrigin::Default {
                entry.value = merged.default_value(setting);
            }
            merged.values.push(entry);
        }
        // Faults of single values are those of `newer`, which is refused for them.
        merged.resolve_routes(&mut SettingFaults::default());
        merged
    }

    /// Returns whether a reload takes the routes of `newer`. The bridge exists from the start or
    /// never, and it keeps its last route.
    fn takes_routes_of(&self, newer: &Self) -> bool {
        self.has_routes() && (self.has_upstream() || !newer.given_routes.is_empty())
    }

    /// Checks that restrictions which were given are still given after a reload. A file that is
    /// read while it is half written lacks its last lines. Without this check all apps would then
    /// be stopped, or every client could connect.
    fn check_restrictions_kept(&self, newer: &Self, faults: &mut SettingFaults) {
        for rows in RESTRICTIONS {
            let given = rows.iter().find(|at| self.has_value(**at));
            let is_absent = rows.iter().all(|at| newer.is_absent(*at));
            if let (Some(given), true) = (given, is_absent) {
                let allowed = format!(
                    "set: a reload does not remove {}; only a restart does",
                    self.cite(*given)
                );
                faults.push(newer.fault(*given, allowed));
            }
        }
        for route in &self.routes {
            let same = |other: &&RouteValues| other.name() == route.name();
            let Some(other) = newer.routes.iter().find(same) else {
                continue;
            };
            if route.restricts_origins() && !other.restricts_origins() {
                faults.push(other.restriction_removed(const { field("allowed_origins") }));
            }
            if route.verifies_tokens() && !other.verifies_tokens() {
                faults.push(other.restriction_removed(const { field("auth") }));
            }
        }
    }
}
