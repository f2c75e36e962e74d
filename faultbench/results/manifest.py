"""Model of the manifest of a results folder, as it is read back: strict, whoever wrote the file.

Unknown keys are kept and not read. Known keys have a type and a range, names match patterns, labels print on one line,
and no cell is listed twice.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from faultbench.campaign.fields import Ber, CampaignName, Count, Sampling, Seed
from faultbench.campaign.spec import TestImages
from faultbench.campaign.stopping_rule import AdaptiveTrials, StoppingRule
from faultbench.results.recorded_texts import (
    Digest,
    Key,
    Line,
    NetworkText,
    Text,
    first_error,
)
from faultbench.results.subject_memory import MemoryEntry
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.regular_files import read_json

LABELS = ("dataset", "model", "scheme", "guard", "format", "fault")
"""Labels that name a cell in tables and plots, besides its BER; `CellEntry` has a field for each."""

MAX_BYTES = 2**27
MAX_CELLS = 500_000
"""Most cells of a manifest: a campaign has at most 100,000, and a merged folder lists those of several."""

MAX_ENTRIES = 5000

Fraction = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class CellEntry(BaseModel):
    """Cell of a manifest: its keys, and its labels as tables print them."""

    model_config = ConfigDict(frozen=True)
    cell: Key
    subject: Key
    dataset: Line
    model: Line
    scheme: Line
    guard: Line
    format: Line
    fault: Line
    ber: Ber

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels in the order of `LABELS`."""
        return tuple(getattr(self, label) for label in LABELS)


