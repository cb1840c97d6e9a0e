//! Every rule on invented samples with a virtual clock: it fires, is silent just below the
//! threshold, resolves, and does not flap.

mod alert_states;
mod capacity;
mod common_agents;
mod ends_kept;
mod fleet_harness;
mod healthy;
mod identities;
mod late_story;
mod mass_death;
mod persistent_trouble;
mod posts;
mod shares;
mod story;
mod upstreams;
mod verdicts;
