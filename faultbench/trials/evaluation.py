"""The golden run of a network, and one trial: inject, run the images, count, undo."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.datasets import Images
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.fault_space import FaultSpace, StoredTensor
from faultbench.memory.formats.codec import Codec
from faultbench.memory.injection import injected
from faultbench.networks.network import Network, Site
from faultbench.system.errors import FaultbenchError
from faultbench.trials.staging.golden_run import WHOLE_RUNS, GoldenRun, Staging

Seen = Callable[[Tensor], None]
"""Is called with the logits of a run."""

SHARED_IMAGES = 64
"""Images that trials run together, at most: 128 and 256 were no faster on the digits."""


@dataclass(frozen=True)
class Outcome:
    """What became of the images of one run, against the golden run.

    Each is masked (top-1 as in the golden run), an SDC (finite logits, another top-1) or a DUE (logits not all
    finite). An SDC is critical when the golden run was right, and so is a DUE.
    """

    n_correct: int
    n_masked: int
    n_sdc: int
    n_sdc_critical: int
    n_due: int
    n_due_critical: int
    n_golden_correct: int


class Evaluation:
    """A network, its fault space and the images it is judged on, golden run done, ready for trials.

    Trials leave the network as they found it; one at a time. Without staging each of them runs the whole network;
    with it the outcomes are the same, sooner. changing, if given, is a site whose module may be replaced in between.
    """

    def __init__(
        self,
        network: Network,
        space: FaultSpace,
        images: Images,
        *,
        batch: int,
        staging: Staging = WHOLE_RUNS,
        changing: Site | None = None,
    ) -> None:
        self.network, self.space = network, space
        self.images, self.batch = images, batch
        self._labels = images.labels
        self._run = GoldenRun(network, space, images, batch, staging, changing=changing)
        self._judge()

    @property
    def golden_s(self) -> float:
        """Seconds that the golden run took."""
        return self._run.seconds

    @property
    def n_images(self) -> int:
        """Images a run looks at."""
        return len(self._labels)

    @property
    def golden_right(self) -> NDArray[np.bool_]:
        """For each image whether the golden run has it right."""
        return self._golden_right

    @property
    def top1_digest(self) -> str:
        """16 hex digits that two golden runs share only if they put every image into the same class."""
        return blake2b(self._golden.numpy().astype("<i8").tobytes(), digest_size=8).hexdigest()

    @property
    def kept_bytes(self) -> int:
        """Memory that values kept of the golden run take."""
        return self._run.kept_bytes

    def expected_s(self, sample: Sequence[FaultMap]) -> float:
        """Seconds that a trial with fault maps like these is expected to take."""
        return self.golden_s * self._run.expected_share(sample)

    def site_changed(self) -> None:
        """Do the golden run again after the module at the changing site was replaced."""
        self._run.changed()
        self._judge()

    def outcome(
        self, fault_map: FaultMap, chosen: NDArray[np.int64] | None = None, *, seen: Seen | None = None
    ) -> Outcome:
        """Run the images with these flips in memory; without flips the outcome is the golden run's.

        chosen, if given, are the indices of the images to look at, ascending. seen is called with the logits of what
        is run.
        """
        rows = None if chosen is None else torch.from_numpy(chosen)
        if not len(fault_map):
            return self.golden if rows is None else self._compare(self._golden[rows], _all_true(rows), rows)
        parts = self._run.parts(rows)
        with injected(self.space, fault_map):
            logits = self._run.faulted(fault_map, parts)
        if seen is not None:
            seen(torch.cat(logits))
        return self._compare(*_top1(logits), rows)

    def judged(self, logits: Tensor, chosen: NDArray[np.int64] | None = None) -> Outcome:
        """The outcome of a run of all images, or of those at these indices, that gave these logits."""
        return self._compare(*_top1([logits]), None if chosen is None else torch.from_numpy(chosen))

    def outcomes(
        self,
        fault_maps: Sequence[FaultMap],
        chosen: Sequence[NDArray[np.int64]],
        *,
        seen: Callable[[int, Tensor], None] | None = None,
    ) -> list[Outcome]:
        """The outcome of each of these trials over chosen images: as `outcome` has it, sooner where they are many.

        seen is called with the place of each trial that is run, and its logits.
        """
        found: dict[int, Outcome] = {}
        for n_images in {len(rows) for rows in chosen}:
            alike = [number for number, rows in enumerate(chosen) if len(rows) == n_images]
            found |= self._without_flips([number for number in alike if not len(fault_maps[number])], chosen)
            for group in _groups([number for number in alike if len(fault_maps[number])], fault_maps, n_images):
                found |= self._of_group(group, fault_maps, chosen, seen)
        return [found[number] for number in range(len(chosen))]

    def _without_flips(self, numbers: Sequence[int], chosen: Sequence[NDArray[np.int64]]) -> dict[int, Outcome]:
        if not numbers:
            return {}
        rows = torch.from_numpy(np.concatenate([chosen[number] for number in numbers]))
        ends = self._compared(self._golden[rows], _all_true(rows), rows, len(numbers))
        return dict(zip(numbers, ends, strict=True))

    def _of_group(
        self,
        group: Sequence[int],
        fault_maps: Sequence[FaultMap],
        chosen: Sequence[NDArray[np.int64]],
        seen: Callable[[int, Tensor], None] | None,
    ) -> dict[int, Outcome]:
        rows = torch.from_numpy(np.concatenate([chosen[number] for number in group]))
        logits = self._run.shared([fault_maps[number] for number in group], rows) if len(group) > 1 else None
        if logits is None:
            alone = {number: partial(seen, number) if seen else None for number in group}
            return {n: self.outcome(fault_maps[n], chosen[n], seen=told) for n, told in alone.items()}
        if seen is not None:
            for number, own in zip(group, torch.split(logits, len(rows) // len(group)), strict=True):
                seen(number, own)
        return dict(zip(group, self._compared(*_top1([logits]), rows, len(group)), strict=True))

    def _judge(self) -> None:
        self._golden, finite = _top1(self._run.logits)
        if not bool(finite.all()):
            raise FaultbenchError(f"the golden run gives logits that are not finite for {int((~finite).sum())} images")
        self._golden_right = (self._golden == self._labels).numpy()
        self.golden = self._compare(self._golden, finite, None)

    def _compare(self, top1: Tensor, finite: Tensor, rows: Tensor | None) -> Outcome:
        return self._compared(top1, finite, rows, 1)[0]

    def _compared(self, top1: Tensor, finite: Tensor, rows: Tensor | None, n_trials: int) -> list[Outcome]:
        """The outcomes of trials over as many images each, one after the other."""
        golden, labels = self._golden, self._labels
        if rows is not None:
            golden, labels = golden[rows], labels[rows]
        masked = finite & (top1 == golden)
        sdc, due, golden_right = finite & ~masked, ~finite, golden == labels
        ends = (finite & (top1 == labels), masked, sdc, sdc & golden_right, due, due & golden_right, golden_right)
        return [Outcome(*counts) for counts in torch.stack(ends).view(len(ends), n_trials, -1).sum(dim=2).T.tolist()]


def _groups(numbers: Sequence[int], fault_maps: Sequence[FaultMap], n_images: int) -> list[list[int]]:
    """The trials that run together, those first that are faulted first; one is repeated where a group lacks few."""
    # Addresses are in the order of execution.
    ordered = sorted(numbers, key=lambda number: int(fault_maps[number].addresses[0]))
    size = max(SHARED_IMAGES // n_images, 1)
    n_whole = len(ordered) // size * size
    groups = [ordered[start : start + size] for start in range(0, n_whole, size)]
    rest = ordered[n_whole:]
    if 2 * len(rest) > size:  # each size of group is found out about once more, so there is one
        return [*groups, rest + rest[-1:] * (size - len(rest))]
    return groups + [[number] for number in rest]


def _all_true(rows: Tensor) -> Tensor:
    return torch.ones(len(rows), dtype=torch.bool)


def _top1(logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Each image's top-1 class, and whether its logits are all finite; on the processor, whoever made the logits."""
    together = torch.cat(tuple(logits))
    return together.argmax(dim=1).cpu(), torch.isfinite(together).all(dim=1).cpu()


def fault_space(
    network: Network,
    codec: Codec,
    targets: Collection[str],
    *,
    owners: Collection[str] | None = None,
    bits: tuple[int, int] | None = None,
) -> FaultSpace:
    """The memory of a network that faults can hit, in order of execution: the kinds that `targets` names.

    owners, if given, limits it to what these layers and sites keep there, bits to these of a word, first and last
    included.
    """
    return FaultSpace(
        [
            StoredTensor(parameter.name, parameter.tensor, codec, bits)
            for parameter in network.parameters()
            if parameter.kind in targets and (owners is None or parameter.owner in owners)
        ]
    )
