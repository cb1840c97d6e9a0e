//! Suggests the nearest known name for a flag, a key or an argument that does not exist.

use super::table::{ROUTE_FIELDS, SETTINGS};

/// Names that other programs use for the same setting, without dashes.
const ALIASES: [(&str, &str); 12] = [
    ("addr", "LISTEN_ADDR"),
    ("address", "LISTEN_ADDR"),
    ("bind", "LISTEN_ADDR"),
    ("host", "LISTEN_ADDR"),
    ("listen", "LISTEN_ADDR"),
    ("p", "LISTEN_ADDR"),
    ("port", "LISTEN_ADDR"),
    ("admin", "ADMIN_ADDR"),
    ("debug", "LOG_LEVEL"),
    ("v", "LOG_LEVEL"),
    ("verbose", "LOG_LEVEL"),
    ("jwt-secret", "AUTH_JWT_SECRET"),
];

/// The most letters of a name that may be wrong.
const TYPOS_MAX: usize = 3;

/// Returns the setting with the most similar name, if one is similar.
pub(super) fn suggest_setting(name: &str) -> Option<&'static str> {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    let name = name.replace('_', "-");
    let alias = ALIASES.iter().find(|(other, _)| *other == name);
    if let Some((_, setting)) = alias {
        return Some(setting);
    }
    nearest(&name, SETTINGS.iter().map(|s| s.name))
}

/// Returns the field of a route with the most similar name, if one is similar.
pub(super) fn suggest_field(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    nearest(&name, ROUTE_FIELDS.iter().map(|field| field.name))
}

/// Returns the most similar of these names, if one is similar. `name` is in lower case and has
/// dashes.
fn nearest(name: &str, all: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Almost any name is similar to a short one.
    let most = TYPOS_MAX.min(name.len() / 4);
    let typos = |other: &str| distance(name, &other.to_ascii_lowercase().replace('_', "-"));
    let all = all.map(|other| (typos(other), other));
    let nearest = all.filter(|(typos, _)| *typos <= most).min()?;
    Some(nearest.1)
}

/// Returns the edit distance: the letters to insert, remove or change to turn one word into the
/// other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_setting_is_meant_and_what_is_near_to_none_is_not() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(suggest_setting("--port"), Some("LISTEN_ADDR"));
        assert_eq!(suggest_setting("-p"), Some("LISTEN_ADDR"));
        assert_eq!(suggest_setting("--DRAIN_MS"), Some("DRAIN_MS"));
        assert_eq!(
            suggest_setting("heartbeat_intervall_ms"),
            Some("HEARTBEAT_INTERVAL_MS")
        );
        assert_eq!(suggest_setting("--frobnicate"), None);
        assert_eq!(suggest_setting("-q"), None);
        for (_, name) in ALIASES {
            assert!(SETTINGS.iter().any(|s| s.name == name), "{name}");
        }
    }
}
