"""Tests of plug-ins: they are found by name, and their options are read from source without importing it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from faultbench.campaign.choices import options_model
from faultbench.campaign.spec import ModelEntry
from faultbench.plugins import registry
from faultbench.plugins.modules import PluginModule, find_module
from faultbench.plugins.registry import FOLDERS, PluginDeclaration, PluginOption
from faultbench.system.errors import FaultbenchError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the registry scan an empty package in place of faultbench. Tests write plug-ins into its folders."""
    for folder in FOLDERS.values():
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(registry, "_PACKAGE", tmp_path)
    monkeypatch.setattr(registry, "catalogue", registry.catalogue.__wrapped__)
    return tmp_path


def entry(name: str) -> PluginDeclaration:
    return PluginDeclaration("model", name, "", "", "")


def test_a_name_without_placeholders_matches_itself_only() -> None:
    assert entry("clip_act").match("clip_act") == {}
    assert entry("clip_act").match("clip_act2") is None
    assert entry("a.b").match("axb") is None


def test_placeholders_take_what_stands_in_their_place() -> None:
    assert entry("q<integer>.<fraction>").match("q15.16") == {"integer": "15", "fraction": "16"}
    assert entry("zoo:<name>").match("zoo:mobilenet_v2") == {"name": "mobilenet_v2"}
    assert entry("<a>-<b>").match("x-y") == {"a": "x", "b": "y"}


@pytest.mark.parametrize("text", ["q15", "q.16", "q15.", "Q15.16", "q15_16", "xq15.16", "q15.1\n6", ""])
def test_a_text_of_another_shape_matches_no_placeholders(text: str) -> None:
    assert entry("q<integer>.<fraction>").match(text) is None


def test_an_exact_name_goes_before_one_with_placeholders(package: Path) -> None:
    (package / "networks/models" / "zoo.py").write_text(
        '@model("zoo:<name>")\ndef any_of_it(name: str): ...\n\n@model("zoo:tiny")\ndef tiny(): ...\n'
    )
    assert registry.find("model", "zoo:tiny")[0].attribute == "tiny"
    found, placeholders = registry.find("model", "zoo:large")
    assert (found.attribute, placeholders) == ("any_of_it", {"name": "large"})


def test_a_class_has_its_annotated_fields_with_a_default_as_options(package: Path) -> None:
    (package / "schemes" / "clip.py").write_text(
        '"""A module."""\nimport not_installed\n\n'
        '@scheme("clip")\n@dataclass(frozen=True)\nclass Clip:\n'
        '    """Clip to zero.\n\n    More about it.\n    """\n\n'
        "    supplied: Any\n"
        '    granularity: Literal["layer", "channel"] = "layer"\n'
        "    gain: Annotated[float, Field(gt=0)] = -1.5\n"
        "    rates: tuple[float, ...] = (1e-7, 1e-6)\n"
        "    steps: int | None = None\n"
        "    SHARED: ClassVar[int] = 3\n"
        "    plain = 4\n\n"
        "    def method(self, x: int = 3) -> None: ...\n"
    )
    (found,) = registry.catalogue("scheme").values()
    assert (found.name, found.summary, found.attribute) == ("clip", "Clip to zero.", "Clip")
    assert found.module == "faultbench.schemes.clip"
    assert list(found.options) == ["granularity", "gain", "rates", "steps"]
    assert found.options["granularity"] == PluginOption(Literal["layer", "channel"], "layer")
    assert found.options["gain"].default == -1.5
    assert found.options["rates"] == PluginOption(tuple[float, ...], (1e-7, 1e-6))
    assert found.options["steps"] == PluginOption(int | None, None)


def test_a_function_has_its_parameters_with_a_default_as_options(package: Path) -> None:
    (package / "networks/models" / "net.py").write_text(
        '@model("net")\ndef net(a, b: int, c: int = 1, *, shape: Any, depth: int = 8, wide: bool = False): ...\n'
    )
    assert dict(registry.find("model", "net")[0].options) == {
        "c": PluginOption(int, 1),
        "depth": PluginOption(int, 8),
        "wide": PluginOption(bool, False),
    }


