"""faultbench's own gate: the campaign and the baseline kept here, checked by the command that users type."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_campaign_kept_here_comes_out_as_its_baseline_says(tmp_path: Path):
    files = ["campaigns/ci_small.yaml", "--baseline", "campaigns/ci_small.baseline.json"]
    command = [sys.executable, "-m", "faultbench", "check", *files, "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed: " in done.stdout.splitlines()[-1]
