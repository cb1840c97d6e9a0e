//! Verdicts: why a connection really ended, judged by what the gateway, its kernel and the client
//! know of the end. Pure.

mod both_table;
mod end_facts;
mod end_patterns;
mod end_verdict;
mod gateway_table;
mod judged_end;
mod kernel_view;
mod row_words;
mod stall_watch;
#[cfg(test)]
mod tests;
mod verdict_judge;

pub use self::end_facts::{EndFacts, EndKind};
pub use self::end_verdict::EndVerdict;
pub use self::judged_end::{Evidence, JudgedEnd};
pub use self::kernel_view::KernelView;
pub use self::row_words::RowWords;
pub(crate) use self::verdict_judge::VerdictJudge;
