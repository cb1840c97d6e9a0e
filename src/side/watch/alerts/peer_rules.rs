//! The measurements of the rules about connections and their peers.

use super::agents::AgentTally;
use super::alert_rule::{Extent, Measurement, labels};
use super::losses::{MassDeath, MassDeathLimits};
use super::rule_input::RuleInput;
use super::sample::{Fleet, percent};
use crate::engine::Class;
use crate::gateway::LogValue;
use crate::side::down_app::DownApp;
use std::collections::BTreeMap;

/// The limit of users that a summary names.
const NAMED_USERS_MAX: usize = 5;

pub(super) fn mass_death(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let (fleet, s) = (input.fleet.as_ref()?, input.settings);
    let limits = MassDeathLimits {
        least: s.mass_death,
        percent: s.mass_death_percent,
        window: s.mass_death_window,
        live: fleet.most_live.clone(),
    };
    let found = input
        .losses
        .mass_deaths(input.sample.now, s.interval, &limits);
    let measurement = |mass: MassDeath| Measurement {
        labels: labels([("class", fleet.class_name(mass.class))]),
        value: mass.count as f64,
        threshold: mass.needed as f64,
        summary: {
            let share = |agent: &str| fleet.agent_share(mass.class, agent);
            mass.summary(
                &fleet.now.classes,
                s.mass_death_window,
                mass.agents.common("losses", share).as_ref(),
            )
        },
        extent: Extent {
            connections: mass.count,
            blocks: mass.blocks,
        },
    };
    Some(found.into_iter().map(measurement).collect())
}

/// Returns one measurement for each class that is not being drained and has enough connections.
/// `measure` returns how many connections it is about, the value, the threshold, and the summary.
fn by_class(
    input: &RuleInput<'_>,
    fleet: &Fleet<'_>,
    measure: impl Fn(usize, &'static str) -> Option<(u64, f64, f64, String)>,
) -> Vec<Measurement> {
    let classes = (0..fleet.most_live.len()).filter(|class| {
        let enough = fleet.most_live[*class] >= input.settings.min_connections;
        let is_upstream = fleet.now.classes.is_upstream(Class(*class as u8));
        enough && !fleet.now.draining[*class] && !is_upstream
    });
    let measurement = |class: usize| {
        let name = fleet.class_name(class);
        let (connections, value, threshold, summary) = measure(class, name)?;
        Some(Measurement {
            labels: labels([("class", name)]),
            value,
            threshold,
            summary,
            extent: Extent {
                connections,
                ..Extent::default()
            },
        })
    };
    classes.filter_map(measurement).collect()
}

/// Returns a summary, with what the connections of its class have in common.
fn with_common(
    summary: String,
    group: &'static str,
    agents: &AgentTally,
    fleet: &Fleet<'_>,
    class: usize,
) -> String {
    match agents.common(group, |agent| fleet.agent_share(class, agent)) {
        Some(common) => format!("{summary}; {common}: check that client's release"),
        None => summary,
    }
}

pub(super) fn many_suspects(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let (fleet, s) = (input.fleet.as_ref()?, input.settings);
    let threshold = s.suspects_percent as f64;
    Some(by_class(input, fleet, |class, name| {
        let (live, suspects) = (fleet.now.live[class], fleet.now.suspects[class]);
        if live < s.min_connections {
            return None;
        }
        let value = percent(suspects, live);
        let summary = format!(
            "{value:.1} % of {name} are suspect, {suspects} of {live} (threshold {threshold} %)"
        );
        let agents = AgentTally::of_suspects(suspects, &fleet.now.agents[class]);
        let summary = with_common(summary, "suspects", &agents, fleet, class);
        Some((suspects, value, threshold, summary))
    }))
}

pub(super) fn stale_closes(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let (fleet, s) = (input.fleet.as_ref()?, input.settings);
    let (stale, threshold) = (fleet.grown(|c| &c.stale), s.stale_percent as f64);
    Some(by_class(input, fleet, |class, name| {
        let (stale, most) = (stale[class], fleet.most_live[class]);
        if stale < s.stale_min {
            return None;
        }
        let value = percent(stale, most);
        let summary = format!(
            "{stale} of {name} were closed as stale within {} s, {value:.1} % of {most} (threshold \
             {threshold} %)",
            s.window.as_secs_f64()
        );
        let agents = input
            .losses
            .stale_agents(class, input.sample.now - s.window);
        let summary = with_common(summary, "losses", &agents, fleet, class);
        Some((stale, value, threshold, summary))
    }))
}

pub(super) fn rtt_high(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let (fleet, s) = (input.fleet.as_ref()?, input.settings);
    let rtt = fleet.now.rtt.since(&fleet.then.rtt);
    let count = rtt.count();
    let Some(p99) = rtt.percentile(0.99).filter(|_| count >= s.min_connections) else {
        return Some(Vec::new());
    };
    let (value, threshold) = (p99 as f64 / 1e3, s.rtt_p99.0 as f64 / 1e3);
    let summary = format!(
        "1 % of the heartbeats had a round-trip time of {value:.0} ms or more within {} s, of \
         {count} heartbeats (threshold {threshold} ms)",
        s.window.as_secs_f64()
    );
    Measurement::single(value, threshold, summary)
}

pub(super) fn flapping(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let classes = &input.fleet.as_ref()?.now.classes;
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&str>> = BTreeMap::new();
    for identity in &input.sample.flapping {
        let of = (classes.name(identity.class), identity.package());
        groups.entry(of).or_default().push(&identity.user);
    }
    let threshold = input.settings.flapping as f64;
    let measurement = |((class, package), mut users): ((&str, Option<&str>), Vec<&str>)| {
        users.sort_unstable();
        let (labels, what) = match package {
            None => (labels([("class", class)]), class.to_owned()),
            Some(package) => (
                labels([("class", class), ("package", package)]),
                LogValue(package).to_string(),
            ),
        };
        let named: Vec<String> = users
            .iter()
            .take(NAMED_USERS_MAX)
            .map(|user| LogValue(user).to_string())
            .collect();
        let more = match users.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Measurement {
            labels,
            value: users.len() as f64,
            threshold,
            summary: format!("{what} of {}{more} reconnect too often", named.join(", ")),
            ..Measurement::default()
        }
    };
    Some(groups.into_iter().map(measurement).collect())
}

pub(super) fn app_down(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let measurement = |app: &DownApp| Measurement {
        labels: labels([("package", &app.package)]),
        value: 1.0,
        threshold: 1.0,
        summary: format!(
            "the webhook of {} fails: {}",
            LogValue(&app.package),
            app.last_error
        ),
        ..Measurement::default()
    };
    Some(input.sample.down.iter().map(measurement).collect())
}

pub(super) fn reconnect_storm(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let (fleet, s) = (input.fleet.as_ref()?, input.settings);
    let (opened, ended) = (fleet.grown(|c| &c.opened), fleet.grown(|c| &c.ended));
    let threshold = s.storm_percent as f64;
    Some(by_class(input, fleet, |class, name| {
        // A fleet that starts only opens connections, one that stops only ends them.
        let both = opened[class].min(ended[class]);
        if both < s.min_connections {
            return None;
        }
        let value = percent(both, fleet.most_live[class]);
        let summary = format!(
            "{} of {name} were opened and {} ended within {} s, {value:.0} % of {} (threshold \
             {threshold} %)",
            opened[class],
            ended[class],
            s.window.as_secs_f64(),
            fleet.most_live[class]
        );
        Some((both, value, threshold, summary))
    }))
}