def test_an_option_without_an_annotation_is_the_plug_ins_mistake(package: Path) -> None:
    (package / "networks/models" / "net.py").write_text('@model("net")\ndef net(*, depth=8): ...\n')
    with pytest.raises(ValueError, match="net: option 'depth' needs an annotation"):
        registry.catalogue("model")


def test_only_the_kind_of_the_folder_and_only_decorated_names_are_plug_ins(package: Path) -> None:
    (package / "networks/models" / "net.py").write_text(
        '@model("net")\ndef net(): ...\n\ndef other(): ...\n\n@cache\ndef third(): ...\n\n@scheme("x")\ndef x(): ...\n'
    )
    assert list(registry.catalogue("model")) == ["net"]
    assert registry.catalogue("scheme") == {}


def test_the_catalogue_is_sorted_by_name_over_all_files(package: Path) -> None:
    (package / "networks/models" / "a.py").write_text('@model("z")\ndef z(): ...\n\n@model("m")\ndef m(): ...\n')
    (package / "networks/models" / "b.py").write_text('@model("b")\ndef b(): ...\n')
    assert list(registry.catalogue("model")) == ["b", "m", "z"]


def test_a_name_taken_twice_is_refused_with_both_modules(package: Path) -> None:
    for stem in ("one", "two"):
        (package / "networks/models" / f"{stem}.py").write_text('@model("net")\ndef net(): ...\n')
    with pytest.raises(
        ValueError, match=r"model 'net': declared by faultbench\.networks\.models\.one and faultbench\.networks\S*\.two"
    ):
        registry.catalogue("model")


def test_an_unknown_name_is_told_with_the_nearest_and_all_known(package: Path) -> None:
    (package / "schemes" / "a.py").write_text('@scheme("ft_clipact")\ndef f(): ...\n\n@scheme("relu")\ndef r(): ...\n')
    with pytest.raises(FaultbenchError) as near:
        registry.find("scheme", "ftclipact")
    assert str(near.value) == "unknown scheme 'ftclipact'; did you mean 'ft_clipact'? (known: ft_clipact, relu)"
    with pytest.raises(FaultbenchError) as far:
        registry.find("scheme", "xyz")
    assert str(far.value) == "unknown scheme 'xyz' (known: ft_clipact, relu)"
    with pytest.raises(FaultbenchError, match="unknown number format 'q9'"):
        registry.find("number_format", "q9")


def test_a_placeholder_becomes_a_value_of_its_type_and_is_text_without_one(package: Path) -> None:
    (package / "networks/models" / "net.py").write_text(
        '@model("net<depth>x<width>-<kind>")\n'
        "def net(depth: Annotated[int, Field(ge=1, le=9)], kind, *, width: float): ...\n\n"
        '@model("cls<depth>")\n@dataclass\nclass Net:\n    depth: int\n'
    )
    assert registry.find("model", "net8x0.5-8")[1] == {"depth": 8, "width": 0.5, "kind": "8"}
    assert registry.find("model", "cls-3")[1] == {"depth": -3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("netx", "depth must be a valid integer, unable to parse string as an integer; given 'x'"),
        ("net10", "depth must be less than or equal to 9; given '10'"),
        ("net08", "depth is written 8; given '08'"),
        ("net 8", "depth is written 8; given ' 8'"),
        ("net8_0", "depth must be less than or equal to 9; given '8_0'"),
    ],
)
def test_a_placeholder_that_its_type_refuses_is_told(package: Path, text: str, message: str) -> None:
    (package / "networks/models" / "net.py").write_text(
        '@model("net<depth>")\ndef net(depth: Annotated[int, Field(le=9)]): ...\n'
    )
    with pytest.raises(FaultbenchError) as caught:
        registry.find("model", text)
    assert str(caught.value) == f"model {text!r}: {message}"


def lab(folder: Path, source: str) -> tuple[PluginModule]:
    """Return a module of a lab's own with this source."""
    (folder / "lab_nets.py").write_text(source)
    return (find_module("lab_nets", folder),)


