"""The types of `manifest.json` and `calibration.json`.

Some names on disk are older than the names in the code: ``lexical`` is the n-gram head, ``view`` is
the format of the input text, ``doubt`` is the error probability, and ``max_surplus_pieces`` is the
limit of the excess tokens. They stay as they are, because models with these names exist.
"""

from typing import Annotated, Any, Literal

import msgspec

from inference.options import Positive

FORMAT: Literal[2] = 2


class EncoderSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the encoder reads and returns.

    A text is `prefix_ids`, its tokens and `suffix_ids`, at most `max_tokens` in all. Its vector
    has `width` components.
    """

    width: Positive
    pooling: Literal["mean", "cls"]
    max_tokens: Annotated[int, msgspec.Meta(ge=3, le=512)]
    prefix_ids: list[int]
    suffix_ids: list[int]
    pad_id: int
    vocab_size: Positive
    compute_type: str


class AxisSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The labels of an axis in the order of its head's rows, and whether it has n-gram columns."""

    labels: Annotated[list[str], msgspec.Meta(min_length=2)]
    ngrams: bool = msgspec.field(name="lexical")


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The axes of a domain, and the format of the input text that its heads were trained on."""

    input_text: str = msgspec.field(name="view")
    axes: dict[str, AxisSpec]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`. `files` maps the name of every file of the model to its SHA-256.

    Each lies in the directory itself, so a name is never a path.
    """

    format: Literal[2] = FORMAT
    name: str
    encoder: EncoderSpec
    domains: dict[str, DomainSpec]
    files: Annotated[dict[str, str], msgspec.Meta(max_length=64)]
    training: dict[str, Any]


class AxisCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the logits of an axis become probabilities.

    The n-gram logits are mixed in with weight `ngram_share`. The mixture is divided by
    `temperature`. `shares` has, for each label, how often it is the model's answer on the
    calibration rows. Drift is measured against these shares.
    """

    ngram_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = msgspec.field(name="lexical_share")
    temperature: Annotated[float, msgspec.Meta(gt=0)]
    shares: list[float]


class DomainCalibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The calibration of a domain's axes, and its out-of-distribution limits.

    An event is out of distribution if it has more than `max_excess_tokens` (see `Tokenizer`), or
    if its distance to the nearest centre is more than `max_distance`. It is then never accepted.
    An event whose answer is in scope must also lie within `max_scope_distance` of a centre of the
    rows in scope; it is None in a domain without the label ``out_of_scope``. `languages` are those
    besides English that many calibration rows are written in.
    """

    axes: dict[str, AxisCalibration]
    max_excess_tokens: Annotated[float, msgspec.Meta(gt=0)] = msgspec.field(
        name="max_surplus_pieces"
    )
    max_distance: Annotated[float, msgspec.Meta(gt=0)]
    max_scope_distance: Annotated[float, msgspec.Meta(gt=0)] | None = None
    tenants: list[str]
    languages: list[str] = []


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`calibration.json`.

    `bound_to` has the digests of `BOUND_FILES`, of the labels and of the encoder's spec. `rows`
    is the digest of the calibration rows. `made_from` describes the rows in words and numbers,
    and has the promises that they support.
    """

    format: Literal[2] = FORMAT
    bound_to: dict[str, str]
    rows: str
    domains: dict[str, DomainCalibration]
    made_from: dict[str, Any]
