"""How much memory workers may use for what only saves time."""

import os
import re

SHARE = 0.25
"""Of the machine's memory, all workers together: networks, images and the rest of the machine need theirs."""

MOST_BYTES = {"cpu": 2 << 30, "cuda": 16 << 30}
"""A worker's share on a large machine; beyond it there is little left to save. A card is given more images at once."""

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def memory_for(n_workers: int, device: str = "cpu") -> int:
    """Bytes that each of so many workers may take on a device to keep golden runs, where nobody says otherwise."""
    total = _on_card() if device == "cuda" else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(MOST_BYTES[device], round(SHARE * total / n_workers))


def _on_card() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[1])


def n_bytes(text: str) -> int:
    """Bytes that a text such as 512M, 1.5G or 0 names; ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"{text!r} is no amount of memory; write one such as 512M or 2G, or 0 to keep nothing")
    return round(float(found[1]) * (1 << _UNITS[found[2].upper()]))
