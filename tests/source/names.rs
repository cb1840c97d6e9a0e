//! One name, one meaning: no two types of the crate share a name, nor do two files of one folder.

use std::collections::BTreeMap;

use crate::imports::Token;
use crate::reading::{Source, is_test, read_sources, source};

/// Returns the types that other files can name, each with its line: top-level items with any `pub`.
fn types(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut braces = 0_i32;
    let mut found = Vec::new();
    for window in tokens.windows(3) {
        let [(_, before), (line, word), (_, name)] = window else {
            continue;
        };
        match word.as_str() {
            "{" => braces += 1,
            "}" => braces -= 1,
            "struct" | "enum" | "trait" | "type" | "union"
                if braces == 0 && (before == "pub" || before == ")") =>
            {
                found.push((*line, name.clone()));
            }
            _ => {}
        }
    }
    found
}

/// Returns the names that occur at several places.
fn repeated(names: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (name, place) in names {
        places.entry(name).or_default().push(place);
    }
    let several = places.into_iter().filter(|(_, places)| places.len() > 1);
    several
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

fn types_of(sources: &[Source]) -> Vec<(String, String)> {
    let all = sources.iter().flat_map(|(path, tokens)| {
        let tokens = crate::imports::without_tests(tokens);
        types(&tokens)
            .into_iter()
            .map(move |(line, name)| (name, format!("{path}:{line}")))
    });
    all.collect()
}

/// Returns the names of the files with their top folder.
fn files_of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<(String, String)> {
    let nested = paths.into_iter().filter(|path| path.contains('/'));
    let named = nested.filter(|path| !path.ends_with("/mod.rs"));
    named
        .map(|path| {
            let (folder, _) = path.split_once('/').expect("filtered");
            let (_, file) = path.rsplit_once('/').expect("filtered");
            (format!("{folder}/…/{file}"), path.to_owned())
        })
        .collect()
}

#[test]
fn no_two_types_share_a_name() {
    let sources: Vec<_> = read_sources()
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .collect();
    let all = types_of(&sources);
    assert!(all.len() > 150, "{} types", all.len());
    let faults = repeated(all);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_two_files_of_a_folder_share_a_name() {
    let sources = read_sources();
    let paths = sources.iter().map(|(path, _)| &**path);
    let faults = repeated(files_of(paths.filter(|path| !is_test(path))));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_repeated_name_is_found() {
    let sources = [
        source(
            "a.rs",
            "use x; pub struct Change; struct Own; impl T for Change { type Item = u8; }",
        ),
        source(
            "b/c.rs",
            "\npub(crate) enum Change { Struct } pub enum Kind {}
             #[cfg(test)] mod t { pub struct Kind; }",
        ),
        source("b/d.rs", "pub(super) type Own = u8; pub trait Item {}"),
    ];
    assert_eq!(repeated(types_of(&sources)), ["Change: a.rs:1, b/c.rs:2"]);
    let paths = [
        "b/x.rs",
        "b/c/x.rs",
        "d/x.rs",
        "b/mod.rs",
        "b/c/mod.rs",
        "x.rs",
    ];
    assert_eq!(repeated(files_of(paths)), ["b/…/x.rs: b/x.rs, b/c/x.rs"]);
}
