"""Baselines made up for tests, and runs to hold against them."""

from collections.abc import Mapping, Sequence
from typing import Any

from faultbench.gate.baseline import Baseline, KeptCell, Place, kept_trials
from faultbench.gate.snapshot import Snapshot
from faultbench.results.journal.records import Trial

N_IMAGES = 100

LABELS = {"dataset": "digits", "guard": "none", "format": "q15.16", "fault": "bernoulli"}


def some_trials(n_correct: Sequence[int], **changes: Any) -> list[Trial]:
    """Trials with so many of 100 images right, whatever is wrong an SDC; fields of all may be changed."""
    fields = {"cell": "c", "n_flips": 3, "n_images": N_IMAGES, "n_due": 0, "flips_digest": "ab12", **changes}
    return [
        Trial(
            **{
                **fields,
                "trial": number,
                "n_correct": right,
                "n_masked": right,
                "n_sdc": N_IMAGES - right,
                "n_sdc_critical": 0,
            }
        )
        for number, right in enumerate(n_correct)
    ]


def a_cell(n_correct: Sequence[int] = (90,) * 20, *, flips: str = "ab12", **changes: Any) -> KeptCell:
    """One cell of relu at 1e-6; any field may be changed."""
    fields: dict[str, Any] = {
        "cell": "a" * 32,
        "definition": "d" * 32,
        "model": "digits_cnn",
        "scheme": "relu",
        "ber": 1e-6,
        "golden": {"n_images": 500, "n_correct": 490, "n_bits": 1000, "top1_digest": "ee"},
        **LABELS,
        **kept_trials(some_trials(n_correct, flips_digest=flips)),
    }
    return KeptCell.model_validate({**fields, **changes}, strict=False)


def a_baseline(*cells: KeptCell, **changes: Any) -> Baseline:
    """A baseline of these cells, of one if none is given; any field may be changed."""
    fields: dict[str, Any] = {
        "faultbench_baseline": 1,
        "campaign": "made",
        "identity": "1" * 32,
        "settings": {"seed": 0, "images": 100, "batch": "auto", "training": {"schedule": "fast"}},
        "trials": 20,
        "environment": {"torch": "2.0", "processor": "abacus"},
        "images": {"digits": "aa"},
        "weights": {"digits/digits_cnn/q15.16": "bb"},
        "cells": cells or (a_cell(),),
    }
    return Baseline(**{**fields, **changes})


def a_run(*cells: KeptCell, unfinished: Mapping[Place, str] | None = None, **changes: Any) -> Snapshot:
    """A run that came to these cells."""
    return Snapshot(a_baseline(*cells, **changes), unfinished or {})
