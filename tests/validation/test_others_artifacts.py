"""Artifacts of others, which have no record: right ones pass, and faults in them are found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hubexport import cli
from hubexport.errors import HubexportError
from hubexport.saved_model.identity import artifact_identity
from hubexport.validation.report import read_report
from tests import tiny
from tests.artifacts import make_reference
from tests.validation.clean import EVERY, TRAINED, assert_clean, compared
from tests.validation.faults import FAST, failing, failures, validated

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]

POOLED = ("pooled_output", "default")


@pytest.fixture(scope="module")
def garden() -> Any:
    """`tests.oracles.model_garden`, imported when needed."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from tests.oracles import model_garden

    return model_garden


@dataclasses.dataclass(frozen=True)
class Garden:
    """A checkpoint of a pre-training model, what it gives, and what it was made of."""

    sizes: Any
    prefix: str
    reference: Path
    configuration: dict[str, Path]

    def export(self, target: Path, **options: Any) -> Path:
        """By tf-models-official's own exporter; `options` of its `export_model`."""
        import yaml
        from official.legacy.bert import configs
        from official.nlp.configs import encoders
        from official.nlp.tools import export_tfhub_lib

        if "bert_config" in self.configuration:
            path = str(self.configuration["bert_config"])
            options["bert_config"] = configs.BertConfig.from_json_file(path)
        else:
            config = encoders.EncoderConfig(type="bert_v2")
            path = self.configuration["encoder_config"]
            config.bert_v2.override(yaml.safe_load(path.read_text())["bert_v2"])
            options["encoder_config"] = config
        vocab_file = tiny.write_vocabulary(target.parent / "vocab.txt", self.sizes.vocab_size)
        export_tfhub_lib.export_model(
            str(target),
            model_checkpoint_path=self.prefix,
            with_mlm=True,
            vocab_file=str(vocab_file),
            do_lower_case=True,
            **options,
        )
        return target


def trained(garden: Any, encoder: str, configuration: str, directory: Path, seed: int) -> Garden:
    """A `BertPretrainerV2` with a next-sentence head, of random weights."""
    import tensorflow as tf

    sizes = garden.Sizes()
    model = garden.pretrainer(sizes, garden.ENCODERS[encoder](sizes), next_sentence=True)
    garden.randomize(model.variables, seed)
    prefix = tf.train.Checkpoint(**model.checkpoint_items).save(str(directory / "ckpt"))
    files = garden.write_configuration(configuration, sizes, directory)
    reference = directory / "reference"
    make_reference(source="model_garden", checkpoint=prefix, output=reference, **files)
    return Garden(sizes, prefix, reference, files)


@pytest.fixture(scope="module")
def v2(garden: Any, tmp_path_factory: pytest.TempPathFactory) -> Garden:
    return trained(garden, "v2", "bert_v2.yaml", tmp_path_factory.mktemp("v2"), seed=5)


@pytest.fixture(scope="module")
def functional(garden: Any, tmp_path_factory: pytest.TempPathFactory) -> Garden:
    return trained(
        garden, "functional", "bert_config.json", tmp_path_factory.mktemp("functional"), seed=6
    )


@pytest.mark.parametrize("gates", [
    FAST, pytest.param(EVERY, marks=pytest.mark.exhaustive)
], ids=["fast", "every"])  # fmt: skip
def test_the_garden_s_own_exporter(gates: tuple[str, ...], v2: Garden, tmp_path: Path) -> None:
    artifact = v2.export(tmp_path / "encoder")
    assert_clean(artifact, v2.reference, (*POOLED, "mlm_logits"), gates)


@pytest.mark.exhaustive
def test_its_functional_encoder_and_another_model_s_reference(
    v2: Garden, functional: Garden, tmp_path: Path
) -> None:
    """Equal sizes and other weights. Nothing says so beforehand: there is no record."""
    artifact = functional.export(tmp_path / "encoder")
    assert_clean(artifact, functional.reference, (*POOLED, "mlm_logits"))
    report = validated(artifact, v2.reference)
    assert failing(report) == {"numerics"}
    assert "first layer to diverge is encoder_outputs[0] of 2" in failures(report, "numerics")


