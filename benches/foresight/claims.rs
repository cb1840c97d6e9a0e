//! What the issue demands, and whether this run shows it.

/// The claims of all parts that have run.
#[derive(Default)]
pub struct Claims {
    all: Vec<Claim>,
}

struct Claim {
    what: String,
    is_met: bool,
    /// Whether the program fails if the claim is missed.
    is_required: bool,
}

impl Claims {
    /// Records a claim that must be met. `what` contains the measured figure.
    pub fn require(&mut self, is_met: bool, what: String) {
        self.add(is_met, what, true);
    }

    /// Records a claim that is known to be missed: its figure is all that can be said.
    pub fn state(&mut self, is_met: bool, what: String) {
        self.add(is_met, what, false);
    }

    fn add(&mut self, is_met: bool, what: String, is_required: bool) {
        self.all.push(Claim {
            what,
            is_met,
            is_required,
        });
    }

    /// Prints all claims. Returns whether those are met that must be.
    pub fn print(&self) -> bool {
        println!("\n## Claims\n");
        for Claim { what, is_met, .. } in &self.all {
            println!("- {}: {what}", if *is_met { "met" } else { "MISSED" });
        }
        self.all
            .iter()
            .all(|claim| claim.is_met || !claim.is_required)
    }
}
