//! The rules, in one table: what is looked at, when it is too much, and what to do then.

use super::agents::Agents;
use super::deaths::Many;
use super::sample::{CLASSES, Fleet, percent};
use super::settings::AlertSettings;
use super::view::View;
use crate::gateway::{CLASS_NAMES, Role, Value};
use crate::time::Micros;
use std::collections::BTreeMap;

/// Users that a summary names.
const NAMED: usize = 5;

/// What tells an alert from others of its rule.
pub(super) type Labels = BTreeMap<&'static str, Box<str>>;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Somebody should look soon.
    Warning,
    /// Users are cut off, or soon will be.
    Critical,
}

/// One rule.
pub(super) struct Rule {
    /// In small letters, as in the log.
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// One sentence.
    pub(super) action: &'static str,
    /// The value from which on it is too much; 0: never.
    pub(super) threshold: fn(&AlertSettings) -> f64,
    /// How long it has to be too much.
    pub(super) hold: fn(&View<'_>) -> Micros,
    /// The rules that explain it as long as one of them fires: it does not begin then. They stand before it in the table.
    pub(super) explained_by: fn(&View<'_>) -> &'static [&'static str],
    /// Whether it ends, too, as soon as one of those fires: what they tell is the same trouble, and worse.
    pub(super) yields: bool,
    /// The values now; what is not named is 0. `None`: they are not known now.
    pub(super) look: fn(&View<'_>) -> Option<Vec<Reading>>,
}

/// One value that a rule looks at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// The threshold, where it is not simply the setting's.
    pub(super) threshold: f64,
    /// In words, with the numbers.
    pub(super) summary: String,
}

/// In the order in which they are looked at: what explains others comes before them.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: MASS_DEATH,
        severity: Severity::Critical,
        action: "If the summary names a user agent, look at that client's release; else at the network, the proxy or the carrier that it names, not at the peers; nothing here needs a restart.",
        threshold: |s| s.mass_death as f64,
        hold: |_| Micros::ZERO,
        explained_by: no_other,
        yields: false,
        look: mass_death,
    },
    Rule {
        name: "many_suspects",
        severity: Severity::Warning,
        action: "A user agent in the summary, or one class: that client's release; all: the network, the proxy or the region; compare with other gateways.",
        threshold: |s| s.suspects_percent as f64,
        hold: |v| v.settings.suspects_for,
        explained_by: |_| &[MASS_DEATH],
        yields: false,
        look: many_suspects,
    },
    Rule {
        name: "stale_closes",
        severity: Severity::Critical,
        action: "If the summary names a user agent, look at that client's release; else see which addresses and packages (/api/v1/closed?cause=stale): peers vanish without a word, as after a NAT or a proxy that forgets them.",
        threshold: |s| s.stale_percent as f64,
        hold: |v| v.settings.stale_for,
        explained_by: |_| &[MASS_DEATH],
        yields: false,
        look: stale_closes,
    },
    Rule {
        name: "rtt_high",
        severity: Severity::Warning,
        action: "If p50 is high, too (/api/v1/overview), the path or a full proxy; if not, single devices: /api/v1/connections?sort=rtt.",
        threshold: |s| s.rtt_p99.0 as f64 / 1e3,
        hold: |v| v.settings.rtt_for,
        explained_by: no_other,
        yields: false,
        look: rtt_high,
    },
    Rule {
        name: "flapping",
        severity: Severity::Warning,
        action: "Look for two processes or devices with one identity, or a client that does not back off; the gateway slows them already.",
        threshold: |s| s.flapping as f64,
        hold: |v| v.settings.flapping_for,
        explained_by: no_other,
        yields: false,
        look: flapping,
    },
    Rule {
        name: "app_down",
        severity: Severity::Warning,
        action: "Tell whoever runs the app: its webhook does not answer, so it is not started for anybody; it is tried again by itself.",
        threshold: |s| f64::from(u8::from(s.app_down)),
        hold: |v| v.settings.app_down_for,
        explained_by: no_other,
        yields: false,
        look: app_down,
    },
    Rule {
        name: "loop_stalls",
        severity: Severity::Warning,
        action: "Look for what stops the process: swap, CPU steal, a frozen cgroup, a machine that is moved; nobody was closed for it.",
        threshold: |s| s.stalls as f64,
        hold: |_| Micros::ZERO,
        explained_by: no_other,
        yields: false,
        look: loop_stalls,
    },
    Rule {
        name: AT_CAPACITY,
        severity: Severity::Critical,
        action: "Start another gateway, or raise MAX_CONNECTIONS, and LimitNOFILE where the descriptors are the limit; until then newcomers are answered 503.",
        threshold: |s| s.refused as f64,
        // It fires at once: a newcomer was refused already.
        hold: |_| Micros::ZERO,
        explained_by: no_other,
        yields: false,
        look: at_capacity,
    },
    Rule {
        name: NEAR_CAPACITY,
        severity: Severity::Warning,
        action: "Start another gateway, or raise MAX_CONNECTIONS, and LimitNOFILE where the descriptors are the limit; beyond it newcomers are answered 503.",
        threshold: |s| s.capacity_percent as f64,
        hold: |v| v.settings.limits_for,
        explained_by: |_| &[AT_CAPACITY],
        yields: true,
        look: near_capacity,
    },
    Rule {
        name: "fds_near_limit",
        severity: Severity::Critical,
        action: "Raise the limit of file descriptors (LimitNOFILE), or start another gateway; beyond it newcomers wait.",
        threshold: |s| s.fds_percent as f64,
        // What has run out already is not waited for.
        hold: |v| match out_of_descriptors(v) {
            0 => v.settings.limits_for,
            _ => Micros::ZERO,
        },
        // Connections have taken them, as many as there may be. Where accepting fails there is another reason.
        explained_by: |v| match out_of_descriptors(v) {
            0 if v.settings.capped_by_descriptors => &[AT_CAPACITY, NEAR_CAPACITY],
            _ => &[],
        },
        yields: true,
        look: fds_near_limit,
    },
    Rule {
        name: "memory_near_limit",
        severity: Severity::Critical,
        action: "Raise the limit that the summary names, lower MAX_BUFFERED_BYTES or MAX_CONNECTIONS, or start another gateway.",
        threshold: |s| s.memory_percent as f64,
        hold: |v| v.settings.limits_for,
        explained_by: no_other,
        yields: false,
        look: memory_near_limit,
    },
    Rule {
        name: "reconnect_storm",
        severity: Severity::Warning,
        action: "See /api/v1/causes: replaced in pairs is two devices with one identity, peer_eof at one age a proxy's timeout, peer_closed the clients.",
        threshold: |s| s.storm_percent as f64,
        hold: |v| v.settings.storm_for,
        explained_by: |_| &[MASS_DEATH],
        yields: false,
        look: reconnect_storm,
    },
];

// The rules that explain others.
pub(super) const MASS_DEATH: &str = "mass_death";
const AT_CAPACITY: &str = "at_capacity";
const NEAR_CAPACITY: &str = "near_capacity";

fn no_other(_: &View<'_>) -> &'static [&'static str] {
    &[]
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key, value.into())).collect()
}

