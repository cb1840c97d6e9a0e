//! The arguments of the program.

/// The seed if none is given. Any other one gives figures within the printed intervals.
const SEED: u64 = 22;

/// What runs, how long, and from which seed.
pub struct Options {
    /// Every random number of a run follows from it.
    pub seed: u64,
    /// A run of some seconds in which each part checks its own work. The figures of claims are
    /// those of a full run.
    pub is_short: bool,
    parts: Vec<String>,
}

impl Options {
    /// Reads the arguments: names of parts (none: all), `--seed N`, `--short`. Without `--bench`,
    /// which `cargo bench` adds, the run is short, as criterion's are.
    pub fn from_args(known: &[&str]) -> Options {
        let mut options = Options {
            seed: SEED,
            is_short: true,
            parts: Vec::new(),
        };
        let mut is_forced_short = false;
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seed" => {
                    let seed = args.next().and_then(|seed| seed.parse().ok());
                    options.seed = seed.expect("--seed needs a whole number");
                }
                "--short" => is_forced_short = true,
                "--bench" => options.is_short = false,
                // Options of cargo's own harness.
                flag if flag.starts_with('-') => {}
                part => {
                    assert!(known.contains(&part), "{part} is none of {known:?}");
                    options.parts.push(arg);
                }
            }
        }
        options.is_short |= is_forced_short;
        options
    }

    /// Returns whether this part runs.
    pub fn runs(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|p| p == part)
    }

    /// Returns `short` or `full`, depending on the mode.
    pub fn size<T>(&self, short: T, full: T) -> T {
        match self.is_short {
            true => short,
            false => full,
        }
    }

    /// Returns the random numbers of one task, which are independent of those of all others.
    pub fn rng(&self, task: &str, index: u64) -> fastrand::Rng {
        let mut seed = self.seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for byte in task.bytes() {
            seed = (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        // The first numbers of similar seeds are similar.
        let seed = rng.u64(..) ^ rng.u64(..).rotate_left(32);
        fastrand::Rng::with_seed(seed)
    }
}
