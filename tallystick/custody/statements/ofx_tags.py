"""The tags of an OFX file, read from a stranger: version 1's SGML and version 2's XML by one grammar.

In OFX 1 an element with a value needs no end tag, an aggregate does; OFX 2 closes both. A value therefore
ends at the next tag, whatever tag that is. An end tag closes what is open inside it: an element that was
opened, has no value and no end tag is an empty one, and what followed it stands beside it. No document
type, no entity but those of XML, bounded depth, text and number of elements; memory does not grow with the
file, also where all of it is one line.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import TextIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import errors
from tallystick.custody.statements.xml_stream import DEPTH_MAX, NODES_MAX, TEXT_MAX, Node

CHUNK = 1 << 16

_NAME = re.compile(r"(/?)([A-Za-z][A-Za-z0-9._-]{0,63})\s*/?\Z")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});")


class Tags:
    """Reads a text and hands over each finished aggregate of the wanted names, cut from its parent."""

    def __init__(self, text: TextIO, *, wanted: dict[str, Callable[[Node, Node | None], None]]) -> None:
        self._text = text
        self._wanted = wanted
        self.line = 1
        self.seen: set[str] = set()
        """Names of aggregates two levels deep: the message sets of the file."""
        self.root = ""
        self.unclosed_values = False
        """Whether a value had no end tag, as in OFX 1."""
        self._stack: list[Node] = []
        self._open_value: Node | None = None
        self._held = 0

    def enclosing(self, *names: str) -> Node | None:
        """The innermost open aggregate of one of these names."""
        for node in reversed(self._stack):
            if node.name in names:
                return node
        return None

    def read(self) -> Iterator[None]:
        """Read on, tag by tag, until all is read."""
        for text, tag in self._pieces():
            if text.strip():
                self._value(text)
            self.line += text.count("\n")
            if tag:
                self._take(tag)
            yield None
        if self._stack:
            raise self._broken(_("the file ends inside <{name}>"), name=self._stack[-1].name)

    # -- characters

    def _pieces(self) -> Iterator[tuple[str, str]]:
        """Text, and the tag after it without its brackets; the last has no tag. CDATA is text."""
        buffer, carried = "", ""
        while True:
            chunk = self._text.read(CHUNK)
            buffer += chunk
            at = 0
            while (start := buffer.find("<", at)) >= 0:
                special, closing = False, ">"
                for mark, end in (("<![CDATA[", "]]>"), ("<!--", "-->")):
                    if buffer.startswith(mark, start):
                        special, closing = True, end
                if not chunk and buffer.find(closing, start) < 0:
                    raise self._broken(_("a tag is cut off"))
                # A mark that may still become one of the special ones waits for the next chunk.
                if chunk and (len(buffer) - start < 9 or buffer.find(closing, start) < 0):
                    break
                stop = buffer.find(closing, start)
                before = carried + buffer[at:start]
                inside = buffer[start + 1 : stop]
                at, carried = stop + len(closing), ""
                if special:
                    # A comment is layout; what CDATA holds is text as it stands.
                    kept = inside[8:].replace("&", "&amp;") if inside.startswith("![CDATA[") else ""
                    carried = before + kept + "\n" * (inside.count("\n") - kept.count("\n"))
                    continue
                yield before, inside
                self.line += inside.count("\n")
            buffer = buffer[at:]
            if len(buffer) + len(carried) > TEXT_MAX + CHUNK:
                raise self._too_large(_("The text"), TEXT_MAX, _("characters"))
            if not chunk:
                yield carried + buffer, ""
                return

    # -- tags

    def _take(self, tag: str) -> None:
        if tag.startswith("?"):
            return
        if tag.startswith("!"):
            raise errors.UnsafeXml(
                line=self.line, field="DOCTYPE", expected="–", what=_("a document type or an entity")
            )
        found = _NAME.match(tag.strip())
        if found is None:
            # OFX has no attributes: whatever else stands in brackets is no tag of it.
            raise self._broken(_("<{name}> is no tag"), name=tag.strip()[:40])
        name = found.group(2).upper()
        if tag.rstrip().endswith("/"):
            self._open(name)
            self._close(name)
        elif found.group(1):
            self._close(name)
        else:
            self._open(name)

    def _open(self, name: str) -> None:
        self._end_value()
        if not self._stack:
            if self.root:
                raise self._broken(_("<{name}> after the end"), name=name)
            self.root = name
        elif len(self._stack) == 1:
            self.seen.add(name)
        node = Node(name, self.line, "")
        if self._stack:
            self._stack[-1].children.append(node)
        self._stack.append(node)
        self._held += 1
        if len(self._stack) > DEPTH_MAX:
            raise self._too_large(_("The nesting"), DEPTH_MAX, _("levels"))
        if self._held > NODES_MAX:
            raise self._too_large(_("One part of the message"), NODES_MAX, _("elements"))

    def _value(self, text: str) -> None:
        if not self._stack:
            if self.root:
                raise self._broken(_("text stands after the end: “{name}”"), name=text.strip()[:40])
            return  # The header of OFX 1.
        node = self._stack[-1]
        if node.children:
            raise self._broken(_("text stands where a tag should: “{name}”"), name=text.strip()[:40])
        if len(text) > TEXT_MAX:
            raise self._too_large(_("The text"), TEXT_MAX, _("characters"))
        node.text = _ENTITY.sub(lambda found: html.unescape(found.group()), text.strip())
        self._open_value = node

    def _end_value(self) -> None:
        """A value without an end tag ends where the next tag begins."""
        if self._open_value is not None:
            self.unclosed_values = True
            self._stack.pop()
            self._open_value = None

    def _close(self, name: str) -> None:
        if self._open_value is not None:
            ended, self._open_value = self._open_value, None
            self._stack.pop()
            if ended.name == name:
                return
            self.unclosed_values = True
        if not any(node.name == name for node in self._stack):
            raise self._broken(_("</{name}> closes nothing"), name=name)
        while (node := self._stack.pop()).name != name:
            # It had no value and no end tag: an empty element, and its children are its siblings.
            self._stack[-1].children.extend(node.children)
            node.children = []
        self._finish(node)

    def _finish(self, node: Node) -> None:
        parent = self._stack[-1] if self._stack else None
        handle = self._wanted.get(node.name)
        if handle is None:
            return
        handle(node, parent)
        if parent is not None:
            parent.children.pop()
        self._held -= _size(node)

    # -- refusals

    def _broken(self, problem: str, **values: str) -> errors.BrokenTags:
        return errors.BrokenTags(line=self.line, field="OFX", expected=problem, name=values.get("name", ""))

    def _too_large(self, what: str, limit: int, unit: str) -> errors.TooLarge:
        return errors.TooLarge(line=self.line, field="OFX", what=what, limit=limit, unit=unit)


def _size(node: Node) -> int:
    return 1 + sum(_size(child) for child in node.children)
