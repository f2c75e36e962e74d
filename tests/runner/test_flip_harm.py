"""Which flips make trials fail: counted from fault maps drawn again, and told with intervals."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from torch import nn

from faultbench.campaign import load_campaign
from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.bernoulli import Bernoulli
from faultbench.memory.formats.fixed_point import FixedPoint
from faultbench.networks.network import Network
from faultbench.networks.stored.network_memory import fault_space, store_parameters
from faultbench.networks.tracing.trace import trace
from faultbench.output import report
from faultbench.output.export.csv_text import csv_text
from faultbench.output.export.table_files import LABEL_COLUMNS, write_parquet, write_tables
from faultbench.output.plots import attribution as plot
from faultbench.output.plots.style import save, styled
from faultbench.output.report import write_report
from faultbench.output.report.harm_charts import UNDECIDED, harm_charts, worst_flips
from faultbench.results.analysis.attribution import COLUMNS, count_flips
from faultbench.results.analysis.flip_rows import CountedCell, counted_rows
from faultbench.results.analysis.harm import harms
from faultbench.results.analysis.harm_map import _with_rows, harm_maps, row_text
from faultbench.results.analysis.results import read_results
from faultbench.results.flip_counts import FAILING_DROP, WHOLE_MEMORY, FlipCounts, has_failed, load_counts, save_counts
from faultbench.results.journal.lines import line
from faultbench.results.journal.records import Golden, Trial
from faultbench.results.merge import merge
from faultbench.runner.campaign_runner import run_campaign
from faultbench.runner.engines.serial import Serial
from faultbench.runner.flip_counting import BitKinds, count_flips_of
from faultbench.runner.run_options import RunOptions
from faultbench.runner.tasks.shards import Shard
from faultbench.system.progress.reporter import SilentReporter
from tests.builders.programs import program
from tests.builders.results import a_golden

pytestmark = pytest.mark.slow

CAMPAIGN = """
name: small
seed: 7
datasets: [digits]
models: [digits_cnn]
training: {epochs: 8}
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 40
"""


def go(root: Path, *overrides: str, options: RunOptions | None = None, reporter: SilentReporter | None = None) -> Path:
    path = root / "small.yaml"
    path.write_text(CAMPAIGN)
    return run_campaign(
        load_campaign(path, overrides), root, engine=Serial(1), reporter=reporter or SilentReporter(), options=options
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def mapped(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the same networks with enough trials to tell which flips do harm."""
    root = tmp_path_factory.mktemp("mapped")
    shutil.copytree(finished / "artifacts", root / "small" / "artifacts")
    return go(root, "trials=400", "bers=[1e-6, 3e-6]")


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """Where a campaign can be run without training: nothing recorded yet."""
    (tmp_path / "small").mkdir()
    shutil.copytree(finished / "artifacts", tmp_path / "small" / "artifacts")
    shutil.copy(finished / "manifest.json", tmp_path / "small")
    return tmp_path


def table(folder: Path) -> bytes:
    path = next(p for p in write_tables(read_results(folder), folder / "tables") if p.name == "attribution.csv")
    return path.read_bytes()


