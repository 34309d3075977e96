"""The documentation's site has every page and all of the API; `make docs` checks its links."""

from __future__ import annotations

import re
from pathlib import Path

import hubexport
import hubexport.keras

ROOT = Path(__file__).parents[1]


def test_the_python_page_has_the_whole_api() -> None:
    shown = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    public = {name for name in hubexport.__all__ if name != "__version__"}
    homes = {f"{getattr(hubexport, name).__module__}.{name}" for name in public}
    # Keras is imported with the layer: it is not one of the package's own names.
    homes |= {f"hubexport.keras.layer.{name}" for name in hubexport.keras.__all__}
    assert set(shown) == homes and len(shown) == len(homes)


def test_every_document_is_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text()
    hook = (ROOT / "docs" / "root_pages.py").read_text()
    pages = dict(re.findall(r'^    "(\S+\.md)": "(\S+\.md)",$', hook, re.MULTILINE))
    assert all((ROOT / source).is_file() for source in pages)
    beside = [path.relative_to(ROOT) for path in ROOT.glob("*.md")]
    beside += [path.relative_to(ROOT) for path in ROOT.glob("benchmarks/*.md")]
    # Written by hand, it is a part of the report on encoders.
    missing = {str(path) for path in beside} - pages.keys() - {"benchmarks/findings.md"}
    assert not missing
    for page in [path.name for path in ROOT.glob("docs/*.md")] + list(pages.values()):
        assert re.search(rf"(- |: ){re.escape(page)}$", site, re.MULTILINE), page
