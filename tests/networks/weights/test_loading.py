"""Given weights: what is read, and what is refused with one line and without running a byte of it."""

import hashlib
import os
import pickle
import random
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from faultbench.networks.weights.loading import load_weights, read_weights
from faultbench.system.errors import FaultbenchError


def model() -> nn.Module:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), flat=nn.Flatten()))


@pytest.fixture
def state() -> dict[str, Tensor]:
    """The state of such a model, of values that no initialisation gives."""
    values = model().state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(tensor.shape, generator=generator) + 5 if tensor.is_floating_point() else tensor + 9
        for name, tensor in values.items()
    }


def loaded(path: Path) -> dict[str, Tensor]:
    filled = model()
    load_weights(filled, path)
    return filled.state_dict()


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal in all that inference reads."""
    read = [name for name in b if "num_batches" not in name]
    return all(torch.equal(a[name], b[name]) for name in read)


def refused(path: Path, *reasons: str) -> None:
    """Expect a refusal in one line with the path and the reasons, and a network that keeps its weights."""
    filled = model()
    before = {name: tensor.clone() for name, tensor in filled.state_dict().items()}
    with pytest.raises(FaultbenchError, match=f"^{re.escape(str(path))}: ") as raised:
        load_weights(filled, path)
    message = str(raised.value)
    assert "\n" not in message
    assert "\x1b" not in message
    assert all(reason in message for reason in reasons), message
    assert equal(filled.state_dict(), before)


def test_safetensors_are_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    assert equal(loaded(tmp_path / "w.safetensors"), state)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_plain_state_dict_is_read_in_both_of_torchs_formats(
    zipped: bool, state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = saved(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    assert equal(loaded(path), state)


def test_a_state_dict_inside_a_checkpoint_with_its_names_prefixed_is_read(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    prefixed = OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())
    path = saved({"state_dict": prefixed, "epoch": 200, "best_prec1": 91.7}, tmp_path / "w.th")
    assert equal(loaded(path), state)
    assert list(read_weights(path)) == list(state)


def test_a_prefix_that_not_all_names_have_is_part_of_the_name(state: dict[str, Tensor], tmp_path: Path) -> None:
    mixed = {f"module.{name}" if name == "conv.bias" else name: tensor for name, tensor in state.items()}
    refused(saved(mixed, tmp_path / "w.pt"), "conv.bias missing", "module.conv.bias unexpected")


def test_declared_prefixes_are_stripped_replaced_and_added(state: dict[str, Tensor], tmp_path: Path) -> None:
    prefix = {"conv": "backbone.c1", "norm": "backbone.bn.n1"}
    renamed = {prefix[name.partition(".")[0]] + "." + name.partition(".")[2]: tensor for name, tensor in state.items()}
    filled = model()
    load_weights(filled, saved(renamed, tmp_path / "w.pt"), (("backbone.bn.n1", "norm"), ("backbone.c1", "conv")))
    assert equal(filled.state_dict(), state)
    bare = {name.removeprefix("conv."): tensor for name, tensor in state.items()}
    save_file(bare, tmp_path / "w.safetensors")
    load_weights(filled, tmp_path / "w.safetensors", (("", "conv."), ("norm.", "norm.")))
    assert equal(filled.state_dict(), state)


def test_the_longest_prefix_of_a_name_is_replaced_once(tmp_path: Path) -> None:
    path = saved({"a.a.x": torch.ones(1), "a.y": torch.ones(1), "z": torch.ones(1)}, tmp_path / "w.pt")
    assert list(read_weights(path, (("a.", ""), ("a.a.", "a.")))) == ["a.x", "y", "z"]


def test_with_declared_prefixes_no_other_is_stripped(state: dict[str, Tensor], tmp_path: Path) -> None:
    doubled = {f"module.{name}": tensor for name, tensor in state.items()}
    path = saved(doubled, tmp_path / "w.pt")
    assert next(iter(read_weights(path, (("module.conv", "module.c"),)))) == "module.c.weight"
    assert list(read_weights(path, (("module.", ""),))) == list(state)


def test_declared_prefixes_that_match_nothing_or_make_two_names_one_are_refused(tmp_path: Path) -> None:
    path = saved({"a.x": torch.ones(1), "b.x": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(
        FaultbenchError, match=r"w\.pt: keys: no name left begins with 'module\.'; the file has a\.x, b\.x"
    ):
        read_weights(path, (("module.", ""), ("a.", "c.")))
    with pytest.raises(FaultbenchError, match=r"w\.pt: keys: a\.x and b\.x would both become x; tell them apart"):
        read_weights(path, (("a.", ""), ("b.", "")))
    with pytest.raises(FaultbenchError, match=r"keys: a\.x and b\.x would both become b\.x"):
        read_weights(path, (("a.", "b."),))


def test_checkpoints_older_than_the_batch_counter_are_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    del state["norm.num_batches_tracked"]
    assert equal(loaded(saved(state, tmp_path / "w.pt")), state)


def test_a_batch_counter_of_another_shape_does_not_matter(state: dict[str, Tensor], tmp_path: Path) -> None:
    odd = {**state, "norm.num_batches_tracked": torch.zeros(2, 2)}
    assert equal(loaded(saved(odd, tmp_path / "w.pt")), state)


def test_values_in_half_precision_are_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    after = loaded(saved(halves, tmp_path / "w.pt"))
    assert all(tensor.dtype == torch.float32 for name, tensor in after.items() if "num_batches" not in name)
    assert equal(after, {name: tensor.float() for name, tensor in halves.items()})


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_wrong_shapes_and_names_are_refused(suffix: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    def written(content: dict[str, Tensor]) -> Path:
        path = tmp_path / f"w.{suffix}"
        save_file(content, path) if suffix == "safetensors" else torch.save(content, path)
        return path

    refused(written({**state, "conv.weight": torch.zeros(2, 1, 5, 5)}), "conv.weight is (2, 1, 5, 5)", "(2, 1, 3, 3)")
    refused(written({**state, "extra": torch.zeros(1)}), "none missing, extra unexpected")
    refused(
        written({"conv.weight": state["conv.weight"]}), "conv.bias, norm.bias, norm.running_mean and 2 more missing"
    )
    refused(written({}), "conv.bias, conv.weight, norm.bias and 3 more missing", "none unexpected")


ODD: dict[str, Any] = {
    "int8": (lambda w: w.to(torch.int8), "conv.weight is int8, the network's is float32; give values of floating"),
    "int64": (lambda w: w.long(), "conv.weight is int64, the network's is float32"),
    "bool": (lambda w: w.bool(), "conv.weight is bool, the network's is float32"),
    "uint16": (lambda w: w.to(torch.uint16), "conv.weight is uint16, the network's is float32"),
    "complex": (lambda w: w.to(torch.complex64), "conv.weight is complex64, the network's is float32"),
    "float8": (lambda w: w.to(torch.float8_e4m3fn), "conv.weight is float8_e4m3fn, the network's is float32"),
    "float64 of more digits": (
        lambda w: w.double() + 1e-12,
        "is float64, and 18 of its 18 values lose digits as float32",
    ),
    "NaN": (lambda w: w.masked_fill(w < 5.1, torch.nan), "of 18 values that are NaN or infinite; give finite ones"),
    "infinite": (lambda w: w / 0, "conv.weight has 18 of 18 values that are NaN or infinite; give finite ones"),
    "sparse": (lambda w: w.to_sparse(), "conv.weight is a sparse tensor"),
    "rows of a sparse one": (lambda w: w[0, 0].to_sparse_csr(), "conv.weight is a sparse tensor"),
    "quantised": (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "conv.weight is a quantised tensor"),
    "meta": (lambda w: w.to("meta"), "conv.weight is a meta tensor"),
    "lazily negated": (torch._neg_view, "conv.weight is a lazily negated or conjugated tensor"),
    "nested": (lambda w: torch.nested.as_nested_tensor(list(w)), "conv.weight is a nested tensor"),
    "no tensor": (lambda w: w.tolist(), "it holds no state dict: conv.weight is no tensor; leave it out with drop"),
}


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:The PyTorch API of nested tensors", "ignore:.*quantize")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_another_kind_are_refused_by_name(
    kind: str, zipped: bool, state: dict[str, Tensor], tmp_path: Path
) -> None:
    make, reason = ODD[kind]
    odd = {**state, "conv.weight": make(state["conv.weight"])}
    refused(saved(odd, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped), reason)
    if isinstance(odd["conv.weight"], Tensor) and kind in {"int8", "bool", "complex", "float8", "NaN", "uint16"}:
        save_file(odd, tmp_path / "w.safetensors")
        refused(tmp_path / "w.safetensors", reason)


PLAIN: dict[str, Any] = {
    "half": torch.Tensor.half,
    "bfloat16": torch.Tensor.bfloat16,
    "float64 of the same digits": torch.Tensor.double,
    "a parameter": nn.Parameter,
    "a buffer": nn.Buffer,
    "one that requires grad": lambda w: w.clone().requires_grad_(),
    "every third value": lambda w: torch.arange(60.0)[1::3][:18].reshape(w.shape),
    "turned": lambda w: w.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "channels last": lambda w: w.to(memory_format=torch.channels_last),
    "one value everywhere": lambda w: torch.full((1,), 2.5).expand(w.shape),
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_hold_the_same_numbers_are_read(
    kind: str, zipped: bool, state: dict[str, Tensor], tmp_path: Path
) -> None:
    plain = {**state, "conv.weight": PLAIN[kind](state["conv.weight"])}
    path = saved(plain, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    expected = {**state, "conv.weight": plain["conv.weight"].detach().float()}
    assert equal(loaded(path), expected)


class Marked(nn.Module):
    """Has a mask of −inf and a table of integers, as attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.register_buffer("index", torch.tensor([3, 1]))


