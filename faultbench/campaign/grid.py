"""The axes of a campaign → its cells, and what makes a grid wrong: repeats, equal labels, idle data sets."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from faultbench.campaign.axes import Axes, Entrant
from faultbench.campaign.cells import Cell, Subject
from faultbench.campaign.choices import Choice
from faultbench.campaign.document.problems import Where, quoted, spelled
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.keys import canonical
from faultbench.campaign.spec import CampaignSpec

MAX_CELLS = 100_000

_OTHER_AXES = ("schemes", "guards", "formats", "faults")
"""Axes that every data set and model is crossed with."""


def refuse_repeats(entrants: Sequence[Entrant], document: Document) -> None:
    """Report entries of an axis that are equal, or that tables could not tell apart."""
    by_meaning: defaultdict[str, list[Entrant]] = defaultdict(list)
    by_label: defaultdict[str, list[Entrant]] = defaultdict(list)
    for entrant in entrants:
        weights = entrant.network.weights
        meaning = canonical([entrant.choice.record, None if weights is None else weights.record])
        label = entrant.choice.label
        if twin := _met(entrant, by_meaning[meaning]):
            document.report(entrant.where, f"repeats {spelled(twin.where)}, {quoted(label)}; leave one out")
        elif twin := _met(entrant, by_label[label]):
            message = f"would print as {quoted(label)}, as {spelled(twin.where)} does; add a label: to one of them"
            document.report(entrant.where, message)
        by_meaning[meaning].append(entrant)
        by_label[label].append(entrant)


def refuse_repeated_bers(bers: Mapping[Where, float], document: Document) -> None:
    """Report rates that are equal, however they are spelled."""
    first: dict[float, Where] = {}
    for where, ber in bers.items():
        if ber in first:
            document.report(where, f"repeats {spelled(first[ber])}, {ber!r}; leave one out")
        first.setdefault(ber, where)


def refuse_idle_datasets(axes: Axes, document: Document) -> None:
    """Report data sets that no model is for."""
    for dataset in axes["datasets"]:
        if not any(model.network.is_for(dataset.choice.label) for model in axes["models"]):
            message = f"no model is for {quoted(dataset.choice.label)}; add one, or widen a model's when"
            document.report(dataset.where, message)


def refuse_endless_grid(axes: Axes, n_bers: int, document: Document) -> None:
    """Report a grid of more than MAX_CELLS cells."""
    n_networks = sum(model.network.is_for(data.choice.label) for data in axes["datasets"] for model in axes["models"])
    n_cells = n_networks * n_bers
    for key in _OTHER_AXES:
        n_cells *= len(axes[key])
    if n_cells > MAX_CELLS:
        document.report((), f"the grid has {n_cells:,} cells; a campaign has at most {MAX_CELLS:,}")


def refuse_unstratified(axes: Axes, spec: CampaignSpec | None, document: Document) -> None:
    """Report fault models that know no strata, where the campaign asks for some."""
    for fault in axes.get("faults", ()) if spec is not None and spec.sampling == "stratified" else ():
        if fault.choice.name != "bernoulli":
            message = f"sampling: stratified is for bernoulli, whose bits flip by themselves; given {fault.choice.name}"
            document.report(fault.where, f"{message}; take bernoulli, or sampling: plain")


def cells(axes: Axes, spec: CampaignSpec) -> Iterator[Cell]:
    """The grid of a checked campaign."""
    for dataset, model in product(axes["datasets"], axes["models"]):
        if model.network.is_for(dataset.choice.label):
            for others in product(*(axes[key] for key in _OTHER_AXES)):
                subject = _subject(dataset, model, [other.choice for other in others], spec)
                yield from (Cell(subject, ber) for ber in spec.bers)


def _subject(dataset: Entrant, model: Entrant, others: Sequence[Choice], spec: CampaignSpec) -> Subject:
    scheme, guard, number_format, fault = others
    return Subject(
        dataset=dataset.choice,
        model=model.choice,
        scheme=scheme,
        guard=guard,
        format=number_format,
        fault=fault,
        images=spec.n_images,
        per_trial=spec.per_trial,
        batch=None if spec.batch == "auto" else spec.batch,
        seed=spec.seed,
        training=spec.training,
        weights=model.network.weights,
        sampling=spec.sampling,
    )


def _met(entrant: Entrant, earlier: Sequence[Entrant]) -> Entrant | None:
    return next((other for other in earlier if entrant.network.meets(other.network)), None)
