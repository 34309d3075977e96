"""Hugging Face model cards: the YAML block at the top of README.md.

The Hub checks a card when it is pushed; this is what can be known of that without a network, from
its documents and from huggingface_hub. Keys that nobody knows are allowed there, and noted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from hubexport.cards.lint.findings import Finding, in_order, is_number, load_list, one_of
from hubexport.cards.lint.model_index import check_model_index
from hubexport.cards.lint.pages import Page
from hubexport.cards.lint.yaml_block import YamlBlock
from hubexport.cards.problems import nearest, shown

RULES = (
    "yaml-missing",
    "yaml-not-first",
    "yaml-unclosed",
    "yaml-syntax",
    "yaml-not-a-mapping",
    "yaml-duplicate-key",
    "card-key",
    "card-type",
    "card-recommended",
    "card-language",
    "card-license",
    "card-license-name",
    "card-pipeline-tag",
    "card-repository",
    "card-relation",
    "card-tags",
    "card-no-text",
)

RECOMMENDED = ("license", "library_name", "pipeline_tag")
RELATIONS = ("adapter", "finetune", "merge", "quantized")
SPECIAL_LANGUAGES = ("code", "multilingual")

_TEXT, _TEXTS, _EITHER = "text", "a list of texts", "text or a list of texts"
_ANY = "anything"
# Keys of the Hub's specification and documents, and what their values are.
KEYS = {
    "base_model": _EITHER,
    "base_model_relation": _TEXT,
    "buckets": _EITHER,
    "co2_eq_emissions": "a number or a mapping",
    "datasets": _EITHER,
    "extra_gated_button_content": _TEXT,
    "extra_gated_description": _TEXT,
    "extra_gated_eu_disallowed": "true or false",
    "extra_gated_fields": _ANY,
    "extra_gated_heading": _TEXT,
    "extra_gated_prompt": _TEXT,
    "inference": _ANY,
    "language": _EITHER,
    "language_bcp47": _EITHER,
    "library_name": _TEXT,
    "license": _EITHER,
    "license_link": _TEXT,
    "license_name": _TEXT,
    "metrics": _EITHER,
    "model-index": _ANY,
    "model_name": _TEXT,
    "new_version": _TEXT,
    "pipeline_tag": _TEXT,
    "tags": _TEXTS,
    "thumbnail": _TEXT,
    "widget": _ANY,
}

_REPOSITORY = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)


def check_card(text: str) -> list[Finding]:
    """All findings about a model card's YAML block, with the card's lines."""
    page = Page(text)
    block = YamlBlock(page)
    findings = [*page.findings, *block.findings]
    if block.values:
        for rule in (_keys, _recommended, _languages, _licenses, _pipeline, _repositories, _tags):
            findings += rule(block)
        findings += check_model_index(block.values.get("model-index"), block.line)
    if block.end and not any(line.strip() for line in page.lines[block.end :]):
        message = "the card has no text below the YAML block"
        findings.append(Finding(block.end, None, "card-no-text", message, None, "warning"))
    return in_order(findings)


def _listed(value: Any) -> list[str]:
    """The texts that a value is or lists; what is not text is left out."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _keys(block: YamlBlock) -> Iterator[Finding]:
    for key, value in block.values.items():
        expected = KEYS.get(key) if isinstance(key, str) else None
        if expected is None:
            proposal = nearest(str(key), tuple(KEYS)) if isinstance(key, str) else None
            message = f"{shown(key)} is a key that the Hub's documents do not name"
            if key == "eval_results":
                proposal = "results are written under model-index"
            yield Finding(block.line(key), None, "card-key", message, proposal, "note")
        elif not _has_type(value, expected):
            message = f"{key} is {shown(_offender(value))}, not {expected}"
            if key.startswith("language") and _offender(value) is False:
                message += ": YAML reads no as false"
            proposal = 'write "no" in quotes' if "reads no" in message else None
            yield Finding(block.line(key), None, "card-type", message, proposal)


def _recommended(block: YamlBlock) -> Iterator[Finding]:
    for key in RECOMMENDED:
        if key not in block.values:
            message = f"the card has no {key}, by which people find models"
            yield Finding(1, None, "card-recommended", message, None, "warning")


