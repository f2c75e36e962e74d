"""What a lab's own plug-ins are built into: data, formats, fault models, beside those of faultbench."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench.campaign import Campaign, load_campaign
from faultbench.memory.faults.fault_model import Targeted
from faultbench.runner.subjects.builder import dataset_splits
from faultbench.runner.subjects.components import build_components
from faultbench.runner.subjects.plugin_building import build
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import FILES, leaving_no_module, write


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """A folder with a campaign, two modules of plug-ins and one that a plug-in imports."""
    write(tmp_path, FILES)
    with leaving_no_module(tmp_path):
        yield tmp_path


def campaign(lab: Path, *overrides: str) -> Campaign:
    return load_campaign(lab / "lab.yaml", overrides)


def test_data_formats_and_fault_models_of_a_lab_are_built_too(lab: Path) -> None:
    axes = "datasets=[lab_data]", "formats=[lab_float32]", "faults=[lab_fault]"
    subject = campaign(lab, "plugins=[lab_data, lab_models]", "schemes=[relu]", *axes).subjects[0]
    assert len(dataset_splits(subject.dataset).test) == 4
    assert build(subject.format).bits == 32
    assert list(build(subject.fault).draw(None, ber=0.1, seed=0, trial=0).addresses) == [0]


def test_plug_ins_of_faultbench_are_built_as_before_beside_those_of_a_lab(lab: Path) -> None:
    assert build(campaign(lab).subjects[0].dataset).n_test == 500


TARGETED_FAULT = '''\
"""What a lab adds: a fault model with the targets of faultbench's."""

from dataclasses import dataclass

import numpy as np

from faultbench.memory.faults import fault_model as hit
from faultbench.memory.fault_map import FaultMap
from faultbench.plugins.registry import fault_model


@fault_model("first_bits")
@dataclass(frozen=True)
class FirstBits(hit.Targeted):
    """The first bits of memory."""

    n_flips: int = 1

    def draw(self, space, *, ber, seed, trial):
        return FaultMap(np.arange(self.n_flips))
'''

TARGETED_CAMPAIGN = """\
name: lab
plugins: [lab_faults]
datasets: [digits]
models: [digits_cnn]
training: {epochs: 1}
schemes: [relu]
faults: [{name: first_bits, layers: ['classifier.*'], n_flips: 3}]
bers: [1e-3]
"""


def test_a_labs_fault_model_takes_over_the_targets_of_faultbenchs(tmp_path: Path) -> None:
    write(tmp_path, {"lab_faults.py": TARGETED_FAULT, "lab.yaml": TARGETED_CAMPAIGN})
    with leaving_no_module(tmp_path):
        (subject,) = load_campaign(tmp_path / "lab.yaml").subjects
        assert subject.fault.options == {
            "targets": ["weights", "biases", "bounds"],
            "layers": ["classifier.*"],
            "bits": None,
            "n_flips": 3,
        }
        built = build_components(subject)
        assert isinstance(built.fault, Targeted)
        assert built.n_bits == 32 * (256 * 256 + 256 + 256 * 10 + 10)
        assert list(build(subject.fault).draw(None, ber=0.1, seed=0, trial=0).addresses) == [0, 1, 2]


def test_a_fault_model_that_says_not_what_it_hits_is_refused(tmp_path: Path) -> None:
    bare = TARGETED_FAULT.replace("(hit.Targeted)", "").replace("layers: ['classifier.*'], ", "")
    write(tmp_path, {"lab_faults.py": bare, "lab.yaml": TARGETED_CAMPAIGN.replace("layers: ['classifier.*'], ", "")})
    with leaving_no_module(tmp_path):
        (subject,) = load_campaign(tmp_path / "lab.yaml").subjects
        with pytest.raises(FaultbenchError, match=r"^fault model 'first_bits' says not what it hits: .*; derive it"):
            build_components(subject)
