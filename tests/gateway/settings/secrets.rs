//! Secrets: from a variable or a file, their bounds, and what happens if one was not filled in.

use super::loading::{fault, fault_of, run, wrong_flag};
use super::samples::{APPS, SECRET, SECRETS, TOKEN, addr_of, least_of, secret_of, spaces_of};
use crate::folder::Folder;

fn flag_of(name: &str) -> String {
    format!("--{}", name.to_lowercase().replace('_', "-"))
}

#[test]
fn a_secret_is_given_by_itself_or_in_a_file() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let given = |args: &str, env: &[&str]| secret_of(&run(args, env), name);
        assert_eq!(given("", &[]), None);
        let variable = format!("{name}={TOKEN}");
        assert_eq!(given("", &[&variable]).as_deref(), Some(TOKEN));
        let padded = format!("{TOKEN}{}", "\n".repeat((64 << 10) - TOKEN.len()));
        for content in [
            TOKEN,
            &format!("{TOKEN}\n"),
            &format!("{TOKEN} \t\r\n\n"),
            &padded,
        ] {
            let file = folder.file("secret", content);
            let flag = format!("{} {file}", flag_of(file_name));
            assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));
            let line = format!("{} = '{file}'", file_name.to_lowercase());
            let flag = format!("--config-file {}", folder.file("settings", line));
            assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));
        }
    }
}

#[test]
fn a_file_holds_a_secret_and_nothing_else() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let refused = |content: &[u8], must: &str| {
            let file = folder.file("secret", content);
            wrong_flag(file_name, &file, must);
        };
        let too_long = format!("{TOKEN}{}", "\n".repeat((64 << 10) + 1 - TOKEN.len()));
        refused(too_long.as_bytes(), "a file of at most 65536 bytes");
        let (min, with) = (least_of(name), spaces_of(name));
        let holds =
            format!("a file that holds {min} to 512 visible ASCII characters {with} spaces");
        refused(b"", &holds);
        refused(b"\n", &holds);
        refused("x".repeat(min - 1).as_bytes(), &holds);
        refused("x".repeat(513).as_bytes(), &holds);
        refused(b"s3cret\ts3cret\ts3cret", &holds);
        refused("s3cret-s3cret-s3cr\u{e9}t".as_bytes(), &holds);
        refused(b"s3cret-s3cret-s3cret\xff", &holds);
    }
}

#[test]
fn a_secret_is_not_given_twice() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let file = folder.file("secret", TOKEN);
        let flag = format!("{} {file}", flag_of(file_name));
        assert_eq!(
            fault(&flag, &[&format!("{name}={TOKEN}")]),
            format!(
                "{file_name}={file:?} (flag): must be left out, because {name} is set as well (env)"
            )
        );
    }
}

#[test]
fn a_missing_file_of_a_secret_is_the_only_fault() {
    let missing = "a readable file: No such file or directory (os error 2)";
    for (name, file_name) in SECRETS {
        let file = Folder::new().path("none");
        wrong_flag(file_name, &file, missing);
        // There is to be a secret, so the address is no second fault.
        let flag = format!("{} {file}", flag_of(file_name));
        let open = addr_of(name).map(|addr| format!("{flag} --{addr} 0.0.0.0:1"));
        let told = format!("{file_name}={file:?} (flag): must be {missing}");
        assert_eq!(fault(&open.unwrap_or(flag), &[]), told);
    }
}

#[test]
fn a_secret_has_its_bounds() {
    for (name, _) in SECRETS {
        let (min, with) = (least_of(name), spaces_of(name));
        let told = |origin: &str| {
            format!(
                "{name}=\"***\" ({origin}): must be {min} to 512 visible ASCII characters {with} \
                 spaces; not as a flag, because other processes could read it"
            )
        };
        let variable = |secret: &str| format!("{name}={secret}");
        run("", &[&variable(&"x".repeat(min))]);
        run("", &[&variable(&"x".repeat(512))]);
        let refused = |secret: &str| assert_eq!(fault("", &[&variable(secret)]), told("env"));
        refused(&"x".repeat(min - 1));
        refused(&"x".repeat(513));
        refused("s3cret\ts3cret\ts3cret");
        refused("s3cret-s3cret-s3cret\n");
        refused("s3cret-s3cret-s3cr\u{e9}t");
        let line = format!("{} = 's3cret'", name.to_lowercase());
        assert_eq!(fault_of(line), told("file"));
    }
}

