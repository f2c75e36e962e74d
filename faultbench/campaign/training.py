"""Training settings of a campaign file, for networks and bounds."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from faultbench.campaign.fields import Count, FrozenModel


class Training(FrozenModel):
    """Training settings for networks and bounds. The schedule supplies each value that is not given."""

    schedule: Literal["paper", "fast"] = Field(
        default="fast", description="epochs and images of the papers, or few of both"
    )
    epochs: Count | None = Field(default=None, description="training epochs of networks; null takes the schedule's")
    batch: Count | None = Field(
        default=None, description="images per training step of networks; null takes the schedule's"
    )
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="peak learning rate of networks; null takes the schedule's"
    )
    tf32: bool = Field(
        default=False,
        description="train networks and bounds in TF32 on a CUDA card, which is faster; trials never use TF32",
    )

    @model_serializer(mode="wrap")
    def _write_given_values(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A value that is not given is left out, so that keys equal those from before the option existed.
        return {key: value for key, value in write(self).items() if value is not None and value is not False}

    @property
    def record(self) -> dict[str, Any]:
        """Return every setting that changes the trained network or bounds."""
        settings = self.model_dump()
        return {"schedule": settings.pop("schedule"), **({"training": settings} if settings else {})}
