"""Order and shapes of an encoder's variables beside those of Model Garden's own exporter, whose
modules were published; docs/variables.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.families.heads import INTERFACES
from tests import tiny
from tests.planned import planned, rewritten

DOCUMENT = Path(__file__).parents[1] / "docs" / "variables.md"

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`published`, by Model Garden, and `out/encoder`, by hubexport, of other weights."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    import tensorflow as tf
    from official.legacy.bert import configs
    from official.nlp.tools import export_tfhub_lib

    from tests.oracles import model_garden

    work = tmp_path_factory.mktemp("order")
    sizes = model_garden.Sizes(max_position_embeddings=24, type_vocab_size=2)
    vocabulary = tiny.write_vocabulary(work / "vocab.txt", sizes.vocab_size)
    for name in ("theirs", "ours"):
        encoder = model_garden.ENCODERS["v2"](sizes)
        model = model_garden.pretrainer(sizes, encoder, next_sentence=False)
        tf.train.Checkpoint(**model.checkpoint_items).save(str(work / name))
    configuration = model_garden.write_configuration("bert_config.json", sizes, work)
    export_tfhub_lib.export_model(
        str(work / "published"),
        bert_config=configs.BertConfig.from_json_file(str(configuration["bert_config"])),
        encoder_config=None,
        model_checkpoint_path=str(work / "theirs-1"),
        with_mlm=True,
        vocab_file=str(vocabulary),
        do_lower_case=True,
    )
    hubexport.export_encoder(
        checkpoint=work / "ours-1", export_path=work / "out" / "encoder", **configuration
    )
    return work


def kind(name: str) -> str:
    """What a variable is, in words that both sides share."""
    words = {
        "position": "position", "type": "type", "word": "word", "query": "query", "key/": "key",
        "value": "value", "attention_output": "attention", "attention/output/dense": "attention",
        "intermediate": "intermediate", "pooler": "pooler", "predictions": "predictions",
        "orm/": "norm", "output": "output",
    }  # fmt: skip
    found = next((word for part, word in words.items() if part in name), name)
    layer = re.search(r"layer_\d+", name)
    leaf = name.removesuffix(":0").rsplit("/", 1)[-1]
    leaf = {"output_bias": "bias", "embeddings": ""}.get(leaf, leaf)
    return f"{layer[0] if layer else ''} {found} {leaf if '_embedding' not in leaf else ''}".strip()


def test_the_order_is_that_of_published_modules(work: Path) -> None:
    import tensorflow as tf

    ours = tf.saved_model.load(str(work / "out" / "encoder"))
    theirs = tf.saved_model.load(str(work / "published"))
    for one, other in ((ours, theirs), (ours.mlm, theirs.mlm)):
        names = [variable.name for variable in one.trainable_variables]
        others = [variable.name for variable in other.trainable_variables]
        assert [kind(name) for name in names] == [kind(name) for name in others]
        sizes = [int(np.prod(v.shape)) for v in one.trainable_variables]
        assert sizes == [int(np.prod(v.shape)) for v in other.trainable_variables]
    assert list(theirs.variables)[-1].dtype == tf.bool, "do_lower_case"
    assert len(theirs.variables) == len(ours.variables) + 1


def test_weights_set_by_position(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document's program, and what the model gives then."""
    import tensorflow as tf

    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(work)
    names: dict[str, Any] = {}
    exec(program, names)
    ids = np.random.default_rng(0).integers(1, 40, (2, 7)).astype(np.int32)
    inputs = {
        "input_word_ids": tf.constant(ids),
        "input_mask": tf.ones_like(ids),
        "input_type_ids": tf.zeros_like(ids),
        "masked_lm_positions": tf.constant([[1, 2], [3, 0]]),
    }
    ours, published = names["ours"](inputs), names["published"](inputs)
    for name in ("sequence_output", "pooled_output", "mlm_logits"):
        np.testing.assert_allclose(ours[name], published[name], atol=2e-5)


def stated() -> dict[str, list[str]]:
    """Head -> its variables in the order of the document's table."""
    names: dict[str, list[str]] = {}
    heads: list[str] = []
    for line in DOCUMENT.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 4 or "cls/" not in cells[2]:
            continue
        heads = re.findall(r"`\.(\w+)`", cells[1]) or heads
        last = ""
        for name in re.findall(r"`((?:cls|\.\.\.)/[\w/]+)`", cells[2]):
            last = name.replace("...", last.rsplit("/", 1)[0])
            for head in heads:
                names.setdefault(head, []).append(last.replace("NAME", head))
    return names


def test_the_document_names_the_heads_variables(tmp_path: Path) -> None:
    import tensorflow as tf

    checkpoint = tiny.write_checkpoint(tmp_path)
    hubexport.export_encoder(checkpoint=checkpoint, export_path=tmp_path / "out")
    encoder = tf.saved_model.load(str(tmp_path / "out"))
    own = len(encoder.variables)
    for head in ("mlm", "nsp"):
        variables = getattr(encoder, head).variables[own:]
        assert [variable.name.removesuffix(":0") for variable in variables] == stated()[head]
    assert set(stated()) == set(INTERFACES)  # of those of `.lm`, that of GPT has none


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("classifier", "RobertaForSequenceClassification"),
        ("token_classifier", "DistilBertForTokenClassification"),
        ("qa", "RobertaForQuestionAnswering"),
        ("multiple_choice", "CamembertForMultipleChoice"),
        ("double_heads", "GPT2DoubleHeadsModel"),
        ("qa_beam", "XLMForQuestionAnswering"),
    ],
)
def test_the_document_names_variables_of_fine_tuned_heads(
    head: str, name: str, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import causal, families, xlm

    others = {**dict.fromkeys(causal.CLASSES, causal), **dict.fromkeys(xlm.HEADS, xlm)}
    build = others.get(name, families).build
    record, _ = planned(rewritten(build(name), tmp_path / "model"))
    variables = [row["variable"] for row in record["tensors"]]
    assert [each for each in variables if each.startswith("cls/")] == stated()[head]
    # Where the encoder's pooler is what the head was trained on, it has none of its own.
    if head == "multiple_choice":
        record, _ = planned(tmp_path / "model", pooler="checkpoint")
        variables = [row["variable"] for row in record["tensors"]]
        assert [each for each in variables if each.startswith("cls/")] == stated()[head][2:]
