"""What the documents say holds: commands exist, examples run, figures are those of the tables beside them."""

import ast
import csv
import re
import runpy
from pathlib import Path

import pytest

from faultbench.campaign import parse_campaign
from faultbench.cli.main import Verbs
from faultbench.datasets import Splits
from faultbench.networks.network import Network
from faultbench.plugins import registry
from faultbench.plugins.declarations import read_declarations
from faultbench.runner.subjects.components import build_components
from tests.builders.fittings import on_digits

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_named_exists(path: Path) -> None:
    verbs = Verbs("faultbench").list_commands(None)  # type: ignore[arg-type]  # it needs no context
    named = set(re.findall(r"`faultbench (\w+)", path.read_text(encoding="utf-8")))
    assert named <= set(verbs)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"`((?:campaigns|docs|faultbench|tests)/[\w./]+)`", text)
    missing = [name for name in named if not (path.parent / name).exists() and not (ROOT / name).exists()]
    assert not missing


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)|`make (\w+)`", README, re.MULTILINE))
    for target in filter(None, sum(named, ())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_campaign_is_valid() -> None:
    (text,) = blocks("yaml")
    assert len(parse_campaign(text, ROOT / "README.md").cells) == 5 * 2 * 3


def test_the_readme_scheme_works(digits_cnn: Network, digits: Splits) -> None:
    (code,) = blocks("python")
    (entry,) = read_declarations(ast.parse(code), "scheme", "half_clip")
    assert {name: option.default for name, option in entry.options.items()} == {"share": 0.5}
    fitting = on_digits(digits_cnn, digits, n_train=100)
    namespace: dict[str, object] = {}
    exec(code, namespace)
    half = namespace["HalfClip"]().fit(fitting).bounds  # type: ignore[operator]
    whole = registry.build("scheme", "clip_act", {}).fit(fitting).bounds
    assert {name: bound * 2 for name, bound in half.items()} == whole


def test_the_readme_plug_in_is_read_and_traced(tmp_path: Path) -> None:
    (code,), (text,) = blocks("py"), blocks("yml")
    (tmp_path / "mylab.py").write_text(code, encoding="utf-8")
    subjects = parse_campaign(text, tmp_path / "mine.yaml").subjects
    assert [subject.model.options["width"] for subject in subjects] == [16, 16, 64, 64]
    assert build_components(subjects[-1]).n_bits == 32 * (64 * 64 + 64 + 64 * 10 + 10 + 1)


def test_the_readme_table_is_the_one_kept_in_docs() -> None:
    table = (ROOT / "docs" / "quickstart" / "table.md").read_text(encoding="utf-8")
    assert table.strip() in README


def test_the_table_kept_in_docs_is_that_of_the_csv_beside_it() -> None:
    folder = ROOT / "docs" / "quickstart"
    table = (folder / "table.md").read_text(encoding="utf-8")
    with (folder / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 35
    for row in rows:
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {row['scheme']} |") and "[" in line][:1]
        assert f" {100 * float(row['accuracy_mean']):.1f} [" in line
        assert f"| {100 * float(row['golden_accuracy']):.1f} |" in line


def test_the_quickstart_shows_what_the_papers_show() -> None:
    with (ROOT / "docs" / "quickstart" / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    relu = {row["ber"]: row for row in rows if row["scheme"] == "relu"}
    for row in rows:
        assert abs(float(row["golden_accuracy"]) - float(relu[row["ber"]]["golden_accuracy"])) <= 0.015
    two_highest = sorted(relu, key=float)[-2:]
    for row in rows:
        if row["scheme"] != "relu" and row["ber"] in two_highest:
            assert float(row["accuracy_ci_low"]) > float(relu[row["ber"]]["accuracy_ci_high"]) + 0.2


def test_the_reference_is_that_of_the_schema() -> None:
    fresh = runpy.run_path(str(ROOT / "docs" / "refresh_reference.py"))["page"]()
    kept = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert kept == fresh, "run docs/refresh_reference.py"
