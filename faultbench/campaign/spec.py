"""What a campaign file may say: keys, types, ranges, defaults; `choices` checks the names of plug-ins."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from faultbench.campaign.given_weights import Weights
from faultbench.campaign.stopping_rule import MAX_COUNT, AdaptiveTrials, Count
from faultbench.campaign.training import Training

MAX_ENTRIES = 1000
"""Of one axis; with far more, a slip of a script is likelier than a campaign."""

FEWEST_IMAGES = 2
"""That a trial looks at: one that the golden run has right, and one that it has wrong."""

AXES = {
    "datasets": "dataset",
    "models": "model",
    "schemes": "scheme",
    "guards": "guard",
    "formats": "number_format",
    "faults": "fault_model",
}
"""Key of a campaign → kind of plug-in that its entries name; bers, the seventh axis, holds numbers."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("label", "must be one line of printable text")
    return text


def _form(trials: Any) -> str:
    return "adaptive" if isinstance(trials, dict | AdaptiveTrials) else "fixed"


class SampledImages(BaseModel):
    """A few test images, drawn anew for each trial."""

    model_config = ConfigDict(extra="forbid", strict=True)

    per_trial: Annotated[int, Field(ge=FEWEST_IMAGES, le=MAX_COUNT)] | Literal["auto"] = Field(
        description="images that a trial looks at; auto: as many as its cell's first trials say that pay"
    )
    of: Count | Literal["all"] = Field("all", description="test images that they are drawn from")


def _sample(images: Any) -> str:
    return "sampled" if isinstance(images, dict | SampledImages) else "whole"


Ber = Annotated[float, Field(gt=0, le=0.5)]
TestImages = Annotated[
    Annotated[Count | Literal["all", "auto"], Tag("whole")] | Annotated[SampledImages, Tag("sampled")],
    Discriminator(_sample),
]
Trials = Annotated[Annotated[Count, Tag("fixed")] | Annotated[AdaptiveTrials, Tag("adaptive")], Discriminator(_form)]
Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]


class When(BaseModel):
    """The part of the grid that a model is for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: str | Annotated[list[str], Field(min_length=1)] = Field(description="names or labels of data sets")


class Entry(BaseModel):
    """One entry of an axis: a name, or a mapping with a name, a label and the plug-in's options."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str = Field(description="as `faultbench list` prints it")
    label: Label | None = Field(None, description="what tables and plots print; the name by default")

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given}
        if not isinstance(given, dict):
            raise PydanticCustomError("entry", "must be a name, or a mapping with a name")
        return given

    @property
    def options(self) -> dict[str, Any]:
        """What is given beyond the keys of every entry."""
        return self.model_extra or {}

    @property
    def printed(self) -> str:
        """What tables and plots print."""
        return self.label or self.name


class ModelEntry(Entry):
    """An entry of `models`."""

    weights: str | Weights | None = Field(None, description="weights to load instead of training: a file, or {file: …}")
    when: When | None = Field(None, description="the data sets it is for; all by default")


def _axis(description: str, default: str | None = None) -> Any:
    given: dict[str, Any] = {} if default is None else {"default": [{"name": default}], "validate_default": True}
    return Field(min_length=1, max_length=MAX_ENTRIES, description=description, **given)


_PLUGINS = (
    "modules with plug-ins of your own, such as [mymodels, mylab.schemes]; "
    "the campaign file's folder comes first on their search path"
)


_TRIALS = "trials a cell, a number or {max: 1000, min: 30, until: {accuracy_halfwidth: 0.01, confidence: 0.95}}"


_SAMPLING = (
    "plain, or stratified by how many hazards flip, which a pilot finds: fewer trials for the same mean; "
    "faults must be bernoulli"
)


_IMAGES = (
    "test images a trial looks at: a number, all, {per_trial: 32} drawn anew for each trial, or auto, as many as pay; "
    "accuracies are those on all of them"
)


class CampaignSpec(BaseModel):
    """A campaign file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="letters and digits; also the results folder",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="of everything random")
    plugins: list[str] = Field([], max_length=MAX_ENTRIES, description=_PLUGINS)
    datasets: list[Entry] = _axis("data sets, such as [digits]")
    models: list[ModelEntry] = _axis("networks, such as [digits_cnn]")
    schemes: list[Entry] = _axis("activation schemes, such as [relu, clip_act]; relu is the unprotected network")
    guards: list[Entry] = _axis("weight guards", "none")
    formats: list[Entry] = _axis("number formats of the weight memory", "q15.16")
    faults: list[Entry] = _axis("fault models", "bernoulli")
    bers: list[Ber] = _axis("bit error rates above 0 and at most 0.5, such as [1e-7, 1e-6]")
    trials: Trials = Field(100, description=_TRIALS)
    images: TestImages = Field("all", description=_IMAGES)
    sampling: Literal["plain", "stratified"] = Field("plain", description=_SAMPLING)
    batch: Count | Literal["auto"] = Field(
        "auto",
        description="images a forward pass of a trial, auto: as the network runs fast; part of a cell's identity",
    )
    training: Training = Field(default_factory=Training, description="how networks and bounds are trained")

    @property
    def n_images(self) -> int | None:
        """Test images that accuracies are about; None for all."""
        of = self.images.of if isinstance(self.images, SampledImages) else self.images
        return of if isinstance(of, int) else None

    @property
    def per_trial(self) -> int | Literal["auto"] | None:
        """How many of them a trial looks at; None for all."""
        if isinstance(self.images, SampledImages):
            return self.images.per_trial
        return "auto" if self.images == "auto" else None