fn mass_death(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let many = Many {
        least: s.mass_death,
        percent: s.mass_death_percent,
        window: s.mass_death_window,
        live: fleet.most_live,
    };
    let found = view.deaths.mass(view.sample.now, s.interval, &many);
    let reading = |mass: super::deaths::MassDeath| Reading {
        labels: labels([("class", CLASS_NAMES[mass.class])]),
        value: mass.count as f64,
        threshold: mass.needed as f64,
        summary: {
            let share = |agent: &str| fleet.agent_share(mass.class, agent);
            mass.summary(
                s.mass_death_window,
                mass.agents.common("losses", share).as_ref(),
            )
        },
    };
    Some(found.into_iter().map(reading).collect())
}

/// One reading for each class that is not sent away and big enough.
fn by_class(
    view: &View<'_>,
    fleet: &Fleet<'_>,
    look: impl Fn(usize, &'static str) -> Option<(f64, f64, String)>,
) -> Vec<Reading> {
    let classes = (0..CLASSES).filter(|class| {
        let enough = fleet.most_live[*class] >= view.settings.min_connections;
        enough && !fleet.now.draining[*class]
    });
    let read = |class: usize| {
        let (value, threshold, summary) = look(class, CLASS_NAMES[class])?;
        Some(Reading {
            labels: labels([("class", CLASS_NAMES[class])]),
            value,
            threshold,
            summary,
        })
    };
    classes.filter_map(read).collect()
}

/// A summary, and what the connections of a class that it tells of have in common.
fn with_common(
    summary: String,
    who: &'static str,
    agents: &Agents,
    fleet: &Fleet<'_>,
    class: usize,
) -> String {
    match agents.common(who, |agent| fleet.agent_share(class, agent)) {
        Some(common) => format!("{summary}; {common}: look at that client's release"),
        None => summary,
    }
}

fn many_suspects(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let threshold = s.suspects_percent as f64;
    Some(by_class(view, fleet, |class, name| {
        let (live, suspects) = (fleet.now.live[class], fleet.now.suspects[class]);
        if live < s.min_connections {
            return None;
        }
        let value = percent(suspects, live);
        let summary = format!(
            "{value:.1} % of {name} are suspect, {suspects} of {live} (threshold {threshold} %)"
        );
        let agents = Agents::of_suspects(suspects, &fleet.now.agents[class]);
        let summary = with_common(summary, "suspects", &agents, fleet, class);
        Some((value, threshold, summary))
    }))
}

fn stale_closes(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let (stale, threshold) = (fleet.grown(|c| &c.stale), s.stale_percent as f64);
    Some(by_class(view, fleet, |class, name| {
        let (stale, most) = (stale[class], fleet.most_live[class]);
        if stale < s.stale_min {
            return None;
        }
        let value = percent(stale, most);
        let summary = format!(
            "{stale} of {name} were closed as stale within {} s, {value:.1} % of {most} (threshold {threshold} %)",
            seconds(s.window)
        );
        let agents = view.deaths.stale(class, view.sample.now - s.window);
        let summary = with_common(summary, "losses", &agents, fleet, class);
        Some((value, threshold, summary))
    }))
}

fn rtt_high(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let rtt = fleet.now.rtt.since(&fleet.then.rtt);
    let count = rtt.count();
    let Some(p99) = rtt.percentile(0.99).filter(|_| count >= s.min_connections) else {
        return Some(Vec::new());
    };
    let (value, threshold) = (p99 as f64 / 1e3, s.rtt_p99.0 as f64 / 1e3);
    Some(vec![Reading {
        labels: Labels::new(),
        value,
        threshold,
        summary: format!(
            "one heartbeat in a hundred took {value:.0} ms or more within {} s, of {count} (threshold {threshold} ms)",
            seconds(s.window)
        ),
    }])
}

fn flapping(view: &View<'_>) -> Option<Vec<Reading>> {
    view.fleet.as_ref()?;
    let mut groups: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for identity in &view.sample.flapping {
        let package = match &identity.role {
            Role::Glasses => None,
            Role::Tpa(package) => Some(&**package),
        };
        groups.entry(package).or_default().push(&identity.user);
    }
    let threshold = view.settings.flapping as f64;
    let read = |(package, mut users): (Option<&str>, Vec<&str>)| {
        users.sort_unstable();
        let (labels, what) = match package {
            None => (labels([("class", "glasses")]), "glasses".to_owned()),
            Some(package) => (
                labels([("class", "tpa"), ("package", package)]),
                Value(package).to_string(),
            ),
        };
        let named: Vec<String> = users
            .iter()
            .take(NAMED)
            .map(|user| Value(user).to_string())
            .collect();
        let more = match users.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Reading {
            labels,
            value: users.len() as f64,
            threshold,
            summary: format!("{what} of {}{more} come back too often", named.join(", ")),
        }
    };
    Some(groups.into_iter().map(read).collect())
}

fn app_down(view: &View<'_>) -> Option<Vec<Reading>> {
    let read = |app: &crate::side::down::DownApp| Reading {
        labels: labels([("package", &app.package)]),
        value: 1.0,
        threshold: 1.0,
        summary: format!(
            "the webhook of {} fails: {}",
            Value(&app.package),
            app.last_error
        ),
    };
    Some(view.sample.down.iter().map(read).collect())
}

fn loop_stalls(view: &View<'_>) -> Option<Vec<Reading>> {
    let threshold = view.settings.stalls as f64;
    let (value, summary) = match &view.fleet {
        // That alone is as bad as what is counted.
        None => (
            threshold,
            "the loop has not answered for seconds".to_owned(),
        ),
        Some(fleet) => {
            let stalls = fleet.now.stalls - fleet.then.stalls;
            let away = fleet.now.stalled - fleet.then.stalled;
            let times = if stalls == 1 { "time" } else { "times" };
            let summary = format!(
                "the loop was away {stalls} {times}, {} ms in all, within {} s",
                away.as_millis(),
                seconds(view.settings.window)
            );
            (stalls as f64, summary)
        }
    };
    Some(vec![Reading {
        labels: Labels::new(),
        value,
        threshold,
        summary,
    }])
}

fn at_capacity(view: &View<'_>) -> Option<Vec<Reading>> {
    let fleet = view.fleet.as_ref()?;
    let refused = fleet.now.refused.saturating_sub(fleet.then.refused);
    let (taken, most) = fleet.now.places;
    let newcomers = if refused == 1 {
        "newcomer was"
    } else {
        "newcomers were"
    };
    Some(vec![Reading {
        labels: Labels::new(),
        value: refused as f64,
        threshold: view.settings.refused as f64,
        summary: format!(
            "{refused} {newcomers} refused within {} s: {taken} of {most} connections are here{}",
            seconds(view.settings.window),
            descriptors_allow(view.settings)
        ),
    }])
}

fn near_capacity(view: &View<'_>) -> Option<Vec<Reading>> {
    let fleet = view.fleet.as_ref()?;
    let (taken, most) = fleet.now.places;
    let (value, threshold) = (percent(taken, most), view.settings.capacity_percent as f64);
    Some(vec![Reading {
        labels: Labels::new(),
        value,
        threshold,
        summary: format!(
            "{taken} of {most} connections are here, {value:.1} % (threshold {threshold} %){}",
            descriptors_allow(view.settings)
        ),
    }])
}

/// Says in a summary where the most connections come from, if they do not come from `MAX_CONNECTIONS` alone.
fn descriptors_allow(settings: &AlertSettings) -> &'static str {
    if settings.capped_by_descriptors {
        "; the file descriptors allow no more"
    } else {
        ""
    }
}

