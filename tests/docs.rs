//! The handbook and the code say the same. (`tests/config.rs` holds the table of settings.)

use pulsegate::cause::Cause;
use std::collections::BTreeSet;

const HANDBOOK: &str = include_str!("../docs/operations.md");
const REPORT: &str = include_str!("../src/gateway/report.rs");

/// The rows between two markers, as cells.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = HANDBOOK
        .split_once(&format!("<!-- {section}:begin -->"))
        .expect("a begin");
    let (table, _) = rest
        .split_once(&format!("<!-- {section}:end -->"))
        .expect("an end");
    let lines = table.lines().filter(|l| l.starts_with('|')).skip(2);
    lines
        .map(|l| l.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_cause_is_explained_with_its_code_and_by_whom() {
    let rows = rows("causes");
    assert_eq!(rows.len(), Cause::COUNT);
    for (row, cause) in rows.iter().zip(Cause::ALL) {
        assert_eq!(quoted(row[0]), [cause.name()]);
        assert_eq!(row[3], cause.by().name(), "{cause}");
        let code = cause.close_code();
        if code != 0 && !matches!(cause, Cause::PeerClosed(_)) {
            assert!(
                row[2].contains(&code.to_string()),
                "{cause}: {} lacks {code}",
                row[2]
            );
        }
    }
}

#[test]
fn every_statistic_is_explained_and_nothing_else() {
    let line = REPORT.split_once("fn statistics").expect("the function").1;
    let line = line.split_once("log::info!").expect("its end").0;
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '='));
    let mut logged: BTreeSet<&str> = words.filter_map(|w| w.strip_suffix('=')).collect();
    logged.remove("");
    logged.extend(pulsegate::gateway::CLASS_NAMES);
    let explained: BTreeSet<&str> = rows("statistics")
        .iter()
        .flat_map(|r| quoted(r[0]))
        .collect();
    assert_eq!(logged, explained);
}
