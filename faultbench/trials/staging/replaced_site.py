"""Runs past a site whose module is replaced again and again, while faults lie before it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faultbench.trials.staging.channel_splicing import same_bits
from faultbench.trials.staging.staged_network import StagedNetwork, Values
from faultbench.trials.staging.step_costs import storages
from faultbench.trials.staging.value_rows import PROBED, Picked, alike, have_rows, sizes_apart, together

N_PARTS = 4
"""Rows that are run together are a multiple of this part of a batch."""

N_NEAR = 2
"""Earlier modules whose answers are looked at again: a threshold has a neighbour on either side."""


@dataclass(frozen=True)
class Stand:
    """The golden run of a batch past the module that stands at the site: what reaches the cut, and the logits."""

    at_cut: Values
    logits: Tensor


class Replaced:
    """Logits past a site at which one module after another is put, bit for bit those of whole runs.

    What faults make of the values before the site hangs on no module there: it is kept as far as there is room. What
    lies behind the site is free of faults, so that equal values give equal logits: an image is not run where its
    values at the cut, a step behind the site, are those of the golden run, or those of a run of the same faults past
    an earlier module. The others are run together, as far as a golden run of as many images has given their bits.

    drops says whether that may save more than comparing costs.
    """

    def __init__(self, staged: StagedNetwork, site: int, cut: int, *, room_bytes: int, drops: bool) -> None:
        self._staged, self._site, self._cut, self._drops = staged, site, cut, drops
        self._room_bytes = room_bytes
        self._modules: list[nn.Module] = []
        self._near: list[int] = []
        self._stands: list[Stand] = []
        self._known: dict[tuple[str, int], dict[int, Tensor]] = {}
        self._before: dict[tuple[str, int], Values] = {}
        self._exact: set[tuple[int, int]] = set()

    def try_sizes(self, golden: Sequence[Values], logits: Sequence[Tensor]) -> None:
        """Learn how many images of a batch, run apart, give what they give among all, from values as for `stand`.

        That is tried past what a scheme has not touched yet: behind a threshold of 0 all images could look alike.
        """
        if self._drops:
            for values, among_all in {
                len(of): (values, of) for values, of in zip(golden, logits, strict=True)
            }.values():
                at_cut, n_rows = self._staged.until(self._cut, self._site, values), len(among_all)
                stand = self._comparable(at_cut, among_all)
                sizes = sizes_apart(n_rows, N_PARTS) if stand.at_cut else ()
                self._exact |= {(n_rows, n) for n in sizes if self._is_same_apart(stand, n)}

    def stand(self, golden: Sequence[Values]) -> list[Tensor]:
        """The golden logits of batches with these values before the site, past the module that stands there now."""
        module = self._staged.module(self._site)
        if module is None:
            raise ValueError("no module is called at this step")
        self._stands = []
        self._near = self._nearest(module, golden[0]) if self._drops else []
        self._modules.append(copy.deepcopy(module))
        self._stands = [self._stood(values) for values in golden]
        return [stand.logits for stand in self._stands]

    def logits(self, key: str, part: int, before: Callable[[], Values]) -> Tensor:
        """The logits of a batch under the faults that key names, which make these values before the site."""
        known, now = self._known.setdefault((key, part), {}), len(self._modules) - 1
        if now not in known:
            known[now] = self._run(part, known, self._kept(key, part, before))
        return known[now]

    def _stood(self, values: Values) -> Stand:
        at_cut = self._staged.until(self._cut, self._site, values)
        return self._comparable(at_cut, self._staged.resume(self._cut, at_cut)[0])

    def _comparable(self, at_cut: Values, logits: Tensor) -> Stand:
        return Stand(at_cut if self._drops and have_rows(at_cut, len(logits)) else {}, logits)

    def _kept(self, key: str, part: int, before: Callable[[], Values]) -> Values:
        """The values before the site, kept where there is room beside what the golden run left at the cut."""
        if (key, part) in self._before:
            return self._before[key, part]
        values = before()
        if _n_bytes([*self._before.values(), values, *(stand.at_cut for stand in self._stands)]) <= self._room_bytes:
            self._before[key, part] = values
        return values

    def _run(self, part: int, known: dict[int, Tensor], values: Values) -> Tensor:
        stand, at_cut = self._stands[part], self._staged.until(self._cut, self._site, values)
        if not stand.at_cut:
            return self._staged.resume(self._cut, at_cut)[0]
        logits, wanted = stand.logits.clone(), ~alike(at_cut, stand.at_cut)
        for number in (number for number in self._near if number in known):
            same = wanted & self._alike_past(self._modules[number], values, at_cut)
            logits[same] = known[number][same]
            wanted &= ~same
        return self._filled(logits, wanted, at_cut)

    def _filled(self, logits: Tensor, wanted: Tensor, at_cut: Values) -> Tensor:
        """These logits with those of the images wanted put in."""
        rows, others = together(wanted, N_PARTS)
        if not len(rows):
            return logits
        if not len(others) or (len(logits), len(rows)) not in self._exact:
            return self._staged.resume(self._cut, at_cut)[0]
        return logits.index_copy_(0, rows, self._staged.resume(self._cut, Picked(at_cut, rows))[0])

    def _is_same_apart(self, stand: Stand, n_rows: int) -> bool:
        last = torch.arange(len(stand.logits) - n_rows, len(stand.logits))
        return same_bits(self._staged.resume(self._cut, Picked(stand.at_cut, last))[0], stand.logits[last])

    def _nearest(self, module: nn.Module, golden: Values) -> list[int]:
        """The earlier modules past which most of the first images have the values that they have past this one."""
        head = _head(golden)
        at_cut = self._past(module, head)
        if not have_rows(at_cut, _n_rows(head)):
            return []
        counts = [int(alike(self._past(earlier, head), at_cut).sum()) for earlier in self._modules]
        best = sorted(range(len(counts)), key=lambda number: -counts[number])[:N_NEAR]
        return [number for number in best if counts[number]]

    def _alike_past(self, module: nn.Module, values: Values, at_cut: Values) -> Tensor:
        """For each image whether another module at the site would let the same values come to the cut."""
        first = alike(self._past(module, _head(values)), _head(at_cut))
        if not bool(first.any()):
            return torch.zeros(_n_rows(at_cut), dtype=torch.bool, device=first.device)
        return alike(self._past(module, values), at_cut)

    def _past(self, module: nn.Module, values: Values) -> Values:
        """What reaches the cut with another module at the site."""
        (read,) = self._staged.reads(self._site)
        made = {**values, self._staged.steps[self._site].name: module(values[read])}
        return self._staged.until(self._cut, self._site + 1, made)


def _head(values: Values) -> Values:
    return {name: value[:PROBED] if isinstance(value, Tensor) else value for name, value in values.items()}


def _n_rows(values: Values) -> int:
    return next((len(value) for value in values.values() if isinstance(value, Tensor) and value.dim()), 0)


def _n_bytes(kept: Sequence[Values]) -> int:
    found: dict[int, int] = {}
    for values in kept:
        for value in values.values():
            found |= storages(value)
    return sum(found.values())
