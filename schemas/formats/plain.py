"""The texts of an event as words: without markup, and without what is not the sender's message."""

from msgspec.structs import replace

from schemas.event import Event
from schemas.formats.text import plain


def plain_event(event: Event) -> Event:
    """The event with plain texts. What was cut from a ticket is kept in `cut_off`.

    Serving and training both call this, so that the model reads the same text in both.
    """
    texts: dict[str, str | None] = {}
    cut_off: list[str] = []
    for name in ("text", "title", "body"):
        text = getattr(event, name)
        if text is None:
            continue
        words, cut = plain(event.kind, text)
        if words != text:
            texts[name] = words or None
        if cut:
            cut_off.append(cut)
    if not texts and not cut_off:
        return event
    return replace(event, **texts, cut_off="\n".join(cut_off) or None)
