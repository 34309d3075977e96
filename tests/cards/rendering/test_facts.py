"""The page of a small BERT says all that its published page says, and each its own numbers."""

from __future__ import annotations

import re

import pytest

from hubexport.cards.loading import Catalogue
from tests.cards.rendering.exported import BASIC, Artifacts, enlarged, parameters
from tests.cards.rendering.programs import page_text

SERIES = "tensorflow/small_bert/bert_en_uncased_"
HANDLE = f"{SERIES}L-12_H-512_A-8"
URL = f"https://tfhub.dev/{HANDLE}/1"
PREPROCESSOR = "https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3"
GRID = [(layers, 64 * heads) for layers in (2, 4, 6, 8, 10, 12) for heads in (2, 4, 8, 12)]
PIECES = 30_522

# id -> regular expressions; white space in the page is one space.
FACTS = {
    "title": (rf"^# Module {HANDLE}/1 ",),
    "archive": (r"<!-- asset-path: \S+\.tar\.gz -->",),
    "data, as metadata": (r"<!-- dataset: wikipedia-and-bookscorpus -->",),
    "fine-tunable": (r"<!-- fine-tunable: true -->",),
    "format": (r"<!-- format: saved_model_2 -->", r"format of TensorFlow 2"),
    "language, as metadata": (r"<!-- language: en -->",),
    "task": (r"<!-- task: text-embedding -->",),
    "network": (r"<!-- network-architecture: transformer -->", r"Transformer blocks"),
    "notebook": (r"<!-- colab: https://colab\S+/solve_glue_tasks_using_bert_on_tpu\.ipynb -->",),
    "paper": (
        r"\[Well-Read Students Learn Better: [^]]+Compact Models\]"
        r"\(https://arxiv.org/abs/1908\.08962\)",
    ),
    "other sizes than BERT-base": (r"BERT-base", r"BERT-large", r"a wide range of sizes"),
    "scarce computing": (r"computing power is scarce",),
    "fine-tuned as the original": (r"fine-tuned in the same way as the large ones",),
    "distillation": (r"distillation", r"larger and more accurate model", r"labelled the data"),
    "goal": (r"modest means", r"other means than ever larger models"),
    "citation": (
        r"please cite", r"```bibtex @article\{turc2019,", r"title=\{Well-Read Students",
        r"author=\{Turc, Iulia and Chang, Ming-Wei and Lee, Kenton and Toutanova, Kristina\}",
        r"journal=\{arXiv preprint arXiv:1908\.08962v2 \}", r"year=\{2019\} \} ```",
    ),
    "implementation": (r"\(https://github\.com/tensorflow/models/tree/master/official/nlp/bert\)",),
    "L": (r"L=12 hidden layers",),
    "H": (r"hidden size of H=512",),
    "A": (r"A=8 attention heads",),
    "other sizes": (r"\(https://tfhub\.dev/tensorflow/collections/bert/1\)", r"collections/small_"),
    "weights": (r"weights are unchanged from their original release for TensorFlow 1\.",),
    "language": (r"trained on .{,200}, for English\.",),
    "Wikipedia": (r"trained on \[English Wikipedia\]",),
    "BooksCorpus": (r"and \[BooksCorpus\]",),
    "lower case": (r'the "uncased" way', r"lower-cased before it is split into pieces"),
    "accents": (r"accents are stripped",),
    "masking": (r"masked piece by piece, each piece independently", r"at random"),
    "trainable": (r"All parameters of this SavedModel are trainable",),
    "fine-tuning all": (r"fine-tuning all of them is the recommended practice",),
    "interface": (
        r"\[text embeddings with transformer encoders\]\(https://www\.tensorflow\.org/hub/"
        r"common_saved_model_apis/text#transformer-encoders\)",
    ),
    "inputs": (r"dict of three int32 tensors", r"`input_word_ids`, `input_mask` and `input_type_"),
    "preprocessor": (
        rf"\]\({PREPROCESSOR}\)", r"plain text into them", r"describes them in detail",
    ),
    "functional API": (r"\(https://www\.tensorflow\.org/guide/keras/functional\)",),
    "text input": (r"text_input = keras\.layers\.Input\(shape=\(\), dtype=tf\.string\)",),
    "preprocessing": (
        rf'preprocessor_handle = "{PREPROCESSOR}"', r"hub\.KerasLayer\(preprocessor_handle\)",
    ),
    "encoder": (
        rf'encoder_handle = "{URL}"', r"hub\.KerasLayer\(encoder_handle, trainable=True\)",
        r"encoder\(preprocessor\(text_input\)\)",
    ),
    "pooled output": (r'outputs\["pooled_output"\] # \[batch_size, 512\]',),
    "sequence output": (r'outputs\["sequence_output"\] # \[batch_size, seq_length, 512\]',),
    "what outputs are for": (
        r"`pooled_output` represents each input sequence as a whole",
        r"`sequence_output` each input token in its context", r"input of further layers",
    ),
    "printing": (
        r"embedding_model = keras\.Model\(text_input, pooled_output\)",
        r"print\(embedding_model\(sentences\)\)",
    ),
    "pairs and lengths": (
        r"`seq_length` is the length", r"pack two texts into one",
        rf"page\]\({PREPROCESSOR}\) explains both",
    ),
    "activations": (
        r'L=12 Transformer blocks are a list: `outputs\["encoder_outputs"\]\[i\]`',
        r"of shape `\[batch_size, seq_length, 512\]`, for `0 <= i < L`",
        r"last one is equal to `sequence_output`",
    ),
    "input pipeline": (r"preprocessor can run in `tf\.data\.Dataset\.map`", r"dataset\.map\(pre"),
    "preprocessed inputs": tuple(
        rf"{name}=keras\.layers\.Input\(shape=\(None,\), dtype=tf\.int32\)"
        for name in ("input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions")
    ),
    "MLM": (r"trainable subobject `\.mlm`", r"training can be continued, .* downstream task"),
    "MLM positions": (
        r"positions in the sequence whose `input_word_ids` were masked or altered",
        r"padded with zeros: `masked_lm_positions`", r"\[batch_size, num_predict\]",
    ),
    "mask token": (rf"preprocessor's page\]\({PREPROCESSOR}\) says how to get the id of the mask",),
    "MLM program": (
        r"hub\.KerasLayer\(hub\.load\(encoder_handle\)\.mlm, trainable=True\)",
        r'mlm_outputs\["mlm_logits"\] # \[batch_size, num_predict, 30522\]',
        r"pooled_output, sequence_output and encoder_outputs, as above",
    ),
    "changelog": (r"## Changelog ### Version 1 - Initial release\.",),
}  # fmt: skip


