"""Heads as data: what each takes and gives, and of which parts families make them.

A head's `Interface` goes into the record of an artifact; what writes, checks, times or describes
a head reads it there. Names follow TF-Hub's common API for text encoders (`.mlm`, `mlm_logits`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubexport.families.tensor_map import Leaf, Name, Part, dense, layer_norm
from hubexport.families.transforms import TRANSPOSED
from hubexport.networks.config import MEMORY, EncoderConfig

if TYPE_CHECKING:  # validation reads this where only JAX and numpy are installed
    from hubexport.families.configuration import Configuration
    from hubexport.families.labels import Labels

Axis = str | int
Axes = tuple[Axis, ...]
"""B batch, S sequence, N positions, C choices; V vocabulary, K classes, T beginnings and E ends of
answers where no model has yet given their number."""

ENCODER_LEAD: Axes = ("B", "S")
POSITIONS = "masked_lm_positions"
"""Input of heads that predict masked tokens: where these are, zero-padded."""


@dataclasses.dataclass(frozen=True)
class Function:
    """What else a head's sub-object can be asked, as a function of its own.

    Attributes:
      purpose: what it does, for sentences: "`.lm.score` gives ...".
      inputs: by name, in place of the encoder's where there are any; int32, but float32 for `past`.
      outputs: float32, by name; the encoder's are not among them.
      optional: of the inputs, those that may be left out.
    """

    purpose: str
    outputs: Mapping[str, Axes]
    inputs: Mapping[str, Axes] = dataclasses.field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def sized(self, sizes: Mapping[str, int]) -> Function:
        """The same with numbers in the place of letters."""
        return dataclasses.replace(
            self, inputs=_sized(self.inputs, sizes), outputs=_sized(self.outputs, sizes)
        )

    def record(self) -> dict[str, Any]:
        """As the record holds it."""
        return {
            "purpose": self.purpose,
            "inputs": {
                n: {"dtype": "float32" if n in FLOATS else "int32", "shape": list(a)}
                for n, a in self.inputs.items()
            },
            "outputs": _floats(self.outputs),
            "optional": list(self.optional),
        }

    @classmethod
    def of_record(cls, fields: Mapping[str, Any]) -> Function:
        """Back from the record; raises as `Interface.of_record`."""
        return cls(
            fields["purpose"],
            _axes(fields["outputs"]),
            _axes(fields["inputs"]),
            tuple(fields["optional"]),
        )


LANGUAGES = "input_language_ids"
"""Of what some encoders take beside the usual inputs, as `networks.config.MEMORY` is, the name."""

FLOATS = ("past", MEMORY)
"""Inputs that are float32."""


@dataclasses.dataclass(frozen=True)
class OptionalInput:
    """What an encoder, and with it every head, takes beside its usual inputs and can do without.

    Attributes:
      purpose: what it is, for sentences: "`mems` is ...".
      axes: of its shape.
      limit: values are integers from 0 to below it; None for float32.
      outputs: what is given only where it is, float32, by name.
    """

    purpose: str
    axes: Axes
    limit: int | None = None
    outputs: Mapping[str, Axes] = dataclasses.field(default_factory=dict)

    @property
    def of_functions(self) -> bool:
        """Whether functions of heads that take the encoder's inputs take it, too: each trace of
        theirs is large, so only what says something of the tokens is."""
        return self.limit is not None

    def of_lead(self, lead: Axes) -> Axes:
        """Its axes for a head whose inputs have these in the place of [B, S]."""
        replaced: Mapping[Axis, Axes] = {"B": lead[:-1], "S": lead[-1:]}
        return tuple(each for axis in self.axes for each in replaced.get(axis, (axis,)))

    def record(self) -> dict[str, Any]:
        """As the record holds it."""
        return {
            "purpose": self.purpose,
            "dtype": "float32" if self.limit is None else "int32",
            "shape": list(self.axes),
            "limit": self.limit,
            "outputs": _floats(self.outputs),
        }

    @classmethod
    def of_record(cls, fields: Mapping[str, Any]) -> OptionalInput:
        """Back from the record; raises as `Interface.of_record`."""
        outputs = _axes(fields["outputs"])
        return cls(fields["purpose"], tuple(fields["shape"]), fields["limit"], outputs)


def _sized(shapes: Mapping[str, Axes], sizes: Mapping[str, int]) -> dict[str, Axes]:
    return {n: tuple(sizes.get(str(axis), axis) for axis in axes) for n, axes in shapes.items()}


def _floats(shapes: Mapping[str, Axes]) -> dict[str, Any]:
    return {n: {"dtype": "float32", "shape": list(axes)} for n, axes in shapes.items()}


def _axes(fields: Mapping[str, Any]) -> dict[str, Axes]:
    return {name: tuple(each["shape"]) for name, each in fields.items()}


@dataclasses.dataclass(frozen=True)
class Interface:
    """What a head is called with and gives, beside what the encoder gives.

    Attributes:
      title: for headings of pages.
      purpose: what it does, for sentences: "... is trained for guessing masked words".
      inputs: beside the encoder's, int32, by name.
      outputs: by name; float32, but those that are `integers`.
      lead: axes of the encoder's inputs.
      layers: how many layers it puts on the encoder's; limits of differences grow with them.
      labels: of its classes, in order; () where it has none or the checkpoint declares none.
      declares_labels: whether its classes have names that a checkpoint may declare.
      problem_type: transformers' "regression", "single_label_classification" or
        "multi_label_classification", where declared.
      functions: what else its sub-object can be asked, by name.
      encodes: whether it runs the encoder in a way of its own, so that what else it gives is not
        what the root gives.
      dropout_places: of a head that `encodes`, as of the family's conventions.
      integers: of its outputs, those that are int32.
    """

    title: str
    purpose: str
    outputs: Mapping[str, Axes]
    inputs: Mapping[str, Axes] = dataclasses.field(default_factory=dict)
    lead: Axes = ENCODER_LEAD
    layers: int = 2
    declares_labels: bool = False
    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    functions: Mapping[str, Function] = dataclasses.field(default_factory=dict)
    encodes: bool = False
    dropout_places: int = 0
    integers: tuple[str, ...] = ()

    def dtype(self, output: str) -> str:
        """Of an output that it gives, itself or by a function."""
        return "int32" if output in self.integers else "float32"

    def sized(self, **sizes: int) -> Interface:
        """The same with numbers in the place of letters, V or K say."""
        functions = {name: each.sized(sizes) for name, each in self.functions.items()}
        return dataclasses.replace(self, outputs=_sized(self.outputs, sizes), functions=functions)

    def given(self) -> dict[str, Axes]:
        """What it gives, and what those of its functions do that take the encoder's inputs."""
        of_functions = (each.outputs for each in self.functions.values() if not each.inputs)
        return {n: axes for each in (self.outputs, *of_functions) for n, axes in each.items()}

    def record(self) -> dict[str, Any]:
        """As the record holds it."""
        return {
            "title": self.title,
            "purpose": self.purpose,
            "inputs": {n: {"dtype": "int32", "shape": list(a)} for n, a in self.inputs.items()},
            "outputs": {
                n: {"dtype": self.dtype(n), "shape": list(a)} for n, a in self.outputs.items()
            },
            "lead": list(self.lead),
            "layers": self.layers,
            "declares_labels": self.declares_labels,
            "labels": list(self.labels) or None,
            "problem_type": self.problem_type,
            "functions": {name: each.record() for name, each in self.functions.items()},
            "encodes": self.encodes,
            "dropout_places": self.dropout_places,
        }

    @classmethod
    def of_record(cls, fields: Mapping[str, Any]) -> Interface:
        """Back from the record.

        Raises:
          KeyError, TypeError: the fields are not those of `record`.
        """
        return cls(
            title=fields["title"],
            purpose=fields["purpose"],
            outputs=_axes(fields["outputs"]),
            inputs=_axes(fields["inputs"]),
            lead=tuple(fields["lead"]),
            layers=fields["layers"],
            declares_labels=fields["declares_labels"],
            labels=tuple(fields["labels"] or ()),
            problem_type=fields["problem_type"],
            functions={  # which older records do not have
                name: Function.of_record(each) for name, each in fields.get("functions", {}).items()
            },
            encodes=fields.get("encodes", False),
            dropout_places=fields.get("dropout_places", 0),
            integers=tuple(n for n, each in fields["outputs"].items() if each["dtype"] == "int32"),
        )


