import csv
import io

import numpy as np
import pandas as pd
import pytest

from faultbench.output.export.csv_text import csv_text

HARD = pd.DataFrame(
    {
        "text": pd.Series(['a,b', 'say "x"', "two\nlines", "", "ü", "a,b"], dtype="str"),
        "category": pd.Categorical(["one", "two", "one", "one, two", "one", "two"]),
        "float": [0.1 + 0.2, -0.0, 0.0, np.nan, np.inf, 1e-300],
        "count": pd.array([1, None, 3, 1, 2**62, None], dtype="Int64"),
        "whole": [1, -2, 3, 1, 2**62, 0],
        "flag": [True, False, True, True, False, False],
    }
)  # fmt: skip


def test_the_bytes_are_those_of_pandas():
    assert csv_text(HARD, ()) == HARD.to_csv(index=False, lineterminator="\n")


def test_numbers_read_back_bit_for_bit():
    rng = np.random.default_rng(1)
    floats = rng.integers(0, 2**64, size=5_000, dtype=np.uint64).view(np.float64)
    frame = pd.DataFrame({"x": floats[np.isfinite(floats)]})
    there = np.array([float(text) for text in csv_text(frame, ()).split()[1:]])
    assert np.array_equal(there.view(np.int64), frame.x.to_numpy().view(np.int64))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_calculate_is_quoted_in_labels_alone(text: str):
    frame = pd.DataFrame({"label": [text, "plain"], "digest": [text, "plain"]}, dtype="str")
    rows = list(csv.DictReader(io.StringIO(csv_text(frame, ["label"]), newline="")))
    assert [row["label"] for row in rows] == [f"'{text}", "plain"]
    assert [row["digest"] for row in rows] == [text, "plain"]


def test_a_table_without_rows_is_its_header():
    assert csv_text(HARD.iloc[:0], ()) == "text,category,float,count,whole,flag\n"
