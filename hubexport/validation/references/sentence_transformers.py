"""The sentence embedding that a sentence-transformers directory declares, by that package itself.

Only its pooling modules are used, on the token vectors of transformers' own model: loading the
whole pipeline would need tokenizer files, and import whatever classes `modules.json` names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hubexport.checkpoints.sentence_transformers import read_pipeline
from hubexport.errors import ConfigurationError

PoolSentences = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Token vectors float32 [B, S, H] and their mask int32 [B, S] -> float32 [B, E]."""


def sentence_embedding(directory: Path) -> tuple[PoolSentences | None, str]:
    """What makes sentence vectors, and a note; (None, "") where the directory declares none.

    Args:
      directory: a sentence-transformers directory, or its subdirectory with the encoder.
    """
    try:
        declared = read_pipeline(directory)
    except ConfigurationError as error:
        return None, f"no sentence_embedding: {error.problem}"
    if declared is None:
        return None, ""
    try:
        import sentence_transformers
        import torch
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    except ImportError:
        return None, "no sentence_embedding: sentence-transformers is not installed"
    pooling_file = declared.files[1]
    if not isinstance(json.loads(pooling_file.read_text("utf-8")), dict):
        return None, f"no sentence_embedding: {pooling_file.name} holds no object"
    modules = [Pooling.load(str(pooling_file.parent), local_files_only=True)]
    if declared.normalize:
        modules.append(Normalize())

    def pool(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        features = {
            "token_embeddings": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(mask).long(),
        }
        with torch.inference_mode():
            for module in modules:
                features = module.eval()(features)
        return features["sentence_embedding"].float().numpy()

    return pool, f"sentence_embedding by sentence-transformers {sentence_transformers.__version__}"
