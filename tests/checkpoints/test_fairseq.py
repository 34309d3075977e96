"""fairseq's files: the weights are torch's own, the settings plain values, and nothing runs."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import shutil
import subprocess
import sys
import tracemalloc
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hubexport.checkpoints import fairseq
from hubexport.checkpoints.opening import open_checkpoint, unpacked
from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.torch_pickle import open_torch
from hubexport.errors import CheckpointError, UnsafeCheckpointError
from hubexport.inspection.facts import facts_about
from hubexport.inspection.text import render
from tests.checkpoints.test_torch_pickle import (
    FORMATS,
    Runs,
    assert_equal,
    legacy_around,
    save,
    zip_around,
)

PLAIN = {
    "arch": "roberta_base",
    "encoder_layers": 2,
    "encoder_embed_dim": 8,
    "encoder_ffn_embed_dim": 20,
    "encoder_attention_heads": 2,
    "max_positions": 16,
    "activation_fn": "gelu",
    "dropout": 0.1,
    "clip_norm": float("inf"),
    "encoder_normalize_before": True,
    "classification_head_name": None,
    "big": 1 << 80,
    "lr": [0.0004, 1e-5],
    "adam_betas": (0.9, 0.98),
    "nothing": [],
    "nested": {"a": [1, {"b": None}], 3: "three", "none": ()},
    "schön": "日本",
}
KEPT = {
    **PLAIN,
    "inner": {"depth": 1, "more": {"x": [1]}},
    "table": {"y": 1},
    "half": {"x": 1},
}
"""What `arguments` says in plain values."""


def arguments() -> argparse.Namespace:
    return argparse.Namespace(
        **PLAIN,
        inner=argparse.Namespace(depth=1, more=argparse.Namespace(x=[1])),
        device=torch.device("cpu"),
        dtype=torch.float16,
        tensor=torch.ones(3),
        devices=[torch.device("cpu")],
        table={"tensor": torch.ones(1), "y": 1},
        half=argparse.Namespace(x=1, device=torch.device("cuda:0")),
    )


def weights(root: str = "decoder.") -> dict[str, torch.Tensor]:
    """A RoBERTa of one layer, as far as names matter, with a tied head."""
    torch.manual_seed(0)
    encoder = f"{root}sentence_encoder."
    state = {
        f"{encoder}version": torch.tensor([2.0]),
        f"{encoder}embed_positions._float_tensor": torch.zeros(1),
        f"{encoder}embed_tokens.weight": torch.randn(30, 8),
        f"{encoder}embed_positions.weight": torch.randn(18, 8),
        f"{encoder}layers.0.self_attn.in_proj_weight": torch.randn(24, 8),
        f"{encoder}layers.0.fc1.weight": torch.randn(20, 8),
        "classification_heads.mnli.out_proj.weight": torch.randn(3, 8),
    }
    state[f"{root}lm_head.weight"] = state[f"{encoder}embed_tokens.weight"]
    return state


def training(**values: object) -> dict[str, object]:
    """What fairseq's trainer saves."""
    return {
        "args": arguments(),
        "model": weights(),
        "optimizer_history": [{"criterion_name": "MaskedLmLoss", "num_updates": 7}],
        "task_state": {},
        "extra_state": {"epoch": 3, "train_iterator": {"shuffle": True}, "val_loss": 2.5},
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []},
        **values,
    }


def refused(value: object, path: Path, zipped: bool = True) -> UnsafeCheckpointError:
    with pytest.raises(UnsafeCheckpointError) as caught:
        open_torch(save(value, path, zipped))
    return caught.value


