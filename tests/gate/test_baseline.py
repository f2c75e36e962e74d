"""Baselines: packed and read back unchanged, equal bytes for equal runs, and anything else refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.gate.baseline import COUNTS, pack_trials
from faultbench.gate.baseline_file import MAX_BYTES, read_baseline, write_baseline
from faultbench.gate.packing import pack, unpack
from faultbench.system.errors import FaultbenchError
from tests.builders.baselines import a_baseline, a_cell, some_trials


@given(data=st.data(), n_bits=st.integers(1, 62), n_rows=st.integers(1, 9), n_columns=st.integers(1, 4))
def test_numbers_are_unpacked_as_they_were_packed(data: st.DataObject, n_bits: int, n_rows: int, n_columns: int):
    row = st.lists(st.integers(0, 2**n_bits - 1), min_size=n_columns, max_size=n_columns)
    rows = data.draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    text = pack(rows, n_bits)
    assert unpack(text, n_bits, n_rows=n_rows, n_columns=n_columns).tolist() == rows
    assert len(text) <= n_rows * n_columns * n_bits / 6 + 4


def test_three_numbers_of_five_bits_are_packed_as_by_hand():
    # 00001 00010 11111, and a zero to fill: 0000100010111110 → 08be
    assert pack([[1], [2], [31]], 5) == "CL4="


def test_a_number_too_large_for_its_bits_is_refused():
    with pytest.raises(ValueError, match="do not fit into 3 bits"):
        pack([[8]], 3)


@pytest.mark.parametrize("text", ["", "CL4", "CL4=CL4=", "CL5=", "CL4\n", "****"])
def test_a_text_that_packing_does_not_give_is_refused(text: str):
    with pytest.raises(ValueError, match=r"characters|base64|ends"):
        unpack(text, 5, n_rows=3, n_columns=1)


def test_a_cell_keeps_the_counts_of_every_trial():
    cell = a_cell([100, 90, 3])
    expected = [
        [trial.n_correct, trial.n_sdc, trial.n_sdc_critical, trial.n_due] for trial in some_trials([100, 90, 3])
    ]
    assert COUNTS == ("n_correct", "n_sdc", "n_sdc_critical", "n_due")
    assert cell.counts.tolist() == expected
    assert cell.accuracies.tolist() == [1.0, 0.9, 0.03]


def test_trials_after_a_missing_one_are_not_kept():
    trials = some_trials([100, 90, 80, 70])
    assert pack_trials([trials[0], trials[1], trials[3]]) == pack_trials(trials[:2])


def test_fault_maps_are_told_apart():
    one, other = (a_cell([90], flips=digest).flip_digests for digest in ("0123456789abcdef", "0123456789abcdee"))
    assert not np.array_equal(one, other)


def test_a_baseline_reads_back_equal_and_has_a_line_a_cell(tmp_path: Path):
    cells = [a_cell(ber=ber, scheme=scheme) for scheme in ("relu", "clip_act") for ber in (1e-5, 1e-6)]
    baseline = a_baseline(*cells)
    write_baseline(baseline, tmp_path / "a.json")
    write_baseline(a_baseline(*reversed(cells)), tmp_path / "b.json")
    read = read_baseline(tmp_path / "a.json")
    assert {name: cell.model_dump() for name, cell in read.by_name.items()} == {
        cell.cell_name: cell.model_dump() for cell in cells
    }
    assert read.model_dump(exclude={"cells"}) == baseline.model_dump(exclude={"cells"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == (tmp_path / "b.json").read_text(encoding="utf-8")
    assert [json.loads(line.rstrip(","))["ber"] for line in text.splitlines() if "outcomes" in line] == [
        1e-6, 1e-5, 1e-6, 1e-5,
    ]  # fmt: skip


def whole() -> dict[str, Any]:
    return dict(a_baseline().model_dump(mode="json"))


def with_cell(**changes: Any) -> dict[str, Any]:
    return {**whole(), "cells": [{**whole()["cells"][0], **changes}]}


BROKEN: dict[str, tuple[Any, str]] = {
    "another version": ({**whole(), "faultbench_baseline": 2}, "faultbench_baseline: Input should be 1"),
    "a list": ([], "Input should be an object"),
    "a field too few": ({k: v for k, v in whole().items() if k != "images"}, "images: Field required"),
    "a field too many": ({**whole(), "more": 1}, "more: Extra inputs are not permitted"),
    "no cells": ({**whole(), "cells": []}, "cells"),
    "a cell twice": ({**whole(), "cells": whole()["cells"] * 2}, "two cells of one name"),
    "a label that terminals obey": (with_cell(scheme="\x1b[2J"), "cells.0.scheme: Value error, must be one line"),
    "a BER as text": (with_cell(ber="1e-6"), "cells.0.ber: Input should be a valid number"),
    "more trials than outcomes": (with_cell(n_trials=10**9), "cells.0: Value error"),
    "other outcomes": (with_cell(outcomes="AAAA"), "cells.0: Value error"),
    "impossible outcomes": (
        with_cell(n_trials=1, flips=pack([[1]], 32), outcomes=pack([[101, 0, 0, 0]], 7)),
        "cells.0: Value error, trial 0: more right ones than images: 101 of 100 right",
    ),
    "more right than images": (
        with_cell(golden={"n_images": 1, "n_correct": 2, "n_bits": 1, "top1_digest": "a"}),
        "n_correct must be at most n_images",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_baseline_is_refused_in_one_line(case: str, tmp_path: Path):
    given_, message = BROKEN[case]
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(given_), encoding="utf-8")
    with pytest.raises(FaultbenchError, match="no faultbench baseline: ") as caught:
        read_baseline(path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"cells": NaN}'])
def test_bytes_that_are_no_baseline_are_refused_in_one_line(data: bytes, tmp_path: Path):
    (tmp_path / "bytes.json").write_bytes(data)
    with pytest.raises(FaultbenchError, match="no faultbench baseline: ") as caught:
        read_baseline(tmp_path / "bytes.json")
    assert len(str(caught.value).splitlines()) == 1


def test_a_baseline_that_is_missing_too_large_or_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(FaultbenchError, match="no such baseline; add --update-baseline"):
        read_baseline(tmp_path / "none.json")
    with pytest.raises(FaultbenchError, match="no faultbench baseline: not a regular file"):
        read_baseline(tmp_path)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(FaultbenchError, match="larger than 64 MiB"):
        read_baseline(tmp_path / "large.json")
