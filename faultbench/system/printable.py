"""Text of unknown origin, made safe to print: one line, a bounded length, no control or direction characters.

Names of campaigns, files, classes and plug-ins may hold any text. On a terminal, an escape sequence in them could set
the title or hide what follows. A direction character could reverse a line, and a line break could begin another one.
"""

LONGEST_LINE = 2000
"""Most characters of a line of a message."""

MOST_LINES = 50
"""Most lines of a message."""


def printable(text: str) -> str:
    """Return the text with every character that is not printable written as its escape: `\\x1b`, `\\u202e`, `\\n`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def shortened(text: str, longest: int = LONGEST_LINE) -> str:
    """Return printable text of at most `longest` characters; the middle of a longer one is replaced by its length."""
    shown = printable(text[: longest + 1])
    if len(text) <= longest and len(shown) <= longest:
        return shown
    room = longest - 40
    head, tail = printable(text[: room * 2 // 3])[: room * 2 // 3], printable(text[-room // 3 :])[-(room // 3) :]
    return f"{head} … ({len(text):,} characters) … {tail}"


def lines(message: str) -> list[str]:
    """Return the lines of a message, safe to print. A last line counts those beyond `MOST_LINES`."""
    parts = message.split("\n", MOST_LINES)
    shown = [shortened(line) for line in parts[:MOST_LINES]]
    n_more = parts[MOST_LINES].count("\n") + 1 if len(parts) > MOST_LINES else 0
    return [*shown, f"… and {n_more:,} more"] if n_more else shown


def _escape(char: str) -> str:
    # Only characters that are not printable come here: `repr` of a whole text would double the backslashes of paths.
    return repr(char)[1:-1]
