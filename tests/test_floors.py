"""Imports point down the floors, and the reading half never meets torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "faultbench"

FLOORS = (
    ("errors", "streams", "memory", "__init__", "stopping", "delta_debugging", "trial_rules"),
    ("sources", "annotations", "torch_streams", "threads", "devices", "layouts", "looks", "forks"),
    ("plugin_modules", "bases"),
    ("declarations",),
    ("registry",),
    ("campaign", "records", "disk", "progress", "halting"),
    ("trial_columns", "subsets", "strata"),
    ("sampled",),
    (
        "journal",
        "locks",
        "stats",
        "formats",
        "artifacts",
        "datasets",
        "manifest",
        "symbolic",
        "elementwise",
        "in_place",
        "normalisation",
    ),
    ("weighing",),
    ("allocation", "forecast", "pilot", "flip_counts", "strata_design"),
    ("results_folder", "aside", "digests", "faults", "network", "models"),
    ("staging", "flip_kinds"),
    ("measures", "stratified", "csv_text"),
    ("resilience", "critical", "attribution", "frames"),
    ("hazard_table",),
    ("tables", "merging", "trial", "training", "activations"),
    ("blocks", "comparison", "gate", "schemes", "guards", "hazard_pilot"),
    ("protecting", "injecting", "second_runs"),
    ("checkpoints", "epochs", "given", "accuracy_table", "latex_text", "harm_map"),
    ("latex", "markdown", "hazard_map"),
    ("plots",),
    ("report",),
    ("parts", "engines"),
    ("subjects",),
    ("worker", "declared", "overhead", "doctor", "estimate", "supervisor", "attributing", "watching"),
    ("chunks", "replay", "stratifying"),
    ("terms",),
    ("pending",),
    ("trial_runner",),
    ("runner",),
    ("checking", "running"),
    ("model_check",),
    ("cli", "pytest_plugin"),
    ("__main__",),
)
"""Lowest first: a module imports from its own subject and from lower floors only."""

READING = (
    "campaign",
    "trial_rules",
    "records",
    "trial_columns",
    "disk",
    "journal",
    "stats",
    "stopping",
    "allocation",
    "sampled",
    "strata",
    "weighing",
    "forecast",
    "flip_counts",
    "results_folder",
    "measures",
    "csv_text",
    "locks",
    "merging",
    "frames",
    "tables",
    "blocks",
    "gate",
    "resilience",
    "attribution",
    "hazard_table",
    "critical",
    "comparison",
    "harm_map",
    "hazard_map",
    "markdown",
    "looks",
    "forks",
    "plots",
    "report",
)


def floor_of(subject: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if subject in floor)


def subject_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([node.module] if node.module != "faultbench" else [f"faultbench.{a.name}" for a in node.names])


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_floors(path: Path) -> None:
    subject = subject_of(path)
    below = [name.split(".")[1] for name in imported(path) if name.startswith("faultbench.")]
    upward = [name for name in below if name not in (subject, "__version__") and floor_of(name) >= floor_of(subject)]
    assert not upward, f"{subject} imports {upward} from its own floor or a higher one"


@pytest.mark.parametrize("subject", READING)
def test_the_reading_half_imports_no_torch(subject: str) -> None:
    for path in modules():
        if subject_of(path) == subject:
            roots = {name.split(".")[0] for name in imported(path)}
            assert not roots & {"torch", "torchvision"}, f"{path.name} imports torch"


def test_every_module_stands_on_one_floor() -> None:
    listed = [name for floor in FLOORS for name in floor]
    assert len(listed) == len(set(listed))
    assert {subject_of(path) for path in modules()} <= set(listed)
