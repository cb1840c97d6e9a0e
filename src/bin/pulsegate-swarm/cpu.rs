//! The CPU time of the swarm itself.

/// CPU seconds, in steps of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CpuTime {
    pub user: f64,
    pub system: f64,
}

/// Returns what this process has used so far; zero without `/proc`.
pub fn cpu_time() -> CpuTime {
    let stat = std::fs::read_to_string("/proc/self/stat");
    stat.ok().and_then(|stat| parse(&stat)).unwrap_or_default()
}

impl std::ops::Sub for CpuTime {
    type Output = CpuTime;
    /// Rounds to the steps in which the kernel counts, so that the report shows no rounding errors.
    fn sub(self, before: CpuTime) -> CpuTime {
        let step = |later: f64, earlier: f64| ((later - earlier) * 100.0).round() / 100.0;
        CpuTime {
            user: step(self.user, before.user),
            system: step(self.system, before.system),
        }
    }
}

/// Parses fields 14 and 15 of proc_pid_stat(5), in clock ticks: 100 a second on every Linux ABI.
fn parse(stat: &str) -> Option<CpuTime> {
    // The command's name may contain anything, so count fields after its closing parenthesis: field
    // 3 is next.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields
        .split_ascii_whitespace()
        .skip(11)
        .map(str::parse::<f64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(CpuTime {
        user: user / 100.0,
        system: system / 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_the_fields() {
        let stat = "7 (a b) (c) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20";
        assert_eq!(
            parse(stat),
            Some(CpuTime {
                user: 2.5,
                system: 0.31
            })
        );
    }
}