class Line(nn.Module):
    """Two layers with weights that a test can spell out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.relu(self.first(x.flatten(1))))


def made() -> Network:
    torch.manual_seed(0)
    network = trace(Line(), (1, 2, 2))
    with torch.no_grad():
        network.graph.get_submodule("first").weight[0, 0] = 1.0  # 0x00010000 as Q15.16
        network.graph.get_submodule("first").weight[0, 1] = -1.0  # 0xffff0000
    store_parameters(network, FixedPoint(15, 16))
    return network


def a_trial(number: int, fault_map: FaultMap, n_correct: int) -> Trial:
    return Trial("cell", number, len(fault_map), 100, n_correct, 100, 0, 0, 0, fault_map.digest)


def golden(n_correct: int) -> Golden:
    return a_golden(n_images=100, n_correct=n_correct)


def named(counts: FlipCounts) -> dict[tuple[str, str, int, int], tuple[int, ...]]:
    return {(*counts.owners[row[0]], row[1], row[2]): tuple(row[3:]) for row in counts.rows.tolist()}


def test_a_flip_is_counted_by_layer_kind_bit_and_what_the_bit_held():
    network = made()
    space = fault_space(network, FixedPoint(15, 16), ["weights", "biases"])
    maps = [FaultMap(np.array([16, 30])), FaultMap(np.array([30, 32 + 30]))]
    trials = [a_trial(0, maps[0], 90), a_trial(1, maps[1], 20)]
    counts = count_flips_of(BitKinds(network, space), lambda trial: maps[trial.trial], trials, golden=golden(90))
    assert named(counts) == {
        ("first", "weights", 16, 1): (1, 1, 0, 900_000),
        ("first", "weights", 30, 0): (2, 2, 1, 1_100_000),
        ("first", "weights", 30, 1): (1, 1, 1, 200_000),
        (*WHOLE_MEMORY, 16, 1): (1, 1, 0, 900_000),
        (*WHOLE_MEMORY, 30, 0): (2, 2, 1, 1_100_000),
        (*WHOLE_MEMORY, 30, 1): (1, 1, 1, 200_000),
    }
    assert (counts.n_failed, counts.n_right, counts.trials) == (1, 1_100_000, {0, 1})


def test_several_flips_of_a_kind_in_a_trial_are_one_trial_that_holds_it():
    network = made()
    space = fault_space(network, FixedPoint(15, 16), ["weights", "biases"])
    fault_map = FaultMap(np.array([0, 32 + 0]))  # bit 0 of 1.0 and of -1.0: both 0
    counts = count_flips_of(
        BitKinds(network, space), lambda _: fault_map, [a_trial(0, fault_map, 10)], golden=golden(90)
    )
    assert named(counts)["first", "weights", 0, 0] == (2, 1, 1, 100_000)


def test_layout_in_memory_does_not_change_what_a_bit_held():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    spaces = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = trace(model.to(memory_format=layout), (3, 3, 3))
        store_parameters(network, FixedPoint(15, 16))
        space = fault_space(network, FixedPoint(15, 16), ["weights"])
        spaces.append(BitKinds(network, space).keys(np.arange(space.n_bits)).tolist())
    assert spaces[0] == spaces[1]


@pytest.mark.parametrize(("n_correct", "is_failure"), [(93, True), (94, False), (98, False), (0, True)])
def test_a_trial_fails_by_five_points_to_the_last_bit(n_correct: int, is_failure: bool):
    assert FAILING_DROP == 0.05
    trial = Trial("c", 0, 1, 100, n_correct, 100, 0, 0, 0, "d")
    assert has_failed(trial, golden(98)) == is_failure  # 0.98 - 0.93 is 0.04999… as floats go


def test_the_table_counts_every_flip_of_every_trial_once(finished: Path):
    results = read_results(finished)
    rows = results.attribution
    assert tuple(rows.columns) == COLUMNS
    for whole in (True, False):
        part = rows[(rows.layer == WHOLE_MEMORY[0]) == whole]
        found = part.groupby(["scheme", "ber"]).flips.sum()
        assert found.to_dict() == results.trials.groupby(["scheme", "ber"]).n_flips.sum().to_dict()
    assert (rows.trials_with + rows.trials_without == 40).all()
    golden = results.cells.set_index(["scheme", "ber"]).golden_accuracy
    lost = results.trials.groupby(["scheme", "ber"])[["n_correct"]].agg(list)
    for (scheme, ber), part in rows.groupby(["scheme", "ber"]):
        accuracies = np.array(lost.loc[(scheme, ber), "n_correct"]) / 500
        n_failed = int((golden[scheme, ber] - accuracies >= 0.05 - 1e-12).sum())
        assert ((part.failed_with + part.failed_without) == n_failed).all()
    assert ((rows.difference_ci_low <= rows.difference) | rows.difference.isna()).all()


def test_accuracies_with_a_flip_and_without_it_are_means_over_those_trials():
    # Four trials with the accuracies 0.9, 0.8, 0.2 and 0.95; 0 and 2 hold the first flip, all hold the second.
    rows = [[0, 30, 0, 3, 2, 1, 1_100_000], [0, 31, 1, 4, 4, 1, 2_850_000]]
    counts = FlipCounts("c", frozenset(range(4)), 1, 2_850_000, (("first", "weights"), WHOLE_MEMORY), np.array(rows))
    labels = dict.fromkeys(("dataset", "model", "scheme", "guard", "format", "fault"), "x")
    frame = counted_rows([CountedCell({**labels, "ber": 1e-6}, counts, 100, np.array([0.9, 0.8, 0.2, 0.95]), 0.95)])
    some, every = frame.to_dict("records")
    assert (some["accuracy_with"], some["accuracy_without"]) == (0.55, 0.875)
    assert (some["trials_with"], some["failed_with"], some["trials_without"], some["failed_without"]) == (2, 1, 2, 0)
    assert every["accuracy_with"] == 0.7125
    assert np.isnan(every["accuracy_without"])


def test_accuracies_with_a_flip_and_without_it_add_up_to_those_of_the_trials(finished: Path):
    results = read_results(finished)
    rows = results.attribution
    for (scheme, ber), part in rows.groupby(["scheme", "ber"]):
        trials = results.trials[(results.trials.scheme == scheme) & (results.trials.ber == ber)]
        total = (part.accuracy_with * part.trials_with).add(
            (part.accuracy_without * part.trials_without).where(part.trials_without > 0, 0)
        )
        assert np.allclose(total, trials.accuracy.sum(), atol=1e-6 * len(trials))


def test_the_table_goes_into_parquet_with_the_others(finished: Path, tmp_path: Path):
    pytest.importorskip("pyarrow", reason="needs the parquet extra")
    results = read_results(finished)
    paths = {path.stem: path for path in write_parquet(results, tmp_path)}
    assert len(results.attribution)
    pd.testing.assert_frame_equal(pd.read_parquet(paths["attribution"]), results.attribution, check_dtype=False)


def test_more_trials_are_added_to_what_is_counted_and_give_what_one_run_gives(finished: Path, root: Path):
    go(root, "trials=15")
    few = table(root / "small")
    go(root)
    assert few != table(finished)
    # Intervals are wider, as results were shown with fewer trials.
    raised, whole = (pd.read_csv(io.BytesIO(table(folder))) for folder in (root / "small", finished))
    ends = [name for name in whole if "_ci_" in name or name == "confidence"]
    assert raised.drop(columns=ends).equals(whole.drop(columns=ends))
    assert set(raised.confidence) == {1 - 0.05 / 6}


def test_a_run_with_nothing_new_counts_nothing(finished: Path):
    paths = sorted((finished / "attribution").iterdir())
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    go(finished.parent)
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths] == before


def test_what_is_damaged_or_contradicts_the_journal_is_left_out_and_counted_again(finished: Path, root: Path):
    folder = root / "small"
    for part in ("journal", "attribution"):
        shutil.copytree(finished / part, folder / part)
    first, second = sorted((folder / "attribution").iterdir())
    first.write_bytes(first.read_bytes().replace(b'"n_failed":', b'"n_failed":1', 1))
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(lines[0][: len(lines[0]) // 2])
    assert read_results(folder).attribution.empty or len(read_results(folder).attribution) < len(
        read_results(finished).attribution
    )
    go(root)
    assert table(folder) == table(finished)


def test_counts_of_trials_that_the_journal_lost_are_not_used(finished: Path, root: Path):
    shutil.copytree(finished / "attribution", root / "small" / "attribution")
    (root / "small" / "journal").mkdir()
    assert read_results(root / "small").attribution.empty


def test_shards_and_their_merger_count_what_one_run_counts(finished: Path, root: Path, tmp_path: Path):
    parts = []
    for number in (1, 2):
        part = tmp_path / f"part{number}"
        shutil.copytree(root / "small", part / "small")
        parts.append(go(part, options=RunOptions(shard=Shard(number, 2))))
    for order in (parts, parts[::-1]):
        merge(out := tmp_path / f"out{order is parts}", order)
        assert table(out) == table(finished)


def some_counts(rows: list[list[int]]) -> FlipCounts:
    return FlipCounts(
        "c", frozenset({0, 1, 5}), 1, 7, (("first", "weights"), WHOLE_MEMORY), np.array(rows).reshape(-1, 7)
    )


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_counts_come_back_from_their_file(tmp_path: Path, n_rows: int):
    kept = some_counts([[0, bit, 1, 9, 2, 1, 7] for bit in range(n_rows)])
    save_counts(tmp_path, "s", [kept])
    found = load_counts(tmp_path, ["s"], {"c": {0: False, 1: True, 5: False}})["c"]
    assert found.to_record() == kept.to_record()
    assert found.rows.dtype == np.int64


@pytest.mark.parametrize("rows", ["[[1,2]]", "[[1,2,3,4,5,6],[7]]", '[[1,2,3,4,5,6,"7"]]', "[[[1]]]"])
def test_rows_that_are_not_seven_whole_numbers_are_left_out(tmp_path: Path, rows: str):
    record = {**some_counts([]).to_record(), "rows": json.loads(rows)}
    (tmp_path / "s.jsonl").write_bytes(line(record))
    assert load_counts(tmp_path, ["s"], {"c": {0: False, 1: True, 5: False}}) == {}


class Interrupting(SilentReporter):
    """Silent, but interrupted like by Ctrl-C once the first cell is counted."""

    @contextmanager
    def task(self, description: str, total: int, unit: str = "") -> Iterator["Interrupting"]:  # noqa: ARG002 - theirs
        self.n_left = 1 if description == "attribute failures" else 10**9
        yield self

    def advance(self, n_done: int = 1, note: str = "") -> None:  # noqa: ARG002 - the protocol's
        self.n_left -= 1
        if not self.n_left:
            raise KeyboardInterrupt


def test_an_interruption_keeps_what_is_counted(finished: Path, root: Path):
    shutil.copytree(finished / "journal", root / "small" / "journal")
    with pytest.raises(KeyboardInterrupt):
        go(root, reporter=Interrupting())
    assert len(count_flips(read_results(root / "small")).groupby(["scheme", "ber"])) == 1
    go(root)
    assert table(root / "small") == table(finished)


def known_truth(*, n_trials: int = 400) -> list[CountedCell]:
    """Counts of made-up trials at two BERs, of which those fail that hold a flip 0→1 of bit 30 of `first`'s weights."""
    network, codec = made(), FixedPoint(15, 16)
    space = fault_space(network, codec, ["weights", "biases"])
    memory = BitKinds(network, space)
    bad = memory.keys(np.arange(space.n_bits)).reshape(2, -1)[0] == memory.owners.index(("first", "weights")) * 64 + 60
    cells = []
    for ber in (1e-3, 1e-2):
        maps = [Bernoulli().draw(space, ber=ber, seed=3, trial=number) for number in range(n_trials)]
        trials = [a_trial(k, one, 0 if bad[one.addresses].any() else 95) for k, one in enumerate(maps)]
        counts = count_flips_of(memory, lambda trial, maps=maps: maps[trial.trial], trials, golden=golden(95))
        labels = dict.fromkeys(("dataset", "model", "scheme", "guard", "format", "fault"), "x")
        accuracies = np.array([trial.n_correct / 100 for trial in trials])
        cells.append(CountedCell({**labels, "ber": ber}, counts, 100, accuracies, 0.95))
    return cells


