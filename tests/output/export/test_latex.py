import re
import subprocess
from pathlib import Path

import pytest

from faultbench.output.export.accuracy_table import Style
from faultbench.output.export.latex import ROWS_PER_TABLE, latex
from faultbench.output.export.latex_escape import escape_latex
from faultbench.results.analysis.results import read_results
from tests.builders.programs import program
from tests.builders.results import ArtificialCampaign, a_trial, write_journal

HOSTILE = (
    r"\input{/etc/passwd}", "$x_1$ & 50% #1", "[bracket]", "*star", "a~b^c", "{open", "close}", 'say "hi" `now`',
    "--best", "Clip-Act (σ ≤ 3, ±∞)", "Müller–Ångström ß", "保護 🛡", "<b>|x|</b>", "=1+1",
)  # fmt: skip


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("{")]


def compiled(body: str, folder: Path) -> str:
    """The log of a plain article in two columns that holds these tables."""
    document = (
        r"\documentclass[twocolumn]{article}\usepackage[margin=2cm]{geometry}\usepackage{booktabs}"
        rf"\begin{{document}}{body}\end{{document}}"
    )
    (folder / "paper.tex").write_text(document, encoding="utf-8")
    command = [program("pdflatex"), "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    log = (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


@pytest.mark.parametrize("ci", ["brackets", "plusminus", "none"])
def test_tables_compile_and_fit_the_page(tmp_path: Path, ci: str):
    made = ArtificialCampaign(
        schemes=["relu", "clip_act", "ranger", "ft_clipact", "fitact", "hyrelu_proact"],
        models=["alexnet", "vgg16"],
        bers=[1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5],
    )
    log = compiled(latex(read_results(made.write(tmp_path)), Style(ci=ci, best=True)), tmp_path)
    assert "Overfull" not in log
    assert "Missing character" not in log


def test_labels_that_are_anybodys_text_compile(tmp_path: Path):
    made = ArtificialCampaign(schemes=HOSTILE, models=["50%_off & more"], trials=2)
    log = compiled(latex(read_results(made.write(tmp_path))), tmp_path)
    assert "Missing character" not in log


def test_a_label_is_printed_letter_by_letter():
    assert escape_latex("a_b & 50% {x} #1 $y$") == r"a\_b \& 50\% \{x\} \#1 \$y\$"
    assert escape_latex(r"\input~^") == r"\textbackslash{}input\textasciitilde{}\textasciicircum{}"
    assert escape_latex("é ü ç Å") == r"\'{e} \"{u} \c{c} U+00C5"
    assert escape_latex("σ λ 保") == r"$\sigma$ $\lambda$ U+4FDD"


def test_schemes_go_down_and_bers_across_a_block_a_network(tmp_path: Path):
    made = ArtificialCampaign(models=["small", "large"], bers=[1e-6, 2.5e-5])
    text = latex(read_results(made.write(tmp_path)), Style(ci="none", digits=2))
    assert r"Scheme & Golden & $10^{-6}$ & $2.5 \cdot 10^{-5}$ \\" in text
    titles = re.findall(r"\\itshape (.*?)\}", text)
    assert titles == ["digits, small, q15.16", "digits, large, q15.16"] * 3
    rows = table_lines(text.partition(r"\end{tabular}")[0])
    assert [row.split(" & ")[0] for row in rows] == ["{relu}", r"{clip\_act}"] * 2
    assert all(re.fullmatch(r"\{\S+\} & 98\.00 & \d+\.\d\d & \d+\.\d\d \\\\", row) for row in rows)


def test_a_caption_counts_trials_and_images_and_says_what_is_missing(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], bers=[1e-6, 1e-5, 1e-4], trials=3)
    folder = made.write_manifest(tmp_path)
    trials = [a_trial(cell=made.cells[0]["cell"], trial=k) for k in range(3)]
    write_journal(folder / "journal", "one", [*trials, a_trial(cell=made.cells[1]["cell"], trial=0)])
    text = latex(read_results(folder), Style(ci="none", best=True))
    assert r"over 0 to 3 trials per cell and 200 images per trial." in text
    assert r"$^{\dagger}$LIMITED: 1 of the 3 trials asked for. --: no trial recorded." in text
    lines = table_lines(text.partition("made-outcomes")[0])
    assert lines == [r"{relu} & -- & 89.0 & 89.0$^{\dagger}$ & -- \\"]


