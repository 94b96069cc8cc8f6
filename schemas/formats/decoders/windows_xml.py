"""Windows events as XML, as `wevtutil`, PowerShell and event forwarding write them.

Expat reads them with everything off that could reach outside of the record or make it larger: a
document type declaration, which all entities need, is refused. Nothing is ever loaded.
"""

from typing import Any, NoReturn
from xml.parsers import expat

from schemas.errors import InvalidEvent, LimitExceeded
from schemas.formats.decoders.fields import Budget, Fields
from schemas.limits import Limits

_XINCLUDE = "http://www.w3.org/2001/XInclude"
_ROOTS = ("Event", "Events")
_NAMED = ("Data", "ComplexData")
_LONGEST_MESSAGE = 20_000


def decode(text: str, limits: Limits, budget: Budget) -> list[dict[str, Any]]:
    """The documents of one ``<Event>``, or of all events inside ``<Events>``.

    Raises:
        InvalidEvent: it is not well-formed, has a document type or includes other documents, or is
            XML of another kind.
        LimitExceeded: it has too many values or is nested too deep.
    """
    reader = _Reader(limits, budget)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise InvalidEvent(
            f"the XML is broken ({error}); send the complete <Event> of one Windows event",
            stage="decode",
        ) from None
    return reader.documents()


def _refuse_doctype(*_: object) -> NoReturn:
    raise InvalidEvent(
        "the XML has a document type declaration, which no Windows event has; leave it out",
        stage="decode",
    )


class _Element:
    """An element that is not closed yet."""

    __slots__ = ("attributes", "children", "name", "texts", "unnamed")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: Fields | None = None
        self.texts: list[str] = []
        self.unnamed = 0  # children without a name: they are numbered


class _Reader:
    """Builds the events while expat reads. It has no recursion: open elements are a list."""

    def __init__(self, limits: Limits, budget: Budget) -> None:
        self._limits = limits
        self._budget = budget
        self._open: list[_Element] = []
        self._events: list[dict[str, Any]] = []

    def documents(self) -> list[dict[str, Any]]:
        return [_document(event) for event in self._events]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if not self._open and name not in _ROOTS:
            raise InvalidEvent(
                "the record is XML, and of XML only Windows events are read; send JSON",
                stage="recognise",
            )
        if len(self._open) >= self._limits.max_event_depth - 1:
            raise LimitExceeded(
                "the record is nested deeper than limits.max_event_depth, which is "
                f"{self._limits.max_event_depth}; flatten it",
                stage="decode",
            )
        self._open.append(_Element(name, _own(attributes) if attributes else attributes))

    def text(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def end(self, _tag: str) -> None:
        element = self._open.pop()
        if element.name == "Event" and all(outer.name == "Events" for outer in self._open):
            self._events.append(element.children.values if element.children else {})
        elif self._open:
            self._close(element, self._open[-1])

    def _close(self, element: _Element, outer: _Element) -> None:
        """Give the value of an element to the one around it."""
        name, attributes = element.name, element.attributes
        if name in _NAMED:
            outer.unnamed += 1
            name = attributes.pop("Name", "") or f"param{outer.unnamed}"
        if outer.children is None:
            outer.children = Fields(self._budget)
        text = "".join(element.texts).strip()
        children = element.children
        if children is not None:
            for key, value in attributes.items():
                children.add(key, value)
            if text:
                children.add("text", text)
            outer.children.add(name, children.values)
        elif attributes and not text:
            self._budget.take(len(attributes))
            outer.children.add(name, attributes)
        else:
            outer.children.add(name, text)
            for key, value in attributes.items():
                outer.children.add(key, value)


def _own(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes without the names of namespaces."""
    if _XINCLUDE in attributes.values():
        raise InvalidEvent(
            "the XML includes other documents, which are never loaded; send one complete event",
            stage="decode",
        )
    return {name: text for name, text in attributes.items() if not name.startswith("xmlns")}


def _document(event: dict[str, Any]) -> dict[str, Any]:
    message = _message(event)
    return {"Event": event, "message": message} if message else {"Event": event}


def _message(event: dict[str, Any]) -> str:
    """What the event says: its rendered message, else its data as lines."""
    rendering = event.get("RenderingInfo")
    rendered = rendering.get("Message") if isinstance(rendering, dict) else None
    if isinstance(rendered, str) and rendered:
        return rendered
    lines = []
    for section in (event.get("EventData"), event.get("UserData")):
        lines += _lines(section)
    return "\n".join(lines)[:_LONGEST_MESSAGE]


def _lines(section: Any) -> list[str]:
    """The texts of a section and of the one object inside it, each as ``name: text``."""
    if not isinstance(section, dict):
        return []
    inner = [value for value in section.values() if isinstance(value, dict)]
    return [
        f"{name}: {value}"
        for values in (section, *inner)
        for name, value in values.items()
        if isinstance(value, str) and value and value != "-"
    ]