INTERFACES: Mapping[str, Interface] = {
    "mlm": Interface(
        title="Masked language model",
        purpose="guessing masked words",
        inputs={POSITIONS: ("B", "N")},
        outputs={"mlm_logits": ("B", "N", "V")},
    ),
    "lm": Interface(
        title="Language model",
        purpose="guessing the next token",
        inputs={"lm_positions": ("B", "N")},
        outputs={"lm_logits": ("B", "N", "V")},
        layers=0,
        functions={
            "score": Function(
                purpose="gives the log-probability of each token after those before it",
                outputs={"token_log_probs": ("B", "S"), "sequence_log_probs": ("B",)},
            ),
            "step": Function(
                purpose="gives the scores of the token that comes next, and takes and gives what "
                "is kept of those before",
                inputs={
                    "input_word_ids": ("B", "S"),
                    "input_mask": ("B", "P + S"),
                    "past": ("L", 2, "B", "A", "P", "D"),
                },
                outputs={
                    "lm_logits": ("B", "V"),
                    "past": ("L", 2, "B", "A", "P + S", "D"),
                },
                optional=("past",),
            ),
        },
    ),
    "double_heads": Interface(
        title="Double heads",
        purpose="guessing the next token and choosing one of several continuations",
        inputs={"lm_positions": ("B", "C", "N"), "mc_positions": ("B", "C")},
        outputs={"lm_logits": ("B", "C", "N", "V"), "mc_logits": ("B", "C")},
        lead=("B", "C", "S"),
        layers=1,
    ),
    "nsp": Interface(
        title="Next sentence prediction",
        purpose="telling whether a passage follows another (next sentence prediction)",
        outputs={"nsp_logits": ("B", 2)},
    ),
    "classifier": Interface(
        title="Classifier",
        purpose="classifying texts",
        outputs={"classifier_logits": ("B", "K")},
        declares_labels=True,
    ),
    "token_classifier": Interface(
        title="Token classifier",
        purpose="classifying tokens",
        outputs={"token_logits": ("B", "S", "K")},
        layers=1,
        declares_labels=True,
    ),
    "qa": Interface(
        title="Question answering",
        purpose="finding the answer to a question in a text",
        outputs={"start_logits": ("B", "S"), "end_logits": ("B", "S")},
        layers=1,
    ),
    "qa_beam": Interface(
        title="Question answering with a beam",
        purpose="finding the likeliest answers to a question in a text, or that there is none",
        inputs={"answer_mask": ("B", "S"), "cls_positions": ("B",)},
        outputs={
            "start_top_probs": ("B", "T"),
            "start_top_index": ("B", "T"),
            "end_top_probs": ("B", "E * T"),
            "end_top_index": ("B", "E * T"),
            "cls_logits": ("B",),
        },
        integers=("start_top_index", "end_top_index"),
    ),
    "multiple_choice": Interface(
        title="Multiple choice",
        purpose="choosing one of several continuations",
        outputs={"choice_logits": ("B", "C")},
        lead=("B", "C", "S"),
    ),
}
"""By the name of the sub-object that holds the head, in the order of artifacts' signatures."""

