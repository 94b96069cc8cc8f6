"""Random and hostile input records.

This has Hypothesis strategies for property tests, and `fuzz` for end-to-end runs.
"""

import random
from collections.abc import Iterator

from hypothesis import strategies as st

from tests.property.hostile_records import BINARY_HEADERS, FIELDS, LARGE, SAMPLES, SMALL, Record

# Keys that the adapters read, so that random documents are similar to the formats.
field_names = st.sampled_from(
    (
        *FIELDS,
        *(key for sample in SAMPLES for key in sample),
        *("event.kind", "class_uid", "category_uid", "finding", "kibana", "signal", "data_base64"),
    )
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogates cannot be written as UTF-8, so no record can hold them.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(max_size=8) | field_names, children, max_size=6)
    ),
    max_leaves=12,
)
documents = st.dictionaries(
    field_names | st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values
)
headers = st.lists(
    st.tuples(
        st.sampled_from([name for name, _ in BINARY_HEADERS]) | st.text(max_size=8),
        st.none() | st.binary(max_size=12),
    ),
    max_size=4,
)


def fuzz(seed: int, count: int) -> Iterator[Record]:
    """Make `count` records, most of them hostile. The same seed makes the same records.

    Most are smaller than 1 kB. One in 300 is large, up to about 1 MB. Some are correct events, and
    some have the same id.
    """
    rng = random.Random(seed)
    for number in range(count):
        make = rng.choice(LARGE) if number % 300 == 299 else rng.choice(SMALL)
        value, record_headers = make(rng)
        yield Record(
            value,
            rng.choice((None, b"", b"key", f"k-{number}".encode(), b"\xff\x00")),
            record_headers,
        )