#[test]
fn a_secret_is_never_a_flag() {
    for (name, _) in SECRETS {
        let flag = flag_of(name);
        let never = format!(
            "{flag} (flag): is a secret, and other processes could read a flag; set the variable \
             {name} instead"
        );
        let refused = |args: &str| assert_eq!(fault(args, &[]), never, "{args}");
        refused(&flag);
        refused(&format!("{flag} s3cret-s3cret-s3cret"));
        refused(&format!("{flag}=s3cret-s3cret-s3cret"));
        refused(&format!("{flag} --s3cret-s3cret-s3cret"));
        let told = format!(
            "{name:?} (argument): is neither a flag nor the value of one; --help-all lists all \
             flags"
        );
        assert_eq!(fault(&format!("{name}=s3cret-s3cret-s3cret"), &[]), told);
    }
}

/// Asserts that a variable that is set to nothing is the only fault.
#[track_caller]
fn not_filled_in(name: &str, allowed: &str, args: &str, more: &[&str]) {
    let emptied = format!("{name}=");
    let env = [&[emptied.as_str()], more].concat();
    let told = format!(
        "{name}=\"\" (env): must be {allowed}, or not be set at all: an empty variable is \
         probably a mistake"
    );
    assert_eq!(fault(args, &env), told, "{args} {env:?}");
}

/// `AUTH_JWT_SECRET=$SECRET` where `SECRET` is not set.
#[test]
fn a_credential_that_was_not_filled_in_does_not_open_the_gateway() {
    let secret = "8 to 512 visible ASCII characters or spaces";
    let path = "the path of a file";
    for args in ["", "--check", "--allow-unauthenticated"] {
        not_filled_in("AUTH_JWT_SECRET", secret, args, &[]);
        not_filled_in("AUTH_JWT_SECRET_FILE", path, args, &[]);
        not_filled_in("APPS_FILE", path, args, &[]);
    }
    // With apps, no glasses could connect.
    let folder = Folder::new();
    let apps = format!("APPS_FILE={}", folder.file("apps", APPS));
    not_filled_in("AUTH_JWT_SECRET", secret, "", &[&apps]);
    not_filled_in("AUTH_JWT_SECRET_FILE", path, "", &[&apps]);
}

#[test]
fn a_credential_that_is_given_in_another_way_may_be_empty_here() {
    let folder = Folder::new();
    let is_open = |args: &str, env: &[&str]| run(args, env).credentials().is_open();
    let file = format!("AUTH_JWT_SECRET_FILE={}", folder.file("secret", SECRET));
    let secret = format!("AUTH_JWT_SECRET={SECRET}");
    assert!(!is_open("", &["AUTH_JWT_SECRET=", &file]));
    assert!(!is_open("", &["APPS_FILE=", &file]));
    assert!(!is_open("", &["AUTH_JWT_SECRET_FILE=", &secret]));
    assert!(!is_open("", &["APPS_FILE=", &secret]));
    let settings = folder.file("toml", format!("auth_jwt_secret = {SECRET:?}\n"));
    let flag = format!("--config-file {settings}");
    assert!(!is_open(&flag, &["AUTH_JWT_SECRET="]));
}

/// `ADMIN_TOKEN=$TOKEN` where `TOKEN` is not set.
#[test]
fn a_token_that_was_not_filled_in_does_not_open_the_admin_listener() {
    let token = "16 to 512 visible ASCII characters without spaces";
    for args in ["", "--check", "--admin-addr 127.0.0.1:0"] {
        not_filled_in("ADMIN_TOKEN", token, args, &[]);
        not_filled_in("ADMIN_TOKEN_FILE", "the path of a file", args, &[]);
    }
}

#[test]
fn a_token_that_is_not_needed_or_given_in_another_way_may_be_empty() {
    run("--admin-addr off", &["ADMIN_TOKEN="]);
    run("--admin-addr off", &["ADMIN_TOKEN_FILE="]);
    let folder = Folder::new();
    let file = format!("ADMIN_TOKEN_FILE={}", folder.file("token", TOKEN));
    let token = format!("ADMIN_TOKEN={TOKEN}");
    let given = |env: &[&str]| run("", env).admin_token.is_some();
    assert!(given(&["ADMIN_TOKEN=", &file]));
    assert!(given(&["ADMIN_TOKEN_FILE=", &token]));
    assert!(!given(&[]), "nothing changes if none is set");
}
