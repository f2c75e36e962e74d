"""What `--help` says: verbs by section, and sentences with an imperative verb."""

import re

import click
import pytest

from faultbench.cli.main import Verbs, faultbench
from faultbench.cli.verb import Section, Verb

CONTEXT = click.Context(faultbench, info_name="faultbench", terminal_width=80)
VERBS = {name: faultbench.get_command(CONTEXT, name) for name in Verbs("faultbench").list_commands(CONTEXT)}
OPTIONS = [
    pytest.param(option, id=f"{name} {option.opts[-1]}")
    for name, verb in VERBS.items()
    if verb
    for option in verb.params
    if isinstance(option, click.Option)
]
IMPERATIVES = frozenset({
    "Add", "Allow", "Archive", "Assume", "Build", "Call", "Charge", "Check", "Compare", "Count", "Do", "Draw", "End",
    "Export", "Fail", "Find", "Give", "Include", "Join", "Keep", "Let", "List", "Measure", "Override", "Print", "Read",
    "Run", "Show", "Start", "Stop", "Train", "Try", "Use", "Write",
})  # fmt: skip
"""First words of help texts; a new text may add its own verb."""


def is_instruction(text: str) -> bool:
    sentence = re.sub(r" *\[default: [^\]]*\]$", "", text)
    return text.split()[0] in IMPERATIVES and sentence.endswith(".") and "default" not in sentence.lower()


def test_the_help_lists_every_verb_in_its_section_with_a_whole_sentence() -> None:
    text = faultbench.get_help(CONTEXT)
    assert "..." not in text.partition("[ARGS]...")[2]
    headings = [text.index(f"{section.value}:") for section in Section]
    assert headings == sorted(headings)
    assert "Commands:" not in text
    for name, verb in VERBS.items():
        assert isinstance(verb, Verb)
        (line,) = re.findall(rf"^  {name} +(\S.*)$", text, re.MULTILINE)
        assert is_instruction(line), line
        heading = max(start for start in headings if start < text.index(f"\n  {name} "))
        assert text[heading:].startswith(verb.section.value)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_help_of_an_option_is_an_instruction(option: click.Option) -> None:
    assert is_instruction(option.help or ""), option.help


@pytest.mark.parametrize("option", OPTIONS)
def test_a_default_that_is_not_none_is_shown(option: click.Option) -> None:
    if (
        not option.is_flag
        and not option.multiple
        and option.default is not None
        and "UNSET" not in repr(option.default)
    ):
        assert option.show_default, option.opts


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_a_verb_fits_80_columns(name: str) -> None:
    verb = VERBS[name]
    assert verb is not None
    text = verb.get_help(click.Context(verb, info_name=name, parent=CONTEXT, terminal_width=80))
    assert text.startswith(f"Usage: faultbench {name} ")
    assert max(map(len, text.splitlines())) <= 80
