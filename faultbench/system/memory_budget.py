"""Limits of the memory in which workers keep values that only save time."""

import os
import re

SHARE = 0.25
"""Share of the machine's memory for all workers together. Networks, images and other programs need the rest."""

MOST_BYTES = {"cpu": 2 << 30, "cuda": 16 << 30}
"""Most bytes per worker. More would save little time. A card gets more because it runs more images at once."""

MOST_WORKERS = 4096
"""Most worker processes of a run. Each takes about 300 MB before it loads a network."""

_LARGEST_AMOUNT = 1 << 50
"""Most bytes that a text may name. Manifests record the amount as a number of 63 bits."""

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def memory_for(n_workers: int, device: str = "cpu") -> int:
    """Return the default number of bytes that each worker may use on a device to keep golden runs."""
    total = _card_bytes() if device == "cuda" else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(MOST_BYTES[device], round(SHARE * total / n_workers))


def _card_bytes() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[1])


def parse_bytes(text: str) -> int:
    """Return the number of bytes that a text such as 512M, 1.5G or 0 names. ValueError for other texts."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{text!r} is not an amount of memory; write one such as 512M or 2G, or 0 to keep nothing")
    amount = float(match[1]) * (1 << _UNITS[match[2].upper()])
    if amount > _LARGEST_AMOUNT:
        raise ValueError(f"{text[:20]!r} is more than any machine has; give at most 1024T")
    return round(amount)
