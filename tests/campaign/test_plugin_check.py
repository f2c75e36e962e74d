"""A campaign with plug-ins of a lab's own: read without running them, run when confirmed, known by their source."""

import csv
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultbench.campaign import Campaign, CampaignError, load_campaign
from faultbench.campaign.json_schema import json_schema
from faultbench.campaign.keys import OWN_NETWORKS_VERSION
from tests.builders.labs import CAMPAIGN, FILES, NET, leaving_no_module, write

BOOM = "raise RuntimeError('run')\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """A folder with a campaign, two modules of plug-ins and one that a plug-in imports."""
    write(tmp_path, FILES)
    with leaving_no_module(tmp_path):
        yield tmp_path


def campaign(lab: Path, *overrides: str) -> Campaign:
    return load_campaign(lab / "lab.yaml", overrides)


def errors(lab: Path, **files: str) -> list[str]:
    """The lines of the error that the campaign raises after some files were written, without its folder."""
    write(lab, {name.replace("__", "."): text for name, text in files.items()})
    with pytest.raises(CampaignError) as caught:
        campaign(lab)
    return str(caught.value).replace(f"{lab}/", "").splitlines()


def faultbench(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "faultbench", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=250)


def test_names_options_and_defaults_come_from_the_source(lab: Path) -> None:
    found = campaign(lab, "models=[{name: lab_net, width: 3}]")
    relu, ceiling = found.subjects
    assert (ceiling.model.name, ceiling.model.options) == ("lab_net", {"width": 3})
    assert (ceiling.scheme.name, ceiling.scheme.options) == ("lab_ceiling", {"share": 1.0})
    assert [module.name for module in found.plugins] == ["lab_models", "lab_schemes"]
    assert found.spec["plugins"] == ["lab_models", "lab_schemes"]
    assert (relu.model.origin, relu.scheme.origin) == (found.plugins[0], None)


def test_the_key_of_a_labs_network_says_how_it_is_measured_and_that_of_others_does_not(lab: Path) -> None:
    found = campaign(lab, "models=[lab_net, digits_cnn]", "schemes=[lab_ceiling]")
    own, ours = (subject.model.record for subject in found.subjects)
    assert (own["law"], "law" in ours) == (OWN_NETWORKS_VERSION, False)
    assert "law" not in found.subjects[0].scheme.record


def test_a_plug_ins_option_is_held_to_its_annotation(lab: Path) -> None:
    assert errors(lab, lab__yaml=CAMPAIGN.replace("[lab_net]", "[{name: lab_net, width: wide}]")) == [
        "lab.yaml:4:33: models[0].width: must be a whole number; given 'wide'"
    ]


@pytest.mark.slow
def test_a_subject_from_another_process_can_build_its_plug_ins(lab: Path) -> None:
    text = f"""
