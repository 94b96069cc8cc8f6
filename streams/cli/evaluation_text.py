"""The figures of an evaluation as text for a terminal."""

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column

from inference.evaluation.figures import AxisScores, DomainFigures, Evaluation, RankingScores
from schemas.visible_text import printable
from streams.cli.tables import Console, Table

COLUMNS = ("rows", "accuracy", "macro-F1", "ECE", "AURC", "cov95", "cov97", "cov98")


def show(evaluation: Evaluation) -> None:
    """Print the most important figures for a person; the report has the others."""
    console = Console(soft_wrap=True, emoji=False, highlight=False)
    model = evaluation.model
    console.print(f"{_escape(model.name)}  {model.compute_type}  digest {model.digest[:12]}")
    for domain, figures in evaluation.domains.items():
        console.print(f"\n[bold]{domain}[/bold]  {escape(_headline(figures))}")
        console.print(_table(figures))
        for note in figures.notes:
            console.print(_escape(note))


def _headline(figures: DomainFigures) -> str:
    lines = [
        _rows_line(figures),
        _accepted_line(figures),
        _risk_line(figures),
        (
            f"LLM: ${figures.cost.escalated_usd:.2f} instead of ${figures.cost.all_llm_usd:.2f}, "
            f"at ${figures.cost.llm_usd_per_event:g} an event it is asked about"
        ),
        (
            f"model: {figures.latency.p50_ms:.1f} ms an event alone (median), "
            f"{figures.latency.batched_events_per_s:.0f} events/s in batches"
        ),
    ]
    if scope := figures.out_of_scope:
        lines.append(
            f"out of scope: AUROC {_auroc(scope.auroc)} over {scope.rows} such rows, "
            f"{_auroc(scope.auroc_ood)} by the out-of-distribution score alone"
        )
    return "\n".join(lines)


def _rows_line(figures: DomainFigures) -> str:
    unlabelled = ""
    if figures.unlabelled:
        unlabelled = f", {figures.unlabelled} more without a label on it"
    return (
        f"{figures.rows - figures.unlabelled} {figures.part} rows{unlabelled}; "
        f"decided by {' and '.join(map(printable, figures.deciding))}"
    )


def _accepted_line(figures: DomainFigures) -> str:
    accepted = figures.accepted
    line = f"accepted {accepted.coverage:.1%}"
    if accepted.accuracy is not None:
        line += f", {accepted.accuracy:.2%} of them right ({accepted.errors} wrong)"
    line += f"; escalated {figures.escalated:.1%}"
    reasons = ", ".join(
        f"{printable(reason)} {share:.1%}" for reason, share in figures.escalations.items()
    )
    if reasons:
        line += f" ({reasons})"
    return line


def _risk_line(figures: DomainFigures) -> str:
    ranking, baseline = figures.selective, figures.baseline
    line = f"risk: AURC {ranking.aurc:.4f}, coverage at 95/97/98 % accuracy {_coverages(ranking)}"
    if baseline:
        line += f"; TF-IDF {baseline.aurc:.4f}, {_coverages(baseline)}"
    return line


def _table(figures: DomainFigures) -> Table:
    columns = (Column(name, justify="right") for name in COLUMNS)
    table = Table("axis", *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for axis in figures.axes.values():
        table.add_row(_escape(axis.title), *_cells(axis.overall))
        if axis.baseline:
            scores = axis.baseline.scores
            table.add_row(f"  TF-IDF, {_escape(axis.baseline.reads)}", *_cells(scores), style="dim")
            majority_accuracy = f"{axis.baseline.majority_accuracy:.4f}"
            table.add_row("  majority", str(scores.n), majority_accuracy, style="dim")
    return table


def _escape(text: str) -> str:
    """A text of somebody else, on one line and without markup."""
    return escape(printable(text))


def _cells(scores: AxisScores) -> list[str]:
    coverages = (scores.coverage_at_95, scores.coverage_at_97, scores.coverage_at_98)
    return [
        str(scores.n),
        *(f"{value:.4f}" for value in (scores.accuracy, scores.macro_f1, scores.ece, scores.aurc)),
        *(f"{coverage:.3f}" for coverage in coverages),
    ]


def _coverages(ranking: RankingScores) -> str:
    coverages = (ranking.coverage_at_95, ranking.coverage_at_97, ranking.coverage_at_98)
    return " / ".join(f"{coverage:.1%}" for coverage in coverages)


def _auroc(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
