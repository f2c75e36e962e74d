"""Tests that inherited options are read from the source of the bases, as Python inherits them, without running it."""

import ast
import dataclasses
import sys
from pathlib import Path

import pytest

from faultbench.plugins import registry
from faultbench.plugins.declarations import MisdeclaredError, read_declarations
from faultbench.plugins.modules import find_module
from faultbench.system.errors import FaultbenchError
from tests.builders.labs import write

HEAD = """
import dataclasses
from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, Protocol, TypeVar
from faultbench.plugins.registry import scheme
T = TypeVar("T")
"""

CLASSES = {
    "own fields alone": "@scheme('s')\n@dataclass\nclass S:\n    a: int = 1\n    b: str = 'x'\n",
    "a base's fields come first": """
@dataclass
class Base:
    a: int = 1
    b: str = "x"

@scheme("s")
@dataclass
class S(Base):
    c: float = 0.5
""",
    "a field annotated again keeps its place and takes the last default": """
@dataclass
class Base:
    a: int = 1
    b: int = 2

@scheme("s")
@dataclass
class S(Base):
    c: int = 3
    a: float = 0.5
""",
    "a field that becomes the class's own is none any more": """
@dataclass
class Base:
    a: int = 1
    b: int = 2

@scheme("s")
@dataclass
class S(Base):
    a: ClassVar[int] = 7
""",
    "grandparents": """
@dataclass
class A:
    a: int = 1

class Between(A):
    hidden: int = 5

@dataclass
class B(Between):
    b: int = 2

@scheme("s")
@dataclass
class S(B):
    c: int = 3
""",
    "several bases, the first of which has the last word": """
@dataclass
class A:
    x: int = 1
    a: int = 1

@dataclass
class B:
    x: int = 2
    b: int = 2

@scheme("s")
@dataclass
class S(A, B):
    s: int = 3
""",
    "bases without fields": """
class Plain:
    p: int = 9

@scheme("s")
@dataclass
class S(Plain, Generic[T], ABC):
    a: int = 1
""",
    "a base with parameters": """
@dataclass
class Base(Generic[T]):
    a: int = 1

@scheme("s")
@dataclasses.dataclass(frozen=False)
class S(Base[int]):
    b: int = 2
""",
    "no dataclass, with a dataclass above": """
@dataclass
class Base:
    a: int = 1

@scheme("s")
class S(Base):
    pass
""",
}


@pytest.mark.parametrize("source", CLASSES.values(), ids=CLASSES)
def test_inherited_fields_are_those_that_python_gives_the_class(source: str) -> None:
    (entry,) = read_declarations(ast.parse(HEAD + source), "scheme", "made_up")
    namespace: dict[str, object] = {"__name__": "made_up"}
    sys.modules["made_up"] = type(sys)("made_up")
    try:
        exec(HEAD + source, namespace)
    finally:
        del sys.modules["made_up"]
    fields = dataclasses.fields(namespace["S"])  # type: ignore[arg-type]  # a dataclass
    assert [(name, option.default) for name, option in entry.options.items()] == [(f.name, f.default) for f in fields]


PACK = {
    "pack/__init__.py": "from .common import Shared as Base\n",
    "pack/common.py": (
        "raise RuntimeError('run')\nfrom beside import Root\n@dataclass\nclass Shared(Root):\n    depth: int = 8\n"
    ),
    "beside.py": "raise RuntimeError('run')\n@dataclass\nclass Root:\n    width: Literal[2, 3] = 2\n",
}


@pytest.mark.parametrize(
    "imports", ["from pack import Base", "from . import Base", "import pack\nBase = 1", "import pack.common as c"]
)
def test_bases_are_followed_through_packages_and_the_campaigns_folder_without_running_them(
    tmp_path: Path, imports: str
) -> None:
    base = {"import pack\nBase = 1": "pack.Base", "import pack.common as c": "c.Shared"}.get(imports, "Base")
    net = f"{imports}\n@model('net')\n@dataclass\nclass Net({base}):\n    size: int = 1\n"
    write(tmp_path, {**PACK, "pack/nets.py": net})
    modules = (find_module("pack.nets", tmp_path),)
    options = registry.find("model", "net", modules)[0].options
    assert {name: option.default for name, option in options.items()} == {"width": 2, "depth": 8, "size": 1}
    assert "pack" not in sys.modules


OUT_OF_REACH = {
    "an installed package's": ("from pydantic import BaseModel as B", "B", "the fields of pydantic.BaseModel cannot"),
    "one of a star import": ("from beside import *", "B", "bad neither defines nor imports 'B' where its source"),
    "a computed one": ("", "make(3)", "base make(3): it is computed; write the name of a class"),
    "one that is not there": ("from beside import C as B", "B", "beside neither defines nor imports 'C' where"),
    "one of a module that is not there": ("from pack.none import B", "B", "the fields of pack.none.B cannot be read"),
    "one that imports itself": ("from bad import B", "B", "cannot be read"),
    "a circle": ("@dataclass\nclass B(Net): ...", "B", "class Net is a base of itself"),
    "a base whose option cannot be read": ("from beside import Odd as B", "B", "Net, from Odd of beside: option 'x': "),
}


@pytest.mark.parametrize("case", OUT_OF_REACH)
def test_a_base_that_may_bring_options_but_cannot_be_read_is_told_at_the_class(tmp_path: Path, case: str) -> None:
    imports, base, message = OUT_OF_REACH[case]
    odd = "@dataclass\nclass Odd:\n    x: Depth = 1\n"
    net = f"{imports}\n@model('net')\n@dataclass\nclass Net({base}):\n    size: int = 1\n"
    write(tmp_path, {"bad.py": net, "beside.py": odd, "pack/__init__.py": ""})
    with pytest.raises(FaultbenchError) as caught:
        registry.declarations(find_module("bad", tmp_path), "model")
    line = next(number for number, text in enumerate(net.splitlines(), 1) if text.startswith("class Net"))
    assert str(caught.value).startswith(f"{tmp_path}/bad.py:{line}: Net")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_is_no_dataclass_may_have_any_base() -> None:
    source = "from torch import nn\n@model('net')\nclass Net(nn.Module):\n    size: int = 1\n"
    (entry,) = read_declarations(ast.parse(source), "model", "made_up")
    assert list(entry.options) == ["size"]
    with pytest.raises(MisdeclaredError, match="fields of torch"):
        list(read_declarations(ast.parse(source.replace("class Net", "@dataclass\nclass Net")), "model", "made_up"))
