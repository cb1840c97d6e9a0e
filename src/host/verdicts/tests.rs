//! Each row of both tables, each with near misses; and the judge.

use super::both_table::{self, BOTH_ROWS};
use super::end_facts::{EndFacts, EndKind};
use super::end_verdict::EndVerdict;
use super::gateway_table::{self, GATEWAY_ROWS};
use super::judged_end::Evidence;
use super::kernel_view::KernelView;
use super::verdict_judge::VerdictJudge;
use crate::base::cause::Cause;
use crate::base::doc_table;
use crate::base::id::{Class, ConnId};
use crate::base::time::Micros;
use crate::engine::{Ending, KernelEvidence, PartnerEnd, SilenceEvidence};
use crate::health::Policy;
use crate::host::classes::{ClassInfo, Classes};
use crate::host::reports::PackedReport;
use std::fmt::Write as _;

mod both_sides;
mod gateway_side;
mod judge;
mod slow_links;

/// Returns the facts of an end of this kind, about which nothing more is known.
fn facts(kind: EndKind) -> EndFacts {
    EndFacts {
        kind,
        kernel: KernelView::Nothing,
        code: None,
        clean: false,
        common_age: false,
        common_gap: false,
        slow_path: false,
        stall_ms: 0,
        silence_ms: 0,
        blocked_ms: 0,
        heard_meanwhile: false,
    }
}

const CLIENT: Class = Class(0);
const UPSTREAM: Class = Class(1);

/// Returns the classes of a bridge.
fn classes() -> Classes {
    let info = |name| ClassInfo {
        name,
        label: name,
        ended_by: Some(name),
        policy: Policy::DEFAULT,
    };
    Classes::new(["client", "upstream"].map(info))
}

/// Returns the end of a client's connection after 100 s, silent for 1 s.
fn ending(cause: Cause) -> Ending {
    Ending {
        lost: false,
        class: Some(CLIENT),
        silence: Micros::from_secs(1),
        ..Ending::sample(cause)
    }
}

#[test]
fn every_verdict_has_words_and_most_have_a_row() {
    let without_row = [EndVerdict::Unknown, EndVerdict::Unreachable];
    for verdict in EndVerdict::ALL.iter().copied() {
        let in_gateway = GATEWAY_ROWS.iter().any(|row| row.verdict == verdict);
        let in_both = BOTH_ROWS.iter().any(|row| row.verdict == verdict);
        assert_ne!(
            in_gateway || in_both,
            without_row.contains(&verdict),
            "{verdict}"
        );
        assert_eq!(EndVerdict::by_name(verdict.name()), Some(verdict));
        assert!(!verdict.meaning().ends_with('.'), "{verdict}");
        assert!(verdict.action().ends_with('.'), "{verdict}");
        assert_eq!(EndVerdict::ALL[verdict as usize], verdict);
    }
}

#[test]
fn the_page_about_verdicts_has_these_tables() {
    let page = "docs/verdicts.md";
    let any = |words: &'static str| if words.is_empty() { "any" } else { words };
    let mut table = String::from(
        "| the gateway saw | the kernel says | the client says | verdict |\n\
         | --- | --- | --- | --- |\n",
    );
    for row in BOTH_ROWS {
        let words = &row.words;
        let (kernel, client) = (any(words.kernel), words.client);
        let _ = writeln!(
            table,
            "| {} | {kernel} | {client} | `{}` |",
            words.gateway, row.verdict
        );
    }
    let tries = both_table::UNREACHABLE_TRIES;
    let _ = writeln!(
        table,
        "| nothing | | never open, {tries} tries or more | `{}` |",
        EndVerdict::Unreachable
    );
    doc_table::check(page, "both", &table);
    let mut table =
        String::from("| the gateway saw | the kernel says | verdict |\n| --- | --- | --- |\n");
    for row in GATEWAY_ROWS {
        let kernel = any(row.words.kernel);
        let _ = writeln!(
            table,
            "| {} | {kernel} | `{}` |",
            row.words.gateway, row.verdict
        );
    }
    let _ = writeln!(table, "| anything else | any | `{}` |", EndVerdict::Unknown);
    doc_table::check(page, "gateway", &table);
    let mut table = String::from("| verdict | what it means | what to do |\n| --- | --- | --- |\n");
    for verdict in EndVerdict::ALL {
        let _ = writeln!(
            table,
            "| `{verdict}` | {} | {} |",
            verdict.meaning(),
            verdict.action()
        );
    }
    doc_table::check(page, "actions", &table);
}
