"""`faultbench replay`: planted flips are found again, with what they do; stored rows come out equal, or it says why."""

import itertools
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from faultbench.cli.main import _exit_code
from faultbench.datasets import Splits
from faultbench.memory.fault_map import FaultMap
from faultbench.networks.models.digits_cnn import digits_cnn as build_digits_cnn
from faultbench.networks.network import Network
from faultbench.results.folder import read_folder
from faultbench.results.journal.contents import read_journal
from faultbench.results.journal.journal import Journal
from faultbench.results.journal.records import Quarantine, Trial
from faultbench.runner.replay.contact_sheet import save_sheet
from faultbench.runner.replay.damage import LOGITS, damage
from faultbench.runner.replay.flips import flips_of
from faultbench.runner.replay.minimise import minimise
from faultbench.runner.replay.replayed_trial import ReplayedTrial, recorded_campaign, replay_trial
from faultbench.runner.replay.selection import find_cell, find_trial
from faultbench.system.errors import FaultbenchError
from faultbench.system.progress.reporter import SilentReporter

PLANTED = '''
from dataclasses import dataclass

import numpy as np

from faultbench.memory.fault_map import FaultMap
from faultbench.memory.faults.fault_model import Targeted
from faultbench.plugins.registry import fault_model

LOW = [("features.0.weight", word, 0) for word in range(5)]
BIAS, FIRST = ("classifier.2.bias", 3, 30), ("features.0.bias", 0, 30)
TRIALS = [[], [BIAS], [FIRST], [*LOW, BIAS], [("classifier.2.bias", 3, 0), BIAS]]


@fault_model("planted")
@dataclass(frozen=True)
class Planted(Targeted):
    """The flips written here."""

    def draw(self, space, *, ber, seed, trial):
        names = [item.name for item in space.stored]
        flips = [(names.index(name), word, bit) for name, word, bit in TRIALS[trial % len(TRIALS)]]
        return FaultMap(np.array(sorted(space.offsets[n] + 32 * word + bit for n, word, bit in flips), dtype=np.int64))
'''

CAMPAIGN = """
name: planted
plugins: [planted_flips]
datasets: [digits]
models: [{name: digits_cnn, weights: net.pt}]
schemes: [relu]
formats: [float32]
faults: [planted]
bers: [1e-6]
trials: 5
images: 100
"""

DRAWN = """
name: drawn
datasets: [digits]
models: [{name: digits_cnn, weights: net.pt}]
schemes: [relu, clip_act]
bers: [1e-6, 1e-5]
trials: 4
images: 100
"""


@pytest.fixture(scope="module")
def model(digits_cnn: Network) -> nn.Module:
    """The trained digits_cnn with two biases of which flips are easily foretold."""
    built = build_digits_cnn((1, 8, 8), 10)
    built.load_state_dict(digits_cnn.graph.state_dict(), strict=False)
    with torch.no_grad():
        built.get_parameter("classifier.2.bias")[3] = 0.5  # exponent 126: with bit 30 it is 254, and 0.5 is 2¹²⁷
        built.get_parameter("features.0.bias")[0] = 1.0  # exponent 127: with bit 30 it is 255, and 1 is infinity
    return built.eval()


