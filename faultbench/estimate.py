"""How long a campaign's missing trials will take, guessed from one forward pass of each network, and their disk."""

import time
from collections.abc import Mapping

import torch

from faultbench.allocation import missing
from faultbench.campaign import Campaign, Choice
from faultbench.journal import JournalContents
from faultbench.network import Network
from faultbench.parts import Parts
from faultbench.pilot import PILOT_IMAGES
from faultbench.threads import threads


def trial_s(parts: Parts) -> float:
    """Seconds that a trial of a subject takes on one core of this machine, arbitrary weights standing in for its own.

    The faster of two passes over a batch of blank images, for all images of a trial; for those of a cell's first
    trials, and what a trial takes besides, where it hangs on these how many the others look at.
    """
    network = parts.untrained
    batch = min(parts.batch(network), parts.n_images)
    images = torch.zeros(batch, *parts.dataset.shape)
    with threads(1), torch.inference_mode():
        image_s = min(_timed(network, images) for _ in range(2)) / batch
    per_trial = PILOT_IMAGES if parts.subject.per_trial == "auto" else parts.subject.per_trial
    return image_s * (parts.n_images if per_trial is None else per_trial + parts.trial_in_images)


def missing_s(campaign: Campaign, parts: dict[str, Parts], known: JournalContents) -> tuple[int, float]:
    """Trials of a campaign that are not done, and the seconds that they take on one core.

    parts goes by subject key. Quarantined trials count as done, adaptive cells up to their next
    look; training and fitting are not included.
    """
    n_missing = dict.fromkeys(parts, 0)
    for cell in campaign.cells:
        wanted = missing(
            campaign.rule, cell.key, known.trials, known.goldens.get(cell.subject.key), known.strata.get(cell.key)
        )
        n_missing[cell.subject.key] += sum((cell.key, trial) not in known.quarantined for trial in wanted)
    seconds = sum(count * trial_s(parts[key]) for key, count in n_missing.items() if count)
    return sum(n_missing.values()), seconds


TRIAL_BYTES = 350
"""Of disk that a trial takes: a line of the journal and one of `trials.csv`."""


def disk_bytes(parts: Mapping[str, Parts], n_missing: int) -> int:
    """What a campaign's rows, networks and bounds take on the disk; not what data sets take.

    parts goes by subject key. Figures and tables of cells are small beside them.
    """
    weights: dict[tuple[Choice, Choice], int] = {}
    n_bounds = 0
    for built in parts.values():
        network = built.untrained
        own = sum(item.tensor.numel() for item in network.parameters() if item.kind == "bounds")
        n_bounds += own
        whole = sum(tensor.numel() for tensor in network.graph.state_dict().values())
        weights[built.subject.dataset, built.subject.model] = whole - own
    return n_missing * TRIAL_BYTES + 4 * (sum(weights.values()) + n_bounds)


def _timed(network: Network, images: torch.Tensor) -> float:
    started = time.perf_counter()
    network(images)
    return time.perf_counter() - started
