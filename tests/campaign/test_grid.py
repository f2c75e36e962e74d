"""From axes to cells: order, entries that only some data sets have, and grids that are refused."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from faultbench.campaign import Campaign, CampaignError, parse_campaign
from faultbench.campaign.choices import options_model
from faultbench.campaign.given_weights import GivenWeights
from faultbench.plugins import registry
from tests.builders.campaign_texts import SOURCE, more_plug_ins, problems, small

TWO_DATASETS = {"datasets": "[digits, shapes]", "schemes": "[relu]", "bers": "[1e-6]"}


@pytest.fixture(autouse=True, scope="module")
def _more_plug_ins() -> Iterator[None]:
    with more_plug_ins():
        yield


def campaign(source: Path = SOURCE, **replaced: str) -> Campaign:
    return parse_campaign(small(**replaced), source)


def networks(found: Campaign) -> list[tuple[str, str]]:
    return [(subject.dataset.label, subject.model.label) for subject in found.subjects]


def test_cells_come_in_the_order_of_the_file() -> None:
    found = campaign(datasets="[shapes, digits]", formats="[q15.16, float32]")
    rows = [(c.subject.dataset.name, c.subject.scheme.name, c.subject.format.name, c.ber) for c in found.cells]
    assert rows == [
        (dataset, scheme, number_format, ber)
        for dataset in ("shapes", "digits")
        for scheme in ("relu", "clip_act")
        for number_format in ("q15.16", "float32")
        for ber in (1e-6, 1e-5)
    ]


def test_subjects_are_the_cells_without_their_ber_each_once() -> None:
    found = campaign()
    assert [subject.scheme.name for subject in found.subjects] == ["relu", "clip_act"]
    assert list(found.subjects) == [cell.subject for cell in found.cells[::2]]


def test_defaults_are_written_out() -> None:
    found = campaign(schemes="[clip_act]", trials="")
    subject = found.subjects[0]
    assert (subject.guard.name, subject.format.name, subject.fault.name) == ("none", "q15.16", "bernoulli")
    assert subject.scheme.options == {"granularity": "layer", "quantile": 1.0, "nan_policy": "zero"}
    assert subject.fault.options == {"targets": ["weights", "biases", "bounds"], "layers": ["*"], "bits": None}
    assert (subject.images, subject.batch, subject.seed, subject.training.schedule) == (None, None, 0, "fast")
    assert subject.weights is None
    assert found.trials == 100


def test_options_become_plain_values_of_their_annotated_type_sorted_by_name() -> None:
    options = campaign(schemes="[{name: knobs, rates: [1], limit: 2}]").subjects[0].scheme.options
    assert list(options.items()) == [
        ("bits", 4),
        ("deploy", "smooth"),
        ("enabled", False),
        ("gain", 1.0),
        ("layers", None),
        ("limit", 2.0),
        ("rates", [1.0]),
    ]
    assert {type(options["gain"]), type(options["limit"])} == {float}


def test_a_default_that_its_annotation_refuses_is_the_plug_ins_mistake() -> None:
    plug_in = registry.PluginDeclaration("scheme", "wrong", "", "", "", {"bits": registry.PluginOption(int, "many")})
    with pytest.raises(ValidationError, match="bits"):
        options_model(plug_in)()


def test_a_label_is_the_name_unless_given() -> None:
    found = campaign(schemes="[relu, {name: clip_act, granularity: channel, label: Clip-Act (channel)}]")
    assert [subject.scheme.label for subject in found.subjects] == ["relu", "Clip-Act (channel)"]
    assert found.subjects[1].scheme.name == "clip_act"


def test_a_model_is_crossed_with_the_data_sets_of_its_when_only() -> None:
    models = "[digits_cnn, {name: resnet20, when: {dataset: shapes}}, {name: zoo:a, when: {dataset: [shapes, digits]}}]"
    assert networks(campaign(**TWO_DATASETS, models=models)) == [
        ("digits", "digits_cnn"),
        ("digits", "zoo:a"),
        ("shapes", "digits_cnn"),
        ("shapes", "resnet20"),
        ("shapes", "zoo:a"),
    ]


def test_when_takes_labels_too() -> None:
    found = campaign(
        datasets="[shapes, {name: shapes, size: 16, label: large}]",
        models="[digits_cnn, {name: resnet20, when: {dataset: large}}]",
        schemes="[relu]",
    )
    assert networks(found) == [("shapes", "digits_cnn"), ("large", "digits_cnn"), ("large", "resnet20")]


def test_a_when_that_names_no_data_set_of_the_campaign_is_refused() -> None:
    models = "[digits_cnn, {name: resnet20, when: {dataset: [digits, shape]}}, {name: zoo:a, when: {dataset: x}}]"
    assert problems(small(**TWO_DATASETS, models=models)) == [
        (
            "small.yaml:3:64: models[1].when.dataset[1]: not in datasets: 'shape'; did you mean 'shapes'? "
            "(known: digits, shapes)"
        ),
        "small.yaml:3:104: models[2].when.dataset: not in datasets: 'x' (known: digits, shapes)",
    ]


def test_a_when_that_names_a_misspelt_data_set_of_the_campaign_is_not_blamed() -> None:
    (line,) = problems(small(datasets="[digit]", models="[{name: digits_cnn, when: {dataset: digit}}]"))
    assert line.startswith("small.yaml:2:12: datasets[0]: unknown dataset 'digit'")


def test_an_empty_when_is_refused() -> None:
    assert problems(small(models="[{name: digits_cnn, when: {dataset: []}}]")) == [
        "small.yaml:3:45: models[0].when.dataset: must be text or a list of at least 1; given an empty list"
    ]


def test_a_data_set_that_no_model_is_for_is_refused() -> None:
    assert problems(small(**TWO_DATASETS, models="[{name: digits_cnn, when: {dataset: digits}}]")) == [
        "small.yaml:2:20: datasets[1]: no model is for 'shapes'; add one, or widen a model's when"
    ]


@pytest.mark.parametrize(
    "schemes",
    [
        "[relu, relu]",
        "[relu, {name: relu}]",
        "[relu, {name: relu, label: other}]",
        "[clip_act, {name: clip_act, granularity: layer}]",
        "[{name: knobs, gain: 1}, {name: knobs, gain: 1.0}]",
    ],
)
def test_an_entry_that_means_what_an_earlier_one_means_is_refused(schemes: str) -> None:
    (line,) = problems(small(schemes=schemes))
    assert "schemes[1]: repeats schemes[0], '" in line
    assert line.endswith("; leave one out")


def test_entries_that_would_print_alike_are_refused_until_one_has_a_label() -> None:
    assert problems(small(schemes="[clip_act, {name: clip_act, granularity: channel}]")) == [
        "small.yaml:4:21: schemes[1]: would print as 'clip_act', as schemes[0] does; add a label: to one of them"
    ]
    assert problems(small(schemes="[clip_act, {name: relu, label: clip_act}]")) != []
    assert problems(small(schemes="[clip_act, {name: clip_act, granularity: channel, label: channel}]")) == []


def test_models_for_different_data_sets_may_share_name_and_label(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    first = "{name: digits_cnn, weights: a, when: {dataset: digits}}"
    second = "{name: digits_cnn, weights: b, when: {dataset: [shapes]}}"
    apart = small(**TWO_DATASETS, models=f"[{first}, {second}]")
    together = apart.replace("[shapes]", "[digits, shapes]")
    assert problems(apart, source=tmp_path / "c.yaml") == []
    (line,) = problems(together, source=tmp_path / "c.yaml")
    assert "models[1]: would print as 'digits_cnn', as models[0] does" in line


def test_weights_are_relative_to_the_campaign_file_and_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "net.bin").write_bytes(b"abc")
    subject = campaign(tmp_path / "c.yaml", models="[{name: digits_cnn, weights: w/net.bin}]").subjects[0]
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert subject.weights == GivenWeights(tmp_path / "w" / "net.bin", digest)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("none.bin", "no such file"),
        (".", "not a regular file"),
        ('"a\\0b"', "no such file"),
        ("x" * 300, "File name too long"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(tmp_path: Path, given: str, reason: str) -> None:
    (line,) = problems(small(models=f"[{{name: digits_cnn, weights: {given}}}]"), source=tmp_path / "c.yaml")
    assert f"c.yaml:3:38: models[0].weights: {reason}" in line
    assert line.endswith("; relative paths start at the campaign file's folder")
    assert line.isprintable()


def test_a_grid_without_end_is_refused_before_it_is_built() -> None:
    axes = {
        "schemes": "[" + ", ".join(f"{{name: knobs, gain: {n}, label: k{n}}}" for n in range(400)) + "]",
        "bers": "[" + ", ".join(f"{n}e-6" for n in range(1, 301)) + "]",
    }
    assert problems(small(**axes)) == ["small.yaml:1:1: the grid has 120,000 cells; a campaign has at most 100,000"]


def test_cells_survive_pickling_with_their_keys() -> None:
    cell = campaign().cells[0]
    key = cell.key
    copy = pickle.loads(pickle.dumps(cell))
    assert copy == cell
    assert hash(copy) == hash(cell)
    assert copy.key == key
    assert copy.subject.key == cell.subject.key


@pytest.mark.parametrize("given", ["../net.bin", "link/net.bin", "{root}/net.bin", '"\\0"'])
def test_weights_outside_of_the_campaigns_folder_need_leave(given: str, tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(b"weights")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "own.bin").write_bytes(b"weights")
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    source = tmp_path / "inside" / "c.yaml"
    wanted = small(models=f"[{{name: digits_cnn, weights: {given.format(root=tmp_path)}}}]")
    with pytest.raises(CampaignError, match=r"weights: outside of the campaign's folder; .* add --allow-outside"):
        parse_campaign(wanted, source, allow_outside=False)
    if "0" not in given:
        assert parse_campaign(wanted, source).subjects[0].weights
    own = small(models="[{name: digits_cnn, weights: own.bin}]")
    assert parse_campaign(own, source, allow_outside=False).subjects[0].weights
