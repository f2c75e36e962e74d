"""The golden run of a network, and one trial: inject, run the images, count, undo."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from faultbench.datasets import Images
from faultbench.errors import FaultbenchError
from faultbench.faults.fault_map import FaultMap
from faultbench.faults.injection import injected
from faultbench.faults.space import FaultSpace, StoredTensor
from faultbench.formats.codec import Codec
from faultbench.network import Network


@dataclass(frozen=True)
class Outcome:
    """What became of the images of one run, against the golden run.

    Each is masked (top-1 as in the golden run), an SDC (finite logits, another top-1) or a DUE (logits not all
    finite). An SDC is critical when the golden run was right.
    """

    n_correct: int
    n_masked: int
    n_sdc: int
    n_sdc_critical: int
    n_due: int


class Evaluation:
    """A network, its fault space and the images it is judged on, golden run done, ready for trials.

    Trials leave the network as they found it; one at a time.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], space: FaultSpace, images: Images, *, batch: int) -> None:
        self.space = space
        self._network = network
        self._batches = images.batches(batch)
        self._labels = images.labels
        started = time.perf_counter()
        self._golden, finite = self._top1()
        self.golden_s = time.perf_counter() - started
        if not bool(finite.all()):
            raise FaultbenchError(f"the golden run gives logits that are not finite for {int((~finite).sum())} images")
        self.golden = self._compare(self._golden, finite)

    @property
    def n_images(self) -> int:
        """Images a run looks at."""
        return len(self._labels)

    @property
    def top1_digest(self) -> str:
        """16 hex digits that two golden runs share only if they put every image into the same class."""
        return blake2b(self._golden.numpy().astype("<i8").tobytes(), digest_size=8).hexdigest()

    def outcome(self, fault_map: FaultMap) -> Outcome:
        """Run all images with these flips in memory; without flips the outcome is the golden run's."""
        if not len(fault_map):
            return self.golden
        with injected(self.space, fault_map):
            return self._compare(*self._top1())

    @torch.inference_mode()
    def _top1(self) -> tuple[Tensor, Tensor]:
        """Each image's top-1 class, and whether its logits are all finite."""
        logits = [self._network(part.pixels) for part in self._batches]
        together = torch.cat(logits)
        return together.argmax(dim=1), torch.isfinite(together).all(dim=1)

    def _compare(self, top1: Tensor, finite: Tensor) -> Outcome:
        masked = finite & (top1 == self._golden)
        sdc = finite & ~masked
        golden_right = self._golden == self._labels
        return Outcome(
            n_correct=int((finite & (top1 == self._labels)).sum()),
            n_masked=int(masked.sum()),
            n_sdc=int(sdc.sum()),
            n_sdc_critical=int((sdc & golden_right).sum()),
            n_due=int((~finite).sum()),
        )


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
