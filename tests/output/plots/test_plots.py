import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from faultbench.output.plots import accuracy, catalogue, overhead, resilience, sdc, write_plots
from faultbench.output.plots.ber_axis import golden_places, side_by_side
from faultbench.output.plots.overhead_axis import apart, overhead_axis
from faultbench.output.plots.panels import wrapped
from faultbench.output.plots.style import SMALL_PT, _pin_axis_labels, save, styled, width_in
from faultbench.output.scheme_styles import GREY, looks
from faultbench.results.analysis.resilience import resiliences
from faultbench.results.analysis.results import Results, read_results
from faultbench.results.journal.records import Overhead
from faultbench.system.error_lines import explain
from faultbench.system.errors import FaultbenchError
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, an_overhead, write_journal

SIX = ("relu", "clip_act", "ranger", "ft_clipact", "fitact", "hyrelu_proact")
LONG = (*SIX, "Clip-Act (channel)")
BERS = (1e-7, 1e-6, 3e-6, 1e-5, 3e-5)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Seven schemes, one of them with a long label, at five BERs on one network."""
    return read_results(ArtificialCampaign(schemes=LONG, bers=BERS, trials=4).write(tmp_path_factory.mktemp("results")))


def drawn(plot, results: Results) -> Figure:
    with styled():
        return plot.draw(results)


def with_bounds(made: ArtificialCampaign, folder: Path, bounds: Sequence[int]) -> Results:
    """The results of made, written to folder, with so many bounds on 1,000 parameters, scheme by scheme."""
    path = made.write_manifest(folder)
    costs = [
        an_overhead(subject=cell["subject"], bounds=bounds[made.schemes.index(cell["scheme"])]) for cell in made.cells
    ]
    trials = [record for record in made.records if not isinstance(record, Overhead)]
    write_journal(path / "journal", "one", [*trials, *costs])
    return read_results(path)


def markers_of(axes: Axes) -> list[Line2D]:
    """The points of a resilience panel, in the order of their schemes."""
    return [line for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata()) == 1]


def lines_of(axes: Axes, colour: str) -> list[Line2D]:
    return [line for line in axes.lines if to_hex(line.get_color()).upper() == colour.upper()]


def laid_out(figure: Figure, tmp_path: Path) -> Figure:
    """The figure after saving, when everything has its place."""
    with styled():
        save(figure, tmp_path / "figure")
        FigureCanvasAgg(figure).draw()
    return figure


def test_every_plot_of_the_folder_is_found():
    assert {"accuracy", "attribution", "hazards", "overhead", "resilience", "sdc"} <= set(catalogue())


def test_every_plot_becomes_pdf_svg_and_png(results: Results, tmp_path: Path):
    paths = list(write_plots(results, tmp_path / "plots"))
    drawn = set(catalogue()) - {"attribution", "hazards"}  # no trial of these is counted, and no pilot was run
    assert {path.name for path in paths} == {f"{name}.{kind}" for name in drawn for kind in ("pdf", "svg", "png")}
    starts = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}
    for path in paths:
        assert path.read_bytes().startswith(starts[path.suffix[1:]])
    assert sorted((tmp_path / "plots").iterdir()) == sorted(paths)


def test_an_error_in_a_plot_names_the_plot(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sdc, "draw", lambda _: 1 / 0)
    catalogue.cache_clear()
    with pytest.raises(ZeroDivisionError) as raised:
        list(write_plots(results, tmp_path, ["sdc"]))
    catalogue.cache_clear()
    words = "unexpected ZeroDivisionError: division by zero (while drawing the plot sdc); --debug"
    assert str(explain(raised.value)).startswith(words)


def test_only_the_plots_asked_for_are_drawn_and_a_wrong_name_is_told(results: Results, tmp_path: Path):
    assert {path.stem for path in write_plots(results, tmp_path, ["sdc"])} == {"sdc"}
    with pytest.raises(FaultbenchError, match=r"unknown plot 'accuraci'; did you mean 'accuracy'\?"):
        list(write_plots(results, tmp_path, ["sdc", "accuraci"]))


@pytest.mark.parametrize("name", sorted(set(catalogue()) - {"attribution", "hazards"}))
def test_the_same_results_give_the_same_bytes_whatever_the_users_settings(results: Results, tmp_path: Path, name: str):
    first = [path.read_bytes() for path in write_plots(results, tmp_path / "first", [name])]
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        second = [path.read_bytes() for path in write_plots(results, tmp_path / "second", [name])]
        assert mpl.rcParams["font.size"] == 20
    assert first == second
    pdf, svg, _ = first
    assert b"CreationDate" not in pdf
    assert b"dc:date" not in svg


def test_pdf_fonts_are_embedded_truetype(results: Results, tmp_path: Path):
    pdf = next(write_plots(results, tmp_path, ["accuracy"])).read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_a_known_scheme_looks_the_same_in_every_plot():
    assert looks({"relu": "relu"})["relu"].colour == GREY
    alone = {name: looks({name: name})[name] for name in SIX}
    assert looks(dict.fromkeys(reversed(SIX)) | {name: name for name in reversed(SIX)}) == alone
    assert len({look.colour for look in alone.values()}) == len({look.marker for look in alone.values()}) == 6


def test_of_several_labels_the_schemes_own_name_has_its_look_and_others_differ():
    named = {"Clip-Act (channel)": "clip_act", "clip_act": "clip_act", "mine": "mine", "yours": "yours"}
    found = looks(named)
    assert found["clip_act"] == looks({"clip_act": "clip_act"})["clip_act"]
    assert len({look.colour for look in found.values()}) == 4
    assert looks({"Clip-Act": "clip_act"})["Clip-Act"] == found["clip_act"]


def test_accuracy_draws_the_means_of_the_table_in_per_cent(results: Results):
    (axes,) = drawn(accuracy, results).axes
    for label, look in looks(results.manifest.scheme_names).items():
        cells = results.cells[results.cells.scheme == label]
        mean = next(line for line in lines_of(axes, look.colour) if len(line.get_xdata()) == len(BERS))
        assert mean.get_xdata().tolist() == list(BERS)
        assert mean.get_ydata().tolist() == (100 * cells.accuracy_mean).tolist()
    assert axes.get_xscale() == "log"


def test_accuracy_draws_the_intervals_of_the_table(results: Results):
    (axes,) = drawn(accuracy, results).axes
    cells = results.cells[results.cells.scheme == "relu"]
    band, bars = axes.collections[:2]
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    for ber, low, high in zip(BERS, 100 * cells.accuracy_ci_low, 100 * cells.accuracy_ci_high, strict=True):
        assert {(ber, low), (ber, high)} <= corners
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        [low, high] for low, high in zip(100 * cells.accuracy_ci_low, 100 * cells.accuracy_ci_high, strict=True)
    ]


def test_accuracy_marks_each_golden_accuracy_left_of_all_bers(results: Results):
    (axes,) = drawn(accuracy, results).axes
    golden = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(golden) == len(LONG)
    for line in golden:
        assert axes.get_xlim()[0] < line.get_xdata()[0] < min(BERS)
        assert line.get_ydata()[0] == pytest.approx(98)
    assert "golden" in [label.get_text() for label in axes.get_xticklabels()]


def test_cells_without_trials_have_no_point_and_limited_cells_a_hollow_one(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], bers=BERS, trials=3)
    folder = made.write_manifest(tmp_path)
    n_trials = dict(zip(BERS, (3, 0, 2, 3, 0), strict=True))
    write_journal(
        folder / "journal",
        "one",
        [a_golden(subject=made.cells[0]["subject"])]
        + [a_trial(cell=cell["cell"], trial=k) for cell in made.cells for k in range(n_trials[cell["ber"]])],
    )
    (axes,) = drawn(accuracy, read_results(folder)).axes
    mean = next(line for line in axes.lines if len(line.get_xdata()) == len(BERS))
    hollow = next(line for line in axes.lines if line.get_markeredgecolor() == GREY and line.get_marker() == "o")
    assert [math.isnan(value) for value in mean.get_ydata()] == [n_trials[ber] == 0 for ber in BERS]
    assert hollow.get_markerfacecolor() == "white"
    shown = [ber for ber, value in zip(hollow.get_xdata(), hollow.get_ydata(), strict=True) if not math.isnan(value)]
    assert shown == [3e-6]
    hollow = [line for line in drawn(sdc, read_results(folder)).axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_marker() for line in hollow] == ["o"]


def test_results_without_any_trial_still_show_the_golden_accuracies(tmp_path: Path):
    folder = ArtificialCampaign().write_manifest(tmp_path)
    subjects = {cell["subject"] for cell in ArtificialCampaign().cells}
    write_journal(folder / "journal", "one", [a_golden(subject=subject) for subject in subjects])
    paths = list(write_plots(read_results(folder), tmp_path / "plots"))
    assert {path.stem for path in paths} == {"accuracy"}


def test_there_is_a_panel_for_each_dataset_model_format_and_fault_model(tmp_path: Path):
    made = ArtificialCampaign(
        datasets=["digits", "cifar10"], formats=["q15.16", "float32"], faults=["bernoulli", "exact"], trials=1
    )
    figure = drawn(accuracy, read_results(made.write(tmp_path)))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles[0] == "digits, digits_cnn, q15.16, bernoulli"
    assert len(set(titles)) == 8


def test_guards_of_one_scheme_differ_in_their_lines(tmp_path: Path):
    figure = drawn(
        accuracy, read_results(ArtificialCampaign(schemes=["relu"], guards=["none", "secded"]).write(tmp_path))
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["relu", "relu + secded"]
    assert [line.is_dashed() for line in legend.get_lines()] == [False, True]


def test_sdc_draws_the_mean_rates_of_sdcs_and_dues_apart_in_per_cent(results: Results):
    (axes,) = drawn(sdc, results).axes
    cells = results.cells[results.cells.scheme == "relu"]
    mean = next(line for line in lines_of(axes, GREY) if line.get_marker() == "o")
    assert mean.get_ydata() == pytest.approx((100 * cells.sdc_rate).to_numpy())
    assert axes.get_ylabel() == "SDC, DUE (%)"
    dotted = next(line for line in lines_of(axes, GREY) if line.is_dashed())
    assert dotted.get_ydata() == pytest.approx((100 * cells.due_rate).to_numpy())


def test_sdc_shows_rates_of_zero(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], bers=[1e-6, 1e-5], trials=3)
    folder = made.write_manifest(tmp_path)
    harmless = {"n_masked": 200, "n_sdc": 0, "n_sdc_critical": 0, "n_due": 0}
    trials = [a_trial(cell=cell["cell"], trial=k, **harmless) for cell in made.cells for k in range(3)]
    write_journal(folder / "journal", "one", trials)
    (axes,) = drawn(sdc, read_results(folder)).axes
    low, high = axes.get_ylim()
    mean = next(line for line in axes.lines if line.get_marker() == "o")
    assert mean.get_ydata().tolist() == [0, 0]
    assert low < 0 < 100 < high


@pytest.mark.parametrize("bers", [(1e-6,), (1e-6, 1.1e-6, 1e-5), BERS])
@pytest.mark.parametrize("n_lines", [1, 7, 30])
def test_what_is_set_side_by_side_stays_nearer_to_its_ber_than_to_the_next(bers: tuple[float, ...], n_lines: int):
    shifts = side_by_side(bers, n_lines)
    assert shifts == sorted(set(shifts))
    assert math.prod(shifts) == pytest.approx(1)
    for low, high in pairwise(bers):
        assert low * shifts[-1] < math.sqrt(low * high) < high * shifts[0]
    assert max(golden_places(bers, min(n_lines, 12))) < min(bers)


def test_overhead_draws_a_bar_a_scheme_with_its_value(results: Results):
    memory, latency = drawn(overhead, results).axes
    assert [label.get_text() for label in memory.get_yticklabels()] == list(LONG)
    assert [bar.get_width() for bar in memory.patches] == [0, *(pytest.approx(0.1 * k) for k in range(1, 7))]
    assert [text.get_text() for text in memory.texts] == ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]
    assert [to_hex(bar.get_facecolor()).upper() for bar in memory.patches][:2] == [GREY, "#E69F00"]
    assert [bar.get_width() for bar in latency.patches] == [1.1] * 7
    assert latency.collections[0].get_segments()[0][:, 0].tolist() == [1.05, 1.2]
    assert memory.get_ylim()[0] > memory.get_ylim()[1], "the first scheme is on top"


def test_overhead_has_panels_for_formats_only_where_they_differ(tmp_path: Path):
    for formats, titles in {
        ("q15.16",): ["digits, small", "digits, large"],
        ("q15.16", "float32"): [f"digits, {m}, {f}" for m in ("small", "large") for f in ("q15.16", "float32")],
    }.items():
        made = ArtificialCampaign(
            name=f"of_{len(formats)}", models=["small", "large"], formats=formats, faults=["exact", "burst"]
        )
        figure = drawn(overhead, read_results(made.write(tmp_path)))
        assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()][::2] == titles


def test_overhead_without_bounds_or_latency_says_so(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"])
    folder = made.write_manifest(tmp_path)
    unmeasured = {"latency_ratio": None, "latency_ratio_ci_low": None, "latency_ratio_ci_high": None}
    cost = an_overhead(subject=made.cells[0]["subject"], bounds=0, extra_bits=0, **unmeasured)
    write_journal(folder / "journal", "one", [cost])
    memory, latency = drawn(overhead, read_results(folder)).axes
    assert [text.get_text() for text in (*memory.texts, *latency.texts)] == ["0", "not measured"]


@pytest.mark.parametrize("plot", [accuracy, resilience, sdc])
def test_legend_panel_and_caption_do_not_overlap(results: Results, tmp_path: Path, plot):
    figure = laid_out(drawn(plot, results), tmp_path)
    (axes,) = figure.axes
    boxes = [figure.legends[0].get_window_extent(), axes.get_tightbbox(), figure._supxlabel.get_window_extent()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(inside(figure.bbox, box) for box in boxes)
    texts = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert not any(one.overlaps(other) for one, other in combinations(texts, 2))
    ticks = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert not any(one.overlaps(other) for one, other in combinations(ticks, 2))


def test_resilience_draws_the_means_and_intervals_of_the_areas(tmp_path: Path):
    results = with_bounds(ArtificialCampaign(schemes=SIX, bers=BERS), tmp_path, (0, 1, 3, 10, 30, 100))
    (axes,) = drawn(resilience, results).axes
    table = resiliences(results).set_index("scheme")
    markers = markers_of(axes)
    assert [to_hex(marker.get_markerfacecolor()).upper() for marker in markers] == [
        look.colour for look in looks({name: name for name in SIX}).values()
    ]
    for name, marker, bar, percent in zip(SIX, markers, axes.collections, (0, 0.1, 0.3, 1, 3, 10), strict=True):
        assert marker.get_ydata() == [table.resilience[name]]
        if percent:
            assert marker.get_xdata() == [pytest.approx(percent)]
        ((low, high),) = [segment[:, 1].tolist() for segment in bar.get_segments()]
        assert (low, high) == (table.resilience_ci_low[name], table.resilience_ci_high[name])
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Memory overhead (%)", "Resilience")


def test_resilience_has_a_place_for_an_overhead_of_exactly_0_left_of_all_others(tmp_path: Path):
    (axes,) = drawn(resilience, with_bounds(ArtificialCampaign(schemes=SIX), tmp_path, (0, 1, 3, 10, 30, 100))).axes
    zero, *others = (marker.get_xdata()[0] for marker in markers_of(axes))
    ticks = {label.get_text(): place for label, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert ticks["0"] == pytest.approx(zero)
    assert axes.get_xlim()[0] < zero < ticks["0.1"] <= min(others)
    assert ticks["10"] == 10


@pytest.mark.parametrize("bounds", [(0, 5, 5, 5, 50, 50), (0, 5, 5, 6, 6400, 260), (0, 0, 0, 0, 0, 1), (7,) * 6])
def test_markers_of_schemes_with_the_same_overhead_do_not_lie_over_each_other(tmp_path: Path, bounds: tuple[int, ...]):
    figure = laid_out(
        drawn(resilience, with_bounds(ArtificialCampaign(schemes=SIX, bers=BERS), tmp_path, bounds)), tmp_path
    )
    (axes,) = figure.axes
    middles = [axes.transData.transform((marker.get_xdata()[0], 0))[0] for marker in markers_of(axes)]
    widest = max(marker.get_markersize() for marker in markers_of(axes)) * figure.dpi / 72
    assert min(high - low for low, high in pairwise(sorted(middles))) >= 0.9 * widest
    assert [middles[scheme] for scheme in sorted(range(6), key=lambda scheme: bounds[scheme])] == sorted(middles)
    assert axes.bbox.x0 < min(middles) - widest / 2
    assert max(middles) + widest / 2 < axes.bbox.x1


def test_resilience_says_over_how_many_trials_it_is_and_marks_fewer_than_asked_for(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "clip_act"], trials=5)
    folder = made.write_manifest(tmp_path)
    missing = {(made.cells[1]["cell"], 2), (made.cells[2]["cell"], 4)}
    records = [r for r in made.records if (getattr(r, "cell", ""), getattr(r, "trial", 0)) not in missing]
    write_journal(folder / "journal", "one", records)
    figure = drawn(resilience, read_results(folder))
    text = figure._supxlabel.get_text().replace("\n", " ")
    assert "mean over the 3 to 5 trials recorded at every BER" in text
    assert "Hollow: fewer trials than the 5 asked for." in text
    assert [marker.get_markerfacecolor() for marker in markers_of(figure.axes[0])] == ["white", "#E69F00"]


@pytest.mark.parametrize("bers", [(1e-6,), (1e-6, 1e-5)])
def test_there_is_no_resilience_without_overheads_or_with_one_ber(tmp_path: Path, bers: tuple[float, ...]):
    made = ArtificialCampaign(bers=bers)
    folder = made.write_manifest(tmp_path)
    kept = [record for record in made.records if len(bers) == 1 or not isinstance(record, Overhead)]
    write_journal(folder / "journal", "one", kept)
    assert drawn(resilience, read_results(folder)) is None


def test_a_scheme_without_overhead_has_no_marker(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "clip_act"])
    folder = made.write_manifest(tmp_path)
    relu = made.cells[0]["subject"]
    kept = [r for r in made.records if not isinstance(r, Overhead) or r.subject != relu]
    write_journal(folder / "journal", "one", kept)
    (axes,) = drawn(resilience, read_results(folder)).axes
    assert [marker.get_markerfacecolor() for marker in markers_of(axes)] == ["#E69F00"]


@given(st.lists(st.floats(-5, 5).map(lambda place: round(place, 2)), min_size=1, max_size=12), st.floats(0.01, 1))
def test_what_is_set_apart_keeps_its_order_its_step_and_its_middle(places: list[float], step: float):
    moved = apart(places, step)
    by_place = sorted(range(len(places)), key=lambda index: places[index])
    gaps = [moved[above] - moved[below] for below, above in pairwise(by_place)]
    assert all(gap >= step - 1e-9 for gap in gaps)
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)
    if all(places[above] - places[below] >= step + 1e-9 for below, above in pairwise(by_place)):
        assert moved == pytest.approx(places)


@pytest.mark.parametrize("percents", [[0.0], [3.0], [0.0, 0.00375], [0.9, 1.1], [0.0, 3e-5, 12.2], [8e-12, 50]])
def test_an_overhead_axis_has_from_two_to_six_decades_to_read_it_by(percents: list[float]):
    axes = Figure().subplots()
    overhead_axis(percents).draw(axes)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert ("0" in labels) == (0 in percents)
    assert 2 <= len([label for label in labels if label != "0"]) <= 6
    low, high = axes.get_xlim()
    assert all(low < percent < high for percent in percents if percent)


def gaps_of(axes: Axes) -> list[float]:
    """From the labels of the ticks to the label of each axis that has one, in its labelpads."""
    gaps = []
    for axis, near, far in ((axes.xaxis, "y0", "y1"), (axes.yaxis, "x0", "x1")):
        if axis.label.get_text():
            ticks = [tick.get_window_extent() for tick in axis.get_ticklabels()]
            gap = min(getattr(tick, near) for tick in ticks) - getattr(axis.label.get_window_extent(), far)
            gaps.append(gap * 72 / axes.figure.dpi / axis.labelpad)
    return gaps


@pytest.mark.slow
@pytest.mark.parametrize("plot", [accuracy, overhead, resilience, sdc])
def test_the_label_of_an_axis_stands_as_far_from_the_ticks_labels_as_asked_for(tmp_path: Path, plot):
    made = ArtificialCampaign(models=["a", "b", "c"], schemes=SIX, bers=BERS, trials=3)
    figure = laid_out(drawn(plot, read_results(made.write(tmp_path))), tmp_path)
    with styled():  # how many ticks there is room for hangs on the size of their labels
        gaps = [gap for axes in figure.axes if axes.get_visible() for gap in gaps_of(axes)]
    assert gaps == pytest.approx([1] * 4)


def test_the_labels_of_axes_go_where_the_last_pass_of_the_layout_has_put_the_axes():
    figure = Figure()
    axes = figure.subplots()
    axes.set(xlabel="BER", ylabel="Accuracy")
    FigureCanvasAgg(figure).draw()
    axes.set_position((0.3, 0.4, 0.5, 0.5))
    _pin_axis_labels(figure)
    FigureCanvasAgg(figure).draw()
    assert gaps_of(axes) == pytest.approx([1, 1])


@pytest.mark.parametrize("plot", [accuracy, resilience, sdc])
def test_the_legend_keeps_the_order_of_the_campaign_file(tmp_path: Path, plot):
    schemes = ["Zeta (channel)", "relu", "Alpha", "clip_act"]
    figure = drawn(plot, read_results(ArtificialCampaign(schemes=schemes, models=["z_net", "a_net"]).write(tmp_path)))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == schemes
    assert [axes.get_title() for axes in figure.axes] == ["digits, z_net, q15.16", "digits, a_net, q15.16"]


def test_a_caption_is_broken_into_as_few_lines_as_fit():
    text = "Mean accuracy over a hundred trials, " * 8
    lines = wrapped(text, 3.5).split("\n")
    assert " ".join(lines) == text.strip()
    assert all(width_in(line, SMALL_PT) <= 3.5 for line in lines)
    for line, after in pairwise(lines):
        assert width_in(f"{line} {after.split()[0]}", SMALL_PT) > 0.96 * 3.5


def test_labels_and_values_of_the_bars_do_not_overlap(tmp_path: Path):
    made = ArtificialCampaign(schemes=LONG)
    folder = made.write_manifest(tmp_path)
    subjects = list(dict.fromkeys(cell["subject"] for cell in made.cells))
    costs = [
        an_overhead(subject=subject, parameters=10**7, bounds=3 * 10**index, extra_bits=0)
        for index, subject in enumerate(subjects)
    ]
    write_journal(folder / "journal", "one", costs)
    figure = laid_out(drawn(overhead, read_results(folder)), tmp_path)
    memory, latency = figure.axes
    assert not memory.get_tightbbox().overlaps(latency.get_tightbbox())
    assert all(inside(memory.bbox, text.get_window_extent()) for text in memory.texts)
    assert all(inside(latency.bbox, text.get_window_extent()) for text in latency.texts)
    labels = [*memory.get_yticklabels(), *memory.texts, *latency.texts, *memory.get_xticklabels()]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(inside(figure.bbox, box) for box in boxes)


def inside(outer: Bbox, inner: Bbox) -> bool:
    # Half a pixel for the rounding of the two ways to measure a text.
    return (
        inner.x0 >= outer.x0 - 0.5
        and inner.y0 >= outer.y0 - 0.5
        and inner.x1 <= outer.x1 + 0.5
        and inner.y1 <= outer.y1 + 0.5
    )


@pytest.mark.slow
def test_a_label_with_dollar_signs_is_printed_letter_by_letter(tmp_path: Path):
    folder = ArtificialCampaign(schemes=["$\\frac$ scheme"], trials=1).write(tmp_path)
    assert list(write_plots(read_results(folder), tmp_path / "plots"))


def test_a_longer_label_is_wider():
    assert 0.5 < width_in("hyrelu_proact") < width_in("Clip-Act (channel)") < 1.2
