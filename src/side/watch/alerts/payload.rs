//! The JSON of a post, in the format that Alertmanager posts to its webhook receivers (version 4),
//! so any such receiver accepts it.

use super::alert_rule::{Labels, Severity};
use super::alert_table::{Alert, AlertState};
use crate::base::time::UnixMillis;
use serde::Serialize;
use std::collections::BTreeMap;

/// The end time of an alert that has not ended, as Alertmanager writes it.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// The offset basis and the prime of FNV-1a with 64 bits.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// What a post says about the gateway that sends it.
#[derive(Debug, Clone, Default)]
pub(super) struct AlertSource {
    /// The machine and the port, to tell gateways apart.
    pub(super) instance: String,
    /// A URL with more details; empty: there is none.
    pub(super) url: String,
}

/// The body of a post: alerts of one name, which also began with one name.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertPayload {
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
    status: &'static str,
    receiver: &'static str,
    group_labels: BTreeMap<&'static str, String>,
    common_labels: BTreeMap<&'static str, String>,
    common_annotations: BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<PayloadAlert>,
}

/// One alert in the body of a post.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadAlert {
    status: &'static str,
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// Returns the body for alerts of one name, which also began with one name: that is the group.
pub(super) fn body(alerts: &[Alert], source: &AlertSource) -> Vec<u8> {
    let items: Vec<PayloadAlert> = alerts.iter().map(|alert| item(alert, source)).collect();
    let name = alerts.first().map_or("", |alert| alert.origin.name);
    let fires = alerts.iter().any(|a| a.state == AlertState::Firing);
    let payload = AlertPayload {
        version: "4",
        group_key: format!("{{}}:{{alertname=\"{name}\"}}"),
        truncated_alerts: 0,
        status: if fires { "firing" } else { "resolved" },
        receiver: "pulsegate",
        group_labels: BTreeMap::from([("alertname", name.to_owned())]),
        common_labels: common(items.iter().map(|item| &item.labels)),
        common_annotations: common(items.iter().map(|item| &item.annotations)),
        external_url: source.url.clone(),
        alerts: items,
    };
    // Serializing strings and numbers does not fail.
    serde_json::to_vec(&payload).unwrap_or_default()
}

fn item(alert: &Alert, source: &AlertSource) -> PayloadAlert {
    let origin = &alert.origin;
    let identity = all_labels(origin.name, origin.severity, &origin.labels, source);
    PayloadAlert {
        // Only firing and resolved alerts are posted.
        status: match alert.state {
            AlertState::Pending | AlertState::Firing => "firing",
            AlertState::Resolved => "resolved",
        },
        fingerprint: format!("{:016x}", fingerprint(&identity)),
        labels: all_labels(alert.name, alert.severity, &alert.labels, source),
        annotations: BTreeMap::from([
            ("action", alert.action.to_owned()),
            ("summary", alert.summary.clone()),
        ]),
        starts_at: rfc3339(alert.since),
        ends_at: alert
            .resolved_at
            .map_or_else(|| NOT_ENDED.to_owned(), rfc3339),
        generator_url: match &*source.url {
            "" => String::new(),
            url => format!("{url}/api/v1/alerts/{}", alert.id),
        },
    }
}

/// Returns the labels of an alert, with those that its name, its severity and the gateway make.
fn all_labels(
    name: &str,
    severity: Severity,
    own: &Labels,
    source: &AlertSource,
) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        ("alertname", name.to_owned()),
        ("instance", source.instance.clone()),
        ("severity", severity.name().to_owned()),
    ]);
    labels.extend(own.iter().map(|(key, value)| (*key, value.to_string())));
    labels
}

fn rfc3339(at: UnixMillis) -> String {
    humantime::format_rfc3339_millis(at.into()).to_string()
}

/// Returns the labels that all alerts share.
fn common<'a>(
    mut all: impl Iterator<Item = &'a BTreeMap<&'static str, String>>,
) -> BTreeMap<&'static str, String> {
    let mut common = all.next().cloned().unwrap_or_default();
    for other in all {
        common.retain(|key, value| other.get(key) == Some(value));
    }
    common
}

/// Returns the fingerprint that Alertmanager computes from labels (FNV-1a over names and values in
/// order, each followed by 255).
fn fingerprint(labels: &BTreeMap<&'static str, String>) -> u64 {
    let (basis, prime) = FNV;
    let words = labels.iter().flat_map(|(key, value)| [*key, &**value]);
    let bytes = words.flat_map(|word| word.bytes().chain([0xff]));
    bytes.fold(basis, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(prime)
    })
}

impl Severity {
    /// Returns the value of the label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}
