"""The answer of a history, for a person."""

from inference.learning.history_answer import HistoryAnswer
from streams.cli.output import echo
from streams.cli.tables import Console, Table

MAX_LABELS = 30


def show_history(answer: HistoryAnswer) -> None:
    """Print what a history answers."""
    console = Console(soft_wrap=True, markup=False, emoji=False)
    axes = " and ".join(answer.deciding)
    echo(
        f"{answer.domain}, {axes}: {answer.rows:,} closed events; left out as no answer: "
        f"{answer.still_open:,} that are open, {answer.undetermined:,} that are undetermined"
    )
    echo(_division(answer))
    echo(f"its proposal is right for {answer.proposed_right:.1%} of them")
    console.print(_promises(answer))
    if answer.beta is not None:
        _show_beta(answer, console)
    echo(f"every event through the LLM: ${answer.usd_all_llm:,.2f}")
    for path, share in answer.leaks.items():
        echo(
            f"warning: the field {path} holds the label of {share:.0%} of the events; if it was "
            f"written when they were closed, leave it out with --without {path}"
        )
    console.print(_labels(answer))


def _division(answer: HistoryAnswer) -> str:
    if answer.by_time:
        return (
            f"{answer.taught:,} older events made a model, and it answered the {answer.answered:,} "
            f"newer ones, from {answer.answered_from} on"
        )
    return (
        f"the events have no times: {answer.taught:,} made a model, and it answered "
        f"{answer.answered:,} others that were drawn at random; how they change over time is not "
        "in these figures"
    )


def _promises(answer: HistoryAnswer) -> Table:
    table = Table(
        "alpha",
        "decided alone",
        "wrong of these",
        f"at most ({1 - answer.delta:.0%} sure)",
        "for the LLM and people",
        "LLM cost",
        "saved",
    )
    for each in answer.at_alpha:
        wrong, at_most = "", ""
        if each.decided:
            wrong, at_most = f"{each.wrong:,} ({each.wrong_share:.1%})", f"{each.at_most:.1%}"
        table.add_row(
            f"{each.alpha:.0%}",
            f"{each.decided:,} ({each.coverage:.1%})",
            wrong,
            at_most,
            f"{each.stays:,}",
            f"${each.usd:,.2f}",
            f"${each.usd_saved:,.2f}",
        )
    return table


def _show_beta(answer: HistoryAnswer, console: Console) -> None:
    if answer.beta_reason:
        echo(f"beta {answer.beta:.1%} cannot be promised: {answer.beta_reason}")
    table = Table(
        "alpha",
        "accepted as harmless",
        "malicious of these",
        "with beta: accepted",
        "malicious",
        f"at most ({1 - answer.delta:.0%} sure)",
    )
    for each in answer.at_alpha:
        plain, kept = each.harmless, each.harmless_with_beta
        if plain is None or kept is None:
            continue
        table.add_row(
            f"{each.alpha:.0%}",
            f"{plain.accepted:,} of {plain.rows:,}",
            f"{plain.malicious:,}",
            f"{kept.accepted:,}",
            f"{kept.malicious:,}",
            f"{kept.at_most:.1%}",
        )
    console.print(table)


def _labels(answer: HistoryAnswer) -> Table:
    table = Table(answer.deciding[0], "events", "proposed rightly", "decided alone")
    for each in answer.labels[:MAX_LABELS]:
        table.add_row(each.label, f"{each.rows:,}", f"{each.right:,}", f"{each.decided:,}")
    if len(answer.labels) > MAX_LABELS:
        table.caption = f"{MAX_LABELS} of {len(answer.labels):,}; --json has all"
    return table
