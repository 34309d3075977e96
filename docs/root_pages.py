"""The site's pages that lie elsewhere in the repository: README.md is its first, and so on.

A hook of MkDocs (mkdocs.org/user-guide/configuration/#hooks). Links between these files are those
of the repository; here they are made those of the site. What is not on the site, a program, say,
becomes plain text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "benchmarks/export.md": "benchmarks/export.md",
    "benchmarks/families.md": "benchmarks/families.md",
    "benchmarks/preprocessor.md": "benchmarks/preprocessor.md",
    "benchmarks/preprocessor_export.md": "benchmarks/preprocessor_export.md",
    "benchmarks/publishing.md": "benchmarks/publishing.md",
    "benchmarks/serving.md": "benchmarks/serving.md",
    "benchmarks/texts.md": "benchmarks/texts.md",
    "examples/README.md": "examples/index.md",
}
"""Path in the repository -> path below `docs`, where the site has it."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files, config):
    """Adds the pages."""
    for source, page in PAGES.items():
        content = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Makes links those of the site."""
    own = page.file.src_uri
    sources = {name: source for source, name in PAGES.items()}
    place = posixpath.dirname(sources.get(own, f"docs/{own}"))

    def link(match):
        text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(place, path))
        there = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if not there:
            if not (ROOT / path).exists():
                raise ValueError(f"{own} links to {target}, which is not there")
            return text
        relative = posixpath.relpath(there, posixpath.dirname(own) or ".")
        return f"[{text}]({relative}{hash_}{anchor})"

    return _LINK.sub(link, markdown)
