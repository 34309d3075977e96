"""Exported encoders give what RoBERTa does with the weights of fairseq's checkpoints."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import UsageError
from tests.oracles import compare, inputs
from tests.planned import planned
from tests.tiers import examples
from tests.unsaved import Unsaved

LAYOUTS = ("old", "intermediate", "renamed", "new", "new, cfg")
CONTENTS = {"lm_head": ("mlm",), "classifier": ("classifier",), "both": ("mlm", "classifier")}
"""What of heads a checkpoint holds -> the heads of its artifact."""
EXPORTED = {
    "old": ("both", False),
    "intermediate": ("classifier", True),
    "renamed": ("lm_head", False),
    "new": ("both", True),
    "new, cfg": ("both", False),
}
"""Layout -> what of it is compared, and whether from a legacy file."""
UNDECLARED = ".classifier: the checkpoint does not say what its classes are called"


@pytest.fixture(scope="module")
def fairseq() -> Iterator[SimpleNamespace]:
    """`tests.oracles.fairseq`, on one thread, and its models by their content."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import fairseq

    build = functools.cache(fairseq.build)
    masked, classifier = "RobertaForMaskedLM", "RobertaForSequenceClassification"
    contents = {
        "lm_head": (build(masked), {}),
        "classifier": (build(classifier), {}),
        "both": (build(masked), {"mnli": build(classifier)}),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield SimpleNamespace(oracle=fairseq, contents=contents, build=build)
    torch.set_num_threads(threads)


def write(fairseq: SimpleNamespace, path: Path, content: str, **options: Any) -> Path:
    model, heads = fairseq.contents[content]
    return fairseq.oracle.write_checkpoint(path, model, heads=heads, **options)


def expected(fairseq: SimpleNamespace, content: str, batch: inputs.Tensors) -> dict[str, Any]:
    model, heads = fairseq.contents[content]
    outputs = fairseq.oracle.expected_outputs(model, batch, heads)
    if "mnli_logits" in outputs:
        outputs["classifier_logits"] = outputs.pop("mnli_logits")
    return {**outputs, "pooled_output": outputs["sequence_output"][:, 0]}


@pytest.mark.parametrize("content", CONTENTS)
def test_every_layout_holds_the_same(
    content: str, fairseq: SimpleNamespace, tmp_path: Path
) -> None:
    """The same values for the same variables, to the bit, by every release, in both formats."""
    plans = {
        (layout, legacy): planned(
            write(fairseq, tmp_path / f"{layout}{legacy}.pt", content, layout=layout, legacy=legacy)
        )
        for layout, legacy in itertools.product(LAYOUTS, (False, True))
    }
    assert set(fairseq.oracle.LAYOUTS) == set(LAYOUTS)
    record, values = plans["old", False]
    assert tuple(record["heads"]) == CONTENTS[content]
    for key, (other, other_values) in plans.items():
        assert other_values == values, key
        for part in ("architecture", "heads", "pooler", "conventions", "warnings"):
            assert other[part] == record[part], (key, part)
        buffers = other["skipped_tensors"].get("buffers", [])
        assert buffers == ["encoder.sentence_encoder.version"] * key[0].startswith("new")
        assert other["configuration"] is None and other["checkpoint"]["layout"] == "fairseq"


@pytest.mark.parametrize("layout", examples(LAYOUTS, ["old", "renamed"]))
def test_every_layout(layout: str, fairseq: SimpleNamespace, tmp_path: Path) -> None:
    content, legacy = EXPORTED[layout]
    checkpoint = write(
        fairseq, tmp_path / "model.pt", content, layout=layout, legacy=legacy, optimizer=False
    )
    if layout == "old":
        record = hubexport.export_encoder(checkpoint=checkpoint, export_path=tmp_path / "out")
        artifact = compare.Artifact(tmp_path / "out")
    else:  # the functions that would be exported
        encoder = Unsaved(checkpoint)
        artifact, record = compare.Artifact(encoder), encoder.record
    assert record["family"] == {
        "name": "roberta", "evidence": "no model_type, but fairseq's names of tensors"
    }  # fmt: skip
    assert tuple(record["heads"]) == CONTENTS[content]
    assert record["architecture"]["type_vocab_size"] == 0
    assert record["conventions"]["ignored_inputs"] == ["input_type_ids"]
    assert record["pooler"]["pooled_output"] == "cls"
    assert (UNDECLARED in record["warnings"]) == ("classifier" in CONTENTS[content])
    if "mlm" in CONTENTS[content]:
        (copy,) = record["skipped_tensors"]["tied to another tensor, checked to be equal"]
        assert copy.endswith("coder.lm_head.weight")
    for kind, batch in inputs.kinds(50, 12, 1).items():
        difference = compare.assert_same(artifact(batch), expected(fairseq, content, batch))
        assert difference <= compare.TOLERANCE, kind
    model, _ = fairseq.contents[content]
    for i, layer in enumerate(model.roberta.encoder.layer):
        # The softmax cancels the keys' bias: the outputs would not show that it is lost.
        np.testing.assert_array_equal(
            artifact.variable(f"encoder/layer_{i}/attention/self/key/bias"),
            layer.attention.self.key.bias.detach().numpy(),
        )


def test_of_several_classification_heads_none_is_taken(
    fairseq: SimpleNamespace, tmp_path: Path
) -> None:
    model, _ = fairseq.contents["lm_head"]
    classifier = "RobertaForSequenceClassification"
    heads = {"mnli": fairseq.build(classifier), "rte": fairseq.build(classifier, num_labels=2)}
    checkpoint = fairseq.oracle.write_checkpoint(tmp_path / "model.pt", model, heads=heads)
    record, _ = planned(checkpoint)
    assert tuple(record["heads"]) == ("mlm",)
    assert sorted(record["skipped_tensors"]["head: classification heads"]) == sorted(
        f"classification_heads.{head}.{layer}.{leaf}"
        for head in heads
        for layer in ("dense", "out_proj")
        for leaf in ("weight", "bias")
    )
    with pytest.raises(UsageError) as error:
        planned(checkpoint, heads="classifier")
    message = str(error.value)
    assert "no head 'classifier'" in message
    assert "classification_heads.mnli.dense.weight" in message, message
    assert "classification_heads.rte.out_proj.bias" in message and "several" in message