LOG_PROBS = dataclasses.replace(
    INTERFACES["lm"],
    outputs={"lm_log_probs": ("B", "N", "V")},
    layers=1,
    functions={"score": INTERFACES["lm"].functions["score"]},
)
"""`lm` where a softmax by clusters gives log-probabilities, and scores there are none of."""

FORMS: Sequence[tuple[str, Interface]] = (*INTERFACES.items(), ("lm", LOG_PROBS))
"""Every form that a head of that name may have."""

ARCHITECTURES: Mapping[str, tuple[str, ...]] = {
    "mlm": ("ForMaskedLM", "ForPreTraining", "WithLMHeadModel"),
    "lm": ("LMHeadModel", "WithLMHeadModel"),
    "double_heads": ("DoubleHeadsModel",),
    "nsp": ("ForNextSentencePrediction", "ForPreTraining"),
    "classifier": ("ForSequenceClassification",),
    "token_classifier": ("ForTokenClassification",),
    "qa": ("ForQuestionAnsweringSimple", "ForQuestionAnswering"),
    "qa_beam": ("ForQuestionAnswering",),
    "multiple_choice": ("ForMultipleChoice",),
}
"""Ends of the names of transformers' classes that have the head."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "mlm_logits": ("prediction_logits", "logits"),
    "nsp_logits": ("seq_relationship_logits", "logits"),
    "start_logits": ("start_logits",),
    "end_logits": ("end_logits",),
    "mc_logits": ("mc_logits",),
    "lm_log_probs": ("prediction_scores",),
    # transformers calls them log_probs: they are the softmax itself.
    "start_top_probs": ("start_top_log_probs",),
    "start_top_index": ("start_top_index",),
    "end_top_probs": ("end_top_log_probs",),
    "end_top_index": ("end_top_index",),
    "cls_logits": ("cls_logits",),
}
"""Output of a head -> what transformers' classes call it; `logits` where it is not in the table."""

