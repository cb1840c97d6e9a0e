//! A herd: all clients lose their connections at once, and come back. `herd.sh` runs both kinds.
//!
//! ```sh
//! herd virtual CLIENTS ACCEPTABLE FIRST_MS          four schedules on virtual time, no sockets
//! herd real ADDR PATH CLIENTS                       clients of pulse on sockets: see real_herd.rs
//! ```
//!
//! ACCEPTABLE is how many handshakes the gateway makes in a second. It prints one JSON object a
//! line. Without arguments it checks itself and ends.

mod real_herd;
mod schedules;
mod virtual_herd;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().ok();
    match words[..] {
        ["virtual", clients, acceptable, first_ms] => {
            let numbers = (number(clients), number(acceptable), number(first_ms));
            if let (Some(clients), Some(acceptable), Some(first_ms)) = numbers {
                virtual_herd::compare(clients as usize, acceptable, first_ms);
                return ExitCode::SUCCESS;
            }
        }
        ["real", address, path, clients] => {
            if let (Ok(address), Some(clients)) = (address.parse(), number(clients)) {
                return real_herd::run(address, path, clients as usize);
            }
        }
        // As a test of `cargo test`: a small herd, all of which comes back.
        [] => {
            let herd = virtual_herd::run("pulse", 1_000, 1_000, 1_000);
            let is_whole = herd.back == 1_000 && herd.peak_accepts <= 2_000;
            return ExitCode::from(u8::from(!is_whole));
        }
        _ => {}
    }
    eprintln!("herd virtual CLIENTS ACCEPTABLE FIRST_MS | herd real ADDR PATH CLIENTS");
    ExitCode::from(2)
}
