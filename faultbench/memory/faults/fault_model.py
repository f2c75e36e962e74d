"""What of a network is memory that can flip, and what every fault model therefore is."""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace


@dataclass(frozen=True)
class Targeted:
    """The options that fault models share: which memory they hit. Whoever builds the fault space reads them."""

    targets: Annotated[
        tuple[Literal["weights", "biases", "bounds", "norm_parameters", "norm_statistics"], ...], Field(min_length=1)
    ] = ("weights", "biases", "bounds")
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Shell patterns of names of layers and sites."""
    bits: tuple[Annotated[int, Field(ge=0, le=31)], Annotated[int, Field(ge=0, le=31)]] | None = None
    """First and last bit of a word that can flip; None is all of them."""


@runtime_checkable
class FaultModel(Protocol):
    """Draws the flips of a trial: a `Targeted`, or anything else with its fields."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Kinds of parameters."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Patterns of names."""

    @property
    def bits(self) -> tuple[int, int] | None:
        """First and last bit."""

    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        """The flips of a trial, which depend on the arguments only."""
