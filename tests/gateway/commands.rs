//! The gateway's process: how it is started, and what one that ends by itself says.

use crate::sockets::{Gateway, PATIENCE};
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts a gateway that drains at once, with these settings.
pub fn gateway_with(settings: &[(&str, &str)]) -> Gateway {
    Gateway::start(&[&[("DRAIN_MS", "0")], settings].concat())
}

/// Returns a command that runs a script of `sh`, in which `"$0"` is the gateway.
pub fn in_shell(script: &str, settings: &[(&str, &str)]) -> Command {
    let inner = Gateway::command(settings);
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(inner.get_program())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command
}

/// Returns the exit code and the log of a gateway that must end by itself.
#[track_caller]
pub fn ended(mut command: Command) -> (Option<i32>, String) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut process = command.stderr(writer).spawn().expect("the gateway");
    drop(command); // and with it the writing end
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        if let Some(status) = process.try_wait().expect("it is ours") {
            break status.code();
        }
        if Instant::now() > deadline {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
            panic!("the gateway runs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("UTF-8");
    (code, log)
}
