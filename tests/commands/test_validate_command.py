"""`hubexport validate` from the outside: tables, reports, records, exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport import cli, load_record
from hubexport.saved_model.identity import artifact_identity
from hubexport.saved_model.record import RECORD_PATH
from hubexport.validation.gates import NAMES
from hubexport.validation.reference_file import read_reference, write_reference
from hubexport.validation.report import Report, now, read_report, write_report
from hubexport.validation.results import at_most, judge
from hubexport.validation.sentences import MLM_SENTENCES
from tests import tiny
from tests.artifacts import export_encoder, export_preprocessor, make_reference
from tests.forks import forked_children
from tests.validation.here import gates_here

__all__ = ["forked_children", "gates_here"]

SIZES = {"max_position_embeddings": 40, "num_hidden_layers": 1}
"""Otherwise those of the oracle."""
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONIOENCODING": "utf-8"}


@dataclasses.dataclass(frozen=True)
class Work:
    """A checkpoint's two artifacts, what transformers makes of it, and a short form of that."""

    encoder: Path
    preprocessor: Path
    reference: Path
    short: Path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    transformers = pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    directory = tmp_path_factory.mktemp("work")
    checkpoint, vocab_file = directory / "checkpoint", directory / "vocab.txt"
    pieces = vocabulary()
    vocab_file.write_text("\n".join(pieces) + "\n", "utf-8")
    model = hugging_face.build("BertForPreTraining", vocab_size=len(pieces), **SIZES)
    model.save_pretrained(checkpoint)
    transformers.BertTokenizerFast(
        vocab={piece: i for i, piece in enumerate(pieces)}, do_lower_case=True
    ).save_pretrained(checkpoint)
    made = Work(*(directory / name for name in ("encoder", "preprocessor", "reference", "short")))
    make_reference(
        source="transformers", checkpoint=checkpoint, output=made.reference, tokenizer=checkpoint
    )
    export_encoder(
        checkpoint=checkpoint,
        vocab_file=vocab_file,
        do_lower_case=True,
        export_path=made.encoder,
    )
    export_preprocessor(
        vocab_file=vocab_file,
        do_lower_case=True,
        default_seq_length=24,
        truncation="longest_first",
        export_path=made.preprocessor,
    )
    shorten(made.reference, made.short, lambda digest: digest)
    return made


def vocabulary() -> list[str]:
    """Letters, and every word of the sentences whose words are masked."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = {
        word
        for _, sentence, _ in MLM_SENTENCES
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(sentence))
    }
    letters = {*"abcdefghijklmnopqrstuvwxyz"}
    return [*tiny.SPECIALS, *sorted(words | letters), *(f"##{each}" for each in sorted(letters))]


def shorten(full: Path, short: Path, change: Callable[[str], str]) -> None:
    """Writes a reference with one case only, and its checkpoint's digests changed."""
    reference = read_reference(full)
    cases = [reference.cases["ragged"]]
    outputs = {
        case.name: {n: reference.output(case.name, n) for n in reference.outputs(case.name)}
        for case in cases
    }
    files = [{**file, "sha256": change(file["sha256"])} for file in reference.provenance.checkpoint]
    provenance = dataclasses.replace(reference.provenance, checkpoint=files)
    write_reference(short, provenance, cases, outputs)


@pytest.fixture
def copied(work: Work, tmp_path: Path) -> Work:
    """Artifacts that a test may change."""
    return dataclasses.replace(
        work,
        encoder=shutil.copytree(work.encoder, tmp_path / "encoder"),
        preprocessor=shutil.copytree(work.preprocessor, tmp_path / "preprocessor"),
    )


