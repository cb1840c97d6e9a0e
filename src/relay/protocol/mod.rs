//! The JSON protocol of glasses and apps: their frames and the relay's replies.

mod field_scanner;
mod fields;
mod frames;
mod init;
mod json;
mod replies;
mod subscription_list;
#[cfg(test)]
mod tests;

pub(crate) use self::field_scanner::{
    APP_FIELDS, FIELDS_MAX_BYTES, FIELDS_MAX_TOKENS, FieldScanner, GLASSES_FIELDS, ScanProgress,
};
pub(crate) use self::fields::{Malformed, NO_INIT, stream_of};
pub(crate) use self::frames::{AppFrame, GlassesFrame, is_reserved};
pub(crate) use self::init::{Init, user_of};
pub(crate) use self::replies::{
    DATA_END, PONG, app_ack, app_error, app_notice, app_state_change, app_stopped, connection_ack,
    data_stream, glasses_error, glasses_state, reconnect_ack, reconnect_deferred,
    reconnect_rejected,
};