TENSORS: Mapping[str, str] = {
    "mlm": r"(.*[/.])?(cls[/.]predictions[/.]|masked_lm/(?!embedding_table)).*"
    r"|(.*/)?mlm/.*|((encoder|decoder)\.)?lm_head\..*|vocab_(transform|layer_norm|projector)\..*",
    "nsp": r"(.*[/.])?(cls[/.]seq_relationship|next_sentence)[/.].*",
    "lm": r"crit\..*|transformer/adaptive_softmax/.*",
    "double_heads": r"multiple_choice_head\..*",
    "classifier": r"score\.weight|(pre_)?classifier\.(.*\.)?(weight|bias)|output_(weights|bias)"
    r"|((encoder|decoder)\.)?classification_heads\..*|(.*/)?classification_heads/\d+/.*",
    "qa": r"qa_outputs\.(weight|bias)|cls/squad/output_\w+",
    "qa_beam": r"(qa_outputs\.)?(start_logits|end_logits|answer_class)\..*",
}
"""Names of a head's tensors in any layout, where no family's tables can be asked."""

USUAL_CAUSES: Mapping[str, str] = {
    "mlm": "output bias lost, word embeddings not tied, positions off by one, another activation "
    "or epsilon in the head",
    "lm": "word embeddings not tied, positions off by one, tokens seen that are to be guessed, "
    "clusters of words in another order",
    "double_heads": "the score of a choice is read at another position, choices mixed with rows of "
    "the batch",
    "nsp": "the head reads another pooler than it was trained on, weights transposed",
    "classifier": "the head reads another pooler than it was trained on, another activation in "
    "it, labels in another order",
    "token_classifier": "labels in another order, weights transposed",
    "qa": "start and end exchanged, weights transposed",
    "qa_beam": "answers looked for in the question or in padding, start and end exchanged, the "
    "score read at another token, another order of ends",
    "multiple_choice": "the head reads another pooler than it was trained on, choices mixed with "
    "rows of the batch",
}
"""What is probably wrong where all layers agree and the head's output does not."""


@dataclasses.dataclass(frozen=True)
class HeadPooler:
    """The dense layer that a head was trained on, on the token that is its `pooling`.

    Attributes:
      part: its weights; the scope is that of the head's own, if the encoder's is another.
      activation: `tanh`, `linear`, or one of `hubexport.networks.config.ACTIVATIONS`.
    """

    part: Part
    activation: str = "tanh"

    @property
    def size(self) -> int:
        """Of what it gives."""
        return self.part.leaves[0].shape[-1]


@dataclasses.dataclass(frozen=True)
class Head:
    """A head of a family.

    Attributes:
      network: the key of `hubexport.networks.heads.HEADS` that computes it.
      scope: of its variables.
      interface: what it takes and gives.
      parts: its weights, less its pooler.
      pooler: what it was trained on; None where it reads the sequence.
      activation: of its own hidden layer, if it has one; "" for the network's.
      pooling: of `hubexport.networks.pooling.POOLINGS`, what it reads, or what its pooler does.
      carried: whether the checkpoint has it, for heads without weights of their own.
      companions: weights that checkpoints hold with or without the head, and that it alone needs.
      refused: why this model's cannot be exported, "" where it can.
      doubt: what its users should know of it, a sentence for the record's warnings.
    """

    network: str
    scope: str
    interface: Interface
    parts: tuple[Part, ...]
    pooler: HeadPooler | None = None
    activation: str = ""
    pooling: str = "cls"
    carried: bool = False
    companions: tuple[Part, ...] = ()
    refused: str = ""
    doubt: str = ""


