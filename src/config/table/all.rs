//! The one table of settings. Parsing, checks, output and documentation all use it.

use super::definition::Setting;
use super::{access, admin, alerts, bridge, events, http, limits, liveness, process, pulse, relay};

/// The groups of settings, the basic ones first, in the order of help and documentation.
const GROUPS: &[&[Setting]] = &[
    access::BASIC,
    bridge::BASIC,
    admin::BASIC,
    liveness::BASIC,
    process::STATISTICS,
    limits::BASIC,
    process::BASIC,
    relay::BASIC,
    pulse::BASIC,
    alerts::BASIC,
    events::BASIC,
    bridge::ADVANCED,
    pulse::ADVANCED,
    http::ADVANCED,
    process::ADVANCED,
    liveness::ADVANCED,
    access::SUBPROTOCOLS,
    limits::ADVANCED,
    relay::ADVANCED,
    access::ADVANCED,
    admin::ADVANCED,
    alerts::ADVANCED,
    events::ADVANCED,
];

/// Every setting, the basic ones first, in the order of help and documentation.
pub const SETTINGS: &[Setting] = &joined::<{ count(GROUPS) }>(GROUPS);

/// Returns the number of settings in all groups.
const fn count(groups: &[&[Setting]]) -> usize {
    let (mut count, mut group) = (0, 0);
    while group < groups.len() {
        count += groups[group].len();
        group += 1;
    }
    count
}

/// Joins all groups; `concat` on slices is not `const`.
const fn joined<const N: usize>(groups: &[&[Setting]]) -> [Setting; N] {
    let mut all = [groups[0][0]; N];
    let (mut at, mut group) = (0, 0);
    while group < groups.len() {
        let mut row = 0;
        while row < groups[group].len() {
            all[at] = groups[group][row];
            (at, row) = (at + 1, row + 1);
        }
        group += 1;
    }
    all
}

/// Returns the row of the setting `name`. In a `const` block an unknown name does not compile.
///
/// # Panics
/// If there is no such setting.
pub(in crate::config) const fn row(name: &str) -> usize {
    let mut row = 0;
    while row < SETTINGS.len() {
        if same(SETTINGS[row].name.as_bytes(), name.as_bytes()) {
            return row;
        }
        row += 1;
    }
    panic!("no such setting");
}

/// Compares two slices; `==` on slices is not `const` yet.
pub(super) const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

#[cfg(test)]
mod tests {
    use super::{SETTINGS, row};
    use crate::config::table::definition::Fallback;
    use crate::config::value_kind::ValueKind;

    #[test]
    fn every_default_is_an_allowed_value_in_its_own_words() {
        for setting in SETTINGS {
            if let Fallback::Value(text) = setting.default {
                let value = setting.kind.parse(text).expect(setting.name);
                assert_eq!(value.to_string(), text, "{}", setting.name);
            }
        }
    }

    #[test]
    fn what_a_default_refers_to_stands_earlier_and_is_of_the_same_kind() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            if let Fallback::SameAs(name) = setting.default {
                assert!(row(name) < at, "{}", setting.name);
                assert_eq!(
                    SETTINGS[row(name)].kind.to_string(),
                    setting.kind.to_string()
                );
            }
        }
    }

    #[test]
    fn the_bounds_themselves_are_allowed_and_their_neighbours_are_not() {
        for setting in SETTINGS {
            let ValueKind::Number { min, max, .. } = setting.kind else {
                continue;
            };
            for (number, allowed) in [
                (Some(min), true),
                (Some(max), true),
                (min.checked_sub(1), false),
                (Some(max + 1), false),
                (Some(u64::MAX), false),
            ] {
                let Some(number) = number else { continue };
                let parsed = setting.kind.parse(&number.to_string());
                assert_eq!(parsed.is_some(), allowed, "{}={number}", setting.name);
            }
        }
    }
}
