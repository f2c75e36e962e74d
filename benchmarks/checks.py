"""What it costs to hold a traced network against the user's module, and to prove that faults are felt.

    python benchmarks/checks.py [--networks vgg16,resnet20] [--images 100,1000] [--rounds N] [--output DIR]

Set-up is building a network, tracing it, its fault space and its golden run over random images of 32×32 pixels. It is
done with the checks and without them in turns; the table has medians of processor time, and of the shares.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import process_time
from unittest.mock import patch

import torch
from bench import DOCS, SHAPE, machine, model, pixels, seconds, write_csv

from faultbench.datasets import Images
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.networks.stored.memory_reads import unfelt_tensors
from faultbench.networks.stored.network_memory import fault_space
from faultbench.networks.tracing.trace import trace
from faultbench.plugins import registry
from faultbench.runner.subjects.components import N_SAMPLED
from faultbench.trials.evaluation import Evaluation
from faultbench.trials.staging.golden_run import Staging

BATCH, BER, MEMORY_BYTES = 256, 1e-6, 2**30
ASKED = 0.05
"""Share of set-up that the checks may take on VGG-16."""


class _NoAgreement:
    """Stands in for `Agreement` and compares nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def require(self, *_: object, **__: object) -> None:
        pass


def set_up(name: str, images: Images, *, is_checked: bool) -> None:
    """Make a network ready for trials, once."""
    with ExitStack() as stack:
        if not is_checked:
            stack.enter_context(patch("faultbench.networks.tracing.trace.Agreement", _NoAgreement))
        network = trace(model(name), SHAPE)
        space = fault_space(network, registry.build("number_format", "q15.16", {}), ("weights", "biases"))
        if is_checked:
            assert not unfelt_tensors(
                network, images.first(1).pixels, {item.name: item.tensor for item in space.stored}
            )
        sample = [Bernoulli().draw(space, ber=BER, seed=0, trial=number) for number in range(N_SAMPLED)]
        evaluation = Evaluation(network, space, images, batch=BATCH, staging=Staging(MEMORY_BYTES, sample))
        if is_checked:
            evaluation.require_repeatable(name)


def measured(name: str, n_images: int, rounds: int) -> dict[str, object]:
    """A row of the table."""
    images = Images(pixels(n_images), torch.zeros(n_images, dtype=torch.int64))
    set_up(name, images.first(2), is_checked=True)  # what torch does but once
    with_s, without_s = [], []
    for _ in range(rounds):
        without_s.append(seconds(lambda: set_up(name, images, is_checked=False), process_time))
        with_s.append(seconds(lambda: set_up(name, images, is_checked=True), process_time))
    share = median(1 - without / full for without, full in zip(without_s, with_s, strict=True))
    return {
        "network": name,
        "images": n_images,
        "set_up_s": round(median(with_s), 3),
        "without_checks_s": round(median(without_s), 3),
        "share_of_checks": round(share, 4),
    }


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="vgg16,alexnet,resnet20")
    parser.add_argument("--images", default="100,1000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for checks.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        measured(name, int(n_images), given.rounds)
        for name in given.networks.split(",")
        for n_images in given.images.split(",")
    ]
    for row in rows:
        print(*row.values(), f"(asked of vgg16: {ASKED})" if row["network"] == "vgg16" else "")
    write_csv(given.output / "checks.csv", rows, machine())


if __name__ == "__main__":
    main()
