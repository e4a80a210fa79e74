#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Finds what GCC 12 destroys twice, or refuses, in an expression with co_await.

    check_coroutines.py ROOT        looks at the C++ files of the tree
    check_coroutines.py --self-test

Three rules, per full expression that contains co_await (or co_yield):
  lambda   no lambda that captures by value; give it a name on a line before. Captures by reference
           and of `this` are trivially destroyed and pass.
  braces   no braced list: `f({...})`, `f(options{...})`, `= {...}`. Name it, or use parentheses.
  branch   no co_await behind ?, && or || in the operand of co_return or the condition of a loop or
           switch: it runs whatever the condition says. Name the awaited value on a line before.

A regular expression sees no types. That awaiters and option types have a constructor of their own
is for review.
"""

import pathlib
import re
import sys

OPEN = {"(": ")", "[": "]", "{": "}"}
CLOSE = {v: k for k, v in OPEN.items()}

NOISE = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | R"(?P<delim>[^\s()\\]{0,16})\(.*?\)(?P=delim)"
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'
      | ^[ \t]*\#(?:\\\n|[^\n])*""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def blank(match):
    """Same length and line numbers, no contents."""
    return re.sub(r"[^\n]", " ", match.group())


def pairs_of(text):
    """Index of each bracket -> index of its partner."""
    pairs, stack = {}, []
    for i, c in enumerate(text):
        if c in OPEN:
            stack.append(i)
        elif c in CLOSE and stack and text[stack[-1]] == CLOSE[c]:
            pairs[i] = stack.pop()
            pairs[pairs[i]] = i
    return pairs


def is_block(text, pairs, i):
    """Whether the brace at i opens statements, and not a braced list."""
    before = text[:i].rstrip()
    if not before or before[-1] in ")];{}":
        return True
    if re.search(r"\b(else|do|try|mutable|noexcept|const|override|final)$", before):
        return True
    # Statements end in ';' or are blocks themselves; lists hold neither at their own depth.
    j, end = i + 1, pairs.get(i, len(text))
    while j < end:
        if text[j] == ";":
            return True
        if text[j] == "{" and is_block(text, pairs, j) and not in_lambda(text, pairs, j):
            return True
        j = pairs.get(j, j) + 1 if text[j] in OPEN else j + 1
    # `-> type {}` is an empty body.
    return bool(re.search(r"->\s*[\w:<>,\s*&]+$", before))


def in_lambda(text, pairs, brace):
    """Whether the block at brace is the body of a lambda."""
    before = text[:brace].rstrip()
    before = re.sub(r"(\s*->[^;{}()]*|\s*\b(mutable|noexcept|constexpr))+$", "", before).rstrip()
    if before.endswith(")"):
        before = before[: pairs.get(len(before) - 1, 0)].rstrip()
    if before.endswith(">"):  # template parameters
        before = before[: before.rfind("<")].rstrip()
    return before.endswith("]") and is_introducer(text, pairs.get(len(before) - 1, 0))


def is_introducer(text, i):
    """Whether the '[' at i begins a lambda: not an index, not an attribute."""
    before = text[:i].rstrip()
    if text[i : i + 2] == "[[" or before.endswith("["):
        return False
    if re.search(r"\b(return|co_return|co_await|co_yield)$", before):
        return True
    return not before or not re.match(r"[\w)\]]", before[-1])


def captures_by_value(capture):
    depth, parts, part = 0, [], ""
    for c in capture:
        depth += c in "([{<"
        depth -= c in ")]}>"
        if c == "," and depth <= 0:
            parts.append(part)
            part = ""
        else:
            part += c
    parts = [p.strip() for p in parts + [part]]
    return any(p and not p.startswith("&") and p != "this" for p in parts)


def statement(text, pairs, at):
    """The range of the full expression around position at."""
    start = at
    while start > 0:
        c = text[start - 1]
        if c == ";" or c == "{" and is_block(text, pairs, start - 1):
            break
        if c in CLOSE and start - 1 in pairs:
            partner = pairs[start - 1]
            if c == "}" and is_block(text, pairs, partner) and not in_lambda(text, pairs, partner):
                break
            start = partner
        else:
            start -= 1
    end = at
    while end < len(text):
        c = text[end]
        if c in ";" or c == "}" and is_block(text, pairs, pairs.get(end, 0)):
            break
        if c == "{" and is_block(text, pairs, end) and not in_lambda(text, pairs, end):
            break
        end = pairs.get(end, end) + 1 if c in OPEN else end + 1
    return start, end


def runs_anyway(text, pairs, start, at):
    """Whether the co_await at `at`, in the statement from start, is a branch that GCC 12 runs."""
    first = None  # of the operand or condition
    opens = sorted((i for i in pairs if i < at < pairs[i]), reverse=True)
    for i in opens:
        if text[i] == "{" and is_block(text, pairs, i):
            break
        word = re.search(r"\b(while|for|switch)\s*$", text[:i])
        if text[i] == "(" and word:
            first = i + 1
            break
    returns = list(re.finditer(r"\bco_return\b", text[start:at]))
    if first is None and returns:
        first = start + returns[-1].end()
    if first is None:
        return False
    # What stands before it, without brackets that are closed and arguments that are over.
    i = first
    while i < at:
        if text[i] in OPEN:
            closes = pairs.get(i, len(text))
            i = i + 1 if closes > at else closes + 1
            continue
        if text[i] == "?" or text[i : i + 2] in ("||", "&&"):
            if not re.match(r"&&\s*[>,)]", text[i:]):  # a type
                rest, j, over = i + 1, i + 1, False
                while rest < at and not over:
                    if text[rest] in OPEN and pairs.get(rest, len(text)) < at:
                        rest = pairs[rest]
                    over = text[rest] in ",;"
                    rest += 1
                if not over:
                    return True
        i += 1
    return False


def findings(source):
    """Yields (line, what) for each hazard."""
    text = NOISE.sub(blank, source)
    pairs = pairs_of(text)
    seen = set()
    for match in re.finditer(r"(?<!operator )\bco_(await|yield)\b", text):
        start, end = statement(text, pairs, match.start())
        if runs_anyway(text, pairs, start, match.start()):
            what = "co_await that GCC 12 runs unconditionally: name the awaited value before"
            yield text.count("\n", 0, match.start()) + 1, what
        i = start
        while i < end:
            hazard = None
            if text[i] == "[" and i in pairs and is_introducer(text, i):
                if captures_by_value(text[i + 1 : pairs[i]]):
                    hazard = "capturing lambda in a co_await expression: name it on a line before"
                step = pairs[i] + 1  # `[x = T{}]` is one finding
            elif text[i] == "{" and i in pairs:
                if is_block(text, pairs, i):
                    # A lambda's body is full expressions of its own; but look inside if the
                    # co_await is there.
                    step = i + 1 if i < match.start() < pairs[i] else pairs[i] + 1
                else:
                    hazard = "braced list in a co_await expression: name it on a line before"
                    step = i + 1
            else:
                step = i + 1
            if hazard and i not in seen:
                seen.add(i)
                yield text.count("\n", 0, i) + 1, hazard
            i = step


BAD = """\
co_await f([x] { return x; });
co_await f([=] { return 1; });
co_await f([p = std::move(p)] { use(p); });
co_await f([&a, b](int) mutable { b += a; });
co_await f([*this] { go(); });
co_await f(std::function<void()>([x] {}));
g([x] { use(x); }, co_await h());
co_await f(\\n    a,\\n    [x] { return x; });
auto r = co_await s.run([x](int y) -> int { return x + y; }, stop);
if (co_await f([x] { return x; })) { go(); }
co_await f({1, 2});
co_await f({.x = 2});
co_await f(opts{.x = 2});
co_await f(opts{});
co_await awaiter{this};
auto v = co_await f(a, {b, c});
use({1, 2}, co_await h());
std::vector<int> v{co_await h()};
while (co_await next({k})) { go(); }
for (auto x = co_await f({1}); x; ) { go(); }
SLUICE_CO_RETURN_IF_ERROR(co_await f({1}));
co_yield opts{.x = 2};
spawn([&] { return [&]() -> task<int> { co_return co_await f({1}); }; });
co_return c ? co_await f() : 0;
co_return c ? 0 : g(co_await f());
co_return (1 + (c && co_await f()));
if (x) co_return c || co_await f();
while (c && co_await f()) { go(); }
for (int i = 0; c || co_await f(); ++i) { go(); }
do { go(); } while (c && co_await f());
switch (c ? co_await f() : 0) { default: break; }
""".splitlines()

GOOD = """\
co_await f([] { return 1; });
co_await f([&] { return x; });
co_await f([&x, this] { return x; });
auto fn = [x] { return x; }; co_await f(fn);
opts o{.x = 2}; co_await f(o);
opts o = {.x = 2}; auto r = co_await f(std::move(o));
if (co_await f()) { std::vector<int> v{1, 2}; }
while (co_await f(a[i])) { go({1}); }
{ std::vector<int> v{1, 2}; } co_await f();
co_await f(); g({1, 2});
co_await f(); g([x] { return x; });
awaiter operator co_await() && noexcept { return awaiter{*this}; }
auto t = [x]() -> task<int> { co_return co_await g(x); };
// co_await f({1, 2});
log("co_await f({1})"); f({1});
#define AWAIT(x) co_await f({x})
[[nodiscard]] task<int> run(opts o = {}) { co_return co_await o.go(); }
void f() { g({1}); } task<int> h() { co_await k(); co_return 1; }
struct s { int a{0}; task<int> f() { co_return co_await g(a); } };
co_await f(table[i][j]);
switch (co_await f()) { case 1: g({1}); break; default: break; }
const int n = 1'000; co_await f(n);
if (c && co_await f()) { go(); }
const bool b = c && co_await f();
while (co_await f() && c) { go(); }
co_return co_await f() ? 1 : 0;
co_return g(a && b, co_await f());
co_return static_cast<T&&>(co_await f());
while (a && b) { co_await f(); }
for (; a && b; ++i) co_await f();
""".splitlines()


def self_test():
    wrong = 0
    for want, lines in ((True, BAD), (False, GOOD)):
        for line in lines:
            source = "task<void> t() {\n" + line.replace("\\n", "\n") + "\n}\n"
            if bool(list(findings(source))) != want:
                print(("missed: " if want else "false alarm: ") + line)
                wrong += 1
    print(f"{len(BAD)} bad and {len(GOOD)} good lines, {wrong} judged wrongly")
    return wrong


def check(root):
    count = 0
    for top in ("include", "src", "cuda", "examples", "tests"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".cpp", ".hpp", ".h", ".cu", ".cuh"):
                continue
            for line, what in findings(path.read_text(encoding="utf-8")):
                print(f"{path.relative_to(root)}:{line}: {what}")
                count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    sys.exit(1 if check(pathlib.Path(sys.argv[1])) else 0)
