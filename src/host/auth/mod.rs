//! Who may connect, and as whom: the tokens of users, the keys of apps, the pages of browsers.
//!
//! Without a secret and without apps the gateway is open: anybody is who they say they are. With either, what the other would
//! prove is refused: a gateway that can check no token lets no user in.

mod apps;
mod credentials;
#[cfg(test)]
mod tests;
mod token;
mod url;

pub use self::apps::{APPS_MAX, Apps, AppsError};
pub(crate) use self::credentials::iso;
pub use self::credentials::{Admission, Credentials};
pub use self::token::TokenFault;
pub use self::url::{WebOrigin, is_url};
