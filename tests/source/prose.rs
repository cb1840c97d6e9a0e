//! Holds the house style: no pronoun of persons for connections and code, short sentences, short
//! lines, short cells. Reads the comments of all Rust sources, the messages of the gateway, the
//! docs, which have the help texts of all settings, the page, and the files for a deployment.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};

/// Words that stand for people, and so neither for a connection nor for code.
const PERSONS: &[&str] = &[
    "who",
    "whoever",
    "whom",
    "somebody",
    "nobody",
    "everybody",
    "anybody",
];

/// Sentences that are about people, by a part of them that is found once in its file.
const ABOUT_PEOPLE: &[(&str, &str)] = &[];

/// Words of a sentence at most, in doc comments and docs.
const WORDS_MAX: usize = 35;

/// Columns of a line of code or of a comment at most.
const COLUMNS_MAX: usize = 100;

/// Characters of a table's cell at most.
const CELL_MAX: usize = 300;

/// Folders whose files are read to the last word: the page, and what a deployment starts from.
const WHOLE: &[&str] = &["src/side/admin/dashboard/", "docs/deploy/"];

/// Folders with sources, and the docs.
const SOURCES: &[&str] = &["src", "tests", "benches", "docs", "README.md"];

/// A paragraph of prose with the line that it begins in.
#[derive(Debug, Default)]
struct Paragraph {
    line: usize,
    text: String,
}

/// What one file says, and what is wrong with its form.
#[derive(Debug, Default)]
struct Prose {
    /// Paragraphs of doc comments or of a page, whose sentences are measured.
    measured: Vec<Paragraph>,
    /// Other comments.
    comments: Vec<Paragraph>,
    faults: Vec<(usize, String)>,
}

/// Collects lines into paragraphs. Code between fences, tables and headings end one.
#[derive(Debug, Default)]
struct Collector {
    open: Paragraph,
    paragraphs: Vec<Paragraph>,
    in_code: bool,
}

impl Collector {
    fn line(&mut self, number: usize, line: &str) {
        let line = line.trim();
        let is_fence = line.starts_with("```");
        self.in_code ^= is_fence;
        let item = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = ["- ", "* ", ". "].iter().any(|mark| item.starts_with(mark));
        if is_fence || self.in_code || line.is_empty() || line.starts_with(['|', '#']) || is_item {
            self.end();
        }
        if is_fence || self.in_code || line.starts_with('#') {
            return;
        }
        if self.open.text.is_empty() {
            self.open.line = number;
        }
        self.open.text += line;
        self.open.text.push(' ');
        if line.starts_with('|') {
            self.end();
        }
    }

    fn end(&mut self) {
        if !self.open.text.trim().is_empty() {
            self.paragraphs.push(std::mem::take(&mut self.open));
        }
        self.open = Paragraph::default();
    }

    fn finish(mut self) -> Vec<Paragraph> {
        self.end();
        self.paragraphs
    }
}