def test_a_labs_plug_ins_join_faultbenchs_own_and_leave_them_as_they_are(package: Path, tmp_path: Path) -> None:
    (package / "networks/models" / "net.py").write_text('@model("net")\ndef net(): ...\n')
    modules = lab(tmp_path, '@registry.model("alone")\ndef own(*, depth: int = 3):\n    """One."""\n')
    assert list(registry.catalogue("model", modules)) == ["alone", "net"]
    assert list(registry.catalogue("model")) == ["net"]
    found, _ = registry.find("model", "alone", modules)
    assert (found.origin, found.options, found.summary) == (modules[0], {"depth": PluginOption(int, 3)}, "One.")
    assert registry.find("model", "net", modules)[0].origin is None
    with pytest.raises(FaultbenchError, match=r"unknown model 'alone' \(known: net\)"):
        registry.find("model", "alone")


def test_a_labs_placeholders_take_over_no_name_that_means_something_without_them(package: Path, tmp_path: Path) -> None:
    (package / "networks/models" / "net.py").write_text(
        '@model("zoo:tiny")\ndef tiny(): ...\n\n@model("zoo:<name>")\ndef zoo(name): ...\n'
    )
    modules = lab(tmp_path, '@model("<a>:<b>")\ndef own(a, b): ...\n')
    found = [registry.find("model", text, modules)[0].attribute for text in ("zoo:tiny", "zoo:large", "my:own")]
    assert found == ["tiny", "zoo", "own"]


@pytest.mark.parametrize("name", ["net", "zoo:tiny", "zoo:<other>"])
def test_a_name_that_faultbench_gives_a_meaning_is_no_labs(package: Path, tmp_path: Path, name: str) -> None:
    (package / "networks/models" / "net.py").write_text(
        '@model("net")\ndef net(): ...\n\n@model("zoo:<name>")\ndef zoo(name): ...\n'
    )
    modules = lab(tmp_path, f'@model("{name}")\ndef own(): ...\n')
    taken = "net" if name == "net" else "zoo:<name>"
    with pytest.raises(FaultbenchError) as caught:
        registry.catalogue("model", modules)
    assert str(caught.value) == (
        f"model {name!r} of lab_nets is declared by faultbench.networks.models.net too, as {taken!r}; "
        "give yours another name"
    )


def test_build_calls_the_plug_in_with_placeholders_options_and_what_is_supplied(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = '@model("net<size>")\ndef net(size, *, depth: int = 8, shape): ...\n'
    (package / "networks/models" / "net.py").write_text(source)
    monkeypatch.setattr(PluginDeclaration, "load", lambda self: lambda **given: (self.attribute, given))
    built = registry.build("model", "net16", {"depth": 3}, shape=(1, 8, 8))
    assert built == ("net", {"size": "16", "depth": 3, "shape": (1, 8, 8)})


def test_a_plug_in_is_imported_only_when_it_is_loaded() -> None:
    assert PluginDeclaration("model", "x", "", "json", "dumps").load() is json.dumps


def test_decorators_leave_their_target_alone_and_want_a_name() -> None:
    for mark in (
        registry.dataset,
        registry.model,
        registry.scheme,
        registry.number_format,
        registry.fault_model,
        registry.engine,
    ):
        assert mark("x")(entry) is entry
        with pytest.raises(ValueError, match="needs a name"):
            mark("")


REAL = [entry for kind in FOLDERS for entry in registry.catalogue(kind).values()]


@pytest.mark.parametrize("real", REAL, ids=lambda real: f"{real.kind}-{real.name}")
def test_every_plug_in_says_what_it_is_in_one_line(real: PluginDeclaration) -> None:
    assert real.summary.endswith(".")
    assert real.summary.isprintable()


@pytest.mark.parametrize("real", REAL, ids=lambda real: f"{real.kind}-{real.name}")
def test_the_defaults_of_every_plug_in_fit_their_annotations(real: PluginDeclaration) -> None:
    options = options_model(real)().model_dump(mode="json")
    assert json.loads(json.dumps(options)) == options
    assert set(options) == set(real.options)


@pytest.mark.parametrize("real", REAL, ids=lambda real: f"{real.kind}-{real.name}")
def test_no_option_takes_a_key_that_every_entry_has(real: PluginDeclaration) -> None:
    assert not set(real.options) & set(ModelEntry.model_fields)


def test_reading_the_catalogue_imports_no_plug_in() -> None:
    script = (
        "import sys; from faultbench.plugins.registry import *; print(*(catalogue(k) for k in FOLDERS), *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "digits_cnn" in ran.stdout
    assert not {"torch", "numpy", *(real.module for real in REAL)} & set(ran.stdout.split())
