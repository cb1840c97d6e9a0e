//! Files are short, and a `mod.rs` only declares.

use std::fs;
use std::path::Path;

use crate::imports;
use crate::reading::{self, sources};

/// The limit of lines in a file, including its tests.
const LINES_MAX: usize = 500;

/// The limit of lines in a function of the tests.
const TEST_FUNCTION_LINES_MAX: usize = 80;

/// Returns the faults of a file in a checked folder: too many lines, or items in a `mod.rs`.
fn untidy(path: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{path} has {lines} lines"));
    }
    let items = [
        "fn", "struct", "enum", "trait", "type", "const", "static", "impl",
    ];
    if path.ends_with("/mod.rs") {
        let (_, words) = reading::source(path, source);
        let words = words
            .into_iter()
            .filter(|(_, word)| items.contains(&&**word));
        faults.extend(words.map(|(line, word)| format!("{path}:{line}: {word} in a mod.rs")));
    }
    faults
}

#[test]
fn files_are_short_and_mod_files_only_declare() {
    let sources = sources().into_iter();
    let faults: Vec<String> = sources.flat_map(|(p, s)| untidy(&p, &s)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_long_file_and_an_item_in_a_mod_file_are_seen() {
    let long = "\n".repeat(LINES_MAX + 1);
    assert_eq!(untidy("side/start.rs", &long).len(), 1);
    assert_eq!(untidy("side/watch/mod.rs", "mod a;\nfn f() {}").len(), 1);
    let declares = "//! fn\nmod a;\npub(super) use self::a::A;";
    assert!(untidy("side/watch/mod.rs", declares).is_empty());
    assert!(untidy("side/start.rs", "fn f() {}").is_empty());
}

#[test]
fn the_load_tool_is_tidy_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/pulsegate-swarm");
    let entries = fs::read_dir(&root).expect("a folder");
    let sources: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .replace("main.rs", "lib.rs");
            (name, fs::read_to_string(&path).expect("a source"))
        })
        .collect();
    assert!(sources.len() > 5);
    let faults: Vec<String> = sources.iter().flat_map(|(p, s)| untidy(p, s)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    // To the tool, a crate of its own, the library is another one.
    let read = |(path, source): &(String, String)| {
        let source = source.replace("pulsegate::", "library::");
        reading::source(path, &source)
    };
    let files: Vec<_> = sources.iter().map(read).collect();
    let cycles = imports::cycles(&imports::graph(&files));
    assert!(cycles.is_empty(), "{cycles:?}");
}

/// Returns the functions of a formatted file that have too many lines.
fn long_functions(path: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    // The indentation, name and first line of the function that is read.
    let mut open: Option<(&str, &str, usize)> = None;
    for (number, line) in source.lines().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let code = code.strip_prefix("pub ").unwrap_or(code);
        if let Some((outer, name, first)) = open {
            let lines = number + 1 - first;
            if indent == outer && code.starts_with('}') {
                if lines > TEST_FUNCTION_LINES_MAX {
                    faults.push(format!("{path}: {name} has {lines} lines"));
                }
                open = None;
            }
        } else if let Some(rest) = code.strip_prefix("fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            open = (!line.ends_with('}')).then_some((indent, name, number));
        }
    }
    faults
}

/// Returns the Rust files below a folder, with their contents.
fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.to_string_lossy().into_owned();
            files.push((name, fs::read_to_string(&path).expect("a source")));
        }
    }
    files
}

#[test]
fn functions_of_the_tests_are_short() {
    let files = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    assert!(files.len() > 50, "{} files", files.len());
    let faults = files.iter().flat_map(|(p, s)| long_functions(p, s));
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_long_function_is_seen() {
    let body = "        a();\n".repeat(TEST_FUNCTION_LINES_MAX - 2);
    let function = |more: &str| format!("impl A {{\n    pub fn f() {{\n{body}{more}    }}\n}}\n");
    assert_eq!(long_functions("a.rs", &function("")), [""; 0]);
    let long = long_functions("a.rs", &function("        b();\n"));
    assert_eq!(long, ["a.rs: f has 81 lines"]);
}
