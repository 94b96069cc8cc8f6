"""The elements of HTML, by what becomes of them in a text."""

BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main "
    "menu nav ol option p pre section summary table tbody tfoot thead tr ul".split()
)
"""They begin and end a line."""

INLINES = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp "
    "small span strike strong sub sup time tt u var".split()
)
"""They stand inside a line. Editors and mail programs write them."""

CELLS = frozenset({"td", "th"})

OTHERS = frozenset(
    "area base basefont bgsound button canvas col colgroup datalist embed frame frameset input "
    "isindex link map marquee meta meter nobr noframes noscript output param picture plaintext "
    "progress rp rt ruby select source textarea track wbr xmp".split()
)
"""The tag is dropped, its content stays."""

UNREAD = frozenset("applet audio head iframe math object script style svg template title video".split())
"""Their content is no text of a person."""

VOID = frozenset(
    "area base br col embed frame hr img input link meta param source track wbr".split()
)
"""They have no end tag."""

KNOWN = BLOCKS | INLINES | CELLS | OTHERS | UNREAD
