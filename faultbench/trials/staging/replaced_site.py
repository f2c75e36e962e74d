"""Runs past a site whose module is replaced many times, while faults lie before the site."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faultbench.trials.staging.channel_splicing import same_bits
from faultbench.trials.staging.staged_network import StagedNetwork, Values
from faultbench.trials.staging.step_costs import storages
from faultbench.trials.staging.value_rows import (
    N_PROBED_ROWS,
    RowSelection,
    equal_rows,
    have_rows,
    rows_to_run,
    separate_sizes,
)

N_PARTS = 4
"""Rows that run together are a multiple of a batch divided by this number."""

N_SIMILAR = 2
"""Number of earlier modules whose results are used again: a threshold has a neighbour on either side."""


@dataclass(frozen=True)
class PastSite:
    """Golden run of a batch past the present module at the site: the values at the cut, and the logits."""

    at_cut: Values
    logits: Tensor


class ReplacedSite:
    """Logits past a site at which one module after another is put, bit for bit those of whole runs.

    Faulted values before the site do not depend on the module there: they are kept while there is memory. No fault lies
    behind the site, so equal values give equal logits. Therefore an image is not run if its values at the cut, a step
    behind the site, equal those of the golden run, or those of a run of the same faults past an earlier module. The
    other images run together, if a golden run of the same number of images has given the same bits.

    compares says whether comparing values at the cut may save more than it costs.
    """

    def __init__(self, staged: StagedNetwork, site: int, cut: int, *, room_bytes: int, compares: bool) -> None:
        self._staged, self._site, self._cut, self._compares = staged, site, cut, compares
        self._room_bytes = room_bytes
        self._modules: list[nn.Module] = []
        self._similar: list[int] = []
        self._golden: list[PastSite] = []
        self._logits: dict[tuple[str, int], dict[int, Tensor]] = {}
        self._inputs: dict[tuple[str, int], Values] = {}
        self._equal_apart: set[tuple[int, int]] = set()

    def try_sizes(self, golden: Sequence[Values], logits: Sequence[Tensor]) -> None:
        """Find out which numbers of images, run apart, give what they give as part of their batch.

        golden are values as for `rerun_golden`. Call this before the module is replaced: behind a threshold of 0 all
        images could look alike.
        """
        if not self._compares:
            return
        by_size = {len(of_batch): (values, of_batch) for values, of_batch in zip(golden, logits, strict=True)}
        for n_rows, (values, of_batch) in by_size.items():
            past = self._past_site(self._staged.run_until(self._cut, self._site, values), of_batch)
            sizes = separate_sizes(n_rows, N_PARTS) if past.at_cut else ()
            self._equal_apart |= {(n_rows, n) for n in sizes if self._is_equal_apart(past, n)}

    def rerun_golden(self, golden: Sequence[Values]) -> list[Tensor]:
        """Return the golden logits past the module that is at the site now.

        golden are the fault-free values that each batch's site step reads.
        """
        module = self._staged.module(self._site)
        if module is None:
            raise ValueError("no module is called at this step")
        self._golden = []
        self._similar = self._most_similar(module, golden[0]) if self._compares else []
        self._modules.append(copy.deepcopy(module))
        self._golden = [self._run_golden(values) for values in golden]
        return [past.logits for past in self._golden]

    def logits(self, key: str, batch: int, inputs: Callable[[], Values]) -> Tensor:
        """Return the logits of a batch under the faults that key names; inputs computes what the site step reads."""
        known, now = self._logits.setdefault((key, batch), {}), len(self._modules) - 1
        if now not in known:
            known[now] = self._run(batch, known, self._kept_inputs(key, batch, inputs))
        return known[now]

    def _run_golden(self, values: Values) -> PastSite:
        at_cut = self._staged.run_until(self._cut, self._site, values)
        return self._past_site(at_cut, self._staged.resume(self._cut, at_cut)[0])

    def _past_site(self, at_cut: Values, logits: Tensor) -> PastSite:
        """Return a golden run past the site, with the values at the cut only if images can be compared by them."""
        return PastSite(at_cut if self._compares and have_rows(at_cut, len(logits)) else {}, logits)

    def _kept_inputs(self, key: str, batch: int, inputs: Callable[[], Values]) -> Values:
        """Return the values that the site step reads, and keep them if memory is left beside the golden values."""
        if (key, batch) in self._inputs:
            return self._inputs[key, batch]
        values = inputs()
        if _n_bytes([*self._inputs.values(), values, *(past.at_cut for past in self._golden)]) <= self._room_bytes:
            self._inputs[key, batch] = values
        return values

    def _run(self, batch: int, known: dict[int, Tensor], values: Values) -> Tensor:
        past, at_cut = self._golden[batch], self._staged.run_until(self._cut, self._site, values)
        if not past.at_cut:
            return self._staged.resume(self._cut, at_cut)[0]
        logits, wanted = past.logits.clone(), ~equal_rows(at_cut, past.at_cut)
        for number in (number for number in self._similar if number in known):
            same = wanted & self._equal_past(self._modules[number], values, at_cut)
            logits[same] = known[number][same]
            wanted &= ~same
        return self._filled(logits, wanted, at_cut)

    def _filled(self, logits: Tensor, wanted: Tensor, at_cut: Values) -> Tensor:
        """Return these logits with those of the wanted images put in."""
        rows, others = rows_to_run(wanted, N_PARTS)
        if not len(rows):
            return logits
        if not len(others) or (len(logits), len(rows)) not in self._equal_apart:
            return self._staged.resume(self._cut, at_cut)[0]
        return logits.index_copy_(0, rows, self._staged.resume(self._cut, RowSelection(at_cut, rows))[0])

    def _is_equal_apart(self, past: PastSite, n_rows: int) -> bool:
        last = torch.arange(len(past.logits) - n_rows, len(past.logits))
        return same_bits(self._staged.resume(self._cut, RowSelection(past.at_cut, last))[0], past.logits[last])

    def _most_similar(self, module: nn.Module, golden: Values) -> list[int]:
        """Return the earlier modules that give the most of the first images the same values at the cut."""
        head = _head(golden)
        at_cut = self._values_past(module, head)
        if not have_rows(at_cut, _n_rows(head)):
            return []
        counts = [int(equal_rows(self._values_past(earlier, head), at_cut).sum()) for earlier in self._modules]
        best = sorted(range(len(counts)), key=lambda number: -counts[number])[:N_SIMILAR]
        return [number for number in best if counts[number]]

    def _equal_past(self, module: nn.Module, values: Values, at_cut: Values) -> Tensor:
        """Return for each image whether another module at the site gives the same values at the cut."""
        first = equal_rows(self._values_past(module, _head(values)), _head(at_cut))
        if not bool(first.any()):
            return torch.zeros(_n_rows(at_cut), dtype=torch.bool, device=first.device)
        return equal_rows(self._values_past(module, values), at_cut)

    def _values_past(self, module: nn.Module, values: Values) -> Values:
        """Return the values at the cut with another module at the site."""
        (read,) = self._staged.reads(self._site)
        behind = {**values, self._staged.steps[self._site].name: module(values[read])}
        return self._staged.run_until(self._cut, self._site + 1, behind)


def _head(values: Values) -> Values:
    return {name: value[:N_PROBED_ROWS] if isinstance(value, Tensor) else value for name, value in values.items()}


def _n_rows(values: Values) -> int:
    return next((len(value) for value in values.values() if isinstance(value, Tensor) and value.dim()), 0)


def _n_bytes(kept: Sequence[Values]) -> int:
    sizes: dict[int, int] = {}
    for values in kept:
        for value in values.values():
            sizes |= storages(value)
    return sum(sizes.values())
