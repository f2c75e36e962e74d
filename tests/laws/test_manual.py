"""The manual: its commands run, its files are files, its reference is that of the schema.

A fenced block after `<!-- file: NAME -->` is the file NAME; blocks of `sh` are commands, run in the order of their
page in one folder.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)

PAGES = sorted(path for path in DOCS.glob("*.md") if COMMANDS.search(path.read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_runs(page: Path, tmp_path: Path):
    text = page.read_text(encoding="utf-8")
    for name, content in FILE.findall(text):
        (tmp_path / name).write_text(content, encoding="utf-8")
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for command in "".join(COMMANDS.findall(text)).splitlines():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"


def test_the_pages_with_commands_are_those_meant():
    assert [page.stem for page in PAGES] == [
        "card",
        "ci",
        "cluster",
        "own_data",
        "own_model",
        "own_scheme",
        "papers",
        "progress",
        "python",
        "replay",
        "tutorial",
    ]


def test_the_manual_lists_all_its_pages():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


def test_no_command_hides_in_a_block_that_is_not_run():
    for page in DOCS.glob("*.md"):
        text = COMMANDS.sub("", page.read_text(encoding="utf-8"))
        assert not re.search(r"^(\$ )?faultbench ", text, re.MULTILINE), page.name
