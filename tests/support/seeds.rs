//! Seeds of random tests: a failure names its seed, and `SEED=n` runs that one alone.

use fastrand::Rng;

/// Runs `test` with the seeds from 0, or with `SEED` alone, and names the seed that fails.
pub fn for_seeds(count: u64, test: impl Fn(&mut Rng)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with SEED={}", self.0);
            }
        }
    }
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    };
    for seed in seeds {
        let _named = Named(seed);
        test(&mut Rng::with_seed(seed));
    }
}