def test_the_one_kind_of_flip_that_does_harm_is_told_and_no_other():
    found = harms(known_truth())
    told = found[found.harmful & (found.layer != WHOLE_MEMORY[0])]
    (only,) = zip(told.layer, told.kind, told.bit, told.direction, told.accuracy_with, strict=True)
    assert only == ("first", "weights", 30, "0→1", 0)


def test_few_trials_are_never_drawn_as_no_harm(mapped: Path):
    for block in harm_maps(read_results(mapped)):
        for one in block.maps:
            quiet = one.shown_harm == 0
            # Of n that lose nothing the mean loss is at most 1 - 0.005^(1/n): 49 leave more than 10 points.
            assert (one.n_with[quiet] >= 49).all()
            assert np.isnan(one.shown_harm[one.n_with == 0]).all()


def test_the_plot_has_a_panel_a_scheme_with_the_highest_bit_on_the_left(mapped: Path):
    results = read_results(mapped)
    (block,) = harm_maps(results)
    with styled():
        figure = plot.draw(results)
    panels = [axes for axes in figure.axes if axes.get_title() in ("relu", "clip_act")]
    assert len(panels) == 2
    bits = ["31", "24", "16", "8", "0", "Bit"]
    assert panels[0].texts[0].get_position()[0] == 0.5
    assert [text.get_text() for text in panels[0].texts] == [*bits, *(row_text(row) for row in block.rows)]
    shown = panels[1].collections[0].get_array().reshape(-1, 32)
    expected = 100 * block.maps[1].shown_harm[:, :, ::-1].reshape(-1, 32)
    assert np.array_equal(shown.filled(np.nan), expected, equal_nan=True)
    assert np.isfinite(expected).any()


