"""--normalization=tfhub, as users meet it: reloaded in a fresh process, then re-exported."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
from hubexport.exporting.preprocessor import export_preprocessor  # noqa: E402
from hubexport.saved_model.record import load_record  # noqa: E402

TEXTS = [
    "The quick brown fox",
    "",
    "jumps over the lazy dog, twice! (Really?) " * 4,
    "Ünïcödé ÉCLAIR naïve ﬁn STRASSE ß İstanbul",
    "漢字 and 中文abc, 日本",
    "tabs\tnew\nlines\u00a0nbsp\u200bzwsp \x00 \x7f \u0085",
    "unheardofword " + "x" * 120,
    "[CLS] [MASK] [unused1] ##ing don't e-mail @user #tag $5 50%",
    "   ",
    "e\u0301\u0301 a\u0308 \u1e9e",
]
DEFAULT = 24


def vocabulary_pieces(letters: str) -> list[str]:
    """Specials at odd places; every letter as word and as continuation; some longer pieces."""
    longer = ["the", "quick", "fox", "##ing", "##ick", "jump", "##ps", "over", "naive", "##zy"]
    singles = [*letters, *(f"##{c}" for c in letters), *"漢字中文.,!?()'-@#$%[]"]
    return [
        singles[0],
        "[PAD]",
        *singles[1:9],
        "[UNK]",
        "[CLS]",
        *singles[9:],
        "[MASK]",
        *longer,
        "[SEP]",
    ]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Three artifacts: uncased with offsets, cased (both WordPiece) and an ALBERT-like one."""
    work = tmp_path_factory.mktemp("preprocessors")
    lower = "abcdefghijklmnopqrstuvwxyz"
    for name, letters in (("uncased", lower), ("cased", lower + lower.upper() + "éü")):
        (work / f"{name}.txt").write_text("\n".join(vocabulary_pieces(letters)), "utf-8")
        export_preprocessor(
            export_path=work / name,
            vocab_file=work / f"{name}.txt",
            do_lower_case=name == "uncased",
            default_seq_length=DEFAULT,
            tokenize_with_offsets=name == "uncased",
            normalization="tfhub",
        )
    train_sentencepiece(work)
    export_preprocessor(
        export_path=work / "albert",
        sp_model_file=work / "albert.model",
        do_lower_case=True,
        default_seq_length=DEFAULT,
        normalization="tfhub",
    )
    return work


def train_sentencepiece(work: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "naive"]
    lines = [" ".join(words[i % 7 :: 1 + i % 3]) for i in range(200)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,  # a file's path would become part of the model
        vocab_size=80,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        pad_piece="<pad>",
        control_symbols=["[CLS]", "[SEP]"],
        user_defined_symbols=["[MASK]"],
        minloglevel=2,
    )
    (work / "albert.model").write_bytes(model.getvalue())


@pytest.fixture(scope="module")
def nodes(work):
    """Artifact -> all graph nodes. Read before the originals are deleted."""
    from tensorflow.core.protobuf import saved_model_pb2

    def of(path):
        data = (path / "saved_model.pb").read_bytes()
        assert str(work).encode() not in data
        (meta,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
        library = meta.graph_def.library.function
        return list(meta.graph_def.node) + [n for f in library for n in f.node_def]

    return {name: of(work / name) for name in ("uncased", "cased", "albert")}


@pytest.fixture(scope="module")
def expected(work):
    """Model Garden's results for the same vocabularies; None where it is not installed."""
    try:
        from official.nlp.tools import export_tfhub_lib
    except ImportError:
        return None

    def of(name):
        wordpiece = name != "albert"
        reference = export_tfhub_lib.create_preprocessing(
            vocab_file=str(work / f"{name}.txt") if wordpiece else None,
            sp_model_file=None if wordpiece else str(work / "albert.model"),
            do_lower_case=name != "cased",
            tokenize_with_offsets=name == "uncased",
            default_seq_length=DEFAULT,
        )
        texts = tf.constant(TEXTS)
        tokens = reference.tokenize(texts)
        result = {
            "root": plain(reference(texts)),
            "tokens": tokens.to_list(),
            "special": plain(reference.tokenize.get_special_tokens_dict.__call__()),
            "pair": plain(reference.bert_pack_inputs.__call__([tokens, tokens], seq_length=12)),
        }
        if name == "uncased":
            result["offsets"] = [x.to_list() for x in reference.tokenize_with_offsets(texts)]
        return result

    return {name: of(name) for name in ("uncased", "cased", "albert")}


def plain(tensors):
    return {name: tensor.numpy().tolist() for name, tensor in tensors.items()}


def user(step: str, work: Path) -> dict:
    script = Path(__file__).with_name("preprocessor_user.py")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, str(script), step, str(work), "uncased", "cased", "albert"],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def used(work, nodes, expected):
    """What the two fresh processes saw, and the records."""
    (work / "texts.json").write_text(json.dumps(TEXTS), "utf-8")
    records = {name: load_record(work / name) for name in nodes}
    first = user("first", work)
    assert not (work / "uncased").exists()
    return {"first": first, "second": user("second", work), "records": records}


