"""hubexport: text encoder checkpoints in, TF-Hub SavedModels out.

Example:
  import hubexport

  record = hubexport.export_encoder(
      checkpoint="uncased_L-12_H-768_A-12", export_path="out/encoder"
  )
  hubexport.export_preprocessor(
      vocab_file="uncased_L-12_H-768_A-12/vocab.txt", export_path="out/preprocessor"
  )
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubexport.errors import HubexportError
from hubexport.version import __version__

if TYPE_CHECKING:
    from hubexport.cards.rendering.job import render_page
    from hubexport.comparison.job import compare
    from hubexport.exporting.encoder import export_encoder
    from hubexport.exporting.pipeline import export_pipeline
    from hubexport.exporting.preprocessor import export_preprocessor
    from hubexport.publishing.publication import publish
    from hubexport.publishing.pulling import pull
    from hubexport.publishing.verification import verify
    from hubexport.saved_model.record import load_record
    from hubexport.validation.job import validate
    from hubexport.validation.references.job import make_reference

__all__ = [
    "HubexportError",
    "__version__",
    "compare",
    "export_encoder",
    "export_pipeline",
    "export_preprocessor",
    "load_record",
    "make_reference",
    "publish",
    "pull",
    "render_page",
    "validate",
    "verify",
]

_HOMES = {
    "compare": "hubexport.comparison.job",
    "export_encoder": "hubexport.exporting.encoder",
    "export_pipeline": "hubexport.exporting.pipeline",
    "export_preprocessor": "hubexport.exporting.preprocessor",
    "load_record": "hubexport.saved_model.record",
    "make_reference": "hubexport.validation.references.job",
    "publish": "hubexport.publishing.publication",
    "pull": "hubexport.publishing.pulling",
    "render_page": "hubexport.cards.rendering.job",
    "validate": "hubexport.validation.job",
    "verify": "hubexport.publishing.verification",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `import hubexport` is instant.
    import importlib

    if name == "keras":
        return importlib.import_module("hubexport.keras")
    if name not in _HOMES:
        raise AttributeError(f"module 'hubexport' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
