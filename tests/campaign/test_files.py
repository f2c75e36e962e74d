"""Reading campaign files from disk, and what reading them imports."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultbench.campaign import CampaignError, load_campaign, parse_campaign
from faultbench.system.errors import FaultbenchError
from tests.builders.campaign_texts import SMALL, small

CAMPAIGNS = sorted((Path(__file__).parents[2] / "campaigns").glob("*.yaml"))


def error(path: Path) -> str:
    with pytest.raises(CampaignError) as caught:
        load_campaign(path)
    return str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert error(path) == f"{path}: no such file; give the path of a campaign file"


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    assert error(tmp_path) == f"{tmp_path}: a folder; give the path of a campaign file"


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    line = error(tmp_path / "pipe")
    assert line.endswith("cannot be read: a named pipe, which may wait for ever; give the path of a campaign file")


def test_a_campaign_comes_from_a_pipe_that_the_shell_opened(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "faultbench", "validate", "/dev/stdin"]
    done = subprocess.run(command, input=SMALL, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_path_with_a_zero_byte_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError, match=r"load_campaign: path must be the path of a campaign file; no file can"):
        load_campaign(tmp_path / "a\0b")


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_a_path_that_cannot_be_opened_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    line = error(tmp_path / name)
    assert line.isprintable()
    assert ": cannot be read: " in line


def test_binary_junk_is_one_line_at_its_first_wrong_byte(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"name: x\nab\xff\x00\x01")
    assert error(path) == f"{path}:2:3: not UTF-8 text; given the byte 0xff; a campaign file is YAML in UTF-8"


def test_utf_16_is_refused_and_a_byte_order_mark_of_utf_8_is_not(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SMALL, "utf-16")
    assert ":1:1: not UTF-8 text; given the byte 0x" in error(path)
    path.write_text(SMALL, "utf-8-sig")
    assert load_campaign(path).name == "small"


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(SMALL.replace("\n", "\r\n").encode())
    assert load_campaign(path).spec == parse_campaign(SMALL, path).spec
    path.write_bytes(small(trials="0").replace("\n", "\r\n").encode())
    assert error(path) == f"{path}:6:9: trials: must be at least 1; given 0"


def test_a_file_of_100_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.touch()
    os.truncate(path, 100_000_000)
    assert error(path) == f"{path}: larger than 1 MiB; a campaign file has some hundred lines"


def test_a_file_of_1_mib_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SMALL + "#" * (2**20 - len(SMALL)))
    assert load_campaign(path).name == "small"
    path.write_text(SMALL + "#" * (2**20 - len(SMALL) + 1))
    assert "larger than 1 MiB" in error(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_campaign_or_an_error_of_printable_lines(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    assert all(line.isprintable() for line in error(path).splitlines())


def with_weights(path: Path, folder: Path) -> Path:
    """A copy of a campaign beside files for the weights that it names: users bring them, here any file will do."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:file|weights): ([\w./-]+\w)", text):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"w")
    return Path(shutil.copy(path, folder))


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_the_campaigns_that_come_with_faultbench_are_right(path: Path, tmp_path: Path) -> None:
    assert load_campaign(with_weights(path, tmp_path), allow_outside=False).name == path.stem


def test_there_are_campaigns_that_come_with_faultbench() -> None:
    assert CAMPAIGNS


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_a_campaign_written_out_in_full_reads_as_itself(path: Path, tmp_path: Path) -> None:
    path = with_weights(path, tmp_path)
    campaign = load_campaign(path)
    assert parse_campaign(json.dumps(campaign.spec, ensure_ascii=False), path) == campaign


def test_a_campaign_is_written_out_with_every_default() -> None:
    spec = parse_campaign(small(trials=""), Path("small.yaml")).spec
    assert spec == {
        "name": "small",
        "seed": 0,
        "plugins": [],
        "datasets": [{"name": "digits", "label": "digits"}],
        "models": [{"name": "digits_cnn", "label": "digits_cnn"}],
        "schemes": [
            {"name": "relu", "label": "relu"},
            {
                "name": "clip_act",
                "label": "clip_act",
                "granularity": "layer",
                "quantile": 1.0,
                "nan_policy": "zero",
            },
        ],
        "guards": [{"name": "none", "label": "none"}],
        "formats": [{"name": "q15.16", "label": "q15.16"}],
        "faults": [
            {
                "name": "bernoulli",
                "label": "bernoulli",
                "targets": ["weights", "biases", "bounds"],
                "layers": ["*"],
                "bits": None,
            }
        ],
        "bers": [1e-6, 1e-5],
        "trials": 100,
        "images": "all",
        "sampling": "plain",
        "batch": "auto",
        "training": {"schedule": "fast"},
    }


def test_labels_weights_and_when_are_written_out_too(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"w")
    text = small(
        models='[{name: digits_cnn, weights: w, label: "netz \U0001f600", when: {dataset: digits}}]', images="9"
    )
    campaign = parse_campaign(text, tmp_path / "c.yaml")
    assert campaign.spec["models"] == [
        {"name": "digits_cnn", "weights": "w", "label": "netz \U0001f600", "when": {"dataset": "digits"}}
    ]
    assert parse_campaign(json.dumps(campaign.spec, ensure_ascii=False), tmp_path / "c.yaml") == campaign


def test_checking_a_campaign_imports_nothing_heavy() -> None:
    script = (
        "import sys; from pathlib import Path; from faultbench.campaign import load_campaign; "
        "from faultbench.campaign.json_schema import json_schema; json_schema(); load_campaign(Path(sys.argv[1])); "
        "print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(CAMPAIGNS[0])], capture_output=True, text=True, check=True)
    heavy = {"torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "joblib", "rich", "jinja2"}
    assert not heavy & set(ran.stdout.split())
    assert "faultbench.campaign" in ran.stdout.split()
