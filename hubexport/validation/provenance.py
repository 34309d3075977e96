"""Where a reference comes from, and whether that is an artifact's own checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hubexport.validation.reference_file import Reference, ReferenceError


def describe(reference: Reference | None) -> dict[str, Any] | None:
    """What reports and records keep of a reference; None for None."""
    if reference is None:
        return None
    provenance = dataclasses.asdict(reference.provenance)
    kept = {name: provenance[name] for name in ("source", "made_by", "checkpoint", "notes")}
    return {**kept, "notes": list(kept["notes"])}


def check_same_checkpoint(reference: Reference, record: Mapping[str, Any] | None) -> None:
    """Fails where a record says that the artifact was made from other files than the reference.

    Raises:
      ReferenceError: it was.
    """
    if record is None:
        return
    ours = {file["sha256"]: file["name"] for file in record["checkpoint"]["files"]}
    theirs = {file["sha256"]: file["name"] for file in reference.provenance.checkpoint}
    if ours.keys() != theirs.keys():
        raise ReferenceError(
            "the reference was made from another checkpoint",
            [
                ("reference", f"{reference.path} ({reference.provenance.made_by})"),
                ("its checkpoint", _digests(theirs)),
                ("the artifact's", _digests(ours)),
            ],
            "make a reference from the artifact's checkpoint; where both hold the same weights, "
            "pass --allow_other_checkpoint to `hubexport validate`.",
        )


def _digests(files: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest[:12]}" for digest, name in files.items())
