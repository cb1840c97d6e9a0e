//! The page at `/` and its embedded files. It holds no data and needs no token: it requests its
//! data from the API, as any client does.

mod assets;

pub(super) use self::assets::{is_page, router};
