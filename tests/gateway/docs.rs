//! The handbook agrees with the code. (`settings/printing.rs` checks the table of settings,
//! `statistics.rs` that of the statistics, against a real log line.)

use pulsegate::cause::{Cause, CauseTable};
use pulsegate::gateway::CAUSES;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

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

/// Returns all files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut left = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            files.push(path);
        }
    }
    files
}

/// Returns all pages: the README and those below `docs`, without their blocks of code.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = files_below(&root.join("docs"));
    files.push(root.join("README.md"));
    files.retain(|file| file.extension().is_some_and(|kind| kind == "md"));
    let mut pages = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a page");
        let text: String = text.split("```").step_by(2).collect();
        pages.insert(file, text);
    }
    pages
}

/// Returns the parts of a text that are between these two.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = text.split(begin).skip(1);
    parts.filter_map(move |part| Some(part.split_once(end)?.0))
}

/// Returns the anchors of a page: its headings as they occur in links, and those set by hand.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let words = words.replace(' ', "-");
        let is_kept = |c: &char| c.is_alphanumeric() || "-_".contains(*c);
        words.chars().filter(is_kept).collect()
    };
    let by_hand = between(page, "<a id=\"", "\"").map(str::to_owned);
    headings.map(slug).chain(by_hand).collect()
}

/// Returns the path without its `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            normal.pop();
        } else {
            normal.push(part);
        }
    }
    normal
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let pages = pages();
    assert!(pages.len() > 8, "{:?}", pages.keys());
    let mut faults = Vec::new();
    for (path, text) in &pages {
        let links = between(text, "](", ")").filter(|link| !link.contains("://"));
        for link in links {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                normal(&path.parent().expect("a folder").join(file))
            };
            let page = pages.get(&target);
            let has_anchor = page.is_some_and(|text| anchors(text).iter().any(|a| a == anchor));
            if !target.exists() || !(anchor.is_empty() || has_anchor) {
                faults.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_readme_links_every_page() {
    let readme = include_str!("../../README.md");
    let names = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    for name in names.filter(|name| name.ends_with(".md")) {
        assert!(readme.contains(&format!("](docs/{name})")), "{name}");
    }
}

#[test]
fn the_pages_for_contributors_name_files_and_types_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches", "docs"].map(|name| root.join(name));
    let files: Vec<PathBuf> = folders.iter().flat_map(|f| files_below(f)).collect();
    let sources = files.iter().filter(|file| file.starts_with(&folders[0]));
    let sources: String = sources
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect();
    let is_file = |name: &str| files.iter().any(|file| file.ends_with(name));
    let is_path = |name: &str| root.join(name).exists() || folders[0].join(name).exists();
    let mut faults = Vec::new();
    for page in ["CONTRIBUTING.md", "lexicon.md"] {
        let text = &pages()[&root.join("docs").join(page)];
        for name in quoted(text) {
            let is_plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
            let has_small = name.contains(char::is_lowercase) && !name.contains('_');
            let is_type = name.starts_with(char::is_uppercase) && has_small;
            let exists = if name.contains('/') && name.chars().all(is_plain) {
                is_path(name)
            } else if name.ends_with(".rs") {
                is_file(name)
            } else if is_type {
                name.split("::").all(|part| sources.contains(part))
            } else {
                true
            };
            if !exists {
                faults.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
