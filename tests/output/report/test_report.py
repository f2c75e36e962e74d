import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faultbench.campaign import parse_campaign
from faultbench.output.report import render, write_report
from faultbench.output.report.charts import chart
from faultbench.output.report.colours import colours, lightened, luminance
from faultbench.output.report.flip_check import flip_rows
from faultbench.output.report.headline import HeadlineNumber, headline
from faultbench.output.report.origin import campaign_file, origin
from faultbench.output.report.outcomes import outcome_rows
from faultbench.output.report.pairs import PairDifference, matrices, pair_differences
from faultbench.output.report.summary_text import axis_items, findings, sentences
from faultbench.results.analysis.results import Results, read_results
from faultbench.results.folder import LABELS
from faultbench.results.journal.records import Quarantine
from faultbench.results.manifest_file import write_manifest
from faultbench.results.stats import mean_interval
from tests.builders.results import ArtificialCampaign, a_golden, a_trial, an_overhead, write_journal
from tests.cli.test_cli_reading import without

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onpointermove='alert(1)", "</style><b>",
    "{{ 7 * 7 }}", "&lt;", "--></script>", "保護 🛡",
)  # fmt: skip


class Page(HTMLParser):
    """The elements of a page: tags with their attributes, and the text of the rows of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[str]] = {}
        self.text = ""
        self._table = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self._table = dict(attributes).get("id") or "?"
        if tag == "tr":
            self.rows.setdefault(self._table, []).append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._table in self.rows:
            self.rows[self._table][-1] += " " + " ".join(data.split())


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return read_results(
        ArtificialCampaign(schemes=["relu", "clip_act", "fitact"], models=["small", "large"]).write(tmp_path)
    )


def test_the_page_loads_nothing_from_anywhere(results: Results):
    text = render(results)
    page = Page(text)
    assert all(not value for _, attributes in page.tags for name, value in attributes.items() if name == "src")
    links = [attributes["href"] for tag, attributes in page.tags if "href" in attributes]
    assert links
    assert all(link.startswith("#") for link in links)
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert {link[1:] for link in links} <= anchors
    assert not re.search(r"@import|url\(|https?://", text)
    assert "default-src 'none'" in text


def test_labels_that_are_anybodys_text_stay_text(tmp_path: Path):
    made = ArtificialCampaign(schemes=HOSTILE, datasets=HOSTILE[:2], models=["<i>net</i>"], bers=[1e-6, 1e-5], trials=2)
    page = Page(render(read_results(made.write(tmp_path))))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"img", "i", "b"} & set(tags) - {"b"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for label in HOSTILE:
        assert label in page.text
    assert len(page.rows["headline-table"]) == 1 + len(HOSTILE) * 2
    for tag, attributes in page.tags:
        if tag == "g" and "data-values" in attributes:
            assert {value[0] for value in json.loads(attributes["data-values"])} == set(HOSTILE)


def test_equal_results_make_equal_bytes(tmp_path: Path):
    folder = ArtificialCampaign().write(tmp_path)
    first = write_report(read_results(folder)).read_bytes()
    assert write_report(read_results(folder)).read_bytes() == first


def unfinished(tmp_path: Path) -> Results:
    """Of six cells one complete, one with 3 of 5 trials, four empty; two trials quarantined."""
    made = ArtificialCampaign(schemes=["relu", "fitact"])
    folder = made.write_manifest(tmp_path)
    first, second = (cell["cell"] for cell in made.cells[:2])
    trials = [a_trial(cell=first, trial=k) for k in range(5)] + [a_trial(cell=second, trial=k) for k in range(3)]
    given_up = [Quarantine(second, k, 3, "the worker died") for k in (3, 4)]
    write_journal(folder / "journal", "one", [*trials, *given_up, a_golden(subject=made.cells[0]["subject"])])
    return read_results(folder)


def test_an_unfinished_folder_makes_a_page_that_says_what_is_missing(tmp_path: Path):
    results = unfinished(tmp_path)
    page = Page(render(results))
    said = " ".join(page.text.split())
    assert "Unfinished. 8 trials are recorded, 20 are missing and 2 quarantined." in said
    assert "Of 6 cells, LIMITED to fewer trials than asked for: 1; with no trial: 4." in said
    rows = page.rows["cells-table"][1:]
    assert len(rows) == 6
    assert sum("no trial" in row for row in rows) == 4
    assert sum("LIMITED 3/5" in row for row in rows) == 1
    relu, fitact = page.rows["headline-table"][1:]
    assert "LIMITED 3/5" in relu
    assert relu.count("no trial") == 1
    assert fitact.count("no trial") == 3
    assert "Complete." not in page.text


@pytest.mark.parametrize("has_journal", [False, True])
def test_a_folder_without_trials_makes_a_page_with_every_cell(tmp_path: Path, has_journal: bool):
    made = ArtificialCampaign()
    folder = made.write_manifest(tmp_path)
    if has_journal:
        write_journal(folder / "journal", "one", [a_golden(subject=made.cells[0]["subject"])])
    page = Page(render(read_results(folder)))
    assert len(page.rows["cells-table"]) == 1 + 6
    assert "Unfinished." in page.text


def test_a_complete_folder_is_said_to_be_so(results: Results):
    assert "Complete. All 18 cells have all their trials: 90 trials in all." in " ".join(
        Page(render(results)).text.split()
    )


def test_damaged_lines_are_told_on_the_page(tmp_path: Path):
    folder = ArtificialCampaign().write(tmp_path)
    with (folder / "journal" / "made.jsonl").open("ab") as journal:
        journal.write(b'{"kind":"trial","cell')
    text = render(read_results(folder))
    assert "1 torn or damaged journal lines left out" in text
    assert str(folder) not in text  # where a page was made is nobody's business who reads it


def test_the_verb_writes_the_page_and_prints_its_path(tmp_path: Path):
    folder = ArtificialCampaign().write(tmp_path)
    done = without((), "report", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_grid_as_large_as_the_papers_makes_a_small_page(tmp_path: Path):
    made = ArtificialCampaign(
        models=["alexnet", "vgg16", "resnet50"],
        schemes=["relu", "clip_act", "ranger", "ft_clipact", "fitact", "hyrelu_proact"],
        bers=[1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5],
    )
    # The size hangs on the number of cells, not on that of trials.
    assert write_report(read_results(made.write(tmp_path))).stat().st_size < 1_000_000


# The headline table


def marked(tmp_path: Path, n_correct: dict[str, int]) -> list[str]:
    made = ArtificialCampaign(schemes=list(n_correct), bers=[1e-6], trials=3)
    folder = made.write_manifest(tmp_path)
    trials = [
        a_trial(cell=cell["cell"], trial=k, n_correct=n_correct[cell["scheme"]])
        for cell in made.cells
        for k in range(3)
    ]
    write_journal(folder / "journal", "one", trials)
    rows = headline(read_results(folder)).rows
    return [row.place.line for row in rows if row.entries[0] and row.entries[0][0].is_best]


def test_the_best_protected_network_is_marked_and_the_unprotected_one_never(tmp_path: Path):
    assert marked(tmp_path, {"relu": 199, "clip_act": 180, "fitact": 190}) == ["fitact"]


def test_a_single_protected_network_is_the_best_of_nothing(tmp_path: Path):
    assert marked(tmp_path, {"relu": 100, "fitact": 190}) == []


def test_the_table_names_the_labels_that_differ(results: Results):
    assert headline(results).names == ("model",)
    assert [row.place.names for row in headline(results).rows] == [("small",)] * 3 + [("large",)] * 3


def test_critical_bers_are_shown_where_the_results_have_them(results: Results):
    object.__setattr__(results, "critical", results.critical.head(0))
    assert headline(results).critical == ""
    assert "critical BER" not in render(results)
    rows = [
        {**dict(zip(LABELS, labels, strict=True)), "drop": drop, "probability": 0.9, "critical_ber": ber,
         "critical_ber_ci_low": 0.0, "critical_ber_ci_high": math.inf}
        for labels in results.cells[[*LABELS]].drop_duplicates().itertuples(index=False)
        for drop, ber in ((0.05, 1e-5 if labels.scheme == "fitact" else 0.0), (0.1, 1e-4))
    ]  # fmt: skip
    object.__setattr__(results, "critical", pd.DataFrame(rows))
    found = {(row.place.names[0], row.place.line): row.critical for row in headline(results).rows}
    assert found["small", "fitact"] == HeadlineNumber("1e-5", 1e-5, "[0, ∞)")
    assert found["large", "relu"] == HeadlineNumber("< 1e-6", 0.0, "[0, ∞)")
    page = Page(render(results))
    assert "critical BER" in page.rows["headline-table"][0]
    assert sum("1e-5 [0, ∞)" in row for row in page.rows["headline-table"]) == 2


def test_the_numbers_of_a_row_are_those_of_its_trials_and_its_overhead(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "fitact"], bers=[1e-6, 1e-4], trials=2)
    folder = made.write_manifest(tmp_path)
    right = {
        ("relu", 1e-6): (196, 196),
        ("relu", 1e-4): (20, 60),
        ("fitact", 1e-6): (190, 194),
        ("fitact", 1e-4): (150, 170),
    }
    trials = [
        a_trial(cell=cell["cell"], trial=k, n_correct=n)
        for cell in made.cells
        for k, n in enumerate(right[cell["scheme"], cell["ber"]])
    ]
    subjects = {cell["scheme"]: cell["subject"] for cell in made.cells}
    goldens = [a_golden(subject=subject) for subject in subjects.values()]
    costs = [
        an_overhead(
            subject=subjects["fitact"], latency_ratio=1.234, latency_ratio_ci_low=1.219, latency_ratio_ci_high=1.241
        )
    ]
    write_journal(folder / "journal", "one", [*trials, *goldens, *costs])
    results = read_results(folder)
    relu, fitact = headline(results).rows
    assert (fitact.golden.text, fitact.golden.value) == ("98.0", 0.98)
    assert [entry.mean for entry, _ in fitact.entries] == ["96.0", "80.0"]
    assert [mean for _, mean in fitact.entries] == [0.96, 0.8]
    # The area of a trial over two BERs is the mean of its accuracies: (190 + 150) and (194 + 170) of 2 x 200.
    assert fitact.resilience.text == "88.0"
    assert fitact.resilience.value == pytest.approx(0.88)
    interval = mean_interval([0.85, 0.91])
    ends = (math.floor(1000 * interval.low) / 10, math.ceil(1000 * interval.high) / 10)
    assert fitact.resilience.small == f"[{ends[0]:.1f}, {ends[1]:.1f}]"
    assert fitact.memory == HeadlineNumber("1", 1.0, "10 bounds")  # 10 bounds on 1,000 parameters
    assert fitact.latency == HeadlineNumber("1.23×", 1.234, "[1.21, 1.25]")
    assert relu.memory.text == relu.latency.text == "-"
    shown = " ".join(Page(render(results)).rows["headline-table"][2].split())
    assert shown.startswith("fitact 98.0 96.0 [")
    for text in ("80.0 [", "88.0 [", "1 10 bounds", "1.23× [1.21, 1.25]"):
        assert text in shown


def test_the_outcomes_of_a_cell_are_shares_of_its_images(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], bers=[1e-6], trials=2)
    folder = made.write_manifest(tmp_path)
    (cell,) = made.cells
    # Of 400 images 360 are masked, 30 are SDCs, 20 of them critical, and 10 are DUEs.
    first = {"n_correct": 170, "n_masked": 175, "n_sdc": 20, "n_sdc_critical": 15, "n_due": 5}
    second = {"n_correct": 180, "n_masked": 185, "n_sdc": 10, "n_sdc_critical": 5, "n_due": 5}
    trials = [a_trial(cell=cell["cell"], trial=k, **counts) for k, counts in enumerate((first, second))]
    write_journal(folder / "journal", "one", trials)
    results = read_results(folder)
    ((row,),) = outcome_rows(results).values()
    (shares,) = row.shares
    assert (shares.masked, shares.sdc, shares.sdc_critical, shares.due) == pytest.approx((0.9, 0.075, 0.05, 0.025))
    assert (shares.ber, shares.n_trials, shares.is_limited) == ("1e-6", 2, False)
    text = render(results)
    assert "--m:90.000%;--s:97.500%" in text
    assert "90.00 · <b>7.50</b> · 2.50" in text
    assert "the golden run was right: 5.00 %" in text


# The comparison


def pair_difference(first: pd.Series, second: pd.Series, *, confidence: float) -> PairDifference | None:
    return pair_differences([(first, second)], confidence=confidence)[0]


def test_a_difference_is_the_mean_over_trials_of_both_and_its_interval_that_of_betting():
    rng = np.random.default_rng(5)
    first = pd.Series(rng.random(60), index=range(60))
    second = pd.Series(rng.random(50), index=range(10, 60))
    found = pair_difference(first, second, confidence=0.99)
    gaps = [first[k] - second[k] for k in range(10, 60)]
    interval = mean_interval([(gap + 1) / 2 for gap in gaps], confidence=0.99)
    assert found is not None
    assert found.n_trials == 50
    assert found.mean == pytest.approx(100 * np.mean(gaps))
    assert (found.low, found.high) == pytest.approx((200 * interval.low - 100, 200 * interval.high - 100))


def test_schemes_without_a_common_trial_are_not_compared():
    assert pair_difference(pd.Series([0.5], index=[0]), pd.Series([0.5], index=[1]), confidence=0.95) is None


def test_a_matrix_turns_its_sign_across_the_diagonal_and_shares_its_error_among_its_pairs(results: Results):
    (small, _) = matrices(results).values()
    matrix = small[-1]
    assert matrix.ber == "1e-4"
    assert matrix.confidence == "98.33"
    for row in range(3):
        assert matrix.cells[row][row] is None
        for column in range(3):
            there, back = matrix.cells[row][column], matrix.cells[column][row]
            assert there == (back and back.turned)


def test_schemes_that_do_not_differ_are_rarely_told_apart_and_far_ones_are():
    # All pairs of a matrix of three hold at once with 95 %: of 60 matrices of equal schemes at most 3 are expected to
    # tell any pair apart, and more than 9 with a chance below 0.001 (binomial, 60 at 0.05).
    rng = np.random.default_rng(11)
    confidence = 1 - 0.05 / 3
    alarms = 0
    for _ in range(60):
        equal = [pd.Series(np.where(rng.random(100) < 0.1, rng.random(100), 0.98)) for _ in range(3)]
        pairs = [(equal[0], equal[1]), (equal[0], equal[2]), (equal[1], equal[2])]
        alarms += any(pair_difference(*pair, confidence=confidence).sign for pair in pairs)
    assert alarms <= 9
    worse = pd.Series(np.where(rng.random(100) < 0.5, 0.2, 0.98))
    assert pair_difference(equal[0], worse, confidence=confidence).sign == 1
    assert pair_difference(worse, equal[0], confidence=confidence).sign == -1


# Flips


def flips_of(tmp_path: Path, n_flips: list[int], *, fault: str = "bernoulli") -> list:
    made = ArtificialCampaign(schemes=["relu"], bers=[1e-4], faults=[fault], trials=len(n_flips))
    folder = made.write_manifest(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["spec"]["faults"] = [{"name": fault, "label": fault}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (cell,) = made.cells
    trials = [a_trial(cell=cell["cell"], trial=k, n_flips=n) for k, n in enumerate(n_flips)]
    write_journal(folder / "journal", "one", [*trials, a_golden(subject=cell["subject"], n_bits=100_000)])
    return flip_rows(read_results(folder))


def test_flips_are_held_against_the_binomial_that_the_ber_names(tmp_path: Path):
    (row,) = flips_of(tmp_path, [12, 8, 10, 14])
    assert (row.nominal, row.realised) == (10.0, 11.0)
    # 44 flips of 4·100,000 bits at 1e-4: expected 40, standard deviation √(40·(1 - 1e-4)).
    assert row.off == pytest.approx((44 - 40) / (40 * (1 - 1e-4)) ** 0.5)
    assert not row.is_suspect


def test_too_many_flips_are_told(tmp_path: Path):
    (row,) = flips_of(tmp_path, [20, 20, 20, 20])
    assert row.is_suspect
    text = render(read_results(tmp_path / "made"))
    assert "1 of 1 cells judged" in " ".join(text.split())


def test_a_fault_model_with_other_laws_and_few_flips_are_not_judged(tmp_path: Path):
    (row,) = flips_of(tmp_path / "one", [20, 20, 20, 20], fault="exact")
    assert row.off is None
    (row,) = flips_of(tmp_path / "two", [10])
    assert row.off is None


# Words and origin


def test_the_campaign_file_of_the_page_makes_the_same_cells(tmp_path: Path):
    text = (Path(__file__).parents[3] / "campaigns" / "quickstart.yaml").read_text(encoding="utf-8")
    campaign = parse_campaign(text, tmp_path / "quickstart.yaml")
    write_manifest(
        tmp_path / "r", campaign, command=["faultbench", "run", "a b.yaml"], execution={}, data={}, findings={}
    )
    results = read_results(tmp_path / "r")
    again = parse_campaign(campaign_file(results), tmp_path / "again.yaml")
    assert [cell.key for cell in again.cells] == [cell.key for cell in campaign.cells]
    assert again.trials == campaign.trials
    facts = dict(origin(results).facts)
    assert facts["command"] == "faultbench run 'a b.yaml'"
    assert facts["campaign key"] == campaign.identity
    assert f"torch=={facts['torch']}" in origin(results).commands


def test_the_parts_of_a_campaign_are_named_with_what_they_are(tmp_path: Path):
    folder = ArtificialCampaign(schemes=["relu"]).write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    axes = {
        "formats": [{"name": "q15.16", "label": "q15.16"}],
        "guards": [{"name": "none", "label": "none"}],
        "faults": [{"name": "bernoulli", "label": "chips", "bits": None, "layers": ["*"]}, {"name": "my_own"}],
    }
    manifest["spec"] |= axes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    parts = {part.name: part for part in axis_items(read_results(folder))}
    assert parts["q15.16"].summary.startswith("Two's complement fixed point")
    assert parts["relu"].summary == "Unprotected network: every activation stays as it is."
    assert (parts["bernoulli"].label, parts["bernoulli"].options) == ("chips", "bits: none, layers: *")
    assert parts["my_own"].summary == ""
    said = " ".join(sentences(read_results(folder)))
    assert "chips (Every bit flips independently with probability BER) and my_own." in said


def test_tables_and_charts_say_how_many_trials_and_images_stand_behind_them(results: Results):
    said = " ".join(Page(render(results)).text.split())
    counted = "5 trials per cell, 200 images per trial"
    assert f"the 95 % interval; {counted}." in said
    assert f"means over trials; {counted}." in said
    assert said.count(f"Mean accuracy over {counted}; bands") == 2
    assert said.count("5 trials of both, 200 images per trial.") == 6
    assert f"20 expected flips in all; there are {counted}." in said
    assert f"intervals over trials; {counted}." in said  # without and with protection


def test_the_words_count_what_there_is(results: Results):
    said = " ".join(sentences(results))
    assert "of 2 trained networks, small on digits and large on digits." in said
    assert "with 3 schemes at 3 bit error rates (BER), 1e-6 to 1e-4: 18 cells in all." in said
    assert "A cell holds 5 trials. A trial stands for one faulty memory, on which 200 test images" in said


def test_the_words_tell_trials_that_are_asked_for_and_not_there(tmp_path: Path):
    assert "A cell holds 0 to 5 trials of the 5 asked for." in " ".join(sentences(unfinished(tmp_path)))


def test_a_finding_rests_on_complete_cells_only(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "fitact"], bers=[1e-6, 1e-5], trials=2)
    folder = made.write_manifest(tmp_path)
    cells = [cell["cell"] for cell in made.cells]
    trials = [a_trial(cell=cell, trial=k, n_correct=180) for cell in cells[:3] for k in range(2)]
    write_journal(folder / "journal", "one", [*trials, a_trial(cell=cells[3], trial=0, n_correct=200)])
    (text,) = findings(read_results(folder))
    interval = mean_interval([0.9, 0.9])
    ends = f"[{math.floor(1000 * interval.low) / 10:.1f}, {math.ceil(1000 * interval.high) / 10:.1f}]"
    assert text == (
        f"digits, digits_cnn, q15.16, BER 1e-6: without protection 90.0 % of the images are classified right {ends}; "
        f"with fitact 90.0 % {ends}."
    )


# Charts


def test_a_curve_breaks_where_a_cell_is_empty(tmp_path: Path):
    from faultbench.results.analysis.blocks import blocks

    made = ArtificialCampaign(schemes=["relu"], bers=[1e-7, 1e-6, 1e-5, 1e-4, 1e-3], trials=2)
    folder = made.write_manifest(tmp_path)
    cells = [cell["cell"] for cell in made.cells]
    kept = [a_trial(cell=cell, trial=k) for cell in (*cells[:2], *cells[3:]) for k in range(2)]
    write_journal(folder / "journal", "one", kept)
    results = read_results(folder)
    drawn = chart(blocks(results)[0], colours(results), 0, results.manifest.rule)
    (curve,) = drawn.curves
    assert [run.count(",") for run in curve.runs] == [2, 2]
    assert len(curve.points) == 4
    assert curve.golden is None
    assert drawn.columns[3].values == (("relu", 0, "-", "no trial"),)
    # 89 % of the way up from 262 to 12.
    assert {point.y for point in curve.points} == {round(262 - 0.89 * 250, 1)}


def test_colours_on_dark_pages_are_bright_enough_and_no_brighter_than_needed():
    for colour in ("#000000", "#0072B2", "#4D4D4D"):
        dark = lightened(colour)
        assert 0.2 <= luminance([int(dark[place : place + 2], 16) for place in (1, 3, 5)]) <= 0.25
    assert lightened("#56B4E9") == "#56b4e9"


class Breakable(HTMLParser):
    """Texts with a bit error rate that a browser may break behind its hyphen."""

    WHOLE = frozenset({"th", "button", "text", "pre", "script", "style"})
    """Elements that keep their text in one line, or show none."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.found: list[str] = []
        self.n_kept = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "input"):
            self.open.append((tag, dict(attributes).get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if re.search(r"\d(\.\d+)?e-\d", data):
            is_kept = any(tag in self.WHOLE or "ber" in kind.split() for tag, kind in self.open)
            self.n_kept += is_kept
            self.found += [] if is_kept else [data]


def test_bit_error_rates_are_not_broken_behind_their_hyphens(results: Results):
    page = Breakable(render(results))
    assert page.found == []
    assert page.n_kept > 50
