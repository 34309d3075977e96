"""Reference outputs by transformers: PyTorch checkpoints in its own classes.

The encoder is loaded once, as the family's base class. Each head is loaded as a class of its own,
and then given the encoder's outputs: what is computed of them is that class's doing.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.checkpoints.openai import has_openai_names
from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.training_state import training_state
from hubexport.errors import ConfigurationError, TensorMismatchError, UsageError, some_of
from hubexport.families.carried import carried_heads, spelled_heads
from hubexport.families.family import Family
from hubexport.families.heads import (
    ARCHITECTURES,
    ENCODER_LEAD,
    FIELDS,
    FLOATS,
    LANGUAGES,
    POSITIONS,
    Head,
    Interface,
)
from hubexport.families.opening import Opened
from hubexport.networks.config import MEMORY, NEW_MEMORY
from hubexport.packages import MissingPackageError
from hubexport.validation.cases import Case, input_of
from hubexport.validation.reference_file import layer_name
from hubexport.validation.references import fairseq, openai, transformer_xl, xlm
from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer, says_how
from hubexport.validation.references.sentence_transformers import sentence_embedding
from hubexport.validation.references.sources import (
    SIZES,
    Outputs,
    Request,
    first_line,
    has_adaptive_names,
)
from hubexport.validation.references.state_dict import read_state_dict
from hubexport.validation.references.texts import make_cases

_POOLER = re.compile(r"(\w+\.)?pooler\..*")


def open_model(request: Request) -> TransformersModel:
    """Loads the checkpoint; see `sources.Model`.

    Raises:
      ConfigurationError: it is of no family that transformers has, or it cannot build it.
      CheckpointError: a file that PyTorch cannot read.
      TensorMismatchError: weights are missing, not used or misshaped.
      VocabularyError: the tokenizer cannot be used.
      UsageError: the model cannot be causal, or of that language.
    """
    return TransformersModel(request)


class TransformersModel:
    """See `sources.Model`."""

    def __init__(self, request: Request):
        import torch
        import transformers

        self._torch = torch
        family = self._family = _family(request)
        _check_has(transformers, family)
        groups = _carried(family)
        self._heads = {name: each for group in groups for name, each in group.items()}
        self._interfaces = {name: each.interface for name, each in self._heads.items()}
        state = _state_dict(request.source, request.configuration.values)
        if request.source.layout == "hugging_face":  # else the names are not these any more
            state |= _tied(family, state)
        config = _config(request, family, state, self._interfaces)
        loader = _Loader(request, config, state)
        prefix = type(config).__name__.removesuffix("Config")
        self._has_pooler = any(_POOLER.fullmatch(name) for name in state)
        base = loader.load(f"{prefix}Model", with_pooler=self._has_pooler)
        self._base = _with_mask(base, family.config)
        self._models: dict[str, Any] = {}
        names = _classes(prefix, list(self._interfaces))
        for name, of in names.items():
            model = loader.load(prefix + name)
            if not any(self._interfaces[each].encodes for each in of):
                setattr(model, model.base_model_prefix, _encoded(torch)())
            self._models |= dict.fromkeys(of, model)
        others = loader.check(family)
        classes = ", ".join(f"{prefix}{name}" for name in names or ("Model",))
        self.made_by = (
            f"transformers {transformers.__version__} ({classes}), torch {torch.__version__}"
        )
        self.architecture: Mapping[str, Any] = {
            size: getattr(family.config, size) for size in SIZES
        }
        notes = [f"not compared, of no part of the reference: {some_of(others)}"] if others else []
        notes += [
            f"nothing tells which head {', '.join(_tensors(family, group))} are of: there are "
            f"outputs of {', '.join(group)}"
            for group in groups
            if len(group) > 1
        ]
        if not self._has_pooler:
            notes.append("no pooled_output: the checkpoint has no pooler")
        self._pool_sentences, note = sentence_embedding(request.directory)
        notes += [note] if note else []
        tokenizer, note = _tokenizer(request, config)
        notes += [note] if note else []
        masked = any(POSITIONS in each.inputs for each in self._interfaces.values())
        self.cases, of_text = make_cases(
            {**self.architecture, "pad_token_id": family.config.pad_token_id},
            request.seed,
            tokenizer,
            mlm=masked,
            padding_side=family.padding_side,
            optional=family.optional_inputs(),
        )
        self.notes = notes + of_text

    def outputs(self, case: Case) -> Outputs:
        """What the model gives for a case, float32; of heads, those that the checkpoint carries."""
        torch = self._torch
        inputs = {
            name: torch.from_numpy(value) if name in FLOATS else torch.from_numpy(value).long()
            for name, value in case.inputs.items()
        }
        arguments = {
            "input_ids": inputs["input_word_ids"],
            "attention_mask": inputs["input_mask"],
        }
        if "input_type_ids" not in self._family.ignored_inputs:
            arguments["token_type_ids"] = inputs["input_type_ids"]
        if self._family.positions_from_mask:
            arguments["position_ids"] = _positions(torch, inputs["input_mask"])
        usual = self._family.usual_language
        if LANGUAGES in inputs:
            arguments["langs"] = inputs[LANGUAGES]
        elif usual is not None:
            arguments["langs"] = torch.full_like(inputs["input_word_ids"], usual)
        if MEMORY in inputs:  # [B, L, M, H]; there a list of [M, B, H]
            arguments |= {"mems": list(inputs[MEMORY].permute(1, 2, 0, 3)), "use_mems": True}
        with torch.inference_mode():
            encode = self._encode if self._family.masks_padding else self._encode_alone
            encoded = encode(arguments)
            # The first of the hidden states is the embeddings.
            found = {layer_name(i): value for i, value in enumerate(encoded.hidden_states[1:])}
            found["sequence_output"] = encoded.last_hidden_state
            if MEMORY in inputs:
                found[NEW_MEMORY] = torch.stack(encoded.mems).permute(2, 0, 1, 3)
            pooled = encoded.pooler_output if self._has_pooler else None
            if pooled is not None:
                found["pooled_output"] = pooled
            for name, interface in self._interfaces.items():
                longest = interface.outputs.get("start_top_index", (0, 0))[1]
                enough = inputs["input_mask"].shape[1] >= int(longest)  # places to choose from
                if enough and (POSITIONS in inputs or not interface.inputs):
                    of_head = self._of_head(name, arguments, inputs, encoded, pooled)
                    # Two heads may give what is the same.
                    found |= {key: value for key, value in of_head.items() if key not in found}
        outputs = {name: value.float().numpy() for name, value in found.items()}
        if self._pool_sentences is not None:
            outputs["sentence_embedding"] = self._pool_sentences(
                outputs["sequence_output"], case.inputs["input_mask"]
            )
        return outputs

    def _encode(self, arguments: Mapping[str, Any]) -> Any:
        return self._base(**arguments, output_hidden_states=True, return_dict=True)

    def _encode_alone(self, arguments: Mapping[str, Any]) -> Any:
        """The same of each text by itself, without its padding, where there are zeros."""
        from transformers.modeling_outputs import BaseModelOutput

        torch, is_token = self._torch, arguments["attention_mask"] > 0
        config = self._family.config
        shape = (config.num_hidden_layers + 1, *is_token.shape, config.hidden_size)
        states = torch.zeros(shape)
        for row, tokens in enumerate(is_token):
            if tokens.any():
                given = {key: value[row, tokens][None] for key, value in arguments.items()}
                alone = self._encode(given).hidden_states
                states[:, row, tokens] = torch.stack(alone)[:, 0]
        return BaseModelOutput(states[-1], tuple(states))

    def _of_head(
        self,
        name: str,
        arguments: Mapping[str, Any],
        inputs: Mapping[str, Any],
        encoded: Any,
        pooled: Any,
    ) -> dict[str, Any]:
        """A head's outputs; of choices, every row is one, alone in its sample."""
        torch, interface, model = self._torch, self._interfaces[name], self._models[name]
        if interface.encodes:
            arrays = {key: value.numpy() for key, value in inputs.items()}
            own = {key: torch.from_numpy(input_of(key, arrays)).float() for key in interface.inputs}
            (output,) = interface.outputs
            return {output: model(**arguments, **own, return_dict=True).logits}
        whole = sequence = encoded.last_hidden_state
        ids = inputs["input_word_ids"]
        base = getattr(model, model.base_model_prefix)
        of_positions = any("N" in axes for axes in interface.outputs.values())
        if interface.lead == ENCODER_LEAD and of_positions:  # other tokens are thrown away
            rows = torch.arange(len(sequence))[:, None]
            sequence = sequence[rows, inputs[POSITIONS]]
            ids = inputs["input_word_ids"][rows, inputs[POSITIONS]]
        if self._heads[name].pooling == "lasttoken":
            # These classes take the last place, or the last id that is not padding's, the mask
            # notwithstanding: they are given no other.
            mask = inputs["input_mask"]
            last = (torch.arange(mask.shape[1]) * mask).argmax(dim=1)
            sequence = sequence[torch.arange(len(mask)), last][:, None]  # [B, 1, H]
            model.config.pad_token_id = 0
            ones = torch.ones_like(mask[:, :1])
            arguments, ids = {"attention_mask": ones}, ones
        takes = inspect.signature(model.forward).parameters
        arguments = {key: value for key, value in arguments.items() if key in takes}
        arguments["input_ids"] = ids
        if interface.lead != ENCODER_LEAD:
            arguments = {key: value[:, None] for key, value in arguments.items()}
            sequence = sequence[:, None] if "mc_positions" in interface.inputs else sequence
        if "mc_positions" in interface.inputs:
            arguments = {**arguments, "mc_token_ids": inputs[POSITIONS][:, :1]}
        if "answer_mask" in interface.inputs:
            arguments = {**arguments, **_of_answers(torch, inputs)}
        base.give(sequence, pooled)
        given = model(**arguments, return_dict=True)
        found = {output: _field(given, output) for output in interface.outputs}
        if "answer_mask" in interface.inputs:
            found |= _only_possible(found)
        memory = MEMORY in inputs
        if "score" in interface.functions and not memory:  # which functions do not take
            base.give(whole, pooled)
            arguments["input_ids"] = inputs["input_word_ids"]
            given = model(**arguments, return_dict=True)
            (logits,) = (_field(given, output) for output in interface.outputs)
            found |= _scores(torch, logits, inputs["input_word_ids"], inputs["input_mask"])
        return found


