//! Lines of the settings file, for messages about them.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A line of the settings file. Prints as `gateway.toml:7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// The path as `CONFIG_FILE` names it.
    file: Arc<str>,
    /// Counted from 1.
    line: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Finds the line of a position in the settings file.
pub(super) struct LineIndex {
    file: Arc<str>,
    /// Where each line but the first begins, in bytes.
    starts: Vec<usize>,
}

impl LineIndex {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        LineIndex {
            file: path.display().to_string().into(),
            starts: ends.map(|(at, _)| at + 1).collect(),
        }
    }

    /// Returns the line in which these bytes begin.
    pub(super) fn line(&self, span: &Range<usize>) -> FileLine {
        FileLine {
            file: self.file.clone(),
            line: 1 + self.starts.partition_point(|start| *start <= span.start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_the_line_in_which_it_begins() {
        let index = LineIndex::new(Path::new("/a b.toml"), "x\ny\n\nz");
        for (at, line) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (9, 4)] {
            let shown = index.line(&(at..at + 1)).to_string();
            assert_eq!(shown, format!("/a b.toml:{line}"));
        }
    }
}