def output_layer(
    scope: str, size_out: int, size_in: int, names: Mapping[str, Name], *, bias: bool = True
) -> Part:
    """output_weights [size_out, size_in] and output_bias [size_out], as google-research/bert keeps
    the last layer of its heads."""
    weights = Leaf("output_weights", (size_out, size_in), {"tf2": TRANSPOSED})
    leaves = (weights, Leaf("output_bias", (size_out,))) if bias else (weights,)
    return Part(scope, leaves, names, base=False)


_PREDICTIONS = "cls/predictions"


def masked_language_model(
    config: EncoderConfig,
    *,
    dense_names: Mapping[str, Name],
    norm_names: Mapping[str, Name],
    bias_names: Mapping[str, Name],
    activation: str = "",
) -> Head:
    """Dense layer, activation and norm before an output layer that is tied to the embeddings."""
    c, scope = config, _PREDICTIONS
    parts = (
        # First, as in published modules: programs that set weights by position rely on the order.
        Part(f"{scope}/output_bias", (Leaf("", (c.vocab_size,)),), bias_names, base=False),
        dense(
            f"{scope}/transform/dense", c.hidden_size, c.embedding_size, base=False, **dense_names
        ),
        layer_norm(f"{scope}/transform/LayerNorm", c.embedding_size, base=False, **norm_names),
    )
    interface = INTERFACES["mlm"].sized(V=c.vocab_size)
    return Head("masked_language_model", scope, interface, parts, activation=activation)


def causal_language_model(config: EncoderConfig, *, carried: bool) -> Head:
    """Nothing but an output layer that is the table of words."""
    c = config
    sizes = {
        "V": c.vocab_size,
        "L": c.num_hidden_layers,
        "A": c.num_attention_heads,
        "D": c.head_size,
    }
    interface = INTERFACES["lm"].sized(**sizes)
    return Head("language_model", "cls/lm", interface, (), carried=carried)


def adaptive_language_model(config: EncoderConfig, parts: Sequence[Part]) -> Head:
    """Words by clusters, whose tables and projections may be the embeddings'."""
    interface = LOG_PROBS.sized(V=config.vocab_size)
    return Head("adaptive_language_model", "cls/lm", interface, tuple(parts))


def tied_masked_language_model(config: EncoderConfig, bias_names: Mapping[str, Name]) -> Head:
    """Nothing but an output layer that is tied to the embeddings, with a bias."""
    interface = dataclasses.replace(INTERFACES["mlm"].sized(V=config.vocab_size), layers=0)
    bias = Part(f"{_PREDICTIONS}/output_bias", (Leaf("", (config.vocab_size,)),), bias_names, False)
    return Head("tied_masked_language_model", _PREDICTIONS, interface, (bias,))


def language_model(config: EncoderConfig, bias_names: Mapping[str, Name]) -> Head:
    """The same for the next word."""
    masked = tied_masked_language_model(config, bias_names)
    interface = causal_language_model(config, carried=False).interface
    return dataclasses.replace(masked, network="biased_language_model", interface=interface)


def double_heads(config: EncoderConfig, names: Mapping[str, Name], *, refused: str = "") -> Head:
    """The same, and a score of each choice, read at one token."""
    scope = "cls/double_heads"
    part = output_layer(scope, 1, config.hidden_size, names)
    interface = INTERFACES["double_heads"].sized(V=config.vocab_size)
    return Head("double_heads", scope, interface, (part,), refused=refused)


