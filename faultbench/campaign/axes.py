"""Axes of a campaign document: their correct entries, each with its position in the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from faultbench.campaign.choices import Choice, read_choice
from faultbench.campaign.document.problems import KeyPath
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.model_entries import ModelUse, read_model_use
from faultbench.campaign.spec import AXES, MAX_ENTRIES, CampaignSpec, ModelEntry, PluginEntry
from faultbench.plugins.registry import Modules


@dataclass(frozen=True)
class AxisEntry:
    """Correct entry of an axis: its choice, its place in the document, and the weights and data sets of a model."""

    key_path: KeyPath
    choice: Choice
    model_use: ModelUse = ModelUse()  # noqa: RUF009 - frozen


Axes = Mapping[str, Sequence[AxisEntry]]
"""Key of a campaign file → its entries, in order."""


def read_axes(document: Document, modules: Modules) -> Axes:
    """Return the entries that name plug-ins and set options correctly, and report the others to the document.

    An entry that is neither a name nor a mapping with a name is left out here without a report, because the validation
    of `CampaignSpec` reports it.
    """
    entries = {key: dict(_well_formed_entries(document, key)) for key in AXES}
    datasets = list(entries["datasets"].values())
    return {key: list(_read_entries(AXES[key], entries[key], datasets, document, modules)) for key in AXES}


def read_bers(document: Document) -> Mapping[KeyPath, float]:
    """Return the bit error rates that are numbers, whether in range or not."""
    numbered = enumerate(_axis_values(document, "bers"))
    return {("bers", n): float(ber) for n, ber in numbered if type(ber) in (int, float)}


def _read_entries(
    kind: str,
    entries: Mapping[KeyPath, PluginEntry],
    datasets: Sequence[PluginEntry],
    document: Document,
    modules: Modules,
) -> Iterator[AxisEntry]:
    for key_path, entry in entries.items():
        model_use = ModelUse()
        if isinstance(entry, ModelEntry):
            model_use = read_model_use(entry, key_path, datasets, document)
        choice = read_choice(kind, entry, key_path, document, modules)
        if choice is not None:
            yield AxisEntry(key_path, choice, model_use)


def _well_formed_entries(document: Document, key: str) -> Iterator[tuple[KeyPath, PluginEntry]]:
    model = ModelEntry if key == "models" else PluginEntry
    for n, value in enumerate(_axis_values(document, key)):
        try:
            yield (key, n), model.model_validate(value)
        except ValidationError:
            continue


def _axis_values(document: Document, key: str) -> list[Any]:
    default = CampaignSpec.model_fields[key].get_default()
    values = document.value.get(key, default) if isinstance(document.value, dict) else None
    return values if isinstance(values, list) and len(values) <= MAX_ENTRIES else []