@pytest.fixture(scope="module")
def lab(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights, a fault model of planted flips, two campaigns, and their results in results/."""
    folder = tmp_path_factory.mktemp("lab")
    torch.save(model.state_dict(), folder / "net.pt")
    (folder / "planted_flips.py").write_text(PLANTED)
    for name, text in (("planted", CAMPAIGN), ("drawn", DRAWN)):
        (folder / f"{name}.yaml").write_text(text)
        assert _exit_code(["run", str(folder / f"{name}.yaml"), "-o", str(folder / "results"), *RUN], debug=False) == 0
    return folder


RUN = ["--engine=serial", "--trust-plugins", "--progress=plain"]


def again_of(lab: Path, name: str, cell: str, number: int) -> ReplayedTrial:
    folder = read_folder(lab / "results" / name)
    entry = find_cell(folder, cell)
    stored = find_trial(folder, entry, number)
    return replay_trial(recorded_campaign(folder.path), folder, entry, stored, reporter=SilentReporter())


def test_planted_flips_are_shown_with_what_they_do_to_their_words(lab: Path) -> None:
    again = again_of(lab, "planted", "relu@1e-6", 4)
    low, high = flips_of(again.live[1], again.fault_map)
    assert (high.tensor, high.index, high.bit, high.rises, high.before) == ("classifier.2.bias", (3,), 30, True, 0.5)
    assert high.after == low.after == 2.0**127 * (1 + 2.0**-23)  # both flips of the word
    assert (low.bit, low.rises) == (0, True)
    first = again_of(lab, "planted", "relu@1e-6", 2)
    (flip,) = flips_of(first.live[1], first.fault_map)
    assert (flip.tensor, flip.index, flip.before, flip.after) == ("features.0.bias", (0,), 1.0, math.inf)
    assert flip.change == math.inf


def test_indices_are_those_of_the_tensor_however_it_lies_in_memory(lab: Path, model: nn.Module) -> None:
    again = again_of(lab, "drawn", "clip_act@1e-5", 1)
    network, space = again.live
    flips = flips_of(space, again.fault_map)
    assert any(len(flip.index) == 4 for flip in flips)
    state = model.state_dict()
    for flip in flips:
        if not flip.tensor.startswith("bounds."):
            assert flip.before == pytest.approx(float(state[flip.tensor][flip.index]), abs=2**-17)
            word = round(flip.before * 2**16)
            assert flip.rises == ((word ^ 1 << flip.bit) > word)  # Python's integers have no sign bit to end them
    assert again.live[0] is network


def test_the_damage_of_a_flip_begins_at_its_site_and_not_before(lab: Path) -> None:
    last, first = (again_of(lab, "planted", "relu@1e-6", number) for number in (1, 2))
    sites, changed = damage(*last.live, last.fault_map, last.images, last.batch)
    assert [one.site for one in sites if one.n_outside] == [LOGITS]
    assert not any(one.n_non_finite for one in sites)
    assert sites[-1].n_outside == 100  # class 3 of every image
    assert {one.now for one in changed} == {3}
    sites, changed = damage(*first.live, first.fault_map, first.images, first.batch)
    assert (sites[0].site, sites[0].n_values) == ("features.1", 100 * 32 * 64)
    assert sites[0].n_outside == sites[0].n_non_finite == 100 * 64  # one channel
    assert all(one.n_outside >= one.n_non_finite > 0 for one in sites)  # NaN is in no range
    ruined = [one for one in changed if one.now is None]
    assert (len(ruined), len(changed)) == (first.now.n_due, first.now.n_due + first.now.n_sdc)
    assert len(ruined) == 100


def test_the_images_that_changed_class_are_those_of_the_plain_network(
    lab: Path, model: nn.Module, digits: Splits
) -> None:
    again = again_of(lab, "planted", "relu@1e-6", 1)
    _, changed = damage(*again.live, again.fault_map, again.images, again.batch)
    images = digits.test.first(100)
    with torch.inference_mode():
        golden = model(images.pixels).argmax(dim=1)
    expected = [row for row in range(100) if golden[row] != 3]
    assert [one.row for one in changed] == expected
    assert [one.golden for one in changed] == golden[expected].tolist()
    assert [one.label for one in changed] == images.labels[expected].tolist()
    assert len(changed) == again.now.n_sdc


def test_what_is_looked_at_agrees_with_the_row(lab: Path) -> None:
    for cell, number in itertools.product(("relu@1e-5", "clip_act@1e-5"), range(4)):
        again = again_of(lab, "drawn", cell, number)
        assert again.differences == []
        before = [item.tensor.clone() for item in again.live[1].stored]
        _, changed = damage(*again.live, again.fault_map, again.images, again.batch)
        assert len(changed) == again.stored.n_sdc + again.stored.n_due
        assert sum(one.golden == one.label for one in changed if one.now is not None) == again.stored.n_sdc_critical
        assert all(torch.equal(a, b.tensor) for a, b in zip(before, again.live[1].stored, strict=True))


def test_the_smallest_failing_set_of_planted_flips_is_the_one_that_does_the_harm(lab: Path) -> None:
    again = again_of(lab, "planted", "relu@1e-6", 3)
    for points in (None, 50.0):
        failing = minimise(again, points=points, max_runs=100)
        (flip,) = flips_of(again.live[1], FaultMap(np.array(failing.flips.items)))
        assert (flip.tensor, flip.index, flip.bit) == ("classifier.2.bias", (3,), 30)
        assert failing.flips.is_minimal
        assert failing.outcome.n_sdc == again.stored.n_sdc


def test_the_smallest_failing_set_is_minimal_by_brute_force(lab: Path) -> None:
    tried = 0
    for cell, number in itertools.product(("relu@1e-6", "clip_act@1e-6", "relu@1e-5"), range(4)):
        again = again_of(lab, "drawn", cell, number)
        whole = again.stored.n_sdc + again.stored.n_due
        if not whole:
            with pytest.raises(FaultbenchError, match="turns no image"):
                minimise(again, points=None, max_runs=500)
            continue
        found = minimise(again, points=None, max_runs=500).flips
        assert found.is_minimal
        few = len(found.items) <= 6
        sets = itertools.chain.from_iterable(
            itertools.combinations(found.items, size) for size in range(len(found.items) if few else 0)
        )
        for chosen in sets:
            outcome = again.outcome(FaultMap(np.array(chosen, dtype=np.int64)))
            assert 2 * (outcome.n_sdc + outcome.n_due) < whole
            tried += 1
    assert tried > 5


def replayed(lab: Path, *arguments: str) -> int:
    name, *others = arguments
    return _exit_code(["replay", str(lab / "results" / name), *others], debug=False)


def test_the_verb_shows_it_all_and_writes_the_images(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets = ["--images", str(tmp_path / "sheets"), "--minimise", "--rows", "2"]
    assert replayed(lab, "planted", "relu@1e-6", "3", *sheets, "--trust-plugins") == 0
    out, error = capsys.readouterr()
    assert "relu/none/float32/planted@1e-6 trial 3" in out
    assert "the row is as it was stored" in out
    assert "flips, those that change a value most first (2 of 6 shown)" in out
    assert "first that is not finite: none" in out
    assert "1 of 6 flips, found in" in out
    assert "differs" not in error
    (sheet,) = (tmp_path / "sheets").glob("*-3.png")
    assert f"{sheet}: " in error
    assert imread(sheet).shape[1] > 1000


def test_a_contact_sheet_shows_every_image_in_its_colours(tmp_path: Path) -> None:
    images = np.zeros((12, 3, 8, 8), dtype=np.float32)
    images[:, 0] = 1.0
    images[11] = np.array([0.0, 0.0, 1.5]).reshape(3, 1, 1)  # brighter than white is as bright as can be
    save_sheet(tmp_path / "sheet.png", images, ["1: 2\n2 → 3"] * 12)
    shown = imread(tmp_path / "sheet.png")[:, :, :3]
    n_red, n_blue = (int((shown == colour).all(axis=2).sum()) for colour in ((1, 0, 0), (0, 0, 1)))
    assert n_red == pytest.approx(11 * n_blue, rel=0.03)  # a picture begins at whole pixels
    assert n_blue > 10_000
    with pytest.raises(FaultbenchError, match="images of 4 channels cannot be shown"):
        save_sheet(tmp_path / "sheet.png", np.zeros((1, 4, 8, 8), dtype=np.float32), [""])


def test_trials_without_harm_say_so(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed(lab, "planted", "relu@1e-6", "0", "--trust-plugins", "--images", str(tmp_path)) == 0
    out, error = capsys.readouterr()
    assert "0 flips, 100 images" in out
    assert "first site that leaves its range: none; first that is not finite: none" in out
    assert "no image changed class" in error
    assert not list(tmp_path.iterdir())
    assert replayed(lab, "planted", "relu@1e-6", "0", "--trust-plugins", "--minimise") == 2
    assert "--minimise: trial 0 turns no image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("drawn", "rely@1e-6", "0"), "no cell 'rely@1e-6'; did you mean 'relu@1e-6'?"),
        (("drawn", "relu@2e-6", "0"), "or labels and a BER, such as "),
        (("drawn", "zz", "0"), "no cell 'zz'"),
        (("drawn", "relu@x", "0"), "no cell 'relu@x'"),
        (("drawn", "digits@1e-6", "0"), "'digits@1e-6' is said of 2 cells: digits/digits_cnn/relu/none/q15.16/"),
        (("drawn", "", "0"), "no cell ''"),
        (("drawn", "relu@1e-6", "4"), "no trial 4 of digits/digits_cnn/relu/none/q15.16/bernoulli@1e-6; there are 4"),
        (("drawn", "relu@1e-6", "-1"), "-1"),
        (("drawn", "relu@1e-6", "0", "--rows", "few"), "--rows: 'few' is no number of rows"),
        (("drawn", "relu@1e-6", "0", "--points-lost", "3"), "--points-lost needs --minimise"),
        (("drawn", "relu@1e-5", "0", "--minimise", "--points-lost", "99.5"), "--points-lost 99.5: the trial costs "),
        (("planted", "relu@1e-6", "0"), "planted_flips"),
        (("nowhere", "relu@1e-6", "0"), "does not exist"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_what_there_is_not_is_exit_code_2_and_a_hint(
    arguments: tuple[str, ...], message: str, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(lab, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_cell_is_found_by_the_start_of_its_key_and_by_any_labels(lab: Path) -> None:
    folder = read_folder(lab / "results" / "drawn")
    for entry in folder.manifest.cells:
        assert find_cell(folder, entry.cell) is entry
        assert find_cell(folder, entry.cell[:12]) is entry
        assert find_cell(folder, f"{entry.model}/{entry.scheme}@{entry.ber}") is entry
    starts = [entry.cell[0] for entry in folder.manifest.cells]
    for start in {start for start in starts if starts.count(start) > 1}:
        with pytest.raises(FaultbenchError, match="is said of"):
            find_cell(folder, start)


def copied(lab: Path, target: Path, change: Callable[[Journal, Path], None]) -> Path:
    """The lab with a journal of `drawn` that change writes."""
    shutil.copytree(lab, target, dirs_exist_ok=True)
    old = target / "results" / "drawn" / "journal"
    kept = old.rename(target / "kept")
    with Journal(old, "changed") as journal:
        change(journal, kept)
    return target


def altered(lab: Path, target: Path, other: Callable[[Trial], Trial]) -> Path:
    """The lab with every trial of `drawn` put down otherwise."""

    def change(journal: Journal, kept: Path) -> None:
        known = read_journal(kept)
        for golden in known.goldens.values():
            journal.append(golden.to_record())
        for trial in known.trials.values():
            journal.append(other(trial).to_record())

    return copied(lab, target, change)


def test_a_row_that_does_not_come_out_as_stored_is_exit_code_1_and_says_what_differs(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(trial: Trial) -> Trial:
        up = 1 if trial.n_masked else -1
        return replace(trial, n_masked=trial.n_masked - up, n_due=trial.n_due + up, flips_digest="0" * 16)

    moved = altered(lab, tmp_path, other)
    assert replayed(moved, "drawn", "relu@1e-5", "0") == 1
    out, error = capsys.readouterr()
    assert "the row is not as it was stored" in out
    assert "differs: n_masked " in error
    assert "differs: n_due 1 stored, 0 now" in error
    assert "differs: flips_digest 0000000000000000 stored, " in error


def test_another_golden_run_than_recorded_is_exit_code_1(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(journal: Journal, kept: Path) -> None:
        known = read_journal(kept)
        for golden in known.goldens.values():
            journal.append(replace(golden, n_correct=7).to_record())
        for trial in known.trials.values():
            harmless = replace(trial, n_correct=7, n_masked=100, n_sdc=0, n_sdc_critical=0, n_due=0)
            journal.append(harmless.to_record())

    assert replayed(copied(lab, tmp_path, change), "drawn", "relu@1e-5", "0") == 1
    assert "differs: golden run: 7 of 100 correct recorded, " in capsys.readouterr().err


def with_golden_runs(lab: Path, target: Path, **changes: Any) -> Path:
    """The lab with the golden runs of `drawn` changed, and its trials as they are."""

    def change(journal: Journal, kept: Path) -> None:
        known = read_journal(kept)
        for record in (*(replace(golden, **changes) for golden in known.goldens.values()), *known.trials.values()):
            journal.append(record.to_record())

    return copied(lab, target, change)


def test_a_golden_run_that_differs_alone_is_exit_code_1(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(with_golden_runs(lab, tmp_path, top1_digest="0" * 16), "drawn", "relu@1e-5", "0") == 1
    out, error = capsys.readouterr()
    assert "the row is not as it was stored" in out
    assert error.count("differs: ") == 1
    assert f"classes {'0' * 16} recorded, " in error


def test_a_trial_that_its_recorded_golden_run_does_not_allow_has_no_row_and_it_is_told(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(with_golden_runs(lab, tmp_path, n_correct=7), "drawn", "relu@1e-5", "0") == 2
    assert "left out, which their golden run does not allow" in capsys.readouterr().err


def test_a_quarantined_trial_has_no_row(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(journal: Journal, kept: Path) -> None:
        for cell in read_folder(lab / "results" / "drawn").manifest.cells:
            journal.append(Quarantine(cell.cell, 2, 3, "out of memory").to_record())

    assert replayed(copied(lab, tmp_path, change), "drawn", "relu@1e-5", "2") == 2
    assert "trial 2 is quarantined, it has no row: out of memory" in capsys.readouterr().err


def test_results_that_were_moved_find_their_weights_by_the_campaigns_file(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(lab / "results" / "drawn", tmp_path / "results" / "drawn")
    path = tmp_path / "results" / "drawn" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "source": str(tmp_path / "gone" / "drawn.yaml")}))
    assert replayed(tmp_path, "drawn", "relu@1e-5", "0") == 2
    error = capsys.readouterr().err
    assert "no such file; given 'net.pt'" in error
    assert "--campaign" in error
    assert replayed(tmp_path, "drawn", "relu@1e-5", "0", "--campaign", str(lab / "drawn.yaml")) == 0


def test_weights_that_changed_since_are_told(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(lab, tmp_path, dirs_exist_ok=True)
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    torch.save({name: tensor * 2 for name, tensor in state.items()}, tmp_path / "net.pt")
    assert replayed(tmp_path, "drawn", "relu@1e-5", "0", "--campaign", str(tmp_path / "drawn.yaml")) == 2
    assert "a file of weights, images or plug-ins changed" in capsys.readouterr().err


def test_bounds_are_taken_from_the_artifacts(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "faultbench.runner.subjects.builder.bounds_to_maxima"
    monkeypatch.setattr(target, lambda *_, **__: pytest.fail("it was fitted again"))
    assert again_of(lab, "drawn", "clip_act@1e-5", 0).differences == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a CUDA card")
@pytest.mark.parametrize(("n_otherwise", "flips", "code"), [(0, None, 0), (2, None, 0), (3, None, 1), (1, "0" * 16, 1)])
def test_a_row_from_a_card_may_differ_by_two_hundredths_of_its_images(
    n_otherwise: int, flips: str | None, code: int, lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replayed_cell = find_cell(read_folder(lab / "results" / "drawn"), "relu@1e-6").cell

    def other(trial: Trial) -> Trial:
        if (trial.cell, trial.trial) != (replayed_cell, 0):
            return trial
        return replace(  # so many images that were right are DUEs
            trial,
            n_correct=trial.n_correct - n_otherwise,
            n_masked=trial.n_masked - n_otherwise,
            n_due=trial.n_due + n_otherwise,
            flips_digest=flips or trial.flips_digest,
        )

    moved = altered(lab, tmp_path, other)
    manifest = moved / "results" / "drawn" / "manifest.json"
    written = json.loads(manifest.read_text())
    written["execution"]["device"] = "cuda"
    manifest.write_text(json.dumps(written))
    assert replayed(moved, "drawn", "relu@1e-6", "0") == code
    out, error = capsys.readouterr()
    assert ("as last bits may do" in out, "not as it was stored" in out) == (code == 0 and n_otherwise > 0, code == 1)
    assert error.count("differs: ") == 3 * bool(n_otherwise) + (flips is not None)
