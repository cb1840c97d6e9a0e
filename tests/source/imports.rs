//! The graph of imports between files: which file names an item of which other file. A re-export
//! counts for the file that defines the item. `mod x;` is no import, and modules under
//! `#[cfg(test)]` are left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One token of a source file, with its line.
pub type Token = (usize, String);

/// The imports of each file: the other file, and the line of the first import.
pub type Graph = BTreeMap<String, BTreeMap<String, usize>>;

/// A module that is a file: its path from the crate's root and its content.
struct Module {
    file: String,
    path: Vec<String>,
    /// Imported names with their full paths. There are no globs.
    uses: Vec<(String, Vec<String>)>,
    /// Every path in the code, with its line.
    paths: Vec<(usize, Vec<String>)>,
    /// Items that are defined here.
    items: BTreeSet<String>,
}

/// Reads all files (path from `src`, tokens) into a graph.
pub fn graph(files: &[(String, Vec<Token>)]) -> Graph {
    let modules: Vec<Module> = files.iter().map(|(f, tokens)| module(f, tokens)).collect();
    let by_path: HashMap<&[String], &Module> = modules.iter().map(|m| (&m.path[..], m)).collect();
    let mut graph = Graph::new();
    for module in &modules {
        let edges = graph.entry(module.file.clone()).or_default();
        for (line, path) in &module.paths {
            if let Some(target) = resolve(&by_path, module, path, 0).and_then(|r| r.file())
                && target != module.file
            {
                edges.entry(target).or_insert(*line);
            }
        }
    }
    graph
}

/// Returns the lines with `use …::*`, which hides what is imported; a module of tests may use it.
pub fn globs(tokens: &[Token]) -> Vec<usize> {
    let tokens = without_tests(tokens);
    let is_glob = |w: &&[Token]| w[0].1 == ":" && w[1].1 == "*";
    tokens.windows(2).filter(is_glob).map(|w| w[0].0).collect()
}

/// Returns the groups of files that import each other in a cycle: the strongly connected components
/// with more than one file.
pub fn cycles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|from| (&**from, reachable(graph, from)))
        .collect();
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for (from, there) in &reach {
        let back = |to: &&&str| reach.get(**to).is_some_and(|r| r.contains(from));
        let group: BTreeSet<String> = there.iter().filter(back).map(|f| (*f).to_owned()).collect();
        if group.len() > 1 && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn reachable<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for to in graph.get(file).into_iter().flat_map(|edges| edges.keys()) {
            if seen.insert(&**to) {
                next.push(to);
            }
        }
    }
    seen
}

// ---- reading ----

fn module(file: &str, tokens: &[Token]) -> Module {
    let tokens = without_tests(tokens);
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let path = match stem {
        "lib" => Vec::new(),
        _ => stem.split('/').map(str::to_owned).collect(),
    };
    let is = |at: usize, what: &str| tokens.get(at).is_some_and(|(_, t)| t == what);
    let text = |at: usize| tokens.get(at).map_or("", |(_, t)| &**t);
    let (mut uses, mut paths, mut items) = (Vec::new(), Vec::new(), BTreeSet::new());
    // In an inline module, `super` is one step shorter.
    let (mut braces, mut inline) = (0_i32, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let word = text(at);
        if word == "{" {
            braces += 1;
            if at >= 2 && is(at - 2, "mod") {
                inline.push(braces);
            }
        } else if word == "}" {
            inline.retain(|level| *level != braces);
            braces -= 1;
        }
        if word == "use" && !is(at.wrapping_sub(1), ".") && !is(at + 1, "<") {
            let mut found = Vec::new();
            at = use_tree(&tokens, at + 1, &mut Vec::new(), &mut found);
            for (line, name, path) in found {
                let path = outside(path, inline.len());
                uses.push((name, path.clone()));
                paths.push((line, path));
            }
            continue;
        }
        let defines = [
            "fn", "struct", "enum", "trait", "type", "const", "static", "mod",
        ];
        if defines.contains(&word) {
            let skipped = usize::from(is(at + 1, "mut"));
            if word != "mod" || is(at + 2, "{") {
                items.insert(text(at + 1 + skipped).to_owned());
            }
        } else if word == "macro_rules" {
            items.insert(text(at + 2).to_owned());
        }
        let begins = is_name(word) && is(at + 1, ":") && is(at + 2, ":");
        if begins && !(is(at.wrapping_sub(1), ":") && is(at.wrapping_sub(2), ":")) {
            let (line, mut path) = (tokens[at].0, vec![word.to_owned()]);
            while is(at + 1, ":") && is(at + 2, ":") && is_name(text(at + 3)) {
                path.push(text(at + 3).to_owned());
                at += 3;
            }
            paths.push((line, outside(path, inline.len())));
        }
        at += 1;
    }
    Module {
        file: file.to_owned(),
        path,
        uses,
        paths,
        items,
    }
}

