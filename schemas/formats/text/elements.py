"""The elements of HTML, by what becomes of them in a text."""

from schemas.formats.text.names import names

BLOCKS = names(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main "
    "menu nav ol option p pre section summary table tbody tfoot thead tr ul"
)
"""They begin and end a line."""

PARAGRAPHS = frozenset({"p", "table", "ul", "ol", "blockquote"})
"""A blank line follows them."""

INLINES = names(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp "
    "small span strike strong sub sup time tt u var"
)
"""They stand inside a line. Editors and mail programs write them."""

CELLS = frozenset({"td", "th"})

OTHERS = names(
    "area base basefont bgsound button canvas col colgroup datalist embed frame frameset input "
    "isindex link map marquee meta meter nobr noframes noscript output param picture plaintext "
    "progress rp rt ruby select source textarea track wbr xmp"
)
"""The tag is dropped, its content stays."""

UNREAD = names("applet audio head iframe math object script style svg template title video")
"""Their content is no text of a person."""

EVIDENCE = UNREAD - {"head", "style", "template", "title"}
"""What an attack is written in: in an alert it stays, with its tags."""

VOID = names("area base br col embed frame hr img input link meta param source track wbr")
"""They have no end tag."""

KNOWN = BLOCKS | INLINES | CELLS | OTHERS | UNREAD
