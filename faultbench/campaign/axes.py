"""The axes of a campaign's document → the entries that are right, each with its place in the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from faultbench.campaign.choices import Choice, Modules, read_choice
from faultbench.campaign.document.problems import Where
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.model_entries import Network, read_network
from faultbench.campaign.spec import AXES, MAX_ENTRIES, CampaignSpec, Entry, ModelEntry


@dataclass(frozen=True)
class Entrant:
    """A choice, where it stands in the file, and what is particular to a network."""

    where: Where
    choice: Choice
    network: Network = Network()  # noqa: RUF009 - frozen


Axes = Mapping[str, Sequence[Entrant]]
"""Key of a campaign file → its entries, in order."""


def read_axes(document: Document, modules: Modules) -> Axes:
    """The entries that name plug-ins and set options rightly; the others are reported to the document.

    Entries that are neither a name nor a mapping with a name are left out without a word: the check of the
    campaign's shape tells of them.
    """
    entries = {key: dict(_entries(document, key)) for key in AXES}
    datasets = list(entries["datasets"].values())
    return {key: list(_entrants(AXES[key], entries[key], datasets, document, modules)) for key in AXES}


def read_bers(document: Document) -> Mapping[Where, float]:
    """The numbers among the bit error rates, in range or not."""
    numbered = enumerate(_listed(document, "bers"))
    return {("bers", n): float(ber) for n, ber in numbered if type(ber) in (int, float)}


def _entrants(
    kind: str, entries: Mapping[Where, Entry], datasets: Sequence[Entry], document: Document, modules: Modules
) -> Iterator[Entrant]:
    for where, entry in entries.items():
        network = Network()
        if isinstance(entry, ModelEntry):
            network = read_network(entry, where, datasets, document)
        choice = read_choice(kind, entry, where, document, modules)
        if choice is not None:
            yield Entrant(where, choice, network)


def _entries(document: Document, key: str) -> Iterator[tuple[Where, Entry]]:
    model = ModelEntry if key == "models" else Entry
    for n, given in enumerate(_listed(document, key)):
        try:
            yield (key, n), model.model_validate(given)
        except ValidationError:
            continue


def _listed(document: Document, key: str) -> list[Any]:
    value = document.value
    default = CampaignSpec.model_fields[key].get_default()
    listed = value.get(key, default) if isinstance(value, dict) else None
    return listed if isinstance(listed, list) and len(listed) <= MAX_ENTRIES else []
