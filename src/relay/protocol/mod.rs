//! The JSON protocol of glasses and apps: their frames and the relay's replies.

mod fields;
mod frames;
mod init;
mod json;
mod outline;
mod replies;
mod subscribing;
#[cfg(test)]
mod tests;

pub(crate) use self::fields::{Malformed, NO_INIT, stream_of};
pub(crate) use self::frames::{FromApp, FromGlasses, is_reserved};
pub(crate) use self::init::{Init, user_of};
pub(crate) use self::outline::{OF_APPS, OF_GLASSES, OUTLINE_MAX, Outline, Reading, TOKENS_MAX};
pub(crate) use self::replies::{
    DATA_END, PONG, app_ack, app_error, app_news, app_state_change, app_stopped, connection_ack,
    data_stream, glasses_error, reconnect_ack, reconnect_deferred, reconnect_rejected,
};
