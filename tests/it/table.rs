//! `tests/LAWS.md` against the tests: each law is listed with exactly those tests that cite it.
//!
//! A test cites a law by its number, in its doc comment: "Law 26.", "Laws 26 and 28, for a check.",
//! "Guarantee 11." or, for the founding requirements, "S3: ...". After a change, run
//! `WATERTIGHT_BLESS=1 cargo test --test it table` to bring the table up to date.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use self::sources::{Test, tests_of};

/// The tests that cite each law, by its number.
type Citations = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn all_tests() -> Vec<Test> {
    tests_of(&root().join("it"))
}

fn citations(tests: &[Test]) -> Citations {
    let mut citations = Citations::new();
    for test in tests {
        for law in test.laws() {
            citations.entry(law).or_default().insert(test.path.clone());
        }
    }
    citations
}

/// A row of the table: the number of a law, what it claims, and its tests or why it has none.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    law: &'a str,
    claim: &'a str,
    pinned_by: &'a str,
}

/// Why a law has no test.
const EXCUSES: [&str; 2] = ["not offered yet: ", "does not apply: "];

impl<'a> Row<'a> {
    /// `None` for what is not a row: text, the head of a table.
    fn parse(line: &'a str) -> Option<Self> {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let mut cells = cells.split(" | ");
        let row = Row {
            law: cells.next()?,
            claim: cells.next()?,
            pinned_by: cells.next()?,
        };
        let is_head = !row.law.ends_with(|last: char| last.is_ascii_digit());
        (cells.next().is_none() && !is_head).then_some(row)
    }

    fn is_excused(&self) -> bool {
        EXCUSES.iter().any(|why| self.pinned_by.starts_with(why))
    }

    /// The row as it should be.
    fn corrected(&self, citations: &Citations) -> String {
        let Row { law, claim, .. } = self;
        let pinned_by = match citations.get(*law) {
            Some(tests) => {
                let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
                tests.join("<br>")
            }
            None if self.is_excused() => self.pinned_by.to_owned(),
            None => "no test".to_owned(),
        };
        format!("| {law} | {claim} | {pinned_by} |")
    }
}

/// The table as it should be.
fn corrected(table: &str, citations: &Citations) -> String {
    let line = |line| match Row::parse(line) {
        Some(row) => row.corrected(citations) + "\n",
        None => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

#[test]
fn table_lists_each_law_with_the_tests_that_cite_it() {
    let path = root().join("LAWS.md");
    let table = fs::read_to_string(&path).unwrap();
    let citations = citations(&all_tests());
    let right = corrected(&table, &citations);
    if std::env::var_os("WATERTIGHT_BLESS").is_some_and(|on| on == "1") {
        fs::write(&path, &right).unwrap();
    } else {
        let wrong = right.lines().zip(table.lines());
        let wrong = wrong.filter(|(right, is)| right != is);
        let wrong: Vec<_> = wrong.map(|(right, _)| right).collect();
        assert!(
            wrong.is_empty(),
            "tests/LAWS.md is out of date. Paste these rows, or run this with WATERTIGHT_BLESS=1:\n{}",
            wrong.join("\n")
        );
    }
    let rows: Vec<_> = right.lines().filter_map(Row::parse).collect();
    let untested: Vec<_> = rows
        .iter()
        .filter(|row| row.pinned_by == "no test")
        .collect();
    assert!(untested.is_empty(), "nothing pins these: {untested:#?}");
    let unknown: Vec<_> = citations
        .iter()
        .filter(|(law, _)| rows.iter().all(|row| row.law != *law))
        .collect();
    assert!(unknown.is_empty(), "there are no such laws: {unknown:#?}");
    let numbers: BTreeSet<_> = rows.iter().map(|row| row.law).collect();
    assert_eq!(numbers.len(), rows.len(), "a law is listed twice");
}

/// The tests that a page names, by their paths.
fn named(page: &str) -> BTreeSet<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    let path = |text: &&str| text.contains("::") && text.starts_with(char::is_lowercase);
    quoted.filter(path).collect()
}

#[test]
fn page_of_peers_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("../docs/peers.md")).unwrap();
    let tests = all_tests();
    let known: BTreeSet<_> = tests.iter().map(|test| test.path.as_str()).collect();
    let named = named(&page);
    assert!(named.len() > 50, "only {} are read", named.len());
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "there are no such tests: {unknown:#?}");
}

/// What is checked here is only as good as the list of tests that it is checked against.
#[test]
fn sources_name_every_test_that_is_run() {
    let tests = all_tests();
    let known: BTreeSet<_> = tests.iter().map(|test| test.path.as_str()).collect();
    let this = std::env::current_exe().unwrap();
    let list = Command::new(this).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let mut run = BTreeSet::new();
    for name in list.lines().filter_map(|line| line.strip_suffix(": test")) {
        let law = name.rsplit_once("::").map_or(name, |(law, _mode)| law);
        let test = [name, law].into_iter().find(|path| known.contains(path));
        run.insert(test.unwrap_or_else(|| panic!("{name} is not in the sources")));
    }
    if cfg!(all(feature = "tokio", feature = "smol")) {
        let idle: Vec<_> = known.difference(&run).collect();
        assert!(idle.is_empty(), "these are never run: {idle:#?}");
    }
}

#[test]
fn test_of_a_law_says_what_it_pins() {
    let silent = all_tests().into_iter().filter(|test| {
        let is_law = test.path.starts_with("laws::");
        is_law && test.doc.is_empty()
    });
    let silent: Vec<_> = silent.map(|test| test.path).collect();
    assert!(silent.is_empty(), "which law? {silent:#?}");
}

#[test]
fn out_of_date_rows_are_corrected() {
    let tests = ["a::pins", "b::pins_too"].map(str::to_owned);
    let citations = Citations::from([("7".to_owned(), BTreeSet::from(tests))]);
    let pinned = "| 7 | It holds. | `a::pins`<br>`b::pins_too` |";
    for row in [
        "| 7 | It holds. | `a::pins`<br>`b::is_no_more` |",
        "| 7 | It holds. | not offered yet: that |",
        pinned,
    ] {
        assert_eq!(Row::parse(row).unwrap().corrected(&citations), pinned);
    }
    let excused = "| 8 | It holds. | not offered yet: that |";
    assert_eq!(Row::parse(excused).unwrap().corrected(&citations), excused);
    let lost = Row::parse("| 8 | It holds. | `a::was_here` |").unwrap();
    assert_eq!(lost.corrected(&citations), "| 8 | It holds. | no test |");
    for text in ["| law | it claims | pinned by |", "|---|---|---|", "Text."] {
        assert_eq!(Row::parse(text), None);
    }
}
