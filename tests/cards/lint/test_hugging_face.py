from __future__ import annotations

import pytest

from hubexport.cards.lint import check_card, errors, hugging_face, model_index
from tests.cards.lint.material import CARD, line_of, replaced

METRICS = CARD[CARD.index("    metrics:\n    -") : CARD.index("    source:")]
END = CARD[: CARD.index("\n---\n")].count("\n") + 2  # the line that closes the YAML block

# Rule, what is replaced by what, and what is on the line that is found: text of the broken card, or
# a number.
BREAKS = [
    ("yaml-missing", CARD[: CARD.index("# bert")], "# bert-tiny\n", 1),
    ("yaml-not-first", "---\nlanguage", "# bert-tiny\n\n---\nlanguage", "---"),
    ("yaml-unclosed", "\n---\n\n# bert", "\n\n# bert", 1),
    ("yaml-syntax", "license: apache-2.0", "license: apache-2.0: 1", "license:"),
    ("yaml-syntax", "name: bert-tiny", "name: [bert-tiny", "results:"),
    ("yaml-syntax", "name: GLUE", "name: GL\x07UE", "GL"),
    ("yaml-syntax", "config: mrpc", "config: 2024-13-45", 1),
    ("yaml-not-a-mapping", CARD[4 : CARD.index("\n---\n")], "- en", 1),
    ("yaml-not-a-mapping", CARD[4 : CARD.index("\n---\n")], "", 1),
    ("yaml-duplicate-key", "tags:", "license: mit\ntags:", "license: mit"),
    ("card-key", "library_name", "library_version: 2\nlibrary_name", "library_version"),
    ("card-type", "- accuracy\n", "- 1\n", "metrics:"),
    ("card-type", "- deu", "- no", "language:"),
    ("card-type", "pipeline_tag: feature-extraction", "pipeline_tag: [fill-mask]", "pipeline_tag"),
    ("card-type", "tags:\n- sentence-similarity\n- tensorflow", "tags: tensorflow", "tags"),
    ("card-type", "metrics", "inference:\nmetrics", "inference"),
    ("card-recommended", "library_name: tf-keras\n", "", 1),
    ("card-recommended", "license: apache-2.0\n", "", 1),
    ("card-language", "- deu", "- german", "- german"),
    ("card-language", "- deu", "- zh-CN", "- zh-CN"),
    ("card-language", "- en\n", "- EN\n", "- EN"),
    ("card-license", "apache-2.0", "Apache-2.0", "Apache"),
    ("card-license", "apache-2.0", "[mit, gpl-2.0-or-later]", "[mit"),
    (
        "card-license-name",
        "license: apache-2.0",
        "license: apache-2.0\nlicense_name: x",
        "license_n",
    ),
    (
        "card-license-name",
        "license: apache-2.0",
        "license: other\nlicense_name: my-license",
        "license: other",
    ),
    (
        "card-license-name",
        "license: apache-2.0",
        "license: other\nlicense_name: my-license\nlicense_link: COPYING",
        "license_link",
    ),
    ("card-pipeline-tag", "feature-extraction", "text-embedding", "text-embedding"),
    ("card-repository", "- glue", "- nyu mll/glue", "nyu mll"),
    (
        "card-repository",
        "google-bert/bert-base-uncased",
        "https://huggingface.co/bert",
        "base_model",
    ),
    ("card-repository", "google-bert/bert-base-uncased", "google/bert--base", "base_model"),
    ("card-relation", "relation: finetune", "relation: fine-tune", "fine-tune"),
    ("card-relation", "base_model: google-bert/bert-base-uncased\n", "", "base_model_relation"),
    ("card-tags", "- tensorflow", "- sentence-similarity", 13),
    ("card-no-text", CARD[CARD.index("\n# bert") :], "\n \n", END),
    ("model-index-form", "- name: bert-tiny\n  results:", "  results:", "model-index:"),
    (
        "model-index-form",
        METRICS,
        "    metrics: []\n",
        "    metrics",
    ),
    ("model-index-missing", "      name: GLUE MRPC\n", "", "dataset:"),
    ("model-index-missing", "      value: 0.85\n", "", "- type: accuracy"),
    ("model-index-missing", "      url: https://example.org/results\n", "", "source:"),
    ("model-index-type", "type: text-classification", "type: 5", "type: 5"),
    ("model-index-key", "split: validation", "splits: validation", "splits"),
    ("model-index-value", "value: 0.85", "value: .nan", ".nan"),
    ("model-index-value", "value: 0.85", "value: [0.85]", "[0.85]"),
]


