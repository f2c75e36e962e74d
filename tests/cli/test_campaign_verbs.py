"""`faultbench validate`, `schema` and `list` as a user meets them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from faultbench.campaign.choices import known_plugins
from faultbench.campaign.json_schema import json_schema
from faultbench.cli.verbs import list as list_verb
from faultbench.cli.verbs import schema as schema_verb
from faultbench.cli.verbs.list import KINDS
from faultbench.plugins import registry
from tests.builders.campaign_texts import SMALL, small


def faultbench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = "from faultbench.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def listed(kind: str) -> list[str]:
    return CliRunner().invoke(list_verb.command, [kind], catch_exceptions=False).output.splitlines()


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_validate_says_how_large_the_campaign_is(campaign: Path) -> None:
    ran = faultbench("validate", campaign, "-s", "trials=1000", "-s", "bers=[1e-7, 1e-6, 1e-5]")
    axes = "datasets 1, models 1, schemes 2, guards 1, formats 1, faults 1, bers 3"
    assert ran.stdout.startswith(f"{campaign}: ok: 6 cells ({axes}), 6,000 trials\nNot checked: ")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_validate_of_an_adaptive_campaign_says_the_most_it_can_take(campaign: Path) -> None:
    ran = faultbench("validate", campaign, "-s", "trials={max: 1000, until: {accuracy_halfwidth: 0.01}}")
    assert ran.stdout.splitlines()[0].endswith(" at most 4,000 trials")


def test_validate_tells_every_problem_on_stderr_and_exits_with_2(campaign: Path) -> None:
    campaign.write_text(small(bers="[10]", schemes="[ftclipact]"))
    ran = faultbench("validate", campaign)
    assert (ran.returncode, ran.stdout) == (2, "")
    lines = ran.stderr.splitlines()
    assert len(lines) == 2
    assert f"{campaign}:4:11: schemes[0]: unknown scheme 'ftclipact'; did you mean 'ft_clipact'?" in lines[0]
    assert f"{campaign}:5:8: bers[0]: must be at most 0.5; given 10" in lines[1]


@pytest.mark.parametrize("missing", ["nowhere/small.yaml", "."])
def test_validate_of_no_file_is_one_line_and_no_traceback(tmp_path: Path, missing: str) -> None:
    ran = faultbench("validate", tmp_path / missing)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert "give the path of a campaign file" in ran.stderr


def test_schema_prints_the_schema_as_json() -> None:
    printed = CliRunner().invoke(schema_verb.command, [], catch_exceptions=False).output
    assert json.loads(printed) == json_schema()


@pytest.mark.parametrize(("plural", "kind"), KINDS.items())
def test_list_gives_every_plug_in_a_line_with_its_summary(plural: str, kind: str) -> None:
    lines = listed(plural)
    assert [line.split("  ")[0].rstrip() for line in lines] == list(known_plugins(kind))
    assert all(line.endswith(entry.summary) for line, entry in zip(lines, known_plugins(kind).values(), strict=True))


def test_list_shows_options_with_defaults_as_a_campaign_file_spells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        "granularity": registry.PluginOption(str, "layer"),
        "rates": registry.PluginOption(tuple[float, ...], (1e-7, 0.5)),
        "n": registry.PluginOption(int | None, None),
    }
    entries: Sequence[registry.PluginDeclaration] = [
        registry.PluginDeclaration("scheme", "a", "First.", "", "", options),
        registry.PluginDeclaration("scheme", "longer", "Second.", "", ""),
    ]
    monkeypatch.setattr(registry, "catalogue", lambda _kind, _modules: {entry.name: entry for entry in entries})
    assert listed("schemes") == [
        "a       granularity=layer rates=[1e-07, 0.5] n=null  First.",
        "longer                                               Second.",
    ]


def test_list_leaves_no_gap_where_no_plug_in_has_options(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.PluginDeclaration("model", "net", "A net.", "", "")
    monkeypatch.setattr(registry, "catalogue", lambda _kind, _modules: {"net": entry})
    assert listed("models") == ["net  A net."]


def test_list_of_no_plug_ins_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "catalogue", lambda _kind, _modules: {})
    assert listed("models") == []


def test_list_of_an_unknown_kind_exits_with_2_and_names_the_kinds() -> None:
    ran = faultbench("list", "scheme")
    assert ran.returncode == 2
    assert "'schemes'" in ran.stderr
    assert "Traceback" not in ran.stderr
