//! The page at `/`: what it is made of, embedded. It holds no data, so whoever reaches the listener may have it; what it shows
//! it asks the API for, as anybody must.

mod assets;

pub(super) use self::assets::{is_page, router};
