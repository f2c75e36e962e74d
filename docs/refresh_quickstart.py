"""Copy the tables and figures of `make demo` into docs/quickstart/, and the table into the README."""

import json
import re
import shutil
from pathlib import Path

from faultbench.output.export.markdown import markdown
from faultbench.results.analysis.results import read_results

ROOT = Path(__file__).parent.parent
MADE = ROOT / "results" / "quickstart"
KEPT = ROOT / "docs" / "quickstart"

BLOCK = re.compile(r"(<!-- table: docs/quickstart/table.md -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main() -> None:
    """Copy the tables and figures of results/quickstart, which must be complete."""
    results = read_results(MADE)
    if results.cells.limited.any():
        raise SystemExit(f"{MADE} is not complete; run `make demo`")
    for name in ("accuracy", "overhead", "resilience", "sdc"):
        shutil.copy(MADE / "plots" / f"{name}.png", KEPT)
    for name in ("cells", "overhead"):
        shutil.copy(MADE / "tables" / f"{name}.csv", KEPT)
    manifest = json.loads((MADE / "manifest.json").read_text(encoding="utf-8"))
    made_on = {key: manifest[key] for key in ("faultbench", "environment", "execution", "data")}
    (KEPT / "made_on.json").write_text(json.dumps(made_on, indent=1) + "\n", encoding="utf-8")
    tables = markdown(results).split("\n", 1)[1].strip() + "\n"
    (KEPT / "table.md").write_text(tables, encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(BLOCK.sub(lambda found: found[1] + "\n" + tables + "\n" + found[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