class SchemeEntry(BaseModel):
    """Scheme of a campaign: its name in the registry, and its label in the cells."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Line
    label: Line


class _AxisEntry(BaseModel):
    name: Line
    label: Line | None = None


_IMAGES: TypeAdapter[Any] = TypeAdapter(TestImages)


def _images(value: Any) -> Any:
    """Return the value unchanged; ValueError unless a campaign can have it as its images."""
    _IMAGES.validate_python(value)
    return value


class _Training(BaseModel):
    schedule: Line


class _OtherSpec(BaseModel):
    """Keys of a campaign that reports read; a manifest can lack them."""

    name: CampaignName | None = None
    seed: Seed | None = None
    plugins: Annotated[tuple[Line, ...], Field(max_length=MAX_ENTRIES)] = ()
    datasets: Annotated[tuple[_AxisEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    models: Annotated[tuple[_AxisEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    guards: Annotated[tuple[_AxisEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    formats: Annotated[tuple[_AxisEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    faults: Annotated[tuple[_AxisEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    bers: Annotated[tuple[Ber, ...], Field(max_length=MAX_ENTRIES)] = ()
    batch: Count | Literal["auto"] | None = None
    training: _Training | None = None


class Spec(BaseModel):
    """Campaign with every default written out; other keys are kept as attributes."""

    model_config = ConfigDict(frozen=True, extra="allow")
    schemes: Annotated[tuple[SchemeEntry, ...], Field(max_length=MAX_ENTRIES)]
    trials: Count | AdaptiveTrials | None = None
    images: Annotated[Any, AfterValidator(_images)] = "all"
    sampling: Sampling = "plain"

    @model_validator(mode="before")
    @classmethod
    def _check_others(cls, value: Any) -> Any:
        _OtherSpec.model_validate(value)
        return value


class DeclaredEntry(BaseModel):
    """Golden accuracy that given weights declare, and the measured one, `found`; fractions."""

    model_config = ConfigDict(frozen=True)
    network: NetworkText
    declared: Fraction
    tolerance: Fraction
    found: Fraction
    n_images: Count


class _OtherKeys(BaseModel):
    """Keys of a manifest that verbs read; earlier versions wrote fewer of them."""

    faultbench: Line | None = None
    identity: Key | None = None
    source: Text | None = None
    written: Line | None = None
    command: list[Text] = []
    execution: dict[Line, JsonValue] = {}
    environment: dict[Line, Annotated[str, Field(strict=True, max_length=2000)]] = {}
    data: dict[Line, dict[NetworkText, JsonValue]] = {}
    made_of: dict[Line, dict[Line, Digest]] = {}
    plugins: dict[Line, list[Digest]] = {}
    merged: list[dict[Line, JsonValue]] = []

    @model_validator(mode="after")
    def _check_digests(self) -> Self:
        digests: TypeAdapter[dict[str, str]] = TypeAdapter(dict[NetworkText, Digest])
        for kind in ("test images", "stored weights"):
            digests.validate_python(self.data.get(kind, {}))
        return self


class Manifest(BaseModel):
    """Manifest: what a campaign asked for, its cells in the order of its file; other keys are kept as attributes.

    warnings are findings of the run that a reader of the numbers must know. asked_before are the numbers of trials that
    earlier runs of the folder asked for, and showed results with, in the order of time.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    campaign: CampaignName
    trials: Count
    cells: Annotated[tuple[CellEntry, ...], Field(min_length=1, max_length=MAX_CELLS)]
    spec: Spec
    warnings: Annotated[tuple[Text, ...], Field(max_length=MAX_ENTRIES)] = ()
    declared_accuracies: Annotated[tuple[DeclaredEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    memory: Annotated[tuple[MemoryEntry, ...], Field(max_length=MAX_CELLS)] = ()
    asked_before: Annotated[tuple[Count, ...], Field(max_length=MAX_ENTRIES)] = ()

    @model_validator(mode="before")
    @classmethod
    def _check_others(cls, value: Any) -> Any:
        _OtherKeys.model_validate(value)
        return value

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        if len({entry.cell for entry in self.cells}) < len(self.cells):
            raise ValueError("a cell is listed twice")
        if len({(entry.labels, entry.ber) for entry in self.cells}) < len(self.cells):
            raise ValueError("two cells have the same labels and BER")
        if len({entry.subject for entry in self.cells}) < len({(entry.subject, entry.labels) for entry in self.cells}):
            raise ValueError("cells of one subject have different labels")
        return self

    @cached_property
    def rule(self) -> StoppingRule:
        """Return the rule that ends the trials of a cell."""
        asked = self.spec.trials
        trials = asked if isinstance(asked, AdaptiveTrials) else self.trials
        return StoppingRule.read(trials, self.spec.images, self.asked_before)

    @property
    def sorted_cells(self) -> list[CellEntry]:
        """Return the cells in the order of tables."""
        # Not cached: a copy with other cells would keep the cached ones.
        return sorted(self.cells, key=lambda entry: (entry.labels, entry.ber, entry.cell))

    @property
    def scheme_names(self) -> dict[str, str]:
        """Return label → name of the scheme, in the order of the cells."""
        names = {entry.label: entry.name for entry in self.spec.schemes}
        return {entry.scheme: names.get(entry.scheme, entry.scheme) for entry in self.cells}

    @property
    def per_trial(self) -> int | None:
        """Return the number of images per trial; None unless the campaign samples images with a given number."""
        per_trial = self.spec.images.get("per_trial") if isinstance(self.spec.images, dict) else None
        return per_trial if isinstance(per_trial, int) else None

    @property
    def subject_of(self) -> Mapping[str, str]:
        """Return cell → subject."""
        return {entry.cell: entry.subject for entry in self.cells}


def read_manifest_file(path: Path) -> tuple[dict[str, Any], Manifest]:
    """Return the manifest in a file, as it stands there and as a model; FaultbenchError, one line, if it has none."""
    try:
        content = read_json(path, MAX_BYTES)
        if not isinstance(content, dict):
            raise FaultbenchError(f"{path}: no faultbench manifest: not a mapping")
        return content, Manifest.model_validate(content)
    except ValidationError as error:
        raise FaultbenchError(f"{path}: no faultbench manifest: {first_error(error)}") from error
    except OSError as error:
        raise FaultbenchError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, MemoryError) as error:
        raise FaultbenchError(f"{path}: no faultbench manifest: {error or type(error).__name__}") from error
