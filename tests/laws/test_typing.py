"""Type checkers see what `import faultbench` offers, through `py.typed`, as they do for an installed package."""

import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAB = """\
from dataclasses import dataclass
from typing import ClassVar, assert_type

import pandas as pd
import torch
from torch import Tensor, nn

import faultbench as fb
from faultbench.datasets import Images, Splits
from faultbench.memory import FaultMap, FaultSpace, Targeted, generator
from faultbench.schemes import ClipAct, ClipToZero, Fitted, Fitting, Granularity, Site, granularities, profiled_bounds


@fb.model("tiny")
def tiny(shape: tuple[int, int, int], n_classes: int, *, width: int = 16) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width), nn.ReLU())


@fb.scheme("half_clip")
@dataclass(frozen=True)
class HalfClip:
    share: float = 0.5

    def granularity_at(self, site: Site, *, is_last: bool) -> Granularity:
        return "layer"

    def activation(self, bounds: Tensor) -> nn.Module:
        return ClipToZero(bounds)

    def fit(self, fitting: Fitting) -> Fitted:
        maxima = profiled_bounds(fitting, granularities(fitting.network, self))
        return Fitted({name: self.share * maximum for name, maximum in maxima.items()})


@fb.fault_model("first_bits")
@dataclass(frozen=True)
class FirstBits(Targeted):
    def draw(self, space: FaultSpace, *, ber: float, seed: int, trial: int) -> FaultMap:
        return FaultMap(generator(f"first/{seed}/{trial}").integers(0, space.n_target_bits, 1))


def report() -> None:
    try:
        results = fb.run(fb.load_campaign("mine.yaml"))
    except fb.FaultbenchError as error:
        raise SystemExit(error.exit_code) from error
    assert_type(results, fb.Results)
    assert_type(results.cells, pd.DataFrame)
    network = fb.protect(tiny((1, 8, 8), 10), HalfClip(share=0.7), torch.rand(8, 1, 8, 8))
    assert_type(network, nn.Module)
    fb.protect(network, ClipAct(granularity="channel"), torch.rand(8, 1, 8, 8))
    with fb.inject(network, ber=1e-4, format="float32") as flips:
        print(len(flips))
"""


def check(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run `mypy --strict` on a user's file, beside an environment that has faultbench as a package among others."""
    (folder / "lab.py").write_text(source, encoding="utf-8")
    venv.create(folder / "env", symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder / "env")})
    lines = [str(ROOT), *site.getsitepackages()]
    (Path(packages) / "packages.pth").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    python = folder / "env" / "bin" / "python"
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "lab.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_labs_file_passes_the_strict_checks(tmp_path: Path) -> None:
    checked = check(tmp_path, LAB)
    assert checked.stdout.splitlines()[-1:] == ["Success: no issues found in 1 source file"], checked.stdout


@pytest.mark.slow
def test_a_misspelt_name_and_a_wrong_argument_are_found(tmp_path: Path) -> None:
    checked = check(tmp_path, 'import faultbench as fb\n\nfb.protekt\nfb.load_campaign(3)\nfb.scheme(b"x")\n')
    assert [line.split(":")[1] for line in checked.stdout.splitlines() if "error:" in line] == ["3", "4", "5"]