each = pytest.mark.parametrize("name", ["uncased", "cased", "albert"])


@each
def test_graph(nodes, name):
    ops = {node.op for node in nodes[name]}
    assert "Assert" not in ops
    assert not {op for op in ops if "Asset" in op or "TextFile" in op or op.startswith("TFText>")}
    assert not any(node.device for node in nodes[name])


@each
def test_equal_to_model_garden(used, expected, name):
    if expected is None:
        pytest.skip("tf-models-official is not installed")
    for what, value in expected[name].items():
        assert used["first"][name][what] == value, what


@each
def test_interface(used, name):
    found = used["first"][name]
    assert found["dtypes"] == ["int32"]
    assert len(found["tokens_shape"]) == (1 if name == "albert" else 2)
    assert found["tokens"][1] == []
    assert found["empty_batch"] == [[0, DEFAULT]] * 3
    assert found["variables"] == [0, 0, 0]
    assert found["special"].keys() == {
        "vocab_size",
        "padding_id",
        "start_of_sequence_id",
        "end_of_segment_id",
        "mask_id",
    }
    assert sorted(found["root"]) == ["input_mask", "input_type_ids", "input_word_ids"]
    assert found["serving"] == found["beside_others"] == found["root"]
    assert "shape=(None,), dtype=tf.string, name='text'" in found["serving_input"]


@each
def test_packing_forms_agree(used, name):
    found = used["first"][name]
    assert found["single"] == found["root"]
    assert found["other_pairs"] == [found["pair"]] * 3
    assert found["length_as_tensor"] == found["pair"]
    assert {len(row) for row in found["pair"]["input_word_ids"]} == {12}
    assert {len(row) for row in found["pair_as_root"]["input_word_ids"]} == {DEFAULT}


@each
def test_dataset_map_and_keras(used, name):
    found = used["first"][name]
    assert found["mapped"] == found["root"]["input_word_ids"]
    assert found["mapped_shapes"] == [[None, DEFAULT]] * 3
    assert found["keras_root"] == found["root"]
    assert found["keras_weights"] == 0
    assert {len(row) for row in found["keras_pair"]["input_type_ids"]} == {10}


@each
def test_reexport_outlives_the_original(used, name):
    first, second = used["first"][name], used["second"][name]
    for what in ("root", "tokens", "pair", "keras_pair"):
        assert second[what] == first[what], what
    assert second["again"] == first["root"]
    assert second["asset"] is True
    assert first["asset"] == ("albert.model" if name == "albert" else f"{name}.txt")


def test_own_unknown_id(used, work):
    pieces = (work / "uncased.txt").read_text("utf-8").split("\n")
    unknown = pieces.index("[UNK]")
    assert used["first"]["uncased"]["tokens"][6][1] == [unknown]  # the word of 120 bytes
    assert used["first"]["cased"]["tokens"][4][-1] == [
        (work / "cased.txt").read_text("utf-8").split("\n").index("[UNK]")
    ]  # 本


def test_records(used):
    record = used["records"]["uncased"]
    tokenizer = record["tokenizer"]
    assert (record["kind"], tokenizer["kind"]) == ("preprocessor", "wordpiece")
    assert (tokenizer["do_lower_case"], tokenizer["do_lower_case_reason"]) == (
        True,
        "--do_lower_case",
    )
    special = used["first"]["uncased"]["special"]
    assert tokenizer["vocab_size"] == special["vocab_size"]
    for name in ("padding_id", "start_of_sequence_id", "end_of_segment_id", "mask_id"):
        assert tokenizer["special_tokens"][name]["id"] == special[name]
    saved = record["saved_model"]
    signature = saved["signatures"]["serving_default"]
    assert signature["inputs"] == {"text": {"dtype": "string", "shape": [None]}}
    assert signature["outputs"]["input_mask"] == {"dtype": "int32", "shape": [None, DEFAULT]}
    assert "unknown" not in saved["required_ops"]
    assert set(saved["sub_objects"]) == {
        "bert_pack_inputs",
        "tokenize",
        "tokenize.get_special_tokens_dict",
        "tokenize_with_offsets",
        "tokenize_with_offsets.get_special_tokens_dict",
    }
    assert tokenizer["files"]["vocab_file"]["name"] == "uncased.txt"
    assert (tokenizer["normalization"], tokenizer["special_tokens_in_text"]) == ("tfhub", [])
    assert not [flag for flag in record["command"] if "/" in flag]
    assert used["records"]["albert"]["tokenizer"]["kind"] == "sentencepiece"
