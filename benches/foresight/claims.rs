//! What the issue demands, and whether this run shows it.

/// The claims of all parts that have run.
#[derive(Default)]
pub struct Claims {
    all: Vec<(String, bool)>,
}

impl Claims {
    /// Records whether a claim is met. `what` contains the measured figure.
    pub fn check(&mut self, is_met: bool, what: String) {
        self.all.push((what, is_met));
    }

    /// Prints all claims. Returns whether each is met.
    pub fn print(&self) -> bool {
        println!("\n## Claims\n");
        for (what, is_met) in &self.all {
            let word = if *is_met { "met" } else { "MISSED" };
            println!("- {word}: {what}");
        }
        self.all.iter().all(|(_, is_met)| *is_met)
    }
}