/// The string literals of a source. Doc comments and modules of tests are left out.
fn literals(tokens: TokenStream, found: &mut Vec<Literal>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut is_of_tests = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                let Some(TokenTree::Group(attribute)) = tokens.peek() else {
                    continue;
                };
                let text = attribute.stream().to_string().replace(' ', "");
                is_of_tests |= text == "cfg(test)";
                if text.starts_with("doc=") {
                    tokens.next();
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => is_of_tests = false,
            TokenTree::Group(group) => {
                let is_body = group.delimiter() == Delimiter::Brace;
                if !(is_body && is_of_tests) {
                    literals(group.stream(), found);
                }
                is_of_tests &= !is_body;
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.ends_with(['"', '#']) {
                    found.push(literal);
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// The strings of a source that are texts, as paragraphs, and the lines that raw strings are in.
fn read_strings(source: &str) -> (Vec<Paragraph>, Vec<usize>) {
    let tokens = source.parse().expect("a Rust source");
    let mut found = Vec::new();
    literals(tokens, &mut found);
    let mut texts = Vec::new();
    let mut raw = Vec::new();
    for literal in found {
        let text = literal.to_string();
        let (first, last) = (literal.span().start().line, literal.span().end().line);
        if text.starts_with(['r', 'b']) {
            raw.extend(first..=last);
        } else if text.contains(' ') {
            texts.push(Paragraph {
                line: first,
                text: text.replace("\\n", " ").replace('\\', " "),
            });
        }
    }
    (texts, raw)
}

/// Whether the file only tests.
fn is_test(path: &str) -> bool {
    !path.starts_with("src/") || path.ends_with("tests.rs") || path.contains("/tests/")
}

/// The comments and the messages of a Rust source.
fn read_source(path: &str, source: &str) -> Prose {
    let mut prose = Prose::default();
    let (texts, raw) = read_strings(source);
    let mut kinds: [(&str, Collector); 3] =
        ["//!", "///", "//"].map(|kind| (kind, Collector::default()));
    for (number, line) in source.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        let trimmed = line.trim_start();
        let found = kinds.iter().position(|(kind, _)| trimmed.starts_with(kind));
        for (nth, (_, collector)) in kinds.iter_mut().enumerate() {
            if Some(nth) != found {
                collector.end();
            }
        }
        // Neither a command nor a raw string nor a word is wrapped.
        let mut is_whole = raw.contains(&number) || trimmed.split(' ').any(|w| w.len() > 80);
        if let Some(nth) = found {
            let (kind, collector) = &mut kinds[nth];
            let said = trimmed.trim_start_matches(*kind);
            collector.line(number, said);
            is_whole |= collector.in_code || said.starts_with("     ");
        }
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !is_whole {
            let fault = format!("a line of {columns} columns, at most {COLUMNS_MAX}");
            prose.faults.push((number, fault));
        }
    }
    let [inner, outer, plain] = kinds.map(|(_, collector)| collector.finish());
    prose.measured.extend(inner.into_iter().chain(outer));
    prose.comments = plain;
    if !is_test(path) {
        prose.comments.extend(texts);
    }
    prose
}

/// All lines of a file that is read to the last word.
fn read_whole(source: &str) -> Prose {
    let lines = source.lines().enumerate().map(|(n, line)| Paragraph {
        line: n + 1,
        text: line.to_owned(),
    });
    Prose {
        comments: lines.collect(),
        ..Prose::default()
    }
}

/// The paragraphs of a page, and its cells that are too long.
fn read_page(source: &str) -> Prose {
    let mut prose = Prose::default();
    let mut collector = Collector::default();
    for (number, line) in source.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        if line.starts_with('|') && !collector.in_code {
            for cell in line.split('|') {
                let characters = cell.trim().chars().count();
                if characters > CELL_MAX {
                    let fault = format!("a cell of {characters} characters, at most {CELL_MAX}");
                    prose.faults.push((number, fault));
                }
            }
            collector.end();
            prose.comments.push(Paragraph {
                line: number,
                text: line.to_owned(),
            });
            continue;
        }
        collector.line(number, line);
    }
    prose.measured = collector.finish();
    prose
}

/// The text without code spans and without the targets of links.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (nth, part) in text.split('`').enumerate() {
        plain += if nth % 2 == 0 { part } else { "x" };
    }
    while let Some(from) = plain.find("](") {
        let to = plain[from..]
            .find(')')
            .map_or(plain.len(), |to| from + to + 1);
        plain.replace_range(from..to, "");
    }
    plain.replace(['[', ']'], "")
}

/// The sentences of a paragraph. What stands behind a colon or a semicolon counts as another.
fn sentences(text: &str) -> Vec<String> {
    let text = plain(text)
        .replace("e.g.", "for example")
        .replace("i.e.", "that is");
    let mut sentences = vec![String::new()];
    for word in text.split_whitespace() {
        let last = sentences.last_mut().expect("one at least");
        last.push_str(word);
        last.push(' ');
        let end = word.trim_end_matches([')', '"', '*', '_']);
        if end.ends_with(['.', '!', '?', ':', ';']) {
            sentences.push(String::new());
        }
    }
    sentences.retain(|sentence| !sentence.trim().is_empty());
    sentences
}

fn words(sentence: &str) -> impl Iterator<Item = &str> {
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    sentence.split_whitespace().filter(is_word)
}

