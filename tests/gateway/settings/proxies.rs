//! The proxies that are trusted to report the address of a client.

use super::loading::{fault, run};
use crate::folder::Folder;

#[test]
fn a_proxys_word_counts_only_from_proxies_that_are_named() {
    for version in ["v1", "V2"] {
        let flag = format!("--proxy-protocol {version}");
        let shown = version.to_lowercase();
        let told = format!(
            "PROXY_PROTOCOL={shown:?} (flag): must be off, unless TRUSTED_PROXIES names at least \
             one address: otherwise no header would be read"
        );
        assert_eq!(fault(&flag, &[]), told);
        assert_eq!(fault(&format!("{flag} --trusted-proxies="), &[]), told);
        run(&flag, &["TRUSTED_PROXIES=10.0.0.1"]);
        let proxies = fault(&flag, &["TRUSTED_PROXIES=proxy"]);
        assert!(proxies.starts_with("TRUSTED_PROXIES="), "{proxies}");
    }
    let networks = |text: &str| {
        let networks = run("", &[&format!("TRUSTED_PROXIES={text}")]).trusted_proxies;
        networks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(networks("10.1.2.3, ::1"), ["10.1.2.3/32", "::1/128"]);
    assert_eq!(networks("::ffff:10.0.0.0/104"), ["10.0.0.0/8"]);
    assert_eq!(networks(&vec!["::1"; 256].join(",")).len(), 256);
    let many = vec!["::1"; 257].join(",");
    assert!(fault("", &[&format!("TRUSTED_PROXIES={many}")]).contains("must be up to 256 IP"));
    let folder = Folder::new();
    for list in [
        "['10.0.0.1', '::1']",
        "'10.0.0.1,::1'",
        "[\n'10.0.0.1',\n'::1',\n]",
    ] {
        let file = folder.file("settings", format!("trusted_proxies = {list}"));
        let settings = run("", &[&format!("CONFIG_FILE={file}")]);
        assert_eq!(settings.trusted_proxies.len(), 2);
    }
    let file = folder.file("settings", "trusted_proxies = []");
    let overruled = ["TRUSTED_PROXIES=::1", &format!("CONFIG_FILE={file}")].map(str::to_owned);
    let [variable, file] = &overruled;
    assert_eq!(run("", &[variable, file]).trusted_proxies.len(), 1);
    assert_eq!(run("--trusted-proxies=", &[variable]).trusted_proxies, []);
}

#[test]
fn networks_that_are_no_proxies_are_warned_of() {
    for (networks, warned) in [
        ("10.0.0.0/8,fc00::/7,192.0.2.1", &[][..]),
        ("0.0.0.0/0", &["0.0.0.0/0"]),
        ("10.0.0.1,::/0", &["::/0"]),
        (
            "0.0.0.0/1,128.0.0.0/1,::ffff:0:0/96",
            &["0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0"],
        ),
        ("2000::/3", &["2000::/3"]),
    ] {
        let warnings = run("", &[&format!("TRUSTED_PROXIES={networks}")]).proxy_warnings();
        assert_eq!(warnings.len(), warned.len(), "{networks}: {warnings:?}");
        for (warning, network) in warnings.iter().zip(warned) {
            let begin = format!("TRUSTED_PROXIES={network:?}: ");
            assert!(warning.starts_with(&begin), "{warning}");
        }
    }
}
