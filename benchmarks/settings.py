"""What settings of torch that a campaign could choose would gain: pure inference with each of them against none.

    python benchmarks/settings.py [--networks …] [--rounds N] [--images N] [--output DIR]

One thread, processor time, channels-last in one batch; the settings take turns. same_bits says whether the logits are
those without the setting: where they are not, the setting would have to be part of a cell's identity.

nothing          no setting, once more: how far two equal things lie apart on this machine
no oneDNN        convolutions and linear layers by torch's own kernels
flush denormals  numbers below the smallest normal one become 0
"""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import torch
from bench import DOCS, SHAPE, machine, median_ratio, model, pixels, seconds, write_csv

from faultbench.networks.tracing.trace import trace
from faultbench.trials.staging.channel_splicing import same_bits


@contextmanager
def flushing() -> Iterator[None]:
    """Denormals are 0 inside the block."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


SETTINGS: Mapping[str, Any] = {
    "nothing": nullcontext,
    "no oneDNN": partial(torch.backends.mkldnn.flags, enabled=False),
    "flush denormals": flushing,
}


@torch.inference_mode()
def rows(name: str, n_images: int, n_rounds: int) -> Iterator[dict[str, Any]]:
    """A row a setting: time without it to the time with it, above 1 where it is faster."""
    network = trace(model(name).to(memory_format=torch.channels_last), SHAPE)
    images = pixels(n_images).contiguous(memory_format=torch.channels_last)
    expected = network(images)
    times: dict[str, list[float]] = {"": [], **{setting: [] for setting in SETTINGS}}
    equal = {}
    for _ in range(n_rounds):
        for setting, taken in times.items():
            inside: AbstractContextManager[Any] = SETTINGS.get(setting, nullcontext)()
            with inside:
                equal[setting] = same_bits(network(images), expected)
                taken.append(seconds(partial(network, images), process_time))
    for setting in SETTINGS:
        gain = median_ratio(times[""], times[setting])
        print(f"{name:<12}{setting:<18}{gain:>8.3f}  {equal[setting]}", flush=True)
        yield {"network": name, "setting": setting, "speedup": gain, "same_bits": equal[setting]}


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["alexnet", "vgg16", "resnet20"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--output", type=Path, default=DOCS, help="folder for settings.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    note = f"{machine()}; processor time, median of {given.rounds} interleaved rounds"
    print(note)
    write_csv(
        given.output / "settings.csv",
        [row for name in given.networks for row in rows(name, given.images, given.rounds)],
        note,
    )


if __name__ == "__main__":
    main()
