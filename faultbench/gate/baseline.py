"""What a campaign came to, as a file to commit: all that a later run can be held against, a line a cell."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from faultbench.campaign.stopping_rule import MAX_COUNT, AdaptiveTrials, Count
from faultbench.gate.packing import packed, unpacked
from faultbench.results.folder import LABELS, ber_text
from faultbench.results.journal.records import Trial
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.disk import replaced

MAX_BYTES = 2**26
MAX_CELLS = 100_000
DIGEST_BITS = 32
"""Of each trial's fault map: that two different ones agree by chance, once in four thousand million."""

COUNTS = ("n_correct", "n_sdc", "n_sdc_critical", "n_due")
"""What is kept of a trial; all other images are masked."""

Place = tuple[str | float, ...]
"""What a cell is called: its labels, and its BER last."""


def _printable(text: str) -> str:
    # Labels are printed on terminals and pages; a campaign's are one line of printable text too.
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


_Text = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_printable)]
_Hex = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9a-f]+$")]
_Images = Annotated[int, Field(ge=1, le=MAX_COUNT)]
_Named = Annotated[dict[_Text, _Text], Field(max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class GoldenRun(_Part):
    """The golden run of a cell's subject, and the size of its fault space in bits."""

    n_images: _Images
    n_correct: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    n_bits: Annotated[int, Field(ge=1, lt=2**63)]
    top1_digest: _Text

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.n_correct > self.n_images:
            raise ValueError("n_correct must be at most n_images")
        return self


class KeptCell(_Part):
    """One cell: what it is, and the outcome of each of its trials, numbered from 0 without a gap.

    cell is its key; definition another that weights do not enter, so that it outlives a training. flips and outcomes
    are packed: a number of `DIGEST_BITS` a trial, and one for each of `COUNTS` a trial.
    """

    cell: _Text
    definition: _Hex
    dataset: _Text
    model: _Text
    scheme: _Text
    guard: _Text
    format: _Text
    fault: _Text
    ber: Annotated[float, Field(gt=0, le=0.5)]
    golden: GoldenRun
    n_images: _Images
    n_trials: Count
    flips: str
    outcomes: str

    @model_validator(mode="after")
    def _check_trials(self) -> Self:
        _ = self.flip_digests
        counts = dict(zip(COUNTS, self.counts.T, strict=True))
        n_judged = counts["n_sdc"] + counts["n_due"]
        fits = (counts["n_correct"] <= self.n_images) & (n_judged <= self.n_images)
        if not (fits & (counts["n_sdc_critical"] <= counts["n_sdc"])).all():
            raise ValueError("outcomes that no trial can have")
        return self

    @property
    def place(self) -> Place:
        """What the cell is called."""
        return (*(getattr(self, label) for label in LABELS), self.ber)

    @property
    def network(self) -> str:
        """What its weights are called."""
        return f"{self.dataset}/{self.model}/{self.format}"

    @cached_property
    def flip_digests(self) -> NDArray[np.int64]:
        """The fault map of each trial in short, [trials]."""
        return unpacked(self.flips, DIGEST_BITS, n_rows=self.n_trials, n_columns=1)[:, 0]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The outcome of each trial, [trials, COUNTS]."""
        n_bits = self.n_images.bit_length()
        return unpacked(self.outcomes, n_bits, n_rows=self.n_trials, n_columns=len(COUNTS))

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Of each trial, as a fraction."""
        return np.asarray(self.counts[:, 0] / self.n_images)


class Baseline(_Part):
    """A campaign as it came out once, and on what.

    settings are what all its cells have in common, images and weights SHA-256 by the names that manifests use. No
    two cells are of one name.
    """

    faultbench_baseline: Literal[1]
    campaign: _Text
    identity: _Text
    settings: Annotated[dict[_Text, JsonValue], Field(max_length=100)]
    trials: Count | AdaptiveTrials
    environment: _Named
    images: _Named
    weights: _Named
    cells: Annotated[tuple[KeptCell, ...], Field(min_length=1, max_length=MAX_CELLS)]

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        if len(self.by_place) < len(self.cells):
            raise ValueError("two cells of one name")
        return self

    @cached_property
    def by_place(self) -> dict[Place, KeptCell]:
        """The cells by what they are called."""
        return {cell.place: cell for cell in self.cells}

    @property
    def is_adaptive(self) -> bool:
        """Whether outcomes ended the trials."""
        return isinstance(self.trials, AdaptiveTrials)


def place_text(place: Place) -> str:
    """digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6."""
    *labels, ber = place
    return f"{'/'.join(map(str, labels))} BER {ber_text(float(ber))}"


def kept_trials(recorded: Sequence[Trial]) -> dict[str, Any]:
    """What a `KeptCell` keeps of the trials of a cell, in the order of their numbers, up to the first one missing."""
    trials = [trial for number, trial in enumerate(recorded) if trial.trial == number]
    n_images = trials[0].n_images
    if any(trial.n_images != n_images for trial in trials):
        raise FaultbenchError(f"cell {trials[0].cell}: its trials looked at different numbers of images")
    counts = [[getattr(trial, name) for name in COUNTS] for trial in trials]
    digests = [[_short(trial.flips_digest)] for trial in trials]
    return {
        "n_images": n_images,
        "n_trials": len(trials),
        "flips": packed(digests, DIGEST_BITS),
        "outcomes": packed(counts, n_images.bit_length()),
    }


def _short(flips_digest: str) -> int:
    return int.from_bytes(blake2b(flips_digest.encode(), digest_size=DIGEST_BITS // 8).digest(), "big")


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write it, whole or not at all: equal campaigns give equal bytes, and a changed cell changes one line."""
    head: Mapping[str, Any] = baseline.model_dump(mode="json")
    lines = [f" {json.dumps(key)}: {json.dumps(head[key], sort_keys=True)}" for key in head if key != "cells"]
    cells = sorted(baseline.cells, key=lambda cell: cell.place)
    listed = ",\n".join(f"  {json.dumps(cell.model_dump(mode='json'))}" for cell in cells)
    text = "{\n" + ",\n".join([*lines, f' "cells": [\n{listed}\n ]']) + "\n}\n"
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file; FaultbenchError, one line, for anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise FaultbenchError(f"{path}: no such baseline; add --update-baseline to write it") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise FaultbenchError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise FaultbenchError(f"{path}: no faultbench baseline: larger than {MAX_BYTES // 2**20} MiB")
    try:
        return Baseline.model_validate_json(data)
    except ValidationError as error:
        raise FaultbenchError(
            f"{path}: no faultbench baseline: {_first(error)}; write it with --update-baseline"
        ) from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step)[:40] for step in first["loc"])
    text = " ".join(f"{where}: {first['msg']}".removeprefix(": ").split())
    return "".join(char if char.isprintable() else "?" for char in text[:300])
