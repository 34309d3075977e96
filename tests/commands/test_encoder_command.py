"""`hubexport encoder` from the outside: what it says, its exit codes, what it leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import termios
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hubexport import cli, export_encoder, load_record
from hubexport.errors import UsageError
from tests import forks, tiny


def files_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs the command in this process and expects it to fail; gives the message.

    A refusal needs no TensorFlow, so the message comes at once; and nothing may be left behind.
    """
    (tmp_path / "target").mkdir()

    def run(*arguments: object, exit_code: int = 1, export_path: str = "target/parent/out") -> str:
        before = files_below(tmp_path)
        command = ["encoder", *map(str, arguments), f"--export_path={tmp_path / export_path}"]
        assert cli.run(command) == exit_code
        assert files_below(tmp_path) == before
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("hubexport: error: ")
        return captured.err

    return run


class TestTensors:
    def test_missing(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(
            tmp_path,
            change=lambda v: (
                v.pop("bert/encoder/layer_1/output/dense/bias"),
                v.pop("bert/embeddings/LayerNorm/gamma"),
            ),
        )
        message = refused(f"--checkpoint={prefix}")
        assert "the checkpoint does not fit the configuration" in message
        assert "missing (2)" in message
        assert "bert/encoder/layer_1/output/dense/bias [16]" in message
        assert "bert/embeddings/LayerNorm/gamma [16]" in message
        assert "google-research/bert layout, 2 layers, hidden size 16" in message

    def test_unused(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(
            tmp_path, change=lambda v: v.update({"bert/extra/kernel": np.zeros((3, 2), "f4")})
        )
        message = refused(f"--checkpoint={prefix}")
        assert "not used (1): bert/extra/kernel [3, 2]" in message

    def test_misshaped_and_wrong_dtype_and_unused_at_once(self, refused, tmp_path):
        def change(values):
            values["bert/pooler/dense/kernel"] = np.zeros((16, 15), "f4")
            values["cls/predictions/output_bias"] = np.zeros(50, "f8")
            values["bert/other"] = np.zeros(1, "f4")
            del values["bert/pooler/dense/bias"]

        message = refused(f"--checkpoint={tiny.write_checkpoint(tmp_path, change=change)}")
        assert "misshaped (1): bert/pooler/dense/kernel [16, 15], needed [16, 16]" in message
        assert "cls/predictions/output_bias is float64" in message
        assert "not used (1): bert/other [1]" in message
        assert "missing (1): bert/pooler/dense/bias [16]" in message

    def test_deeper_checkpoint_than_configuration(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path, {**tiny.CONFIG, "num_hidden_layers": 4})
        config = tmp_path / "shallow.json"
        config.write_text(json.dumps(tiny.CONFIG))
        message = refused(f"--checkpoint={prefix}", f"--bert_config={config}")
        assert "not used (32)" in message
        assert "4 layers" in message and "(2 layers" in message
        assert "hint: pass the configuration that the checkpoint was trained with" in message

    def test_shallower_checkpoint_than_configuration(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        config = tmp_path / "deep.json"
        config.write_text(json.dumps({**tiny.CONFIG, "num_hidden_layers": 3}))
        assert "missing (16)" in refused(f"--checkpoint={prefix}", f"--bert_config={config}")

    def test_half_a_head(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(
            tmp_path, change=lambda v: v.pop("cls/predictions/output_bias")
        )
        assert "missing (1): cls/predictions/output_bias [50]" in refused(f"--checkpoint={prefix}")

    def test_head_asked_for_is_not_there(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(
            tmp_path, change=lambda v: [v.pop(n) for n in list(v) if n.startswith("cls/pred")]
        )
        message = refused(f"--checkpoint={prefix}", "--heads=mlm", exit_code=2)
        assert "the checkpoint has no head mlm" in message
        assert "carried by the checkpoint: nsp" in message

    def test_unknown_head(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        message = refused(f"--checkpoint={prefix}", "--heads=mlm,rtd", exit_code=2)
        assert "has no head 'rtd'" in message and "heads: mlm, nsp" in message

    def test_no_pooler(self, refused, tmp_path):
        def change(values):
            del values["bert/pooler/dense/kernel"], values["bert/pooler/dense/bias"]

        prefix = tiny.write_checkpoint(tmp_path, heads=False, change=change)
        message = refused(f"--checkpoint={prefix}")
        assert "the checkpoint has no pooler" in message
        for pooler in ("identity", "mean", "cls", "untrained"):
            assert f"--pooler {pooler}" in message
        assert "--pooler next_sentence" not in message

    def test_next_sentence_pooler_where_heads_have_none(self, refused, tmp_path):
        message = refused(
            f"--checkpoint={tiny.write_checkpoint(tmp_path)}", "--pooler=next_sentence"
        )
        assert "has no pooler of a next-sentence head" in message
        assert "--pooler checkpoint" in message

    def test_another_model(self, refused, tmp_path):
        def change(values):
            values.clear()
            values["x"] = np.zeros(3, "f4")

        message = refused(f"--checkpoint={tiny.write_checkpoint(tmp_path, change=change)}")
        assert "holds no encoder that is known" in message and "found: x [3]" in message

    def test_epsilon_that_the_layout_does_not_read(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path, {**tiny.CONFIG, "layer_norm_eps": 1e-5})
        message = refused(f"--checkpoint={prefix}")
        assert "layer_norm_eps = 1e-05" in message and "--layer_norm_eps" in message


class TestFiles:
    def test_nothing_there(self, refused, tmp_path):
        (tmp_path / "notes.txt").write_text("")
        message = refused(f"--checkpoint={tmp_path / 'bert_model.ckpt'}")
        assert "there is no checkpoint at this path" in message
        assert "notes.txt" in message

    def test_no_configuration(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        (tmp_path / "bert_config.json").unlink()
        message = refused(f"--checkpoint={prefix}")
        assert "the model's configuration is needed" in message
        assert "--bert_config" in message and "--encoder_config" in message

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("{", "cannot be read"),
            ("[]", "holds no model"),
            ('{"hidden_size": 16}', "no usable vocab_size"),
            (json.dumps({**tiny.CONFIG, "hidden_size": "16"}), "no usable hidden_size"),
            (json.dumps({**tiny.CONFIG, "num_attention_heads": 3}), "not a multiple"),
            (json.dumps({**tiny.CONFIG, "hidden_act": "mish"}), "'mish' is not supported"),
            (json.dumps({**tiny.CONFIG, "hidden_dropout_prob": 2}), "no usable hidden_dropout"),
            (json.dumps({**tiny.CONFIG, "model_type": "albert"}), "belongs to no family"),
            (json.dumps({**tiny.CONFIG, "is_decoder": True}), "is_decoder = True"),
            (
                json.dumps({**tiny.CONFIG, "position_embedding_type": "relative_key"}),
                "position_embedding_type = 'relative_key'",
            ),
        ],
    )
    def test_unusable_configuration(self, refused, tmp_path, text, problem):
        prefix = tiny.write_checkpoint(tmp_path)
        (tmp_path / "bert_config.json").write_text(text)
        assert problem in refused(f"--checkpoint={prefix}")

    def test_unusable_encoder_yaml(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        config = tmp_path / "encoder.yaml"
        for text, problem in (
            ("bert: [", "cannot be read"),
            ("a: 1", "names no encoder"),
            ("albert: {hidden_size: 16}", "encoder type albert"),
            ("bert: {norm_first: true}", "norm_first = True"),
        ):
            config.write_text(text)
            assert problem in refused(f"--checkpoint={prefix}", f"--encoder_config={config}")

    def test_truncated_data(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path / "checkpoint")
        data = prefix.with_name(prefix.name + ".data-00000-of-00001")
        data.write_bytes(data.read_bytes()[:-100])
        message = refused(f"--checkpoint={prefix}")
        assert "the checkpoint is cut short" in message and data.name in message

    def test_flipped_bit(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path / "checkpoint")
        data = prefix.with_name(prefix.name + ".data-00000-of-00001")
        content = bytearray(data.read_bytes())
        content[1000] ^= 4
        data.write_bytes(content)
        message = refused(f"--checkpoint={prefix}")
        assert "the checkpoint is damaged: the checksum of bert/" in message

    def test_truncated_index(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        index = prefix.with_name(prefix.name + ".index")
        index.write_bytes(index.read_bytes()[:-9])
        assert "not an intact TensorFlow checkpoint index" in refused(f"--checkpoint={prefix}")

    def test_unreadable(self, refused, tmp_path):
        """A directory is where a file should be: nobody, root included, reads it."""
        prefix = tiny.write_checkpoint(tmp_path)
        config = tmp_path / "bert_config.json"
        config.unlink()
        config.mkdir()
        message = refused(f"--checkpoint={prefix}", f"--bert_config={config}")
        assert "the configuration cannot be read" in message and str(config) in message
        config.rmdir()
        index = prefix.with_name(prefix.name + ".index")
        index.unlink()
        index.mkdir()
        assert "there is no checkpoint" in refused(f"--checkpoint={prefix}")

    def test_data_file_missing(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        prefix.with_name(prefix.name + ".data-00000-of-00001").unlink()
        message = refused(f"--checkpoint={prefix}")
        assert (
            "not complete" in message
            and "not there: bert_model.ckpt.data-00000-of-00001" in message
        )

    def test_pickle_that_runs_code(self, refused, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (Path.write_text, (tmp_path / "ran", "it ran"))

        (tmp_path / "config.json").write_text(json.dumps({**tiny.CONFIG, "model_type": "bert"}))
        with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"weight": Bomb()}, protocol=2))
            archive.writestr("archive/version", "3\n")
        message = refused(f"--checkpoint={tmp_path}")
        assert "nothing of it was" in message or "not executed" in message
        assert not (tmp_path / "ran").exists()

    def test_archive_with_a_path_outside(self, refused, tmp_path):
        with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo("../escaped.txt")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"text"))
        assert "../escaped.txt" in refused(f"--checkpoint={tmp_path / 'model.tar.gz'}")
        assert not (tmp_path.parent / "escaped.txt").exists()


class TestArguments:
    def test_both_configurations(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        config = tmp_path / "bert_config.json"
        refused(
            f"--checkpoint={prefix}",
            f"--bert_config={config}",
            f"--encoder_config={config}",
            exit_code=2,
        )

    def test_unknown_family(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        message = refused(f"--checkpoint={prefix}", "--family=brt", exit_code=2)
        assert "families: bert, distilbert, gpt, gpt2, lambert, roberta, talking_heads" in message

    def test_family_of_another_layout(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        message = refused(f"--checkpoint={prefix}", "--family=talking_heads", exit_code=2)
        assert "'talking_heads' is not known in this checkpoint layout" in message

    @pytest.mark.parametrize(
        "override",
        [
            "layer_norm_eps=-1", "layer_norm_eps=nan", "hidden_dropout_prob=1.5",
            "attention_probs_dropout_prob=1", "max_position_embeddings=0",
        ],
    )  # fmt: skip
    def test_values_that_no_model_has(self, refused, tmp_path, override):
        prefix = tiny.write_checkpoint(tmp_path)
        message = refused(f"--checkpoint={prefix}", f"--{override}", exit_code=2)
        assert override.split("=")[0] in message

    @pytest.mark.parametrize("dtype", ["float64", "half", None, np.dtype("float16")])
    def test_dtypes_that_no_network_computes_in(self, tmp_path, dtype):
        """From Python: an object that equals the name of a dtype would not fit into the record."""
        prefix = tiny.write_checkpoint(tmp_path)
        with pytest.raises(UsageError) as error:
            export_encoder(checkpoint=prefix, export_path=tmp_path / "out", dtype=dtype)
        assert f"dtype {dtype!r}; float32, bfloat16, float16" in str(error.value)

    def test_casing_of_no_vocabulary(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        assert "--do_lower_case" in refused(
            f"--checkpoint={prefix}", "--do_lower_case", exit_code=2
        )

    def test_time_that_is_none(self, refused, tmp_path, monkeypatch):
        prefix = tiny.write_checkpoint(tmp_path)
        for value in ("yesterday", "-99999999999999"):
            monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
            assert value in refused(f"--checkpoint={prefix}", exit_code=2)

    def test_more_positions_than_trained(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        message = refused(f"--checkpoint={prefix}", "--max_position_embeddings=25")
        assert "asked for: 25" in message and "trained: 24" in message

    def test_vocabulary_larger_than_the_model(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        vocabulary = tiny.write_vocabulary(tmp_path / "vocab.txt", 51)
        message = refused(f"--checkpoint={prefix}", f"--vocab_file={vocabulary}", "--do_lower_case")
        assert "51 pieces" in message and "vocab_size 50" in message

    def test_casing_without_evidence(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        vocabulary = tiny.write_vocabulary(tmp_path / "uncased_vocab.txt")
        message = refused(f"--checkpoint={prefix}", f"--vocab_file={vocabulary}", exit_code=2)
        assert "--nodo_lower_case" in message

    @pytest.mark.parametrize(
        "argument", ["--pooler=max", "--dtype=float64", "--nonsense", "--heads"]
    )
    def test_argparse_says_what_it_wants(self, argument, capsys):
        with pytest.raises(SystemExit) as exit_:
            cli.run(["encoder", "--checkpoint=x", "--export_path=y", argument])
        assert exit_.value.code == 2
        assert "usage: hubexport encoder" in capsys.readouterr().err


class TestTarget:
    def test_not_empty(self, refused, tmp_path):
        (tmp_path / "target" / "mine").write_text("precious")
        message = refused(f"--checkpoint={tiny.write_checkpoint(tmp_path)}", export_path="target")
        assert "not empty" in message and "mine" in message and "--overwrite" in message

    def test_a_file(self, refused, tmp_path):
        (tmp_path / "file").write_text("")
        message = refused(f"--checkpoint={tiny.write_checkpoint(tmp_path)}", export_path="file")
        assert "not a directory" in message

    @pytest.mark.parametrize("export_path", ["", "checkpoint", "checkpoint/"])
    def test_sources_are_not_replaced(self, refused, tmp_path, export_path):
        prefix = tiny.write_checkpoint(tmp_path / "checkpoint")
        message = refused(f"--checkpoint={prefix}", "--overwrite", export_path=export_path)
        assert "holds what the artifact is made from" in message
        assert "bert_model.ckpt" in message

    def test_links_to_sources_are_sources(self, refused, tmp_path):
        """A download cache: names in one directory, linked to contents in another."""
        prefix = tiny.write_checkpoint(tmp_path / "blobs")
        (tmp_path / "names").mkdir()
        for path in sorted((tmp_path / "blobs").iterdir()):
            (tmp_path / "names" / path.name).symlink_to(path)
        linked = tmp_path / "names" / prefix.name
        for export_path in ("names", "blobs"):
            message = refused(f"--checkpoint={linked}", "--overwrite", export_path=export_path)
            assert "holds what the artifact is made from" in message

    def test_current_directory(self, tmp_path, monkeypatch, capsys):
        prefix = tiny.write_checkpoint(tmp_path / "checkpoint")
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        for path in (".", "../here", "../here/x/.."):
            assert cli.run(["encoder", f"--checkpoint={prefix}", f"--export_path={path}"]) == 1
            assert "current directory" in capsys.readouterr().err

    def test_dry_run_finds_what_a_run_would(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        (tmp_path / "file").write_text("")
        assert "cannot be written" in refused(
            f"--checkpoint={prefix}", "--dry_run", export_path="file/below"
        )

    def test_no_room(self, refused, tmp_path, monkeypatch):
        usage = type("Usage", (), {"free": 1000, "total": 10**9})
        monkeypatch.setattr("hubexport.saved_model.target.shutil.disk_usage", lambda path: usage)
        assert "not enough room" in refused(f"--checkpoint={tiny.write_checkpoint(tmp_path)}")

    def test_cannot_be_written(self, refused, tmp_path):
        prefix = tiny.write_checkpoint(tmp_path)
        # Nobody, root included, makes directories below /proc.
        message = refused(f"--checkpoint={prefix}", export_path="/proc/hubexport/out")
        assert "cannot be written" in message


def test_full_disk_leaves_nothing_and_the_old_artifact(tmp_path):
    """A limit on file sizes stops the writing of the weights, as a full disk would."""
    config = {**tiny.CONFIG, "vocab_size": 200_000}
    prefix = tiny.write_checkpoint(tmp_path / "checkpoint", config, heads=False)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20,) * 2)\n"
        "from hubexport import cli; cli.main()"
    )
    old = tmp_path / "out"
    old.mkdir()
    (old / "saved_model.pb").write_text("the old one")
    before = files_below(tmp_path)
    process = forks.run(
        code, "encoder", f"--checkpoint={prefix}", f"--export_path={old}", "--overwrite"
    )
    assert process.returncode == 1, process.stderr
    assert "the artifact cannot be written" in process.stderr
    assert files_below(tmp_path) == before
    assert (old / "saved_model.pb").read_text() == "the old one"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_leaves_nothing(tmp_path, number):
    """Interrupted while weights stream, which the test makes stall after the first piece."""
    prefix = tiny.write_checkpoint(tmp_path / "checkpoint", heads=False)
    data = prefix.with_name(prefix.name + ".data-00000-of-00001")
    content = data.read_bytes()
    before = files_below(tmp_path)
    code = (
        "import hubexport.saved_model.weights as weights, time\n"
        "fill = weights.fill_variables\n"
        "def stalled(directory, values, progress):\n"
        "    def advance(count):\n"
        "        print('streaming', flush=True); time.sleep(60)\n"
        "    fill(directory, values, advance)\n"
        "weights.fill_variables = stalled\n"
        "from hubexport import cli; cli.main()\n"
    )
    process = forks.start(
        code, "encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path / 'out'}"
    )
    process.wait_for("streaming\n")
    assert any(name.endswith(".partial") for name in os.listdir(tmp_path))
    os.kill(process.pid, number)
    assert process.wait() == 130, process.stderr
    assert "interrupted; nothing half-written is left" in process.stderr
    assert files_below(tmp_path) == before
    assert data.read_bytes() == content


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports once as a program, with a vocabulary; gives directory and output."""
    directory = tmp_path_factory.mktemp("exported")
    prefix = tiny.write_checkpoint(directory / "checkpoint")
    tiny.write_vocabulary(directory / "vocab.txt")
    arguments = [
        "--checkpoint=checkpoint/bert_model.ckpt", "--vocab_file=vocab.txt", "--do_lower_case",
    ]  # fmt: skip
    environment = {"SOURCE_DATE_EPOCH": "1700000000"}
    outputs = []
    for name in ("one", "two"):
        process = forks.hubexport(
            "encoder", *arguments, f"--export_path={name}",
            directory=directory, environment=environment,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        outputs.append(process)
    return directory, outputs[0], prefix


def test_summary(exported):
    _, process, _ = exported
    for part in (
        "encoder      one",
        "family       bert (a configuration of google-research/bert's form)",
        "L=2 H=16 A=2, gelu_tanh, epsilon 1e-12, 24 positions",
        ".mlm (354 parameters), .nsp (34 parameters)",
        "pooler       checkpoint",
        "peak memory",
    ):
        assert part in process.stdout
    assert "MiB" in process.stdout
    assert "%|" not in process.stderr  # no progress bar where there is no terminal


def test_progress_bar_on_a_terminal(exported, tmp_path):
    """Weights are counted on stderr where that is a terminal; stdout stays clean."""
    _, _, prefix = exported
    terminal, stderr = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = forks.start(
        "hubexport", "encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path}/out",
        stderr=os.ttyname(stderr),
    )  # fmt: skip
    assert process.wait() == 0
    os.close(stderr)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says at its end
        while piece := os.read(terminal, 4096):
            shown += piece
    assert b"weights:" in shown and b"%|" in shown
    assert "weights:" not in process.stdout


def test_exports_are_reproducible(exported):
    """Everything, the record with its pinned time included, is the same byte for byte."""
    directory, _, _ = exported
    names = files_below(directory / "one")
    assert names == files_below(directory / "two")
    for name in names:
        if (directory / "one" / name).is_file():
            assert (directory / "one" / name).read_bytes() == (
                directory / "two" / name
            ).read_bytes()


def test_record(exported):
    directory, _, prefix = exported
    record = load_record(directory / "one")
    assert record["created"] == "2023-11-14T22:13:20Z"
    assert record["command"] == [
        "hubexport", "encoder", "--checkpoint=bert_model.ckpt", "--heads=auto",
        "--vocab_file=vocab.txt", "--do_lower_case", "--dtype=float32",
        "--variable_dtype=float32",
        "--padding=compute",
    ]  # fmt: skip
    assert [file["name"] for file in record["checkpoint"]["files"]] == [
        prefix.name + ".index",
        prefix.name + ".data-00000-of-00001",
    ]
    variables = {row["variable"]: row for row in record["tensors"]}
    assert len(variables) == len(tiny.tensor_shapes(tiny.CONFIG))
    assert variables["pooler/dense/kernel"] == {
        "variable": "pooler/dense/kernel",
        "shape": [16, 16],
        "tensor": "bert/pooler/dense/kernel",
        "dtype": "float32",
        "transform": "as is",
    }
    assert record["architecture"]["hidden_act"] == "gelu_tanh"
    assert record["pooler"]["trained"] is True
    program = (directory / "one" / "saved_model.pb").read_bytes()
    assert record["saved_model"]["program"]["sha256"] == hashlib.sha256(program).hexdigest()
    assert record["tokenizer"]["do_lower_case_reason"] == "--do_lower_case"


def test_dtype(exported, tmp_path, capsys):
    directory, _, prefix = exported
    command = ["encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path}/out"]
    assert cli.run([*command, "--dtype=bfloat16"]) == 0
    assert "24 positions, computes in bfloat16" in capsys.readouterr().out
    record, float32 = load_record(tmp_path / "out"), load_record(directory / "one")
    assert record["architecture"].pop("dtype") == "bfloat16"
    assert float32["architecture"].pop("dtype") == "float32"
    assert record["architecture"] == float32["architecture"]
    assert record["overrides"] == {}
    assert {"--dtype=bfloat16", "--variable_dtype=float32"} < set(record["command"])
    assert record["tensors"] == float32["tensors"]


def test_overwrite_replaces_everything(exported, tmp_path):
    _, _, prefix = exported
    target = tmp_path / "out"
    (target / "assets").mkdir(parents=True)
    (target / "assets" / "stale.txt").write_text("of an earlier artifact")
    command = ["encoder", f"--checkpoint={prefix}", f"--export_path={target}", "--overwrite"]
    assert cli.run([*command, "--heads=none"]) == 0
    assert not (target / "assets" / "stale.txt").exists()
    assert (target / "saved_model.pb").is_file()
    assert os.listdir(tmp_path) == ["out"]
    assert load_record(target)["skipped_tensors"].keys() == {"head: mlm", "head: nsp"}


def test_dry_run_writes_nothing(exported, tmp_path, capsys):
    _, _, prefix = exported
    assert cli.run(["encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path}/out",
                    "--dry_run"]) == 0  # fmt: skip
    assert os.listdir(tmp_path) == []
    assert "nothing written (--dry_run)" in capsys.readouterr().out


def test_dry_run_reads_every_weight(tmp_path, capsys):
    prefix = tiny.write_checkpoint(tmp_path)
    data = prefix.with_name(prefix.name + ".data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[500] ^= 1
    data.write_bytes(content)
    command = ["encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path}/out", "--dry_run"]
    assert cli.run(command) == 1
    assert "damaged" in capsys.readouterr().err


def test_two_exports_to_one_path(exported, tmp_path, monkeypatch):
    """What another program wrote while this one worked is not replaced unasked."""
    _, _, prefix = exported
    import hubexport.saved_model.finish as finish

    finished = finish.finish

    def other_program(directory):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "saved_model.pb").write_text("the other's")
        finished(directory)

    monkeypatch.setattr(finish, "finish", other_program)
    assert cli.run(["encoder", f"--checkpoint={prefix}", f"--export_path={tmp_path}/out"]) == 1
    assert (tmp_path / "out" / "saved_model.pb").read_text() == "the other's"
    assert os.listdir(tmp_path) == ["out"]


def test_ignored_hangups_stay_ignored(tmp_path):
    """As nohup arranges it."""
    code = (
        "import signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from hubexport import cli\ncli.run(['inspect', sys.argv[1]])\n"
        "print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    )
    command = [sys.executable, "-c", code, str(tiny.write_checkpoint(tmp_path))]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.endswith("True\n")


def test_flagfile(refused, tmp_path):
    flags = tmp_path / "flags.txt"
    flags.write_text("--checkpoint=/nowhere/model.ckpt\n--heads=none\n")
    assert "/nowhere/model.ckpt" in refused(f"--flagfile={flags}")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["encoder", "--help"], ["encoder", "--checkpoint=/nowhere", "--export_path=out"]],
)
def test_no_tensorflow_for_help_and_argument_errors(arguments, tmp_path):
    code = (
        "import sys\n"
        "from hubexport import cli\n"
        "try:\n    cli.run(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('tensorflow' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path,
        check=True,
    )  # fmt: skip
    assert process.stdout.splitlines()[-1] == "False"
