"""Reference outputs by transformers: Hugging Face checkpoints in PyTorch's own BERT."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, TensorMismatchError, some_of
from hubexport.validation.cases import POSITIONS, Case
from hubexport.validation.reference_file import layer_name
from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer, says_how
from hubexport.validation.references.maker import SIZES, Outputs, Request, first_line
from hubexport.validation.references.sentence_transformers import sentence_embedding
from hubexport.validation.references.state_dict import read_state_dict
from hubexport.validation.references.texts import make_cases

_PARTS = {
    "pooler": re.compile(r"(bert\.)?pooler\..*"),
    "mlm": re.compile(r"cls\.predictions\..*"),
    "nsp": re.compile(r"cls\.seq_relationship\..*"),
    "encoder": re.compile(r"bert\..*|embeddings.*|encoder\..*|cls\..*"),
}
"""What a tensor is part of, the first that matches; others are of heads that nobody compares."""

_CLASSES: tuple[tuple[str, frozenset[str]], ...] = (
    ("BertModel", frozenset({"pooler"})),
    ("BertForMaskedLM", frozenset({"mlm"})),
    ("BertForNextSentencePrediction", frozenset({"pooler", "nsp"})),
    ("BertForPreTraining", frozenset({"pooler", "mlm", "nsp"})),
)
"""transformers' classes with the parts that they have beside the encoder, the smallest first."""

_BUFFER = re.compile(r"(.*\.)?embeddings\.(position_ids|token_type_ids)")


def open_model(request: Request) -> TransformersModel:
    """Loads the checkpoint; see `maker.Model`.

    Raises:
      ConfigurationError: it is of another model than BERT, or transformers cannot build it.
      CheckpointError: a file that PyTorch cannot read.
      TensorMismatchError: weights are missing, not used or misshaped.
      VocabularyError: the tokenizer cannot be used.
    """
    return TransformersModel(request)


class TransformersModel:
    """See `maker.Model`."""

    def __init__(self, request: Request):
        import torch
        import transformers

        _check_type(request)
        self._torch = torch
        state = read_state_dict(request.source.files)
        carried = {part for name in state if (part := _part_of(name)) not in ("", "encoder")}
        self._parts = carried | ({"pooler"} if "nsp" in carried else set())
        name = next(name for name, parts in _CLASSES if self._parts <= parts)
        self._model, others = _load(request, name, state, self._parts)
        config = self._model.config
        self.made_by = (
            f"transformers {transformers.__version__} ({name}), torch {torch.__version__}"
        )
        self.architecture: Mapping[str, Any] = {size: getattr(config, size) for size in SIZES}
        notes = [f"tensors that are no part of the reference: {some_of(others)}"] if others else []
        if "pooler" not in self._parts:
            notes.append("no pooled_output: the checkpoint has no pooler")
        self._pool_sentences, note = sentence_embedding(request.directory)
        notes += [note] if note else []
        tokenizer, note = _tokenizer(request)
        notes += [note] if note else []
        self.cases, of_text = make_cases(
            self.architecture, request.seed, tokenizer, mlm="mlm" in self._parts
        )
        self.notes = notes + of_text

    def outputs(self, case: Case) -> Outputs:
        """What the model gives for a case, float32; of heads, those that the checkpoint carries."""
        torch = self._torch
        inputs = {name: torch.from_numpy(value).long() for name, value in case.inputs.items()}
        with torch.inference_mode():
            encoded = getattr(self._model, "bert", self._model)(
                input_ids=inputs["input_word_ids"],
                attention_mask=inputs["input_mask"],
                token_type_ids=inputs["input_type_ids"],
                output_hidden_states=True,
                return_dict=True,
            )
            sequence = encoded.last_hidden_state
            # The first of the hidden states is the embeddings.
            found = {layer_name(i): value for i, value in enumerate(encoded.hidden_states[1:])}
            found["sequence_output"] = sequence
            if "pooler" in self._parts:
                found["pooled_output"] = encoded.pooler_output
            if "nsp" in self._parts:
                found["nsp_logits"] = self._model.cls.seq_relationship(encoded.pooler_output)
            if "mlm" in self._parts and POSITIONS in inputs:
                rows = torch.arange(len(sequence))[:, None]
                predicted = sequence[rows, inputs[POSITIONS]]
                found["mlm_logits"] = self._model.cls.predictions(predicted)
        outputs = {name: value.float().numpy() for name, value in found.items()}
        if self._pool_sentences is not None:
            outputs["sentence_embedding"] = self._pool_sentences(
                outputs["sequence_output"], case.inputs["input_mask"]
            )
        return outputs


