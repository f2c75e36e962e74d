import subprocess
import sys
from pathlib import Path

import pytest
from made_results import Made, a_trial, write_journal

from faultbench.records import Quarantine
from faultbench.results_folder import LABELS

VERB = """
import sys
for name in {banned}:
    sys.modules[name] = None  # importing it is an ImportError from here on
sys.argv = ["faultbench", *{arguments}]
from faultbench.cli.main import main
main()
"""


def faultbench(*arguments: str | Path, banned: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a verb in a process of its own in which torch, pyplot and what else is banned cannot be imported."""
    everywhere = ("torch", "torchvision", "matplotlib.pyplot")
    code = VERB.format(banned=(*everywhere, *banned), arguments=[str(argument) for argument in arguments])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Made().write(tmp_path / "results")


def test_export_writes_the_tables_and_prints_their_paths(folder: Path):
    done = faultbench("export", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        str(folder / "tables" / f"{name}.csv") for name in ("cells", "trials", "overhead")
    ]
    assert len((folder / "tables" / "trials.csv").read_text().splitlines()) == 1 + 6 * 5


def test_export_as_markdown_prints_and_writes_nothing(folder: Path):
    done = faultbench("export", folder, "--format", "markdown", banned=("matplotlib",))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# made\n\n## digits, digits_cnn, q15.16\n")
    assert not (folder / "tables").exists()


def test_plot_draws_into_the_folder_and_prints_the_paths(folder: Path):
    done = faultbench("plot", folder, "--only", "accuracy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(folder / "plots" / f"accuracy.{kind}") for kind in ("pdf", "svg", "png")]


def test_status_prints_done_and_missing_a_cell(folder: Path):
    (folder / "journal" / "made.jsonl").unlink()
    cell = Made().cells[1]
    write_journal(folder / "journal", "one", [a_trial(cell=cell["cell"], trial=k) for k in range(2)])
    done = faultbench("status", folder, banned=("pandas", "matplotlib"))
    header, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert header == ["campaign", *LABELS, "ber", "done", "missing", "quarantined"]
    assert [row[-3:-1] for row in rows] == [["0", "5"], ["2", "3"], ["0", "5"], ["0", "5"], ["0", "5"], ["0", "5"]]
    assert rows[1] == ["made", "digits", "digits_cnn", "relu", "none", "q15.16", "bernoulli", "1e-5", "2", "3", "0"]
    assert done.stderr == f"{folder}: 2 trials done, 28 missing\n"


def test_status_of_a_campaign_that_outgrew_its_trials_misses_none(folder: Path):
    write_journal(folder / "journal", "two", [a_trial(cell=Made().cells[0]["cell"], trial=k) for k in range(50, 60)])
    row = faultbench("status", folder).stdout.splitlines()[1]
    assert row.endswith("\t15\t0\t0")


def test_quarantined_trials_are_counted_named_and_missing_in_the_tables(folder: Path):
    cell = Made().cells[0]
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


@pytest.mark.parametrize("verb", ["status", "export", "plot"])
def test_a_folder_of_campaigns_stands_for_each_of_them(folder: Path, verb: str):
    Made(name="other", trials=1).write(folder.parent)
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
    assert done.stderr.startswith(f"faultbench: {folder / 'tables' / 'cells.csv'}: cannot be written")