@pytest.mark.exhaustive
def test_the_other_pooler(v2: Garden, tmp_path: Path) -> None:
    """Without a record `pooled_output` is taken for the encoder's own: the report says so."""
    artifact = v2.export(tmp_path / "encoder", copy_pooler_dense_to_encoder=True)
    report = validated(artifact, v2.reference)
    assert failing(report) == {"numerics"}
    said = failures(report, "numerics")
    assert "All layers agree; default, pooled_output" in said
    assert "another pooler" in said


@dataclasses.dataclass(frozen=True)
class Written:
    """A google-research/bert checkpoint, and what Model Garden makes of it."""

    values: dict[str, Any]
    reference: Path


@pytest.fixture(scope="module")
def written(garden: Any, tmp_path_factory: pytest.TempPathFactory) -> Written:
    directory = tmp_path_factory.mktemp("written")
    prefix = tiny.write_checkpoint(directory, heads=False)
    make_reference(source="model_garden", checkpoint=prefix, output=directory / "reference")
    return Written(tiny.tensors(heads=False), directory / "reference")


@pytest.fixture(scope="module")
def by_hand(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.validation import by_hand

    return by_hand.save(written.values, tmp_path_factory.mktemp("by_hand") / "encoder")


def test_by_hand(by_hand: Path, written: Written) -> None:
    assert_clean(by_hand, written.reference, POOLED, TRAINED)


def test_by_hand_of_sizes_that_nothing_tells(by_hand: Path) -> None:
    """Its variables are called otherwise, and there is no reference."""
    with pytest.raises(HubexportError, match=r"sizes of the model are not known(.|\n)*--reference"):
        validated(by_hand, None)


FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...], set[str], str]] = {
    "no default": (
        {"without": "default"}, FAST, {"interface", "numerics"}, "outputs"
    ),
    "no encoder_outputs": (
        {"without": "encoder_outputs"}, FAST, {"interface", "numerics"}, "encoder_outputs"
    ),
    "no training": (
        {"without": "training"}, (*FAST, "training"), {"interface", "training"},
        "root takes `training`",
    ),
    "no variables": ({"without": "variables"}, FAST, {"interface"}, "root.variables"),
    "int64": (
        {"dtype": "int64"}, FAST, {"interface", "numerics", "batch", "determinism"}, "outputs"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_by_hand(fault: str, written: Written, tmp_path: Path) -> None:
    from tests.validation import by_hand

    options, gates, expected, said = FAULTS[fault]
    artifact = by_hand.save(written.values, tmp_path / "encoder", **options)
    report = validated(artifact, written.reference, gates)
    assert failing(report) == expected
    assert said in failures(report, "interface")


def test_the_command(
    by_hand: Path,
    written: Written,
    tmp_path: Path,
    gates_here: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit status 0 where all passed, 1 where a gate failed; the report says the same."""
    from tests.validation import by_hand as module

    other = {name: 1.01 * value for name, value in written.values.items()}
    wrong = module.save(other, tmp_path / "wrong")
    for artifact, status in ((by_hand, 0), (wrong, 1)):
        path = tmp_path / f"{status}.json"
        command = ["validate", f"--saved_model={artifact}", f"--reference={written.reference}"]
        assert cli.run([*command, f"--report={path}", f"--gates={','.join(FAST)}"]) == status
        report = read_report(path)
        assert report.passed == (status == 0)
        assert failing(report) == (set() if report.passed else {"numerics"})
        assert compared(report) >= {"sequence_output", *POOLED}
        assert "numerics" in capsys.readouterr().out
        assert report.artifact == artifact_identity(artifact)
