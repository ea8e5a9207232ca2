"""Every regular expression of the product, and texts on which a slow one would never end.

Run as a program it reads JSON from standard input, [[where, pattern, flags, ways to use it], …], and tries each. It
ends itself by SIGPROF when one text takes longer than LIMIT_S of processor time, and has then said which.
"""

import ast
import importlib
import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]

BASE = Path(__file__).resolve().parent.parent.parent
APPS = ("setactions", "jobs", "audit", "tmsdash")
LENGTH = 60_000  # characters: some milliseconds for a linear pattern, seconds for a quadratic one
LIMIT_S = 0.5
WAYS = {"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
DJANGO_WAYS = ("search",)  # RegexValidator, RegexField, re_path and the settings that hold patterns search
DJANGO_CLASSES = {"RegexValidator", "RegexField"}
NEVER = "\ue000"  # a character of which no pattern knows


# -- Finding them --------------------------------------------------------------------------------------------------


def product_files():
    """Every file of the product's own code."""
    files = [BASE / "manage.py"]
    for app in APPS:
        files += [file for file in (BASE / app).rglob("*.py") if "tests" not in file.parts]
    return sorted(files)


def patterns_in(tree, namespace, where, uses):
    """Return (where, pattern, flags, ways) of every regular expression in a module.

    `namespace` holds what the module's names stand for, `uses` the ways in which names are used. A pattern that
    cannot be known before the code runs raises NameError: give it a name in the module.
    """
    names = {"re": re} | namespace
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = _value(node.func, names)
        if getattr(function, "__module__", "") == "re" and getattr(function, "__name__", "") in WAYS | {"compile"}:
            pattern = _compiled(node, function.__name__, names)
            ways = [function.__name__] if function.__name__ in WAYS else uses.get(_name_of(tree, node), WAYS)
        elif getattr(function, "__name__", "") in DJANGO_CLASSES or _called(node) in ("re_path", *DJANGO_CLASSES):
            pattern, ways = re.compile(_first(node, names)), DJANGO_WAYS
        else:
            continue
        found.append((f"{where}:{node.lineno}", *_as_text(pattern), sorted(ways)))
    return found


def _as_text(pattern):
    """The pattern and its flags; one of bytes as one of characters that takes the same time."""
    if isinstance(pattern.pattern, bytes):
        return pattern.pattern.decode("ascii"), pattern.flags | re.ASCII
    return pattern.pattern, pattern.flags


def _compiled(call, function_name, names):
    flags_at = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(function_name, 2)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    flags = call.args[flags_at] if len(call.args) > flags_at else keywords.get("flags")
    value = _first(call, names)
    return value if isinstance(value, re.Pattern) else re.compile(value, _must(flags, names) if flags else 0)


def _first(call, names):
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    argument = call.args[0] if call.args else keywords.get("pattern") or keywords["regex"]
    return _must(argument, names)


def _value(expression, names):
    """What a (dotted) name stands for; None for what is no name of the module."""
    innermost = expression
    while isinstance(innermost, ast.Attribute):
        innermost = innermost.value
    if isinstance(innermost, ast.Name):
        with suppress(NameError, AttributeError):
            return _must(expression, names)
    return None


def _must(expression, names):
    code = compile(ast.Expression(expression), "<pattern>", "eval")
    return eval(code, dict(names))  # noqa: S307 (the product's own code)


def _called(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _name_of(tree, call):
    """The module's name for what `call` returns; None if it has none."""
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is call:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            return getattr(target, "id", None)
    return None


def uses_in(trees):
    """By which methods of patterns each name is used that is used by such methods (and `.pattern`) only."""
    ways, elsewhere = {}, set()
    nodes = [node for tree in trees for node in ast.walk(tree)]
    owners = {id(node.value): node.attr for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            attribute = owners.get(id(node))
            if attribute in WAYS:
                ways.setdefault(node.id, set()).add(attribute)
            elif attribute != "pattern":
                elsewhere.add(node.id)
    return {name: found for name, found in ways.items() if name not in elsewhere}


def product_patterns():
    """All of them, as `patterns_in` returns them."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in product_files()}
    public = {name: ways for name, ways in uses_in(trees.values()).items() if not name.startswith("_")}
    found = settings_patterns()
    for file, tree in trees.items():
        if re.search(r"\b(re|re_path|RegexValidator|RegexField)\b", file.read_text(encoding="utf-8")):
            where = str(file.relative_to(BASE))
            module = importlib.import_module(where.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
            found += patterns_in(tree, vars(module), where, uses_in([tree]) | public)
    return found


def settings_patterns():
    """The regular expressions among the settings."""
    from django.conf import settings

    lists = {name: getattr(settings, name) for name in ("SECURE_REDIRECT_EXEMPT", "IGNORABLE_404_URLS")}
    lists["DISALLOWED_USER_AGENTS"] = settings.DISALLOWED_USER_AGENTS
    compiled = [(name, re.compile(pattern)) for name, patterns in lists.items() for pattern in patterns]
    return [(name, pattern.pattern, pattern.flags, DJANGO_WAYS) for name, pattern in compiled]


# -- Texts made from a pattern -------------------------------------------------------------------------------------


def adversarial_texts(pattern, flags, length=LENGTH):
    """Yield texts that nearly match: each piece that repeats, repeated, behind what comes before it.

    Then what begins the pattern, again and again, and each of its characters; all with several ends.
    """
    tree = parser.parse(pattern, flags)
    whole = _sample(tree)
    pumps = {("", whole[:end]) for end in (*range(1, 10), len(whole)) if whole} | set(_pumps(tree, ""))
    alphabet = sorted({character for _, pump in pumps for character in pump})
    pumps |= {("", character) for character in alphabet}
    for before, pump in sorted(pumps):
        middle = (pump * (length // len(pump) + 1))[: length // len(pump) * len(pump)]
        for end in dict.fromkeys(["", NEVER, f"{whole[-1:]}{NEVER}"]):
            yield before + middle + end


def _pumps(tree, before):
    """Yield (what comes before, what is repeated) for every piece of a pattern that may repeat often."""
    for operation, argument in tree:
        if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            _, most, inner = argument
            if most is sre.MAXREPEAT or most > 20:
                pieces = list(dict.fromkeys(piece for piece in _samples(inner) if piece))
                yield from ((before, piece) for piece in pieces)
                yield from ((before, a + b) for a, b in itertools.combinations(pieces[:6], 2))
        for branch in _inside(operation, argument):
            yield from _pumps(branch, before)
        before += _sample([(operation, argument)])


def _inside(operation, argument):
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return [argument[2]]
    if operation is sre.SUBPATTERN:
        return [argument[3]]
    if operation is sre.BRANCH:
        return argument[1]
    if operation in (sre.ASSERT, sre.ASSERT_NOT):
        return [argument[1]]
    if operation is sre.ATOMIC_GROUP:
        return [argument]
    return []


def _sample(tree):
    """A short text that matches, without regard to what looks around."""
    return next(_samples(tree), "")


def _samples(tree) -> Iterator[str]:
    """Some texts that match: the first is made of first choices, the others take another choice in one place."""
    choices = [list(itertools.islice(_choices(*item), 40)) or [""] for item in tree]
    yield "".join(choice[0] for choice in choices)
    for place, others in enumerate(choices):
        for other in others[1:]:
            yield "".join(other if at == place else choice[0] for at, choice in enumerate(choices))


def _choices(operation, argument) -> Iterator[str]:
    if operation is sre.LITERAL:
        yield chr(argument)
    elif operation is sre.NOT_LITERAL:
        yield "a" if argument != ord("a") else "b"
    elif operation is sre.ANY:
        yield from "a1"
    elif operation is sre.IN:
        yield from _members(argument)
    elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, _, inner = argument
        yield from (piece * max(1, min(least, 40)) for piece in _samples(inner))
        if not least:
            yield ""
    elif operation is sre.SUBPATTERN:
        yield from _samples(argument[3])
    elif operation is sre.ATOMIC_GROUP:
        yield from _samples(argument)
    elif operation is sre.BRANCH:
        for branch in argument[1]:
            yield from _samples(branch)
    else:  # what looks around, and places
        yield ""


def _members(items):
    """Characters of a class, of each of its parts one."""
    common = "a1 -_.,'\"\\/\n\tZ\u00e9"
    one = re.compile(f"[{''.join(map(_spelled, items))}]")
    named = [
        chr(item[1] if item[0] is sre.LITERAL else item[1][0]) for item in items if item[0] in (sre.LITERAL, sre.RANGE)
    ]
    return [character for character in dict.fromkeys([*named, *common]) if one.match(character)]


def _spelled(item):
    operation, argument = item
    if operation is sre.NEGATE:
        return "^"
    if operation is sre.LITERAL:
        return re.escape(chr(argument))
    if operation is sre.RANGE:
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    return {
        sre.CATEGORY_DIGIT: r"\d",
        sre.CATEGORY_NOT_DIGIT: r"\D",
        sre.CATEGORY_SPACE: r"\s",
        sre.CATEGORY_NOT_SPACE: r"\S",
        sre.CATEGORY_WORD: r"\w",
        sre.CATEGORY_NOT_WORD: r"\W",
    }[argument]


# -- Trying them ---------------------------------------------------------------------------------------------------


def try_all(patterns):
    """Try each pattern in another process; return where the slow one stands and its text, or "" if none is slow."""
    ended = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(patterns),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if ended.returncode == 0:
        return ""
    assert ended.returncode == -signal.SIGPROF, ended.stderr
    return ended.stdout.splitlines()[-1]


def _main():
    for where, pattern, flags, ways in json.load(sys.stdin):
        compiled = re.compile(pattern, flags)
        for text in adversarial_texts(pattern, flags):
            for way in ways:
                print(f"{where} {way} {text[:40]!r}…{text[-5:]!r}", flush=True)  # noqa: T201
                signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # ends the process, inside `re`, too
                _use(compiled, way, text)
    signal.setitimer(signal.ITIMER_PROF, 0)


def _use(compiled, way, text):
    if way in ("sub", "subn"):
        getattr(compiled, way)("", text)
    elif way == "finditer":
        list(compiled.finditer(text))
    else:
        getattr(compiled, way)(text)


if __name__ == "__main__":
    _main()
