"""Reading XML from a stranger: element by element, with lines, in bounded memory, and nothing clever.

expat is driven directly, because the element-tree parsers hide the line. What `defusedxml` forbids
is forbidden here with the same hooks, and more: no document type at all, so no entity but the five
of XML; bounded depth, text and token length. Elements come out as plain nodes of one namespace,
those of other namespaces are passed over with all they hold.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO
from xml.parsers import expat

from django.utils.translation import gettext_noop

from tallystick.custody.statements import errors

DEPTH_MAX = 48
"""A statement's deepest path has about 20 elements."""
TEXT_MAX = 65_536
"""Characters in one element; the longest field of the standard has 20,000 at most."""
TOKEN_MAX = 1 << 20
"""Bytes between two events: a tag or an attribute of this length is an attack."""
NODES_MAX = 20_000
"""Elements held at once outside those handed over: headers and one transaction."""
CHUNK = 1 << 16

_NATIVE = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "utf-16", "utf-16le", "utf-16be"}
_DECLARATION = re.compile(rb"""\A<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


class Node:
    """One element: local name, line, text, children. Attributes: only `Ccy` is of use in a statement."""

    __slots__ = ("children", "currency", "line", "name", "text")

    def __init__(self, name: str, line: int, currency: str) -> None:
        self.name = name
        self.line = line
        self.currency = currency
        self.text = ""
        self.children: list[Node] = []

    def get(self, *path: str) -> Node | None:
        """The first element down this path."""
        node = self
        for name in path:
            for child in node.children:
                if child.name == name:
                    node = child
                    break
            else:
                return None
        return node

    def all(self, name: str) -> list[Node]:
        """The children of this name."""
        return [child for child in self.children if child.name == name]

    def value(self, *path: str) -> str:
        """The text down this path, blanks folded; empty where there is none."""
        node = self.get(*path)
        return " ".join(node.text.split()) if node is not None else ""

    def first(self, *paths: str) -> str:
        """The first value that is not empty; paths are written with slashes."""
        for path in paths:
            value = self.value(*path.split("/"))
            if value:
                return value
        return ""


class Stream:
    """Feeds expat and hands over each finished element whose path ends in one of the wanted names.

    `wanted` maps a local name to what is done with the finished node; the node is then cut from its
    parent, so that a million entries take the room of one.
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        roots: tuple[str, ...],
        on_root: Callable[[], None],
        wanted: dict[str, Callable[[Node, Node | None], None]],
    ) -> None:
        self.source = source
        self.encoding, override, head, self._blank_lines = _encoding(source)
        self._head = head
        self._decoder = codecs.getincrementaldecoder(override)() if override else None
        self.namespace: str | None = None
        """Of the message's root element; empty where the file has none. `None` until it is met."""
        self.document_namespace: str | None = None
        """Of the outermost element: it names the message where none of `roots` is met."""
        self.document_name = ""
        self.root_line = 0
        self._roots = roots
        self.root = ""
        """Which of `roots` was met."""
        self.message: Node | None = None
        """The root element, with what of it is still held: its header."""
        self._on_root = on_root
        self._wanted = wanted
        self._stack: list[Node] = []
        self._skipping = 0
        self._depth = 0
        self._held = 0
        self._parts: list[str] = []
        self._length = 0
        self.bytes_read = 0
        self._given = 0
        # A protocol encoding overrides the declaration: bytes that expat cannot decode itself are
        # decoded here and given to it as UTF-8.
        parser = expat.ParserCreate("UTF-8" if override else None, " ")
        parser.buffer_text = True
        parser.buffer_size = CHUNK
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.UnparsedEntityDeclHandler = self._entity
        parser.ExternalEntityRefHandler = self._external
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser = parser

    @property
    def line(self) -> int:
        """The line now read."""
        return int(self._parser.CurrentLineNumber) + self._blank_lines

    def head_names(self, *words: bytes) -> bool:
        """Whether the first bytes of the file hold one of these words."""
        plain = self._head.replace(b"\0", b"")
        return any(word in plain for word in words)

    def read(self) -> Iterator[int]:
        """Parse chunk by chunk; after each, the number of bytes read so far."""
        chunk = self._head
        while True:
            last = not chunk
            self.bytes_read += len(chunk)
            try:
                given = self._decoder.decode(chunk, last).encode() if self._decoder else chunk
                self._given += len(given)
                self._parser.Parse(given, last)
            except expat.ExpatError as error:
                raise errors.BrokenXml(
                    line=error.lineno + self._blank_lines,
                    field="XML",
                    expected=gettext_noop("well-formed XML"),
                    problem=expat.ErrorString(error.code),
                ) from None
            except UnicodeDecodeError:
                raise errors.UnreadableText(line=self.line, field="XML", encoding=self.encoding) from None
            if self._given - max(self._parser.CurrentByteIndex, 0) > TOKEN_MAX:
                raise errors.TooLarge(
                    line=self.line,
                    field="XML",
                    what=gettext_noop("A tag"),
                    limit=TOKEN_MAX,
                    unit=gettext_noop("bytes"),
                )
            yield self.bytes_read
            if last:
                return
            chunk = self.source.read(CHUNK)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise errors.TooLarge(
                line=self.line,
                field="XML",
                what=gettext_noop("The nesting"),
                limit=DEPTH_MAX,
                unit=gettext_noop("levels"),
            )
        if self._skipping:
            self._skipping += 1
            return
        namespace, _, local = name.rpartition(" ")
        if self.document_namespace is None:
            self.document_namespace, self.document_name = namespace, local
        elif self._depth == 2 and not self.document_namespace:
            self.document_namespace = namespace
        if self.namespace is None:
            # Before the message: envelopes and application headers of any namespace.
            if local == "Document":
                self.document_namespace = namespace
            if local not in self._roots:
                return
            self.root, self.namespace, self.root_line = local, namespace, self.line
            self._on_root()
        elif namespace != self.namespace:
            self._skipping = 1
            return
        self._close_text()
        node = Node(local, self.line, attributes.get("Ccy", ""))
        if self._stack:
            self._stack[-1].children.append(node)
        elif self.message is None:
            self.message = node
        self._stack.append(node)
        self._held += 1
        if self._held > NODES_MAX:
            raise errors.TooLarge(
                line=self.line,
                field=local,
                what=gettext_noop("One part of the message"),
                limit=NODES_MAX,
                unit=gettext_noop("elements"),
            )

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._skipping:
            self._skipping -= 1
            return
        if not self._stack:
            return
        self._close_text()
        node = self._stack.pop()
        parent = self._stack[-1] if self._stack else None
        handle = self._wanted.get(node.name)
        if handle is not None:
            handle(node, parent)
            if parent is not None:
                parent.children.pop()
            self._held -= _size(node)

    def _characters(self, text: str) -> None:
        if self._skipping or not self._stack:
            return
        self._parts.append(text)
        self._length += len(text)
        if self._length > TEXT_MAX:
            raise errors.TooLarge(
                line=self.line,
                field=self._stack[-1].name,
                what=gettext_noop("The text"),
                limit=TEXT_MAX,
                unit=gettext_noop("characters"),
            )

    def _close_text(self) -> None:
        # Text between child elements is layout: only a leaf's text is kept.
        if self._parts:
            if self._stack and not self._stack[-1].children:
                self._stack[-1].text = "".join(self._parts)
            self._parts.clear()
            self._length = 0

    def _doctype(self, *_: object) -> None:
        raise errors.UnsafeXml(
            line=self.line, field="DOCTYPE", expected="–", what=gettext_noop("a document type")
        )

    def _entity(self, *_: object) -> None:
        raise errors.UnsafeXml(line=self.line, field="ENTITY", expected="–", what=gettext_noop("an entity"))

    def _external(self, *_: object) -> int:
        raise errors.UnsafeXml(
            line=self.line, field="ENTITY", expected="–", what=gettext_noop("an external entity")
        )


def _size(node: Node) -> int:
    return 1 + sum(_size(child) for child in node.children)


def _encoding(source: BinaryIO) -> tuple[str, str | None, bytes, int]:
    """The encoding, the codec to decode with where expat has none, the first bytes, the lines before them."""
    head = source.read(CHUNK)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", None, head, 0
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", None, head, 0
    # Blanks before the declaration are a common slip of banks.
    text = head.lstrip(b" \t\r\n")
    blank_lines = head[: len(head) - len(text)].count(b"\n")
    declared = _DECLARATION.match(text)
    if declared is None:
        return "utf-8", None, text, blank_lines
    name = declared.group(1).decode().lower()
    if name in _NATIVE:
        return name, None, text, blank_lines
    try:
        # Python also knows codecs that are no text encodings, `zlib` among them: decode() refuses those.
        b" ".decode(name)
    except LookupError:
        raise errors.UnreadableText(line=1 + blank_lines, field="XML", encoding=name) from None
    codec = codecs.lookup(name)
    return codec.name, codec.name, text, blank_lines
