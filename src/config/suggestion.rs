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

/// Names that other programs use for a field of a route, with dashes.
const FIELD_ALIASES: [(&str, &str); 14] = [
    ("backend", "upstream"),
    ("proxy-pass", "upstream"),
    ("server", "upstream"),
    ("target", "upstream"),
    ("url", "upstream"),
    ("location", "path"),
    ("prefix", "path"),
    ("domain", "host"),
    ("hostname", "host"),
    ("server-name", "host"),
    ("id", "name"),
    ("strip-path", "strip_prefix"),
    ("load-balancing", "balance"),
    ("origins", "allowed_origins"),
];

/// Returns the field of a route with the most similar name, if one is similar.
pub(super) fn suggest_field(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let alias = FIELD_ALIASES.iter().find(|(other, _)| *other == name);
    if let Some((_, field)) = alias {
        return Some(field);
    }
    let without_unit = |field: &str| {
        let field = field.replace('_', "-");
        let stem = field.strip_suffix("-ms").or(field.strip_suffix("-bytes"));
        stem == Some(&*name)
    };
    let names = || ROUTE_FIELDS.iter().map(|field| field.name);
    let only_unit_missing = names().find(|field| without_unit(field));
    only_unit_missing.or_else(|| nearest(&name, names()))
}

/// Returns the variable that was probably meant by one that is not a setting. Only one letter may
/// be wrong, because most variables belong to other programs.
pub(super) fn suggest_variable(name: &str) -> Option<&'static str> {
    let is_setting = |name: &str| SETTINGS.iter().find(|s| s.name == name).map(|s| s.name);
    if is_setting(name).is_some() {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("PULSEGATE_").unwrap_or(&upper);
    is_setting(bare).or_else(|| {
        let mut names = SETTINGS.iter().map(|s| s.name);
        names.find(|other| name.len().abs_diff(other.len()) <= 1 && distance(name, other) == 1)
    })
}

/// Returns whether a name is probably meant as this one.
pub(super) fn is_similar(name: &str, meant: &'static str) -> bool {
    nearest(&name.to_ascii_lowercase(), std::iter::once(meant)).is_some()
}

/// Returns the most similar of these words, if one is similar.
pub(super) fn suggest_word(word: &str, words: &[&'static str]) -> Option<&'static str> {
    nearest(&word.to_ascii_lowercase(), words.iter().copied())
}

/// Returns the most similar of these names, if one is similar. `name` is in lower case and has
/// dashes.
fn nearest(name: &str, all: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Almost any name is similar to one of two letters.
    const SHORTEST: usize = 3;
    let most = match name.len() {
        0..SHORTEST => return None,
        length => TYPOS_MAX.min(length / 4).max(1),
    };
    let typos = |other: &str| distance(name, &other.to_ascii_lowercase().replace('_', "-"));
    let all = all.map(|other| (typos(other), other));
    let nearest = all.filter(|(typos, _)| *typos <= most).min()?;
    Some(nearest.1)
}

/// Returns the edit distance: the letters to insert, remove or change, and the neighbours to swap,
/// to turn one word into the other (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let changed = rows[i][j] + usize::from(from != to);
            let mut least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            let is_swapped = i > 0 && j > 0 && a[i - 1] == *to && b[j - 1] == *from;
            if is_swapped {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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

    #[test]
    fn the_nearest_field_is_meant() {
        assert_eq!(distance("hots", "host"), 1);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        for (name, field) in [
            ("nam", Some("name")),
            ("hots", Some("host")),
            ("Path", Some("path")),
            ("upstreams", Some("upstream")),
            ("url", Some("upstream")),
            ("max_age", Some("max_age_ms")),
            ("max_message", Some("max_message_bytes")),
            ("strip-prefix", Some("strip_prefix")),
            ("retries", None),
            ("x", None),
        ] {
            assert_eq!(suggest_field(name), field, "{name}");
        }
        for (_, name) in FIELD_ALIASES {
            assert!(ROUTE_FIELDS.iter().any(|f| f.name == name), "{name}");
        }
        assert!(is_similar("routes", "route") && is_similar("Rout", "route"));
        assert!(!is_similar("limits", "route"));
    }

    #[test]
    fn a_variable_of_another_program_is_not_meant_as_a_setting() {
        for (name, meant) in [
            ("UPSTEAM", Some("UPSTREAM")),
            ("UPSTREAMS", Some("UPSTREAM")),
            ("UPSTERAM", Some("UPSTREAM")),
            ("upstream", Some("UPSTREAM")),
            ("PULSEGATE_UPSTREAM", Some("UPSTREAM")),
            ("LISTEN_ADRR", Some("LISTEN_ADDR")),
            ("TRUSTED_PROXY", None),
            ("TRUSTED_PROXIE", Some("TRUSTED_PROXIES")),
            ("UPSTREAM", None),
        ] {
            assert_eq!(suggest_variable(name), meant, "{name}");
        }
        // Of systemd, Kubernetes, shells, PaaS and other programs.
        let others = "PATH HOME USER LANG LC_ALL TERM SHELL PWD HOSTNAME HOST PORT ADDR DEBUG \
                      LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET WATCHDOG_USEC \
                      WATCHDOG_PID JOURNAL_STREAM INVOCATION_ID STATE_DIRECTORY LOG_FILE LOG_DIR \
                      LOGLEVEL APP_NAME APP_KEY APP_ENV APP_URL ADMIN_PORT ADMIN_PASSWORD \
                      AUTH_TOKEN JWT_SECRET CONFIG_DIR CONFIG_PATH STATE_DIR KUBERNETES_PORT \
                      PULSEGATE_SERVICE_HOST PULSEGATE_PORT PULSEGATE_PORT_8002_TCP \
                      UPSTREAM_SERVICE_HOST UPSTREAM_SERVICE_PORT UPSTREAM_PORT RUST_LOG";
        for name in others.split_whitespace() {
            let meant = suggest_variable(name);
            assert!(meant.is_none() || name == "LOGLEVEL", "{name}: {meant:?}");
        }
    }
}
