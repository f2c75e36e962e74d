"""What only entries of `models` have: weights given instead of trained, and the data sets they are for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faultbench.campaign.document.problems import LONGEST_QUOTE, Where, one_line, quoted
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.given_weights import GivenWeights, Weights, given_weights
from faultbench.campaign.spec import Entry, ModelEntry, When
from faultbench.plugins.registry import suggest


@dataclass(frozen=True)
class Network:
    """Weights and data sets of an entry; by default trained, and for all data sets."""

    weights: GivenWeights | None = None
    datasets: frozenset[str] | None = None
    """Labels of data sets."""

    def is_for(self, dataset: str) -> bool:
        """Whether the grid crosses it with the data set of this label."""
        return self.datasets is None or dataset in self.datasets

    def meets(self, other: "Network") -> bool:
        """Whether the grid may cross both with one data set."""
        return self.datasets is None or other.datasets is None or bool(self.datasets & other.datasets)


def read_network(entry: ModelEntry, where: Where, datasets: Sequence[Entry], document: Document) -> Network:
    """What an entry of `models` says beside its choice; what is wrong with it is reported to the document."""
    weights = labels = None
    if entry.weights is not None:
        weights = _weights(entry.weights, (*where, "weights"), document)
    if entry.when is not None:
        labels = _labels(entry.when, (*where, "when", "dataset"), datasets, document)
    return Network(weights, labels)


def _weights(weights: str | Weights, where: Where, document: Document) -> GivenWeights | None:
    """The weights, their file read; None, with the reason reported, where it cannot be."""
    given, where = (weights, where) if isinstance(weights, str) else (weights.file, (*where, "file"))
    path = (Path(document.source).parent / given).absolute()
    if not (document.allow_outside or _is_inside(path, Path(document.source).parent)):
        message = f"outside of the campaign's folder; given {quoted(given)}; add --allow-outside to read it"
        document.report(where, message)
        return None
    digest = _file_digest(path, given, where, document)
    return None if digest is None else given_weights(weights, path, digest)


def _is_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a zero byte; links in a circle
        return False


def _file_digest(path: Path, given: str, where: Where, document: Document) -> str | None:
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        reason = "not a file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or "cannot be read"
    document.report(where, f"{reason}; given {quoted(given)}; relative paths start at the campaign file's folder")
    return None


def _labels(when: When, where: Where, datasets: Sequence[Entry], document: Document) -> frozenset[str]:
    known = [text for entry in datasets for text in (entry.name, entry.printed)]
    names = {one_line(text)[:LONGEST_QUOTE]: None for text in known}
    wanted = [when.dataset] if isinstance(when.dataset, str) else when.dataset
    for n, name in enumerate(wanted):
        if name not in known:
            at = where if isinstance(when.dataset, str) else (*where, n)
            document.report(at, f"not in datasets: {suggest(name[:LONGEST_QUOTE], names)}")
    return frozenset(entry.printed for entry in datasets if {entry.name, entry.printed} & set(wanted))