@pytest.fixture(scope="module")
def series(artifacts: Artifacts, catalogue: Catalogue) -> dict[tuple[int, int], str]:
    """(L, H) -> page."""
    pages = {}
    for layers, size in GRID:
        card = catalogue.encoders[f"{SERIES}L-{layers}_H-{size}_A-{size // 64}"]
        record = enlarged(artifacts[BASIC[0]].record, card)
        pages[layers, size] = page_text("tfhub", card, catalogue, record)
    return pages


@pytest.mark.parametrize("fact", FACTS)
def test_page_has_the_facts_of_the_published_one(
    fact: str, series: dict[tuple[int, int], str]
) -> None:
    page = " ".join(series[12, 512].split())
    for expression in FACTS[fact]:
        assert re.search(expression, page), expression


@pytest.mark.parametrize(
    "fact", [fact for fact in FACTS if re.search("12|512|_A-8|A=8", " ".join(FACTS[fact]))]
)
def test_numbers_are_not_on_the_page_of_another_size(
    fact: str, series: dict[tuple[int, int], str]
) -> None:
    page = " ".join(series[2, 128].split())
    assert not all(re.search(expression, page) for expression in FACTS[fact])


def test_preprocessor_tells_what_the_encoder_leaves_to_it(
    artifacts: Artifacts, catalogue: Catalogue
) -> None:
    card = catalogue.preprocessors["tensorflow/bert_en_uncased_preprocess"]
    page = page_text("tfhub", card, catalogue, enlarged(artifacts[BASIC[1]].record, card))
    assert page.startswith(f"# Module {card.handle}/3\n")
    assert re.search(r"pack\(\[first, second\]\)", page)
    assert re.search(r"bert_pack_inputs, arguments=dict\(seq_length=64\)", page)
    assert re.search(r'special_tokens\["mask_id"\]', page)
    assert re.search(r"\| `mask_id` \| `\[MASK\]` \| \d+ \|", page)


def _counted(layers: int, size: int) -> tuple[int, int, int]:
    """Parameters of a BERT of 512 positions with both heads, of `.mlm` and of `.nsp`."""
    block = 12 * size**2 + 13 * size
    encoder = (PIECES + 512 + 2 + 2) * size + layers * block + size**2 + size
    mlm, nsp = size**2 + 3 * size + PIECES, 2 * size + 2
    return encoder + mlm + nsp, mlm, nsp


@pytest.mark.parametrize(("layers", "size"), GRID)
def test_every_page_of_the_series_has_its_own_numbers(
    layers: int, size: int, series: dict[tuple[int, int], str]
) -> None:
    page = series[layers, size]
    name = f"L-{layers}_H-{size}_A-{size // 64}"
    assert set(re.findall(r"L-\d+_H-\d+_A-\d+", page)) == {name}
    assert f'encoder_handle = "https://tfhub.dev/{SERIES}{name}/1"' in page
    for letter, value in (("L", layers), ("H", size), ("A", size // 64)):
        assert set(re.findall(rf"\b{letter}=(\d+)", page)) == {str(value)}
        assert re.findall(rf"^\| \w+ ?\w+ ?\w*, {letter} \| (\S+) \|$", page, re.M) == [str(value)]
    shapes = re.findall(r"\[batch_size(?:, seq_length)?, (\d+)\]", page)
    assert set(shapes) == {str(size), str(2 * size), "2"}  # two blocks side by side; classes
    assert f"assert len(encoder_outputs) == {layers}\n" in page
    rows = dict(re.findall(r"^\| (Param\w+|of which .*) \| ([\d,]+) \|$", page, re.M))
    assert list(rows.values()) == [f"{count:,}" for count in _counted(layers, size)]
    others = {f"{_counted(*other)[0]:,}" for other in GRID if other != (layers, size)}
    assert not [count for count in others if count in page]


def test_parameters_are_counted_as_the_exporter_counts(artifacts: Artifacts) -> None:
    for artifact in ("bert tf1", "bert tf1, no heads"):
        record = artifacts[artifact].record
        heads, built = record["heads"], record["architecture"]
        assert built["num_parameters"] == parameters(built, heads)
        for name, head in heads.items():
            alone = parameters(built, (name,)) - parameters(built, ())
            assert head["num_parameters"] == alone
    base = {
        "vocab_size": PIECES, "hidden_size": 768, "num_hidden_layers": 12,
        "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
    }  # fmt: skip
    assert parameters(base, ()) == 109_482_240  # of bert-base-uncased, as published
