#!/usr/bin/env python3
"""Deletes one statement after the other from the pool's own logic, and lists those that no test misses.

    verify/deletions.py [FILE ...]     by default, the hand-off, the lease, the deadline and the shutdown
    verify/deletions.py --list         only says what would be deleted

It works on the checkout it is started in (use a clean clone of its own; the file is put back each time). A
deletion that does not compile says nothing and is not counted; one that makes the tests hang, twice, is
counted apart. Exit code 1 if any deletion survives that is not in verify/deletions.txt, which gives the
reason for each that is equivalent: `file: function: statement<TAB>reason`.
"""

import json
import os
import re
import signal
import subprocess
import sys

FILES = [
    "src/acquire.rs", "src/lending.rs", "src/lease.rs", "src/shared.rs", "src/returns.rs", "src/work.rs",
    "src/waiters.rs", "src/connection.rs", "src/maintenance.rs", "src/bell.rs", "src/attempts.rs", "src/retry.rs", "src/clock.rs", "src/state/mod.rs",
    "src/state/place.rs", "src/state/loans.rs", "src/state/answers.rs", "src/state/flow.rs", "src/state/supply.rs",
    "src/state/outcomes.rs", "src/state/upkeep.rs",
]
KNOWN = "verify/deletions.txt"


def skip(tests):
    return [argument for test in tests for argument in ("--skip", test)]


# What is built, and how its tests are run, from the quickest to the slowest, and after how many seconds
# they hang; the first that fails tells.
APART = ["on_plain_threads", "faults", "table"]
SLOW = ["cancel", "keyed", "interleaving", "regressions", "virtual_clock::"]
STAGES = [
    (["--lib"], [("lib", ["--skip", "explore"], 30)]),
    (["--test", "sim"], [("sim", [], 60)]),
    (["--test", "it"], [("it", skip(APART + SLOW), 60), ("it", [*SLOW, *skip(APART)], 240)]),
    (["--lib"], [("lib", ["explore"], 240)]),
]
NOT_A_STATEMENT = re.compile(
    r"(let|use|fn|pub|impl|struct|enum|match|for|while|loop|mod|const|type|else|assert|debug_assert)\b|//|#|[})\].?]"
    # It only looks whether the books are straight.
    r"|self\.check\(\);"
)
FUNCTION = re.compile(r"\s*(?:pub(?:\([a-z]+\))? )?(?:async )?fn (\w+)")


def product_lines(lines):
    """How many lines come before the unit tests."""
    for number, line in enumerate(lines):
        if line.startswith("#[cfg(test)]") and "mod tests {" in "".join(lines[number:number + 2]):
            return number
    return len(lines)


def statements(lines):
    """Yields the function, the first and the last line of every statement that could be deleted, but in
    functions that only look whether the books are straight."""
    end = product_lines(lines)
    function = "-"
    only_looks = False
    for first in range(end):
        line = lines[first]
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        begins = FUNCTION.match(line)
        if begins:
            function = begins.group(1)
            only_looks = "debug_assertions" in lines[first - 1]
        if only_looks or indent < 4 or not text or NOT_A_STATEMENT.match(text):
            continue
        for last in range(first, end):
            closing = lines[last]
            if last > first and len(closing) - len(closing.lstrip()) < indent and closing.strip():
                break
            same = len(closing) - len(closing.lstrip()) == indent
            done = closing.rstrip()
            if (same and done.endswith(";")) or (same and last > first and done.strip() == "}" and text.startswith("if ")):
                # With what is said about it.
                while lines[first - 1].strip().startswith("#["):
                    first -= 1
                # It is not there at all where it belongs to a planted mutant.
                if "cfg(mutant" not in lines[first]:
                    yield function, first, last
                break
            if same and last > first and not re.match(r"\s*[})\].?]", closing):
                break


def environment():
    # What a deletion leaves unused is no reason not to run it.
    return dict(os.environ, RUST_BACKTRACE="0", WATERTIGHT_SEEDS="0..2500", CARGO_TERM_COLOR="never", RUSTFLAGS="")


def build(targets):
    """The test binaries by name, or None if something does not compile."""
    command = ["cargo", "test", "--no-run", "--profile", "mutants", "--no-default-features", "--message-format=json"]
    result = subprocess.run(command + targets, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if result.returncode != 0:
        return None
    messages = [json.loads(line) for line in result.stdout.splitlines() if line.startswith(b"{")]
    tests = [message for message in messages if message.get("executable") and message["profile"]["test"]]
    return {"lib" if "lib" in test["target"]["kind"] else test["target"]["name"]: test["executable"] for test in tests}


def run(binary, arguments, limit):
    """'missed', 'caught' or 'hung'."""
    command = [binary, "--quiet", *arguments]
    for _ in range(2):
        try:
            done = subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit)
        except subprocess.TimeoutExpired:
            continue
        return "missed" if done.returncode == 0 else "caught"
    return "hung"


def verdict():
    """'unviable', 'caught', 'hung' or 'missed'."""
    for targets, runs in STAGES:
        binaries = build(targets)
        if binaries is None:
            return "unviable"
        for name, arguments, limit in runs:
            result = run(binaries[name], arguments, limit)
            if result != "missed":
                return result
    return "missed"


def known():
    try:
        with open(KNOWN) as file:
            return {line.split("\t")[0].rstrip() for line in file if line.strip() and not line.startswith("#")}
    except FileNotFoundError:
        return set()


def main(arguments):
    listing, verbose = "--list" in arguments, "--verbose" in arguments
    files = [argument for argument in arguments if not argument.startswith("--")] or FILES
    counts = {"unviable": 0, "caught": 0, "hung": 0, "missed": 0}
    equivalent, survivors = known(), []
    # However it is stopped, the file is put back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not listing and (broken := verdict()) != "missed":
        sys.exit(f"with nothing deleted, the tests are: {broken}")
    for path in files:
        with open(path) as file:
            lines = file.readlines()
        for function, first, last in statements(lines):
            text = " ".join(line.strip() for line in lines[first:last + 1])
            name = f"{path}: {function}: {text}"
            if listing:
                print(f"{path}:{first + 1}: {function}: {text}")
                continue
            try:
                with open(path, "w") as file:
                    file.writelines(lines[:first] + lines[last + 1:])
                result = verdict()
            finally:
                with open(path, "w") as file:
                    file.writelines(lines)
            counts[result] += 1
            if verbose:
                print(f"{result:8} {path}:{first + 1}: {function}: {text}", flush=True)
            if result == "missed":
                survivors.append(name)
                note = "  (known to be equivalent)" if name in equivalent else ""
                print(f"missed  {path}:{first + 1}: {function}: {text}{note}", flush=True)
    if not listing:
        print(counts)
    return any(name not in equivalent for name in survivors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