def test_where_no_trial_tells_there_is_no_map_and_the_report_says_so(mapped: Path, monkeypatch: pytest.MonkeyPatch):
    block = harm_maps(results := read_results(mapped))[0]
    blank = replace(
        block, rows=(), n_left_out=4, maps=tuple(_with_rows(one, np.array([], dtype=int)) for one in block.maps)
    )
    monkeypatch.setattr(plot, "harm_maps", lambda _: [blank])
    assert plot.draw(results) is None
    monkeypatch.setattr(report, "harm_maps", lambda _: [blank])
    assert 'class="harm"' not in (page := report.render(results))
    assert "rows in which no trial tells." in page


@pytest.mark.filterwarnings("error")
def test_a_map_of_a_single_row_has_room_for_all_that_stands_around_it(mapped: Path, monkeypatch: pytest.MonkeyPatch):
    block = harm_maps(results := read_results(mapped))[0]
    alone = replace(block, rows=block.rows[-1:], maps=tuple(_with_rows(one, np.array([-1])) for one in block.maps))
    monkeypatch.setattr(plot, "harm_maps", lambda _: [alone])
    with styled():
        figure = plot.draw(results)
        save(figure, mapped / "single", ["svg"])
        titles = {axes.get_title() for axes in figure.axes}
    assert {"relu", "clip_act"} <= titles


