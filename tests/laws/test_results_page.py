"""The page of real results says what the tables beside it say, and every campaign of it is in the repository."""

import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
FOLDERS = sorted(path for path in RESULTS.iterdir() if path.is_dir())

sys.path.insert(0, str(ROOT / "docs"))
import refresh_results  # noqa: E402 - a script beside the manual, not a package


def test_the_page_is_what_its_template_makes_of_the_tables() -> None:
    assert refresh_results.page() == (RESULTS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_campaign_is_in_the_repository_and_complete(folder: Path) -> None:
    assert (ROOT / "campaigns" / f"{folder.name}.yaml").is_file()
    cells = pd.read_csv(folder / "cells.csv")
    assert not cells.limited.any()
    assert (cells.trials >= 200).all()
    assert cells.accuracy_mean.between(cells.accuracy_ci_low, cells.accuracy_ci_high).all()
    assert (folder / "made_on.json").is_file()
    assert (folder / "accuracy.png").stat().st_size > 10_000


def test_a_number_that_no_row_backs_is_an_error() -> None:
    accuracy = refresh_results._functions()["accuracy"]
    assert accuracy("relu", 1e-6).endswith("]")
    with pytest.raises(ValueError, match="unpack"):
        accuracy("relu", 2e-6)


def test_a_second_run_is_held_against_the_first_scheme_by_scheme() -> None:
    first = pd.read_csv(RESULTS / "cifar10_resnet20" / "cells.csv")
    second = first.copy()
    row = second.index[second.scheme == "fitact"][0]
    second.loc[row, "accuracy_mean"] += 0.005
    found = refresh_results.compared(first, second)
    assert found["relu"] == {"cells": 6, "equal": 6, "points apart at most": 0}
    assert found["fitact"] == {"cells": 6, "equal": 5, "points apart at most": 0.5}
    with pytest.raises(SystemExit, match="not the same"):
        refresh_results.compared(first, second.iloc[1:].reset_index(drop=True))
