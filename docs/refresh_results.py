"""Copy tables and figures of campaigns into docs/results/, and write the page from its template.

    python docs/refresh_results.py results/cifar10_resnet20 … [--replay 20] [--again]

A results folder is copied only if it is complete and a random sample of its trials, run again here, gives equal rows.
On a machine without a card, rows of a card are compared as `faultbench replay` compares them. Without folders, only the
page is written again, from the tables in docs/results/. --again copies no tables. It compares the folders of a second
run, on another machine, with docs/results/, and keeps the differences.
"""

import argparse
import itertools
import json
import math
import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from faultbench.output.export.markdown import markdown
from faultbench.output.plots import write_plots
from faultbench.results.analysis.comparison import compare_schemes
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import ResultsFolder, read_folder
from faultbench.results.journal.records import Trial
from faultbench.results.manifest_file import recorded_device
from faultbench.runner.replay.replayed_trial import APART, recorded_campaign
from faultbench.runner.subjects.artifacts import ArtifactStore
from faultbench.runner.subjects.builder import SubjectBuilder
from faultbench.runner.subjects.components import build_components
from faultbench.system.devices import available_device
from faultbench.system.memory_budget import memory_for
from faultbench.system.progress.reporter import reporter
from faultbench.trials.trial import TrialJob, run_job

KEPT = Path(__file__).parent / "results"
FIGURES = ("accuracy", "overhead", "resilience", "sdc", "attribution")


def main() -> None:
    """Copy the results folders of the command line, then write the page."""
    parser = argparse.ArgumentParser(description="Put results into docs/results/.")
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument(
        "--replay", type=int, default=20, help="Run this many trials of each folder again. [default: 20]"
    )
    parser.add_argument(
        "--again", action="store_true", help="Compare with the tables in docs/results/, and keep those."
    )
    arguments = parser.parse_args()
    for path in arguments.results:
        if arguments.again:
            keep_comparison(path)
        else:
            keep(path, n_replayed=arguments.replay)
    (KEPT / "README.md").write_text(page(), encoding="utf-8")


def keep(path: Path, *, n_replayed: int) -> None:
    """Copy the tables and figures of a complete results folder."""
    results, folder = read_results(path), read_folder(path)
    if results.cells.limited.any():
        raise SystemExit(f"{path} is not complete; run its campaign again")
    again = replay(folder, n_replayed)
    into = KEPT / path.name
    into.mkdir(parents=True, exist_ok=True)
    list(write_plots(results, path / "plots"))
    for figure in FIGURES:
        for file in sorted((path / "plots").glob(f"{figure}*.png")):
            shutil.copy(file, into)
    for name in ("cells", "overhead"):
        shutil.copy(path / "tables" / f"{name}.csv", into)
    _pairs(folder).to_csv(into / "pairs.csv", index=False, lineterminator="\n")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    made_on = {key: manifest[key] for key in ("faultbench", "environment", "execution", "data")}
    text = json.dumps({**made_on, **again}, indent=1)
    (into / "made_on.json").write_text(text + "\n", encoding="utf-8")
    (into / "table.md").write_text(markdown(results).split("\n", 1)[1].strip() + "\n", encoding="utf-8")


def keep_comparison(path: Path) -> None:
    """Write how the cells of a second run differ from the kept ones, scheme by scheme."""
    first, second = pd.read_csv(KEPT / path.name / "cells.csv"), pd.read_csv(path / "tables" / "cells.csv")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    made_on = {key: manifest[key] for key in ("faultbench", "environment", "execution")}
    text = json.dumps({**made_on, "schemes": compared(first, second)}, indent=1)
    (KEPT / path.name / "again.json").write_text(text + "\n", encoding="utf-8")


