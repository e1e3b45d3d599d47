#!/usr/bin/env python3
"""Plants every mutant of cargo-mutants, or every deletion of a statement, in one build, and tries each.

    verify/mutation.py mutants [FILE ...]      what `cargo mutants --list` lists
    verify/mutation.py deletions [FILE ...]    each statement of the pool's own logic, deleted
    verify/mutation.py --report mutants        only tells what is known so far

A function that is to be changed in several ways becomes one that holds a copy of its body for each, and
asks the environment variable PLANTED which it is to run. So the tests are built once, and a change costs
no more than the tests that notice it. What does not compile beside the others (as where a function's type
is that of its body) is built by itself.

It works on a copy of the checkout, in target/mutation. Verdicts are kept there, and what has one is not
tried again: to begin anew, delete that directory. Exit code 1 if anything survives that is not explained
in verify/mutation.txt or verify/deletions.txt; what is, is not tried.
"""

import collections
import concurrent.futures
import functools
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time

from statements import FILES, statements

HOME = "target/mutation"
TREE = f"{HOME}/tree"
JOBS = 2
KNOWN = {"mutants": "verify/mutation.txt", "deletions": "verify/deletions.txt"}
REAL = ["on_tokio", "on_smol"]
LATER = ["cancel", "on_plain_threads", "faults"]


def skip(tests):
    return [argument for test in tests for argument in ("--skip", test)]


EVERYTHING = "src/"
POOL = tuple(FILES)
STATE = "src/state/"

# Which tests are run, from the quickest to the slowest: the binary, its arguments, and where what they can
# notice begins. The first test that fails is enough.
STAGES = [
    ("lib", ["--skip", "explore", "--skip", "walk"], EVERYTHING),
    ("sim", ["--skip", "corpus"], POOL),
    ("it", skip([*REAL, *LATER, "table"]), EVERYTHING),
    ("lib", ["walk"], STATE),
    ("it", [*LATER, *skip(REAL)], EVERYTHING),
    ("lib", ["explore"], STATE),
    ("it", REAL, EVERYTHING),
]

SWITCH = """
/// Which of the changes that are planted in this build is in force.
pub(crate) fn planted(number: u32) -> bool {
    static PLANTED: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let chosen = PLANTED.get_or_init(|| {
        std::env::var("PLANTED").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    *chosen == number
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


def offsets(source):
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return lambda place: starts[place["line"] - 1] + place["column"] - 1


def listed_mutants(files):
    command = ["cargo", "mutants", "--list", "--json", "--colors", "never"]
    listed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for mutant in listed:
        if (files and mutant["file"] not in files) or "tests::" in mutant["name"]:
            continue
        at = offsets(open(mutant["file"]).read())
        span = mutant["span"]
        yield mutant["name"], mutant["file"], at(span["start"]), at(span["end"]), mutant["replacement"]


def listed_deletions(files):
    for path in files or FILES:
        lines = open(path).readlines()
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line))
        for function, first, last in statements(lines):
            text = " ".join(line.strip() for line in lines[first:last + 1])
            yield f"{path}:{first + 1}: {function}: {text}", path, starts[first], starts[last + 1], ""


def without_line(name):
    """A change's name as it stands in the lists of what is explained, which know no line numbers."""
    return re.sub(r"^([^:]*):\d+(:\d+)?: ", r"\1: ", name)


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


def environment(number=0):
    tree = os.path.abspath(HOME)
    return dict(
        os.environ, PLANTED=str(number), WATERTIGHT_SEEDS="0..300", RUST_BACKTRACE="0", RUSTC_BOOTSTRAP="1",
        RUSTFLAGS="--cap-lints allow", CARGO_TERM_COLOR="never", CARGO_TARGET_DIR=f"{tree}/build",
    )


