"""Builders of artificial baselines, and of runs to compare with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from faultbench.gate.baseline import Baseline, BaselineCell, CellName, pack_trials
from faultbench.gate.snapshot import Snapshot
from faultbench.results.journal.records import Trial

N_IMAGES = 100
N_RIGHT = 98
"""Number of images that the golden run classifies correctly by default."""

LABELS = {"dataset": "digits", "guard": "none", "format": "q15.16", "fault": "bernoulli"}


def some_trials(
    n_correct: Sequence[int], *, n_images: int = N_IMAGES, n_golden: int = N_RIGHT, **changes: Any
) -> list[Trial]:
    """Return trials with these numbers of correct images. Critical SDCs lose the others, or SDCs correct some."""
    fields = {"cell": "c", "n_flips": 3, "n_images": n_images, "n_due": 0, "flips_digest": "ab12", **changes}
    return [
        Trial(
            **{
                **fields,
                "trial": number,
                "n_correct": right,
                "n_masked": n_images - abs(n_golden - right),
                "n_sdc": abs(n_golden - right),
                "n_sdc_critical": max(0, n_golden - right),
            }
        )
        for number, right in enumerate(n_correct)
    ]


def a_cell(
    n_correct: Sequence[int] = (90,) * 20, *, flips: str = "ab12", golden: Mapping[str, Any] | None = None, **more: Any
) -> BaselineCell:
    """Return a cell of relu at BER 1e-6 whose trials agree with its golden run. Any field may be changed."""
    of_golden = {"n_images": N_IMAGES, "n_correct": N_RIGHT, "n_bits": 1000, "top1_digest": "ee", **(golden or {})}
    of_trials = {"n_images": of_golden["n_images"], "n_golden": of_golden["n_correct"]}
    fields: dict[str, Any] = {
        "cell": "a" * 32,
        "definition": "d" * 32,
        "model": "digits_cnn",
        "scheme": "relu",
        "ber": 1e-6,
        "golden": of_golden,
        **LABELS,
        **pack_trials(some_trials(n_correct, flips_digest=flips, **of_trials)),
    }
    return BaselineCell.model_validate({**fields, **more}, strict=False)


def a_baseline(*cells: BaselineCell, **changes: Any) -> Baseline:
    """Return a baseline of these cells, by default of one cell. Any field may be changed."""
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


def a_run(*cells: BaselineCell, unfinished: Mapping[CellName, str] | None = None, **changes: Any) -> Snapshot:
    """Return the snapshot of a run with these cells."""
    return Snapshot(a_baseline(*cells, **changes), unfinished or {})
