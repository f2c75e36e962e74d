"""The campaign in words, and what it found: sentences for readers who have not seen the campaign file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faultbench.campaign.choices import known
from faultbench.campaign.spec import AXES
from faultbench.output.export.accuracy_table import Style, columns, rows
from faultbench.output.report.headline import is_protected
from faultbench.plugins.registry import find
from faultbench.results.analysis.blocks import Block, blocks, images_text, shared_count
from faultbench.results.analysis.results import Results
from faultbench.results.folder import ber_text
from faultbench.system.errors import FaultbenchError


@dataclass(frozen=True)
class Part:
    """An entry of an axis: what it is called in the tables, which plug-in that is, and its options."""

    axis: str
    label: str
    name: str
    summary: str
    options: str


def sentences(results: Results) -> list[str]:
    """What was done, a sentence each."""
    cells, spec = results.cells, results.manifest.spec
    bers = sorted(set(cells.ber))
    networks = dict.fromkeys((entry.model, entry.dataset) for entry in results.manifest.cells)
    protections = dict.fromkeys((entry.scheme, entry.guard) for entry in results.manifest.cells)
    named = _listed([f"{model} on {dataset}" for model, dataset in networks])
    span = ber_text(bers[0]) if len(bers) == 1 else f"{ber_text(bers[0])} to {ber_text(bers[-1])}"
    schemes, rates = _counted(len(protections), "scheme"), _counted(len(bers), "bit error rate")
    n_trials, n_images = shared_count(cells.trials), images_text(cells)
    found = [
        f"Bits were flipped in the weight memory of {_counted(len(networks), 'trained network')}, {named}.",
        f"Each was tried with {schemes} at {rates} (BER), {span}: {_counted(len(cells), 'cell')} in all.",
        f"A cell holds {n_trials} trials" + _asked(results) + ".",
        f"A trial stands for one faulty memory, on which {n_images} test images are classified.",
        *_memory(results),
        *_shared_flips(results),
    ]
    training = getattr(spec, "training", None)
    if training:
        seed = getattr(spec, "seed", 0)
        found.append(f"Networks and bounds were trained by the {training['schedule']} schedule with the seed {seed}.")
    return found


def _asked(results: Results) -> str:
    rule = results.manifest.rule
    if rule.until:
        return f", {rule.n_max:,} at most: it ends once its interval is ±{rule.until.accuracy_halfwidth:g}"
    return f" of the {rule.n_max:,} asked for" if results.cells.limited.any() else ""


def _memory(results: Results) -> Iterator[str]:
    parts = [part for part in cast(results) if part.axis in ("format", "fault")]
    for axis, text in (("format", "Memory holds values as"), ("fault", "Faults are drawn by")):
        named = [
            f"{part.label} ({part.summary.rstrip('.')})" if part.summary else part.label
            for part in parts
            if part.axis == axis
        ]
        if named:
            yield f"{text} {_listed(named)}."


def _shared_flips(results: Results) -> Iterator[str]:
    names = {part.name for part in cast(results) if part.axis == "fault"}
    if results.manifest.spec.sampling != "plain":
        yield (
            "Trials are drawn in strata of how many harmful bits flip, where that pays, and weighted by how often such "
            "memories occur; two schemes' trials of one number do not meet the same flips."
        )
    elif names and names <= {"bernoulli", "toolbox"}:
        yield "Trial k meets the same flips in the weights under every scheme, so schemes are compared trial by trial."


def counts(results: Results) -> str:
    """For captions: how many trials and images stand behind a cell."""
    cells = results.cells
    return f"{shared_count(cells.trials)} trials a cell, {images_text(cells)} images a trial"


def findings(results: Results) -> list[str]:
    """A sentence a block: the unprotected and the best protected accuracy at the highest BER that both have."""
    return [text for block in blocks(results) for text in _finding(block, results)]


def cast(results: Results) -> list[Part]:
    """The entries of all axes, with the summaries of the plug-ins that this version of faultbench knows."""
    return [part for key, kind in AXES.items() for part in _parts(key, kind, getattr(results.manifest.spec, key, ()))]


def _parts(key: str, kind: str, entries: Sequence[Any]) -> Iterator[Part]:
    for entry in entries:
        given = entry if isinstance(entry, dict) else entry.model_dump()
        name, label = str(given["name"]), str(given.get("label", given["name"]))
        options = ", ".join(f"{option}: {_text(value)}" for option, value in given.items() if option not in _NAMED)
        yield Part(key.removesuffix("s"), label, name, _summary(kind, name), options)


_NAMED = ("name", "label")


def _summary(kind: str, name: str) -> str:
    """What the plug-in says of itself; nothing where this installation does not know it, as with a lab's own."""
    if kind == "guard":
        return known(kind)[name].summary if name in known(kind) else ""
    try:
        return find(kind, name)[0].summary
    except FaultbenchError:
        return ""


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _finding(block: Block, results: Results) -> Iterator[str]:
    printed = rows(block, Style())
    for number in reversed(range(len(columns(block)))):
        entries = [
            (row.label, row.entries[number], is_protected(line, results)) for row, line in _paired(printed, block)
        ]
        complete = [(label, entry, shielded) for label, entry, shielded in entries if entry and not entry.is_limited]
        bare = [entry for _, entry, shielded in complete if not shielded]
        shielded = [(float(entry.mean), label, entry) for label, entry, protected in complete if protected]
        if bare and shielded:
            mean = max(mean for mean, _, _ in shielded)
            best = [(label, entry) for value, label, entry in shielded if value == mean]
            ber = ber_text(columns(block)[number])
            yield (
                f"{block.name}, BER {ber}: without protection {bare[0].mean} % of the images are classified right "
                f"[{bare[0].low}, {bare[0].high}]; with {_listed([label for label, _ in best])} {best[0][1].mean} % "
                f"[{best[0][1].low}, {best[0][1].high}]."
            )
            return


def _paired(printed: Sequence[Any], block: Block) -> Iterator[tuple[Any, Any]]:
    return zip(printed, block.lines, strict=True)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
