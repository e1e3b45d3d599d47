#!/usr/bin/env python3
"""Plants every mutant of cargo-mutants, or every deletion of a statement, in one build, and tries each.

    verify/mutation.py mutants [FILE ...]      what `cargo mutants --list` lists
    verify/mutation.py deletions [FILE ...]    each statement of the pool's own logic, deleted
    verify/mutation.py --report mutants        only tells what is known so far

A function that is to be changed in several ways becomes one that holds a copy of its body for each, and
asks the environment variable PLANTED which it is to run. So the tests are built once, and a change costs
no more than the tests that reach it, which each of them says first where nothing is in force. What does not
compile beside the others (as where a function's type is that of its body) is built by itself.

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
import tempfile
import threading
import time

from planting import SWITCH, Change, homes_of, marked_lines, outermost, plant, put
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
STATE = ("src/state/", *(f"src/{name}.rs" for name in ("attempts", "clock", "overload", "retry", "waiters")))

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


def environment(number=0, **more):
    tree = os.path.abspath(HOME)
    return dict(
        os.environ, **more, PLANTED=str(number), WATERTIGHT_SEEDS="0..300", RUST_BACKTRACE="0", RUSTC_BOOTSTRAP="1",
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


def run(binary, arguments, limit, number, **more):
    command = [binary, "-q", "-Z", "unstable-options", "--fail-fast", "--test-threads", "2", *arguments]
    process = subprocess.Popen(
        command, cwd=TREE, env=environment(number, **more), preexec_fn=modest,
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


def in_parallel(function, things):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(function, things))


def those_that_reach(binary, arguments, stage):
    """For each change the tests that reach it where nothing is in force, and how long each of them takes."""
    command = [binary, "--list", "--format", "terse", "-Z", "unstable-options", *arguments]
    listed = subprocess.run(command, check=True, env=environment(), stdout=subprocess.PIPE, text=True).stdout
    tests = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]

    def notes_of(test):
        with tempfile.NamedTemporaryFile("r") as notes:
            begun = time.monotonic()
            if (broken := run(binary, ["--exact", test], 900, 0, REACHED=notes.name)) != "missed":
                sys.exit(f"with nothing planted, {test} is {broken} by stage {stage}")
            return time.monotonic() - begun, [int(number) for number in notes]

    reaching = collections.defaultdict(dict)
    for test, (took, numbers) in zip(tests, in_parallel(notes_of, tests)):
        for number in numbers:
            reaching[number][test] = took
    return reaching


def tried_with(binary, tests, number):
    if not tests:
        return "missed"
    return run(binary, ["--exact", *tests], 10 + 2 * sum(tests.values()), number)


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
            reaching = those_that_reach(tests[name], arguments, stage)

            def selected(number):
                return tried_with(tests[name], reaching[number], number)

            # What few tests reach is soon tried.
            changes.sort(key=lambda change: sum(reaching[change.number].values()))
            survive = in_parallel(lambda change: tried(change, stage, selected), changes)
            changes = [change for change, survives in zip(changes, survive) if survives]
            took = time.monotonic() - begun
            print(f"stage {stage}, {name}, in {took:.0f} s: {len(changes)} survive", flush=True)
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
