"""Reference outputs by tf-models-official: TensorFlow checkpoints in Model Garden's networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hubexport.errors import some_of
from hubexport.families.heads import POSITIONS
from hubexport.families.opening import Opened
from hubexport.validation.cases import ENCODER_INPUTS, Case
from hubexport.validation.reference_file import layer_name
from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer
from hubexport.validation.references.model_garden import checkpoint as garden_checkpoint
from hubexport.validation.references.model_garden import heads as garden_heads
from hubexport.validation.references.model_garden import layout as garden_layout
from hubexport.validation.references.model_garden import network as garden_network
from hubexport.validation.references.model_garden.tokenizer import GardenTokenizer
from hubexport.validation.references.sources import Outputs, Request
from hubexport.validation.references.texts import TextTokenizer, make_cases


def open_model(request: Request) -> ModelGardenModel:
    """Loads the checkpoint; see `sources.Model`.

    Raises:
      ConfigurationError: it is of another model than BERT, or Model Garden cannot make it.
      CheckpointError: TensorFlow cannot restore it.
      TensorMismatchError: weights are missing, not used or misshaped.
      UsageError, VocabularyError: the tokenizer cannot be used.
    """
    return ModelGardenModel(request)


class ModelGardenModel:
    """See `sources.Model`."""

    def __init__(self, request: Request):
        source, configuration = request.source, request.configuration
        # Refuses models other than BERT's.
        family, _ = Opened(source, configuration).model()
        config = garden_network.read_config(configuration)
        of_tf1 = garden_heads.tf1_heads(family) if source.layout == "tf1" else []
        self._garden_heads = garden_heads.garden_heads(family)
        layout = garden_layout.find_layout(source, self._garden_heads.names)
        heads = [garden_heads.arguments(each, configuration.heads) for each in layout.heads]
        self._model = garden_network.build_pretrainer(config, layout.kind, heads)
        apart = [tensor for head in of_tf1 for tensor in head.tensors]
        restored = garden_checkpoint.restore(source, layout, self._model, family, apart)
        self._parts = restored.parts
        read = garden_checkpoint.reader(source)
        self._heads = [head.load(source, read) for head in of_tf1]
        self.architecture: Mapping[str, Any] = garden_network.architecture(config)
        self.made_by = _made_by(self._model)
        self.notes = self._notes(restored.left_out)
        said = {each.get("name") for each in configuration.heads}
        self.notes += [
            f"head {each.name}: Model Garden's default, tanh of the first token's dense layer; the "
            "configuration does not say"
            for each in layout.heads
            if each.inner_dim and each.name not in said
        ]
        tokenizer = _tokenizer(request)
        if tokenizer is None:
            self.notes.append("no cases of text: pass --vocab_file or --tokenizer for them")
        self.cases, of_text = make_cases(
            self.architecture, request.seed, tokenizer, mlm="masked_lm" in self._parts
        )
        self.notes += of_text

    def _notes(self, left_out: Sequence[str]) -> list[str]:
        notes = []
        if left_out:
            notes.append(f"not compared, of no part of the reference: {some_of(left_out)}")
        if "pooler" not in self._parts:
            notes.append("no pooled_output: the checkpoint has no pooler")
        notes += [
            f"pooled_output is the encoder's own pooler's, {output} that of the head {head}"
            for head, output in self._garden_heads.pooled.items()
            if f"{head}/pooler_dense" in self._parts
        ]
        return notes

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
        if "masked_lm" in self._parts and POSITIONS in inputs:
            found[self._garden_heads.masked_lm] = model.masked_lm(
                sequence, masked_positions=inputs[POSITIONS]
            )
        for head in model.classification_heads:
            features = sequence if head.inner_dim else encoded["pooled_output"]
            pooled = self._garden_heads.pooled.get(head.name)
            if pooled is not None and f"{head.name}/pooler_dense" in self._parts:
                found[pooled] = head(features, only_project=True)
            if f"{head.name}/logits" in self._parts:
                output = self._garden_heads.outputs[head.name]
                found[output] = head(features, training=False)
        for compute in self._heads:
            found |= compute(encoded)
        return {name: value.numpy() for name, value in found.items()}


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
