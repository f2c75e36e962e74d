"""Bit flips in the parameters of one's own torch model, for as long as a with-block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.injection import injected
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError


@contextmanager
def inject(
    model: nn.Module,
    *,
    ber: float,
    format: str = "float32",  # noqa: A002 - the campaign file's word
    seed: int = 0,
    trial: int = 0,
) -> Iterator[FaultMap]:
    """Inside the block every bit of the model's parameters is flipped with probability ber; after it, as before.

    Gives the flips, whose `len` is their number. format is how memory holds a value: one hit is encoded, its bits
    are inverted, and what the word then means is written in place; values that are not hit keep all their digits.
    Undone bit for bit however the block ends. The flips of a parameter depend on its name and size, ber, seed and
    trial alone. ber is 0 to 0.5. FaultbenchError for parameters that are not float32 in one piece.
    """
    if not 0 <= ber <= 0.5:
        raise FaultbenchError(f"inject: a bit error rate must be 0 to 0.5; given {ber}")
    codec = registry.build("number_format", format, {})
    named = model.named_parameters()
    try:
        space = FaultSpace([StoredTensor(name, parameter, codec) for name, parameter in named])
    except ValueError as error:
        raise FaultbenchError(f"inject: {error}") from error
    fault_map = Bernoulli().draw(space, ber=ber, seed=seed, trial=trial)
    with injected(space, fault_map):
        yield fault_map