def compared(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return for each scheme of both runs its cells, how many are equal, and the largest difference of means.

    Intervals are not compared, as another version may make others from the same trials. Raises SystemExit if the two
    runs do not have the same cells of the schemes that both have.
    """
    names = ["dataset", "model", "scheme", "format", "fault", "ber", "trials"]
    measured = [name for name in first if name in second and "_ci_" not in name]
    both = set(first.scheme) & set(second.scheme)
    first, second = (cells[cells.scheme.isin(both)][measured].reset_index(drop=True) for cells in (first, second))
    if not first[names].equals(second[names]):
        raise SystemExit("the cells of the two runs are not the same")
    is_equal = ((first == second) | (first.isna() & second.isna())).all(axis=1)
    points = 100 * (first.accuracy_mean - second.accuracy_mean).abs()
    schemes = first.groupby("scheme", sort=False).groups
    return {
        str(scheme): {
            "cells": len(rows),
            "equal": int(is_equal[rows].sum()),
            "points apart at most": round(float(points[rows].max()), 3),
        }
        for scheme, rows in schemes.items()
    }


def replay(folder: ResultsFolder, n_trials: int) -> dict[str, int]:
    """Run a random sample of the trials again; return their number, and by how many images they differ.

    Raises SystemExit that names the first trial whose row differs, or differs too much if it is from a card.
    """
    recorded = recorded_device(folder.path)
    device, apart = available_device(recorded), []
    moved = KEPT.parent.parent / "campaigns" / f"{folder.path.name}.yaml"
    campaign = recorded_campaign(folder.path, moved, allow_outside=True)
    cells = {cell.key: cell for cell in campaign.cells}
    stored = [trial for trials in folder.trials.values() for trial in trials]
    chosen = random.Random(0).sample(stored, n_trials)
    store, memory_bytes = ArtifactStore(folder.path / "artifacts"), memory_for(1, device)
    bench = SubjectBuilder(store, reporter(is_terminal=False), memory_bytes=memory_bytes, device=device)
    chosen.sort(key=lambda trial: (cells[trial.cell].subject.key, trial.cell, trial.trial))
    for _, group in itertools.groupby(chosen, key=lambda trial: cells[trial.cell].subject.key):
        trials = list(group)
        subject = cells[trials[0].cell].subject
        evaluation = bench.evaluation(subject, [cells[trial.cell].ber for trial in trials])
        for trial in trials:
            again = run_job(
                evaluation, build_components(subject).fault, subject.seed, _job(trial, cells[trial.cell].ber)
            )
            apart.append(trial.images_apart(again))
            if again != trial and (recorded == device or apart[-1] is None or apart[-1] > APART * trial.n_images):
                raise SystemExit(f"{folder.path}: cell {trial.cell} trial {trial.trial} differs: {again}")
    return {"trials run again": n_trials, "of them equal": apart.count(0), "images apart at most": max(apart)}


def page() -> str:
    """Return the page of results, made from its template and the tables in docs/results/."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    template = environment.from_string((KEPT / "README.md.j2").read_text(encoding="utf-8"))
    return template.render(_functions()).rstrip() + "\n"


def _functions() -> dict[str, Callable[..., str]]:
    def row(campaign: str, table: str, **where: Any) -> pd.Series:
        frame = pd.read_csv(KEPT / campaign / f"{table}.csv")
        for name, value in where.items():
            frame = frame[frame[name] == value]
        (index,) = frame.index  # exactly one row, or the template is wrong
        return frame.loc[index]

    def cell(scheme: str, ber: float, *, of: str = "cifar10_resnet20", fault: str = "bernoulli", **more: Any) -> Any:
        return row(of, "cells", scheme=scheme, ber=ber, fault=fault, **more)

    def accuracy(scheme: str, ber: float, **where: Any) -> str:
        values = cell(scheme, ber, **where)
        low, high = values.accuracy_ci_low, values.accuracy_ci_high
        return f"{100 * values.accuracy_mean:.1f} % [{_rounded(low, math.floor)}, {_rounded(high, math.ceil)}]"

    def golden(scheme: str, **where: Any) -> str:
        return f"{100 * cell(scheme, 1e-6, **where).golden_accuracy:.2f} %"

    def difference(first: str, second: str, ber: float, *, of: str = "cifar10_resnet20", **more: Any) -> str:
        pair = row(of, "pairs", first=first, second=second, ber=ber, fault="bernoulli", **more)
        low, high = _rounded(pair.difference_ci_low, math.floor), _rounded(pair.difference_ci_high, math.ceil)
        return f"{100 * pair.difference:+.1f} points [{low:+}, {high:+}]".replace("-", "\N{MINUS SIGN}")

    def fewer_critical(first: str, second: str, ber: float, **where: Any) -> str:
        """Return how many times fewer critical SDCs the second scheme has, with an interval of 90 %.

        It divides the ends of the two intervals of 95 %, of which both hold with 90 %.
        """
        over, under = (cell(scheme, ber, **where) for scheme in (first, second))
        ratio = over.sdc_critical_rate / under.sdc_critical_rate
        low = over.sdc_critical_rate_ci_low / under.sdc_critical_rate_ci_high
        high = over.sdc_critical_rate_ci_high / under.sdc_critical_rate_ci_low
        return f"{ratio:.1f}× [{math.floor(10 * low) / 10}, {math.ceil(10 * high) / 10}]"

    def cost(scheme: str, column: str, digits: int, *, of: str = "cifar10_resnet20") -> str:
        return f"{row(of, 'overhead', scheme=scheme)[column]:,.{digits}f}"

    def table(campaign: str) -> str:
        return (KEPT / campaign / "table.md").read_text(encoding="utf-8").strip()

    def read(campaign: str, name: str) -> Any:
        return json.loads((KEPT / campaign / f"{name}.json").read_text(encoding="utf-8"))

    def where(made_on: Any) -> str:
        environment = made_on["environment"]
        return f"{made_on['execution'].get('card', environment['processor'])}, torch {environment['torch']}"

    def machine(campaign: str) -> str:
        made_on = read(campaign, "made_on")
        execution = made_on["execution"]
        n_again, n_apart = made_on["trials run again"], made_on.get("images apart at most", 0)
        outcome = "gave equal rows"
        if n_apart:
            outcome = f"on a processor got the same flips: {made_on['of them equal']} rows are equal, and the others "
            outcome += f"differ by at most {n_apart} images"
        return (
            f"{where(made_on)}, "
            f"{execution['workers']} worker(s) on the {'card' if 'card' in execution else execution['device']}; "
            f"{n_again} random trials run again {outcome}"
        )

    def again(campaign: str) -> str:
        second = read(campaign, "again")
        counts = second["schemes"]
        equal = [scheme for scheme, count in counts.items() if count["equal"] == count["cells"]]
        others = {s: count["points apart at most"] for s, count in counts.items() if s not in equal}
        n_equal = sum(counts[scheme]["cells"] for scheme in equal)
        apart = "; ".join(f"{scheme} {points:.2f}" for scheme, points in others.items()) or "-"
        runs = f"{where(read(campaign, 'made_on'))} | {where(second)}"
        return f"{runs} | {', '.join(equal)}: {n_equal} cells | {apart}"

    names = (accuracy, golden, difference, fewer_critical, cost, table, machine, again)
    return {function.__name__: function for function in names}


def _rounded(end: float, outwards: Callable[[float], int]) -> float:
    """Return a fraction in per cent with one digit, rounded so that an interval never gets narrower."""
    return outwards(round(1000 * end, 6)) / 10


def _pairs(folder: ResultsFolder) -> pd.DataFrame:
    schemes: Iterable[str] = dict.fromkeys(entry.scheme for entry in folder.manifest.cells)
    pairs = [pair for two in itertools.combinations(schemes, 2) for pair in compare_schemes(folder, *two)]
    return pd.DataFrame([asdict(pair) for pair in pairs])


def _job(trial: Trial, ber: float) -> TrialJob:
    return TrialJob(trial.cell, ber, trial.trial, None if trial.n_golden_correct is None else trial.n_images)


if __name__ == "__main__":
    main()
