//! Tables in Markdown, so that they can stand in `docs/foresight.md` as they are printed.

/// A table that is printed when it is complete.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with these names of columns.
    pub fn new(columns: &[&str]) -> Table {
        let names = columns.iter().map(|name| (*name).to_string()).collect();
        Table { rows: vec![names] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "{cells:?}");
        self.rows.push(cells);
    }

    /// Prints the table with its caption.
    pub fn print(&self, caption: &str) {
        println!("\n{caption}\n");
        for (index, row) in self.rows.iter().enumerate() {
            println!("| {} |", row.join(" | "));
            if index == 0 {
                println!("|{}", " --- |".repeat(row.len()));
            }
        }
    }
}

/// Formats seconds.
pub fn secs(value: f64) -> String {
    format!("{value:.1} s")
}

/// Formats a share with its interval.
pub fn share_within(value: f64, (low, high): (f64, f64)) -> String {
    format!("{value:.2} ({low:.2} to {high:.2})")
}
