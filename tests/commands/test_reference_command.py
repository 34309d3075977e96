"""`hubexport reference` from the outside: what it writes, what it says, its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hubexport import cli
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.reference_file import read_reference
from tests import tiny

LIGHT = """
import sys
from hubexport import cli
try:
    code = cli.run(sys.argv[1:])
except SystemExit as stopped:
    code = stopped.code
heavy = {"tensorflow", "tf_keras", "torch", "transformers", "official"} & sys.modules.keys()
print("imported:", *sorted(heavy))
sys.exit(code)
"""


def run(
    *arguments: object, program: tuple[str, ...] = ("-m", "hubexport")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, "reference", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process that says at its end which heavy packages it imported."""
    return run(*arguments, program=("-c", LIGHT))


def test_help_imports_nothing_heavy() -> None:
    done = light("--help")
    assert done.returncode == 0
    assert done.stdout.endswith("imported:\n")
    for flag in ("--source", "--checkpoint", "--output", "--tokenizer", "--outputs", "--seed"):
        assert flag in done.stdout


WRONG: list[tuple[list[str], int, str]] = [
    (["--source=transformers", "--output=x"], 2, "--checkpoint"),
    (["--source=jax", "--checkpoint=x", "--output=x"], 2, "invalid choice"),
    (["--source=file", "--checkpoint=x", "--output=x"], 2, "needs: --outputs"),
    (["--source=model_garden", "--checkpoint=x", "--output=x"], 1, "no checkpoint at"),
    (["--source=transformers", "--checkpoint=x", "--output=."], 1, "something at --output"),
]


def test_errors_import_nothing_heavy() -> None:
    """One after the other in one process; what each says is between the codes."""
    codes = [
        f"sys.argv[1:] = {['reference', *arguments]}\ntry:\n    code = cli.run(sys.argv[1:])\n"
        "except SystemExit as stopped:\n    code = stopped.code\n"
        "print(f'code {code}', file=sys.stderr, flush=True)\n"
        for arguments, _, _ in WRONG
    ]
    program = "import sys\nfrom hubexport import cli\n" + "".join(codes) + LIGHT
    done = run("--help", program=("-c", program))
    assert done.stdout.endswith("imported:\n")
    said = done.stderr
    for _, code, message in WRONG:
        part, separator, said = said.partition(f"code {code}\n")
        assert separator and message in part


def test_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    model = hugging_face.build("BertForPreTraining")
    checkpoint = hugging_face.save_safetensors(model, tmp_path / "model")
    output = tmp_path / "out" / "reference.safetensors"
    arguments = ("--source=transformers", f"--checkpoint={checkpoint}", f"--output={output}")
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # neither bars nor load reports
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["reference"] == str(output)
    assert "transformers 5" in lines["made"] and "BertForPreTraining" in lines["made"]
    assert "2 of 2 layers, sequence_output, pooled_output, mlm_logits, nsp_logits" in done.stdout
    assert lines["size"].endswith("MiB") and lines["time"].endswith("s")
    reference = read_reference(output)
    inputs = reference.cases["ragged"].inputs
    expected = hugging_face.expected_outputs(model, inputs)
    for name in ("sequence_output", "pooled_output", "mlm_logits", "nsp_logits"):
        np.testing.assert_allclose(reference.output("ragged", name), expected[name], atol=1e-5)
    assert cli.run(["reference", *arguments]) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_model_garden(tmp_path: Path) -> None:
    pytest.importorskip("official.nlp.tools.tokenization", reason="Model Garden is not installed")
    checkpoint = tiny.write_checkpoint(tmp_path / "model")
    vocab_file = tiny.write_vocabulary(tmp_path / "vocab.txt")
    output = tmp_path / "reference.safetensors"
    done = run(
        "--source=model_garden",
        f"--checkpoint={checkpoint}",
        f"--vocab_file={vocab_file}",
        "--do_lower_case",
        f"--output={output}",
    )
    assert done.returncode == 0, done.stderr
    assert "tf-models-official 2." in done.stdout
    assert "lower-cased: " in done.stdout
    assert "case         text_pairs: 2 of 2 layers" in done.stdout
    reference = read_reference(output)
    assert reference.outputs("plain")[-2:] == ["mlm_logits", "nsp_logits"]
    # What can be told without another implementation: the formula of next-sentence logits.
    values = tiny.tensors()
    weights = values["cls/seq_relationship/output_weights"]
    bias = values["cls/seq_relationship/output_bias"]
    pooled = reference.output("plain", "pooled_output")
    np.testing.assert_allclose(
        reference.output("plain", "nsp_logits"), pooled @ weights.T + bias, atol=1e-5
    )


def test_file(tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "model")
    sequence = np.random.default_rng(0).standard_normal((1, 4, 16), np.float32)
    ids = np.zeros((1, 4), np.int64)
    arrays = {f"a/inputs/{name}": ids for name in ENCODER_INPUTS}
    np.savez(tmp_path / "mine.npz", **arrays, **{"a/outputs/sequence_output": sequence})
    output = tmp_path / "reference.safetensors"
    done = light(
        "--source=file",
        f"--checkpoint={checkpoint}",
        f"--outputs={tmp_path / 'mine.npz'}",
        f"--output={output}",
    )
    assert done.returncode == 0, done.stderr
    assert "case         a: sequence_output\n" in done.stdout
    assert done.stdout.endswith("imported:\n")
    np.testing.assert_array_equal(read_reference(output).output("a", "sequence_output"), sequence)