def _field(given: Any, output: str) -> Any:
    """A head's output, of what transformers' class gives."""
    return next(given[field] for field in FIELDS.get(output, ("logits",)) if field in given)


def _of_answers(torch: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Where no answer can be, and the token that stands for the text."""
    given = {key: value.numpy() for key, value in inputs.items()}
    answers = torch.from_numpy(input_of("answer_mask", given))
    positions = torch.from_numpy(input_of("cls_positions", given)).long()
    return {"p_mask": (1 - answers * inputs["input_mask"]).float(), "cls_index": positions}


def _only_possible(found: Mapping[str, Any]) -> dict[str, Any]:
    """Places without a probability, and the ends of such beginnings, as zeros: which of all of
    these a program takes says nothing."""
    starts, ends = found["start_top_probs"] > 0, found["end_top_probs"] > 0
    ends &= starts.repeat(1, ends.shape[1] // starts.shape[1])
    possible = {"start": starts, "end": ends}
    return {
        name: value.masked_fill(~possible[name.partition("_")[0]], 0)
        for name, value in found.items()
        if "_top_" in name
    }


def _tied(family: Family, state: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of which only a copy is stored, which is the same."""
    names = {weight.variable: weight.tensor for weight in family.names.weights(family.encoder())}
    return {
        names[copy_of]: state[copy]
        for copy, (_, copy_of) in family.tied().items()
        if copy in state and copy_of in names and names[copy_of] not in state
    }


def _positions(torch: Any, mask: Any) -> Any:
    """Numbers of columns, counted from each row's first token: [B, S]."""
    first = mask.argmax(dim=1, keepdim=True)
    return (torch.arange(mask.shape[1]) - first).clamp(min=0)


def _scores(torch: Any, logits: Any, ids: Any, mask: Any) -> dict[str, Any]:
    """Log-probabilities of tokens that follow a token, by the logits [B, S, V] before them."""
    of_pieces = torch.log_softmax(logits[:, :-1], dim=-1)
    following = of_pieces.gather(2, ids[:, 1:, None])[:, :, 0] * (mask[:, 1:] * mask[:, :-1])
    of_tokens = torch.nn.functional.pad(following, (1, 0))  # [B, S]
    return {"token_log_probs": of_tokens, "sequence_log_probs": of_tokens.sum(dim=1)}


def _family(request: Request) -> Family:
    """The model's family.

    Raises:
      ConfigurationError: it is of none, or of one that transformers does not have.
      UsageError: it cannot be what is asked for.
    """
    configuration = request.configuration
    if configuration.kind not in ("json", "fairseq", "xlm_original", "openai"):
        raise ConfigurationError(
            "the reference by transformers is of transformers' own configurations",
            [("configuration", str(configuration.path)), ("found", configuration.kind)],
            "record the outputs in the model's own code, and pass --source=file.",
        )
    asked = {"causal": request.causal, "language": request.language}
    given = {name: value for name, value in asked.items() if value is not None}
    family = Opened(request.source, configuration).model(overrides=given)[0]
    if request.language is not None and not family.has_languages:
        raise UsageError(
            "the model has no languages",
            [("--language", request.language), ("family", family.title)],
            "leave it out.",
        )
    return family


def _check_has(transformers: Any, family: Family) -> None:
    """Fails where the installed release has no such models any more.

    Raises:
      MissingPackageError: it has none.
    """
    releases = family.transformers_releases
    if not hasattr(transformers, f"{family.transformers}Model"):
        raise MissingPackageError(
            f"the installed transformers has no {family.title}",
            [
                ("transformers", transformers.__version__),
                ("needed", f"pip install hubexport torch 'transformers{releases}'"),
            ],
            "make the reference in an environment of its own, or record the outputs in the model's "
            "own code, and pass --source=file.",
        )


def _with_mask(model: Any, config: Any) -> Any:
    """An encoder that takes a mask, as all but one do."""
    if "attention_mask" in inspect.signature(model.forward).parameters:
        return model
    return transformer_xl.Masked(model, config.mem_len)


def _state_dict(source: TensorSource, values: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's tensors by transformers' names, read by other programs than the export."""
    if has_openai_names(source):
        return openai.read_state_dict(source)
    if has_adaptive_names(source):
        configuration = transformer_xl.configuration(values)
        return transformer_xl.completed(transformer_xl.read_state_dict(source, configuration))
    state = transformer_xl.completed(read_state_dict(source.files))
    translated = {"fairseq": fairseq.as_transformers, "xlm_original": xlm.as_transformers}
    return translated.get(source.layout, dict)(state)


def _carried(family: Family) -> list[dict[str, Head]]:
    """The heads that the checkpoint carries, those that the same tensors could be of together."""
    heads = spelled_heads(family)
    return [{name: heads[name] for name in names} for names in carried_heads(family)]


def _tensors(family: Family, group: Mapping[str, Head]) -> list[str]:
    head = next(iter(group.values()))
    return [weight.tensor for weight in family.names.weights(head.parts)]


def _classes(prefix: str, heads: Sequence[str]) -> dict[str, list[str]]:
    """Ends of the names of transformers' classes, and the heads that are taken from each."""
    import transformers

    ends = [
        [end for end in ARCHITECTURES[name] if hasattr(transformers, prefix + end)]
        for name in heads
    ]
    together = set.intersection(*map(set, ends)) if len(ends) > 1 else set()
    if together:
        return {min(together): list(heads)}
    return {end[0]: [name] for name, end in zip(heads, ends, strict=True)}


def _config(
    request: Request, family: Family, state: Mapping[str, Any], interfaces: Mapping[str, Interface]
) -> Any:
    """transformers' own reading of the configuration."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    configuration = request.configuration
    model_type = configuration.values.get("model_type") or ""
    path = configuration.path
    with _quiet():
        try:
            if configuration.kind == "xlm_original":
                values = xlm.configuration(configuration.values, state)
                return transformers.XLMConfig(**values, causal=family.causal)
            if configuration.kind == "fairseq":
                values = fairseq.configuration(configuration.values, state)
                return transformers.RobertaConfig(**values)
            if has_openai_names(request.source):
                made_by = getattr(transformers, f"{family.transformers}Config")
                return made_by(**openai.configuration(configuration.values))
            if has_adaptive_names(request.source):
                values = transformer_xl.configuration(configuration.values)
                made_by = getattr(transformers, f"{family.transformers}Config")
                return made_by(**values)
            known = model_type in CONFIG_MAPPING
            made_by = (
                CONFIG_MAPPING[model_type]
                if known
                else getattr(transformers, f"{family.transformers}Config")
            )
            config = made_by.from_json_file(path)
        except Exception as error:
            raise _cannot_make(path, error) from error
    counts = {
        head.outputs[output][-1]
        for head in interfaces.values()
        if head.declares_labels
        for output in head.outputs
    }
    if hasattr(config, "causal"):  # which published files do not say
        config.causal = family.causal
    if len(counts) == 1:  # where the file does not say, the tensors do
        (number,) = counts
        if config.num_labels != number:
            config.num_labels = number
    return config


def _cannot_make(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        "transformers cannot make the model",
        [("configuration", str(path)), ("transformers", first_line(error))],
        "pass the configuration that the checkpoint was trained with.",
    )


class _Loader:
    """Loads classes from one state dict, and keeps account of its tensors."""

    def __init__(self, request: Request, config: Any, state: Mapping[str, Any]):
        self._request, self._config, self._state = request, config, state
        self._problems: dict[str, dict[str, None]] = {}
        self._unexpected: set[str] | None = None
        self._names: list[str] = []

    def load(self, name: str, *, with_pooler: bool | None = None) -> Any:
        """A model of that class, float32; what is wrong with it is for `check` to say."""
        import torch
        import transformers

        extra = {}
        made_by = getattr(transformers, name)
        if with_pooler is not None and "add_pooling_layer" in inspect.signature(made_by).parameters:
            extra["add_pooling_layer"] = with_pooler
        with _quiet():
            try:
                model, info = made_by.from_pretrained(
                    None,
                    config=self._config,
                    state_dict=dict(self._state),
                    dtype=torch.float32,
                    attn_implementation="eager",
                    local_files_only=True,
                    trust_remote_code=False,
                    ignore_mismatched_sizes=True,  # they are refused, all at once
                    output_loading_info=True,
                    **extra,
                )
            except Exception as error:
                raise _cannot_make(self._request.configuration.path, error) from error
        self._names.append(name)
        unexpected = {self._spelled(model, key) for key in info["unexpected_keys"]}
        self._unexpected = unexpected if self._unexpected is None else self._unexpected & unexpected
        self._add("missing", sorted(self._spelled(model, key) for key in info["missing_keys"]))
        self._add(
            "misshaped",
            [
                f"{self._spelled(model, key)} {list(found)}, needed {list(wanted)}"
                for key, found, wanted in info["mismatched_keys"]
            ],
        )
        self._add("transformers", list(info["error_msgs"]))
        return model.eval()

    def _spelled(self, model: Any, key: str) -> str:
        """A tensor's name with the prefix that the checkpoint has, or without: one name for it,
        whichever class lacks it."""
        prefix = f"{model.base_model_prefix}."
        if key in self._state:
            return key
        if not any(name.startswith(prefix) for name in self._state):
            return key.removeprefix(prefix)
        of_base = not hasattr(model, model.base_model_prefix)
        return prefix + key if of_base and not key.startswith(prefix) else key

    def _add(self, kind: str, found: Sequence[str]) -> None:
        self._problems.setdefault(kind, {}).update(dict.fromkeys(found))

    def check(self, family: Family) -> list[str]:
        """Names of tensors that are of no part of the models.

        Raises:
          TensorMismatchError: the state dict does not fill the models, or holds more.
        """
        known = training_state(self._request.source).keys()
        others = sorted((self._unexpected or set()) - known)
        left_out = [
            name for name in others if any(p.fullmatch(name) for p in family.other_heads.values())
        ]
        self._add("not used", [name for name in others if name not in left_out])
        self._add(
            "no floating-point numbers",
            [
                f"{name} is {value.dtype}"
                for name, value in self._state.items()
                if name not in known and name not in left_out and not value.is_floating_point()
            ],
        )
        if any(self._problems.values()):
            raise TensorMismatchError(
                f"the checkpoint does not fill transformers' {', '.join(self._names)}",
                [
                    ("checkpoint", str(self._request.source.path)),
                    ("configuration", str(self._request.configuration.path)),
                    *(
                        (f"{kind} ({len(names)})", some_of(names))
                        for kind, names in self._problems.items()
                        if names
                    ),
                ],
                "pass a complete checkpoint and its own configuration.",
            )
        return left_out


def _encoded(torch: Any) -> Callable[[], Any]:
    """A class for what stands in a head's model in the encoder's place: it gives what it was given,
    in the form in which encoders of transformers give their outputs."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    class Output(BaseModelOutputWithPooling):
        # Which models look for that are causal, or have a memory.
        cache = past_key_values = cross_attentions = mems = None

    class Encoded(torch.nn.Module):
        def give(self, sequence: Any, pooled: Any) -> None:
            self._given = Output(last_hidden_state=sequence, pooler_output=pooled)

        def forward(self, *arguments: Any, **keywords: Any) -> Any:
            return self._given

    return Encoded


def _tokenizer(request: Request, config: Any) -> tuple[HuggingFaceTokenizer | None, str]:
    """What was asked for, or what lies with the checkpoint; and a note."""
    directory: Path | None = request.tokenizer
    if directory is None and says_how(request.directory):
        directory = request.directory
    if directory is None:
        return None, "no cases of text: no tokenizer files with the checkpoint; --tokenizer"
    with _quiet():
        return HuggingFaceTokenizer(directory, config), ""


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