/// How often accepting has failed within the window because descriptors had run out.
fn out_of_descriptors(view: &View<'_>) -> u64 {
    let fleet = view.fleet.as_ref();
    fleet.map_or(0, |f| {
        f.now
            .out_of_descriptors
            .saturating_sub(f.then.out_of_descriptors)
    })
}

fn fds_near_limit(view: &View<'_>) -> Option<Vec<Reading>> {
    let threshold = view.settings.fds_percent as f64;
    let failed = out_of_descriptors(view);
    if failed > 0 {
        let times = if failed == 1 { "time" } else { "times" };
        return Some(vec![Reading {
            labels: Labels::new(),
            value: 100.0,
            threshold,
            summary: format!(
                "accepting failed {failed} {times} within {} s: file descriptors have run out (threshold {threshold} %)",
                seconds(view.settings.window)
            ),
        }]);
    }
    let (open, most) = view.sample.fds?;
    let value = percent(open, most);
    Some(vec![Reading {
        labels: Labels::new(),
        value,
        threshold,
        summary: format!(
            "{open} of {most} file descriptors are open, {value:.1} % (threshold {threshold} %)"
        ),
    }])
}

fn memory_near_limit(view: &View<'_>) -> Option<Vec<Reading>> {
    let memory = view.sample.memory?;
    let (used, limit) = (memory.used, memory.limit);
    let (value, threshold) = (percent(used, limit), view.settings.memory_percent as f64);
    Some(vec![Reading {
        labels: Labels::new(),
        value,
        threshold,
        summary: format!(
            "{} MiB of {} MiB are used, {value:.1} % of {} (threshold {threshold} %)",
            used >> 20,
            limit >> 20,
            memory.of
        ),
    }])
}

fn reconnect_storm(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let (opened, ended) = (fleet.grown(|c| &c.opened), fleet.grown(|c| &c.ended));
    let threshold = s.storm_percent as f64;
    Some(by_class(view, fleet, |class, name| {
        // A fleet that comes up only opens, one that goes away only ends.
        let both = opened[class].min(ended[class]);
        if both < s.min_connections {
            return None;
        }
        let value = percent(both, fleet.most_live[class]);
        let summary = format!(
            "{} of {name} were opened and {} ended within {} s, {value:.0} % of {} (threshold {threshold} %)",
            opened[class],
            ended[class],
            seconds(s.window),
            fleet.most_live[class]
        );
        Some((value, threshold, summary))
    }))
}

fn seconds(span: Micros) -> f64 {
    span.0 as f64 / 1e6
}
