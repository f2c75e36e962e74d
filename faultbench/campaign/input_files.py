"""Files that a campaign is read from. No output of a run may replace them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from faultbench.campaign.cells import Campaign
from faultbench.plugins import registry
from faultbench.system.errors import FaultbenchError
from faultbench.system.files.destinations import refuse_inputs

RECORDED_NAMES = ("manifest.json", "journal", "artifacts", "attribution")
"""Files and folders of a results folder that are read again."""

_MAX_SOURCE_BYTES = 2**20


def refuse_overwriting(path: Path, option: str, campaign: Campaign, *others: Path) -> None:
    """Raise FaultbenchError if the file that an option names is an input.

    Inputs are the files that the campaign is read from, the other files, and what is recorded in other folders.
    """
    inputs = list(_campaign_files(campaign))
    for other in others:
        inputs += [other / name for name in RECORDED_NAMES] if other.is_dir() else [other]
    refuse_inputs(path, option, inputs)
    if campaign.plugins and _is_plugin_source(path, campaign):
        raise FaultbenchError(f"{option} {path}: is source of a plug-in of this campaign; name another file")


def data_folders(campaign: Campaign) -> Iterator[Path]:
    """Yield the absolute folders and files in the names of the campaign's data sets and networks."""
    for choice in dict.fromkeys(choice for subject in campaign.subjects for choice in (subject.dataset, subject.model)):
        if choice.content is not None:
            yield choice.folder / str(registry.find(choice.kind, choice.name, campaign.plugins)[1]["path"])


def _campaign_files(campaign: Campaign) -> Iterator[Path]:
    yield campaign.source
    yield from (module.file for module in campaign.plugins)
    yield from data_folders(campaign)
    yield from dict.fromkeys(subject.weights.path for subject in campaign.subjects if subject.weights is not None)


def _is_plugin_source(path: Path, campaign: Campaign) -> bool:
    """Return whether the file has the bytes of a plug-in's module, or of a module that it imports."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_SOURCE_BYTES:
            return False
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False
    return any(digest in module.sources for module in campaign.plugins)
