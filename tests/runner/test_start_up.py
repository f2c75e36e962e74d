"""Tests of what a run imports: nothing that takes seconds and that it does not use."""

import subprocess
import sys
from pathlib import Path

from tests.builders.campaign_texts import write_tiny

PROGRAM = """
import sys
from faultbench.cli.main import main
sys.argv = ["faultbench", "run", "tiny.yaml", "--engine", "serial", "-s", "trials=2"]
try:
    main()
finally:
    print("imported:", sorted({"torch._dynamo", "torchvision", "torch"} & sys.modules.keys()))
"""


def test_a_run_of_a_trained_network_imports_neither_torchvision_nor_torchs_compiler(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=write_tiny(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: ['torch']"
