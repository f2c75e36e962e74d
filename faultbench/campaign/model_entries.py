"""Keys that only entries of `models` have: weights given instead of trained, and data sets to use the model with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faultbench.campaign.document.problems import MAX_QUOTE_LENGTH, KeyPath
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.given_weights import GivenWeights, WeightsEntry, file_digest
from faultbench.campaign.named_files import is_inside, outside_problem, unreadable_problem
from faultbench.campaign.spec import DatasetFilter, ModelEntry, PluginEntry
from faultbench.plugins.registry import suggest
from faultbench.system.files.regular_files import UnsoundFileError
from faultbench.system.printable import printable


@dataclass(frozen=True)
class ModelUse:
    """Weights and data sets of an entry of `models`. By default it is trained and used with all data sets."""

    weights: GivenWeights | None = None
    datasets: frozenset[str] | None = None
    """Labels of data sets."""

    def is_for(self, dataset: str) -> bool:
        """Return whether the grid combines the model with the data set of this label."""
        return self.datasets is None or dataset in self.datasets

    def overlaps(self, other: "ModelUse") -> bool:
        """Return whether the grid may combine both models with the same data set."""
        return self.datasets is None or other.datasets is None or bool(self.datasets & other.datasets)


def read_model_use(
    entry: ModelEntry, key_path: KeyPath, datasets: Sequence[PluginEntry], document: Document
) -> ModelUse:
    """Return the weights and data sets of an entry of `models`. Problems are reported to the document."""
    weights = labels = None
    if entry.weights is not None:
        weights = _read_weights(entry.weights, (*key_path, "weights"), document)
    if entry.when is not None:
        labels = _dataset_labels(entry.when, (*key_path, "when", "dataset"), datasets, document)
    return ModelUse(weights, labels)


def _read_weights(entry: str | WeightsEntry, key_path: KeyPath, document: Document) -> GivenWeights | None:
    """Return the weights with the digest of their file; None, with the reason reported, if it cannot be read."""
    given, key_path = (entry, key_path) if isinstance(entry, str) else (entry.file, (*key_path, "file"))
    path = document.folder / given
    if not (document.allow_outside or is_inside(path, document.folder)):
        document.report(key_path, outside_problem(given, path, path))
        return None
    digest = _file_digest(path, given, key_path, document)
    return None if digest is None else GivenWeights.from_entry(entry, path, digest)


def _file_digest(path: Path, given: str, key_path: KeyPath, document: Document) -> str | None:
    try:
        return file_digest(path)
    except UnsoundFileError as error:
        reason = str(error)
    except (FileNotFoundError, ValueError):  # ValueError: a zero byte in the path
        reason = "no such file"
    except OSError as error:
        reason = error.strerror or "cannot be read"
    document.report(key_path, unreadable_problem(given, reason))
    return None


def _dataset_labels(
    when: DatasetFilter, key_path: KeyPath, datasets: Sequence[PluginEntry], document: Document
) -> frozenset[str]:
    known = [text for entry in datasets for text in (entry.name, entry.printed)]
    known_texts = {printable(text)[:MAX_QUOTE_LENGTH]: None for text in known}
    wanted = [when.dataset] if isinstance(when.dataset, str) else when.dataset
    for n, name in enumerate(wanted):
        if name not in known:
            name_path = key_path if isinstance(when.dataset, str) else (*key_path, n)
            document.report(name_path, f"not in datasets: {suggest(name[:MAX_QUOTE_LENGTH], known_texts)}")
    return frozenset(entry.printed for entry in datasets if {entry.name, entry.printed} & set(wanted))
