//! The readings of the rules about connections and their peers.

use super::agents::Agents;
use super::deaths::{Many, MassDeath};
use super::rule::{Reading, labels};
use super::sample::{Fleet, percent};
use super::view::View;
use crate::gateway::Value;
use crate::side::down::DownApp;
use std::collections::BTreeMap;

/// The limit of users that a summary names.
const NAMED: usize = 5;

pub(super) fn mass_death(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let many = Many {
        least: s.mass_death,
        percent: s.mass_death_percent,
        window: s.mass_death_window,
        live: fleet.most_live.clone(),
    };
    let found = view.deaths.mass(view.sample.now, s.interval, &many);
    let reading = |mass: MassDeath| Reading {
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
    };
    Some(found.into_iter().map(reading).collect())
}

/// Returns one reading for each class that is not being drained and has enough connections.
fn by_class(
    view: &View<'_>,
    fleet: &Fleet<'_>,
    look: impl Fn(usize, &'static str) -> Option<(f64, f64, String)>,
) -> Vec<Reading> {
    let classes = (0..fleet.most_live.len()).filter(|class| {
        let enough = fleet.most_live[*class] >= view.settings.min_connections;
        enough && !fleet.now.draining[*class]
    });
    let read = |class: usize| {
        let name = fleet.class_name(class);
        let (value, threshold, summary) = look(class, name)?;
        Some(Reading {
            labels: labels([("class", name)]),
            value,
            threshold,
            summary,
        })
    };
    classes.filter_map(read).collect()
}

/// Returns a summary, with what the connections of its class have in common.
fn with_common(
    summary: String,
    who: &'static str,
    agents: &Agents,
    fleet: &Fleet<'_>,
    class: usize,
) -> String {
    match agents.common(who, |agent| fleet.agent_share(class, agent)) {
        Some(common) => format!("{summary}; {common}: check that client's release"),
        None => summary,
    }
}

pub(super) fn many_suspects(view: &View<'_>) -> Option<Vec<Reading>> {
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

pub(super) fn stale_closes(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let (stale, threshold) = (fleet.grown(|c| &c.stale), s.stale_percent as f64);
    Some(by_class(view, fleet, |class, name| {
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
        let agents = view.deaths.stale(class, view.sample.now - s.window);
        let summary = with_common(summary, "losses", &agents, fleet, class);
        Some((value, threshold, summary))
    }))
}

pub(super) fn rtt_high(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
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
    Reading::only(value, threshold, summary)
}

pub(super) fn flapping(view: &View<'_>) -> Option<Vec<Reading>> {
    let classes = &view.fleet.as_ref()?.now.classes;
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&str>> = BTreeMap::new();
    for identity in &view.sample.flapping {
        let of = (classes.name(identity.class), identity.package());
        groups.entry(of).or_default().push(&identity.user);
    }
    let threshold = view.settings.flapping as f64;
    let read = |((class, package), mut users): ((&str, Option<&str>), Vec<&str>)| {
        users.sort_unstable();
        let (labels, what) = match package {
            None => (labels([("class", class)]), class.to_owned()),
            Some(package) => (
                labels([("class", class), ("package", package)]),
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
            summary: format!("{what} of {}{more} reconnect too often", named.join(", ")),
        }
    };
    Some(groups.into_iter().map(read).collect())
}

pub(super) fn app_down(view: &View<'_>) -> Option<Vec<Reading>> {
    let read = |app: &DownApp| Reading {
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

pub(super) fn reconnect_storm(view: &View<'_>) -> Option<Vec<Reading>> {
    let (fleet, s) = (view.fleet.as_ref()?, view.settings);
    let (opened, ended) = (fleet.grown(|c| &c.opened), fleet.grown(|c| &c.ended));
    let threshold = s.storm_percent as f64;
    Some(by_class(view, fleet, |class, name| {
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
        Some((value, threshold, summary))
    }))
}
