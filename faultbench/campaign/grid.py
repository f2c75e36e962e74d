"""Grid of a campaign: its cells, and the checks for repeated entries, equal labels, unused data sets and its size."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from faultbench.campaign.axes import Axes, AxisEntry
from faultbench.campaign.cells import Cell, Subject
from faultbench.campaign.choices import Choice
from faultbench.campaign.document.problems import KeyPath, key_path_text, quote
from faultbench.campaign.document.yaml_source import Document
from faultbench.campaign.keys import canonical_text
from faultbench.campaign.spec import CampaignSpec

MAX_CELLS = 100_000

_OTHER_AXES = ("schemes", "guards", "formats", "faults")
"""Axes that are combined with every pair of data set and model."""


def refuse_repeats(entries: Sequence[AxisEntry], document: Document) -> None:
    """Report entries of an axis that mean the same or that have the same label."""
    by_meaning: defaultdict[str, list[AxisEntry]] = defaultdict(list)
    by_label: defaultdict[str, list[AxisEntry]] = defaultdict(list)
    for entry in entries:
        weights = entry.model_use.weights
        meaning = canonical_text([entry.choice.record, None if weights is None else weights.record])
        label = entry.choice.label
        if twin := _first_overlapping(entry, by_meaning[meaning]):
            message = f"repeats {key_path_text(twin.key_path)}, {quote(label)}; leave one out"
            document.report(entry.key_path, message)
        elif twin := _first_overlapping(entry, by_label[label]):
            twin_text = key_path_text(twin.key_path)
            message = f"would print as {quote(label)}, as {twin_text} does; add a label: to one of them"
            document.report(entry.key_path, message)
        by_meaning[meaning].append(entry)
        by_label[label].append(entry)


def refuse_repeated_bers(bers: Mapping[KeyPath, float], document: Document) -> None:
    """Report rates that are equal, in whatever spelling."""
    first: dict[float, KeyPath] = {}
    for key_path, ber in bers.items():
        if ber in first:
            document.report(key_path, f"repeats {key_path_text(first[ber])}, {ber!r}; leave one out")
        first.setdefault(ber, key_path)


def refuse_unused_datasets(axes: Axes, document: Document) -> None:
    """Report data sets that no model is used with."""
    for dataset in axes["datasets"]:
        if not any(model.model_use.is_for(dataset.choice.label) for model in axes["models"]):
            message = f"no model is for {quote(dataset.choice.label)}; add one, or widen a model's when"
            document.report(dataset.key_path, message)


def refuse_huge_grid(axes: Axes, n_bers: int, document: Document) -> None:
    """Report a grid of more than MAX_CELLS cells."""
    pairs = product(axes["datasets"], axes["models"])
    n_cells = n_bers * sum(model.model_use.is_for(dataset.choice.label) for dataset, model in pairs)
    for key in _OTHER_AXES:
        n_cells *= len(axes[key])
    if n_cells > MAX_CELLS:
        document.report((), f"the grid has {n_cells:,} cells; a campaign has at most {MAX_CELLS:,}")


def refuse_unstratified(axes: Axes, spec: CampaignSpec | None, document: Document) -> None:
    """Report fault models that cannot be sampled in strata, if the campaign asks for strata."""
    for fault in axes.get("faults", ()) if spec is not None and spec.sampling == "stratified" else ():
        if fault.choice.name != "bernoulli":
            message = (
                f"sampling: stratified needs bernoulli, whose bits flip independently; given {fault.choice.name}; "
                "use bernoulli, or sampling: plain"
            )
            document.report(fault.key_path, message)


def build_cells(axes: Axes, spec: CampaignSpec) -> Iterator[Cell]:
    """Yield the cells of a checked campaign, in the order of its axes."""
    for dataset, model in product(axes["datasets"], axes["models"]):
        if model.model_use.is_for(dataset.choice.label):
            for others in product(*(axes[key] for key in _OTHER_AXES)):
                subject = _subject(dataset, model, [other.choice for other in others], spec)
                yield from (Cell(subject, ber) for ber in spec.bers)


def _subject(dataset: AxisEntry, model: AxisEntry, others: Sequence[Choice], spec: CampaignSpec) -> Subject:
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
        weights=model.model_use.weights,
        sampling=spec.sampling,
    )


def _first_overlapping(entry: AxisEntry, earlier: Sequence[AxisEntry]) -> AxisEntry | None:
    return next((other for other in earlier if entry.model_use.overlaps(other.model_use)), None)
