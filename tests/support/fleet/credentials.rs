//! The apps of a fleet and their keys.

use pulsegate::gateway::{Admission, AppRegistry, Credentials};
use serde_json::{Value, json as object};

/// The key of tokens in these tests.
pub const SECRET: &str = "a-secret-that-nobody-knows-anywhere";

/// Returns apps with keys, and with webhooks except for `p.bare`.
pub fn credentials(packages: &[&str], admission: Admission) -> Credentials {
    credentials_at(&[], packages, admission)
}

/// Returns credentials of some apps whose servers have moved, and of others.
pub fn credentials_at(moved: &[&str], packages: &[&str], admission: Admission) -> Credentials {
    let app = |package: &str, port: u16| {
        let mut app = object!({"package":package,"api_key":format!("key-of-{package}")});
        if package != "p.bare" {
            app["webhook_url"] = format!("http://127.0.0.1:{port}/{package}").into();
        }
        app
    };
    let moved = moved.iter().map(|package| app(package, 8));
    let apps = moved.chain(packages.iter().map(|package| app(package, 9)));
    let apps: Vec<Value> = apps.collect();
    let apps = AppRegistry::parse(Value::from(apps).to_string().as_bytes()).expect("apps");
    Credentials::new(Some(SECRET), Some(apps), admission, Vec::new())
}
