//! The fields of a report, for the page about privacy. The test compares them with the code.

use super::client_frame::ClientFrame;
use super::report::Report;
use crate::base::doc_table;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Each field: its path, what it says, and whether it is kept (`CLIENT_REPORTS=keep`).
const FIELDS: &[(&str, &str, bool)] = &[
    ("v", "the version of the format: 1", false),
    (
        "rt",
        "what the client runs on: `browser`, `node`, `rust` and so on; no user agent",
        true,
    ),
    ("lib", "the version of the client library", false),
    (
        "start",
        "whether the program has started anew: `same` or `new`",
        true,
    ),
    (
        "ended[].conn",
        "the id of the connection, as the gateway gave it",
        true,
    ),
    (
        "ended[].end",
        "how the connection ended: one of seven words",
        true,
    ),
    ("ended[].code", "the close code", true),
    (
        "ended[].opened_ago",
        "when it was opened, in ms before the report",
        true,
    ),
    ("ended[].heard_ago", "when something was heard last", true),
    ("ended[].ended_ago", "when it ended", true),
    (
        "ended[].clock_gap",
        "by how much a timer was late after the device had slept, in ms",
        true,
    ),
    (
        "ended[].pings.seen",
        "how many pings of the gateway came",
        true,
    ),
    ("ended[].pings.late", "how many of them came late", true),
    ("ended[].rtt.p50", "the median round-trip time, in ms", true),
    (
        "ended[].rtt.max",
        "the longest round-trip time, in ms",
        true,
    ),
    (
        "ended[].net.then",
        "the kind of network on which it was opened (in browsers: at its end): `wifi`, `cell`, \
         `4g`; no name",
        true,
    ),
    ("ended[].net.now", "the kind of network now", true),
    (
        "ended[].page.vis",
        "whether the user saw the page: `visible` or `hidden`",
        true,
    ),
    (
        "ended[].page.frozen",
        "whether the browser had frozen the page",
        true,
    ),
    (
        "ended[].class",
        "how the client classified the end, to choose its next try",
        true,
    ),
    (
        "ended[].tries[].ago",
        "when a failed try began, in ms before the report",
        false,
    ),
    (
        "ended[].tries[].phase",
        "how far it got: `dns`, `tcp`, `tls`, `http` or `hello`",
        true,
    ),
    ("ended[].tries[].ms", "how long it took", true),
    (
        "ended[].tries[].why",
        "why it failed: one of four words",
        true,
    ),
];

/// A report with every field.
const WHOLE: &str = r#"{"report":{"v":1,"rt":"browser","lib":"0.1.0","start":"same",
    "ended":[{"conn":"1a2b3c4d.3.8","end":"watchdog","code":1006,"opened_ago":812345,
    "heard_ago":61234,"ended_ago":21034,"clock_gap":48000,"pings":{"seen":54,"late":1},
    "rtt":{"p50":63,"max":2100},"net":{"then":"cell","now":"wifi"},
    "page":{"vis":"hidden","frozen":true},"class":"blip",
    "tries":[{"ago":20500,"phase":"tcp","ms":10000,"why":"timeout"}]}]}}"#;

/// Takes a report apart. A new field does not compile here until it is part of `WHOLE`.
fn whole() -> Report {
    let json: String = WHOLE.split_whitespace().collect();
    let Ok(ClientFrame::Report(Some(report))) = ClientFrame::parse(&json) else {
        panic!("a report");
    };
    *report
}

fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(field, &format!("{path}{dot}{name}"), into);
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| paths(item, &format!("{path}[]"), into));
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

#[test]
fn the_table_has_every_field_that_is_read() {
    let written = serde_json::to_value(whole()).expect("a report is JSON");
    let mut found = BTreeSet::new();
    paths(&written, "", &mut found);
    let listed: BTreeSet<String> = FIELDS.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(found, listed);
    // Nothing of the input was skipped.
    let json: String = WHOLE.split_whitespace().collect();
    let read: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read["report"], written);
}

#[test]
fn the_page_about_privacy_has_this_table() {
    let mut table = String::from("| field | what it says | kept |\n| --- | --- | --- |\n");
    for (path, what, is_kept) in FIELDS {
        let kept = if *is_kept { "yes" } else { "no" };
        let _ = writeln!(table, "| `{path}` | {what} | {kept} |");
    }
    doc_table::check("docs/privacy.md", "fields", &table);
}
