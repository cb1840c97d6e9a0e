//! The sources as code alone: without comments, contents of strings, and, on demand, tests.

use std::fs;
use std::path::Path;

use crate::imports::Token;

/// A source: its path from `src`, and its words with their lines.
pub type Source = (String, Vec<Token>);

/// Returns every source with its path from `src`; `src/bin` is a separate program, a client.
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("a folder")
            .map(|e| e.expect("an entry").path())
        {
            let relative = entry.strip_prefix(&root).expect("below src");
            if entry.is_dir() {
                folders.extend((relative != Path::new("bin")).then_some(entry));
            } else if entry.extension().is_some_and(|e| e == "rs") {
                let name = relative.to_string_lossy().replace('\\', "/");
                sources.push((name, fs::read_to_string(&entry).expect("a source")));
            }
        }
    }
    sources
}

/// Returns every source with its words.
pub fn read_sources() -> Vec<Source> {
    let read = |(path, text): (String, String)| source(&path, &text);
    sources().into_iter().map(read).collect()
}

/// Returns a source with its words.
pub fn source(path: &str, text: &str) -> Source {
    (path.to_owned(), words(&code_of(text)))
}

/// Returns whether a file has only tests: `#[cfg(test)] mod tests;`.
pub fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Returns the code of a source without comments and the contents of strings; line breaks stay.
pub fn code_of(source: &str) -> String {
    let (mut code, mut rest) = (String::new(), source);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            end_of_string(rest)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = 2 + hashes;
            rest[from..]
                .find(&close)
                .map_or(rest.len(), |end| from + end + close.len())
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

fn end_of_string(quoted: &str) -> usize {
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

/// Returns the number of hashes if a raw string begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Returns the words and the signs of code with their lines.
pub fn words(code: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut word = String::new();
        for c in line.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                words.push((number + 1, std::mem::take(&mut word)));
            }
            if !c.is_whitespace() {
                words.push((number + 1, c.to_string()));
            }
        }
    }
    words
}
