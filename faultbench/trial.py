"""The golden run of a network, and one trial: inject, run the images, count, undo."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultbench.datasets import Images
from faultbench.errors import FaultbenchError
from faultbench.faults.fault_map import FaultMap
from faultbench.faults.injection import injected
from faultbench.faults.space import FaultSpace, StoredTensor
from faultbench.formats.codec import Codec
from faultbench.network import Network, Site
from faultbench.staging.golden import WHOLE_RUNS, GoldenRun, Staging


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
        self.space = space
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
        return (self._golden == self._labels).numpy()

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

    def outcome(self, fault_map: FaultMap, chosen: NDArray[np.int64] | None = None) -> Outcome:
        """Run the images with these flips in memory; without flips the outcome is the golden run's.

        chosen, if given, are the indices of the images to look at, ascending.
        """
        rows = None if chosen is None else torch.from_numpy(chosen)
        if not len(fault_map):
            return self.golden if rows is None else self._compare(self._golden[rows], _all_true(rows), rows)
        parts = self._run.parts(rows)
        with injected(self.space, fault_map):
            logits = self._run.faulted(fault_map, parts)
        return self._compare(*_top1(logits), rows)

    def _judge(self) -> None:
        self._golden, finite = _top1(self._run.logits)
        if not bool(finite.all()):
            raise FaultbenchError(f"the golden run gives logits that are not finite for {int((~finite).sum())} images")
        self.golden = self._compare(self._golden, finite, None)

    def _compare(self, top1: Tensor, finite: Tensor, rows: Tensor | None) -> Outcome:
        golden, labels = self._golden, self._labels
        if rows is not None:
            golden, labels = golden[rows], labels[rows]
        masked = finite & (top1 == golden)
        sdc, due, golden_right = finite & ~masked, ~finite, golden == labels
        ends = (finite & (top1 == labels), masked, sdc, sdc & golden_right, due, due & golden_right, golden_right)
        return Outcome(*torch.stack(ends).sum(dim=1).tolist())


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
