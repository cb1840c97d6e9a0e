//! The proxies that are trusted to report the address of a client.

use super::loading::{fault, run, run_with_file};
use crate::folder::Folder;

#[test]
fn a_proxys_word_counts_only_from_proxies_that_are_named() {
    for version in ["v1", "V2"] {
        let flag = format!("--proxy-protocol {version}");
        let shown = version.to_lowercase();
        let told = format!(
            "PROXY_PROTOCOL={shown:?} (flag): must be off, unless TRUSTED_PROXIES names at least \
             one address: otherwise no proxy is trusted and no header is read"
        );
        assert_eq!(fault(&flag, &[]), told);
        assert_eq!(fault(&format!("{flag} --trusted-proxies="), &[]), told);
        run(&flag, &["TRUSTED_PROXIES=10.0.0.1"]);
        let proxies = fault(&flag, &["TRUSTED_PROXIES=proxy"]);
        assert!(proxies.starts_with("TRUSTED_PROXIES="), "{proxies}");
    }
}

fn networks(list: &str) -> Vec<String> {
    let networks = run("", &[&format!("TRUSTED_PROXIES={list}")]).trusted_proxies;
    networks.iter().map(ToString::to_string).collect()
}

#[test]
fn proxies_are_up_to_256_addresses_and_networks() {
    assert_eq!(networks("10.1.2.3, ::1"), ["10.1.2.3/32", "::1/128"]);
    assert_eq!(networks("::ffff:10.0.0.0/104"), ["10.0.0.0/8"]);
    assert_eq!(networks(&vec!["::1"; 256].join(",")).len(), 256);
    let many = vec!["::1"; 257].join(",");
    let told = fault("", &[&format!("TRUSTED_PROXIES={many}")]);
    assert!(told.contains("must be up to 256 IP"), "{told}");
}

#[test]
fn proxies_in_the_file_are_a_list_or_a_string() {
    let many = |list: &str| {
        run_with_file(format!("trusted_proxies = {list}"))
            .trusted_proxies
            .len()
    };
    assert_eq!(many("['10.0.0.1', '::1']"), 2);
    assert_eq!(many("'10.0.0.1,::1'"), 2);
    assert_eq!(many("[\n'10.0.0.1',\n'::1',\n]"), 2);
}

#[test]
fn an_empty_list_of_proxies_overrules_another_source() {
    let folder = Folder::new();
    let file = folder.file("settings", "trusted_proxies = []");
    let file = format!("CONFIG_FILE={file}");
    let variable = "TRUSTED_PROXIES=::1";
    assert_eq!(run("", &[variable, &file]).trusted_proxies.len(), 1);
    assert_eq!(run("--trusted-proxies=", &[variable]).trusted_proxies, []);
}

#[test]
fn networks_that_are_no_proxies_are_warned_of() {
    let warned = |networks: &str, warned: &[&str]| {
        let warnings = run("", &[&format!("TRUSTED_PROXIES={networks}")]).proxy_warnings();
        assert_eq!(warnings.len(), warned.len(), "{networks}: {warnings:?}");
        for (warning, network) in warnings.iter().zip(warned) {
            let begin = format!("TRUSTED_PROXIES={network:?}: ");
            assert!(warning.starts_with(&begin), "{warning}");
        }
    };
    warned("10.0.0.0/8,fc00::/7,192.0.2.1", &[]);
    warned("0.0.0.0/0", &["0.0.0.0/0"]);
    warned("10.0.0.1,::/0", &["::/0"]);
    let halves = ["0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0"];
    warned("0.0.0.0/1,128.0.0.0/1,::ffff:0:0/96", &halves);
    warned("2000::/3", &["2000::/3"]);
}
