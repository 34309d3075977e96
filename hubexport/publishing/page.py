"""The page of a version: its card's, or what its record says, as Markdown and as HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hubexport.errors import HubexportError, UsageError
from hubexport.publishing.artifact import Artifact
from hubexport.publishing.handle import Handle
from hubexport.publishing.manifest import Entry
from hubexport.publishing.tree import MANIFEST, PAGE, RECORD, SUMS

CARD, TEXT = (".yaml", ".yml"), (".md", ".markdown")


class OtherVersionError(UsageError):
    """The card describes another version of the model."""


@dataclass(frozen=True)
class Page:
    """Markdown, and the sentence in it that lists of models show."""

    text: str
    description: str


def make_page(artifact: Artifact, handle: Handle, cards: Sequence[Path], hub_url: str) -> Page:
    """The text of a version's page.

    Args:
      artifact: that it is of.
      handle: of the version.
      cards: a model card at most, and files of Markdown that follow it.
      hub_url: where the hub will be, for lines of code.

    Raises:
      HubexportError: a file is of neither kind or cannot be read, or the card does not fit.
    """
    models = [path for path in cards if path.suffix in CARD]
    texts = [path for path in cards if path.suffix in TEXT]
    if len(models) > 1 or len(models) + len(texts) < len(cards):
        raise UsageError(
            "--card takes one model card, and files of Markdown",
            [("--card", ", ".join(map(str, cards)))],
            "pass a .yaml file, .md files, or both.",
        )
    page = _of_card(artifact, handle, models[0], hub_url) if models else None
    if page is None and not texts:
        page = _of_record(artifact, handle, hub_url)
    added = [_read(path) for path in texts]
    whole = "\n\n".join(
        [*([page.text.rstrip()] if page else []), *(text.strip() for text in added)]
    )
    description = page.description if page else _description(artifact)
    return Page(f"{whole}\n", description)


def page_html(page: Page, handle: Handle, artifact: Artifact, archive: Entry) -> str:
    """The page for browsers; it asks for nothing else."""
    from hubexport.cards.site.markdown import plain_code, render_text
    from hubexport.publishing.html import render_html

    return render_html(
        "hub/model.html",
        handle=str(handle),
        kind=artifact.record["kind"],
        description=page.description,
        # A browser shows comments, such as those of tfhub.dev's metadata, as text.
        body=render_text(_without_comments(page.text), plain_code).html,
        archive=archive,
        beside=(PAGE, RECORD, MANIFEST, SUMS),
    )


def _of_card(artifact: Artifact, handle: Handle, card: Path, hub_url: str) -> Page:
    from hubexport.cards.rendering.job import render_page
    from hubexport.cards.rendering.platforms import Addresses

    files = render_page(
        card=card,
        saved_model=artifact.directory,
        format="tfhub",
        handle=str(handle.model),
        addresses=Addresses(hub_url),
    )
    ((name, text),) = files.items()
    version = name.removesuffix(".md")
    if version != str(handle.version):
        raise OtherVersionError(
            "the card is of another version",
            [("card", f"{card}: version {version}"), ("to publish", str(handle))],
            "add an entry for this version to the card's changelog.",
        )
    lines = text.split("\n")[1:]
    while lines and not lines[0].strip():
        lines.pop(0)
    end = next((i for i, line in enumerate(lines) if not line.strip() or "<!--" in line), 0)
    return Page(text, " ".join(lines[:end]))


def _of_record(artifact: Artifact, handle: Handle, hub_url: str) -> Page:
    from hubexport.cards.rendering.templates import render

    description = _description(artifact)
    text = render(
        "hub/page.md.jinja",
        handle=str(handle),
        url=f"{hub_url}/{handle}",
        directory=handle.model.name.rpartition("/")[2],
        kind=artifact.record["kind"],
        description=description,
        validated=artifact.validated,
        example=_example(artifact),
        files=[member for member in artifact.members if member.size is not None],
    )
    return Page(text, description)


def _example(artifact: Artifact) -> list[str]:
    """The inputs that the record has answers to, as JSON, in the order that calls take them."""
    inputs = artifact.record.get("example", {}).get("inputs", {})
    return [json.dumps(texts, ensure_ascii=False) for texts in inputs.values()]


def _description(artifact: Artifact) -> str:
    """What an artifact is, as far as its record says."""
    from hubexport.cards.phrases import TOKENIZERS, family_name

    record = artifact.record
    if record["kind"] == "preprocessor":
        kind, size = record["tokenizer"]["kind"], record["tokenizer"]["vocab_size"]
        return f"Preprocessor of text: {TOKENIZERS.get(kind, kind)}, {size:,} pieces."
    encoder = record["encoder"] if record["kind"] == "pipeline" else record
    sizes = encoder.get("architecture", {})
    shape = [
        f"{sizes[name]:,} {words}"
        for name, words in (
            ("num_hidden_layers", "layers"),
            ("hidden_size", "hidden units"),
            ("num_attention_heads", "attention heads"),
        )
        if isinstance(sizes.get(name), int)
    ]
    name = encoder.get("family", {}).get("name")
    words = " ".join(filter(None, [family_name(name) if name else None, "encoder"]))
    sentence = f"{words}{' of ' if shape else ''}{', '.join(shape)}."
    if record["kind"] == "pipeline":
        sentence = f"{record['task']['name']}: {sentence}"
    return sentence[0].upper() + sentence[1:]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HubexportError(
            "the text of the page cannot be read",
            [("--card", str(path)), ("system", str(error))],
            "pass a file of UTF-8.",
        ) from error


def _without_comments(text: str) -> str:
    """Lines that are comments are left out."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if not (line.startswith("<!--") and "-->" in line))
