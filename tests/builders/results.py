"""Builders of artificial results folders: a manifest and journals as a run would write them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Golden, Overhead, Quarantine, Trial
from faultbench.results.journal.strata import TOTAL, Strata

N_IMAGES = 200

OTHER_OUTCOMES = frozenset({"n_masked", "n_sdc", "n_sdc_critical", "n_due"})


def a_trial(**changes: Any) -> Trial:
    """Return a trial in which 20 of 200 images went wrong. Any field may be given.

    If n_correct is the only outcome given, every wrong image is a DUE and every other one is masked. Then the trial
    agrees with every golden run that has at least n_correct correct images.
    """
    fields: dict[str, Any] = {
        "cell": "c" * 32,
        "trial": 7,
        "n_flips": 3,
        "n_images": N_IMAGES,
        "n_correct": 178,
        "n_masked": 180,
        "n_sdc": 15,
        "n_sdc_critical": 14,
        "n_due": 5,
        "flips_digest": "0123456789abcdef",
    }
    if isinstance(changes.get("n_correct"), int) and not OTHER_OUTCOMES & {*changes}:
        n_right = changes["n_correct"]
        n_due = changes.get("n_images", N_IMAGES) - n_right
        fields.update(n_masked=n_right, n_sdc=0, n_sdc_critical=0, n_due=n_due)
    return Trial(**{**fields, **changes})


def a_golden(**changes: Any) -> Golden:
    """Return a golden run with 196 of 200 images correct. Any field may be given."""
    return replace(
        Golden(subject="s" * 32, n_images=N_IMAGES, n_correct=196, n_bits=32_000, top1_digest="d" * 16), **changes
    )


def an_overhead(**changes: Any) -> Overhead:
    """Return the overhead of a scheme with 10 bounds on 1,000 parameters. Any field may be given."""
    fields: dict[str, Any] = {
        "subject": "s" * 32,
        "parameters": 1000,
        "bounds": 10,
        "extra_bits": 320,
        "macs": 5000,
        "latency_ratio": 1.1,
        "latency_ratio_ci_low": 1.05,
        "latency_ratio_ci_high": 1.2,
        "fit_seconds": 2.5,
        "fit_epochs": 3,
        "fit_injections": 0,
        "bounds_to_maxima": 0.9,
    }
    return Overhead(**{**fields, **changes})


def key_of(*parts: Any) -> str:
    """Return a key of the form that cells and subjects have."""
    return blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class ArtificialCampaign:
    """Artificial campaign. Every combination of the axes is a cell."""

    name: str = "made"
    datasets: Sequence[str] = ("digits",)
    models: Sequence[str] = ("digits_cnn",)
    schemes: Sequence[str] = ("relu", "clip_act")
    guards: Sequence[str] = ("none",)
    formats: Sequence[str] = ("q15.16",)
    faults: Sequence[str] = ("bernoulli",)
    bers: Sequence[float] = (1e-6, 1e-5, 1e-4)
    trials: int = 5
    until: dict[str, Any] | None = None
    """Precision that ends a cell before it has all its trials; None runs all of them."""

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Return the cells of the manifest in the order of the axes."""
        return [
            {
                "cell": key_of(dataset, model, scheme, guard, form, fault, ber),
                "subject": key_of(dataset, model, scheme, guard, form, fault),
                "dataset": dataset,
                "model": model,
                "scheme": scheme,
                "guard": guard,
                "format": form,
                "fault": fault,
                "ber": ber,
            }
            for dataset in self.datasets
            for model in self.models
            for scheme in self.schemes
            for guard in self.guards
            for form in self.formats
            for fault in self.faults
            for ber in self.bers
        ]

    @property
    def records(self) -> list[Golden | Overhead | Trial]:
        """Return golden runs, overheads and all trials. The higher the BER, the more images are wrong."""
        rng = np.random.default_rng(1)
        subjects = dict.fromkeys(cell["subject"] for cell in self.cells)
        records: list[Golden | Overhead | Trial] = []
        for index, subject in enumerate(subjects):
            records += [a_golden(subject=subject), an_overhead(subject=subject, bounds=index, extra_bits=32 * index)]
        for cell in self.cells:
            for number in range(self.trials):
                wrong = int(rng.binomial(N_IMAGES, min(0.9, 1e4 * cell["ber"] * rng.random())))
                due = wrong // 4
                outcome = {"n_masked": N_IMAGES - wrong, "n_sdc": wrong - due, "n_due": due}
                counts = {**outcome, "n_sdc_critical": wrong - due, "n_correct": max(0, 196 - wrong)}
                records.append(a_trial(cell=cell["cell"], trial=number, n_flips=1 + number, **counts))
        return records

    def write_manifest(self, root: Path) -> Path:
        """Write the manifest of root/<name>, and return that folder."""
        folder = root / self.name
        folder.mkdir(parents=True, exist_ok=True)
        spec: dict[str, Any] = {"schemes": [{"name": scheme, "label": scheme} for scheme in self.schemes]}
        if self.until:
            spec["trials"] = {"max": self.trials, "min": 5, "until": self.until}
        manifest = {
            "campaign": self.name,
            "identity": "0" * 32,
            "spec": spec,
            "trials": self.trials,
            "cells": self.cells,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def write(self, root: Path) -> Path:
        """Write the manifest and journal of root/<name>, and return that folder."""
        folder = self.write_manifest(root)
        write_journal(folder / "journal", "made", self.records)
        return folder


def write_journal(folder: Path, writer: str, records: Iterable[Golden | Overhead | Quarantine | Trial]) -> Path:
    """Append records to a writer's file, and return its path."""
    with Journal(folder, writer) as journal:
        for record in records:
            journal.append(record.to_record())
    return journal.path


def some_strata(**changes: object) -> Strata:
    """Return two strata. The first is likely and drawn in half of the trials. Any field may be given."""
    fields = {
        "cell": "c" * 32, "n_bits": 1000, "n_hazards": 50, "first": (0, 1), "share": (0.8, 0.1),
        "drawn": (TOTAL // 2, TOTAL // 2), "lost": (0.01, 0.5), "due": (0.0, 0.1), "gain": 2.0, "variance_gain": 5.0,
    }  # fmt: skip
    return Strata(**{**fields, **changes})  # type: ignore[arg-type]  # fields have several types
