import csv
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from faultbench.output.export.table_files import TABLES
from faultbench.output.plots import write_plots
from faultbench.results.analysis.results import read_results
from faultbench.results.folder import LABELS
from faultbench.results.journal.records import Quarantine
from tests.builders.command_line import faultbench
from tests.builders.results import ArtificialCampaign, a_trial, write_journal

VERB = """
import sys
for name in {banned}:
    sys.modules[name] = None  # importing it is an ImportError from here on
sys.argv = ["faultbench", *{arguments}]
from faultbench.cli.main import main
main()
"""


HEAVY = "torch", "torchvision", "matplotlib.pyplot"
"""What no verb that reads results imports."""


def without(banned: tuple[str, ...], *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a verb in a process of its own in which what is heavy, and what else is banned, cannot be imported."""
    code = VERB.format(banned=(*HEAVY, *banned), arguments=[str(argument) for argument in arguments])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return ArtificialCampaign().write(tmp_path / "results")


def test_export_writes_the_tables_and_prints_their_paths(folder: Path):
    done = without((), "export", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        str(folder / "tables" / f"{name}.csv")
        for name in ("cells", "trials", "overhead", "resilience", "critical", "attribution", "harm")
    ]
    assert len((folder / "tables" / "trials.csv").read_text().splitlines()) == 1 + 6 * 5


def test_export_as_markdown_prints_and_writes_nothing(folder: Path):
    done = without(("matplotlib",), "export", folder, "--format", "markdown")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# made\n\n## digits, digits_cnn, q15.16\n")
    assert not (folder / "tables").exists()


def test_plot_draws_into_the_folder_and_prints_the_paths(folder: Path):
    done = without((), "plot", folder, "--only", "accuracy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(folder / "plots" / f"accuracy.{kind}") for kind in ("pdf", "svg", "png")]


def test_status_prints_done_and_missing_a_cell(folder: Path):
    (folder / "journal" / "made.jsonl").unlink()
    cell = ArtificialCampaign().cells[1]
    write_journal(folder / "journal", "one", [a_trial(cell=cell["cell"], trial=k) for k in range(2)])
    done = without(("pandas", "matplotlib"), "status", folder)
    header, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert header == ["campaign", *LABELS, "ber", "done", "missing", "quarantined"]
    assert [row[-3:-1] for row in rows] == [["0", "5"], ["2", "3"], ["0", "5"], ["0", "5"], ["0", "5"], ["0", "5"]]
    assert rows[1] == ["made", "digits", "digits_cnn", "relu", "none", "q15.16", "bernoulli", "1e-5", "2", "3", "0"]
    assert done.stderr == f"{folder}: 2 trials done, 28 missing\n"


def test_status_of_an_adaptive_campaign_misses_what_the_next_look_needs(tmp_path: Path):
    made = ArtificialCampaign(trials=100, until={"accuracy_halfwidth": 0.2}, schemes=["relu"], bers=[1e-6, 1e-5, 1e-4])
    folder = made.write_manifest(tmp_path)
    # Looks come after 5, 8, 12, 18, … trials: 18 equal ones are certain to ±0.2 and end their cell, 6 are not.
    known = [
        a_trial(cell=cell["cell"], trial=k) for cell, n in zip(made.cells, (27, 6, 0), strict=True) for k in range(n)
    ]
    write_journal(folder / "journal", "one", known)
    done = without(("pandas", "matplotlib"), "status", folder)
    rows = [line.split("\t")[-3:-1] for line in done.stdout.splitlines()[1:]]
    assert rows == [["18", "0"], ["6", "2"], ["0", "5"]]
    counts, remark = done.stderr.splitlines()
    assert counts == f"{folder}: 24 trials done, 7 missing before the next look at cells wider than ±0.2"
    assert "9 trials" in remark


def test_status_counts_no_trials_beyond_those_asked_for(folder: Path):
    write_journal(
        folder / "journal", "two", [a_trial(cell=ArtificialCampaign().cells[0]["cell"], trial=k) for k in range(50, 60)]
    )
    row = faultbench("status", folder).stdout.splitlines()[1]
    assert row.endswith("\t5\t0\t0")


def test_quarantined_trials_are_counted_named_and_missing_in_the_tables(folder: Path):
    cell = ArtificialCampaign().cells[0]
    (folder / "journal" / "made.jsonl").unlink()
    given_up = [Quarantine(cell=cell["cell"], trial=number, n_deaths=3, reason="killed") for number in (2, 99)]
    write_journal(folder / "journal", "one", [a_trial(cell=cell["cell"], trial=0), *given_up])
    done = faultbench("status", folder)
    assert done.stdout.splitlines()[1].endswith("\t1\t3\t1")
    assert "quarantined: digits/digits_cnn/relu/none/q15.16/bernoulli BER 1e-6 trial 2: killed" in done.stderr
    assert "99" not in done.stderr  # the campaign asks for 5 trials
    assert "1 trials missing because they are quarantined" in faultbench("export", folder).stderr


@pytest.mark.parametrize("verb", ["status", "export", "plot"])
def test_damaged_lines_are_told_and_the_rest_is_read(folder: Path, verb: str):
    with (folder / "journal" / "made.jsonl").open("ab") as journal:
        journal.write(b'{"kind":"trial","cell')
    done = faultbench(verb, folder)
    assert done.returncode == 0
    assert done.stderr.endswith(f"{folder}: 1 torn or damaged journal lines left out\n")
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["status", "export", "plot"])
def test_a_folder_of_campaigns_stands_for_each_of_them(folder: Path, verb: str):
    ArtificialCampaign(name="other", trials=1).write(folder.parent)
    done = faultbench(verb, folder.parent)
    assert done.returncode == 0
    assert "made" in done.stdout
    assert "other" in done.stdout


@pytest.mark.parametrize("verb", ["status", "export", "plot"])
def test_what_is_no_results_folder_is_one_line_and_exit_code_2(tmp_path: Path, verb: str):
    done = faultbench(verb, tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"faultbench: {tmp_path / 'nowhere'}: does not exist; a results folder holds")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_is_one_line_and_exit_code_4(folder: Path):
    (folder / "tables").write_text("in the way")
    done = faultbench("export", folder)
    assert done.returncode == 4
    assert re.fullmatch(rf"faultbench: {folder / 'tables'}/\w+\.csv: cannot be written: .*\n", done.stderr)


def test_export_as_latex_prints_a_table_by_the_style_asked_for(folder: Path):
    done = faultbench("export", folder, "--format", "latex", "--best", "--digits", "2", "--ci", "none")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\toprule" in done.stdout
    assert re.search(r"\\textbf\{\d+\.\d\d\}", done.stdout)
    assert not (folder / "tables").exists()


def test_options_of_printed_tables_are_refused_where_every_digit_is_written(folder: Path):
    done = faultbench("export", folder, "--digits", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "faultbench: --digits is for --format latex and markdown; csv holds every digit\n"
    assert not (folder / "tables").exists()


def test_export_as_parquet_holds_the_same_tables(folder: Path):
    pytest.importorskip("pyarrow", reason="needs the parquet extra")
    done = faultbench("export", folder, "--format", "parquet")
    assert (done.returncode, done.stderr) == (0, "")
    results = read_results(folder)
    written = {Path(line).stem: line for line in done.stdout.splitlines()}
    assert tuple(written) == TABLES
    for name, line in written.items():
        assert line == str(folder / "tables" / f"{name}.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(line), getattr(results, name), check_dtype=False)


def test_export_as_parquet_without_pyarrow_names_the_install_command(folder: Path):
    done = without(("pyarrow",), "export", folder, "--format", "parquet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'faultbench-dnn[parquet]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "tables").exists()


def test_a_label_that_a_spreadsheet_would_calculate_is_quoted_in_csv_and_markdown(tmp_path: Path):
    schemes = ["=1+1", "+x", "-y", "@z", "a=b"]
    folder = ArtificialCampaign(schemes=schemes, bers=[1e-6], trials=1).write(tmp_path)
    assert faultbench("export", folder).returncode == 0
    for name in ("cells", "trials", "overhead"):
        with (folder / "tables" / f"{name}.csv").open(newline="") as file:
            labels = {row["scheme"] for row in csv.DictReader(file)}
        assert labels == {"'=1+1", "'+x", "'-y", "'@z", "a=b"}
    text = faultbench("export", folder, "--format", "markdown").stdout
    assert [line.split()[1] for line in text.splitlines() if " 98.0 |" in line] == [
        "\\=1+1", "\\+x", "\\-y", "\\@z", "a=b",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("style", ["screen", "paper"])
def test_figures_are_the_same_bytes_in_every_run(tmp_path: Path, style: str):
    folder = ArtificialCampaign(models=["small", "large"]).write(tmp_path)
    runs = []
    for _ in range(2):
        written = without((), "plot", folder, "--style", style).stdout.split()
        runs.append({path: Path(path).read_bytes() for path in written})
        for path in written:
            Path(path).unlink()
    assert runs[0] == runs[1]
    importlib.import_module("torch")  # so that here they are drawn in turn, and not side by side
    in_turn = write_plots(read_results(folder), tmp_path, style=style)
    assert [path.read_bytes() for path in in_turn] == list(runs[0].values())
    assert len(runs[0]) == {"screen": 4 * 3, "paper": 2 * 4 * 2}[style]


def test_figures_for_papers_are_vectors_as_wide_as_a_column_with_their_fonts_inside(tmp_path: Path):
    labels = ["50%/off", "50%_off"]
    folder = ArtificialCampaign(models=labels).write(tmp_path)
    written = [Path(line) for line in faultbench("plot", folder, "--style", "paper").stdout.splitlines()]
    assert {path.suffix for path in written} == {".pdf", ".svg"}
    assert {path.parent for path in written} == {folder / "plots" / "paper"}
    assert {path.stem for path in written if path.stem.startswith("accuracy")} == {
        "accuracy-digits-50_off-q15.16", "accuracy-digits-50_off-q15.16-2",
    }  # fmt: skip
    for path in written:
        data = path.read_bytes()
        if path.suffix == ".pdf":
            assert b"/FontFile2" in data
            assert b"/Type3" not in data
            width_pt = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", data)[1]
            assert float(width_pt) == 3.5 * 72
        else:
            assert b"<text" not in data  # letters are outlines
