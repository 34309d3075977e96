"""Exported encoders give what Model Garden's own networks give with the same weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import CheckpointError
from tests.material import material
from tests.oracles import compare, inputs
from tests.tiers import examples
from tests.unsaved import Unsaved

if TYPE_CHECKING:
    from tests.oracles.model_garden import Sizes

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]


@pytest.fixture(scope="session")
def garden() -> Any:
    """`tests.oracles.model_garden`, imported once per worker."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from tests.oracles import model_garden

    return model_garden


@pytest.fixture
def same(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Asserts that an artifact gives the expected outputs, for batches of several shapes."""

    def check(
        artifact: compare.Artifact,
        sizes: Sizes,
        expected: Callable[[inputs.Tensors], compare.Expected],
        least: float = 0.05,
    ) -> None:
        batches = inputs.batches(
            sizes.vocab_size, sizes.max_position_embeddings, sizes.type_vocab_size
        )
        worst = max(
            compare.assert_same(artifact(batch), expected(batch), least) for batch in batches
        )
        request.node.user_properties.append(("largest difference", worst))

    return check


class Trained:
    """A `BertPretrainerV2` of random weights, and its checkpoint in one of the layouts."""

    def __init__(
        self, garden: Any, encoder: str, sizes: Sizes, directory: Path, *, next_sentence: bool
    ):
        self.garden, self.sizes, self.directory = garden, sizes, directory
        self.model = garden.trained(sizes, encoder, next_sentence=next_sentence)
        self.encoder = self.model.encoder_network

    def save(self, layout: str, writer: str = "save", optimizer: str | None = None) -> str:
        """Writes a checkpoint; its prefix."""
        import tensorflow as tf

        items: dict[str, Any] = {
            "model=": lambda: {"model": self.encoder},
            "encoder=": lambda: {"encoder": self.encoder},
            "pretrainer=": lambda: {"pretrainer": self.model},
            "model=pretrainer": lambda: {"model": self.model},
            "checkpoint_items": lambda: self.model.checkpoint_items,
            "trainer": lambda: {
                "global_step": tf.Variable(7, dtype=tf.int64),
                "model": self.model,
                **self.model.checkpoint_items,
            },
            "older functional": lambda: {
                "encoder": self.garden.as_older_functional(self.encoder),
                "masked_lm": self.model.masked_lm,
            },
            "older functional model=": lambda: {
                "model": self.garden.as_older_functional(self.encoder)
            },
        }[layout]()
        if optimizer is not None:
            items["optimizer"] = getattr(self.garden, f"with_{optimizer}_adam")(self.model)
        checkpoint = tf.train.Checkpoint(**items)
        return getattr(checkpoint, writer)(str(self.directory / "ckpt"))

    def expected(self, *heads: str) -> Callable[[inputs.Tensors], compare.Expected]:
        """The model's outputs, without those of heads that the checkpoint does not carry."""

        def outputs(batch: inputs.Tensors) -> compare.Expected:
            found = self.garden.expected_outputs(self.model, batch)
            left_out = {"mlm_logits", "nsp_logits"} - {f"{head}_logits" for head in heads}
            return {key: value for key, value in found.items() if key not in left_out}

        return outputs


@dataclasses.dataclass(frozen=True)
class Case:
    """A checkpoint layout, with the configuration file that goes with it."""

    name: str
    encoder: str
    layout: str
    configuration: str
    heads: tuple[str, ...] = ()
    writer: str = "save"
    optimizer: str | None = None
    next_sentence: bool = False
    factorized: bool = False
    activation: str = "gelu"


MLM, BOTH = ("mlm",), ("mlm", "nsp")
CASES = [
    Case("functional, model=", "functional", "model=", "bert_config.json"),
    Case("functional, encoder=, write", "functional", "encoder=", "bert.yaml", writer="write"),
    Case("functional, pretrainer=", "functional", "pretrainer=", "type.yaml", MLM),
    Case("functional, model=pretrainer", "functional", "model=pretrainer", "bert.yaml",
         BOTH, next_sentence=True),
    Case("functional, checkpoint_items", "functional", "checkpoint_items", "bert_config.json",
         MLM),
    Case("functional, checkpoint_items with next_sentence", "functional", "checkpoint_items",
         "bert.yaml", MLM, writer="write", next_sentence=True),
    Case("functional, factorized, model=", "functional", "model=", "bert.yaml", factorized=True),
    Case("functional, factorized, checkpoint_items", "functional", "checkpoint_items",
         "bert_config.json", MLM, factorized=True),
    Case("functional, relu", "functional", "encoder=", "bert.yaml", activation="relu"),
    Case("older functional, encoder= and masked_lm=", "functional", "older functional",
         "bert_config.json", MLM),
    Case("older functional, model=, factorized", "functional", "older functional model=",
         "bert.yaml", writer="write", factorized=True),
    Case("v2, model=, write", "v2", "model=", "bert_v2.yaml", writer="write"),
    Case("v2, encoder=", "v2", "encoder=", "bert_config.json"),
    Case("v2, pretrainer=", "v2", "pretrainer=", "bert_v2.yaml", MLM),
    Case("v2, pretrainer=, with next_sentence, write", "v2", "pretrainer=", "params.yaml",
         BOTH, writer="write", next_sentence=True),
    Case("v2, model=pretrainer", "v2", "model=pretrainer", "bert_v2.yaml", MLM),
    Case("v2, checkpoint_items, write", "v2", "checkpoint_items", "bert_v2.yaml", MLM,
         writer="write"),
    Case("v2, checkpoint_items with next_sentence", "v2", "checkpoint_items", "params.yaml",
         MLM, next_sentence=True),
    Case("v2, factorized, pretrainer=", "v2", "pretrainer=", "params.yaml", BOTH,
         next_sentence=True, factorized=True),
    Case("v2, trainer, old Adam", "v2", "trainer", "params.yaml", BOTH, optimizer="old",
         next_sentence=True),
    Case("v2, trainer, new Adam", "v2", "trainer", "params.yaml", BOTH, optimizer="new",
         next_sentence=True),
    Case("functional, trainer, old Adam", "functional", "trainer", "bert.yaml", BOTH,
         optimizer="old", next_sentence=True, writer="write"),
    Case("functional, trainer, new Adam, no next_sentence", "functional", "trainer",
         "bert_config.json", MLM, optimizer="new"),
    Case("v2, checkpoint_items, old Adam", "v2", "checkpoint_items", "bert_v2.yaml", MLM,
         optimizer="old", next_sentence=True),
    Case("v2, checkpoint_items, new Adam", "v2", "checkpoint_items", "bert_v2.yaml", MLM,
         optimizer="new", next_sentence=True),
    Case("talking heads, encoder=", "talking_heads", "encoder=", "bert.yaml"),
    Case("talking heads, model=, write", "talking_heads", "model=", "bert_config.json",
         writer="write"),
    Case("talking heads, checkpoint_items", "talking_heads", "checkpoint_items",
         "bert.yaml", MLM),
    Case("talking heads, trainer, new Adam", "talking_heads", "trainer", "type.yaml", BOTH,
         optimizer="new", next_sentence=True),
]  # fmt: skip

EXAMPLES = (
    "functional, factorized, checkpoint_items", "v2, trainer, new Adam",
    "talking heads, trainer, new Adam",
)  # fmt: skip
"""Always, and exported whole; of the others the functions are called that would be."""


@pytest.mark.parametrize("case", examples(CASES, EXAMPLES), ids=lambda case: case.name)
def test_every_layout(case: Case, garden: Any, same: Callable[..., None], tmp_path: Path) -> None:
    sizes = garden.Sizes(embedding_size=10 if case.factorized else None, activation=case.activation)
    trained = Trained(garden, case.encoder, sizes, tmp_path, next_sentence=case.next_sentence)
    prefix = trained.save(case.layout, case.writer, case.optimizer)
    configuration = garden.write_configuration(case.configuration, sizes, tmp_path)
    if case.name in EXAMPLES:
        record = hubexport.export_encoder(
            checkpoint=prefix, export_path=tmp_path / "out", **configuration
        )
        artifact = compare.Artifact(tmp_path / "out")
    else:
        encoder = Unsaved(Path(prefix), **configuration)
        artifact, record = compare.Artifact(encoder), encoder.record
    family = "talking_heads" if case.encoder == "talking_heads" else "bert"
    assert record["family"]["name"] == family
    assert tuple(record["heads"]) == case.heads
    assert record["architecture"]["hidden_act"] == {"gelu": "gelu_tanh"}.get(
        case.activation, case.activation
    )
    assert ("optimizer slots" in record["skipped_tensors"]) == (case.optimizer is not None)
    same(artifact, sizes, trained.expected(*case.heads))
    keys = _key_biases(trained)
    assert len(keys) == sizes.num_layers
    for i, key in enumerate(keys):
        # The softmax cancels the keys' bias: the outputs would not show that it is lost.
        name = f"encoder/layer_{i}/attention/self/key/bias"
        np.testing.assert_array_equal(artifact.variable(name), key)


def _key_biases(trained: Trained) -> list[np.ndarray]:
    return [
        variable.numpy().reshape(-1)
        for variable in trained.encoder.variables
        if variable.name.endswith("key/bias:0")
    ]


@pytest.fixture(scope="module")
def factorized(garden: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The prefix of a checkpoint whose embeddings are narrower."""
    directory = tmp_path_factory.mktemp("factorized")
    trained = Trained(garden, "v2", garden.Sizes(embedding_size=10), directory, next_sentence=False)
    return trained.save("encoder=")


@pytest.mark.parametrize(
    "form", ["bert_config.json", "bert.yaml", "bert_v2.yaml", "type.yaml", "params.yaml"]
)
def test_every_form_of_configuration_says_the_same(
    form: str, factorized: str, garden: Any, tmp_path: Path
) -> None:
    sizes = garden.Sizes(embedding_size=10)
    record = hubexport.export_encoder(
        checkpoint=factorized,
        export_path=tmp_path / "out",
        dry_run=True,
        **garden.write_configuration(form, sizes, tmp_path),
    )
    architecture = dict(record["architecture"])
    architecture.pop("num_parameters")
    assert architecture == {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 12,
        "type_vocab_size": 3,
        "embedding_size": 10,
        "hidden_act": "gelu_tanh",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 0,
        "dtype": "float32",
        "variable_dtype": "float32",
        "padding": "compute",
    }


POOLERS: dict[str, Callable[[Trained, inputs.Tensors, np.ndarray], np.ndarray]] = {
    "checkpoint": lambda trained, batch, sequence: trained.expected()(batch)["pooled_output"],
    "next_sentence": lambda trained, batch, sequence: trained.garden.next_sentence_pooled(
        trained.model, batch
    ),
    "identity": lambda trained, batch, sequence: np.tanh(sequence[:, 0]),
    "mean": lambda trained, batch, sequence: np.stack(
        [row[:size].mean(0) for row, size in zip(sequence, batch["input_mask"].sum(1), strict=True)]
    ),
    "cls": lambda trained, batch, sequence: sequence[:, 0],
}


@pytest.mark.parametrize("pooler", examples(POOLERS, ["next_sentence"]))
def test_poolers(pooler: str, garden: Any, same: Callable[..., None], tmp_path: Path) -> None:
    """Whatever `pooled_output` is, `.nsp` starts from the pooler that it was trained with."""
    sizes = garden.Sizes()
    trained = Trained(garden, "v2", sizes, tmp_path, next_sentence=True)
    prefix = trained.save("pretrainer=")
    configuration = garden.write_configuration("params.yaml", sizes, tmp_path)
    encoder = Unsaved(Path(prefix), pooler=pooler, **configuration)
    record = encoder.record
    assert record["pooler"]["pooled_output"] == pooler
    # Pre-training with this head leaves the encoder's own pooler as it was: nobody can say more.
    assert record["pooler"]["trained"] is {"next_sentence": True, "identity": False}.get(pooler)
    assert bool(record["pooler"]["doubts"]) == (pooler == "checkpoint")

    def expected(batch: inputs.Tensors) -> compare.Expected:
        outputs = dict(trained.expected("mlm", "nsp")(batch))
        outputs["pooled_output"] = POOLERS[pooler](trained, batch, outputs["sequence_output"])
        return outputs

    same(compare.Artifact(encoder), sizes, expected)


def test_next_sentence_pooler_of_checkpoint_items(
    garden: Any, same: Callable[..., None], tmp_path: Path
) -> None:
    """`checkpoint_items` carry the head's pooler, and nothing else of the head."""
    sizes = garden.Sizes()
    trained = Trained(garden, "functional", sizes, tmp_path, next_sentence=True)
    encoder = Unsaved(
        Path(trained.save("checkpoint_items")),
        pooler="next_sentence",
        **garden.write_configuration("bert.yaml", sizes, tmp_path),
    )

    def expected(batch: inputs.Tensors) -> compare.Expected:
        pooled = garden.next_sentence_pooled(trained.model, batch)
        return {**trained.expected("mlm")(batch), "pooled_output": pooled}

    same(compare.Artifact(encoder), sizes, expected)


def test_untrained_pooler_is_the_same_every_time_and_said_to_be_untrained(
    garden: Any, tmp_path: Path
) -> None:
    sizes = garden.Sizes()
    trained = Trained(garden, "v2", sizes, tmp_path, next_sentence=False)
    prefix = trained.save("checkpoint_items")
    configuration = garden.write_configuration("bert_v2.yaml", sizes, tmp_path)
    batch = inputs.batches(sizes.vocab_size, sizes.max_position_embeddings)[-1]
    pooled = []
    for name in ("first", "second"):
        record = hubexport.export_encoder(
            checkpoint=prefix, export_path=tmp_path / name, pooler="untrained", **configuration
        )
        assert record["pooler"]["pooled_output"] == "untrained"
        assert record["pooler"]["trained"] is False
        assert any("untrained" in warning for warning in record["warnings"])
        assert hubexport.load_record(tmp_path / name)["pooler"]["trained"] is False
        outputs = compare.Artifact(tmp_path / name)(batch)
        expected = trained.expected()(batch)
        compared = ("sequence_output", "encoder_outputs")
        assert compare.worst_difference(outputs, expected, compared) <= compare.TOLERANCE
        assert np.abs(outputs["pooled_output"] - expected["pooled_output"]).max() > 0.1
        pooled.append(outputs["pooled_output"])
    np.testing.assert_array_equal(*pooled)
    assert np.ptp(pooled[0]) > 0.01


def test_the_next_sentence_pooler_must_be_there_to_be_chosen(garden: Any, tmp_path: Path) -> None:
    sizes = garden.Sizes()
    trained = Trained(garden, "v2", sizes, tmp_path, next_sentence=False)
    with pytest.raises(CheckpointError, match="no pooler"):
        hubexport.export_encoder(
            checkpoint=trained.save("checkpoint_items"),
            export_path=tmp_path / "out",
            pooler="next_sentence",
            **garden.write_configuration("bert_v2.yaml", sizes, tmp_path),
        )


@pytest.mark.parametrize(
    ("slots", "activation"),
    [
        (True, "gelu"),
        pytest.param(False, "gelu", marks=pytest.mark.exhaustive),
        pytest.param(True, "relu", marks=pytest.mark.exhaustive),
    ],
    ids=["with Adam slots", "without slots", "relu"],
)  # fmt: skip
def test_tf1_with_heads(
    slots: bool, activation: str, garden: Any, same: Callable[..., None], tmp_path: Path
) -> None:
    """google-research/bert against Model Garden after Model Garden's own conversion."""
    sizes = garden.Sizes(activation=activation)
    prefix = tmp_path / "bert_model.ckpt"
    values = garden.write_tf1_checkpoint(sizes, prefix, slots=slots)
    configuration = garden.write_configuration("bert_config.json", sizes, tmp_path)
    record = hubexport.export_encoder(checkpoint=prefix, export_path=tmp_path / "out")
    assert list(record["heads"]) == ["mlm", "nsp"]
    assert ("optimizer slots" in record["skipped_tensors"]) == slots
    model = garden.converted_tf1(configuration["bert_config"], prefix, tmp_path)
    artifact = compare.Artifact(tmp_path / "out")
    same(artifact, sizes, lambda batch: _tf1_expected(garden, model, values, batch))
    for i in range(sizes.num_layers):
        bias = f"encoder/layer_{i}/attention/self/key/bias"
        np.testing.assert_array_equal(artifact.variable(bias), values[f"bert/{bias}"])


def _tf1_expected(
    garden: Any, model: Any, values: inputs.Tensors, batch: inputs.Tensors
) -> compare.Expected:
    outputs = garden.expected_outputs(model, batch)
    # google-research/bert, run_pretraining.get_next_sentence_output
    weights = values["cls/seq_relationship/output_weights"]
    bias = values["cls/seq_relationship/output_bias"]
    return {**outputs, "nsp_logits": outputs["pooled_output"] @ weights.T + bias}


def test_tf1_without_heads(garden: Any, same: Callable[..., None], tmp_path: Path) -> None:
    sizes = garden.Sizes()
    prefix = tmp_path / "bert_model.ckpt"
    values = garden.write_tf1_checkpoint(sizes, prefix, heads=True, slots=False)
    model = garden.converted_tf1(
        garden.write_configuration("bert_config.json", sizes, tmp_path)["bert_config"],
        prefix,
        tmp_path,
    )
    (tmp_path / "bare").mkdir()
    bare = tmp_path / "bare" / "bert_model.ckpt"
    same_values = garden.write_tf1_checkpoint(sizes, bare, heads=False, slots=True)
    assert all(np.array_equal(values[name], same_values[name]) for name in same_values)
    encoder = Unsaved(bare, bert_config=tmp_path / "bert_config.json")
    assert encoder.record["heads"] == {}

    def expected(batch: inputs.Tensors) -> compare.Expected:
        outputs = dict(garden.expected_outputs(model, batch))
        del outputs["mlm_logits"]
        return outputs

    same(compare.Artifact(encoder), sizes, expected)


def test_heads_can_be_left_out(garden: Any, same: Callable[..., None], tmp_path: Path) -> None:
    sizes = garden.Sizes()
    trained = Trained(garden, "functional", sizes, tmp_path, next_sentence=True)
    encoder = Unsaved(
        Path(trained.save("pretrainer=")),
        heads="nsp",
        **garden.write_configuration("bert.yaml", sizes, tmp_path),
    )
    assert list(encoder.record["heads"]) == ["nsp"]
    assert "head: mlm" in encoder.record["skipped_tensors"]
    same(compare.Artifact(encoder), sizes, trained.expected("nsp"))


def test_fewer_positions(garden: Any, tmp_path: Path) -> None:
    """The first rows of the position table are kept; a longer sequence is an error."""
    import tensorflow as tf

    sizes = garden.Sizes()
    trained = Trained(garden, "v2", sizes, tmp_path, next_sentence=False)
    encoder = Unsaved(
        Path(trained.save("checkpoint_items")),
        max_position_embeddings=8,
        **garden.write_configuration("bert_v2.yaml", sizes, tmp_path),
    )
    artifact = compare.Artifact(encoder)
    for batch in inputs.batches(sizes.vocab_size, 8, sizes.type_vocab_size):
        compare.assert_same(artifact(batch), trained.expected("mlm")(batch))
    with pytest.raises(tf.errors.InvalidArgumentError):
        artifact(inputs.batches(sizes.vocab_size, 9)[-1])


def test_a_real_toy_checkpoint(garden: Any, same: Callable[..., None], tmp_path: Path) -> None:
    """keras-bert's test checkpoint, written by google-research/bert's pre-training."""
    directory = material("checkpoints/tf1_keras-bert_toy")
    import tensorflow as tf

    prefix = directory / "bert_model.ckpt"
    record = hubexport.export_encoder(checkpoint=directory, export_path=tmp_path / "out")
    assert list(record["heads"]) == ["mlm", "nsp"]
    model = garden.converted_tf1(directory / "bert_config.json", prefix, tmp_path)
    reader = tf.train.load_checkpoint(str(prefix))
    names = ("cls/seq_relationship/output_weights", "cls/seq_relationship/output_bias")
    values = {name: reader.get_tensor(name) for name in names}
    sizes = garden.Sizes(vocab_size=15, max_position_embeddings=16, type_vocab_size=2)
    # It was trained for a moment only: what its heads say is small.
    artifact = compare.Artifact(tmp_path / "out")
    same(artifact, sizes, lambda batch: _tf1_expected(garden, model, values, batch), 1e-3)
