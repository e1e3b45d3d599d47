"""Changes to the sources of which each is in force on demand, for verify/mutation.py."""

import collections
import re

SWITCH = """
/// Which of the changes that are planted in this build is in force.
pub(crate) fn planted(number: u32) -> bool {
    static PLANTED: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let chosen = PLANTED.get_or_init(|| {
        std::env::var("PLANTED").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    reached(number);
    *chosen == number
}

/// Notes once that this change is reached, in the file REACHED if there is one.
fn reached(number: u32) {
    use std::sync::atomic::{AtomicBool, Ordering};
    static NOTES: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    static NOTED: [AtomicBool; 10_000] = [const { AtomicBool::new(false) }; 10_000];
    if let Some(notes) = NOTES.get_or_init(|| std::env::var_os("REACHED")) {
        if !NOTED[number as usize].swap(true, Ordering::Relaxed) {
            let mut file = std::fs::OpenOptions::new().append(true).open(notes).expect("there are notes");
            std::io::Write::write_all(&mut file, format!("{number}\\n").as_bytes()).expect("it is noted");
        }
    }
}
"""

Change = collections.namedtuple("Change", "number name file first last text")


def masked(source):
    """The source with a blank for each character of a comment, a string or a character literal."""
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\(?:u\{\w+\}|x\w\w|.)|[^\\'])'", re.S
    )
    return token.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)


def matching(code, opening):
    """Where the brace is closed that is opened there."""
    depth = 0
    for at in range(opening, len(code)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    raise ValueError("unbalanced braces")


def bodies(code):
    """The blocks that can hold copies of themselves: bodies of functions, and asynchronous blocks. Where
    they begin and end, and where what has that body begins."""
    found = []
    for start in re.finditer(r"\bfn\s+\w+|\basync(\s+move)?\s*(?=\{)", code):
        depth = 0
        for at in range(start.end(), len(code)):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[at], 0)
            if depth == 0 and code[at] == ";":
                break
            if depth == 0 and code[at] == "{":
                found.append((at, matching(code, at), start.start()))
                break
    return found


def homes_of(source, changes):
    """The changes by the block that each stands in, which is its own place if that is in no function."""
    blocks = bodies(masked(source))
    homes = collections.defaultdict(list)
    for change in changes:
        around = [b for b in blocks if b[0] <= change.first and change.last <= b[1]]
        alone = (change.first, change.last, change.first)
        homes[min(around, key=lambda block: block[1] - block[0], default=alone)].append(change)
    return homes


def outermost(homes):
    """Those that are within no other."""
    return [h for h in homes if not any(o != h and o[0] <= h[0] and h[1] <= o[1] for o in homes)]


def plant(source, changes):
    """The source with all of these changes planted in it."""
    homes = homes_of(source, changes)

    def original(first, last, but=None):
        """That part, with what is planted in the blocks within it."""
        within = [h for h in homes if first <= h[0] and h[1] <= last and h != but]
        text, at = "", first
        for home in sorted(outermost(within)):
            text += source[at:home[0]] + switch(home)
            at = home[1]
        return text + source[at:last]

    def switch(home):
        first, last, _ = home
        text = "{ "
        for change in homes[home]:
            mutated = source[first:change.first] + change.text + source[change.last:last]
            if not mutated.startswith("{"):
                mutated = "{ " + mutated + " }"
            text += f"if crate::planted({change.number}) /*<{change.number}*/ {mutated} /*{change.number}>*/ else "
        return text + original(first, last, but=home) + " }"

    return original(0, len(source))


def marked_lines(source):
    """Which change stands in which lines."""
    lines, inside = collections.defaultdict(set), set()
    for number, line in enumerate(source.split("\n"), 1):
        inside |= {int(n) for n in re.findall(r"/\*<(\d+)\*/", line)}
        lines[number] = set(inside)
        inside -= {int(n) for n in re.findall(r"/\*(\d+)>\*/", line)}
    return lines


def put(source, changes):
    """The source with these changes made in it, at most one in each block. Marked is all of what has that
    block for its body."""
    edits = []
    for (_, last, begin), (change,) in homes_of(source, changes).items():
        edits += [(begin, begin, f"/*<{change.number}*/"), (last, last, f"/*{change.number}>*/")]
        edits.append((change.first, change.last, change.text))
    for first, last, text in sorted(edits, reverse=True):
        source = source[:first] + text + source[last:]
    return source
