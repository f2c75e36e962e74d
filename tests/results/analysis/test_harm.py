"""Harm of kinds of flip: by hand, in simulated maps where nothing does harm, and in those where some does."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from faultbench.results import stats
from faultbench.results.analysis.flip_rows import CountedCell
from faultbench.results.analysis.harm import COLUMNS, FALSE_DISCOVERIES, harms, is_small
from faultbench.results.flip_counts import ACCURACY_UNIT, WHOLE_MEMORY, FlipCounts

LABELS = dict.fromkeys(("dataset", "model", "scheme", "guard", "format", "fault"), "x")
OWNERS = (*((f"layer{number}", "weights") for number in range(10)), WHOLE_MEMORY)
N_KINDS = 10 * 64


def a_cell(ber: float, accuracies: np.ndarray, held: np.ndarray, golden: float = 0.9) -> CountedCell:
    """Return a cell, given which kinds of flip each trial holds: bool [trials, kinds], a kind per owner, bit, held."""
    right = np.round(ACCURACY_UNIT * accuracies).astype(np.int64)
    kinds = np.flatnonzero(held.any(axis=0))
    owner, rest = np.divmod(kinds, 64)
    n_with = held[:, kinds].sum(axis=0)
    columns = [owner, rest // 2, rest % 2, n_with, n_with, np.zeros_like(owner), right @ held[:, kinds]]
    counts = FlipCounts(
        f"{ber}", frozenset(range(len(right))), 0, int(right.sum()), OWNERS, np.stack(columns, axis=1).astype(np.int64)
    )
    counts.check()
    return CountedCell({**LABELS, "ber": ber}, counts, 100, right / ACCURACY_UNIT, golden)


def nested_cells(rng: np.random.Generator, harmful: Sequence[int], n_trials: int = 200) -> list[CountedCell]:
    """Return cells at three BERs whose flips are nested, with the whole memory's rows; kinds of harmful ruin a trial.

    A sixth of the trials at the highest BER is ruined by what no kind explains.
    """
    first = rng.exponential(size=(n_trials, N_KINDS))  # in units of the highest BER's expected flips of a kind
    other = rng.exponential(size=n_trials)
    cells = []
    for ber, level in ((1e-6, 0.02), (3e-6, 0.06), (1e-5, 0.2)):
        held = first < level
        ruined = held[:, list(harmful)].any(axis=1) | (other < level)
        accuracies = np.where(ruined, 0.1, 0.9) - 0.02 * rng.random(n_trials)
        whole = held.reshape(n_trials, 10, 64).any(axis=1)
        cells.append(a_cell(ber, accuracies, np.hstack([held, whole])))
    return cells


def test_the_loss_is_the_difference_of_two_means_at_one_ber() -> None:
    held = np.zeros((10, 64 * 11), dtype=bool)
    held[:2, 60] = held[:1, 7] = True
    accuracies = np.array([0.1, 0.2, *[0.9] * 8])
    rows = harms([a_cell(1e-6, accuracies, held)])
    assert list(rows.columns) == list(COLUMNS)
    some = rows.set_index(["layer", "bit", "direction"]).loc["layer0", 30, "0→1"]
    assert (some.accuracy_with, some.accuracy_without, some.trials_with) == (pytest.approx(0.15), pytest.approx(0.9), 2)
    assert some.lost == pytest.approx(0.75)
    # Chernoff's bound of the two worst of ten, by a search of λ finer than the program's
    rates = np.geomspace(1e-3, 1e3, 100_000)
    moments = np.mean(np.exp(-np.outer(rates, accuracies)), axis=1)
    assert some.p_value == pytest.approx(np.exp(2 * np.min(0.15 * rates + np.log(moments))), rel=2e-3)
    assert some.lost_at_least < 0.75 < some.lost_at_most


def test_lower_ends_are_above_0_where_harm_is_told_and_nowhere_else_at_its_confidence() -> None:
    rows = harms(nested_cells(np.random.default_rng(4), harmful=[60]))
    assert rows.harmful.any()
    assert (rows[rows.harmful].lost_at_least > 0).all()
    for row in rows.to_dict("records"):
        family = rows[(rows.layer == "*") == (row["layer"] == "*")]
        confidence = 1 - FALSE_DISCOVERIES * family.harmful.mean() if row["harmful"] else 0.99
        assert row["confidence"] == pytest.approx(confidence)
        low, _ = stats.mean_ends(
            np.array([row["accuracy_with"]]), np.array([row["trials_with"]]), error=(1 - confidence) / 2
        )
        n_without = np.array([row["trials"] - row["trials_with"]])
        _, high = stats.mean_ends(np.array([row["accuracy_without"]]), n_without, error=(1 - confidence) / 2)
        assert row["lost_at_most"] == pytest.approx(high[0] - low[0], abs=2e-6)


def test_a_few_trials_exclude_no_large_loss() -> None:
    held = np.zeros((400, 64 * 11), dtype=bool)
    held[:3, 60] = held[:300, 7] = True
    rows = harms([a_cell(1e-6, np.linspace(0.97, 0.99, 400), held, golden=0.98)]).set_index("bit")
    assert rows.loc[30].trials_with == 3
    assert rows.loc[30].lost_at_most > 0.5
    assert rows.loc[3].lost_at_most < 0.1
    assert is_small(rows.lost_at_most.to_numpy(), rows.accuracy_without.to_numpy()).tolist() == [True, False]


def test_a_loss_is_not_small_where_little_accuracy_is_left_to_lose() -> None:
    held = np.zeros((1000, 64 * 11), dtype=bool)
    held[:300, 7] = True
    (row,) = harms([a_cell(1e-5, np.full(1000, 0.01), held)]).to_dict("records")
    assert row["lost_at_most"] < 0.1
    assert not is_small(np.array([row["lost_at_most"]]), np.array([row["accuracy_without"]]))[0]


def test_the_whole_memory_is_corrected_apart_from_the_layers() -> None:
    rows = harms(nested_cells(np.random.default_rng(5), harmful=[60, 61]))
    for is_whole in (False, True):
        family = rows[(rows.layer == "*") == is_whole]
        assert len(family) > 60
        assert family.p_adjusted.to_numpy() == pytest.approx(
            stats.benjamini_hochberg(family.p_value.to_numpy()), rel=2e-3
        )


def test_each_kind_is_judged_where_many_trials_hold_it_and_few_fail_anyway() -> None:
    held = np.zeros((100, 64 * 11), dtype=bool)
    few, many = held.copy(), held.copy()
    few[:2, 60], many[:20, 60] = True, True
    ruined = np.full(100, 0.1)
    intact = np.full(100, 0.9)
    intact[:20] = 0.1
    cells = [a_cell(1e-6, intact, few), a_cell(3e-6, intact, many), a_cell(1e-5, ruined, many)]
    (row,) = harms(cells).to_dict("records")
    assert (row["ber"], row["trials_with"], row["harmful"]) == (3e-6, 20, True)


def test_the_choice_of_the_ber_does_not_look_at_the_trials_that_hold_the_flip() -> None:
    rng = np.random.default_rng(3)
    cells = nested_cells(rng, harmful=[5])
    shuffled = [
        CountedCell(cell.labels, cell.counts, cell.n_images, rng.permutation(cell.accuracies), cell.golden_accuracy)
        for cell in cells
    ]
    assert harms(cells).equals(harms(shuffled))  # accuracies count as a set; sums with a flip are in the counts


def test_where_nothing_does_harm_few_maps_show_any() -> None:
    rng = np.random.default_rng(11)
    shown = [harms(nested_cells(rng, harmful=[])) for _ in range(200)]
    for is_whole in (False, True):
        n_maps = sum(rows[(rows.layer == "*") == is_whole].harmful.any() for rows in shown)
        assert n_maps <= 18  # 5 % of 200 are 10; more than 18 with probability 0.004


def test_of_the_kinds_that_are_told_the_share_of_harmless_ones_is_kept() -> None:
    rng = np.random.default_rng(12)
    harmful = [7, 60, 61, 200, 333, 480, 639]
    shares, n_told = [], 0
    for _ in range(60):
        rows = harms(nested_cells(rng, harmful))
        layers = rows[rows.layer != "*"]
        told = layers[layers.harmful]
        kinds = 64 * told.layer.str.removeprefix("layer").astype(int) + 2 * told.bit + (told.direction == "1→0")
        is_wrong = ~kinds.isin(harmful)
        shares.append(is_wrong.mean() if len(told) else 0.0)
        n_told += int((~is_wrong).sum())
    assert np.mean(shares) <= FALSE_DISCOVERIES
    assert n_told >= 0.9 * 60 * len(harmful)


def test_intervals_of_those_that_are_told_hold_the_loss() -> None:
    rng = np.random.default_rng(13)
    missed, n_told = 0, 0
    for _ in range(20):
        rows = harms(nested_cells(rng, [60]))
        (told,) = rows[(rows.layer == "layer0") & (rows.bit == 30) & (rows.direction == "0→1")].to_dict("records")
        level = {1e-6: 0.02, 3e-6: 0.06, 1e-5: 0.2}[told["ber"]]
        loss = 0.8 * np.exp(-level)  # the others are ruined anyway with probability 1 − exp(−level)
        missed += not told["lost_at_least"] <= loss <= told["lost_at_most"]
        n_told += told["harmful"]
    assert n_told == 20
    assert missed == 0


def test_a_kind_that_all_trials_hold_is_not_told() -> None:
    held = np.zeros((10, 64 * 11), dtype=bool)
    held[:, 60] = True
    (row,) = harms([a_cell(1e-6, np.linspace(0.1, 0.9, 10), held)]).to_dict("records")
    assert (row["p_value"], row["harmful"]) == (1, False)
    assert np.isnan(row["lost"])
    assert row["lost_at_least"] < 0 < row["lost_at_most"] <= 1


def test_without_cells_there_is_no_row() -> None:
    rows = harms([])
    assert list(rows.columns) == list(COLUMNS)
    assert isinstance(rows, pd.DataFrame)
    assert rows.empty
