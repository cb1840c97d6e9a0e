//! The attacker, and the control peers that measure its effect: `benches/scenarios/attack.sh` runs
//! both.
//!
//! ```sh
//! attack KIND SECONDS ADDR [ADMIN_ADDR]     one attack, at full speed, from one thread
//! attack control SECONDS ADDR [--floor]     control peers; prints what their pings and heartbeats were like
//! ```
//!
//! Loopback only. Each run ends by itself: after SECONDS (60 at most), or as soon as the server is
//! gone. Both print one JSON object. Without a kind it checks itself and ends.

mod control;
mod flood;
mod kinds;
#[path = "../../micro/updates.rs"]
mod updates;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// The longest run, in seconds.
const LONGEST: u64 = 60;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        kinds::check();
        println!("attacks: {}", kinds::NAMES.join(" "));
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("attack: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<String, String> {
    let seconds = args.get(1).and_then(|a| a.parse().ok());
    let seconds = seconds
        .filter(|s| (1..=LONGEST).contains(s))
        .ok_or(format!("SECONDS must be 1 to {LONGEST}"))?;
    let time = Duration::from_secs(seconds);
    let addr = address(args.get(2))?;
    if args[0] == "control" {
        let floor = args.iter().any(|a| a == "--floor");
        return control::run(addr, time, floor).map_err(|e| e.to_string());
    }
    let admin = args.get(3).map(|_| address(args.get(3))).transpose()?;
    let plan = kinds::plan(&args[0], admin)?;
    flood::run(plan, addr, time).map_err(|e| e.to_string())
}

/// Parses an address on this machine.
fn address(text: Option<&String>) -> Result<SocketAddr, String> {
    let text = text.ok_or("an address is missing")?;
    let addr: SocketAddr = text.parse().map_err(|e| format!("{text}: {e}"))?;
    if addr.ip().is_loopback() {
        Ok(addr)
    } else {
        Err(format!("{text}: attacks go to loopback addresses only"))
    }
}
