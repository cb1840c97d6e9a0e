//! Authentication: user tokens, app keys, and the origins of browser pages.
//!
//! Without a secret and without apps the gateway is open: every claimed identity is accepted. With
//! only one of them, peers that need the other are refused: a gateway that cannot check tokens
//! admits no users.

mod app_registry;
mod claims;
mod credentials;
mod origin_check;
mod post_signer;
#[cfg(test)]
mod tests;
mod token;
mod token_fault;
mod url;

pub use self::app_registry::{APPS_MAX, AppRegistry, AppRegistryError};
pub(crate) use self::claims::Claims;
pub(crate) use self::credentials::format_rfc3339;
pub use self::credentials::{Admission, Credentials};
pub(crate) use self::origin_check::foreign_origin;
pub use self::post_signer::PostSigner;
pub use self::token_fault::TokenFault;
pub use self::url::{WebOrigin, is_url};