class TestFiles:
    @FORMATS
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_training_checkpoint(self, tmp_path, zipped, protocol):
        path = save(training(), tmp_path / "model.pt", zipped, pickle_protocol=protocol)
        source = open_torch(path)
        assert (source.layout, source.files) == ("fairseq", (path,))
        assert_equal(source, weights())
        assert source.settings == KEPT
        theirs = vars(torch.load(path, weights_only=False)["args"])
        for name in PLAIN:
            assert source.settings[name] == theirs[name]
            assert type(source.settings[name]) is type(theirs[name])

    @pytest.mark.parametrize("root", ["decoder.", "encoder.", "model.encoder."])
    def test_weights_alone(self, tmp_path, root):
        source = open_torch(save(weights(root), tmp_path / "x.pt"))
        assert (source.layout, source.settings) == ("fairseq", {})
        assert_equal(source, weights(root))

    def test_safetensors(self, tmp_path):
        state = {name: tensor.clone() for name, tensor in weights().items()}
        save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
        source = open_checkpoint(tmp_path)
        assert (source.layout, source.settings) == ("fairseq", {})

    @FORMATS
    def test_names_decide_not_arguments(self, tmp_path, zipped):
        """Other programs keep their arguments in the same way; what they mean is unknown here."""
        state = {"bert.encoder.layer.0.output.dense.weight": torch.ones(2, 2)}
        source = open_torch(save(training(model=state), tmp_path / "x.pt", zipped))
        assert (source.layout, source.settings) == ("hugging_face", {})
        assert_equal(source, state)

    @pytest.mark.parametrize(
        ("config", "settings"),
        [
            (None, {}),
            ({"model": arguments(), "task": {"_name": "masked_lm"}}, KEPT),
            ({"model": {**PLAIN, "_name": "roberta_base"}}, {**PLAIN, "_name": "roberta_base"}),
            ({"model": {"a": 1, 2: "no name"}}, {"a": 1}),
            (argparse.Namespace(model=arguments()), KEPT),
            ({"model": None}, {}),
            ({"model": "roberta_base"}, {}),
            ({"task": arguments()}, {}),
            (argparse.Namespace(), {}),
            ([arguments()], {}),
        ],
    )
    def test_configuration_of_newer_programs(self, tmp_path, config, settings):
        source = open_torch(save(training(args=None, cfg=config), tmp_path / "x.pt"))
        assert source.settings == settings

    def test_arguments_go_before_the_configuration(self, tmp_path):
        config = {"model": argparse.Namespace(arch="other")}
        source = open_torch(save(training(cfg=config), tmp_path / "x.pt"))
        assert source.settings["arch"] == "roberta_base"

    @pytest.mark.parametrize("value", [5, "text", [arguments()], torch.float16, torch.Size([1])])
    def test_arguments_that_are_none(self, tmp_path, value):
        source = open_torch(save(training(args=value), tmp_path / "x.pt"))
        assert (source.layout, source.settings) == ("fairseq", {})

    def test_arguments_kept_as_a_dict_too(self, tmp_path):
        """`vars(args)` is the dict that the Namespace itself has, and pickled once."""
        args = arguments()
        for value in ({"args": args, "hparams": vars(args)}, {"hparams": vars(args), "args": args}):
            source = open_torch(save({**value, "model": weights()}, tmp_path / "x.pt"))
            assert source.settings == KEPT

    def test_python_2(self, tmp_path):
        """Its names are byte strings; the class is called the same."""
        good = save({"args": 5, "model": weights()}, tmp_path / "x.pt", zipped=False).read_bytes()
        place = good.index(b"K\x05", good.index(b"args"))
        namespace = b"cargparse\nNamespace\n)\x81}(U\x04archU\x07robertaU\x01nK\x02ub"
        path = tmp_path / "y.pt"
        path.write_bytes(good[:place] + namespace + good[place + 2 :])
        source = open_torch(path)
        assert source.settings == {"arch": "roberta", "n": 2}
        assert_equal(source, weights())


