"""Output never takes the place of a device, of a link's target, or of what the run itself reads."""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from faultbench.campaign import load_campaign
from faultbench.campaign.input_files import refuse_overwriting
from faultbench.cli.main import main
from faultbench.results.manifest_file import check_same_campaign
from faultbench.system.errors import EngineError, FaultbenchError
from faultbench.system.files.destinations import is_stream, refuse_linked
from faultbench.system.files.disk import append_text, replaced
from tests.builders.results import ArtificialCampaign

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")


def device(path: Path) -> Path:
    """A device like /dev/null of our own."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.open("wb").close()
    except OSError:
        pytest.skip("this machine lets nobody make a device node")
    return path


def write(path: Path, text: str = "new") -> None:
    with replaced(path) as temporary:
        temporary.write_text(text)


@needs_root
def test_a_device_is_written_through_and_stays_a_device(tmp_path: Path) -> None:
    path = device(tmp_path / "null")
    write(path)
    append_text(path, "more")
    assert stat.S_ISCHR(path.lstat().st_mode)
    assert [*tmp_path.iterdir()] == [path]


def test_a_full_device_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="/dev/full: cannot be written"):
        write(Path("/dev/full"))


def test_a_pipe_gets_what_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write(tmp_path / "pipe", "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


def test_a_pipe_that_nobody_reads_is_an_engine_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EngineError, match="pipe: cannot be written"):
        write(tmp_path / "pipe")


def test_standard_output_is_written_after_what_was_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    print("before,", end=" ")
    write(Path("/dev/stdout"), "through, ")
    print("after")
    assert capfd.readouterr().out == "before, through, after\n"
    assert not is_stream(tmp_path / "new")


@pytest.mark.parametrize("target", ["there", "nowhere", "."])
def test_a_link_is_refused_and_its_target_untouched(target: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FaultbenchError, match=f"is a link to {target}"):
        write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaultbenchError, match="is a folder; give the name of a file") as refusal:
        write(tmp_path)
    assert refusal.value.exit_code == 2


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("old")
    with replaced(tmp_path / "file") as temporary:
        pass_on = temporary
        temporary.write_text("x")
    pass_on.symlink_to("victim")
    write(tmp_path / "file")
    assert (tmp_path / "victim").read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"


def a_campaign(folder: Path) -> Path:
    for path in CAMPAIGNS.glob("ci_small.[sy]*"):
        shutil.copy(path, folder)
    (folder / "labs.py").write_text(
        'import faultbench as fb\nimport helper\n\n\n@fb.scheme("ours")\ndef ours():\n    """Ours."""\n'
    )
    (folder / "helper.py").write_text("A = 1\n")
    text = (folder / "ci_small.yaml").read_text()
    (folder / "ci_small.yaml").write_text(f"plugins: [labs]\n{text}")
    return folder / "ci_small.yaml"


@pytest.mark.parametrize(
    "name", ["ci_small.yaml", "x/../ci_small.yaml", "ci_small.safetensors", "labs.py", "helper.py"]
)
def test_no_output_takes_the_place_of_a_campaigns_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a_campaign(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FaultbenchError, match="name another file"):
        refuse_overwriting(tmp_path / name, "--junit", load_campaign(file))
    monkeypatch.chdir(tmp_path)
    for option in (["--junit", name, "--fail-if", "accuracy_mean < 0"], ["--baseline", name, "--update-baseline"]):
        monkeypatch.setattr(sys, "argv", ["faultbench", "check", str(file), "--trust-plugins", *option])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "name another file" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_hard_link_to_a_campaign_is_the_campaign(tmp_path: Path) -> None:
    file = a_campaign(tmp_path)
    (tmp_path / "other.yaml").hardlink_to(file)
    with pytest.raises(FaultbenchError, match="which this run reads"):
        refuse_overwriting(tmp_path / "other.yaml", "--junit", load_campaign(file))


@pytest.mark.parametrize(
    "inside", ["manifest.json", "journal/made.jsonl", "journal/new", "artifacts/x", "attribution/x"]
)
def test_no_output_takes_the_place_of_what_a_results_folder_holds(inside: str, tmp_path: Path) -> None:
    folder = ArtificialCampaign().write(tmp_path)
    (folder / "artifacts").mkdir()
    (folder / "attribution").mkdir()
    with pytest.raises(FaultbenchError, match="which this run reads"):
        refuse_overwriting(folder / inside, "--junit", load_campaign(a_campaign(tmp_path)), folder)
    refuse_overwriting(folder / "junit.xml", "--junit", load_campaign(tmp_path / "ci_small.yaml"), folder)


@pytest.mark.parametrize("output", ["made/manifest.json", "made/journal/made.jsonl", "link", "."])
def test_compare_writes_no_table_over_results(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ArtificialCampaign().write(tmp_path)
    (tmp_path / "link").symlink_to("made/manifest.json")
    before = (folder / "manifest.json").read_bytes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["faultbench", "compare", "made", "relu", "clip_act", "--output", output])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (folder / "manifest.json").read_bytes() == before


def test_results_inside_of_a_folder_of_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "c.yaml").write_text(
        'name: c\ndatasets: ["folder:images"]\nmodels: [resnet20]\nschemes: [relu]\nbers: [1e-5]\n'
    )
    with pytest.raises(FaultbenchError, match="which the campaign reads images from"):
        check_same_campaign(tmp_path / "images" / "results" / "c", load_campaign(tmp_path / "c.yaml"))
    check_same_campaign(tmp_path / "results" / "c", load_campaign(tmp_path / "c.yaml"))


def test_a_file_in_the_place_of_a_results_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ci_small").write_text("")
    with pytest.raises(FaultbenchError, match="ci_small: is no folder"):
        check_same_campaign(tmp_path / "ci_small", load_campaign(CAMPAIGNS / "ci_small.yaml"))


def test_a_linked_folder_for_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tables").symlink_to(tmp_path)
    with pytest.raises(FaultbenchError, match="tables: is a link"):
        refuse_linked(tmp_path / "tables")
