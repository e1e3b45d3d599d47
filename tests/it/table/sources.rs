//! The tests, as their sources have them. The sources are formatted, so lines are enough.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A test, or a law that is tried in several modes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Its modules and its name.
    pub(super) path: String,
    pub(super) doc: String,
}

impl Test {
    /// The numbers that its doc comment cites: those of laws as they are, "G" for the guarantees,
    /// "S" for the founding requirements.
    pub(super) fn laws(&self) -> BTreeSet<String> {
        let mut laws = BTreeSet::new();
        let mut words = self.doc.split_whitespace().peekable();
        if let Some(founding) = words
            .peek()
            .and_then(|first| first.strip_suffix([':', ',']))
        {
            laws.extend(number("S", founding.strip_prefix('S')));
        }
        while let Some(word) = words.next() {
            let prefix = match word.to_lowercase().as_str() {
                "law" | "laws" => "",
                "guarantee" | "guarantees" => "G",
                _ => continue,
            };
            while let Some(next) = words.peek() {
                let law = number(prefix, Some(next.trim_end_matches([',', '.', ':', ';'])));
                if law.is_none() && *next != "and" {
                    break;
                }
                laws.extend(law);
                if words
                    .next()
                    .is_some_and(|word| word.ends_with(['.', ':', ';']))
                {
                    break;
                }
            }
        }
        laws
    }
}

/// The number of a law; those of the ledger have an "L".
fn number(prefix: &str, word: Option<&str>) -> Option<String> {
    let word = word?;
    let digits = word.strip_prefix('L').unwrap_or(word);
    digits.parse::<u16>().ok()?;
    Some(format!("{prefix}{word}"))
}

/// All tests in a folder of sources, by their paths.
pub(super) fn tests_of(folder: &Path) -> Vec<Test> {
    let mut tests = Vec::new();
    read_folder(folder, &[], &mut tests);
    tests.sort_by(|one, other| one.path.cmp(&other.path));
    tests
}

fn read_folder(folder: &Path, modules: &[String], tests: &mut Vec<Test>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut modules = modules.to_vec();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            modules.push(stem);
            read_folder(&path, &modules, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_named_for_its_folder = ["mod", "main"].contains(&stem.as_str());
            modules.extend((!is_named_for_its_folder).then_some(stem));
            Source::new(modules).read(&fs::read_to_string(&path).unwrap(), tests);
        }
    }
}

/// A source file that is being read.
struct Source {
    modules: Vec<String>,
    /// Where the modules inside the file begin, in columns.
    columns: Vec<usize>,
    doc: Vec<String>,
    is_test: bool,
    /// Inside a list of tests.
    list: Option<List>,
    /// Inside the definition of a macro, which begins at this column.
    macro_column: Option<usize>,
    /// The names in lists, with their modules.
    listed: BTreeSet<String>,
    /// Functions that may turn out to be listed.
    functions: Vec<Test>,
}

impl Source {
    fn new(modules: Vec<String>) -> Self {
        Source {
            modules,
            columns: Vec::new(),
            doc: Vec::new(),
            is_test: false,
            list: None,
            macro_column: None,
            listed: BTreeSet::new(),
            functions: Vec::new(),
        }
    }

    fn read(mut self, text: &str, tests: &mut Vec<Test>) {
        for line in text.lines() {
            self.line(line, tests);
        }
        let listed = self.listed;
        tests.extend(
            self.functions
                .into_iter()
                .filter(|function| listed.contains(&function.path)),
        );
    }

    fn line(&mut self, line: &str, tests: &mut Vec<Test>) {
        let code = line.trim_start();
        let column = line.len() - code.len();
        if self.macro_column.is_some() {
            self.macro_column = self
                .macro_column
                .filter(|&at| line != format!("{}}}", " ".repeat(at)));
        } else if let Some(list) = self.list {
            self.list_line(list, code, tests);
        } else if let Some(doc) = code.strip_prefix("///") {
            self.doc.push(doc.trim().to_owned());
        } else if code.starts_with("#[") {
            self.is_test |= code == "#[test]" || code.starts_with("#[tokio::test");
        } else {
            let (doc, is_test) = (std::mem::take(&mut self.doc), self.is_test);
            self.is_test = false;
            if let Some((list, rest)) = List::begun_by(code) {
                self.list = Some(list);
                self.list_line(list, rest, tests);
            } else if code.starts_with("macro_rules! ") {
                self.macro_column = Some(column);
            } else if let Some(module) = inline_module(code) {
                self.modules.push(module.to_owned());
                self.columns.push(column);
            } else if code == "}" && self.columns.last() == Some(&column) {
                self.columns.pop();
                self.modules.pop();
            } else if let Some(name) = function(code) {
                let (path, doc) = (self.path(name), doc.join(" "));
                let test = Test { path, doc };
                match is_test {
                    true => tests.push(test),
                    false => self.functions.push(test),
                }
            }
        }
    }

