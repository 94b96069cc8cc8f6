"""The answer of a closed history, under the configured terms and prices of the LLM."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from inference.acceptance.dispositions import DISPOSITION
from inference.errors import DataError
from inference.labelled import LabelledRow, read_rows, renamed_rows
from inference.labelled_lines import RowFormat
from inference.learning.closed_rows import closed_rows
from inference.learning.history import answer_history
from inference.learning.history_answer import HistoryAnswer, HistoryOptions
from inference.llm.options import PriceOptions
from inference.llm.prices import Price, price_of
from inference.progress import Progress
from inference.training.own_labels import GENERAL_ENCODER
from schemas.event import DOMAINS, Domain
from schemas.formats.paths import without
from streams.config import Settings
from streams.wiring.model import open_labels

ALPHAS = (0.02, 0.05, 0.10)


def history_of(
    settings: Settings,
    files: Sequence[Path],
    places: Mapping[str, str],
    progress: Progress,
    *,
    domain: Domain | None = None,
    ignored: Sequence[str] = (),
    beta: float | None = None,
) -> list[HistoryAnswer]:
    """What the history in these files answers, for each domain that it has events of.

    `places` names for each axis the path of its label in the sender's documents. The fields in
    `ignored` are not read, because they were written when the event was closed.

    Raises:
        DataError: the files cannot be used, or hold too few closed events.
        ModelError: the encoder cannot be used.
    """
    labels = open_labels(settings)
    rows = read_rows(files, unsplit="both", row_format=RowFormat(places, domain=domain))
    rows = renamed_rows([_without(row, ignored) for row in rows], labels.renames)
    encoder = settings.learning.encoder
    answers = []
    for each in DOMAINS:
        of_domain = [row for row in rows if row.domain == each]
        if not of_domain:
            continue
        closed, still_open, undetermined = closed_rows(of_domain)
        answers.append(
            answer_history(
                closed,
                labels,
                Path(encoder) if encoder else GENERAL_ENCODER,
                _options(settings, each, closed, places, beta),
                progress,
                still_open=still_open,
                undetermined=undetermined,
            )
        )
    return answers


def _options(
    settings: Settings,
    domain: Domain,
    rows: Sequence[LabelledRow],
    places: Mapping[str, str],
    beta: float | None,
) -> HistoryOptions:
    terms, price, cost = settings.domain(domain), _price(settings), settings.cost
    prompt_usd = cost.llm_prompt_overhead_tokens * price.input_usd_per_million
    answer_usd = cost.llm_answer_tokens * price.output_usd_per_million
    return HistoryOptions(
        deciding=_deciding(rows, terms.deciding, places),
        alphas=ALPHAS,
        delta=terms.delta,
        beta=beta,
        llm_usd=(prompt_usd + answer_usd) / 1_000_000,
        llm_usd_per_token=price.input_usd_per_million / 1_000_000,
        max_event_chars=settings.llm.max_event_chars,
    )


def _deciding(
    rows: Sequence[LabelledRow], configured: Sequence[str], places: Mapping[str, str]
) -> list[str]:
    """The axes that must be right: those that were named, else the configured ones.

    Raises:
        DataError: the rows have no label at all.
    """
    axes = list(dict.fromkeys(axis for row in rows for axis in row.gold))
    if not axes:
        raise DataError("no event of the history was closed with an answer; name its label")
    named = [axis for axis in places if axis in axes]
    known = [axis for axis in configured if axis in axes]
    if DISPOSITION in axes and not named:
        return [DISPOSITION]
    return named or known or axes[:1]


def _price(settings: Settings) -> Price:
    """The price of the first tier of the LLM, or the assumed one if there is none."""
    cost, llm = settings.cost, settings.llm
    assumed = PriceOptions(
        input_usd_per_million=cost.llm_input_usd_per_million,
        output_usd_per_million=cost.llm_output_usd_per_million,
    )
    if not llm.tiers:
        return Price(assumed.input_usd_per_million, assumed.output_usd_per_million, "assumed")
    return price_of(llm.endpoints[llm.tiers[0]], assumed)


def _without(row: LabelledRow, ignored: Sequence[str]) -> LabelledRow:
    """The row without some fields of its sender's document."""
    document = row.event.event
    if document is None or not ignored:
        return row
    for path in ignored:
        document = without(document, path)
    return replace(row, event=replace(row.event, event=document or None))
