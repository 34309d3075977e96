"""Exact preprocessors, as users meet them: exported by the command, reloaded in a fresh process,
re-exported; against Hugging Face's tokenizers, packing included."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow_text")
tokenizers = pytest.importorskip("tokenizers")
from hubexport import cli  # noqa: E402
from hubexport.saved_model.record import load_record  # noqa: E402
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS  # noqa: E402
from tests.tokenizers.texts import generated  # noqa: E402

NAMES = ("wordpiece", "roberta", "xlnet")
DEFAULT = 24
each = pytest.mark.parametrize("name", NAMES)
TRAINING = [
    "The quick brown fox jumps over the lazy dog, 1,000 times (at least).",
    "Привет, мир! Как дела? 今日は世界。 안녕하세요 세계 नमस्ते दुनिया",
    "naïve café Ünïcödé, don't they'll we've I'm 'quoted' \"text\"",
    *generated(300, seed=5),
]
TEXTS = [*DIFFICULT_TEXTS, *generated(60, seed=6, words=["[MASK]", "<mask>", " <sep>", "</s>"])]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Name -> (a directory with files of that tokenizer, the Rust tokenizer, padding)."""
    work = tmp_path_factory.mktemp("tokenizers")
    return {name: make(work / name) for name, make in MAKERS.items()}


def wordpiece(directory):
    """vocab.txt only, as google-research/bert has it."""
    directory.mkdir()
    rust = tokenizers.BertWordPieceTokenizer(lowercase=True)
    rust.train_from_iterator(TRAINING, vocab_size=600, min_frequency=1, show_progress=False)
    rust.save_model(str(directory))
    rust = tokenizers.BertWordPieceTokenizer(str(directory / "vocab.txt"), lowercase=True)
    rust = tokenizers.Tokenizer.from_str(rust.to_str())
    return directory, rust, {"pad_id": rust.token_to_id("[PAD]"), "pad_token": "[PAD]"}


def roberta(directory):
    """tokenizer.json."""
    directory.mkdir()
    rust = tokenizers.ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    rust.train_from_iterator(TRAINING, 600, 1, show_progress=False, special_tokens=specials)
    rust = tokenizers.Tokenizer.from_str(rust.to_str())
    rust.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, normalized=False)])
    rust.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    rust.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    return directory, rust, {"pad_id": 1, "pad_token": "<pad>"}


def xlnet(directory):
    """A Unigram tokenizer.json as XLNet's, padding on the left."""
    directory.mkdir()
    rust = tokenizers.Tokenizer(tokenizers.models.Unigram())
    rust.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Replace("``", '"'),
            tokenizers.normalizers.Replace("''", '"'),
            tokenizers.normalizers.NFKD(),
            tokenizers.normalizers.StripAccents(),
            tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    rust.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    rust.decoder = tokenizers.decoders.Metaspace()
    specials = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<eop>", "<eod>"]
    specials.append(tokenizers.AddedToken("<mask>", lstrip=True, normalized=False))
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=500, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    rust.train_from_iterator(TRAINING[:3] * 20, trainer)
    ids = {name: rust.token_to_id(name) for name in ("<sep>", "<cls>", "<pad>")}
    rust.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A:0 <sep>:0 <cls>:2",
        pair="$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2",
        special_tokens=[("<sep>", ids["<sep>"]), ("<cls>", ids["<cls>"])],
    )
    rust.save(str(directory / "tokenizer.json"))
    (directory / "config.json").write_text('{"model_type": "xlnet"}')
    padding = {"pad_id": ids["<pad>"], "pad_token": "<pad>", "pad_type_id": 3, "direction": "left"}
    return directory, rust, padding


MAKERS = {"wordpiece": wordpiece, "roberta": roberta, "xlnet": xlnet}


@pytest.fixture(scope="module")
def work(references, tmp_path_factory):
    """The artifacts, made by the command line."""
    work = tmp_path_factory.mktemp("exact")
    for name, (directory, _, _) in references.items():
        source = f"--tokenizer={directory}"
        argv = ["preprocessor", source, f"--export_path={work / name}"]
        argv += [f"--default_seq_length={DEFAULT}", "--truncation=longest_first"]
        if name == "wordpiece":
            argv.append("--do_lower_case")
        if name != "xlnet":
            argv.append("--tokenize_with_offsets")
        assert cli.run(argv) == 0
        if name != "wordpiece":  # that one is exported twice elsewhere
            again = work / f"{name}_once_more"
            argv[2] = f"--export_path={again}"
            assert cli.run(argv) == 0
            first = (work / name / "saved_model.pb").read_bytes()
            assert (again / "saved_model.pb").read_bytes() == first, name
    return work


