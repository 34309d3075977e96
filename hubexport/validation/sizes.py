"""The sizes of an artifact's model, from whatever tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubexport.errors import HubexportError
from hubexport.families.dimensions import dimensions_of_variables
from hubexport.saved_model.reading import SavedModelSummary
from hubexport.validation.reference_file import Reference

POSITION_LIMIT = "max_position_embeddings"
SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    POSITION_LIMIT,
    "type_vocab_size",
)


def sizes_of(
    record: Mapping[str, Any] | None, summary: SavedModelSummary, reference: Reference | None
) -> dict[str, int]:
    """`SIZES` of an encoder: by its variables' shapes, its record, or the reference, in this order.

    Of positions a record may tell fewer than its table has rows: some rows may be none. Where it
    says None, sequences have no limit, and there is no `max_position_embeddings` in what is given.

    Raises:
      HubexportError: none of them tells.
    """
    shapes = {
        variable.name: tuple(dim or 0 for dim in variable.shape) for variable in summary.variables
    }
    by_variables = dimensions_of_variables(shapes)
    sources: list[Mapping[str, Any]] = [
        vars(by_variables) if by_variables else {},
        record["architecture"] if record else {},
        reference.provenance.architecture if reference else {},
    ]
    found = {
        name: next((source[name] for source in sources if source.get(name) is not None), None)
        for name in SIZES
    }
    recorded = sources[1].get(POSITION_LIMIT)
    if recorded is not None:
        found[POSITION_LIMIT] = min(found[POSITION_LIMIT], recorded)
    elif found[POSITION_LIMIT] is None and any(POSITION_LIMIT in source for source in sources[1:]):
        del found[POSITION_LIMIT]
    if missing := [name for name, size in found.items() if size is None]:
        raise HubexportError(
            "the sizes of the model are not known",
            [
                ("SavedModel", str(summary.directory)),
                ("not told by record or variables", ", ".join(missing)),
            ],
            "pass --reference: a reference file tells them.",
        )
    return {name: int(size) for name, size in found.items() if size is not None}


def fitting(length: int, sizes: Mapping[str, int]) -> int:
    """A sequence's length, or how many positions the model has if that is less."""
    return min(length, sizes.get(POSITION_LIMIT, length))
