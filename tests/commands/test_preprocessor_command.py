"""`hubexport preprocessor`: exit codes, messages, and nothing left behind."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubexport import cli, errors
from hubexport.exporting.self_test import compare_with_corpus
from hubexport.tokenizers.defining import TokenizerOptions, define_tokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CASED = [*SPECIALS, *"abcdefg", "The", "##x"]
# Directories with tokenizer files that cannot be used.
DIRECTORIES = {
    "new_kind": {"tokenizer.json": '{"model": {"type": "New"}}'},
    "no_json": {"tokenizer.json": "{"},
    "unclear_type": {"vocab.json": '{"a": 0, "b": 1}', "merges.txt": "a b\n"},
    "xlm": {
        "vocab.json": '{"<s>": 0, "</s>": 1, "<pad>": 2, "<unk>": 3, "<special1>": 4}',
        "merges.txt": "",
    },
}

# Runs the command lines of argv[1], a JSON list, in one process that ends if TensorFlow is loaded.
_RUN = """
import contextlib, io, json, sys
from hubexport import cli
results = []
for argv in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(err):
        try:
            code = cli.run(argv)
        except SystemExit as exit:
            code = exit.code
    results.append([code, err.getvalue()])
assert "tensorflow" not in sys.modules
print(json.dumps(results))
"""


@pytest.fixture
def files(tmp_path):
    """Inputs in a directory of their own, so that tmp_path/out is all an export could leave."""
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "cased.txt").write_text("\n".join(CASED) + "\n")
    (inputs / "unclear.txt").write_text("\n".join([*SPECIALS, "a", "b"]) + "\n")
    (inputs / "bad.txt").write_text("\n".join(["a", "a", *SPECIALS[1:]]))
    (inputs / "bad.model").write_bytes(b"[PAD]")
    (inputs / "corpus.txt").write_text("abc\n")
    (inputs / "empty").mkdir()
    for name, files in DIRECTORIES.items():
        (inputs / name).mkdir()
        for file, content in files.items():
            (inputs / name / file).write_text(content)
    (tmp_path / "out" / "taken").mkdir(parents=True)
    (tmp_path / "out" / "taken" / "thesis.txt").touch()
    return tmp_path


def test_errors(files):
    out, inputs = files / "out", files / "inputs"
    cased = f"--vocab_file={inputs / 'cased.txt'}"
    sp_model = f"--sp_model_file={inputs / 'bad.model'}"
    target = f"--export_path={out / 'made' / 'here'}"
    cases = [
        ([cased], 2, "--export_path"),
        ([target], 2, "given in one way"),
        ([target, cased, sp_model], 2, "given in one way"),
        ([target, cased, "--default_seq_length=2"], 2, "possible: 3 to 1,048,576"),
        ([target, cased, "--default_seq_length=x"], 2, "invalid int value"),
        ([target, cased, f"--tokenizer={inputs}"], 2, "given in one way"),
        ([target, cased, "--normalization=other"], 2, "invalid choice"),
        ([target, cased, "--truncation=left"], 2, "invalid choice"),
        ([target, cased, "--model_type=word2vec"], 2, "invalid choice"),
        ([target, cased, "--model_type=roberta"], 2, "the files can be: transformer_xl, wordpiece"),
        ([target, cased, "--language=en"], 2, "flags: --language"),
        ([target, cased, "--corpus=x"], 2, "pass both or neither"),
        (
            [target, cased, f"--corpus={inputs / 'corpus.txt'}", "--reference_tokenizer=absent"],
            2,
            "--reference_tokenizer is not there",
        ),
        ([target, cased, "--max_differences=3"], 2, "--max_differences cannot be met"),
        (
            [target, cased, "--normalization=tfhub", "--strip_accents"],
            2,
            "--strip_accents cannot be followed",
        ),
        ([target, f"--tokenizer={inputs / 'absent'}"], 1, "there is no such tokenizer"),
        ([target, f"--tokenizer={inputs / 'empty'}"], 2, "vocab.json and merges.txt; or"),
        ([target, f"--tokenizer={inputs / 'no_json'}"], 1, "tokenizer.json cannot be read"),
        ([target, f"--tokenizer={inputs / 'new_kind'}"], 1, 'found: model of type "New"'),
        ([target, f"--tokenizer={inputs / 'unclear_type'}"], 2, "one of roberta, gpt2, openai-gpt"),
        ([target, f"--tokenizer={inputs / 'xlm'}"], 2, "pass --language, such as en"),
        ([target, cased, "--no_such_flag"], 2, "--no_such_flag"),
        ([target, sp_model, "--nospecial_tokens_in_text"], 1, "not a SentencePiece model"),
        ([target, f"--vocab_file={inputs / 'absent'}"], 1, "vocabulary cannot be read"),
        ([target, f"--vocab_file={inputs / 'bad.txt'}"], 1, "'a' on lines 1, 2"),
        ([target, sp_model, "--do_lower_case"], 1, "not a SentencePiece model"),
        ([target, f"--vocab_file={inputs / 'unclear.txt'}"], 2, "--nodo_lower_case"),
        ([f"--export_path={out / 'taken'}", cased], 1, "not empty"),
        ([f"--export_path={out / 'taken' / 'thesis.txt'}", cased], 1, "not a directory"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps([["preprocessor", *c[0]] for c in cases])],
        cwd=Path(errors.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for (argv, code, message), (found, output) in zip(cases, json.loads(done.stdout), strict=True):
        assert (found, message in output) == (code, True), (argv, output)
        assert "Traceback" not in output
    assert [str(path.relative_to(out)) for path in sorted(out.rglob("*"))] == [
        "taken",
        "taken/thesis.txt",
    ]


@pytest.fixture(scope="module")
def evident(tmp_path_factory):
    """An artifact whose casing was decided by evidence, and beside it what the command said."""
    pytest.importorskip("tensorflow_text")
    work = tmp_path_factory.mktemp("evident")
    (work / "cased.txt").write_text("\n".join(CASED) + "\n")
    argv = ["preprocessor", f"--vocab_file={work / 'cased.txt'}", "--default_seq_length=16"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.run([*argv, f"--export_path={work / 'out'}"]) == 0
    (work / "said.txt").write_text(said.getvalue())
    return work / "out"


def test_success(evident):
    """Casing by evidence."""
    out = evident.with_name("said.txt").read_text()
    assert str(evident) in out and "14 pieces, wordpiece" in out
    assert "cased (in the vocabulary 1 of 9 pieces" in out
    assert "[PAD] 0, [CLS] 2, [SEP] 3, [MASK] 4, [UNK] 1" in out
    assert sorted(os.listdir(evident)) == [
        "assets",
        "assets.extra",
        "fingerprint.pb",
        "saved_model.pb",
        "variables",
    ]


def test_casing_against_the_evidence(evident, files, capsys):
    """A warning on contradiction, replacing what is there."""
    target = files / "out" / "taken"
    argv = ["preprocessor", f"--vocab_file={files / 'inputs' / 'cased.txt'}", "--overwrite"]
    argv += [f"--export_path={target}", "--default_seq_length=16", "--do_lower_case"]
    assert cli.run(argv) == 0
    captured = capsys.readouterr()
    assert "hubexport: warning: --do_lower_case was passed, but in the vocabulary" in captured.err
    assert (target / "saved_model.pb").read_bytes() != (evident / "saved_model.pb").read_bytes()
    record = json.loads((target / "assets.extra" / "hubexport.json").read_text("utf-8"))
    assert len(record["warnings"]) == 1
    assert record["command"][:3] == ["hubexport", "preprocessor", "--vocab_file=cased.txt"]
    assert os.listdir(files / "out") == ["taken"]


def test_comparison_with_a_corpus(evident, files, capsys):
    """The first differences are shown and nothing is written, unless so many are allowed.

    What then is written is what was written without a comparison, to the byte.
    """
    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("tensorflow_text")
    vocabulary = files / "inputs" / "cased.txt"
    for name, lowercase in (("cased", False), ("lower", True)):
        reference = tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase=lowercase)
        (files / name).mkdir()
        reference.save(str(files / name / "tokenizer.json"))
    corpus = files / "corpus.txt"
    corpus.write_text("The abc [MASK]\nabc\n\nThe The\n", "utf-8")
    target = files / "out" / "made"
    argv = ["preprocessor", f"--vocab_file={vocabulary}", f"--export_path={target}"]
    argv += ["--nodo_lower_case", "--default_seq_length=16", f"--corpus={corpus}"]

    assert cli.run([*argv, f"--reference_tokenizer={files / 'lower'}"]) == 1
    error = capsys.readouterr().err
    assert "differences: 2 texts, at most 0" in error
    assert "text: 'The abc [MASK]'" in error and "'The' 12" in error and "'[UNK]' 1" in error
    assert not target.exists()

    lenient = [f"--reference_tokenizer={files / 'lower'}", "--max_differences=2"]
    assert cli.run([*argv, *lenient]) == 0
    assert "2 of 3 texts differ from tokenizers" in capsys.readouterr().out

    assert (target / "saved_model.pb").read_bytes() == (evident / "saved_model.pb").read_bytes()
    record = json.loads((target / "assets.extra" / "hubexport.json").read_text("utf-8"))
    comparison = record["comparison"]
    assert (comparison["texts"], comparison["differences"]) == (3, 2)
    assert comparison["corpus"]["name"] == "corpus.txt"
    definition = define_tokenizer(vocab_file=vocabulary, options=TokenizerOptions()).definition
    comparison = compare_with_corpus(
        target, definition, reference_tokenizer=files / "cased", corpus=corpus, max_differences=0
    )
    assert (comparison["texts"], comparison["differences"], comparison["first"]) == (3, 0, [])


def test_failure_while_writing_leaves_nothing(files, monkeypatch):
    pytest.importorskip("tensorflow_text")
    from hubexport.exporting import preprocessor

    def fail(directory, *_):
        (directory / "saved_model.pb").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preprocessor, "_save", fail)
    target = files / "out" / "new" / "1"
    argv = ["preprocessor", f"--vocab_file={files / 'inputs' / 'cased.txt'}"]
    assert cli.run([*argv, f"--export_path={target}"]) == 1
    assert os.listdir(files / "out") == ["taken"]


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.run(["preprocessor", "--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert "--sp_model_file=30k-clean.model --do_lower_case" in out
    assert "--nodo_lower_case" in out
