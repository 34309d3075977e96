"""A masked language model that knows some sentences, and what can be wrong with its export."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from hubexport import export_encoder  # noqa: E402
from hubexport.saved_model.record import load_record  # noqa: E402
from hubexport.validation.cases import Case  # noqa: E402
from hubexport.validation.gates import mlm_sanity  # noqa: E402
from hubexport.validation.reference_file import (  # noqa: E402
    Provenance,
    Reference,
    read_reference,
    write_reference,
)
from hubexport.validation.sentences import MLM_SENTENCES  # noqa: E402
from tests.artifacts import export_preprocessor  # noqa: E402
from tests.validation.gates import published  # noqa: E402
from tests.validation.gates.contexts import context, failed  # noqa: E402

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNTAUGHT = "ru"  # a language whose words the vocabulary lacks
LENGTH = 24
STEPS = 120
FIRST_CHOICE = "masks with another first choice than the reference's"
DISTANCE = "mean NLL of the true pieces, distance from the reference's, nats"


def tokenizer(vocab_file: Path) -> Any:
    pieces = vocab_file.read_text("utf-8").splitlines()
    return transformers.BertTokenizerFast(
        vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=True
    )


def vocabulary(path: Path) -> Path:
    """All words of the sentences as pieces, but for one language."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = {
        word
        for language, sentence, _ in MLM_SENTENCES
        if language != UNTAUGHT
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(sentence))
    }
    path.write_text("\n".join([*SPECIALS, *sorted(words)]) + "\n", "utf-8")
    return path


def masked(vocab_file: Path) -> tuple[dict[str, Any], np.ndarray, list[list[str]]]:
    """transformers' inputs of the sentences with the word masked, the true ids, and the texts."""
    tokenize = tokenizer(vocab_file)
    known = [each for each in MLM_SENTENCES if each[0] != UNTAUGHT]
    sentences = [sentence for _, sentence, _ in known]
    encoded = tokenize(
        sentences, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    )
    ids = encoded["input_ids"]
    true = ids.numpy().copy()
    places = [encoded.char_to_token(i, s.index(w)) for i, (_, s, w) in enumerate(known)]
    ids[torch.arange(len(known)), torch.tensor(places)] = tokenize.mask_token_id
    encoded["places"] = np.array(places, np.int32)[:, np.newaxis]
    return dict(encoded), true, [[sentence] for sentence in sentences]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders `trained`, `unbiased`, `random` and `shifted`, and their preprocessor."""
    work = tmp_path_factory.mktemp("mlm")
    vocab_file = vocabulary(work / "vocab.txt")
    export_preprocessor(
        export_path=work / "preprocessor",
        vocab_file=vocab_file,
        do_lower_case=True,
        default_seq_length=LENGTH,
    )
    torch.manual_seed(1)
    model = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=len(vocab_file.read_text("utf-8").splitlines()),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=LENGTH,
            attn_implementation="eager",
        )
    )
    export(model, work / "random")
    train(model, vocab_file)
    export(model, work / "trained")
    with torch.no_grad():
        model.cls.predictions.bias.zero_()
    export(model, work / "unbiased")
    tf.saved_model.save(Shifted(tf.saved_model.load(str(work / "trained"))), str(work / "shifted"))
    return work


def train(model: Any, vocab_file: Path) -> None:
    """Until it knows the sentences by heart: each piece in its place, the masked ones too."""
    encoded, true, _ = masked(vocab_file)
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    labels = torch.from_numpy(np.where(inputs["attention_mask"].numpy() == 1, true, -100))
    # The masked pieces and [MASK] alone would leave the bias nothing to learn.
    torch.nn.init.normal_(model.cls.predictions.bias, std=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.eval()  # without dropout a few steps do
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()


def export(model: Any, path: Path) -> None:
    checkpoint = path.with_name(f"{path.name}.checkpoint")
    model.save_pretrained(checkpoint)
    export_encoder(checkpoint=checkpoint, export_path=path, pooler="cls")


class Shifted(tf.Module):
    """An encoder whose `.mlm` looks one place further."""

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder
        names = ("input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions")
        specs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names}
        three = {name: specs[name] for name in names[:3]}
        self.__call__ = tf.function(lambda inputs: encoder(inputs), [three])
        self.mlm = tf.Module()

        def mlm(inputs: Any) -> Any:
            return encoder.mlm({**inputs, names[3]: inputs[names[3]] + 1})

        self.mlm.__call__ = tf.function(mlm, [specs])


@pytest.fixture(scope="module")
def reference(work: Path) -> Reference:
    """torch's logits of the trained model."""
    return make_reference(work, "trained")


