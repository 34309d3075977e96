"""Reference outputs by tf-models-official: TensorFlow checkpoints in Model Garden's networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hubexport.errors import TensorMismatchError
from hubexport.families.registry import choose
from hubexport.validation.cases import ENCODER_INPUTS, POSITIONS, Case
from hubexport.validation.reference_file import layer_name
from hubexport.validation.references import garden_checkpoint, garden_layout, garden_network
from hubexport.validation.references.garden_tokenizer import GardenTokenizer
from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer
from hubexport.validation.references.maker import Outputs, Request
from hubexport.validation.references.texts import TextTokenizer, make_cases


def open_model(request: Request) -> ModelGardenModel:
    """Loads the checkpoint; see `maker.Model`.

    Raises:
      ConfigurationError: it is of another model than BERT, or Model Garden cannot make it.
      CheckpointError: TensorFlow cannot restore it.
      TensorMismatchError: weights are missing or not used.
      UsageError, VocabularyError: the tokenizer cannot be used.
    """
    return ModelGardenModel(request)


class ModelGardenModel:
    """See `maker.Model`."""

    def __init__(self, request: Request):
        source, configuration = request.source, request.configuration
        choose(None, configuration, source)  # refuses models that are none of BERT's
        config = garden_network.read_config(configuration)
        layout = garden_layout.find_layout(source)
        self._model = garden_network.build_pretrainer(config, layout.kind, layout.head_width)
        self._parts = garden_checkpoint.restore(source, layout, self._model)
        self._nsp = _nsp_of_tf1(request, self._parts) if source.layout == "tf1" else None
        self.architecture: Mapping[str, Any] = garden_network.architecture(config)
        self.made_by = _made_by(self._model)
        notes = (
            [] if "pooler" in self._parts else ["no pooled_output: the checkpoint has no pooler"]
        )
        if "head_pooler" in self._parts:
            notes.append(
                "pooled_output is the encoder's own pooler's, next_sentence_pooled_output that of "
                "the next-sentence head"
            )
        tokenizer = _tokenizer(request)
        if tokenizer is None:
            notes.append("no cases of text: pass --vocab_file or --tokenizer for them")
        self.cases, of_text = make_cases(
            self.architecture, request.seed, tokenizer, mlm="mlm" in self._parts
        )
        self.notes = notes + of_text

    def outputs(self, case: Case) -> Outputs:
        """What the model gives for a case, float32; of heads, those that the checkpoint carries."""
        import tensorflow as tf

        inputs = {name: tf.constant(value, tf.int32) for name, value in case.inputs.items()}
        model = self._model
        encoded = model.encoder_network(
            {name: inputs[name] for name in ENCODER_INPUTS}, training=False
        )
        sequence = encoded["sequence_output"]
        found = {layer_name(i): value for i, value in enumerate(encoded["encoder_outputs"])}
        found["sequence_output"] = sequence
        if "pooler" in self._parts:
            found["pooled_output"] = encoded["pooled_output"]
        if "mlm" in self._parts and POSITIONS in inputs:
            found["mlm_logits"] = model.masked_lm(sequence, masked_positions=inputs[POSITIONS])
        for head in model.classification_heads:
            if "head_pooler" in self._parts:
                found["next_sentence_pooled_output"] = head(sequence, only_project=True)
            if "head" in self._parts:
                found["nsp_logits"] = head(sequence, training=False)
        if self._nsp is not None:
            weights, bias = self._nsp
            # get_next_sentence_output of google-research/bert's run_pretraining.py
            found["nsp_logits"] = tf.matmul(encoded["pooled_output"], weights, transpose_b=True)
            found["nsp_logits"] += bias
        return {name: value.numpy() for name, value in found.items()}


def _nsp_of_tf1(request: Request, parts: frozenset[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights [2, H] and bias [2] of a google-research/bert checkpoint, or None."""
    import tensorflow as tf

    source = request.source
    names = garden_checkpoint.NSP_TENSORS
    held = [name for name in names if name in source.tensors]
    if not held:
        return None
    if len(held) < len(names) or "pooler" not in parts:
        absent = [name for name in names if name not in held]
        absent += [] if "pooler" in parts else ["bert/pooler/dense"]
        raise TensorMismatchError(
            "the checkpoint has a part of a next-sentence head",
            [("checkpoint", str(source.path)), ("missing", ", ".join(absent))],
            "pass a complete checkpoint.",
        )
    index = next(file for file in source.files if file.suffix == ".index")
    reader = tf.train.load_checkpoint(str(index)[: -len(".index")])
    weights, bias = (reader.get_tensor(name) for name in names)
    return weights, bias


def _made_by(model: Any) -> str:
    import importlib.metadata

    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("tf-models-official", "tensorflow")
    ]
    return f"{versions[0]} ({type(model.encoder_network).__name__}), {versions[1]}"


def _tokenizer(request: Request) -> TextTokenizer | None:
    if request.vocab_file is not None:
        return GardenTokenizer(request.vocab_file, request.do_lower_case)
    return HuggingFaceTokenizer(request.tokenizer) if request.tokenizer is not None else None
