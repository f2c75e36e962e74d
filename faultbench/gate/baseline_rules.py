"""Check the trials of a baseline against the rules that hold for the trials of every run.

The rules are those for the trials of a journal. A baseline does not record how many bits were flipped. The digest of
the fault map tells a trial without flips.
"""

from collections.abc import Mapping
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultbench.results.journal.golden_rules import fit_golden_run
from faultbench.results.journal.trial_rules import ABSENT, broken_rules

NO_FLIPS = blake2b(b"", digest_size=8).hexdigest()
"""Digest of the fault map without a flip."""


def first_impossible(
    counts: Mapping[str, NDArray[np.int64]], has_flips: NDArray[np.bool_], *, n_images: int, golden: Any
) -> str:
    """Return the first trial that breaks a rule, and the rule, in words; empty if no trial does.

    counts has an array for each count that a baseline keeps, one entry per trial; every trial looked at n_images.
    golden is the golden run, with n_images, n_correct and n_bits.
    """
    n_trials = len(has_flips)
    trials = SimpleNamespace(
        **counts,
        n_images=np.full(n_trials, n_images),
        n_masked=n_images - counts["n_sdc"] - counts["n_due"],
        n_flips=has_flips.astype(np.int64),
        n_golden_correct=np.full(n_trials, ABSENT),
    )
    broken = {
        "more SDCs and DUEs than images": trials.n_masked < 0,
        **broken_rules(trials),
        "its golden run does not allow it": ~fit_golden_run(trials, golden),
    }
    wrong = np.stack([*broken.values()])
    if not wrong.any():
        return ""
    number = int(wrong.any(axis=0).argmax())
    reason = [*broken][int(wrong[:, number].argmax())]
    return (
        f"trial {number}: {reason}: {_outcome_text(trials, number)}; "
        f"golden {golden.n_correct:,} of {golden.n_images:,} right"
    )


def _outcome_text(trials: Any, number: int) -> str:
    """Return the counts of one trial, in words."""
    right, sdc, critical, due = (
        int(getattr(trials, name)[number]) for name in ("n_correct", "n_sdc", "n_sdc_critical", "n_due")
    )
    flips = "" if trials.n_flips[number] else ", no flips"
    return (
        f"{right:,} of {int(trials.n_images[number]):,} right, {sdc:,} SDC ({critical:,} critical), {due:,} DUE{flips}"
    )