def test_a_card_without_faults_has_no_findings():
    assert check_card(CARD) == []
    assert check_card(CARD.replace("\n", "\r\n")) == []


@pytest.mark.parametrize(
    ("rule", "old", "new", "place"),
    BREAKS,
    ids=[f"{index}-{entry[0]}" for index, entry in enumerate(BREAKS)],
)
def test_a_card_that_breaks_one_rule_is_found(rule, old, new, place):
    text = replaced(CARD, old, new)
    expected = place if isinstance(place, int) else line_of(text, place)
    assert [(found.rule, found.line) for found in check_card(text)] == [(rule, expected)]


def test_every_rule_has_a_card_that_breaks_it():
    assert {*hugging_face.RULES, *model_index.RULES} == {entry[0] for entry in BREAKS}


def test_suggestions_name_what_was_probably_meant():
    meant = {
        ("- deu", "- no"): 'write "no" in quotes',
        ("- deu", "- zh-CN"): "language: zh, language_bcp47: zh-CN",
        ("apache-2.0", "Apache 2.0"): "did you mean 'apache-2.0'?",
        ("feature-extraction", "feature_extraction"): "did you mean 'feature-extraction'?",
        ("tags:", "eval_results: 1\ntags:"): "results are written under model-index",
    }
    for (old, new), suggestion in meant.items():
        (found,) = check_card(replaced(CARD, old, new))
        assert found.suggestion == suggestion


def test_keys_that_nobody_knows_are_noted_and_no_errors():
    findings = check_card(replaced(CARD, "tags:", "our_own: {a: 1}\ntags:"))
    assert [found.severity for found in findings] == ["note"]
    assert errors(findings) == []


def test_cards_of_huggingface_hub_are_taken():
    hub = pytest.importorskip("huggingface_hub")
    results = [
        hub.EvalResult(
            task_type="text-classification",
            dataset_type="nyu-mll/glue",
            dataset_name="GLUE",
            dataset_args={"language": "en"},
            metric_type=metric,
            metric_value=value,
            source_name="Measured",
            source_url="https://example.org",
        )
        for metric, value in (("accuracy", 0.5), ("f1", "0.4 ± 0.1"))
    ]
    data = hub.ModelCardData(
        language=["en", "no"],
        license="mit",
        library_name="tf-keras",
        pipeline_tag="fill-mask",
        tags=["tensorflow"],
        datasets="wikimedia/wikipedia",
        base_model=["google-bert/bert-base-uncased"],
        model_name="bert-tiny",
        eval_results=results,
    )
    card = f"---\n{data.to_yaml()}\n---\n\n# bert-tiny\n\nText.\n"
    assert check_card(card) == []
    assert hub.ModelCard(card).data.to_dict() == data.to_dict()
    assert hub.ModelCard(CARD).data.model_name == "bert-tiny"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      name: GLUE MRPC\n", ""),
        ("      value: 0.85\n", ""),
        ("      url: https://example.org/results\n", ""),
        ("    dataset:\n", "    data:\n"),
        ("- name: bert-tiny\n  results:", "- results:"),
        ("\n---\n\n# bert", "\n: [\n---\n\n# bert"),
    ],
)
def test_what_huggingface_hub_cannot_read_is_an_error(old, new):
    hub = pytest.importorskip("huggingface_hub")
    text = replaced(CARD, old, new)
    with pytest.raises(Exception):  # noqa: B017, PT011 - of several kinds, YAML's among them
        hub.ModelCard(text)
    assert errors(check_card(text))


@pytest.mark.parametrize(
    "block",
    [
        "a: &x [*x]\nlicense: *x",
        "a: &a [x, x]\nb: &b [*a, *a]\nlanguage: *b",
        "language: " + "[" * 5000,
        "model-index: " + "9" * 5000,
        "model-index: 0x" + "f" * 5000,
        "? [a, b]\n: c",
        "? {a: b}\n: c",
        "!!python/object:os.system x",
        "%YAML 9.9",
        "a: 1\n...\nb: 2\n--- x",
        "model-index: [[], 1, {name: 1, results: 2}, {results: [1, {task: 1, metrics: [2]}]}]",
        "{language: {a: b}, license: 1, tags: {1: 2}, datasets: [[]], base_model: 2024-01-01}",
    ],
)
def test_strange_yaml_is_found_and_nothing_is_raised(block):
    findings = check_card(f"---\n{block}\n---\n\n# Title\n")
    assert findings
    assert all(len(found.message) < 400 for found in findings)
