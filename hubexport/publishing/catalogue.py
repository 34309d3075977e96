"""All models of a hub: as an index for programs, as a page, and as what nginx redirects by.

Everything here is made from the manifests alone, equal bytes from equal trees, so that it can be
thrown away and made again at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubexport.errors import HubexportError
from hubexport.publishing.handle import Handle, Model
from hubexport.publishing.manifest import read_manifest
from hubexport.publishing.tree import MANIFEST, Tree

FORMAT = 1
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of a hub's pages: they have what they need within, and whatever a model's
page says, no browser asks others for it."""
PAGE_SIZE = 50
"""Models that a search gives at once."""


@dataclass(frozen=True)
class Found:
    """A part of what a search finds.

    Attributes:
      query: what was searched for.
      models: entries of the index, at most `PAGE_SIZE`.
      total: how many match in all.
      next: the cursor of the next part; None at the end.
    """

    query: str
    models: Sequence[dict[str, Any]]
    total: int
    next: str | None


def index_of(tree: Tree) -> dict[str, Any]:
    """What `index.json` holds: `{"format", "models"}`, sorted by handle.

    Of each model: `handle` (`publisher/name`), `versions` that can be had, the `newest`, and of
    that `kind`, `description`, and `bytes` and `sha256` of the archive. Models without a version
    that can be had are left out, and so are those whose newest manifest is damaged.
    """
    entries = (_entry(tree, model) for model in tree.models())
    models = sorted(filter(None, entries), key=lambda entry: str(entry["handle"]))
    return {"format": FORMAT, "models": models}


def index_text(index: dict[str, Any]) -> str:
    """The index as JSON; equal ones give equal bytes."""
    return json.dumps(index, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def find(index: dict[str, Any], query: str = "", cursor: str = "") -> Found:
    """Models of the index whose handle, kind or description has every word of the query.

    Args:
      index: as `index_of` gives it.
      query: words, or parts of words, in any case.
      cursor: `next` of the part before; the first part where it is empty.
    """
    words = query.lower().split()
    matching = [
        entry for entry in index["models"] if all(word in _searched(entry) for word in words)
    ]
    # A cursor is the last handle that was given: models may come and go between two parts.
    rest = [entry for entry in matching if entry["handle"] > cursor]
    part = rest[:PAGE_SIZE]
    return Found(query, part, len(matching), part[-1]["handle"] if len(rest) > len(part) else None)


def catalogue_html(index: dict[str, Any], found: Found | None = None) -> str:
    """The page of all models.

    Args:
      index: as `index_of` gives it.
      found: what the page shows, on a server that searches; else it is a file by itself: it has
        all models, and a script that searches.
    """
    # Imported here: programs that only need the index need no Jinja.
    from hubexport.publishing.html import render_html

    everything = index["models"]
    return render_html(
        "hub/catalogue.html",
        found=found or Found("", everything, len(everything), None),
        total=len(everything),
        served=found is not None,
        searched=_searched,
    )


def newest_map(index: dict[str, Any]) -> str:
    """Lines of an nginx `map` from `/publisher/name` to the newest version.

    nginx compares such strings in any case, and refuses two that are then the same: names that
    differ in nothing else are given as regular expressions, which it takes literally.
    """
    handles = Counter(entry["handle"].lower() for entry in index["models"])
    lines = []
    for entry in index["models"]:
        handle, newest = entry["handle"], entry["newest"]
        if handles[handle.lower()] == 1:
            lines.append(f'"/{handle}" {newest};\n')
        else:
            pattern = handle.replace(".", "\\.")
            lines.append(f'"~^/{pattern}$" {newest};\n')
    return "".join(lines)


def _entry(tree: Tree, model: Model) -> dict[str, Any] | None:
    versions = tree.versions(model)
    if not versions:
        return None
    newest = Handle(model, versions[-1])
    path = tree.file(newest, MANIFEST)
    if path is None:
        return None
    try:
        manifest = read_manifest(path)
    except HubexportError:
        return None
    if manifest.handle != str(newest):
        return None
    return {
        "handle": str(model),
        "kind": manifest.kind,
        "description": manifest.description,
        "versions": versions,
        "newest": versions[-1],
        "bytes": manifest.archive.bytes,
        "sha256": manifest.archive.sha256,
    }


def _searched(entry: dict[str, Any]) -> str:
    return f"{entry['handle']} {entry['kind']} {entry['description']}".lower()
