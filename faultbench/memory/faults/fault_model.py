"""Interface of fault models, and the kinds of memory that they can hit."""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace


@dataclass(frozen=True)
class Targeted:
    """Options that fault models share: which memory they hit. They are read where the fault space is built."""

    targets: (
        tuple[Literal["all"]]
        | Annotated[
            tuple[Literal["weights", "biases", "bounds", "norm_parameters", "norm_statistics", "others"], ...],
            Field(min_length=1),
        ]
    ) = ("weights", "biases", "bounds")
    """Kinds of stored tensors, or all of them."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Shell patterns for names of layers and sites."""
    bits: tuple[Annotated[int, Field(ge=0, le=31)], Annotated[int, Field(ge=0, le=31)]] | None = None
    """First and last bit of a word that can flip; None means all bits."""


KINDS = ("weights", "biases", "bounds", "norm_parameters", "norm_statistics", "others")
"""All kinds of memory that faults can hit."""


def kinds_hit(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds that targets name; `all` names every one."""
    return KINDS if "all" in targets else targets


@runtime_checkable
class FaultModel(Protocol):
    """Interface of what draws the flips of a trial: a `Targeted`, or a class with the same fields."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Kinds of stored tensors."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Shell patterns for names of layers and sites."""

    @property
    def bits(self) -> tuple[int, int] | None:
        """First and last bit of a word that can flip; None means all bits."""

    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        """Return the flips of a trial; they depend on the arguments only."""
