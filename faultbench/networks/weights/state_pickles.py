"""Reader of pickles of state dicts, opcode by opcode; nothing that a pickle names is imported or called."""

import io
import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from faultbench.networks.weights.file_tensors import FileTensor, Storage, UnreadableError
from faultbench.system.printable import printable

MOST_BYTES = 2**23
"""Bytes of a pickle, at most. The pickle of a state dict of a thousand tensors has 0.2 MB."""

MOST_OPERATIONS = 500_000
"""Opcodes of a pickle, at most. Each makes at most 100 bytes beside its text; a thousand tensors take 40,000."""

DAMAGED = "it is damaged or holds other things than tensors"


@dataclass(frozen=True)
class NamedObject:
    """Class or function that a pickle names; it is never imported."""

    name: str
    """Module and name, separated by a space as in the pickle."""


class OpaqueObject:
    """Object that is neither a tensor nor plain data, such as a device; its content is left out."""


_DTYPES = {
    f"torch {str(value).removeprefix('torch.')}": value
    for value in vars(torch).values()
    if isinstance(value, torch.dtype)
}

_STORAGES: dict[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "QInt8Storage": torch.qint8,
    "QInt32Storage": torch.qint32,
    "QUInt8Storage": torch.quint8,
    "QUInt4x2Storage": torch.quint4x2,
    "QUInt2x4Storage": torch.quint2x4,
    "UntypedStorage": None,
}

_ODD = {
    "torch._utils _rebuild_sparse_tensor": "sparse",
    "torch._utils _rebuild_qtensor": "quantised",
    "torch._utils _rebuild_meta_tensor_no_storage": "meta",
    "torch._utils _rebuild_nested_tensor": "nested",
    "torch._utils _rebuild_wrapper_subclass": "subclassed",
    "torch._utils _rebuild_device_tensor_from_numpy": "foreign device's",
    "torch._utils _rebuild_device_tensor_from_cpu_tensor": "foreign device's",
}

_PLAIN = {
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch._tensor _rebuild_from_type_v2",
}

_DICTS = {"collections OrderedDict", "collections Counter"}
_TENSORS = {"torch Tensor", "torch.nn.parameter Parameter"}
_OTHERS = {
    "_codecs encode",
    "builtins bytearray",
    "builtins complex",
    "builtins set",
    "torch device",
    "torch.serialization _get_layout",
    *(f"torch {scheme}_affine" for scheme in ("per_tensor", "per_channel")),
    *(f"torch {scheme}_symmetric" for scheme in ("per_tensor", "per_channel")),
    "torch per_channel_affine_float_qparams",
}
_ALLOWED = _DICTS | _TENSORS | _OTHERS | _PLAIN | {"torch Size"} | _ODD.keys() | _DTYPES.keys()


def read_pickle(data: io.BytesIO, storage: Callable[[tuple[Any, ...]], Storage]) -> Any:
    """Return the content of the pickle at the stream's position, with descriptions of tensors.

    The stream is left behind the pickle. Dicts, lists, tuples, texts and numbers stay as they are. storage makes a
    storage from a persistent id. UnreadableError for anything that torch's own reader of state dicts would not take
    either, and for pickles that are too large.
    """
    machine = _Machine(storage)
    try:
        return machine.run(data)
    except UnreadableError:
        raise
    # What damaged bytes lead to: texts that are no UTF-8, an empty stack, a memo that was never set.
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise UnreadableError(DAMAGED) from error


