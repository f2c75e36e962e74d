"""Line search over decays: which are tried, and how its steps show their progress."""

from collections.abc import Callable


class LineSearchStep:
    """Progress of one step of the line search, shown in the note of the fitting's task."""

    def __init__(self, note: Callable[[str], None], n_epochs: int) -> None:
        self._note, self._n_epochs, self._n_done = note, n_epochs, 0

    def advance(self, n_done: int = 1, note: str = "") -> None:
        """Count n_done more epochs as done and update the note."""
        self._n_done += n_done
        self._note(f"epoch {self._n_done}/{self._n_epochs}, {note}")


def try_decays(decays: tuple[float, ...], affordable: Callable[[float], bool], *, bisect: bool) -> None:
    """Try decays, strongest first, until one is affordable, or bisect, which assumes that weaker decays cost less.

    The last decay for which `affordable` returned true is the one to keep.
    """
    if not bisect:
        any(affordable(decay) for decay in decays)
        return
    low, high = 0, len(decays)
    while low < high:
        middle = (low + high) // 2
        if affordable(decays[middle]):
            high = middle
        else:
            low = middle + 1