    /// A line in a list: names between commas, up to the bracket that ends it.
    fn list_line(&mut self, list: List, code: &str, tests: &mut Vec<Test>) {
        if code.starts_with("//") {
            return;
        }
        if code.ends_with(['}', ')']) || code.ends_with(");") {
            self.list = None;
        }
        let (before, after) = code.split_once(':').unwrap_or((code, code));
        let names = match list {
            List::Laws => after,
            List::Bodies => code,
            List::Named => before,
        };
        let names = names.split([',', ';', '}', ')']).map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let path = self.path(name);
            if list == List::Named {
                let doc = String::new();
                tests.push(Test { path, doc });
            } else {
                self.listed.insert(path);
            }
        }
    }

    fn path(&self, name: &str) -> String {
        let modules = self.modules.iter().map(String::as_str);
        modules.chain([name]).collect::<Vec<_>>().join("::")
    }
}

/// A macro that makes tests of functions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// Names, after that of the list that they belong to.
    Laws,
    /// Names of functions.
    Bodies,
    /// The name of a test, and of the function that it is made of.
    Named,
}

impl List {
    /// The list that this line begins, and the rest of the line.
    fn begun_by(code: &str) -> Option<(Self, &str)> {
        let begun = [
            ("laws! {", List::Laws),
            ("faults!(", List::Bodies),
            ("runtimes_end!(", List::Bodies),
            ("children! {", List::Named),
        ];
        let mut begun = begun.into_iter();
        begun.find_map(|(head, list)| Some((list, code.strip_prefix(head)?)))
    }
}

fn inline_module(code: &str) -> Option<&str> {
    code.strip_prefix("mod ")?.strip_suffix(" {")
}

fn function(code: &str) -> Option<&str> {
    let code = code.strip_prefix("async ").unwrap_or(code);
    let signature = code.strip_prefix("fn ")?;
    signature.split(['(', '<']).next()
}

#[test]
fn numbers_are_found_in_all_their_forms() {
    for (doc, cited) in [
        ("Law 26.", &["26"][..]),
        ("Laws 26, 27 and 28, for 3 of them.", &["26", "27", "28"]),
        ("As law 54, twice.", &["54"]),
        ("Law 133, and L4.", &["133", "L4"]),
        ("Law 77 and guarantee 11: none of 12.", &["77", "G11"]),
        ("S3: with 10 of them.", &["S3"]),
        ("S3, with 10 of them.", &["S3"]),
        ("A law of its own. 12 of them.", &[]),
    ] {
        let (path, doc) = (String::new(), doc.to_owned());
        let laws = Test { path, doc }.laws();
        assert!(laws.iter().eq(cited), "{laws:?}");
    }
}

#[test]
fn tests_are_found_wherever_they_are() {
    // With a margin, so that these are not found themselves.
    const TEXT: &str = "
        |laws! {
        |    every_mode:
        |        first,
        |        second;
        |    // Why.
        |    virtual_only: third;
        |}
        |
        |/// Law 1.
        |async fn first(w: World) {
        |}
        |
        |async fn second(w: World) {
        |}
        |
        |async fn helper(w: World) {
        |}
        |
        |mod inside {
        |    /// Two
        |    /// lines.
        |    #[test]
        |    fn fourth() {
        |    }
        |}
        |
        |#[tokio::test(start_paused = true)]
        |async fn fifth() {
        |}
        |
        |async fn third(w: World) {
        |}
    ";
    let text = TEXT.replace("        |", "");
    let mut tests = Vec::new();
    Source::new(vec!["file".to_owned()]).read(&text, &mut tests);
    let found = tests.iter().map(|test| (&*test.path, &*test.doc));
    let found: BTreeSet<_> = found.collect();
    let expected = [
        ("file::first", "Law 1."),
        ("file::second", ""),
        ("file::third", ""),
        ("file::inside::fourth", "Two lines."),
        ("file::fifth", ""),
    ];
    assert_eq!(found, BTreeSet::from(expected));
}
