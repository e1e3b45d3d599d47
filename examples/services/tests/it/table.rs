//! The page that says what these tests claim.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../docs/services.md");

/// This file's neighbours.
const MODULES: &[(&str, &str)] = &[
    ("cancelled", include_str!("cancelled.rs")),
    ("crash", include_str!("crash.rs")),
    ("frozen", include_str!("frozen.rs")),
    ("outage", include_str!("outage.rs")),
    ("pgbouncer", include_str!("pgbouncer.rs")),
    ("refused", include_str!("refused.rs")),
    ("stale", include_str!("stale.rs")),
    ("table", include_str!("table.rs")),
    ("terminated", include_str!("terminated.rs")),
];

/// Those that are marked as tests, one by one or by the macro.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (module, text) in MODULES {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let name = match line {
                "#[test]" => lines.next().and_then(|line| line.strip_prefix("fn ")),
                line => line.strip_prefix("tests!("),
            };
            let name = name.and_then(|name| name.split(['(', ')', ' ']).next());
            tests.extend(name.map(|name| format!("{module}::{name}")));
        }
    }
    tests
}

#[test]
fn page_lists_every_test_and_no_other() {
    let quoted = PAGE.split('`').skip(1).step_by(2);
    let modules = |name: &str| MODULES.iter().any(|(module, _)| *module == name);
    let listed: BTreeSet<String> = quoted
        .filter(|quoted| {
            quoted
                .split_once("::")
                .is_some_and(|(head, _)| modules(head))
        })
        .map(str::to_owned)
        .collect();
    assert!(listed.len() > 10, "{listed:?}");
    assert_eq!(listed, tests());
}