def compiler(command):
    """The messages of a run of cargo's in the copy, and whether it went well."""
    done = subprocess.run(
        ["cargo", *command, "--all-features", "--message-format=json"], cwd=TREE, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")], done.returncode == 0


def by_file(changes):
    files = collections.defaultdict(list)
    for change in changes:
        files[change.file].append(change)
    return files


def write(texts):
    """Writes the copy: these files as given, the others as they are. Returns which change stands where."""
    tracked = subprocess.run(["git", "ls-files", "-z"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for path in filter(os.path.isfile, tracked.split("\0")):
        text = open(path, "rb").read()
        if path in texts:
            text = texts[path].encode()
        if path == "src/lib.rs":
            text += SWITCH.encode()
        copy = f"{TREE}/{path}"
        if not os.path.exists(copy) or open(copy, "rb").read() != text:
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "wb") as file:
                file.write(text)
            shutil.copymode(path, copy)
    return {path: marked_lines(text) for path, text in texts.items()}


def wrong_ones(lines):
    """The changes that do not compile; none of them, if the copy does."""
    messages, well = compiler(["check", "--lib", "--tests"])
    wrong, stray = set(), []
    for message in messages:
        if message["reason"] != "compiler-message" or message["message"]["level"] != "error":
            continue
        hits = set()
        for part in [message["message"], *message["message"]["children"]]:
            for span in part["spans"]:
                for line in range(span["line_start"], span["line_end"] + 1):
                    hits |= lines.get(span["file_name"], {}).get(line, set())
            if hits:
                break
        wrong |= hits
        if not hits and message["message"]["spans"]:
            stray.append(message["message"]["rendered"])
    if not well and not wrong:
        sys.exit("of no change's making:\n" + "\n".join(stray))
    return wrong


def those_that_compile(changes, how):
    """Leaves out what does not compile, round after round, until the rest does; says which those were."""
    refused = []
    while True:
        texts = {path: how(open(path).read(), those) for path, those in by_file(changes).items()}
        wrong = wrong_ones(write(texts))
        if not wrong:
            return changes, refused
        refused += [change for change in changes if change.number in wrong]
        changes = [change for change in changes if change.number not in wrong]


def those_that_compile_alone(changes):
    """The same for changes that are made and not planted, one in each function at a time."""
    viable, refused = [], []
    while changes:
        round, later = [], []
        for path, those in by_file(changes).items():
            homes = homes_of(open(path).read(), those)
            first = [homes[home].pop(0) for home in outermost(homes)]
            round += first
            later += [change for those in homes.values() for change in those]
        compile, do_not = those_that_compile(round, put)
        viable, refused, changes = viable + compile, refused + do_not, later
    return viable, refused


def binaries():
    messages, well = compiler(["test", "--no-run", "--profile", "mutants", "--lib", "--test", "it", "--test", "sim"])
    if not well:
        sys.exit("the tests do not compile")
    tests = [m for m in messages if m.get("executable") and m["profile"]["test"]]
    return {"lib" if "lib" in t["target"]["kind"] else t["target"]["name"]: t["executable"] for t in tests}


def modest():
    # What is planted may be greedy.
    resource.setrlimit(resource.RLIMIT_AS, (12_000_000_000, 12_000_000_000))
    os.setsid()


def run(binary, arguments, limit, number):
    command = [binary, "-q", "-Z", "unstable-options", "--fail-fast", "--test-threads", "2", *arguments]
    process = subprocess.Popen(
        command, cwd=TREE, env=environment(number), preexec_fn=modest,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        return "missed" if process.wait(limit) == 0 else "caught"
    except subprocess.TimeoutExpired:
        return "hung"
    finally:
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()


def read_verdicts(path):
    if not os.path.exists(path):
        return {}
    return dict(reversed(line.rstrip("\n").split("\t")) for line in open(path))


def explained(kind):
    return {line.split("\t")[0].rstrip() for line in open(KNOWN[kind])}


def report(kind, verdicts):
    counts = collections.Counter(verdict.split()[0] for verdict in verdicts.values())
    print(", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))
    left = [name for name, verdict in verdicts.items() if verdict == "missed"]
    for name in left:
        print(f"not explained: {name}")
    return 1 if left else 0


def main(arguments):
    only_tell = "--report" in arguments
    arguments = [argument for argument in arguments if argument != "--report"]
    if not arguments or arguments[0] not in KNOWN:
        sys.exit(__doc__)
    kind, files = arguments[0], arguments[1:]
    verdict_file = f"{HOME}/{kind}.txt"
    verdicts = read_verdicts(verdict_file)
    if only_tell:
        return report(kind, verdicts)
    listed = {"mutants": listed_mutants, "deletions": listed_deletions}[kind](files)
    changes = [Change(number, *one) for number, one in enumerate(listed, 1)]
    known = explained(kind)
    for change in changes:
        if without_line(change.name) in known:
            verdicts[change.name] = "explained"
    changes = [change for change in changes if verdicts.get(change.name, "past").startswith("past")]
    print(f"{len(changes)} to be tried", flush=True)
    os.makedirs(HOME, exist_ok=True)
    # What is in no function holds no copies.
    sources = {path: open(path).read() for path in by_file(changes)}
    homes = {c.number: min(homes_of(sources[c.file], [c])) for c in changes}
    outside = [c for c in changes if sources[c.file][homes[c.number][0]] != "{"]
    changes, apart = those_that_compile([c for c in changes if c not in outside], plant)
    lock = threading.Lock()
    with open(verdict_file, "a") as kept:
        def settle(change, verdict):
            with lock:
                verdicts[change.name] = verdict
                print(f"{verdict}\t{change.name}", file=kept, flush=True)

        def tried(change, stage, run):
            """Whether it survives the stage."""
            if not change.file.startswith(STAGES[stage][2]):
                return True
            if int(verdicts.get(change.name, "past -1").removeprefix("past ")) >= stage:
                return True
            result = run(change.number)
            settle(change, f"past {stage}" if result == "missed" else f"{result} by {stage}")
            return result == "missed"

        tests = binaries() if changes else {}
        for stage, (name, arguments, _) in enumerate(STAGES):
            if not changes:
                break
            begun = time.monotonic()
            if (broken := run(tests[name], arguments, 900, 0)) != "missed":
                sys.exit(f"with nothing planted, stage {stage} is: {broken}")
            took = time.monotonic() - begun
            bounded = functools.partial(run, tests[name], arguments, 10 + 8 * took)
            with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
                survive = list(pool.map(lambda change: tried(change, stage, bounded), changes))
            changes = [change for change, survives in zip(changes, survive) if survives]
            print(f"stage {stage}, {name}, of {took:.0f} s: {len(changes)} survive", flush=True)
        for change in changes:
            settle(change, "missed")
        apart, unviable = those_that_compile_alone(apart + outside)
        for change in unviable:
            settle(change, "unviable")
        print(f"{len(apart)} to be built by themselves", flush=True)
        for change in apart:
            write({change.file: put(open(change.file).read(), [change])})
            tests = binaries()
            survives = all(
                tried(change, stage, functools.partial(run, tests[name], arguments, 900))
                for stage, (name, arguments, _) in enumerate(STAGES)
            )
            if survives:
                settle(change, "missed")
    return report(kind, verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
