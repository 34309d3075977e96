from __future__ import annotations

import pytest

from hubexport.cards.lint import check_instance_metadata, check_model_metadata, kaggle
from hubexport.cards.lint.findings import load_list
from tests.cards.lint.material import INSTANCE, MODEL, as_json, line_of

BASE = "google/bert/tensorFlow2/en-uncased"

# Rule, which file, the values that are changed (None: taken out), and the key that is found.
BREAKS = [
    ("kaggle-missing", MODEL, {"isPrivate": None}, None),
    ("kaggle-missing", MODEL, {"title": ""}, "title"),
    ("kaggle-missing", INSTANCE, {"licenseName": None}, None),
    ("kaggle-missing", INSTANCE, {"framework": ""}, "framework"),
    ("kaggle-unknown-key", MODEL, {"subTitle": "x"}, "subTitle"),
    ("kaggle-unknown-key", INSTANCE, {"license": "MIT"}, "license"),
    ("kaggle-type", MODEL, {"isPrivate": "true"}, "isPrivate"),
    ("kaggle-type", MODEL, {"slug": 7}, "slug"),
    ("kaggle-type", INSTANCE, {"fineTunable": "yes"}, "fineTunable"),
    ("kaggle-type", INSTANCE, {"trainingData": "Wikipedia"}, "trainingData"),
    ("kaggle-type", INSTANCE, {"trainingData": ["Wikipedia", 1]}, "trainingData"),
    ("kaggle-type", INSTANCE, {"id": True}, "id"),
    ("kaggle-placeholder", MODEL, {"slug": "INSERT_SLUG_HERE"}, "slug"),
    ("kaggle-placeholder", INSTANCE, {"framework": "INSERT_FRAMEWORK_HERE"}, "framework"),
    ("kaggle-slug", MODEL, {"slug": "BERT_tiny"}, "slug"),
    ("kaggle-slug", MODEL, {"slug": "bert_tiny"}, "slug"),
    ("kaggle-slug", MODEL, {"ownerSlug": "-lab"}, "ownerSlug"),
    ("kaggle-slug", INSTANCE, {"modelSlug": "bert--tiny"}, "modelSlug"),
    ("kaggle-slug", INSTANCE, {"instanceSlug": "L-2/H-128"}, "instanceSlug"),
    ("kaggle-slug", INSTANCE, {"instanceSlug": "en\n"}, "instanceSlug"),
    ("kaggle-slug-length", MODEL, {"slug": "bert-" * 10 + "tiny"}, "slug"),
    ("kaggle-title", MODEL, {"title": "BERT "}, "title"),
    ("kaggle-date", MODEL, {"publishTime": "2023-02-29"}, "publishTime"),
    ("kaggle-date", MODEL, {"publishTime": "1 March 2023"}, "publishTime"),
    ("kaggle-framework", INSTANCE, {"framework": "tensorflow"}, "framework"),
    ("kaggle-framework", INSTANCE, {"framework": "unspecified"}, "framework"),
    ("kaggle-instance-type", INSTANCE, {"modelInstanceType": "Variant"}, "modelInstanceType"),
    ("kaggle-license", INSTANCE, {"licenseName": "Apache-2.0"}, "licenseName"),
    ("kaggle-license", INSTANCE, {"licenseName": "mit"}, "licenseName"),
    ("kaggle-base-model", INSTANCE, {"externalBaseModelUrl": "bert"}, "externalBaseModelUrl"),
    ("kaggle-base-model", INSTANCE, {"externalBaseModelUrl": "https://[x"}, "externalBaseModelUrl"),
    ("kaggle-base-model", INSTANCE, {"externalBaseModelUrl": ""}, "externalBaseModelUrl"),
    ("kaggle-base-model", INSTANCE, {"modelInstanceType": "KaggleVariant"}, "baseModelInstance"),
    ("kaggle-base-model", INSTANCE, {"baseModelInstance": "google/bert/en"}, "baseModelInstance"),
    ("kaggle-base-model", INSTANCE, {"baseModelInstance": f"{BASE}/3"}, "baseModelInstance"),
    ("kaggle-base-model", INSTANCE, {"baseModelInstance": "a/b/theano/c"}, "baseModelInstance"),
    ("kaggle-variable", INSTANCE, {"usage": "load('${MODEL_PATH}')"}, "usage"),
    ("kaggle-variable", INSTANCE, {"usage": "load('${path}')"}, "usage"),
    ("kaggle-variable-place", INSTANCE, {"overview": "Version ${VERSION_NUMBER}"}, "overview"),
    ("kaggle-variable-place", MODEL, {"description": "See ${URL}."}, "description"),
    ("kaggle-escaped", INSTANCE, {"usage": "def f(x) -> int: ..."}, "usage"),
    ("kaggle-escaped", MODEL, {"description": "R&D"}, "description"),
]


