"""Origin of the results: machine, versions, checksums, and the commands that reproduce them."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from faultbench.results.analysis.results import Results
from faultbench.results.folder import DeclaredEntry
from faultbench.system.printable import shortened


@dataclass(frozen=True)
class Origin:
    """Facts of the manifest as text, without those that it lacks."""

    facts: tuple[tuple[str, str], ...]
    checksums: tuple[tuple[str, str, str], ...]
    campaign_file: str
    commands: str


def origin(results: Results) -> Origin:
    """Return the origin that the manifest records; a manifest of another version may record less."""
    recorded = results.manifest.model_extra or {}
    return Origin(
        facts=tuple(
            (name, shortened(value))
            for name, value in (*_facts(recorded), *_declared(results.manifest.declared_accuracies))
        ),
        checksums=tuple(
            (kind, name, shortened(str(digest)))
            for kind, named in recorded.get("data", {}).items()
            for name, digest in named.items()
        ),
        campaign_file=campaign_file(results),
        commands=_commands(results, recorded),
    )


def campaign_file(results: Results) -> str:
    """Return the campaign as a YAML file with every default written out; its cells have the keys of these results."""
    spec = results.manifest.spec.model_dump(mode="json")
    order = ("name", "seed", "plugins", "datasets", "models", "schemes")
    ordered = {key: spec[key] for key in order if key in spec} | spec
    return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=100)


def _facts(recorded: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("campaign key", str(recorded["identity"]))] if "identity" in recorded else []
    facts += [("faultbench", str(recorded["faultbench"]))] if "faultbench" in recorded else []
    facts += [(name, str(value)) for name, value in recorded.get("environment", {}).items()]
    facts += [_execution(name, value) for name, value in recorded.get("execution", {}).items()]
    facts += [("last run", str(recorded["written"]))] if "written" in recorded else []
    facts += [("command", shlex.join(recorded["command"]))] if recorded.get("command") else []
    return facts


def _declared(entries: Iterable[DeclaredEntry]) -> list[tuple[str, str]]:
    """Return the golden accuracies that given weights declare, beside the measured ones."""
    return list(dict.fromkeys((f"golden accuracy of {entry.network}", _measured_text(entry)) for entry in entries))


def _measured_text(entry: DeclaredEntry) -> str:
    declared = f"{100 * entry.declared:.2f} % ± {100 * entry.tolerance:g} points"
    return f"{100 * entry.found:.2f} % on {entry.n_images:,} test images; declared {declared}"


def _execution(name: str, value: Any) -> tuple[str, str]:
    plain = name.replace("_", " ")
    if name.endswith("_bytes") and isinstance(value, int):
        return plain.removesuffix(" bytes"), f"{value / 2**30:.3g} GiB"
    return plain, str(value)


def _commands(results: Results, recorded: Mapping[str, Any]) -> str:
    name, versions = results.manifest.campaign, recorded.get("environment", {})
    pins = [f"{package}=={versions[package]}" for package in ("torch", "torchvision", "numpy") if package in versions]
    confirm = " --trust-plugins" if recorded.get("plugins") else ""
    lines = [
        f"# with faultbench {recorded.get('faultbench', 'of any version')} installed:",
        *([f"pip install {' '.join(pins)}"] if pins else []),
        f"faultbench run {name}.yaml -o again{confirm}",
        f"faultbench export again/{name}",
        f"faultbench report again/{name}",
    ]
    return "\n".join(lines)
