//! The handbook agrees with the code. (`tests/gateway/config.rs` checks the table of settings,
//! `tests/gateway/process.rs` that of the statistics, against a real log line.)

use pulsegate::cause::{Cause, CauseTable};
use pulsegate::gateway::CAUSES;

const HANDBOOK: &str = include_str!("../../docs/operations.md");

/// Returns the rows between two markers, as cells.
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
fn every_cause_is_explained_with_its_code_and_its_side() {
    let rows = rows("causes");
    let causes = CauseTable::with(&CAUSES);
    assert_eq!(rows.len(), causes.count());
    for (row, cause) in rows.iter().zip(causes.all()) {
        assert_eq!(quoted(row[0]), [cause.name()]);
        assert_eq!(row[3], cause.by().name(), "{cause}");
        let code = match cause {
            // Only an app can be blocked after it has opened, because it may send its identity
            // later. The reason that it gets goes with this code.
            cause if cause == Cause::BLOCKED => 1000,
            cause => cause.close_code(),
        };
        if code != 0 {
            assert!(
                row[2].contains(&code.to_string()),
                "{cause}: {} lacks {code}",
                row[2]
            );
        }
    }
}

#[test]
fn the_readme_counts_the_causes() {
    let readme = include_str!("../../README.md");
    let counts = format!("one of {} causes", CauseTable::with(&CAUSES).count());
    assert!(readme.contains(&counts), "{counts}");
}

/// Checks the image that a fleet runs, not the one that builds it.
#[test]
fn the_container_can_check_certificates() {
    let file = include_str!("../../docs/deploy/Dockerfile");
    let (_, last) = file.rsplit_once("\nFROM ").expect("a last stage");
    let installs = last
        .lines()
        .filter(|line| line.starts_with("RUN ") && line.contains("apt-get install"));
    assert!(
        installs
            .into_iter()
            .any(|line| line.contains(" ca-certificates")),
        "{last}"
    );
}
