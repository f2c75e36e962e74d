"""Old spellings of options, which verbs still take with a message that gives the new one."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

NEW_SPELLINGS = {
    "--plugins": ("--trust-plugins", "--plugin"),
    "--limit": ("--rows",),
    "--fails-at": ("--points-lost",),
}
"""Old spelling → new ones; a verb that has an option of the old name keeps it, as `run` keeps `--limit`."""

_BEST = "--best"
_BEST_VALUES = {"bold": [_BEST], "none": []}
"""Values of the option that is a flag today → the words to write in their place."""


@dataclass(frozen=True)
class Spelling:
    """Words of a command line as they are written today, and the replacements of old ones."""

    words: list[str]
    replaced: dict[str, str]


def current_spelling(command: click.Command, words: Sequence[str]) -> Spelling:
    """Return the words with old options replaced by those that the command has; values and arguments stay."""
    options = {name: option for option in command.params if isinstance(option, click.Option) for name in option.opts}
    remaining, spelling = list(words), Spelling([], {})
    while remaining and remaining[0] != "--":
        word = remaining.pop(0)
        name, equals, value = word.partition("=")
        if name == _BEST and name in options and (value or next(iter(remaining), "")) in _BEST_VALUES:
            value = value or remaining.pop(0)
            spelling.replaced[f"{_BEST} {value}"] = " ".join(_BEST_VALUES[value]) or "nothing"
            spelling.words.extend(_BEST_VALUES[value])
            continue
        new = next((new for new in NEW_SPELLINGS.get(name, ()) if new in options and name not in options), None)
        if new:
            spelling.replaced[name] = new
        spelling.words.append(f"{new or name}{equals}{value}")
        option = options.get(new or name)
        if option and not option.is_flag and not equals:
            spelling.words.extend(remaining[:1])
            del remaining[:1]
    return Spelling([*spelling.words, *remaining], spelling.replaced)
