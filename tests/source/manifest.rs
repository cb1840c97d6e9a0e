//! What Cargo.toml must say.

#[test]
fn the_lints_are_in_cargo_toml() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, lints) = manifest.split_once("[lints.rust]\n").expect("[lints.rust]");
    let lints = lints.split("\n[").next().unwrap_or_default();
    for lint in ["unsafe_code = \"forbid\"", "missing_docs = \"warn\""] {
        assert!(lints.lines().any(|l| l == lint), "{lint}");
    }
}

#[test]
fn the_library_without_features_is_the_data_plane() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, rest) = manifest
        .split_once("\n[dependencies]\n")
        .expect("[dependencies]");
    let section = rest.split("\n[").next().unwrap_or_default();
    let mut always: Vec<&str> = section
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#') && !l.contains("optional = true"))
        .filter_map(|l| l.split(" =").next())
        .collect();
    always.sort_unstable();
    let named = [
        "data-encoding",
        "getrandom",
        "hierarchical_hash_wheel_timer",
        "httparse",
        "log",
        "mio",
        "nix",
        "slab",
        "socket2",
        "thiserror",
        "tungstenite",
    ];
    assert_eq!(always, named, "design §3, and what dialling needs");
}