def _check_type(request: Request) -> None:
    configuration = request.configuration
    model_type = configuration.values.get("model_type") or ""
    if configuration.kind != "json" or model_type not in ("", "bert"):
        raise ConfigurationError(
            "the reference by transformers is of BERT models",
            [
                ("configuration", str(configuration.path)),
                ("found", f"model_type {model_type}" if model_type else configuration.kind),
            ],
            "record the outputs in the model's own code, and pass --source=file.",
        )


def _part_of(name: str) -> str:
    """Of `_PARTS`, or "" for tensors that are of none, or are no weights."""
    if _BUFFER.fullmatch(name):
        return ""
    return next((part for part, names in _PARTS.items() if names.fullmatch(name)), "")


def _load(
    request: Request, name: str, state: Mapping[str, Any], parts: Collection[str]
) -> tuple[Any, list[str]]:
    """The model, float32, and the names of tensors that are of no part."""
    import torch
    import transformers

    path = request.configuration.path
    with _quiet():
        try:
            config = transformers.BertConfig.from_json_file(path)
            model, info = getattr(transformers, name).from_pretrained(
                None,
                config=config,
                state_dict=dict(state),
                dtype=torch.float32,
                attn_implementation="eager",
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are refused below, all at once
                output_loading_info=True,
            )
        except Exception as error:
            raise ConfigurationError(
                "transformers cannot make the model",
                [
                    ("configuration", str(path)),
                    ("transformers", first_line(error)),
                ],
                "pass the configuration that the checkpoint was trained with.",
            ) from error
    unexpected = sorted(info["unexpected_keys"])
    needed = {*parts, "encoder"}
    problems = {
        "missing": [key for key in sorted(info["missing_keys"]) if _part_of(key) in needed],
        "not used": [key for key in unexpected if _part_of(key)],
        "misshaped": [
            f"{key} {list(found)}, needed {list(wanted)}"
            for key, found, wanted in info["mismatched_keys"]
        ],
        "no floating-point numbers": [
            f"{key} is {value.dtype}"
            for key, value in state.items()
            if _part_of(key) and not value.is_floating_point()
        ],
        "transformers": list(info["error_msgs"]),
    }
    if any(problems.values()):
        raise TensorMismatchError(
            f"the checkpoint does not fill transformers' {name}",
            [
                ("checkpoint", str(request.source.path)),
                ("configuration", str(path)),
                *((f"{kind} ({len(n)})", some_of(n)) for kind, n in problems.items() if n),
            ],
            "pass a complete checkpoint and its own configuration.",
        )
    return model.eval(), [key for key in unexpected if not _BUFFER.fullmatch(key)]


def _tokenizer(request: Request) -> tuple[HuggingFaceTokenizer | None, str]:
    """What was asked for, or what lies with the checkpoint; and a note."""
    directory: Path | None = request.tokenizer
    if directory is None and says_how(request.directory):
        directory = request.directory
    if directory is None:
        return None, "no cases of text: no tokenizer files with the checkpoint; --tokenizer"
    with _quiet():
        return HuggingFaceTokenizer(directory), ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers' bars and load reports are not for our users: what matters is refused."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
