"""Keys of a campaign file with their types, ranges and defaults. `choices` checks the names of plug-ins."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from faultbench.campaign.fields import MAX_COUNT, Ber, CampaignName, Count, ImagesPerTrial, Sampling, Seed, StrictModel
from faultbench.campaign.given_weights import WeightsEntry
from faultbench.campaign.stopping_rule import AdaptiveTrials
from faultbench.campaign.training import Training

MAX_ENTRIES = 1000
"""Most entries of an axis. Far longer lists are more likely a mistake of a script than a campaign."""

MAX_NAME_LENGTH = 500
"""Most characters of a name, which may hold the path of a folder."""

MIN_SAMPLED_IMAGES = 2
"""Fewest images per trial: one that the golden run classifies correctly, and one that it does not."""

AXES = {
    "datasets": "dataset",
    "models": "model",
    "schemes": "scheme",
    "guards": "guard",
    "formats": "number_format",
    "faults": "fault_model",
}
"""Key of a campaign file → kind of plug-in that its entries name. The seventh axis, bers, holds numbers."""


def _require_one_line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("label", "must be one line of printable text")
    return text


def _trials_form(trials: Any) -> str:
    return "adaptive" if isinstance(trials, dict | AdaptiveTrials) else "fixed"


def _images_form(images: Any) -> str:
    return "sampled" if isinstance(images, dict | SampledImages) else "whole"


class SampledImages(StrictModel):
    """Small sample of test images, drawn anew for each trial."""

    per_trial: Annotated[int, Field(ge=MIN_SAMPLED_IMAGES, le=MAX_COUNT)] | Literal["auto"] = Field(
        description="images per trial; auto: as many as the first trials of a cell show to be efficient"
    )
    of: Count | Literal["all"] = Field("all", description="test images to draw them from")


TestImages = Annotated[
    Annotated[Count | Literal["all", "auto"], Tag("whole")] | Annotated[SampledImages, Tag("sampled")],
    Discriminator(_images_form),
]
Trials = Annotated[
    Annotated[Count, Tag("fixed")] | Annotated[AdaptiveTrials, Tag("adaptive")], Discriminator(_trials_form)
]
Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH), AfterValidator(_require_one_line)]
Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_require_one_line)]


class DatasetFilter(StrictModel):
    """Part of the grid that a model is used in."""

    dataset: str | Annotated[list[str], Field(min_length=1)] = Field(description="names or labels of data sets")


class PluginEntry(StrictModel):
    """Entry of an axis: a name, or a mapping with a name, a label and the options of the plug-in."""

    model_config = ConfigDict(extra="allow")

    name: Name = Field(description="as `faultbench list` prints it")
    label: Label | None = Field(None, description="text in tables and plots; by default the name")

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, entry: Any) -> Any:
        if isinstance(entry, str):
            return {"name": entry}
        if not isinstance(entry, dict):
            raise PydanticCustomError("entry", "must be a name, or a mapping with a name")
        return entry

    @property
    def options(self) -> dict[str, Any]:
        """Return the given options of the plug-in."""
        return self.model_extra or {}

    @property
    def printed(self) -> str:
        """Return the text that tables and plots print."""
        return self.label or self.name


class ModelEntry(PluginEntry):
    """Entry of `models`."""

    weights: str | WeightsEntry | None = Field(
        None, description="weights to load instead of training: a file, or {file: …}"
    )
    when: DatasetFilter | None = Field(None, description="data sets to use the model with; by default all")


def _axis(description: str, default: str | None = None) -> Any:
    defaults: dict[str, Any] = {} if default is None else {"default": [{"name": default}], "validate_default": True}
    return Field(min_length=1, max_length=MAX_ENTRIES, description=description, **defaults)


_PLUGINS = (
    "modules with plug-ins of your own, such as [mymodels, mylab.schemes]; "
    "the folder of the campaign file is first on their search path"
)

_TRIALS = (
    "trials per cell: a number, or {max: 1000, min: 30, until: {accuracy_halfwidth: 0.01, confidence: 0.95}}; if an "
    "earlier run did more, the additional ones stay recorded and are left out of status, tables and plots"
)

_IMAGES = (
    "test images per trial: a number, all, {per_trial: 32} drawn anew for each trial, or auto, the most efficient "
    "number; accuracies refer to all test images"
)

_SAMPLING = (
    "plain, or stratified by the number of flipped hazards, which a pilot finds: fewer trials for the same precision; "
    "needs the fault model bernoulli"
)

_BATCH = "images per forward pass of a trial; auto: a size that the network runs fast with; part of a cell's identity"


class CampaignSpec(StrictModel):
    """Content of a campaign file."""

    name: CampaignName = Field(
        description="name of the campaign and of its results folder: letters, digits, dots, hyphens and underscores",
    )
    seed: Seed = Field(0, description="seed of all random numbers")
    plugins: list[str] = Field([], max_length=MAX_ENTRIES, description=_PLUGINS)
    datasets: list[PluginEntry] = _axis("data sets, such as [digits]")
    models: list[ModelEntry] = _axis("networks, such as [digits_cnn]")
    schemes: list[PluginEntry] = _axis("activation schemes, such as [relu, clip_act]; relu is the unprotected network")
    guards: list[PluginEntry] = _axis("weight guards", "none")
    formats: list[PluginEntry] = _axis("number formats of the weight memory", "q15.16")
    faults: list[PluginEntry] = _axis("fault models", "bernoulli")
    bers: list[Ber] = _axis("bit error rates above 0 and at most 0.5, such as [1e-7, 1e-6]")
    trials: Trials = Field(100, description=_TRIALS)
    images: TestImages = Field("all", description=_IMAGES)
    sampling: Sampling = Field("plain", description=_SAMPLING)
    batch: Count | Literal["auto"] = Field("auto", description=_BATCH)
    training: Training = Field(default_factory=Training, description="training of networks and bounds")

    @property
    def n_images(self) -> int | None:
        """Return the number of test images that accuracies refer to; None is all of them."""
        of = self.images.of if isinstance(self.images, SampledImages) else self.images
        return of if isinstance(of, int) else None

    @property
    def per_trial(self) -> ImagesPerTrial:
        """Return the number of test images that a trial draws; None is all of them."""
        if isinstance(self.images, SampledImages):
            return self.images.per_trial
        return "auto" if self.images == "auto" else None
