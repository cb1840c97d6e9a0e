//! Tables of the documentation that tests compare with the code.

/// Asserts that a page has this table between `<!-- NAME -->` and `<!-- /NAME -->`. With
/// `UPDATE_DOCS=1` the table is written there instead.
#[track_caller]
pub(crate) fn check(page: &str, name: &str, table: &str) {
    let path = format!("{}/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{page}: {e}"));
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let rest = text.split_once(&start).and_then(|(head, rest)| {
        let (inside, tail) = rest.split_once(&end)?;
        Some((head, inside, tail))
    });
    let (head, inside, tail) = rest.unwrap_or_else(|| panic!("{page} has no {start}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = format!("{head}{start}\n{table}\n{end}{tail}");
        std::fs::write(&path, updated).unwrap_or_else(|e| panic!("{page}: {e}"));
        return;
    }
    assert_eq!(
        inside.trim(),
        table.trim(),
        "{page}: run the test with UPDATE_DOCS=1"
    );
}
