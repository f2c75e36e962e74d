"""Sizes of a graph's values that do not depend on the number of images, measured while torch.fx records the graph."""

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn

N_IMAGES = (2, 3)
"""Images of the batches that are run. A size that is equal in both is taken to be the same for every batch."""

Sizes = tuple[int | None, ...]
"""Sizes of a tensor, axis by axis; None where the number of images changes it."""


class KnownSizes:
    """Runs what is recorded of a model on two small batches, up to the value whose size is asked for.

    Nothing runs before the first question. unhooked are the paths of modules that the graph calls without their hooks.
    Where a step fails, all sizes from there on are unknown; without is_asked they all are.
    """

    def __init__(
        self, root: nn.Module, shape: tuple[int, int, int], unhooked: Collection[str], *, is_asked: bool
    ) -> None:
        self._root, self._unhooked = root, unhooked
        stream = torch.Generator().manual_seed(0)
        self._images = [torch.rand(n_images, *shape, generator=stream) for n_images in N_IMAGES]
        self._values: tuple[dict[fx.Node, Any], ...] = tuple({} for _ in N_IMAGES)
        self._tensors: tuple[dict[str, Any], ...] = tuple({} for _ in N_IMAGES)
        self._last: fx.Node | None = None
        self._is_lost = not is_asked
        self.is_running = False
        """Whether the model's modules are run just now, and not recorded."""

    def sizes_of(self, node: fx.Node) -> Sizes | None:
        """Return the sizes of a node's value; None where it is no tensor, or where nothing is known."""
        values = self._values_of(node)
        if values is None or not all(isinstance(value, Tensor) for value in values):
            return None
        first, second = (tuple(value.shape) for value in values)
        if len(first) != len(second):
            return None
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))

    def length_of(self, node: fx.Node) -> int | None:
        """Return how many items a node's value has: rows of a tensor, or entries of a tuple or list."""
        values = self._values_of(node)
        if values is None or not all(isinstance(value, tuple | list) for value in values):
            sizes = self.sizes_of(node)
            return sizes[0] if sizes else None
        first, second = map(len, values)
        return first if first == second else None

    @torch.no_grad()
    def _values_of(self, node: fx.Node) -> list[Any] | None:
        if not self._is_lost and node not in self._values[0]:
            self.is_running = True
            try:
                self._run_to(node)
            except Exception:  # noqa: BLE001 - a step may raise anything; then nothing is known, and tracing says why
                self._is_lost = True
            finally:
                self.is_running = False
        return [values[node] for values in self._values] if node in self._values[-1] else None

    def _run_to(self, node: fx.Node) -> None:
        while self._last is not node:
            following = next(iter(node.graph.nodes)) if self._last is None else self._last.next
            for number, values in enumerate(self._values):
                values[following] = self._run(following, number)
            self._last = following

    def _run(self, node: fx.Node, number: int) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._values[number].__getitem__)
        target = str(node.target)
        match node.op:
            case "placeholder":
                return self._images[number].clone()
            case "get_attr":
                return self._read(target, number)
            case "call_module":
                return self._call_module(target, *args, **kwargs)
            case "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]  # a function's node holds the function

    def _call_module(self, target: str, *args: Any, **kwargs: Any) -> Any:
        module = self._root.get_submodule(target)
        # In place of the forward of such a module stands what records it.
        return type(module).forward(module, *args, **kwargs) if target in self._unhooked else module(*args, **kwargs)

    def _read(self, target: str, number: int) -> Any:
        tensors = self._tensors[number]
        if target not in tensors:
            # A copy, since calls may write into it.
            value = operator.attrgetter(target)(self._root)
            tensors[target] = value.clone() if isinstance(value, Tensor) else value
        return tensors[target]