class TestOpening:
    def test_directory(self, tmp_path):
        directory = tmp_path / "roberta.base"
        directory.mkdir()
        save(training(), directory / "model.pt", zipped=False)
        (directory / "dict.txt").write_text("13 850314647\n")
        (directory / "NOTE").touch()
        source = open_checkpoint(directory)
        assert (source.path, source.layout) == (directory / "model.pt", "fairseq")

    def test_archive(self, tmp_path):
        (tmp_path / "roberta.base").mkdir()
        save(training(), tmp_path / "roberta.base" / "model.pt", zipped=False)
        (tmp_path / "roberta.base" / "dict.txt").write_text("13 850314647\n")
        archive = shutil.make_archive(
            str(tmp_path / "roberta.base"), "gztar", tmp_path, "roberta.base"
        )
        with unpacked(Path(archive)) as directory:
            source = open_checkpoint(directory)
            assert (source.layout, source.settings) == ("fairseq", KEPT)
            assert_equal(source, weights())

    def test_several_tensorflow_checkpoints_are_still_too_many(self, tmp_path):
        save(training(), tmp_path / "model.pt")
        for name in ("a.index", "b.index"):
            (tmp_path / name).touch()
        with pytest.raises(CheckpointError, match="several checkpoints"):
            open_checkpoint(tmp_path)