def _languages(block: YamlBlock) -> Iterator[Finding]:
    value = block.values.get("language")
    for code in _listed(value):
        if re.fullmatch(r"[a-z]{2,3}", code) or code in SPECIAL_LANGUAGES:
            continue
        message = (
            f"language {shown(code)} is neither two or three lower case letters (ISO 639) nor "
            f"{one_of(SPECIAL_LANGUAGES)}"
        )
        first = re.match(r"([A-Za-z]{2,3})[-_]", code)
        proposal = f"language: {first[1].lower()}, language_bcp47: {code}" if first else None
        yield Finding(_item_line(block, "language", code), None, "card-language", message, proposal)


def _licenses(block: YamlBlock) -> Iterator[Finding]:
    values, allowed = block.values, _lists()["licenses"]
    licenses = _listed(values.get("license"))
    for identifier in licenses:
        if identifier not in allowed:
            message = f"license {shown(identifier)} is not {one_of(allowed)}"
            proposal = nearest(identifier, allowed) or "other, with license_name and license_link"
            line = _item_line(block, "license", identifier)
            yield Finding(line, None, "card-license", message, proposal)
    for key in ("license_name", "license_link"):
        if "other" in licenses and not values.get(key):
            message = f"license is other, and {key} does not say which"
            yield Finding(block.line("license"), None, "card-license-name", message)
        elif key in values and "other" not in licenses:
            message = f"{key} goes with the license other; found {shown(values.get('license'))}"
            yield Finding(block.line(key), None, "card-license-name", message, None, "warning")
    link = values.get("license_link")
    if isinstance(link, str) and not re.fullmatch(r"LICENSE(?:\.md)?|https?://\S+", link):
        message = f"license_link is {shown(link)}, neither LICENSE, LICENSE.md nor a URL"
        yield Finding(block.line("license_link"), None, "card-license-name", message)


def _pipeline(block: YamlBlock) -> Iterator[Finding]:
    tag, allowed = block.values.get("pipeline_tag"), _lists()["pipeline_tags"]
    if isinstance(tag, str) and tag not in allowed:
        message = f"pipeline_tag {shown(tag)} is not {one_of(allowed)}"
        line = block.line("pipeline_tag")
        yield Finding(line, None, "card-pipeline-tag", message, nearest(tag, allowed))


def _repositories(block: YamlBlock) -> Iterator[Finding]:
    """Names of models and data sets: owner/name, or the bare name of an old one."""
    for key in ("base_model", "datasets", "new_version"):
        for name in _listed(block.values.get(key)):
            bad = re.search(r"--|\.\.|[.-]$|[.-]/|\.git$", name)
            if bad or not _REPOSITORY.fullmatch(name) or len(name) > 96:
                message = f"{key} {shown(name)} is not a repository name on the Hub"
                line = _item_line(block, key, name)
                yield Finding(line, None, "card-repository", message, "write it as owner/name")
    relation = block.values.get("base_model_relation")
    if isinstance(relation, str) and relation not in RELATIONS:
        message = f"base_model_relation {shown(relation)} is not {one_of(RELATIONS)}"
        line = block.line("base_model_relation")
        yield Finding(line, None, "card-relation", message, nearest(relation, RELATIONS))
    elif relation is not None and "base_model" not in block.values:
        message = "base_model_relation without base_model"
        yield Finding(block.line("base_model_relation"), None, "card-relation", message)


def _tags(block: YamlBlock) -> Iterator[Finding]:
    tags = block.values.get("tags")
    tags = tags if isinstance(tags, list) else []
    for position, tag in enumerate(tags):
        if isinstance(tag, str) and (not tag.strip() or tag in tags[:position]):
            message = f"tag {shown(tag)} is empty or stands here a second time"
            line = block.line("tags", position)
            yield Finding(line, None, "card-tags", message, None, "warning")


def _item_line(block: YamlBlock, key: str, item: str) -> int:
    value = block.values.get(key)
    return block.line(key, value.index(item)) if isinstance(value, list) else block.line(key)


def _has_type(value: Any, expected: str) -> bool:
    return _TYPES[expected](value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _offender(value: Any) -> Any:
    """Of a list the first that is not text, of all else the value itself."""
    items = value if isinstance(value, list) else [value]
    return next((item for item in items if not isinstance(item, str)), value)


_TYPES: dict[str, Callable[[Any], bool]] = {
    _TEXT: lambda value: isinstance(value, str),
    _TEXTS: _is_texts,
    _EITHER: lambda value: isinstance(value, str) or _is_texts(value),
    "true or false": lambda value: isinstance(value, bool),
    "a number or a mapping": lambda value: is_number(value) or isinstance(value, dict),
    _ANY: lambda value: value is not None,
}


@cache
def _lists() -> dict[str, Any]:
    return load_list("hugging_face")
