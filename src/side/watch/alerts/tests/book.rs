//! The book, and the table of the rules.

use super::super::book::AlertState::{Firing, Resolved};
use super::super::book::{ACTIVE_MAX, News, RESOLVED_MAX};
use super::super::rules::RULES;
use super::super::settings::AlertSettings;
use super::bench::Bench;
use crate::base::time::{Micros, UnixMillis};
use crate::side::down::DownApp;

#[test]
fn a_threshold_of_zero_is_off_and_a_reload_applies() {
    let mut bench = Bench::new();
    bench.counters().suspects[0] = 500;
    bench.looks(20);
    bench.fires("many_suspects");
    bench.settings.suspects_percent = 60;
    bench.looks(10);
    bench.told(&[]);
    bench.settings.suspects_percent = 80;
    bench.looks(10);
    bench.told(&[("many_suspects", Resolved)]);
    bench.settings.suspects_percent = 10;
    bench.looks(20);
    bench.fires("many_suspects");
    bench.settings.suspects_percent = 0;
    bench.look();
    bench.told(&[("many_suspects", Resolved)]);
    bench.settings.suspects_percent = 10;
    bench.looks(20);
    bench.fires("many_suspects");
    bench.settings.on = false;
    bench.sample.counters = None;
    bench.look();
    bench.told(&[("many_suspects", Resolved)]);
    bench.looks(100);
    bench.told(&[]);
}

#[test]
fn what_still_fires_is_told_again_and_no_more_often() {
    let mut bench = Bench::new();
    bench.counters().suspects[0] = 500;
    bench.looks(20);
    bench.news.clear();
    // A little more than twelve hours.
    bench.looks(6 * 60 * 12 + 10);
    assert_eq!(bench.news.len(), 3);
    let is_still = |news: &News| matches!(news, News::Still(alert) if alert.state == Firing);
    assert!(bench.news.iter().all(is_still));
}

#[test]
fn the_book_is_bounded() {
    let mut bench = Bench::new();
    bench.settings.app_down_for = Micros::ZERO;
    bench.settings.resolve = Micros::ZERO;
    let many = ACTIVE_MAX + 10;
    let down = |n: usize| DownApp {
        package: format!("p{n}").into(),
        since: UnixMillis(0),
        last_error: "-".into(),
    };
    bench.sample.down = (0..many).map(down).collect();
    bench.looks(2);
    assert_eq!(bench.told.len(), ACTIVE_MAX);
    assert_eq!(bench.watch.book.refused, 20);
    assert_eq!(bench.watch.book.all().len(), ACTIVE_MAX);
    bench.sample.down.clear();
    bench.looks(2);
    assert_eq!(bench.told.len(), 2 * ACTIVE_MAX);
    assert_eq!(bench.watch.book.all().len(), RESOLVED_MAX);
}

#[test]
fn the_rules_are_fit_to_be_shown() {
    for (nth, rule) in RULES.iter().enumerate() {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(rule.name.chars().all(is_plain), "{}", rule.name);
        assert!(rule.action.ends_with('.') && rule.action.len() <= 300);
        assert!(RULES[..nth].iter().all(|other| other.name != rule.name));
        assert!((rule.threshold)(&AlertSettings::default()) > 0.0);
    }
}

/// The handbook of alerts describes each rule, and no others.
#[test]
fn the_handbook_has_every_alert() {
    let page = include_str!("../../../../../docs/alerts.md");
    let (_, rest) = page.split_once("<!-- rules:begin -->").expect("a begin");
    let (rows, _) = rest.split_once("<!-- rules:end -->").expect("an end");
    let names = rows.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut names: Vec<&str> = names.filter_map(|line| line.split('`').next()).collect();
    let mut wanted: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}
