"""The metadata files of Kaggle Models: model-metadata.json and model-instance-metadata.json.

Rules are those of Kaggle's documents and command line program: required keys, types, the names of
frameworks, instance types and licences, slugs, and the variables that `usage` may have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from hubexport.cards.lint.findings import Finding, in_order, load_list, one_of
from hubexport.cards.lint.kaggle_object import CheckedObject, bare
from hubexport.cards.problems import nearest, shown

RULES = (
    "kaggle-not-an-object",
    "kaggle-missing",
    "kaggle-unknown-key",
    "kaggle-type",
    "kaggle-placeholder",
    "kaggle-slug",
    "kaggle-slug-length",
    "kaggle-title",
    "kaggle-date",
    "kaggle-framework",
    "kaggle-instance-type",
    "kaggle-license",
    "kaggle-base-model",
    "kaggle-variable",
    "kaggle-variable-place",
    "kaggle-escaped",
)

MODEL_REQUIRED = {
    "ownerSlug": str,
    "title": str,
    "slug": str,
    "isPrivate": bool,
    "description": str,
}
MODEL_OPTIONAL = {"id": int, "subtitle": str, "publishTime": str, "provenanceSources": str}
INSTANCE_REQUIRED = {
    "ownerSlug": str,
    "modelSlug": str,
    "instanceSlug": str,
    "framework": str,
    "licenseName": str,
}
INSTANCE_OPTIONAL = {
    "id": int,
    "versionId": int,
    "versionNumber": int,
    "overview": str,
    "usage": str,
    "fineTunable": bool,
    "trainingData": list,
    "modelInstanceType": str,
    "baseModelInstance": str,
    "baseModelInstanceId": int,
    "externalBaseModelUrl": str,
}

# An owner may have a name with underscores, a variation dots and underscores too: 1.1-2b_it.
_OWNER = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_INSTANCE = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def check_model_metadata(metadata: Any, text: str | None = None) -> list[Finding]:
    """All findings about the contents of model-metadata.json.

    Args:
      metadata: what the file holds, as the json module reads it.
      text: the file's text, for the lines of findings; without it they are 0.
    """
    return _check(_model, metadata, text)


def check_instance_metadata(metadata: Any, text: str | None = None) -> list[Finding]:
    """All findings about the contents of model-instance-metadata.json; arguments as above."""
    return _check(_instance, metadata, text)


def _check(
    rules: Callable[[CheckedObject], None], metadata: Any, text: str | None
) -> list[Finding]:
    checked = CheckedObject(metadata, text)
    if checked.is_object:
        rules(checked)
    return in_order(checked.findings)


def _model(checked: CheckedObject) -> None:
    checked.keys(MODEL_REQUIRED, MODEL_OPTIONAL)
    checked.slug("ownerSlug", _OWNER, "- or _")
    checked.slug("slug", _SLUG, "-")
    title = checked.text("title")
    if title is not None and (title != title.strip() or "\n" in title):
        checked.add("title", "kaggle-title", "is not one line without spaces around it")
    published = checked.text("publishTime")
    if published is not None and not _is_day(published):
        checked.add(
            "publishTime", "kaggle-date", f"is {shown(published)}", "write it as 2024-12-31"
        )
    for key in ("subtitle", "description"):
        checked.markdown(key)


def _instance(checked: CheckedObject) -> None:
    lists = _lists()
    checked.keys(INSTANCE_REQUIRED, INSTANCE_OPTIONAL)
    checked.slug("ownerSlug", _OWNER, "- or _")
    checked.slug("modelSlug", _SLUG, "-")
    checked.slug("instanceSlug", _INSTANCE, "-, _ or .")
    checked.named("framework", "kaggle-framework", lists["frameworks"])
    license_name = checked.text("licenseName")
    if license_name is not None and license_name not in lists["licenses"]:
        message = f"is {shown(license_name)}, which is not {one_of(lists['licenses'])}"
        proposal = nearest(license_name, lists["licenses"])
        checked.add("licenseName", "kaggle-license", message, proposal)
    kind = checked.named("modelInstanceType", "kaggle-instance-type", lists["instance_types"])
    _base_model(checked, kind, lists["frameworks"])
    checked.markdown("overview")
    checked.markdown("usage", lists["usage_variables"])


def _base_model(checked: CheckedObject, kind: str | None, frameworks: Collection[str]) -> None:
    """A variant names what it is a variant of: an instance on Kaggle, or a page elsewhere."""
    instance, url = checked.text("baseModelInstance"), checked.text("externalBaseModelUrl")
    if instance is None and kind == "KaggleVariant":
        checked.add("baseModelInstance", "kaggle-base-model", "is missing; the type demands it")
    if url is None and kind == "ExternalVariant":
        checked.add("externalBaseModelUrl", "kaggle-base-model", "is missing; the type demands it")
    if instance is not None:
        parts = instance.split("/")
        owner, model, framework, variation = parts if len(parts) == 4 else [""] * 4
        good = (
            _OWNER.fullmatch(owner)
            and _SLUG.fullmatch(model)
            and bare(framework) in {bare(known) for known in frameworks}
            and _INSTANCE.fullmatch(variation.lower())
        )
        if not good:
            message = f"is {shown(instance)}, not owner/model/framework/variation"
            checked.add("baseModelInstance", "kaggle-base-model", message)
    if url is not None and not _is_https(url):
        message = f"is {shown(url)}, not an https URL"
        checked.add("externalBaseModelUrl", "kaggle-base-model", message)


def _is_day(text: str) -> bool:
    try:
        return bool(datetime.strptime(text, "%Y-%m-%d"))
    except ValueError:
        return False


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.netloc) and not re.search(r"\s", url)


@cache
def _lists() -> dict[str, Any]:
    return load_list("kaggle")
