//! Priorities of threads, for when there is not enough CPU for all.

/// How much nicer (setpriority(2)) the threads of operators and of webhooks are than the loop's: at 10 they get a tenth of a CPU
/// that both want, so that a page of a thousand sessions delays no heartbeat.
const NICER: i32 = 10;

/// The nicest there is.
const NICEST: i32 = 19;

/// Lets this thread, and those that it starts, stand back behind the loop's thread. On Linux a thread has a priority of its own.
pub(super) fn stand_back() {
    use rustix::process::{getpriority_process, setpriority_process};
    // Being nicer needs no privilege. Where it fails all threads have the same share, as before.
    let nicer = getpriority_process(None)
        .and_then(|now| setpriority_process(None, (now + NICER).min(NICEST)));
    if let Err(e) = nicer {
        log::debug!("priority unchanged error=\"{e}\"");
    }
}
