"""Baseline file of a campaign: the outcome of every trial, one line per cell, to compare later runs with."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from faultbench.campaign.fields import MAX_COUNT, Count
from faultbench.campaign.stopping_rule import AdaptiveTrials
from faultbench.gate.baseline_rules import NO_FLIPS, first_impossible
from faultbench.gate.packing import pack, unpack
from faultbench.results.folder import LABELS, ber_text
from faultbench.results.journal.records import Trial
from faultbench.results.recorded_texts import one_printable_line
from faultbench.system.errors import FaultbenchError

MAX_CELLS = 100_000
DIGEST_BITS = 32
"""Bits of a fault map's short digest; two different maps share one by chance once in four thousand million."""

COUNTS = ("n_correct", "n_sdc", "n_sdc_critical", "n_due")
"""Counts that a baseline keeps of each trial; all other images are masked."""

CellName = tuple[str | float, ...]
"""Name of a cell: its labels, then its BER."""

_Text = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(one_printable_line)]
_Hex = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9a-f]+$")]
_Named = Annotated[dict[_Text, _Text], Field(max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class GoldenRun(_Part):
    """Golden run of a cell's subject, and the size of its fault space in bits."""

    n_images: Count
    n_correct: Annotated[int, Field(ge=0, le=MAX_COUNT)]
    n_bits: Annotated[int, Field(ge=1, lt=2**63)]
    top1_digest: _Text

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.n_correct > self.n_images:
            raise ValueError("n_correct must be at most n_images")
        return self


class BaselineCell(_Part):
    """Cell of a baseline, with the outcome of each of its trials, numbered from 0 without a gap.

    cell is its key. definition is a key without the weights: it stays the same when the network is trained again.
    flips packs a number of `DIGEST_BITS` per trial, outcomes a number per trial and count of `COUNTS`.
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
    n_images: Count
    n_trials: Count
    flips: str
    outcomes: str

    @model_validator(mode="after")
    def _check_trials(self) -> Self:
        counts = dict(zip(COUNTS, self.counts.T, strict=True))
        has_flips = self.flip_digests != _NO_FLIPS
        if wrong := first_impossible(counts, has_flips, n_images=self.n_images, golden=self.golden):
            raise ValueError(f"{wrong}; cell {cell_name_text(self.cell_name)}")
        return self

    @property
    def cell_name(self) -> CellName:
        """Return the labels and the BER of the cell."""
        return (*(getattr(self, label) for label in LABELS), self.ber)

    @property
    def network(self) -> str:
        """Return the name of the cell's weights."""
        return f"{self.dataset}/{self.model}/{self.format}"

    @cached_property
    def flip_digests(self) -> NDArray[np.int64]:
        """Return the short digest of each trial's fault map, [trials]."""
        return unpack(self.flips, DIGEST_BITS, n_rows=self.n_trials, n_columns=1)[:, 0]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Return the counts of each trial, [trials, COUNTS]."""
        n_bits = self.n_images.bit_length()
        return unpack(self.outcomes, n_bits, n_rows=self.n_trials, n_columns=len(COUNTS))

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """Return the accuracy of each trial, a fraction."""
        return np.asarray(self.counts[:, 0] / self.n_images)


class Baseline(_Part):
    """Results of a campaign to compare with, and the environment that they come from.

    settings holds what all cells share. images and weights map the names that manifests use to SHA-256. No two cells
    have the same name.
    """

    faultbench_baseline: Literal[1]
    campaign: _Text
    identity: _Text
    settings: Annotated[dict[_Text, JsonValue], Field(max_length=100)]
    trials: Count | AdaptiveTrials
    environment: _Named
    images: _Named
    weights: _Named
    cells: Annotated[tuple[BaselineCell, ...], Field(min_length=1, max_length=MAX_CELLS)]

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        if len(self.by_name) < len(self.cells):
            raise ValueError("two cells of one name")
        return self

    @cached_property
    def by_name(self) -> dict[CellName, BaselineCell]:
        """Return name → cell."""
        return {cell.cell_name: cell for cell in self.cells}

    @property
    def is_adaptive(self) -> bool:
        """Return whether the outcomes decided how many trials a cell got."""
        return isinstance(self.trials, AdaptiveTrials)


def cell_name_text(cell_name: CellName) -> str:
    """Return the name of a cell as text: digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6."""
    *labels, ber = cell_name
    return f"{'/'.join(map(str, labels))} BER {ber_text(float(ber))}"


def pack_trials(recorded: Sequence[Trial]) -> dict[str, Any]:
    """Return the fields of a `BaselineCell` that hold its trials, in number order, up to the first missing one."""
    trials = [trial for number, trial in enumerate(recorded) if trial.trial == number]
    n_images = trials[0].n_images
    if any(trial.n_images != n_images for trial in trials):
        raise FaultbenchError(f"cell {trials[0].cell}: its trials looked at different numbers of images")
    counts = [[getattr(trial, name) for name in COUNTS] for trial in trials]
    digests = [[_short_digest(trial)] for trial in trials]
    return {
        "n_images": n_images,
        "n_trials": len(trials),
        "flips": pack(digests, DIGEST_BITS),
        "outcomes": pack(counts, n_images.bit_length()),
    }


def _short_digest(trial: Trial) -> int:
    """Return the short digest of a trial's fault map; only a map without flips has `_NO_FLIPS`."""
    short = _shortened(trial.flips_digest)
    return short ^ 1 if trial.n_flips and short == _NO_FLIPS else short


def _shortened(flips_digest: str) -> int:
    return int.from_bytes(blake2b(flips_digest.encode(), digest_size=DIGEST_BITS // 8).digest(), "big")


_NO_FLIPS = _shortened(NO_FLIPS)