def make_reference(work: Path, name: str) -> Reference:
    model = transformers.BertForMaskedLM.from_pretrained(
        work / f"{name}.checkpoint", attn_implementation="eager"
    ).eval()
    encoded, true, texts = masked(work / "vocab.txt")
    places = encoded["places"]
    with torch.no_grad():
        output = model(
            **{k: encoded[k] for k in ("input_ids", "attention_mask", "token_type_ids")},
            output_hidden_states=True,
        )
    inputs = {
        "input_word_ids": encoded["input_ids"].numpy(),
        "input_mask": encoded["attention_mask"].numpy(),
        "input_type_ids": encoded["token_type_ids"].numpy(),
        "masked_lm_positions": places,
    }
    arrays = {key: value.astype(np.int32) for key, value in inputs.items()}
    case = Case("mlm_sentences", arrays, texts, np.take_along_axis(true, places, axis=1))
    logits = np.take_along_axis(output.logits.numpy(), places[..., np.newaxis], axis=1)
    outputs = {"sequence_output": output.hidden_states[-1].numpy(), "mlm_logits": logits}
    path = work / f"{name}.reference"
    provenance = Provenance("transformers", "a test", [], {})
    write_reference(path, provenance, [case], {"mlm_sentences": outputs})
    return read_reference(path)


def run(work: Path, encoder: str, **options: Any) -> Any:
    record = load_record(work / "trained") if encoder == "shifted" else None
    options.setdefault("preprocessor", work / "preprocessor")
    return mlm_sanity.run(context(work / encoder, record=record, **options))


def test_every_word_to_mask_is_in_its_sentence_once() -> None:
    assert all(sentence.count(word) == 1 for _, sentence, word in MLM_SENTENCES)
    assert len({language for language, _, _ in MLM_SENTENCES}) >= 10


def test_the_trained_model_is_the_reference(work: Path, reference: Reference) -> None:
    result = run(work, "trained", reference=reference)
    assert not failed(result)
    assert {each.what for each in result.measurements} == {FIRST_CHOICE, DISTANCE}
    assert "not learned" not in result.detail


def test_a_lost_output_bias_is_found(work: Path, reference: Reference) -> None:
    assert DISTANCE in failed(run(work, "unbiased", reference=reference))


@pytest.mark.parametrize("encoder", ["shifted", "random"])
def test_other_positions_and_weights_are_found(
    encoder: str, work: Path, reference: Reference
) -> None:
    assert failed(run(work, encoder, reference=reference)) == {FIRST_CHOICE, DISTANCE}


def test_a_reference_that_has_not_learned_is_no_fault_of_the_artifact(work: Path) -> None:
    result = run(work, "random", reference=make_reference(work, "random"))
    assert not failed(result)
    assert "The reference itself has not learned" in result.detail


def test_without_a_reference_the_trained_model_knows_the_words(work: Path) -> None:
    for recorded in (True, False):
        options = {} if recorded else {"preprocessor_record": None, "recorded": False}
        given = context(
            work / "trained", work / "preprocessor", record=load_record(work / "trained"), **options
        )
        result = mlm_sanity.run(given)
        assert not failed(result)
        (measurement,) = result.measurements
        size = len((work / "vocab.txt").read_text("utf-8").splitlines())
        assert measurement.limit == pytest.approx(0.6 * math.log(size))
        # The language of which the vocabulary has no word is left out, the others are not.
        assert f"{UNTAUGHT} " not in result.detail
        languages = {language for language, _, _ in MLM_SENTENCES} - {UNTAUGHT}
        assert f"best of {len(languages)} languages" in measurement.what


@pytest.mark.parametrize("encoder", ["shifted", "random"])
def test_without_a_reference_a_model_that_knows_nothing_is_found(work: Path, encoder: str) -> None:
    result = run(work, encoder)
    (measurement,) = result.failures
    assert float(measurement.figure) > measurement.limit


def test_what_is_missing_is_said(work: Path, tmp_path: Path) -> None:
    result = run(work, "trained", preprocessor=None)
    assert result.status == "not run" and "no --preprocessor" in result.detail
    # Every word becomes one and the same id for "unknown".
    pieces = tmp_path / "vocab.txt"
    pieces.write_text("\n".join([*SPECIALS, "x"]) + "\n", "utf-8")
    published.Published(published.WordPieces(pieces)).save(tmp_path / "unknown")
    result = run(work, "trained", preprocessor=tmp_path / "unknown")
    assert result.status == "not run" and "none has all its pieces" in result.detail
    published.NoMaskId().save(tmp_path / "no_mask")
    result = run(work, "trained", preprocessor=tmp_path / "no_mask")
    assert result.status == "not run" and "mask_id" in result.detail


def test_broken_artifacts_fail_and_raise_nothing(
    work: Path, reference: Reference, tmp_path: Path
) -> None:
    published.Fails().save(tmp_path / "fails")
    assert failed(run(work, "trained", preprocessor=tmp_path / "fails")) == {"the preprocessor"}

    class WithoutLogits(Shifted):
        def __init__(self, encoder: Any):
            super().__init__(encoder)
            mlm = vars(self.mlm)["__call__"].python_function

            def without(inputs: Any) -> Any:
                outputs = mlm(inputs)
                return {"sequence_output": outputs["sequence_output"]}

            specs = vars(self.mlm)["__call__"].input_signature
            self.mlm.__call__ = tf.function(without, specs)

    loaded = tf.saved_model.load(str(work / "trained"))
    tf.saved_model.save(WithoutLogits(loaded), str(tmp_path / "encoder"))
    given = context(tmp_path / "encoder", record=load_record(work / "trained"), reference=reference)
    result = mlm_sanity.run(given)
    assert failed(result) == {"runs"}
    assert "mlm_logits: missing" in str(result.failures[0].figure)
