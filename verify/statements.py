"""The statements of the pool's own logic that could be deleted, for verify/mutation.py."""

import re

# By default: the hand-off, the lease, the deadline and the shutdown.
FILES = [f"src/{name}.rs" for name in (
    "acquire", "attempts", "bell", "channel", "clock", "connection", "contained", "filling", "here", "job", "late",
    "lease", "lending", "loan", "maintenance", "operations", "race", "retry", "returns", "shared", "waiters", "work",
    "keyed/accounts", "keyed/books", "keyed/core", "state/answers", "state/flow", "state/loans", "state/mod",
    "state/outcomes", "state/place", "state/renewal", "state/shed", "state/short", "state/supply", "state/tenancy",
    "state/upkeep",
)]
NOT_A_STATEMENT = re.compile(
    r"(let|use|fn|pub|impl|struct|enum|match|for|while|loop|mod|const|type|else|assert|debug_assert)\b|//|#|[})\].?]"
    # It only looks whether the books are straight.
    r"|self\.check\(\);"
)
FUNCTION = re.compile(r"\s*(?:pub(?:\([a-z]+\))? )?(?:async )?fn (\w+)")


def product_lines(lines):
    """How many lines come before the unit tests."""
    for number, line in enumerate(lines):
        if re.match(r"#\[cfg\((all\()?test\b", line) and "mod tests {" in "".join(lines[number:number + 2]):
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
