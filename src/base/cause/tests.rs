//! Tests of the table of causes, and of cut reasons.

use super::*;

#[test]
fn names_are_unique_and_indexes_dense() {
    let names: HashSet<_> = BASE.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), Cause::COUNT);
    let mut all = CauseTable::with(&[]).all().enumerate();
    assert!(all.all(|(at, cause)| cause.index() == at));
    assert_eq!(Cause::STALE.to_string(), "stale");
}

#[test]
fn reasons_are_cut_between_characters() {
    assert_eq!(cut_reason("short"), "short");
    assert_eq!(cut_reason(&"x".repeat(200)).len(), 123);
    let cut = cut_reason("ab".repeat(61).as_str()).to_owned() + "é";
    assert_eq!(cut_reason(&cut), "ab".repeat(61), "é would end at byte 124");
}