@pytest.fixture(scope="module")
def used(work):
    """What two fresh processes saw, and the records."""
    (work / "texts.json").write_text(json.dumps(TEXTS), "utf-8")
    records = {name: load_record(work / name) for name in NAMES}
    first = user("first", work)
    assert not (work / "wordpiece").exists()
    return {"first": first, "second": user("second", work), "records": records}


def user(step, work):
    script = Path(__file__).with_name("preprocessor_user.py")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, str(script), step, str(work), *NAMES],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


def flat(tokens):
    return [
        [i for word in row for i in (word if isinstance(word, list) else [word])] for row in tokens
    ]


def packed(encodings):
    return {
        "input_word_ids": [e.ids for e in encodings],
        "input_mask": [e.attention_mask for e in encodings],
        "input_type_ids": [e.type_ids for e in encodings],
    }


@each
def test_ids(used, references, name):
    _, rust, _ = references[name]
    rust.no_padding()
    rust.no_truncation()
    expected = [e.ids for e in rust.encode_batch(TEXTS, add_special_tokens=False)]
    assert flat(used["first"][name]["tokens"]) == expected


@each
def test_packing(used, references, name):
    _, rust, padding = references[name]
    rust.enable_truncation(DEFAULT)
    rust.enable_padding(length=DEFAULT, **padding)
    assert used["first"][name]["root"] == packed(rust.encode_batch(TEXTS))
    rust.enable_truncation(12)
    rust.enable_padding(length=12, **padding)
    pairs = list(zip(TEXTS, TEXTS, strict=True))
    assert used["first"][name]["pair"] == packed(rust.encode_batch(pairs))


@each
def test_detokenize(used, references, name):
    _, rust, _ = references[name]
    if name == "wordpiece":
        rust.decoder = tokenizers.decoders.WordPiece(cleanup=False)
    ids = flat(used["first"][name]["tokens"])
    expected = rust.decode_batch(ids, skip_special_tokens=False)
    assert used["first"][name]["detokenize"] == expected


@each
def test_bytes_that_are_not_text(used, references, name):
    """As Python's replacement gives them; and a text of a million bytes."""
    _, rust, _ = references[name]
    rust.no_padding()
    rust.no_truncation()
    bad = [b"\xff\xfe", b"a\xc3 b", b"\xed\xa0\x80x", b"\x00", b"a\x00b"]
    texts = [text.decode("utf-8", "replace") for text in bad]
    expected = [e.ids for e in rust.encode_batch(texts, add_special_tokens=False)]
    assert used["first"][name]["bad"] == expected
    word = rust.encode("word " * 200_000, add_special_tokens=False).ids
    assert used["first"][name]["bad_length"] == len(word)


@pytest.mark.parametrize("name", ["wordpiece", "roberta"])
def test_offsets_are_of_the_text_as_given(used, name):
    ids, starts, limits = (flat(part) for part in used["first"][name]["offsets"])
    assert ids == flat(used["first"][name]["tokens"])
    for text, row_starts, row_limits in zip(TEXTS, starts, limits, strict=True):
        size = len(text.encode())
        for start, limit in zip(row_starts, row_limits, strict=True):
            assert 0 <= start <= limit <= size


@each
def test_interface(used, name):
    found = used["first"][name]
    assert found["dtypes"] == ["int32"]
    assert found["empty_batch"] == [[0, DEFAULT]] * 3
    assert found["variables"] == [0, 0, 0]
    assert found["serving"] == found["beside_others"] == found["root"]
    assert found["mapped"] == found["root"]["input_word_ids"]
    assert found["mapped_shapes"] == [[None, DEFAULT]] * 3
    assert found["keras_root"] == found["root"]
    assert found["keras_weights"] == 0
    assert found["other_pairs"] == [found["pair"]] * 3
    assert found["length_as_tensor"] == found["pair"]


@each
def test_reexport_outlives_the_original(used, name):
    first, second = used["first"][name], used["second"][name]
    for what in ("root", "tokens", "pair", "keras_pair"):
        assert second[what] == first[what], what
    assert second["again"] == first["root"]
    assert second["asset"] is True


@each
def test_record(used, name):
    record = used["records"][name]
    assert record["self_test"] == {
        "texts": len(DIFFICULT_TEXTS),
        "reference": f"tokenizers {tokenizers.__version__}",
        "differences": 0,
        "not_compared": "",
    }
    kinds = {"wordpiece": "wordpiece", "roberta": "byte_level_bpe", "xlnet": "sentencepiece"}
    assert record["tokenizer"]["kind"] == kinds[name]
    assert record["tokenizer"]["model_type"] == {"wordpiece": "bert"}.get(name, name)
    assert "Assert" not in record["saved_model"]["ops"]
    special = used["first"][name]["special"]
    assert record["tokenizer"]["vocab_size"] == special.pop("vocab_size")
    stated = record["tokenizer"]["special_tokens"]
    assert {role: stated[role]["id"] for role in special} == special