def test_an_infinite_mask_and_integers_that_the_network_has_itself_are_read(tmp_path: Path) -> None:
    network = Marked()
    index = torch.tensor([2, 5], dtype=torch.int32)
    load_weights(network, saved({"mask": network.mask, "index": index}, tmp_path / "w.pt"))
    assert network.state_dict()["index"].tolist() == [2, 5]
    other = saved({"mask": -network.state_dict()["mask"], "index": index}, tmp_path / "other.pt")
    with pytest.raises(FaultbenchError, match=r"mask has 1 of 2 values that are NaN or infinite"):
        load_weights(network, other)
    with pytest.raises(FaultbenchError, match=r"index is float32, the network's is int64; give it of that kind"):
        load_weights(network, saved({"mask": network.mask, "index": index.float()}, tmp_path / "other.pt"))


def test_a_variance_below_0_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    refused(saved({**state, "norm.running_var": -torch.ones(2)}, tmp_path / "w.pt"), "norm.running_var holds variances")


def tied() -> nn.Module:
    network = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    network.b.weight = network.a.weight
    return network


def test_tied_tensors_are_read_once_or_twice_but_never_as_two(tmp_path: Path) -> None:
    values = {name: torch.rand(tensor.shape) for name, tensor in tied().state_dict().items()}
    with pytest.raises(
        FaultbenchError, match=r"weight is not in the network as the file has it: it is one tensor with"
    ):
        load_weights(tied(), saved(values, tmp_path / "w.pt"))
    values["b.weight"] = values["a.weight"]
    one = {name: tensor for name, tensor in values.items() if name != "a.weight"}
    for number, content in enumerate((values, one)):
        network = tied()
        load_weights(network, saved(content, tmp_path / f"{number}.pt"))
        assert equal(network.state_dict(), values)


