"""The margin that a gate allows, as people write it: 0.5pp, or 0.005."""

import re

from faultbench.system.errors import FaultbenchError

_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")


def read_margin(text: str) -> float:
    """A fraction, 0 to less than 1, of points (`0.5pp`) or a plain fraction (`0.005`); FaultbenchError otherwise."""
    number = text.strip().removesuffix("pp").rstrip()
    if not _NUMBER.fullmatch(number):
        raise FaultbenchError(f"--max-drop {text!r}: no margin; write 0.5pp for half a percentage point, or 0.005")
    margin = float(number) / 100 if "pp" in text else float(number)
    if not 0 <= margin < 1:
        raise FaultbenchError(
            f"--max-drop {text!r}: accuracies lie in 0..1; write 0.5pp for half a percentage point, or 0.005"
        )
    return margin
