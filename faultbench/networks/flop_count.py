"""Count of floating-point operations by the formulas of torch.utils.flop_counter.

torch's own `FlopCounterMode` also sums per module, and imports torch's compiler at its first operation, which takes two
seconds in every process of a run.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from faultbench.networks.dispatch_mode import PlainDispatchMode


class FlopCount(PlainDispatchMode):
    """Number of floating-point operations in convolutions and matrix products that run inside the block."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.n_flops = 0
        self._formulas: Mapping[Any, Any] = FlopCounterMode(display=False).flop_registry

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count its flops; one without a formula is run as the operations it is made of."""
        given = {} if kwargs is None else kwargs
        formula = self._formulas.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            result = func(*args, **given)
            self.n_flops += int(formula(*args, **given, out_val=result))
            return result
        if isinstance(func, torch._ops.OpOverload) and func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **given)
            if result is not NotImplemented:
                return result
        return func(*args, **given)
