"""Whether tests notice wrong numbers: change one operator or constant at random, run the room's tests, and repeat.

    python benchmarks/mutants.py [--count N] [--seed N] [--only TEXT] [--at PATH:LINE …] [--longest S] [--list]

A mutant is killed when a test fails or runs longer than the time allowed. Each survivor is printed with its line: it is
a hole of the tests, unless the change alters no number. Tests run in a copy of the repository, in forks of one process
that has imported torch, so that a mutant costs the tests alone.
"""

import argparse
import ast
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = (
    "results/stats/*.py", "results/estimates.py", "results/forecast.py", "results/analysis/*.py",
    "results/missing_trials.py", "trials/**/*.py", "memory/**/*.py", "gate/verdicts.py", "gate/limits.py",
    "schemes/**/*.py",
)  # fmt: skip
"""Modules that make numbers."""

SWAPPED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "*"), ast.Pow: ("**", "*"), ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"),
    ast.And: ("and", "or"), ast.Or: ("or", "and"), ast.USub: ("-", "+"), ast.Not: ("not ", ""),
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
SPARED = ast.Raise | ast.Assert | ast.JoinedStr | ast.AnnAssign
"""Words of messages, and types, are no numbers; of an annotated assignment the value alone is changed."""

HEAVY = ("torch", "torchvision", "pandas", "scipy.stats", "matplotlib.figure", "pydantic", "hypothesis", "jinja2")
LONGEST_S = 900.0


@dataclass(frozen=True)
class Mutant:
    """One change of the text of a module."""

    path: Path
    line: int
    start: int
    stop: int
    after: str

    def text(self, source: str) -> str:
        """Return the module with the change."""
        return source[: self.start] + self.after + source[self.stop :]

    def describe(self, source: str) -> str:
        """Return where the change is, what it is, and the line as it was."""
        line = source.splitlines()[self.line - 1].strip()
        return f"{self.path}:{self.line}: {source[self.start : self.stop]!r} -> {self.after!r} in: {line}"


def mutants_of(path: Path) -> list[Mutant]:
    """Return every change of a module, in the order of its lines; path is relative to the repository."""
    source = (ROOT / path).read_text()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    encoded = source.encode()

    def offset(line: int, column: int) -> int:
        return len(encoded[: starts[line - 1] + column].decode())

    def between(left: ast.expr, right: ast.expr, old: str) -> int:
        """Return where the operator stands between two operands, or -1."""
        assert left.end_lineno is not None
        assert left.end_col_offset is not None
        begin = offset(left.end_lineno, left.end_col_offset)
        return source.find(old, begin, offset(right.lineno, right.col_offset))

    found = []
    for node in numeric_nodes(ast.parse(source)):
        for start, old, after in changes(node, offset, between):
            if start >= 0:
                line = source.count("\n", 0, start) + 1
                found.append(Mutant(path, line, start, start + len(old), after))
    return sorted(set(found), key=lambda mutant: (mutant.start, mutant.after))


