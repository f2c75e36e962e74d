"""Rooms without torch have tests without it, so that their tests begin at once."""

import subprocess
import sys

from tests.builders.campaign_texts import ROOT

ROOMS = "plugins", "campaign", "results", "gate", "output"

PROGRAM = """
import sys, pytest
failed = pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *sys.argv[1:]])
print(failed, *sorted({"torch", "faultbench.runner"} & sys.modules.keys()))
"""


def test_tests_of_rooms_without_torch_do_not_import_it() -> None:
    command = [sys.executable, "-c", PROGRAM, *(f"tests/{room}" for room in ROOMS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