@pytest.mark.parametrize(
    ("check", "values"), [(check_model_metadata, MODEL), (check_instance_metadata, INSTANCE)]
)
def test_metadata_without_faults_have_no_findings(check, values):
    assert check(values) == []
    assert check(values, as_json(values)) == []


@pytest.mark.parametrize(
    ("rule", "good", "changes", "key"),
    BREAKS,
    ids=[f"{index}-{entry[0]}" for index, entry in enumerate(BREAKS)],
)
def test_metadata_that_break_one_rule_are_found(rule, good, changes, key):
    values = {name: value for name, value in {**good, **changes}.items() if value is not None}
    check = check_model_metadata if good is MODEL else check_instance_metadata
    text = as_json(values)
    findings = check(values, text)
    line = line_of(text, f'"{key}":') if key else 1
    assert [(found.rule, found.line) for found in findings] == [(rule, line)]
    assert [(found.rule, found.line) for found in check(values)] == [(rule, 0)]


def test_every_rule_has_metadata_that_break_it():
    assert set(kaggle.RULES) == {entry[0] for entry in BREAKS} | {"kaggle-not-an-object"}


@pytest.mark.parametrize("values", [None, [], "text", 3, [MODEL]])
def test_what_is_no_object_is_found(values):
    for check in (check_model_metadata, check_instance_metadata):
        assert [found.rule for found in check(values)] == ["kaggle-not-an-object"]


def test_an_empty_object_lacks_every_required_key():
    found = check_instance_metadata({}, "{}")
    assert [finding.message.split()[0] for finding in found] == sorted(kaggle.INSTANCE_REQUIRED)


@pytest.mark.parametrize(
    "name", ["tensorFlow2", "TensorFlow2", "TENSOR_FLOW_2", "tensorflow2", "scikitLearn", "vllm"]
)
def test_frameworks_are_read_as_kaggles_program_reads_them(name):
    assert check_instance_metadata({**INSTANCE, "framework": name}) == []


def test_names_are_those_of_kaggles_enums():
    enums = pytest.importorskip("kagglesdk.models.types.model_enums")
    members = {member.name for member in enums.ModelFramework} - {"MODEL_FRAMEWORK_UNSPECIFIED"}
    for member in members:
        assert check_instance_metadata({**INSTANCE, "framework": member[16:].lower()}) == []
    known = load_list("kaggle")
    assert len(known["frameworks"]) == len(members)
    kinds = [member.name[20:] for member in enums.ModelInstanceType]
    assert [name.upper() for name in known["instance_types"]] == [
        kind.replace("_", "") for kind in kinds
    ]


def test_a_variant_on_kaggle_names_the_instance_that_it_is_of():
    values = {**INSTANCE, "modelInstanceType": "KaggleVariant", "externalBaseModelUrl": ""}
    assert check_instance_metadata({**values, "baseModelInstance": BASE}) == []


def test_lines_are_those_of_the_file_whatever_its_layout():
    values = {**MODEL, "slug": "A b"}
    text = as_json(values).replace('"slug":', '\n\n  "slug"\n:')
    (found,) = check_model_metadata(values, text)
    assert text.split("\n")[found.line - 1].startswith('  "slug"')
    assert found.suggestion == "a-b"