import pickle, sys
from faultbench.runner.subjects.plugin_building import build
from faultbench.runner.subjects.builder import dataset_splits
subject = pickle.loads({pickle.dumps(campaign(lab).subjects[1])!r})
print(build(subject.scheme).share, type(build(subject.model, shape=(1, 8, 8), n_classes=5)[-1]).__name__)
"""
    ran = subprocess.run([sys.executable, "-c", text], cwd="/", capture_output=True, text=True, check=True)
    assert ran.stdout == "1.0 Linear\n"


def keys(lab: Path) -> dict[str, str]:
    return {subject.scheme.name: subject.key for subject in campaign(lab).subjects}


def test_a_changed_plug_in_changes_the_keys_of_the_subjects_that_use_it_only(lab: Path) -> None:
    before = keys(lab)
    write(lab, {"lab_constants.py": "CEILING = 5.0\n"})
    assert keys(lab)["relu"] == before["relu"]
    assert keys(lab)["lab_ceiling"] != before["lab_ceiling"]
    write(lab, {"lab_models.py": NET + "# changed\n"})
    assert keys(lab)["relu"] != before["relu"]


def test_the_place_of_a_plug_in_is_no_part_of_a_key(lab: Path) -> None:
    write(lab / "copy", FILES)
    assert keys(lab / "copy") == keys(lab)
    write(lab, {"models_of_ours.py": NET, "lab.yaml": CAMPAIGN.replace("lab_models", "models_of_ours")})
    assert keys(lab) == keys(lab / "copy")


def test_a_campaign_that_names_plug_ins_it_does_not_use_keeps_its_keys(lab: Path) -> None:
    plain = CAMPAIGN.replace("lab_net", "digits_cnn").replace(", lab_ceiling", "")
    write(lab, {"lab.yaml": plain})
    with_plugins = keys(lab)
    write(lab, {"lab.yaml": plain.replace("plugins: [lab_models, lab_schemes]\n", "")})
    assert keys(lab) == with_plugins


def test_the_campaign_written_out_with_its_plug_ins_reads_as_itself(lab: Path) -> None:
    found = campaign(lab)
    write(lab, {"lab.yaml": json.dumps(found.spec)})
    assert campaign(lab) == found


def test_dotted_names_are_found_in_packages_whose_code_does_not_run(lab: Path) -> None:
    write(lab, {"labpack/__init__.py": BOOM, "labpack/nets.py": NET})
    write(lab, {"lab.yaml": CAMPAIGN.replace("lab_models", "labpack.nets")})
    assert campaign(lab).plugins[0].file == lab / "labpack" / "nets.py"


WRONG = {
    "no such module": ("lab_model", "", "no module 'lab_model' with Python source in . or where Python looks; did you"),
    "its file": ("lab_models.py", "", "looks; write 'lab_models'"),
    "twice": ("lab_schemes, lab_schemes", "", "plugins[1]: repeats plugins[0], 'lab_schemes'; leave one out"),
    "not Python": ("bad", "x = 1\nclass:\n", "plugins[0]: bad.py:2: not Python: "),
    "nothing declared": (
        "bad",
        "def net(): ...\n",
        "bad.py declares nothing that a campaign can name; put a decorator",
    ),
    "an engine": ("bad", '@engine("e")\nclass E: ...\n', "bad.py declares nothing that a campaign can name"),
    "a name of faultbench's": (
        "bad",
        '@model("resnet20")\ndef net(): ...\n',
        "model 'resnet20' of bad is declared by faultbench.networks.models.resnet_cifar too, as 'resnet20'; give yours",
    ),
    "a name that a placeholder of faultbench's takes": (
        "bad",
        '@number_format("q8.8")\ndef q(): ...\n',
        "number format 'q8.8' of bad is declared by faultbench.memory.formats.fixed_point too, as 'q<integer>.<",
    ),
    "a name of another plug-in": (
        "lab_schemes, bad",
        '@scheme("lab_ceiling")\nclass C: ...\n',
        "plugins[1]: scheme 'lab_ceiling' of bad is declared by lab_schemes too",
    ),
    "a name that is computed": ("bad", "NAME = 'a'\n@model(NAME)\ndef net(): ...\n", "bad.py:2: the name of a plug-in"),
    "a name without text": ("bad", "@model('')\ndef net(): ...\n", "bad.py:1: the name of a plug-in must be printable"),
    "a placeholder twice": (
        "bad",
        "@model('a<x>b<x>')\ndef net(x): ...\n",
        "bad.py:1: 'a<x>b<x>': give each <placeholder> a",
    ),
    "an option without a type": ("bad", "@model('a')\ndef net(\n  d=1): ...\n", "bad.py:3: net: option 'd' needs an"),
    "a type of its own": ("bad", "@model('a')\ndef net(d: Depth = 1): ...\n", "Depth cannot be read from source as a"),
    "a default that is computed": ("bad", "@model('a')\ndef net(d: int = D): ...\n", "D is not a literal, such as 8"),
    "a default of another type": (
        "bad",
        "@model('a')\ndef net(d: int = 'x'): ...\n",
        "bad: model 'a': option 'd': Input should be a valid integer; its default is 'x'",
    ),
    "an endless default": ("bad", "@model('a')\ndef net(d: float = 1e999): ...\n", "its options are invalid"),
    "a type that pydantic refuses": ("bad", "@model('a')\ndef net(d: dict[int] = 1): ...\n", "its options are invalid"),
    "a key of every entry": (
        "bad",
        "@model('a')\ndef net(label: str = 'x'): ...\n",
        "bad: model 'a': option 'label' is a key of every entry; give it another name",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_plug_in_that_cannot_be_used_is_one_line_at_its_place_in_the_file(lab: Path, case: str) -> None:
    named, source, message = WRONG[case]
    line = CAMPAIGN.replace("lab_models, lab_schemes", named)
    (told,) = errors(lab, bad__py=source, lab__yaml=line)
    assert told.startswith(("lab.yaml:2:11: plugins[0]: ", "lab.yaml:2:24: plugins[1]: "))
    assert message in told.replace(str(lab), ".")


def test_a_module_is_not_named_by_anything_but_text(lab: Path) -> None:
    (told,) = errors(lab, lab__yaml=CAMPAIGN.replace("lab_models, lab_schemes", "5"))
    assert told.startswith("lab.yaml:2:11: plugins[0]: must be text; given 5")
    (told,) = errors(lab, lab__yaml=CAMPAIGN.replace("[lab_models, lab_schemes]", "lab_models"))
    assert told == "lab.yaml:2:10: plugins: must be a list; given 'lab_models'; write [lab_models]"


def test_other_mistakes_are_told_beside_a_broken_plug_in_but_not_the_names_it_would_have_given(lab: Path) -> None:
    text = CAMPAIGN.replace("lab_schemes", "no_schemes").replace("trials: 3", "trials: 0")
    assert [line.split(": ")[1] for line in errors(lab, lab__yaml=text)] == ["plugins[1]", "trials"]


def test_the_schema_with_the_modules_takes_what_the_campaign_takes(lab: Path) -> None:
    found = campaign(lab)
    entries = json_schema(found.plugins)["properties"]["models"]["items"]["anyOf"]
    assert {"const": "lab_net", "description": "One convolution and a linear layer."} in entries
    assert "lab_net" not in json.dumps(json_schema())


@pytest.mark.parametrize("verb", ["validate", "plan", "run", "overhead"])
def test_no_verb_runs_a_plug_in_that_the_command_line_does_not_confirm(verb: str, lab: Path) -> None:
    write(lab, {"lab_models.py": f"open('ran', 'w')\n{NET}", "lab_constants.py": BOOM})
    ran = faultbench(verb, "lab.yaml", cwd=lab)
    assert not (lab / "ran").exists()
    assert not (lab / "results").exists()
    if verb == "validate":
        assert (ran.returncode, ran.stderr) == (0, "")
    else:
        assert (ran.returncode, ran.stdout) == (2, "")
        (line,) = ran.stderr.splitlines()
        assert line.startswith(f"faultbench: lab.yaml: plugins: lab_models ({lab / 'lab_models.py'}), lab_schemes (")
        assert line.endswith("would run with your rights; add --trust-plugins to the command if you trust them")


def test_list_and_schema_name_the_plug_ins_of_a_module_without_running_it(lab: Path) -> None:
    write(lab, {"lab_models.py": NET + BOOM})
    listed = faultbench("list", "models", "--plugin", "lab_models", "--plugin", "lab_schemes", cwd=lab)
    assert ["lab_net", "width=2", "One", "convolution"] in [line.split()[:4] for line in listed.stdout.splitlines()]
    assert "lab_net" in faultbench("schema", "--plugin", "lab_models", cwd=lab).stdout
    missing = faultbench("list", "models", "--plugin", "lab_nets", cwd=lab)
    assert missing.returncode == 2
    assert missing.stderr.startswith("faultbench: no module 'lab_nets'")


@pytest.mark.slow
def test_a_campaign_with_a_labs_model_and_scheme_runs_on_two_workers_until_its_source_changes(lab: Path) -> None:
    arguments = (lab / "lab.yaml", "--trust-plugins", "-s", "trials=2", "-o", lab / "out")
    ran = faultbench("run", *arguments, "--workers", 2, cwd=Path("/"))
    assert ran.returncode == 0, ran.stderr
    with (lab / "out" / "lab" / "tables" / "cells.csv").open() as file:
        assert [(row["scheme"], row["trials"]) for row in csv.DictReader(file)] == [("lab_ceiling", "2"), ("relu", "2")]
    manifest = json.loads((lab / "out" / "lab" / "manifest.json").read_text())
    assert manifest["plugins"] == {module.name: list(module.sources) for module in campaign(lab).plugins}
    write(lab, {"lab_constants.py": "CEILING = 0.0\n"})
    planned = faultbench("plan", *arguments, cwd=Path("/"))
    assert "2 of 4 trials missing" in planned.stdout
    assert "unknown and not included: fitting lab_ceiling." in planned.stdout


@pytest.mark.slow
def test_a_lab_model_that_fails_is_one_line_with_the_line_of_its_file(lab: Path) -> None:
    write(lab, {"lab_models.py": NET.replace("n_classes))", "n_classes, nonsense=1))")})
    ran = faultbench("plan", "lab.yaml", "--trust-plugins", cwd=lab)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"faultbench: {lab / 'lab_models.py'}:13: model 'lab_net': TypeError: ")
