"""How a campaign file says that networks and bounds are trained."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from faultbench.campaign.stopping_rule import Count


class Training(BaseModel):
    """How networks and bounds are trained; what is left open is the schedule's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    schedule: Literal["paper", "fast"] = Field(default="fast", description="the papers' epochs and images, or few")
    epochs: Count | None = Field(default=None, description="epochs that networks are trained for; by the schedule")
    batch: Count | None = Field(default=None, description="images a step of training networks; by the schedule")
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="peak learning rate of networks; by the schedule"
    )
    tf32: bool = Field(
        default=False,
        description="let a CUDA card train networks and bounds in TF32, which is faster; trials never use it",
    )

    @model_serializer(mode="wrap")
    def _given(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What is left open stays unwritten: results folders from before there was a choice go on.
        return {key: value for key, value in written(self).items() if value is not None and value is not False}

    @property
    def record(self) -> dict[str, Any]:
        """All that changes what training makes."""
        given = self.model_dump()
        return {"schedule": given.pop("schedule"), **({"training": given} if given else {})}
