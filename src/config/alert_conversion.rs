//! Builds the alert settings that the control thread uses.

use super::effective_values::EffectiveValues;
use super::setting_value::SettingValue;
use super::table::row;
use crate::side::{AlertSettings, WebhookUrl};

impl EffectiveValues {
    /// Returns the alert settings; `None` only if there was a fault.
    pub(super) fn alerts(&self) -> Option<AlertSettings> {
        let millis = |at| self.millis(at);
        let number = |at| self.number(at);
        Some(AlertSettings {
            on: self.word(const { row("ALERTS") })? == "on",
            webhook: self.webhook_url(const { row("ALERT_WEBHOOK_URL") }),
            interval: millis(const { row("ALERT_INTERVAL_MS") })?,
            window: millis(const { row("ALERT_WINDOW_MS") })?,
            resolve: millis(const { row("ALERT_RESOLVE_MS") })?,
            repeat: millis(const { row("ALERT_REPEAT_MS") })?,
            min_connections: number(const { row("ALERT_MIN_CONNECTIONS") })?,
            suspects_percent: number(const { row("ALERT_SUSPECTS_PERCENT") })?,
            suspects_for: millis(const { row("ALERT_SUSPECTS_FOR_MS") })?,
            stale_percent: number(const { row("ALERT_STALE_PERCENT") })?,
            stale_min: number(const { row("ALERT_STALE_MIN") })?,
            stale_for: millis(const { row("ALERT_STALE_FOR_MS") })?,
            mass_death: number(const { row("ALERT_MASS_DEATH") })?,
            mass_death_percent: number(const { row("ALERT_MASS_DEATH_PERCENT") })?,
            mass_death_window: millis(const { row("ALERT_MASS_DEATH_WINDOW_MS") })?,
            fleet_late: self.switch(const { row("ALERT_FLEET_LATE") })?,
            cohort_late: number(const { row("ALERT_COHORT_LATE") })?,
            rtt_p99: millis(const { row("ALERT_RTT_MS") })?,
            rtt_for: millis(const { row("ALERT_RTT_FOR_MS") })?,
            flapping: number(const { row("ALERT_FLAPPING") })?,
            flapping_for: millis(const { row("ALERT_FLAPPING_FOR_MS") })?,
            app_down: self.switch(const { row("ALERT_APP_DOWN") })?,
            app_down_for: millis(const { row("ALERT_APP_DOWN_FOR_MS") })?,
            verdict_jump: number(const { row("ALERT_VERDICT_JUMP") })?,
            persistent_trouble: number(const { row("ALERT_PERSISTENT_TROUBLE") })?,
            stalls: number(const { row("ALERT_STALLS") })?,
            capacity_percent: number(const { row("ALERT_CAPACITY_PERCENT") })?,
            refused: number(const { row("ALERT_REFUSED") })?,
            capped_by_descriptors: false,
            fds_percent: number(const { row("ALERT_FDS_PERCENT") })?,
            ports_percent: number(const { row("ALERT_PORTS_PERCENT") })?,
            memory_percent: number(const { row("ALERT_MEMORY_PERCENT") })?,
            limits_for: millis(const { row("ALERT_LIMITS_FOR_MS") })?,
            storm_percent: number(const { row("ALERT_STORM_PERCENT") })?,
            storm_for: millis(const { row("ALERT_STORM_FOR_MS") })?,
        })
    }

    /// Returns a URL that is secret.
    pub(super) fn webhook_url(&self, at: usize) -> Option<WebhookUrl> {
        let SettingValue::Secret(url) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(WebhookUrl::new(url.expose()))
    }
}
