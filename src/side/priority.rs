//! Thread priorities, for when there is not enough CPU for all threads.

/// The nice value (setpriority(2)) that the side threads add to the loop's. At 10 they get a tenth
/// of a CPU that both want, so a page of a thousand sessions delays no heartbeat.
const NICE_STEP: i32 = 10;

/// The highest nice value.
const NICE_MAX: i32 = 19;

/// Lowers the priority of this thread, and of those that it starts, below the loop's thread. On
/// Linux each thread has its own priority.
pub(super) fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};
    // A higher nice value needs no privilege. If it fails, all threads have the same priority, as
    // before.
    let nicer = getpriority_process(None)
        .and_then(|now| setpriority_process(None, (now + NICE_STEP).min(NICE_MAX)));
    if let Err(e) = nicer {
        log::debug!("priority unchanged error=\"{e}\"");
    }
}