def in_child(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def files_below(directory: Path) -> dict[str, bytes]:
    """Path -> content, without the record."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path != directory / RECORD_PATH
    }


def rows(table: str) -> dict[str, str]:
    """Gate -> its sign."""
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        if len(cells) > 2 and cells[0] in "✓✗–+x-" and cells[2] in ("passed", "failed", "not run"):
            found[cells[1]] = cells[0]
    return found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: code, stdout, stderr. Gates run in processes of their own."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(["validate", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.mark.usefixtures("forked_children")
def test_everything(copied: Work, tmp_path: Path, run: Run) -> None:
    """Both artifacts and a reference with texts: all gates, the report, and both records."""
    artifacts = (copied.encoder, copied.preprocessor)
    records, files = ([f(each) for each in artifacts] for f in (load_record, files_below))
    path = tmp_path / "new" / "report.json"
    code, out, err = run(
        f"--saved_model={copied.encoder}",
        f"--preprocessor={copied.preprocessor}",
        f"--reference={copied.reference}",
        f"--report={path}",
        "--update_record",
    )
    assert (code, err) == (0, ""), out + err
    # A BERT is not causal.
    assert rows(out) == {**dict.fromkeys(NAMES, "✓"), "causality": "–"}, out
    assert "✓ passed" in out
    assert f"report       {path}" in out and "record       updated" in out
    assert "transformers 5" in out

    report = read_report(path)
    assert report.passed and [gate.name for gate in report.gates] == list(NAMES)
    assert (report.runtime, report.device) == ("tensorflow", "cpu")
    assert report.artifact == artifact_identity(copied.encoder)
    numerics = next(gate for gate in report.gates if gate.name == "numerics")
    cases = {each.what.partition(":")[0] for each in numerics.measurements}
    assert cases == set(read_reference(copied.reference).cases)

    for artifact, before, content in zip(artifacts, records, files, strict=True):
        after = load_record(artifact)
        (entry,) = after.pop("validation")
        assert after == before
        assert files_below(artifact) == content
        assert entry["passed"] is True and entry["created"] == report.created
    of_encoder, of_text = (load_record(each)["validation"][0]["gates"] for each in artifacts)
    assert set(NAMES) - {each["name"] for each in of_encoder} <= {
        "preprocessor interface",
        "preprocessor ids",
    }
    assert [each["name"] for each in of_text] == [
        "preprocessor interface",
        "preprocessor ids",
        "end to end",
    ]


@pytest.mark.usefixtures("gates_here")
def test_an_artifact_that_fails(work: Work, tmp_path: Path, run: Run) -> None:
    from tests.validation.faults import with_values

    def exchange(values: dict[str, np.ndarray]) -> None:
        scope = next(n for n in values if n.endswith("layer_0/attention/self/value/kernel"))
        query = scope.replace("value", "query")
        values[scope], values[query] = values[query].copy(), values[scope].copy()

    artifact = with_values(work.encoder, tmp_path / "wrong", exchange)
    path = tmp_path / "report.json"
    arguments = (f"--saved_model={artifact}", f"--reference={work.reference}", f"--report={path}")
    code, out, _ = run(*arguments, "--gates=integrity,numerics")
    assert code == 1
    assert list(rows(out).items()) == [
        ("integrity", "✓" if "✓" in out else "+"),
        ("numerics", "✗" if "✗" in out else "x"),
    ]
    text = " ".join(out.split())  # lines are wrapped
    assert "The first layer to diverge is encoder_outputs[0] of 1 (in one_token" in text
    assert "even single tokens diverge: embeddings (words" in text
    assert "a kernel transposed" in text
    assert "failed (1 of 2 gates)" in out
    report = read_report(path)
    assert not report.passed
    numerics = report.gates[1]
    assert {each.what for each in numerics.failures} >= {
        "plain: encoder_outputs[0], relative Frobenius",
        "ragged: sequence_output, max abs",
    }


@pytest.mark.usefixtures("gates_here")
def test_a_preprocessor_alone(copied: Work, run: Run) -> None:
    gates = ("preprocessor interface", "preprocessor ids")
    code, out, _ = run(
        f"--preprocessor={copied.preprocessor}",
        f"--reference={copied.reference}",
        f"--gates={','.join(gates)}",
        "--update_record",
    )
    assert code == 0
    assert tuple(rows(out)) == gates
    (entry,) = load_record(copied.preprocessor)["validation"]
    assert [gate["status"] for gate in entry["gates"]] == ["passed", "passed"]
    assert "validation" not in load_record(copied.encoder)


@pytest.mark.usefixtures("gates_here")
def test_some_gates_against_another_checkpoint(work: Work, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "other"
    shorten(work.reference, other, lambda digest: digest[::-1])
    arguments = (f"--saved_model={work.encoder}", f"--reference={other}")
    arguments += ("--gates", "numerics, integrity")
    code, out, err = run(*arguments)
    assert code == 1 and out == ""
    assert "made from another checkpoint" in err and "--allow_other_checkpoint" in err
    for file in read_reference(work.reference).provenance.checkpoint:
        assert file["sha256"][:12] in err and file["sha256"][::-1][:12] in err
    code, out, err = run(*arguments, "--allow_other_checkpoint")
    assert code == 0, out + err
    assert list(rows(out)) == ["integrity", "numerics"]  # in their own order


def test_pjrt(copied: Work, tmp_path: Path, run: Run) -> None:
    pytest.importorskip("jax")
    path = tmp_path / "report.json"
    code, out, _ = run(
        f"--saved_model={copied.encoder}",
        f"--reference={copied.short}",
        "--runtime=pjrt",
        f"--report={path}",
        "--update_record",
    )
    assert code == 0, out
    names = ["numerics [HIGHEST]", "numerics [DEFAULT]", "determinism"]
    assert rows(out) == dict.fromkeys(names, "✓")
    report = read_report(path)
    assert (report.runtime, report.device) == ("pjrt", "cpu")
    assert "jax" in report.versions and report.artifact == artifact_identity(copied.encoder)
    outputs = {each.what for each in report.gates[0].measurements}
    for output in ("encoder_outputs[0]", "default", "mlm_logits", "nsp_logits"):
        assert f"ragged: {output}, max abs" in outputs
    (entry,) = load_record(copied.encoder)["validation"]
    assert (entry["runtime"], entry["passed"]) == ("pjrt", True)


def test_a_bundle_its_report_and_the_record(copied: Work, tmp_path: Path, run: Run) -> None:
    pytest.importorskip("jax")
    bundle, path = tmp_path / "bundle", tmp_path / "elsewhere.json"
    saved_model = f"--saved_model={copied.encoder}"
    write = (saved_model, f"--reference={copied.short}", "--runtime=pjrt")
    code, out, _ = run(*write, f"--write_bundle={bundle}")
    assert code == 0
    assert f"bundle       {bundle}: " in out
    assert f"python -m hubexport.validation.pjrt {bundle}" in out
    code, _, err = run(*write, f"--write_bundle={bundle}")
    assert code == 1 and "--overwrite" in err

    done = in_child("hubexport.validation.pjrt", bundle, f"--report={path}", "--platform=cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    code, out, _ = run(saved_model, f"--add_report={path}")
    assert code == 0
    assert f"record       {copied.encoder}: 1 added" in out and "numerics [HIGHEST]" in rows(out)
    (entry,) = load_record(copied.encoder)["validation"]
    assert (entry["runtime"], entry["device"], entry["passed"]) == ("pjrt", "cpu", True)
    assert entry["created"] == read_report(path).created

    # Of another artifact: refused, and nothing changes.
    before = (copied.preprocessor / RECORD_PATH).read_bytes()
    code, _, err = run(f"--saved_model={copied.preprocessor}", f"--add_report={path}")
    assert code == 1 and "the report is of another artifact" in err
    assert (copied.preprocessor / RECORD_PATH).read_bytes() == before


def made_up(artifact: Path, error: float, **fields: Any) -> Report:
    gate = judge("numerics", [at_most("plain: default, relative Frobenius", error, 1e-2)])
    report = Report(
        artifact=artifact_identity(artifact),
        runtime="pjrt",
        device="tpu",
        hardware="TPU v5 lite",
        versions={"jax": "0.10.2"},
        reference=None,
        created=now(),
        gates=(gate,),
    )
    return dataclasses.replace(report, **fields)


@pytest.mark.usefixtures("gates_here")
def test_reports_of_other_devices_lie_beside_the_first(
    copied: Work, tmp_path: Path, run: Run
) -> None:
    saved_model = f"--saved_model={copied.encoder}"
    both = (saved_model, f"--preprocessor={copied.preprocessor}")
    assert run(*both, "--gates=integrity", "--update_record")[0] == 0
    # No verdict on what no gate looked at.
    assert "validation" not in load_record(copied.preprocessor)
    content = files_below(copied.encoder)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    write_report(made_up(copied.encoder, 1e-3), good)
    write_report(made_up(copied.encoder, 1e-1, hardware="TPU v6 lite"), bad)
    code, out, _ = run(saved_model, f"--add_report={good}")
    assert code == 0 and "TPU v5 lite" in out
    code, out, _ = run(saved_model, f"--add_report={good}", f"--add_report={bad}")
    assert code == 1 and "2 added" in out  # recorded all the same
    entries = load_record(copied.encoder)["validation"]
    assert [(each["runtime"], each["device"], each["passed"]) for each in entries] == [
        ("tensorflow", "cpu", True),
        ("pjrt", "tpu", True),
        ("pjrt", "tpu", False),
    ]
    assert files_below(copied.encoder) == content


# Errors: said at once, before TensorFlow is loaded.

ERRORS = """
import contextlib, io, json, sys, traceback
from hubexport import cli
found = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.run(["validate", *arguments])
        except SystemExit as stopped:
            code = stopped.code
        except Exception:
            code = "raised"
            traceback.print_exc()
    heavy = sorted({"tensorflow", "tf_keras", "torch", "transformers", "jax"} & sys.modules.keys())
    found.append([code, out.getvalue(), err.getvalue(), heavy])
print(json.dumps(found))
"""


def errors(work: Work, tmp_path: Path) -> dict[str, tuple[list[str], int, list[str]]]:
    """What is done wrong -> arguments, exit code, words of the message."""
    encoder, text = f"--saved_model={work.encoder}", f"--preprocessor={work.preprocessor}"
    reference, pjrt = f"--reference={work.reference}", "--runtime=pjrt"
    unrecorded = shutil.copytree(work.encoder, tmp_path / "unrecorded")
    (unrecorded / RECORD_PATH).unlink()
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    other = tmp_path / "other.json"
    write_report(made_up(work.preprocessor, 0), other)
    (tmp_path / "empty").mkdir()
    exchanged = [f"--saved_model={work.preprocessor}", f"--preprocessor={work.encoder}"]
    bundle = f"--write_bundle={tmp_path / 'bundle'}"
    before = "--saved_model"
    return {
        "help": (["--help"], 0, []),
        "nothing": ([], 2, ["--saved_model, --preprocessor, or both"]),
        "unknown gates": (
            [encoder, "--gates=numerics,speed,size"],
            2,
            ["--gates: speed, size; there are integrity, interface, numerics"],
        ),
        "exchanged": (exchanged, 2, ["--saved_model is not an encoder", "exchange"]),
        "no encoder": ([f"{before}={tmp_path / 'absent'}"], 1, ["absent/saved_model.pb"]),
        "empty": ([encoder, f"--preprocessor={tmp_path / 'empty'}"], 1, ["empty/saved_model.pb"]),
        "tpu without a device": ([encoder, "--tpu=local"], 2, ["--tpu", "--device=tpu"]),
        "device without a tpu": ([encoder, "--device=tpu"], 2, ["--device=tpu", "--tpu"]),
        "unknown device": ([encoder, "--device=npu"], 2, ["npu", "cpu"]),
        "unknown runtime": ([encoder, "--runtime=onnx"], 2, ["onnx", "pjrt"]),
        "pjrt without a reference": ([encoder, pjrt], 2, ["--reference: not passed"]),
        "pjrt of a preprocessor": ([text, pjrt], 2, ["--runtime=pjrt: needs --saved_model"]),
        "pjrt with gates": ([encoder, reference, pjrt, "--gates=numerics"], 2, ["--gates"]),
        "no reference": (
            [encoder, f"--reference={tmp_path / 'absent'}"],
            1,
            ["the reference cannot be read", "absent"],
        ),
        "something else": (
            [encoder, f"--reference={work.encoder / 'saved_model.pb'}"],
            1,
            ["the reference cannot be read", "saved_model.pb"],
        ),
        "no tokenizer": (
            [text, f"--reference_tokenizer={tmp_path / 'absent'}"],
            2,
            ["--reference_tokenizer", "absent"],
        ),
        "no record": (
            [f"--saved_model={unrecorded}", text, "--update_record"],
            2,
            ["there is no record to update", "unrecorded"],
        ),
        "several at once": (
            ["--gates=speed", "--tpu=local"],
            2,
            ["--saved_model, --preprocessor", "speed", "--tpu"],
        ),
        "bundle without pjrt": ([encoder, reference, bundle], 2, ["--runtime: tensorflow"]),
        "bundle of nothing": ([pjrt, bundle], 2, ["--saved_model: None"]),
        "bundle without a reference": ([encoder, pjrt, bundle], 2, ["--bundle_weights=seed"]),
        "report of nothing": ([f"--add_report={other}"], 2, ["--add_report is for one artifact"]),
        "report of both": ([encoder, text, f"--add_report={other}"], 2, ["one artifact"]),
        "damaged report": ([encoder, f"--add_report={damaged}"], 1, ["cannot be read"]),
        "other report": ([encoder, f"--add_report={other}"], 1, ["of another artifact"]),
    }


def test_errors_come_at_once(work: Work, tmp_path: Path) -> None:
    scenarios = errors(work, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    commands = json.dumps([arguments for arguments, _, _ in scenarios.values()])
    done = subprocess.run(
        [sys.executable, "-c", ERRORS, commands],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wrong = {}
    for (name, (_, code, words)), found in zip(
        scenarios.items(), json.loads(done.stdout), strict=True
    ):
        missing = [word for word in words if word not in found[2]]
        if found[0] != code or missing or found[3] or (code and found[1]):
            wrong[name] = (found, missing)
    assert not wrong
    assert sorted(tmp_path.rglob("*")) == before
    assert "validation" not in load_record(work.encoder)