class _Machine:
    """Stack machine that runs pickles, with the opcodes that torch's own writer uses."""

    def __init__(self, storage: Callable[[tuple[Any, ...]], Storage]) -> None:
        self._storage = storage
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: io.BytesIO) -> Any:
        for n_done, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if n_done >= MOST_OPERATIONS:
                raise UnreadableError(f"its pickle has more than {MOST_OPERATIONS:,} operations")
            if opcode.name == "STOP":
                return self._stack.pop()
            self._do(opcode.name, argument)
        raise UnreadableError(DAMAGED)

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case "NONE" | "NEWFALSE" | "NEWTRUE":
                stack.append({"NONE": None, "NEWFALSE": False, "NEWTRUE": True}[name])
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_named(argument))
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE" | "EMPTY_SET":
                stack.append(
                    {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": OpaqueObject}[name]()
                )
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE":
                items = tuple(self._marked())
                self._stack.append(items)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                n = int(name[-1])
                items = tuple(stack[len(stack) - n :])
                del stack[len(stack) - n :]
                stack.append(items)
            case "APPEND" | "APPENDS":
                self._append([stack.pop()] if name == "APPEND" else self._marked())
            case "SETITEM" | "SETITEMS":
                self._set_items([stack.pop(-2), stack.pop()] if name == "SETITEM" else self._marked())
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(_called(stack.pop(), arguments))
            case "BUILD":
                stack.pop()
                if not isinstance(stack[-1], dict | OpaqueObject):
                    raise UnreadableError(DAMAGED)
            case "BINPERSID":
                stack.append(self._stored(stack.pop()))
            case "PROTO":
                if argument != 2:
                    raise UnreadableError(f"{DAMAGED}: a pickle of protocol {argument}, where torch.save writes 2")
            case _:
                raise UnreadableError(DAMAGED)

    def _marked(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise UnreadableError(DAMAGED)
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise UnreadableError(DAMAGED)
        _fill(target, zip(items[::2], items[1::2], strict=True))

    def _stored(self, name: Any) -> Storage:
        if not isinstance(name, tuple) or not name or _text(name[0]) != "storage":
            raise UnreadableError(DAMAGED)
        return self._storage(name)


def storage_of(name: tuple[Any, ...], parts: dict[str, memoryview], byteorder: str) -> Storage:
    """Return the storage of a persistent id: ("storage", type, key, location, number of values, …)."""
    _, kind, key, _, count, *views = name
    if not isinstance(kind, NamedObject) or type(count) is not int or count < 0:
        raise UnreadableError(DAMAGED)
    if any(view is not None for view in views):
        raise UnreadableError("it holds views of storages, as very old versions of torch wrote them; save it again")
    dtype = _STORAGES[kind.name.partition(" ")[2]]
    return Storage(_text(key), dtype, count * (1 if dtype is None else dtype.itemsize), parts, byteorder)


def _text(value: Any) -> str:
    text = value.decode("ascii") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise UnreadableError(DAMAGED)
    return text


def _named(argument: str) -> NamedObject:
    name = argument.replace("__builtin__ ", "builtins ")
    module, _, last = name.partition(" ")
    if name in _ALLOWED or (module in {"torch", "torch.cuda", "torch.storage"} and last in _STORAGES):
        return NamedObject(name)
    raise UnreadableError(f"{DAMAGED}: {printable(name.replace(' ', '.'))[:60]}")


def _fill(target: dict[Any, Any], pairs: Iterable[tuple[Any, Any]]) -> None:
    for key, value in pairs:
        if not isinstance(key, str | int | float | bool | bytes | None):
            target[OpaqueObject()] = value  # it has an entry of no name, whatever it is
        elif key in target:
            raise UnreadableError(f"it holds two entries of one name: {printable(str(key))[:60]}")
        else:
            target[key] = value


def _called(function: Any, arguments: Any) -> Any:
    if not isinstance(function, NamedObject) or not isinstance(arguments, tuple):
        raise UnreadableError(DAMAGED)
    name = function.name
    if name in _ODD:
        return FileTensor(None, (), oddity=_ODD[name])
    if name in _PLAIN:
        return _tensor(name.partition(" ")[2], arguments)
    if name in _DICTS:
        filled: dict[Any, Any] = {}
        pairs = arguments[0] if arguments else []
        _fill(filled, [(key, value) for key, value in (pairs.items() if isinstance(pairs, dict) else pairs)])
        return filled
    if name == "torch.nn.parameter Parameter":
        return arguments[0]
    if name == "torch Size":
        return tuple(arguments[0]) if isinstance(arguments[0], tuple | list) else OpaqueObject()
    return OpaqueObject()


def _tensor(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "_rebuild_from_type_v2":
        function, kind, inner, _ = arguments
        if (
            not isinstance(kind, NamedObject)
            or kind.name not in _TENSORS
            or function == NamedObject("torch._tensor " + name)
        ):
            return FileTensor(None, (), oddity="subclassed")
        return _called(function, inner)
    if name.startswith("_rebuild_parameter"):
        return arguments[0]
    storage, offset, shape, stride, *rest = arguments
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise UnreadableError(DAMAGED)
    # _v2 and _v3: requires_grad, backward_hooks, then the dtype (_v3 alone), then marks such as a pending negation.
    dtype = rest.pop(2) if name == "_rebuild_tensor_v3" else storage.dtype
    if isinstance(dtype, NamedObject):
        dtype = _DTYPES[dtype.name]
    if not isinstance(dtype, torch.dtype):
        raise UnreadableError(DAMAGED)
    if any(rest[2:]):
        return FileTensor(dtype, (), oddity="lazily negated or conjugated")
    return FileTensor(dtype, shape, stride, offset, storage)
