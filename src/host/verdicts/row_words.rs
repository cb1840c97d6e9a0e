//! The words of a row: what must hold for its verdict.

use super::end_verdict::EndVerdict;
use std::fmt;

/// What must hold for a verdict, in words. Prints as one text.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowWords {
    /// What the gateway saw.
    pub gateway: &'static str,
    /// What the kernel says; empty: anything.
    pub kernel: &'static str,
    /// What the client says; empty: nothing, or anything.
    pub client: &'static str,
}

/// The verdict of the row that decided, with its words; without words no row did.
pub(super) type Decision = (EndVerdict, Option<&'static RowWords>);

impl fmt::Display for RowWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway: {}", self.gateway)?;
        for (side, words) in [("kernel", self.kernel), ("client", self.client)] {
            if !words.is_empty() {
                write!(f, "; {side}: {words}")?;
            }
        }
        Ok(())
    }
}
