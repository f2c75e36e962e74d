"""Summary of a campaign in sentences, for readers who have not seen the campaign file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faultbench.campaign.choices import known_plugins
from faultbench.campaign.spec import AXES
from faultbench.output.captions import images_text, shared_count, trials_text
from faultbench.output.export.accuracy_table import Style, columns, rows
from faultbench.output.report.headline import is_protected
from faultbench.plugins.registry import find
from faultbench.results.analysis.blocks import Block, blocks
from faultbench.results.analysis.results import Results
from faultbench.results.folder import ber_text, memory_sentences
from faultbench.system.errors import FaultbenchError


@dataclass(frozen=True)
class AxisItem:
    """Entry of an axis: its label in the tables, its plug-in, and the options."""

    axis: str
    label: str
    name: str
    summary: str
    options: str


def sentences(results: Results) -> list[str]:
    """Return sentences on what was done."""
    cells, spec = results.cells, results.manifest.spec
    bers = sorted(set(cells.ber))
    networks = dict.fromkeys((entry.model, entry.dataset) for entry in results.manifest.cells)
    protections = dict.fromkeys((entry.scheme, entry.guard) for entry in results.manifest.cells)
    named = _listed([f"{model} on {dataset}" for model, dataset in networks])
    span = ber_text(bers[0]) if len(bers) == 1 else f"{ber_text(bers[0])} to {ber_text(bers[-1])}"
    schemes, rates = _counted(len(protections), "scheme"), _counted(len(bers), "bit error rate")
    n_trials, n_images = shared_count(cells.trials), images_text(cells)
    texts = [
        f"Bits were flipped in the weight memory of {_counted(len(networks), 'trained network')}, {named}.",
        f"Each was tried with {schemes} at {rates} (BER), {span}: {_counted(len(cells), 'cell')} in all.",
        f"A cell holds {n_trials} trials" + _asked(results) + ".",
        f"A trial stands for one faulty memory, on which {n_images} test images are classified.",
        *_memory(results),
        *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in memory_sentences(results.manifest.memory)),
        *_shared_flips(results),
    ]
    training = getattr(spec, "training", None)
    if training:
        seed = getattr(spec, "seed", 0)
        texts.append(f"Networks and bounds were trained by the {training['schedule']} schedule with the seed {seed}.")
    return texts


def _asked(results: Results) -> str:
    rule = results.manifest.rule
    if rule.until:
        return f", {rule.n_max:,} at most: it ends once its interval is ±{rule.until.accuracy_halfwidth:g}"
    return f" of the {rule.n_max:,} asked for" if results.cells.limited.any() else ""


def _memory(results: Results) -> Iterator[str]:
    parts = [part for part in axis_items(results) if part.axis in ("format", "fault")]
    for axis, text in (("format", "Memory holds values as"), ("fault", "Faults are drawn by")):
        named = [
            f"{part.label} ({part.summary.rstrip('.')})" if part.summary else part.label
            for part in parts
            if part.axis == axis
        ]
        if named:
            yield f"{text} {_listed(named)}."


def _shared_flips(results: Results) -> Iterator[str]:
    names = {part.name for part in axis_items(results) if part.axis == "fault"}
    if results.manifest.spec.sampling != "plain":
        yield (
            "Trials are drawn in strata of how many harmful bits flip, where that pays, and weighted by how often such "
            "memories occur; two schemes' trials of one number do not meet the same flips."
        )
    elif names and names <= {"bernoulli", "toolbox"}:
        yield "Trial k meets the same flips in the weights under every scheme, so schemes are compared trial by trial."


def counts(results: Results) -> str:
    """Return how many trials and images stand behind the cells, for captions."""
    return trials_text(results.cells)


def findings(results: Results) -> list[str]:
    """Return a sentence per block: unprotected and best protected accuracy at the highest BER that both complete."""
    return [text for block in blocks(results) for text in _finding(block, results)]


def axis_items(results: Results) -> list[AxisItem]:
    """Return the entries of all axes, with summaries of the plug-ins that are installed."""
    return [part for key, kind in AXES.items() for part in _parts(key, kind, getattr(results.manifest.spec, key, ()))]


def _parts(key: str, kind: str, entries: Sequence[Any]) -> Iterator[AxisItem]:
    for entry in entries:
        fields = entry if isinstance(entry, dict) else entry.model_dump()
        name, label = str(fields["name"]), str(fields.get("label") or fields["name"])
        options = ", ".join(f"{option}: {_text(value)}" for option, value in fields.items() if option not in _NAMED)
        yield AxisItem(key.removesuffix("s"), label, name, _summary(kind, name), options)


_NAMED = ("name", "label")


def _summary(kind: str, name: str) -> str:
    """Return the summary of a plug-in; empty if it is not installed here, as a lab's own may not be."""
    if kind == "guard":
        return known_plugins(kind)[name].summary if name in known_plugins(kind) else ""
    try:
        return find(kind, name)[0].summary
    except FaultbenchError:
        return ""


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _finding(block: Block, results: Results) -> Iterator[str]:
    """Yield the sentence of a block; nothing if no BER has complete cells with and without protection."""
    printed = list(zip(rows(block, Style()), block.lines, strict=True))
    for number, ber in reversed(list(enumerate(columns(block)))):
        complete = [
            (row.label, entry, is_protected(line, results))
            for row, line in printed
            if (entry := row.entries[number]) and not entry.is_limited
        ]
        bare = [entry for _, entry, has_protection in complete if not has_protection]
        shielded = [(label, entry) for label, entry, has_protection in complete if has_protection]
        if bare and shielded:
            highest = max(float(entry.mean) for _, entry in shielded)
            best = [(label, entry) for label, entry in shielded if float(entry.mean) == highest]
            yield (
                f"{block.name}, BER {ber_text(ber)}: without protection {bare[0].mean} % of the images are classified "
                f"right [{bare[0].low}, {bare[0].high}]; with {_listed([label for label, _ in best])} "
                f"{best[0][1].mean} % [{best[0][1].low}, {best[0][1].high}]."
            )
            return


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
