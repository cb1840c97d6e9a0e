//! The work that control frames cost.

/// The bytes of a control frame that are parsed in one unit of work.
const PARSED_PER_UNIT: usize = 256;

/// Returns the work units for parsing a control frame ([`Io::spend`](crate::engine::Io::spend)).
pub(crate) fn control_units(json: &str) -> u32 {
    u32::try_from(json.len() / PARSED_PER_UNIT).unwrap_or(u32::MAX)
}
