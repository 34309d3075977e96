"""`hubexport run` from the outside: what it writes for which texts, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import forks, tiny
from tests.artifacts import export_encoder, export_preprocessor

TEXTS = ["cab fade", "a bad cab", "", "d\te", "ab\u00e9"]
LENGTH = 9

SAVE = """
import sys
import tensorflow as tf

module = tf.Module()

def lengths(question, context):
    joined = tf.strings.join([question, "|", context])
    return {"joined": joined, "lengths": tf.strings.length(joined), "text": question}

def other(b, a):
    return {"length": tf.strings.length(b) - 10 * tf.strings.length(a)}

def ragged(text):
    padded = tf.strings.unicode_split(text, "UTF-8").to_tensor("-")
    codes = tf.strings.unicode_decode(text, "UTF-8").to_tensor()
    number = tf.cast(tf.strings.length(text), tf.float32) / 3
    return {"letters": padded, "codes": codes, "number": number}

def broken(text):
    with tf.control_dependencies([tf.debugging.assert_none_equal(text, "bad")]):
        return {"sum": tf.strings.length(tf.strings.reduce_join(text))}

texts = ("question", "context")
spec = lambda name: tf.TensorSpec([None], tf.string, name)
signatures = {
    "serving_default": tf.function(lengths).get_concrete_function(*map(spec, texts)),
    "other": tf.function(other).get_concrete_function(spec("b"), spec("a")),
    "ragged": tf.function(ragged).get_concrete_function(spec("text")),
    "broken": tf.function(broken).get_concrete_function(spec("text")),
    "mixed": tf.function(lambda text, n: {"x": n}).get_concrete_function(
        spec("text"), tf.TensorSpec([None], tf.int32, "n")
    ),
}
tf.saved_model.save(module, sys.argv[1], signatures=signatures)
"""
"""A SavedModel of somebody else's, of texts."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`encoder`, `preprocessor`, `texts`, and `texts.txt`, `pairs.tsv` with lines for them."""
    pytest.importorskip("tensorflow_text")
    directory = tmp_path_factory.mktemp("work")
    checkpoint = tiny.write_checkpoint(directory / "checkpoint")
    export_encoder(checkpoint=checkpoint, export_path=directory / "encoder")
    vocabulary = tiny.write_vocabulary(directory / "vocab.txt")
    export_preprocessor(
        vocab_file=vocabulary, do_lower_case=True, default_seq_length=LENGTH,
        export_path=directory / "preprocessor",
    )  # fmt: skip
    done = forks.run(SAVE, directory / "texts", preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr
    (directory / "texts.txt").write_text("\n".join(TEXTS) + "\n", "utf-8")
    (directory / "pairs.tsv").write_text("cab\tfade\na bad\t\n\tdead\n", "utf-8")
    return directory


@pytest.fixture(scope="module")
def models(work: Path) -> Any:
    """What programs find in the directory."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    return {name: tf.saved_model.load(str(work / name)) for name in ("encoder", "preprocessor")}


def run(work: Path, line: str, *more: object) -> subprocess.CompletedProcess[str]:
    """`hubexport run` with these arguments, in that directory."""
    return forks.hubexport("run", *line.split(), *more, directory=work)


def good(work: Path, line: str, *more: object) -> subprocess.CompletedProcess[str]:
    done = run(work, line, *more)
    assert done.returncode == 0, done.stderr
    return done


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def expected(models: Any, texts: list[str] = TEXTS) -> dict[str, np.ndarray[Any, Any]]:
    import tensorflow as tf

    inputs = models["preprocessor"](tf.constant(texts))
    outputs = models["encoder"](inputs)
    del outputs["encoder_outputs"]
    return {name: value.numpy() for name, value in {**inputs, **outputs}.items()}


ENCODER = "--saved_model=encoder --preprocessor=preprocessor --input=texts.txt"


@pytest.mark.parametrize("batch_size", [1, 2, 5, 32])
def test_json_lines_of_an_encoder(work: Path, models: Any, batch_size: int) -> None:
    done = good(work, f"{ENCODER} --batch_size={batch_size}")
    found = rows(done.stdout)
    assert [row["text"] for row in found] == TEXTS  # a tab in a text is a tab
    assert [list(row) for row in found] == [["text", "default"]] * len(TEXTS)
    vectors = np.array([row["default"] for row in found])
    np.testing.assert_allclose(vectors, expected(models)["default"], rtol=0, atol=1e-6)
    longest = max(len(repr(number)) for row in found for number in row["default"])
    assert longest < 15  # digits of float32
    assert "texts        5\n" in done.stderr and "texts/s" in done.stderr
    assert "outputs      default [16]\n" in done.stderr


def test_the_table_of_similarities(work: Path, models: Any) -> None:
    table = good(work, ENCODER).stderr.split("similarity\n")[1].splitlines()
    vectors = expected(models)["default"].astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    assert table[0].split() == ["1", "2", "3", "4", "5"]
    for number, (row, text) in enumerate(zip(table[1:], TEXTS, strict=True)):
        assert row.startswith(f"{number + 1:3}  {text}")
        found = [float(cosine) for cosine in row.split()[-5:]]
        np.testing.assert_allclose(found, cosines[number], rtol=0, atol=0.0051)
    assert "similarity" not in good(work, f"{ENCODER} --outputs=sequence_output").stderr


def test_no_table_of_many_texts(work: Path) -> None:
    (work / "many.txt").write_text("cab\n" * 13)
    done = good(work, f"{ENCODER} --input=many.txt --batch_size=7")
    assert len(rows(done.stdout)) == 13 and "similarity" not in done.stderr


def test_a_preprocessor_gives_ids(work: Path, models: Any) -> None:
    found = rows(good(work, "--saved_model=preprocessor --input=texts.txt").stdout)
    assert [*found[0]] == ["text", "input_mask", "input_type_ids", "input_word_ids"]
    for name in found[0].keys() - {"text"}:
        assert [row[name] for row in found] == expected(models)[name].tolist()


@pytest.mark.parametrize("flags", ["--saved_model=preprocessor", ENCODER + " --signature=nsp"])
def test_pairs_of_texts(work: Path, models: Any, flags: str) -> None:
    import tensorflow as tf

    preprocessor = models["preprocessor"]
    segments = [tf.constant(["cab", "a bad", ""]), tf.constant(["fade", "", "dead"])]
    inputs = preprocessor.bert_pack_inputs([preprocessor.tokenize(each) for each in segments])
    given = rows(good(work, f"{flags} --columns=text,text_pair --input=pairs.tsv").stdout)
    assert [(row["text"], row["text_pair"]) for row in given] == [
        ("cab", "fade"),
        ("a bad", ""),
        ("", "dead"),
    ]
    outputs = {**inputs, **models["encoder"].nsp(inputs)}
    name = "nsp_logits" if "nsp" in flags else "input_word_ids"
    found = [row[name] for row in given]
    np.testing.assert_allclose(found, outputs[name].numpy(), rtol=0, atol=1e-6)


def test_npy(work: Path, models: Any, tmp_path: Path) -> None:
    for name, shape in (("default", (5, 16)), ("sequence_output", (5, LENGTH, 16))):
        file = tmp_path / f"{name}.npy"
        done = good(work, f"{ENCODER} --batch_size=2 --outputs={name} --output={file}")
        values = np.load(file)
        assert (values.shape, values.dtype) == (shape, np.float32) and values.flags.c_contiguous
        np.testing.assert_allclose(values, expected(models)[name], rtol=0, atol=1e-6)
        assert f"file         {file}" in done.stdout and done.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == {"default.npy", "sequence_output.npy"}
    ids = tmp_path / "ids.npy"
    good(work, f"--saved_model=preprocessor --input=texts.txt --outputs=input_mask --output={ids}")
    assert np.load(ids).tolist() == expected(models)["input_mask"].tolist()


def test_parquet(work: Path, models: Any, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "out.parquet"
    outputs = "--outputs=default,sequence_output"
    good(work, f"{ENCODER} --batch_size=2 {outputs} --output={file}")
    table = parquet.read_table(file).to_pydict()
    assert [*table] == ["text", "default", "sequence_output"] and table["text"] == TEXTS
    for name in ("default", "sequence_output"):
        found = np.array(table[name], np.float32)
        np.testing.assert_allclose(found, expected(models)[name], rtol=0, atol=1e-6)
    good(work, f"--saved_model=texts --input=pairs.tsv --output={file} --overwrite")
    table = parquet.read_table(file).to_pydict()
    assert table == {
        "question": ["cab", "a bad", ""],
        "context": ["fade", "", "dead"],
        "joined": ["cab|fade", "a bad|", "|dead"],
        "lengths": [8, 6, 5],
        "text": ["cab", "a bad", ""],
    }


def test_json_lines_in_a_file(work: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "out.jsonl"
    done = good(work, f"--saved_model=texts --input=pairs.tsv --output={file}")
    assert rows(file.read_text("utf-8"))[0] == {
        "question": "cab", "context": "fade", "joined": "cab|fade", "lengths": 8, "text": "cab",
    }  # fmt: skip
    assert "texts        3\n" in done.stdout


def test_columns_are_named_where_their_order_is_not_known(work: Path) -> None:
    flags = "--saved_model=texts --signature=other --input=pairs.tsv"
    found = rows(good(work, f"{flags} --columns=b,a").stdout)
    assert [row["length"] for row in found] == [3 - 40, 5, -40]
    assert [*found[0]] == ["b", "a", "length"]
    done = run(work, flags)
    assert done.returncode == 2 and "in which order" in done.stderr and "a, b" in done.stderr


def test_rows_may_differ_from_batch_to_batch(work: Path, tmp_path: Path) -> None:
    flags = "--saved_model=texts --signature=ragged --input=texts.txt --batch_size=2"
    found = rows(good(work, flags).stdout)
    assert found[0]["letters"] == ["c", "a", "b", " ", "f", "a", "d", "e", "-"]
    assert found[3]["letters"] == ["d", "\t", "e"] and found[4]["letters"][2] == "\u00e9"
    assert found[1]["number"] == 3 and found[4]["number"] == pytest.approx(4 / 3)
    assert '"number": 1.3333334}' in good(work, flags).stdout
    parquet = pytest.importorskip("pyarrow.parquet")
    good(work, f"{flags} --output={tmp_path / 'a.parquet'}")
    assert parquet.read_table(tmp_path / "a.parquet").to_pydict()["letters"][3] == ["d", "\t", "e"]


def test_standard_input_and_its_line_ends(work: Path, tmp_path: Path) -> None:
    file = tmp_path / "stdin"
    file.write_bytes(b"\xef\xbb\xbfcab\r\n\r\nfade")  # of Windows, without an end of the last line
    program = (
        "import sys\n"
        f"sys.stdin = open({str(file)!r})\n"
        "from hubexport.cli import main\n"
        "sys.argv = ['hubexport', *sys.argv[1:]]\nmain()\n"
    )
    flags = "run --saved_model=preprocessor --outputs=input_mask"
    done = forks.run(program, *flags.split(), directory=work)
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in rows(done.stdout)] == ["cab", "", "fade"]


def test_nothing_is_left_of_a_run_that_fails(work: Path, tmp_path: Path) -> None:
    flags = "--saved_model=texts --signature=broken --input=bad.txt --batch_size=1"
    (work / "bad.txt").write_text("fine\nbad\nfine\n")
    file = tmp_path / "out.jsonl"
    file.write_text("before")
    done = run(work, f"{flags} --output={file} --overwrite")
    assert done.returncode == 1 and "an output has no row for each text" in done.stderr
    assert [*tmp_path.iterdir()] == [file] and file.read_text() == "before"


def test_lines_that_a_saved_model_fails_on(work: Path) -> None:
    long = work / "long"
    vocabulary = work / "vocab.txt"
    export_preprocessor(
        vocab_file=vocabulary, do_lower_case=True, default_seq_length=60, export_path=long
    )
    done = run(work, "--saved_model=encoder --preprocessor=long --input=texts.txt --batch_size=2")
    assert done.returncode == 1 and done.stdout == ""
    assert "the SavedModel failed" in done.stderr and "lines: 1 to 2" in done.stderr
    assert "--default_seq_length" in done.stderr


@pytest.mark.parametrize(
    ("content", "flags", "said"),
    [
        (b"", "--saved_model=preprocessor", "the input has no lines"),
        (b"cab\n\xff\xfe\n", "--saved_model=preprocessor", "line: 2"),
        (b"a\tb\nc\n", "--saved_model=texts", "found: 1, divided by tabs"),
        (b"a\tb\tc\n", "--saved_model=texts", "found: 3, divided by tabs"),
    ],
)
def test_wrong_lines(work: Path, tmp_path: Path, content: bytes, flags: str, said: str) -> None:
    file = tmp_path / "input"
    file.write_bytes(content)
    done = run(work, f"{flags} --input={file}")
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_rows_of_different_shapes_make_no_array(work: Path, tmp_path: Path) -> None:
    (work / "two.txt").write_text("cab\nfade\n")
    parts = "--saved_model=texts --signature=ragged --input=two.txt --batch_size=1"
    done = run(work, f"{parts} --outputs=codes --output={tmp_path / 'a.npy'}")
    assert done.returncode == 1 and "found: [4] after [3]" in done.stderr, done.stderr
    assert not [*tmp_path.iterdir()]


ERRORS = [
    ("--saved_model=absent", 1, "there is no readable SavedModel"),
    ("--saved_model=encoder", 1, "the SavedModel takes no text"),
    ("--saved_model=encoder", 1, "pass the preprocessor"),
    ("--saved_model=encoder --preprocessor=absent", 1, "there is no readable SavedModel"),
    ("--saved_model=encoder --preprocessor=encoder", 1, "the SavedModel takes no text"),
    ("--saved_model=encoder --preprocessor=preprocessor --signature=mlm", 1, "masked_lm_positions"),
    (
        "--saved_model=encoder --preprocessor=preprocessor --signature=mlm",
        1,
        "without these: nsp, s",
    ),
    ("--saved_model=texts --signature=embed", 1, "there are: broken, mixed, other, ragged, servi"),
    ("--saved_model=texts --signature=mixed", 1, "not a batch of texts: n"),
    ("--saved_model=texts --columns=question", 2, "takes: context, question"),
    ("--saved_model=preprocessor --columns=a,b", 2, "takes: text"),
    ("--saved_model=encoder --preprocessor=preprocessor --columns=a,b", 2, "text, or text,text_p"),
    ("--saved_model=encoder --preprocessor=texts", 1, "the preprocessor does not make all inputs"),
    ("--saved_model=preprocessor --outputs=vectors", 1, "there are: input_mask, input_type_ids"),
    ("--saved_model=preprocessor --output=a.csv", 2, "known: .jsonl, .npy, .parquet"),
    ("--saved_model=preprocessor --output=a.npy", 2, "a .npy file holds one output"),
    ("--saved_model=preprocessor --output=taken.jsonl", 1, "there is something at --output"),
    ("--saved_model=preprocessor --input=absent.txt", 1, "the input cannot be read"),
    ("--saved_model=preprocessor --input=encoder", 1, "the input cannot be read"),
    ("--saved_model=preprocessor --batch_size=0", 2, "a batch has at least one text"),
    (
        "--saved_model=texts --signature=ragged --outputs=letters --output=a.npy",
        1,
        "output is text",
    ),
    ("", 2, "--saved_model"),
]


def test_errors_come_before_tensorflow(work: Path) -> None:
    (work / "taken.jsonl").touch()
    code = (
        "import contextlib, io, json, sys\n"
        "from hubexport import cli\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "        try:\n"
        "            code = cli.run(['run', *line.split()])\n"
        "        except SystemExit as exit:\n"
        "            code = exit.code\n"
        "    print(json.dumps([code, said.getvalue()]))\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    lines = json.dumps([line for line, _, _ in ERRORS])
    done = forks.run(code, lines, directory=work, preload="import hubexport.cli")
    assert done.returncode == 0, done.stderr
    for (line, code, said), answer in zip(ERRORS, done.stdout.splitlines(), strict=True):
        assert json.loads(answer)[0] == code and said in json.loads(answer)[1], (line, answer)