def test_many_networks_go_into_several_tables(tmp_path: Path):
    made = ArtificialCampaign(
        models=[f"net{n}" for n in range(9)], schemes=[f"s{n}" for n in range(8)], bers=[1e-6], trials=1
    )
    text = latex(read_results(made.write(tmp_path)))
    tables = re.findall(r"\\label\{tab:made-accuracy(.*?)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert [label for label, _ in tables] == ["", "-2", "-3"]
    assert all(len(table_lines(body)) <= ROWS_PER_TABLE for _, body in tables)
    assert sum(len(table_lines(body)) for _, body in tables) == 72


def test_the_form_of_intervals_is_chosen(tmp_path: Path):
    results = read_results(ArtificialCampaign(schemes=["relu"], bers=[1e-6], trials=4).write(tmp_path))
    (cell,) = results.cells.to_dict("records")
    brackets = latex(results, Style(ci="brackets"))
    found = re.search(r"\[(\d+\.\d), (\d+\.\d)\] \\\\", brackets)
    assert found
    assert float(found[1]) <= 100 * cell["accuracy_ci_low"]
    assert float(found[2]) >= 100 * cell["accuracy_ci_high"]
    assert re.search(r"\d\$\^\{\+\d+\.\d\}_\{-\d+\.\d\}\$", latex(results, Style(ci="plusminus")))
    assert "interval over trials" not in latex(results, Style(ci="none"))


def test_an_overhead_table_says_what_each_scheme_costs(tmp_path: Path):
    text = latex(read_results(ArtificialCampaign(schemes=["relu", "fitact"]).write(tmp_path)))
    costs = table_lines(text.partition("made-overhead")[2])
    assert costs == [
        r"{relu} & 0 & 0 & 1.10 {\scriptsize [1.05, 1.20]} & 2.5 & 3 & 0 \\",
        r"{fitact} & 1 & 0.1 & 1.10 {\scriptsize [1.05, 1.20]} & 2.5 & 3 & 0 \\",
    ]


def test_rates_of_sdc_and_due_stand_over_the_accuracy_among_the_others(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu", "ranger"], bers=[1e-6, 1e-5, 1e-4], trials=3)
    folder = made.write_manifest(tmp_path)
    trials = [a_trial(cell=made.cells[0]["cell"], trial=k) for k in range(3)]
    ruined = [a_trial(cell=made.cells[1]["cell"], trial=k, n_correct=0) for k in range(3)]
    write_journal(folder / "journal", "one", [*trials, *ruined])
    text = latex(read_results(folder))
    rows = text.partition("made-outcomes")[2].partition(r"\end{tabular}")[0].splitlines()
    # 15 SDCs and 5 DUEs of 200 images; 178 of the 195 others are right. All of the second cell's images are DUEs.
    place = rows.index(r"{relu} & 7.5 / 2.5 & 0.0 / 100.0 & -- \\")
    assert rows[place + 1] == r" & \scriptsize 91.3 & \scriptsize -- &  \\"
    assert r"{ranger} & -- & -- & -- \\" in rows


def test_without_a_due_there_is_no_table_of_outcomes(tmp_path: Path):
    made = ArtificialCampaign(schemes=["relu"], bers=[1e-6], trials=1)
    folder = made.write_manifest(tmp_path)
    write_journal(folder / "journal", "one", [a_trial(cell=made.cells[0]["cell"], trial=0, n_correct=200)])
    assert "made-outcomes" not in latex(read_results(folder))