@pytest.mark.parametrize("n_rows", [1, None])
def test_no_text_of_a_map_is_cut_off(mapped: Path, monkeypatch: pytest.MonkeyPatch, n_rows: int | None):
    (block,) = harm_maps(results := read_results(mapped))
    kept = np.arange(len(block.rows))[:n_rows]
    maps = tuple(_with_rows(one, kept) for one in block.maps)
    monkeypatch.setattr(plot, "harm_maps", lambda _: [replace(block, rows=block.rows[:n_rows], maps=maps)])
    with styled():
        figure = plot.draw(results)
        figure.draw(renderer := FigureCanvasAgg(figure).get_renderer())  # which puts axis labels in their places
        shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        places = {text.get_text(): text.get_window_extent(renderer) for text in shown}
    assert {"Lost\n(points)", "relu", "Bit"} <= places.keys()
    outside = [text for text, box in places.items() if min(box.p0) < 0 or any(box.p1 > figure.bbox.p1)]
    assert not outside


def test_without_counts_there_is_no_plot_and_no_chart(finished: Path, tmp_path: Path):
    shutil.copytree(finished / "journal", tmp_path / "small" / "journal")
    shutil.copy(finished / "manifest.json", tmp_path / "small")
    results = read_results(tmp_path / "small")
    assert plot.draw(results) is None
    assert harm_maps(results) == worst_flips(results, []) == []


def test_the_report_holds_the_counts_of_every_cell(mapped: Path):
    results = read_results(mapped)
    blocks = harm_maps(results)
    (chart,), (block,) = harm_charts(results, blocks), blocks
    for panel, one in zip(chart.panels, block.maps, strict=True):
        values = np.array(panel.values).reshape(len(block.rows), 2, 32, 7)
        assert np.array_equal(values[..., 0], one.n_with)
        assert np.abs(values[..., 4] - 1000 * one.low).max() <= 0.5
        assert np.array_equal(values[..., 6] == UNDECIDED, np.isnan(one.shown_harm))
    assert all(flip.row["harmful"] for flip in worst_flips(results, blocks))


def test_pointing_at_a_cell_of_the_map_shows_its_counts(mapped: Path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")
    path = program("chromium", "chromium-browser", "google-chrome")
    results = read_results(mapped)
    (block,) = harm_maps(results)
    row, bit = len(block.rows) - 1, 30
    one = block.maps[1]
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(write_report(results).as_uri())
        svg = page.locator("svg.harm").nth(1)
        svg.scroll_into_view_if_needed()
        box, (chart,) = svg.bounding_box(), harm_charts(results, harm_maps(results))
        scale = box["width"] / chart.width
        page.mouse.move(box["x"] + scale * (chart.left + 8 * 1.5), box["y"] + scale * (4 + 16 * (row + 0.5)))
        shown = page.locator("#tip").inner_text()
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        assert page.locator("#tip").is_hidden()
        browser.close()
    assert said == []
    assert shown.startswith(f"whole memory, bit {bit}")
    for half in range(2):
        after, n_with = 100 * one.after[row, half, bit], one.n_with[row, half, bit]
        assert f"{after:.1f} with it ({n_with} trials)" in shown


@pytest.mark.parametrize("n_cores", [1, 3, 100])
def test_the_table_is_the_same_in_however_many_parts_it_is_made(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_cores: int
):
    results = read_results(finished)
    monkeypatch.setattr("faultbench.system.processes._n_cores", lambda: n_cores)
    path = next(p for p in write_tables(results, tmp_path) if p.name == "attribution.csv")
    assert path.read_text() == csv_text(results.attribution, LABEL_COLUMNS)


def test_reading_attributions_imports_no_torch(finished: Path):
    program = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; "
        "from faultbench.results.analysis.results import read_results; "
        "from faultbench.output.plots import write_plots; "
        "from faultbench.output.report import render; "
        f"results = read_results(Path({str(finished)!r})); assert len(results.attribution); render(results)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