def pooled_head(
    name: str,
    config: EncoderConfig,
    labels: Labels,
    pooler: HeadPooler | None,
    names: Mapping[str, Name],
    *,
    scope: str = "",
    pooling: str = "cls",
    bias: bool = True,
    refused: str = "",
    doubt: str = "",
) -> Head:
    """Classes (or one score) from one vector: the pooler's, or what the pooling gives."""
    scope = scope or f"cls/{name}"
    size = config.hidden_size if pooler is None else pooler.size
    part = output_layer(scope, labels.number, size, names, bias=bias)
    return Head(
        "pooled_classifier", scope, _of_classes(name, labels), (part,), pooler,
        pooling=pooling, refused=refused, doubt=doubt,
    )  # fmt: skip


def token_head(
    name: str, network: str, config: EncoderConfig, labels: Labels, names: Mapping[str, Name]
) -> Head:
    """Classes (or a start and an end) of each token."""
    scope = f"cls/{name}"
    part = output_layer(scope, labels.number, config.hidden_size, names)
    return Head(network, scope, _of_classes(name, labels), (part,))


def beam_question_answering(
    config: EncoderConfig, root: str, *, beginnings: int, ends: int
) -> Head:
    """The likeliest beginnings of an answer, and the likeliest ends of each.

    Args:
      root: what the names of its layers begin with in transformers' checkpoints: "qa_outputs.".
      beginnings, ends: how many there are, of ends for each beginning.
    """
    H, scope = config.hidden_size, "cls/qa_beam"

    def layer(name: str, size_in: int, size_out: int, *, bias: bool = True) -> Part:
        names = {"hugging_face": root + name.replace("/", ".")}
        part = dense(f"{scope}/{name}", size_in, size_out, base=False, **names)
        return part if bias else dataclasses.replace(part, leaves=part.leaves[:1])

    parts = (
        layer("start_logits/dense", H, 1),
        layer("end_logits/dense_0", 2 * H, H),
        layer_norm(
            f"{scope}/end_logits/LayerNorm", H, base=False,
            hugging_face=f"{root}end_logits.LayerNorm",
        ),
        layer("end_logits/dense_1", H, 1),
        layer("answer_class/dense_0", 2 * H, H),
        layer("answer_class/dense_1", H, 1, bias=False),
    )  # fmt: skip
    interface = INTERFACES["qa_beam"].sized(**{"T": beginnings, "E * T": ends * beginnings})
    return Head("beam_question_answering", scope, interface, parts)


def _of_classes(name: str, labels: Labels) -> Interface:
    interface = INTERFACES[name].sized(K=labels.number)
    return dataclasses.replace(interface, labels=labels.names, problem_type=labels.problem_type)


def linear_summary(summary_type: str) -> dict[str, tuple[object, ...]]:
    """What configurations say of a dense layer on one token, which gives the scores themselves."""
    return {
        "summary_type": (summary_type,),
        "summary_use_proj": (True,),
        "summary_activation": (None, "", "linear"),
        "summary_proj_to_labels": (True,),
    }


def other_summary(configuration: Configuration, usual: Mapping[str, tuple[object, ...]]) -> str:
    """How transformers' SequenceSummary makes something of a text, where that is in another way.

    Args:
      usual: what the configuration may say, by its keys; an absent one is usual.
    """
    values = configuration.values
    other = [
        f"{key}: {values[key]!r}"
        for key, possible in usual.items()
        if key in values and values[key] not in possible
    ]
    return f"the configuration says {', '.join(other)}" if other else ""


TELLING_TASKS = frozenset(
    ("cola", "mnli", "mnli-mm", "mrpc", "qnli", "qqp", "rte", "sst-2", "sts-b", "wnli", "xnli")
)
"""Values of `finetuning_task` in old configurations (GLUE's) that classify texts."""


def told_apart(names: Collection[str], configuration: Configuration) -> str | None:
    """Which of the heads that the same tensors could be of they are; None where nothing tells.

    Args:
      names: of the heads.
      configuration: of transformers; `architectures` names the class that was saved.
    """
    values = configuration.values
    saved = values.get("architectures")
    for architecture in saved if isinstance(saved, list) else ():
        ends = [n for n in names if str(architecture).endswith(ARCHITECTURES.get(n, ()))]
        if len(ends) == 1:
            return ends[0]
    of_texts = str(values.get("finetuning_task")).lower() in TELLING_TASKS
    if "classifier" in names and (of_texts or values.get("problem_type") is not None):
        return "classifier"
    return None