class TestInspection:
    def facts(self, path: Path) -> tuple[dict[str, object], str]:
        facts = facts_about(path)
        return facts, render({**facts, "num_tensors": len(facts["tensors"])}, everything=True)

    def test_with_settings(self, tmp_path):
        facts, text = self.facts(save(training(), tmp_path / "model.pt", zipped=False))
        assert (facts["naming"], facts["layout"]) == ("fairseq", "fairseq layout")
        assert facts["configuration"] == "model.pt"
        sizes = facts["architecture"]
        assert (sizes["num_hidden_layers"], sizes["hidden_size"]) == (1, 8)
        assert (sizes["intermediate_size"], sizes["vocab_size"]) == (20, 30)
        assert facts["not_parameters"] == {"buffers": {"tensors": 2, "values": 2}}
        assert "configuration  model.pt, kept with the weights" in text

    def test_without(self, tmp_path):
        """A config.json beside them is of the model converted: not taken for fairseq's own."""
        (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
        facts, text = self.facts(save(weights(), tmp_path / "model.pt"))
        assert facts["configuration"] is facts["configuration_problem"] is None
        assert "no args of fairseq's with them" in text

    def test_no_layers(self, tmp_path):
        state = {"decoder.sentence_encoder.embed_tokens.weight": torch.ones(3, 2)}
        _, text = self.facts(save(state, tmp_path / "model.pt"))
        assert "a PyTorch state dict by fairseq's names" in text

    def test_nothing_heavy_is_imported(self, tmp_path):
        path = save(training(), tmp_path / "model.pt")
        program = (
            "import sys; from pathlib import Path; from hubexport.inspection.facts import *; "
            "facts_about(Path(sys.argv[1])); "
            "assert not {'torch', 'tensorflow', 'fairseq', 'omegaconf'} & set(sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class Touches(argparse.Namespace):
    """A Namespace whose unpickling runs a command."""

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class TestNothingRuns:
    @FORMATS
    @pytest.mark.parametrize("protocol", [2, 4])
    def test_functions_among_the_arguments(self, tmp_path, zipped, protocol):
        touched = tmp_path / "touched"
        attacks = [
            argparse.Namespace(a=Runs(os.system, f"touch {touched}")),
            argparse.Namespace(a=[{"b": argparse.Namespace(c=Runs(open, str(touched), "w"))}]),
            argparse.Namespace(__setstate__=Runs(exec, f"open({str(touched)!r}, 'w')")),
            Touches(path=touched),
            Runs(argparse.FileType("w"), str(touched)),
        ]
        for attack in attacks:
            for values in ({"args": attack}, {"args": None, "cfg": {"model": attack}}):
                path = save(training(**values), tmp_path / "x", zipped, pickle_protocol=protocol)
                with pytest.raises(UnsafeCheckpointError, match="nothing of it was imported or"):
                    open_torch(path)
            assert not touched.exists()
            torch.load(path, weights_only=False)
            assert touched.exists()  # the attack is a real one
            touched.unlink()

    @pytest.mark.parametrize(
        ("value", "name"),
        [
            (Path("x"), "pathlib."),
            (len, "len"),
            (argparse.ArgumentParser, "argparse.ArgumentParser"),
            (argparse.Namespace.__init__, "getattr"),
            ({1}, "set"),
            (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        ],
    )
    def test_other_globals_are_named(self, tmp_path, value, name):
        error = refused(training(args=argparse.Namespace(a=value)), tmp_path / "x")
        assert name in str(error)

    def test_a_global_among_the_values(self, tmp_path):
        """The class itself, not an object of it, is none of the plain values either."""
        args = argparse.Namespace(a=argparse.Namespace, b=1)
        assert open_torch(save(training(args=args), tmp_path / "x")).settings == {"b": 1}


class TestAdvice:
    """Files that need fairseq or omegaconf: what to save of them is said, and is read then."""

    def pickled(self, monkeypatch, path: Path, module: str, name: str, values: dict) -> str:
        """The refusal of a file with an object of a class that is made for the occasion."""
        made = types.ModuleType(module)
        setattr(made, name, type(name, (), {"__module__": module}))
        for i in range(module.count(".") + 1):
            parent = module.rsplit(".", i)[0]
            monkeypatch.setitem(sys.modules, parent, made if i == 0 else types.ModuleType(parent))
        thing = getattr(made, name)()
        value = {key: thing if item == "thing" else item for key, item in values.items()}
        return str(refused(training(**value), path))

    @FORMATS
    def test_omegaconf(self, tmp_path, monkeypatch, zipped):
        text = self.pickled(
            monkeypatch, tmp_path / "x", "omegaconf.dictconfig", "DictConfig",
            {"args": None, "cfg": "thing"},
        )  # fmt: skip
        assert "asks for: omegaconf.dictconfig.DictConfig (nothing of it was" in text
        assert "OmegaConf.to_container(state['cfg'], resolve=True, enum_to_str=True)" in text
        container = {"model": arguments(), "task": {"_name": "masked_lm", "seed": 1}}
        path = save({"cfg": container, "model": weights()}, tmp_path / "y", zipped)
        assert open_torch(path).settings == KEPT

    def test_fairseq(self, tmp_path, monkeypatch):
        text = self.pickled(
            monkeypatch, tmp_path / "x", "fairseq.meters", "AverageMeter", {"extra_state": "thing"}
        )
        assert "asks for: fairseq.meters.AverageMeter" in text
        assert "torch.save({'args': state['args'], 'model': state['model']}, path)" in text

    def test_others(self, tmp_path, monkeypatch):
        text = self.pickled(
            monkeypatch, tmp_path / "x", "fairseqs.own", "Thing", {"extra_state": "thing"}
        )
        assert "torch.save(model.state_dict(), path)" in text and "args" not in text


def around(args: bytes, path: Path, zipped: bool) -> Path:
    """A file of fairseq's with a pickle of the caller's as `args`: {"args": ..., "model": ...}."""
    data = b"\x80\x02}(X\x04\x00\x00\x00args" + args
    stored = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    stored += b"X\x03\x00\x00\x00cpuK\x01" + (b"tQ" if zipped else b"NtQ")
    name = b"decoder.sentence_encoder.embed_tokens.weight"
    data += b"X\x05\x00\x00\x00model}X" + len(name).to_bytes(4, "little") + name
    data += b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + b"K\x00K\x01\x85K\x01\x85\x89NtRsu."
    if zipped:
        return zip_around(path, data, {"0": bytes(4)})
    legacy_around(path, data)
    keys = pickle.dumps([], protocol=2)
    head = path.read_bytes().removesuffix(keys)
    path.write_bytes(head + pickle.dumps(["0"], protocol=2) + (1).to_bytes(8, "little") + bytes(4))
    return path


NAMESPACE = b"cargparse\nNamespace\n"
NEW = NAMESPACE + b")\x81"


@FORMATS
class TestBombs:
    """What is nested, repeated or shared without end costs bounded time and memory."""

    def test_the_file_around_is_good(self, tmp_path, zipped):
        source = open_torch(around(NEW + b"}X\x01\x00\x00\x00aK\x07sb", tmp_path / "x", zipped))
        assert (source.layout, source.settings) == ("fairseq", {"a": 7})
        assert source.tensors["decoder.sentence_encoder.embed_tokens.weight"].read() == [0]

    def bounded(self, args: bytes, path: Path, zipped: bool, most: int = 100 << 20) -> TensorSource:
        around(args, path, zipped)
        tracemalloc.start()
        try:
            return open_torch(path)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < most + 2 * len(args)

    def deep(self, count: int, opened: bytes, closed: bytes) -> bytes:
        return opened * count + b"N" + closed * count

    @pytest.mark.parametrize("count", [fairseq.MAX_DEPTH, fairseq.MAX_DEPTH + 1, 20_000])
    @pytest.mark.parametrize("kind", ["Namespace", "dict", "list", "tuple"])
    def test_depth(self, tmp_path, zipped, count, kind):
        opened, closed = {
            "Namespace": (NEW + b"}X\x01\x00\x00\x00a", b"sb"),
            "dict": (b"}X\x01\x00\x00\x00a", b"s"),
            "list": (b"]", b"a"),
            "tuple": (b"", b"\x85"),
        }[kind]
        inside = self.deep(count - 1, opened, closed)
        args = NEW + b"}X\x01\x00\x00\x00a" + inside + b"sb"
        if count <= fairseq.MAX_DEPTH:
            value = self.bounded(args, tmp_path / "x", zipped).settings
            for _ in range(count):
                value = value["a"] if isinstance(value, dict) else value[0]
            assert value is None
            return
        with pytest.raises(UnsafeCheckpointError, match=r"argparse\.Namespace with values nested"):
            self.bounded(args, tmp_path / "x", zipped)

    def test_depth_beside_the_arguments_is_left_alone(self, tmp_path, zipped):
        inside = self.deep(20_000, NEW + b"}X\x01\x00\x00\x00a", b"sb")
        args = NEW + b"X\x01\x00\x00\x00b" + inside
        assert self.bounded(args, tmp_path / "x", zipped).settings == {}

    def test_a_namespace_in_itself(self, tmp_path, zipped):
        args = NEW + b"q\x01}X\x01\x00\x00\x00ah\x01sb"
        with pytest.raises(UnsafeCheckpointError, match="nested more than"):
            self.bounded(args, tmp_path / "x", zipped)

    def test_each_list_twice_in_the_next(self, tmp_path, zipped):
        doubled = b"N" + b"q\x01h\x01\x86" * 12
        args = NEW + b"}X\x01\x00\x00\x00a](" + doubled + b"q\x02" + b"h\x02" * 20 + b"esb"
        with pytest.raises(UnsafeCheckpointError, match=r"more than 100,000 values"):
            self.bounded(args, tmp_path / "x", zipped)

    def test_one_state_for_many_objects(self, tmp_path, zipped):
        """Twenty thousand entries given to as many objects are not copied for each of them."""
        entries = b"".join(b"X\x05\x00\x00\x00" + f"{i:05}".encode() + b"N" for i in range(20_000))
        args = b"}q\x01(" + entries + b"u0](" + (NEW + b"h\x01b") * 20_000 + b"e"
        assert self.bounded(args, tmp_path / "x", zipped).settings == {}


def walk(value: object) -> Iterator[object]:
    """The values inside lists, tuples and dicts, and the dicts' keys."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from walk(item)
    else:
        yield value


@FORMATS
def test_fuzz(tmp_path, zipped):
    """Flipped bytes give tensors and plain values, or an error."""
    good = save(training(), tmp_path / "x", zipped, pickle_protocol=2).read_bytes()
    rng, path = random.Random(0), tmp_path / "y"
    start = good.index(b"argparse")
    for _ in range(400):
        damaged = bytearray(good)
        damaged[start - 20 + rng.randrange(900)] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            settings = open_torch(path).settings
        except CheckpointError:
            continue
        assert set(map(type, walk(settings))) <= {type(None), bool, int, float, str}