/// What is wrong in a file, line by line.
fn faults(path: &str, source: &str) -> Vec<String> {
    let prose = if path.ends_with(".md") {
        read_page(source)
    } else if path.ends_with(".rs") {
        read_source(path, source)
    } else {
        read_whole(source)
    };
    let mut faults = prose.faults;
    for paragraph in &prose.measured {
        for sentence in sentences(&paragraph.text) {
            let count = words(&sentence).count();
            if count > WORDS_MAX {
                let begin: String = sentence.chars().take(60).collect();
                let fault = format!("a sentence of {count} words, at most {WORDS_MAX}: {begin}…");
                faults.push((paragraph.line, fault));
            }
        }
    }
    for paragraph in prose.measured.iter().chain(&prose.comments) {
        let allowed = |sentence: &str| {
            let of_this = |(file, _): &&(&str, &str)| path == *file;
            let mut known = ABOUT_PEOPLE.iter().filter(of_this);
            known.any(|(_, part)| sentence.contains(part))
        };
        for sentence in sentences(&paragraph.text) {
            let letters = |c: char| !c.is_alphanumeric() && c != '-' && c != '_';
            let mut found = sentence.split(letters).map(str::to_lowercase);
            if let Some(word) = found.find(|word| PERSONS.contains(&&**word))
                && !allowed(&sentence)
            {
                let fault = format!("\"{word}\" stands for people only: {sentence}");
                faults.push((paragraph.line, fault));
            }
        }
    }
    let named = |(line, fault): (usize, String)| format!("{path}:{line}: {fault}");
    faults.into_iter().map(named).collect()
}

/// All sources and pages, with their paths from the root of the project.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = SOURCES.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder that can be read");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let name = path.strip_prefix(root).expect("below the root");
        let name = name.display().to_string();
        let is_whole = WHOLE.iter().any(|folder| name.starts_with(folder));
        if is_whole || [".rs", ".md"].iter().any(|kind| name.ends_with(kind)) {
            let source = fs::read_to_string(&path).expect("a text");
            files.push((name, source));
        }
    }
    files.sort();
    files
}

#[test]
fn the_prose_is_plain() {
    let files = files();
    assert!(files.len() > 300, "only {} files were found", files.len());
    let faults: Vec<String> = files
        .iter()
        .flat_map(|(path, source)| faults(path, source))
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn each_kind_of_fault_is_seen() {
    let long = "w ".repeat(WORDS_MAX + 1);
    let wide = format!("// {}", "x ".repeat(COLUMNS_MAX / 2));
    let words = format!("const A: &str = \"{}\";", "xyz ".repeat(26));
    let cell = format!("| a | {} |", "b".repeat(CELL_MAX + 1));
    for (path, source, what) in [
        ("src/a.rs", "/// Whoever waits.".to_owned(), "whoever"),
        ("src/a.rs", "// Nobody waits.".to_owned(), "nobody"),
        ("src/a.rs", format!("//! {long}."), "36 words"),
        ("src/a.rs", wide, "103 columns"),
        ("src/a.rs", words, "123 columns"),
        (
            "src/a.rs",
            "fn a() { f(\"nobody waits\") }".to_owned(),
            "nobody",
        ),
        (
            "src/a.rs",
            "#[cfg(test)] mod tests {} const A: &str = \"who comes\";".to_owned(),
            "who",
        ),
        ("docs/deploy/a.toml", "# Whom it serves".to_owned(), "whom"),
        ("docs/a.md", format!("Some {long}"), "37 words"),
        ("docs/a.md", "| a | who |".to_owned(), "who"),
        ("docs/a.md", cell, "301 characters"),
    ] {
        let found = faults(path, &source);
        assert!(
            found.len() == 1 && found[0].contains(what),
            "{source}: {found:?}"
        );
    }
}

#[test]
fn what_is_no_prose_is_left_alone() {
    let long = "w ".repeat(20);
    for (path, source) in [
        (
            "src/a.rs",
            "let who = \"nobody\"; // `who` is a name".to_owned(),
        ),
        (
            "src/a.rs",
            "#[cfg(test)] mod tests { const A: &str = \"who comes\"; }".to_owned(),
        ),
        ("tests/a.rs", "const A: &str = \"who comes\";".to_owned()),
        (
            "src/a.rs",
            format!("const A: &str = r#\"{}\"#;", "xyz ".repeat(26)),
        ),
        (
            "src/a.rs",
            "/// [`who`](Self::who) and `whoever`.".to_owned(),
        ),
        (
            "src/a.rs",
            format!("/// {long}: {long}\n/// - {long}\n/// - {long}"),
        ),
        ("docs/a.md", format!("```\nwho {long} {long}\n```")),
        ("docs/a.md", "# Who?".to_owned()),
    ] {
        let found = faults(path, &source);
        assert!(found.is_empty(), "{source}: {found:?}");
    }
}