/// Converts a path that is `inline` modules deep inside a file to a path at the top of the file.
fn outside(mut path: Vec<String>, inline: usize) -> Vec<String> {
    let supers = path.iter().take_while(|step| *step == "super").count();
    let inside = supers.min(inline);
    if inside > 0 {
        path.drain(..inside);
        if supers == inside {
            path.insert(0, "self".to_owned());
        }
    }
    path
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns the tokens without items under `#[cfg(test)]`, or `#[cfg(all(test, …))]`.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let is = |at: usize, what: &str| tokens.get(at).is_some_and(|(_, t)| t == what);
    let (mut left, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let is_cfg = is(at, "#") && is(at + 1, "[") && is(at + 2, "cfg");
        // `not(test)` and `any(test, …)` are code, too.
        let is_test = is(at + 4, "test") && is(at + 5, ")");
        let is_all = is(at + 4, "all") && is(at + 6, "test");
        let marked = is_cfg && (is_test || is_all);
        if !marked {
            left.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // Up to the end of the item: a semicolon, or the brace that closes it.
        let mut level = 0;
        while let Some((_, token)) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" => level += 1,
                "}" => level -= 1,
                _ => {}
            }
            if level == 0 && (token == ";" || token == "}") {
                break;
            }
        }
    }
    left
}

/// Reads one tree of a `use`, with the path before it. Returns the position of its end.
fn use_tree(
    tokens: &[Token],
    mut at: usize,
    before: &mut Vec<String>,
    found: &mut Vec<(usize, String, Vec<String>)>,
) -> usize {
    let own = before.len();
    while let Some((line, token)) = tokens.get(at) {
        match token.as_str() {
            ":" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, t)| t != "}") {
                    at = use_tree(tokens, at, before, found);
                    at += usize::from(tokens.get(at).is_some_and(|(_, t)| t == ","));
                }
                before.truncate(own);
                // After the brace, only the end of the tree follows.
                return at + 1;
            }
            ";" | "," | "}" => break,
            "as" => {
                let name = tokens.get(at + 1).map_or("_", |(_, t)| &**t);
                found.push((*line, name.to_owned(), before.clone()));
                before.truncate(own);
                return at + 2;
            }
            _ => {
                before.push(token.clone());
                at += 1;
            }
        }
    }
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    if before.last().is_some_and(|last| last == "self") && before.len() > 1 {
        let path = before[..before.len() - 1].to_vec();
        found.push((line, path.last().cloned().unwrap_or_default(), path));
    } else if let Some(name) = before.last() {
        found.push((line, name.clone(), before.clone()));
    }
    before.truncate(own);
    at
}

// ---- resolving ----

/// What a path names.
enum Named<'a> {
    Module(&'a Module),
    Item(&'a Module),
}

impl Named<'_> {
    /// Returns the file that is imported by naming this. The module of a folder alone is none: only
    /// the item that is named in it counts.
    fn file(self) -> Option<String> {
        match self {
            Named::Module(m) if m.file.ends_with("mod.rs") || m.path.is_empty() => None,
            Named::Module(m) | Named::Item(m) => Some(m.file.clone()),
        }
    }
}

/// The limit of re-export steps: more are a cycle.
const STEPS: usize = 16;

/// Returns what a path in `from` names. `None`: an item that is not of this crate, or of the file
/// itself.
fn resolve<'a>(
    modules: &HashMap<&[String], &'a Module>,
    from: &'a Module,
    path: &[String],
    steps: usize,
) -> Option<Named<'a>> {
    if steps > STEPS {
        return None;
    }
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        // The program's modules use the library as a crate.
        "crate" | "pulsegate" => within(modules, *modules.get(&[][..])?, rest, steps),
        "self" => within(modules, from, rest, steps),
        "super" => {
            let above = &from.path[..from.path.len().checked_sub(1)?];
            let above: &'a Module = modules.get(above)?;
            match rest.first() {
                Some(next) if next == "super" => resolve(modules, above, rest, steps),
                _ => within(modules, above, rest, steps),
            }
        }
        // The name of a child, or an imported name.
        _ => {
            let mut child = from.path.clone();
            child.push(first.clone());
            let known = modules.contains_key(&child[..])
                || from
                    .uses
                    .iter()
                    .any(|(n, p)| n == first && p[..] != path[..]);
            known.then(|| within(modules, from, path, steps))?
        }
    }
}

/// Returns what a path that begins in this module names.
fn within<'a>(
    modules: &HashMap<&[String], &'a Module>,
    at: &'a Module,
    path: &[String],
    steps: usize,
) -> Option<Named<'a>> {
    let Some((first, rest)) = path.split_first() else {
        return Some(Named::Module(at));
    };
    let mut child = at.path.clone();
    child.push(first.clone());
    if let Some(child) = modules.get(&child[..]) {
        return within(modules, child, rest, steps);
    }
    if at.items.contains(first) {
        return Some(Named::Item(at));
    }
    // Imported or re-exported here: resolve its target.
    if let Some((_, target)) = at.uses.iter().find(|(name, _)| name == first) {
        return match resolve(modules, at, target, steps + 1)? {
            Named::Module(m) => within(modules, m, rest, steps + 1),
            item => Some(item),
        };
    }
    Some(Named::Item(at))
}
