//! Bounds of the protocol.

/// The version of the protocol that this module speaks.
pub const PULSE_VERSION: u8 = 1;

/// The byte that control frames begin with, and that escapes a text of the application.
pub const ESCAPE: u8 = 0x01;

/// The longest control frame, in bytes, the escape byte included.
pub const CONTROL_BYTES_MAX: usize = 4_096;

/// The longest report, in bytes of JSON.
pub const REPORT_BYTES_MAX: usize = 2_048;

/// The largest number in a control frame: the largest integer that every JavaScript engine
/// represents exactly (ECMA-262, `Number.MAX_SAFE_INTEGER`).
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A side acknowledges what it has received after this many messages.
pub const ACK_MESSAGES: u32 = 64;

/// A side acknowledges what it has received after this many bytes.
pub const ACK_BYTES: usize = 64 << 10;

/// A message with more bytes than this is announced to a client, whose watchdog then waits longer.
pub const BIG_BYTES: usize = 16 << 10;

/// A ledger has room for this many bytes besides one message of the largest size.
pub const LEDGER_MARGIN_BYTES: usize = 128 << 10;
