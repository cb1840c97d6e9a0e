//! The measurements of the rules about the gateway itself: the loop and the limits of its
//! resources.

use super::alert_rule::Measurement;
use super::alert_settings::AlertSettings;
use super::rule_input::RuleInput;
use super::sample::percent;

pub(super) fn loop_stalls(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let threshold = input.settings.stalls as f64;
    let (value, summary) = match &input.fleet {
        // A loop that does not answer is as bad as a stall that was counted.
        None => (
            threshold,
            "the event loop has not answered for several seconds".to_owned(),
        ),
        Some(fleet) => {
            let stalls = fleet.now.stalls - fleet.then.stalls;
            let away = fleet.now.stalled - fleet.then.stalled;
            let times = if stalls == 1 { "time" } else { "times" };
            let summary = format!(
                "the event loop stalled {stalls} {times}, for {} ms in all, within {} s",
                away.as_millis(),
                input.settings.window.as_secs_f64()
            );
            (stalls as f64, summary)
        }
    };
    Measurement::single(value, threshold, summary)
}

pub(super) fn at_capacity(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let fleet = input.fleet.as_ref()?;
    let refused = fleet.now.refused.saturating_sub(fleet.then.refused);
    let (taken, most) = fleet.now.places;
    let newcomers = if refused == 1 {
        "newcomer was"
    } else {
        "newcomers were"
    };
    let summary = format!(
        "{refused} {newcomers} refused within {} s: {taken} of at most {most} connections are \
         open{}",
        input.settings.window.as_secs_f64(),
        descriptors_allow(input.settings)
    );
    Measurement::single(refused as f64, input.settings.refused as f64, summary)
}

pub(super) fn near_capacity(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let fleet = input.fleet.as_ref()?;
    let (taken, most) = fleet.now.places;
    let (value, threshold) = (percent(taken, most), input.settings.capacity_percent as f64);
    let summary = format!(
        "{taken} of at most {most} connections are open, {value:.1} % (threshold {threshold} %){}",
        descriptors_allow(input.settings)
    );
    Measurement::single(value, threshold, summary)
}

/// Returns the words for a summary if the descriptors, and not `MAX_CONNECTIONS` alone, limit the
/// connections.
fn descriptors_allow(settings: &AlertSettings) -> &'static str {
    if settings.capped_by_descriptors {
        "; the file descriptors allow no more"
    } else {
        ""
    }
}

/// Returns how many times accepting failed within the window because descriptors had run out.
pub(super) fn out_of_descriptors(input: &RuleInput<'_>) -> u64 {
    let fleet = input.fleet.as_ref();
    fleet.map_or(0, |f| {
        f.now
            .out_of_descriptors
            .saturating_sub(f.then.out_of_descriptors)
    })
}

pub(super) fn fds_near_limit(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let threshold = input.settings.fds_percent as f64;
    let failed = out_of_descriptors(input);
    if failed > 0 {
        let times = if failed == 1 { "time" } else { "times" };
        let summary = format!(
            "accepting failed {failed} {times} within {} s: no file descriptor was free (threshold \
             {threshold} %)",
            input.settings.window.as_secs_f64()
        );
        return Measurement::single(100.0, threshold, summary);
    }
    let (open, most) = input.sample.fds?;
    let value = percent(open, most);
    let summary = format!(
        "{open} of {most} file descriptors are open, {value:.1} % (threshold {threshold} %)"
    );
    Measurement::single(value, threshold, summary)
}

pub(super) fn http_requests_near_limit(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let (running, most) = input.sample.http_requests?;
    let value = percent(running, most);
    let threshold = input.settings.capacity_percent as f64;
    let summary = format!(
        "{running} of at most {most} plain HTTP requests are in progress, {value:.1} % (threshold \
         {threshold} %)"
    );
    Measurement::single(value, threshold, summary)
}

pub(super) fn memory_near_limit(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let memory = input.sample.memory?;
    let (used, limit) = (memory.used, memory.limit);
    let (value, threshold) = (percent(used, limit), input.settings.memory_percent as f64);
    let summary = format!(
        "{} MiB of {} MiB are used, {value:.1} % of {} (threshold {threshold} %)",
        used >> 20,
        limit >> 20,
        memory.name
    );
    Measurement::single(value, threshold, summary)
}
