"""The YAML block at the top of a model card: its values, and on which lines they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from hubexport.cards.lint.findings import Finding
from hubexport.cards.lint.pages import Page
from hubexport.cards.problems import shown


class YamlBlock:
    """What the YAML between the first two lines of `---` says.

    Attributes:
      values: the mapping; {} where there is none.
      findings: why there is none, and keys that are there twice.
      end: the number of the block's last line, 0 where there is no block.
    """

    def __init__(self, page: Page):
        self.values: dict[Any, Any] = {}
        self.findings: list[Finding] = []
        self.end = page.front_matter
        self._node: yaml.Node | None = None
        if not self.end:
            self.findings.append(_absent(page))
            return
        # The empty first line keeps YAML's line numbers those of the page.
        self._read("\n" + "\n".join(page.lines[1 : self.end - 1]))

    def line(self, *path: Any) -> int:
        """The line, counted from 1, of a value: keys and positions from the top."""
        node, line = self._node, 1
        for step in path:
            found = _step(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return line

    def _read(self, text: str) -> None:
        try:
            loader = yaml.SafeLoader(text)
            self._node = loader.get_single_node()
            self.findings += _duplicates(self._node)
            value = loader.construct_document(self._node) if self._node else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = f"not YAML: {error.problem or error.context}"
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, None)
            self.findings.append(Finding(min(line, self.end), column, "yaml-syntax", message))
            return
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            message = f"not YAML: a character that it does not allow: {chr(error.character)!r}"
            self.findings.append(Finding(line, None, "yaml-syntax", message))
            return
        except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # Dates that are none, numbers that are too long, nesting without end.
            message = f"not YAML that can be read: {str(error) or type(error).__name__}"
            self.findings.append(Finding(1, None, "yaml-syntax", message[:200]))
            return
        if isinstance(value, dict) and value:
            self.values = value
            return
        found = "empty" if not value else shown(value)
        message = f"the YAML block is {found}; it holds keys with values"
        self.findings.append(Finding(1, None, "yaml-not-a-mapping", message))


def _absent(page: Page) -> Finding:
    fences = [number for number, line in enumerate(page.lines, 1) if line.rstrip() == "---"]
    if fences and fences[0] == 1:
        message = "the YAML block is not closed with a line of ---"
        return Finding(1, None, "yaml-unclosed", message)
    if len(fences) >= 2:
        message = f"the YAML block starts on line {fences[0]}; it must be the first of the card"
        return Finding(fences[0], None, "yaml-not-first", message)
    message = "the card starts without a YAML block"
    return Finding(1, None, "yaml-missing", message, "start it with ---, keys, and ---")


def _step(node: yaml.Node | None, step: Any) -> tuple[yaml.Node, yaml.Node] | None:
    """What a key or position leads to: the node that shows where that is, and that of its value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _duplicates(node: yaml.Node | None) -> Iterator[Finding]:
    """Keys of the outermost mapping that are there twice: the Hub's parser refuses them."""
    seen: dict[str, int] = {}
    if not isinstance(node, yaml.MappingNode):
        return
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            if key.value in seen:
                message = f"{key.value} is set a second time, after line {seen[key.value]}"
                yield Finding(line, None, "yaml-duplicate-key", message)
            seen.setdefault(key.value, line)