class Doubling(nn.Linear):
    """Changes what it loads, as a network may that rescales old checkpoints."""

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        state_dict[prefix + "bias"] = state_dict[prefix + "bias"] * 2
        super()._load_from_state_dict(state_dict, prefix, *rest)


def test_a_network_that_changes_what_it_loads_is_refused(tmp_path: Path) -> None:
    path = saved(nn.Linear(2, 2).state_dict(), tmp_path / "w.pt")
    with pytest.raises(FaultbenchError, match="bias is not in the network as the file has it"):
        load_weights(Doubling(2, 2), path)


def test_names_are_dropped_before_prefixes_are_looked_at(state: dict[str, Tensor], tmp_path: Path) -> None:
    averaged = {"n_averaged": torch.tensor(7), "aux.scale": torch.ones(3, dtype=torch.int8), "aux.note": "text"}
    path = saved({**averaged, **{f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "w.pt")
    with pytest.raises(FaultbenchError, match=r"aux\.note is no tensor; leave it out with drop"):
        load_weights(model(), path)
    filled = model()
    load_weights(filled, path, drop=["n_averaged", "aux.*"])
    assert equal(filled.state_dict(), state)
    with pytest.raises(
        FaultbenchError, match=r"drop: 'n_averages' fits no name; the file has n_averaged, aux\.scale, "
    ):
        load_weights(model(), path, drop=["n_averages"])
    with pytest.raises(
        FaultbenchError, match=r"drop: 'aux\.' fits no name; .*; for names that begin so, write 'aux\.\*'"
    ):
        load_weights(model(), path, drop=["aux."])


def test_a_checkpoint_of_several_things_needs_the_name_of_its_state_dict(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    optimiser = torch.optim.Adam(model().parameters())
    parts = {"epoch": 3, "model": state, "optimizer": optimiser.state_dict()}
    path = saved(parts, tmp_path / "w.pt")
    refused(path, "it holds no state dict, but epoch, model, optimizer; name the state dict, as in state_dict: model")
    filled = model()
    load_weights(filled, path, state_dict="model")
    assert equal(filled.state_dict(), state)
    with pytest.raises(FaultbenchError, match=r"it has no entry 'ema'; it holds epoch, model, optimizer"):
        load_weights(filled, path, state_dict="ema")


def test_a_file_of_another_digest_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "w.pt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    load_weights(model(), path, digest=digest)
    saved({**state, "conv.bias": torch.zeros(2)}, path)
    with pytest.raises(FaultbenchError, match=rf"changed since the campaign was read: SHA-256 {digest[:16]}… then, "):
        load_weights(model(), path, digest=digest)


@pytest.mark.parametrize(
    "content",
    [[1, 2], "text", 7, torch.ones(3), {"state_dict": {"a": 1}}, {0: torch.ones(1)}, {"a": torch.ones(1), "b": None}],
    ids=repr,
)
def test_what_holds_no_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    refused(saved(content, tmp_path / "w.pt"), "it holds no state dict", "give safetensors or a state dict")


class Malicious:
    """Object that writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("way", ["pickle", "torch", "torch, old format"])
def test_a_malicious_pickle_is_refused_without_running_it(way: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pt", tmp_path / "trace"
    content = {**state, "conv.weight": Malicious(trace)}
    if way == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=way == "torch")
    refused(path, "it is damaged or holds other things than tensors")
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))
    assert trace.exists()  # so it would have left its trace


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_empty_and_missing_files_and_folders_are_refused(suffix: str, tmp_path: Path) -> None:
    refused(tmp_path / f"none.{suffix}", "cannot be read as weights", "No such file")
    (tmp_path / f"empty.{suffix}").touch()
    refused(tmp_path / f"empty.{suffix}", "cannot be read as weights")
    (tmp_path / f"folder.{suffix}").mkdir()
    refused(tmp_path / f"folder.{suffix}", "cannot be read as weights")


@pytest.mark.parametrize("start", [b"", b"\x80\x02", b"\x80\x04\x95", b"PK\x03\x04"])
def test_junk_is_refused_whatever_torchs_unpickler_makes_of_it(start: bytes, tmp_path: Path) -> None:
    rng = random.Random(0)
    for n_bytes in range(60):
        for suffix in ("safetensors", "pt"):
            path = tmp_path / f"junk.{suffix}"
            path.write_bytes(start + rng.randbytes(n_bytes))
            refused(path, "cannot be read as weights")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["safetensors", "zip", "old"])
def test_a_damaged_file_is_refused_or_read_but_never_a_crash(
    form: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    whole, rng = path.read_bytes(), random.Random(1)
    messages = []
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
        try:
            load_weights(model(), path)
        except FaultbenchError as error:
            messages.append(str(error))
    assert len(messages) > 150  # half of the files lost their end
    assert not any("\n" in message for message in messages)


def test_an_archive_that_would_unfold_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "w.pt")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for part in whole.infolist():
            bomb.writestr(part.filename, whole.read(part) + bytes(10**7))
    refused(tmp_path / "bomb.pt", "its parts are compressed, which torch never does")


def test_parts_that_overlap_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = saved(state, tmp_path / "w.pt")
    with zipfile.ZipFile(path) as archive:
        size = max(part.file_size for part in archive.infolist())
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")
    claimed = data[directory:].replace(size.to_bytes(4, "little"), (2**30).to_bytes(4, "little"))
    path.write_bytes(data[:directory] + claimed)
    refused(path, "its parts are larger than the file")


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_much_larger_than_the_network_is_refused_unread(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{suffix}"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: it takes no room on the disk
    refused(path, "not the weights of this network: 1,099,511,627,776 bytes, where the network has 112")


def test_a_checkpoint_with_the_copies_of_an_optimiser_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    copies = {"exp_avg": state, "exp_avg_sq": state}
    assert equal(loaded(saved({"state_dict": state, "optimizer": copies}, tmp_path / "w.pt")), state)