def numeric_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield nodes that may make a number: none of messages, annotations, defaults of types, and decorators."""
    if isinstance(tree, ast.AnnAssign):
        if tree.value is not None:
            yield from numeric_nodes(tree.value)
        return
    if isinstance(tree, SPARED):
        return
    yield tree
    for name, value in ast.iter_fields(tree):
        if name not in {"annotation", "returns", "decorator_list", "type_params", "bases"}:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from numeric_nodes(child)


def changes(
    node: ast.AST, offset: Callable[[int, int], int], between: Callable[[ast.expr, ast.expr, str], int]
) -> Iterator[tuple[int, str, str]]:
    """Yield where, what and into what a node can be changed."""
    match node:
        case ast.Constant(value=bool() as value):
            yield offset(node.lineno, node.col_offset), str(value), str(not value)
        case ast.Constant(value=int() | float()) if node.end_col_offset:
            old = ast.unparse(node)
            start = offset(node.lineno, node.col_offset)
            length = node.end_col_offset - node.col_offset
            yield start, " " * length, f"({old} + 1)" if isinstance(node.value, int) else f"({old} * 1.25 + 0.125)"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in SWAPPED:
            old, new = SWAPPED[type(operator)]
            yield between(left, right, old), old, new
        case ast.BoolOp(op=operator, values=[first, second, *_]):
            old, new = SWAPPED[type(operator)]
            yield between(first, second, old), old, new
        case ast.Compare(left=left, ops=[operator, *_], comparators=[right, *_]) if type(operator) in SWAPPED:
            old, new = SWAPPED[type(operator)]
            yield between(left, right, old), old, new
        case ast.UnaryOp(op=operator) if type(operator) in SWAPPED:
            yield offset(node.lineno, node.col_offset), *SWAPPED[type(operator)]
        case ast.Call(func=ast.Name(id=name) as called) if name in NAMES:
            yield offset(called.lineno, called.col_offset), name, NAMES[name]


class Runner:
    """Runs tests on mutants in a copy of the repository."""

    def __init__(self, copy: Path, longest_s: float) -> None:
        for name in ("faultbench", "tests", "campaigns", "benchmarks", "docs", "results"):
            if (ROOT / name).exists():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.glob("*.*"):
            if path.is_file():
                shutil.copy(path, copy)
        self._copy, self._longest_s = copy, longest_s
        self._log = copy / "tests.log"
        self._failing: dict[str, list[str]] = {}

    def is_killed(self, mutant: Mutant) -> bool:
        """Return whether the tests of the mutant's room fail, or take too long."""
        path, deselected = self._copy / mutant.path, self._failing_anyway(mutant.path.parts[1])
        source = path.read_text()
        path.write_text(mutant.text(source))
        try:
            return not self.passes(["-x", *deselected, *self._tests(mutant.path)], self._longest_s)
        finally:
            path.write_text(source)

    def passes(self, arguments: Sequence[str], longest_s: float) -> bool:
        """Return whether pytest passes with these arguments, in a fork of this process."""
        child = os.fork()
        if not child:
            os.setsid()
            os._exit(self._run(arguments))
        until_s = time.monotonic() + longest_s
        while time.monotonic() < until_s:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _failing_anyway(self, room: str) -> list[str]:
        """Return options that leave out the tests of a room that fail without any mutant, which are printed."""
        if room not in self._failing:
            self.passes([f"tests/{room}"], 10 * self._longest_s)
            lines = [line.split()[1] for line in self._log.read_text().splitlines() if line.startswith("FAILED ")]
            print(*(f"left out: {name} fails without any mutant" for name in lines), sep="\n", end="", flush=True)
            self._failing[room] = [f"--deselect={name}" for name in lines]
        return self._failing[room]

    def _run(self, arguments: Sequence[str]) -> int:
        os.chdir(self._copy)
        os.environ["PYTHONPATH"] = str(self._copy)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(self._copy))
        options = ["-q", "-rf", "-m", "not slow and not crash", "-p", "no:cacheprovider", "-p", "no:xdist"]
        with (
            TemporaryDirectory() as folder,
            self._log.open("w") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            return int(pytest.main([*options, "--basetemp", f"{folder}/tests", *arguments]))

    def _tests(self, path: Path) -> list[str]:
        """Return the test files of the module's room, those first that name the module, then other rooms' that do."""
        room = path.relative_to("faultbench").parts[0]
        module = ".".join(path.with_suffix("").parts)
        files = {file: file.read_text() for file in sorted((self._copy / "tests").rglob("test_*.py"))}
        naming = [file for file, text in files.items() if f"{module} " in text or f"{module}\n" in text]
        own = [file for file in files if file.relative_to(self._copy / "tests").parts[0] == room]
        naming.sort(key=lambda file: (file not in own, f"test_{path.stem}" not in file.stem))
        chosen = dict.fromkeys([*naming, *own])
        return [str(file.relative_to(self._copy)) for file in chosen]


def chosen_mutants(arguments: argparse.Namespace) -> list[Mutant]:
    """Return the mutants that the command line asks for: at one line, or a random sample."""
    paths = sorted({path.relative_to(ROOT) for glob in SOURCES for path in (ROOT / "faultbench").glob(glob)})
    every = [mutant for path in paths if arguments.only in str(path) for mutant in mutants_of(path)]
    if arguments.at:
        return [mutant for mutant in every if f"{mutant.path}:{mutant.line}" in arguments.at]
    return random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))


def main() -> None:
    """Print every mutant of the sample and whether it was killed; exit code 1 below 97 per cent."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="modules whose path contains this text")
    parser.add_argument("--at", nargs="*", default=(), help="all mutants of these lines, such as faultbench/a.py:3")
    parser.add_argument("--longest", type=float, default=LONGEST_S, help="seconds after which tests count as failed")
    parser.add_argument("--list", action="store_true", help="print the sample and run nothing")
    arguments = parser.parse_args()
    mutants = chosen_mutants(arguments)
    if arguments.list:
        print(*(mutant.describe((ROOT / mutant.path).read_text()) for mutant in mutants), sep="\n")
    else:
        sys.exit(n_survivors(mutants, arguments.longest) > 0.03 * len(mutants))


def n_survivors(mutants: Sequence[Mutant], longest_s: float) -> int:
    """Run the tests on every mutant, print what became of it, and return how many survived."""
    for name in HEAVY:
        importlib.import_module(name)
    n_survived = 0
    with TemporaryDirectory() as folder:
        runner = Runner(Path(folder), longest_s)
        for mutant in mutants:
            killed = runner.is_killed(mutant)
            n_survived += not killed
            print("killed  " if killed else "SURVIVED", mutant.describe((ROOT / mutant.path).read_text()), flush=True)
    print(f"{len(mutants) - n_survived} of {len(mutants)} mutants killed")
    return n_survived


if __name__ == "__main__":
    main()
