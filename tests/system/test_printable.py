"""Tests of how faultbench prints texts of unknown origin: on one short line that no terminal reacts to."""

import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import faultbench as fb
from faultbench.cli.main import main
from faultbench.runner.model_check import check_model
from faultbench.system.errors import FaultbenchError
from faultbench.system.printable import LONGEST_LINE, MOST_LINES, lines, printable, shortened
from tests.builders.campaign_texts import SMALL, problems, small
from tests.builders.results import ArtificialCampaign

HOSTILE = "x\x1b]0;pwned\x07\u202ey\nz\x85\u2028w"
"""Text that sets a terminal's title, reverses a line, and begins three more lines."""


def said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and everything that it printed."""
    monkeypatch.setattr(sys, "argv", ["faultbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out + err


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Sequence[str]], str]:
    """Return a function that runs a command beside c.yaml and returns its output. The exit code must be 2."""

    def printed(arguments: Sequence[str]) -> str:
        monkeypatch.chdir(tmp_path)
        Path("c.yaml").write_text(SMALL)
        code, text = said(monkeypatch, capfd, *arguments)
        assert code == 2
        return text

    return printed


@given(text=st.text())
def test_whatever_the_text_it_prints_on_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert shortened(text, 60).isprintable()
    assert len(shortened(text * 9, 60)) <= 60 + len(f"{len(text * 9):,}")


@given(text=st.text().filter(str.isprintable))
def test_printable_text_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text == shortened(text)


def test_escapes_say_which_characters_stood_there() -> None:
    assert printable(HOSTILE) == r"x\x1b]0;pwned\x07\u202ey\nz\x85\u2028w"
    assert printable("it's C:\\x\t") == r"it's C:\x\t"


def test_a_long_line_keeps_its_ends_and_says_how_long_it_was() -> None:
    shown = shortened("begin" + "-" * 400_000 + "end")
    assert len(shown) <= LONGEST_LINE
    assert shown.startswith("begin-")
    assert shown.endswith("-end")
    assert "(400,008 characters)" in shown


def test_lines_beyond_the_most_are_counted() -> None:
    assert lines("\n".join(map(str, range(MOST_LINES)))) == [*map(str, range(MOST_LINES))]
    shown = lines("\n".join(map(str, range(80_000))))
    assert len(shown) == MOST_LINES + 1
    assert shown[-1] == f"… and {80_000 - MOST_LINES:,} more"


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", HOSTILE), ("validate", HOSTILE), ("report", HOSTILE), (HOSTILE,), ("validate", f"--{HOSTILE}"),
        ("list", "models", "--plugin", HOSTILE), ("merge", HOSTILE, HOSTILE), ("compare", HOSTILE, HOSTILE),
        ("run", "c.yaml", "-s", f"{HOSTILE}=1"), ("run", "c.yaml", "-s", f"models=[{HOSTILE}]"),
        ("validate", "c.yaml", "-s", f'plugins=["{HOSTILE!r}"]'), ("plot", HOSTILE, "--only", HOSTILE),
    ],
    ids=str,
)  # fmt: skip
def test_an_error_repeats_a_hostile_name_escaped_on_one_line(
    arguments: tuple[str, ...], refused: Callable[[Sequence[str]], str]
) -> None:
    text = refused(arguments)
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.count("\n") <= 2  # an override may have two mistakes


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "models", "--plugin", "a" * 100_000), ("validate", "c.yaml", "-s", f"plugins=[{'a' * 100_000}]"),
        ("validate", "c.yaml", "-s", f"models=[{'a' * 100_000}]"),
        ("validate", "c.yaml", "-s", f"{'.'.join('a' * 990)}=1"), ("validate", "c.yaml", "-s", "=" * 100_000),
        ("validate", "c.yaml", "-s", f"x={'[' * 50_000}"), ("validate", "c.yaml", "-s", f"{'a' * 100_000}=1"),
        ("b" * 100_000,), ("run", "c.yaml", "--engine", "c" * 100_000), ("validate", "c.yaml", f"--{'d' * 100_000}"),
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)  # fmt: skip
def test_however_long_an_argument_the_error_is_short(
    arguments: tuple[str, ...], refused: Callable[[Sequence[str]], str]
) -> None:
    text = refused(arguments)
    assert "Traceback" not in text
    assert len(text) < 2 * LONGEST_LINE
    assert text.count("\n") <= 3


PATHS = ("a\0b", HOSTILE, "\ud800", "x" * 300, f"{HOSTILE}/{HOSTILE}", "y" * 100_000)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[:20])
@pytest.mark.parametrize("function", ["load_campaign", "read_results", "run a file", "run in a folder", "baseline"])
def test_functions_tell_any_path_on_one_printable_line(
    function: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(SMALL)
    Path("file").touch()
    calls: dict[str, Callable[[str], object]] = {
        "load_campaign": fb.load_campaign,
        "read_results": fb.read_results,
        "run a file": lambda given: fb.run(given, quiet=True),
        "run in a folder": lambda given: fb.run("c.yaml", f"file/{given}", quiet=True),
        "baseline": lambda given: check_model(None, tmp_path / "c.yaml", Path(given), tmp_path),
    }
    with pytest.raises(FaultbenchError) as raised:
        calls[function](path)
    message = str(raised.value)
    assert message.isprintable()
    assert len(message) <= LONGEST_LINE
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["c.yaml", "file"]


TEXTS_GIVEN: dict[str, Callable[[str], object]] = {
    "override": lambda given: fb.load_campaign("c.yaml", [given]),
    "plug-in": lambda given: fb.load_campaign("c.yaml", [f"plugins=[{given!r}]"]),
    "weights": lambda given: fb.load_campaign("c.yaml", [f"models=[{{name: digits_cnn, weights: {given!r}}}]"]),
    "engine": lambda given: fb.run("c.yaml", engine=given, quiet=True),
    "device": lambda given: fb.run("c.yaml", device=given, quiet=True),
    "scheme": lambda given: fb.protect(nn.Linear(2, 2), given, torch.rand(2, 1, 8, 8)),
    "images": lambda given: fb.protect(nn.Linear(2, 2), "relu", given),  # type: ignore[arg-type]  # wrong on purpose
    "format": lambda given: fb.inject(nn.Linear(2, 2), ber=0.1, format=given).__enter__(),
}


@pytest.mark.parametrize("given_text", ["a\0b", HOSTILE, "z" * 100_000], ids=["zero", "hostile", "long"])
@pytest.mark.parametrize("what", TEXTS_GIVEN)
def test_functions_tell_any_text_on_printable_lines(
    what: str, given_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(SMALL)
    with pytest.raises(FaultbenchError) as raised:
        TEXTS_GIVEN[what](given_text)
    told = str(raised.value).split("\n")
    assert len(told) <= 2
    assert all(line.isprintable() and len(line) <= LONGEST_LINE for line in told)


def test_whatever_a_name_of_a_network_holds_its_warning_is_printable() -> None:
    network = nn.Linear(2, 2)
    network.register_buffer(HOSTILE, torch.zeros(2, 2))
    network.register_buffer("w" * 100_000, torch.zeros(2, 2))
    with pytest.warns(UserWarning, match="no fault hits") as caught, fb.inject(network, ber=0):
        pass
    (message,) = [str(one.message) for one in caught]
    assert message.isprintable()
    assert len(message) <= LONGEST_LINE


def test_a_message_of_ours_is_one_printable_line_wherever_it_is_shown() -> None:
    error = FaultbenchError(f"{HOSTILE}: is wrong")
    assert str(error) == r"x\x1b]0;pwned\x07\u202ey\nz\x85\u2028w: is wrong"
    assert "\x1b" not in "".join(traceback.format_exception(error))
    assert len(str(FaultbenchError("x" * 10**6))) <= LONGEST_LINE
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_export_prints_a_path_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = ArtificialCampaign().write(tmp_path / HOSTILE)
    code, text = said(monkeypatch, capfd, "export", str(folder))
    assert code == 0
    assert text
    assert all(line.startswith(str(tmp_path)) and line.endswith(".csv") for line in text.splitlines())


def test_a_campaign_with_many_problems_tells_the_first_and_counts_the_others() -> None:
    text = SMALL + "".join(f"k{number}: 1\n" for number in range(20_000))
    told = problems(text)
    assert told[0].startswith("small.yaml:7:1: unknown key 'k0'")
    assert len(told) == 41
    assert told[-1] == "… and 19,960 more"


@pytest.mark.parametrize("key", ["name", "models", "bers"])
def test_a_huge_value_is_quoted_in_short(key: str) -> None:
    told = problems(small(**{key: f'"{"z" * 500_000}"'}))
    assert told
    assert all(len(line) < 500 for line in told)


def test_a_name_that_is_not_printable_is_refused() -> None:
    assert problems(small(schemes=r'["relu\u001b]0;pwned\u0007"]')) == [
        r"small.yaml:4:11: schemes[0]: must be one line of printable text; given 'relu\x1b]0;pwned\x07'"
    ]
