"""The evaluation as one HTML file that can be mailed, archived, and read on a phone."""

from collections.abc import Iterator, Mapping
from html import escape

from inference.evaluation import plots
from inference.evaluation.figures import (
    AxisFigures,
    DomainFigures,
    Evaluation,
    Point,
    Scores,
    Selective,
)
from inference.evaluation.stylesheet import STYLE

POLICY = "default-src 'none'; style-src 'unsafe-inline'"

PARTS = {"test": "test", "val": "validation", "all": "labelled"}
REASONS = {
    "risk": "too unsure",
    "unfamiliar": "unlike the training rows",
    "uncalibrated": "no threshold could be promised",
}
REASON_COLOURS = ("escalated", "escalated-2", "escalated-3")

GLOSSARY = {
    "Accepted, escalated": "An event whose estimated risk of being wrong on any deciding axis is below the calibrated "
    "threshold is decided by the model alone; any other is escalated to the LLM or to a person.",
    "Risk-coverage curve": "Rows in the order of the model's own certainty: how many of the surest share are wrong. A "
    "good model has a low and flat curve that rises late. AURC is the area under it; lower is better.",
    "At 95, 97, 98%": "The largest share of rows, surest first, of which at least that many are right.",
    "Macro-F1": "The mean of the labels' F1 scores: rare labels count as much as frequent ones.",
    "ECE": "Expected calibration error: the mean distance between what the confidence says and how often it is right, "
    "over 15 bins.",
    "Reliability": "Points on the dashed line say what they mean; below it the model is too sure of itself. The bars "
    "on the points are 95% intervals: a bin of few rows proves little.",
    "Out-of-scope AUROC": "How likely an event that belongs to no queue stands out more than one that does; 0.5 is "
    "chance. Scored by the larger of novelty and the confidence given to out_of_scope.",
    "Cost": "One LLM call for each escalated event against one for every event. The model's own computing and "
    "people's time are not counted.",
}


def render(evaluation: Evaluation) -> str:
    """The whole page. Everything that comes from data is escaped."""
    model = evaluation.model
    rows = sum(one.rows for one in evaluation.domains.values())
    return "".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{escape(model.name)}: evaluation</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(model.name)}</h1>",
        f'<p class="facts">Evaluated {escape(evaluation.evaluated_at.replace("T", " "))} on {_count(rows)} rows of ',
        f"{escape(', '.join(evaluation.files))} · {escape(model.compute_type)}<br>",
        f"digest <code>{escape(model.digest)}</code></p>",
        *(part for name, one in evaluation.domains.items() for part in _domain(name, one)),
        "<details><summary>What the figures mean</summary><dl>",
        *(f"<dt>{word}</dt><dd>{meaning}</dd>" for word, meaning in GLOSSARY.items()),
        "</dl></details></main></body></html>\n",
    ])  # fmt: skip


def _domain(name: str, one: DomainFigures) -> Iterator[str]:
    promise = one.promise
    left_out = (
        f", {_count(one.unlabelled)} of them without a label that decides" if one.unlabelled else ""
    )
    terms = (
        f"risk below {promise.threshold:.4f}, so that at most {_terse(promise.alpha)} are wrong, promised with "
        f"{_terse(1 - promise.delta)} confidence"
        if promise.threshold
        else "no threshold can be promised, so nothing is accepted"
    )
    yield f"<section><h2>{escape(name)}</h2>"
    yield (
        f'<p class="muted">{_count(one.rows)} {PARTS[one.part]} rows{left_out}. Accepted when '
        f"{escape(' and '.join(one.deciding))} can be trusted: {terms}.</p>"
    )
    yield from (f'<p class="note">{escape(note)}</p>' for note in one.notes)
    yield f'<div class="tiles">{"".join(_tiles(one))}</div>'
    yield f'<div class="card"><div class="pair"><div>{_decisions(one)}</div>{_curve(one)}</div></div>'
    yield f'<div class="card">{_table(one)}</div>'
    for axis in one.axes.values():
        yield from _axis(axis)
    yield "</section>"


def _tiles(one: DomainFigures) -> Iterator[str]:
    accepted, order = one.accepted, one.selective
    yield _tile(
        "accepted", _share(accepted.coverage), f"{_count(accepted.rows)} decided without help"
    )
    right = "-" if accepted.accuracy is None else f"{accepted.accuracy:.2%}"
    yield _tile("of those right", right, f"{_count(accepted.errors)} wrong")
    rival = (
        f"TF-IDF {_share(one.baseline.coverage_at_98)}"
        if one.baseline
        else f"AURC {order.aurc:.4f}"
    )
    yield _tile("coverage at 98%", _share(order.coverage_at_98), rival)
    if (scope := one.out_of_scope) and scope.auroc is not None:
        yield _tile("out-of-scope AUROC", f"{scope.auroc:.4f}", f"{_count(scope.rows)} such rows")
    cost = one.cost
    yield _tile(
        "of the all-LLM cost", _share(cost.share),
        f"${cost.escalated_usd:,.2f} of ${cost.all_llm_usd:,.2f} at ${cost.llm_usd_per_event:g} a call",
    )  # fmt: skip
    speed = f"{one.latency.batched_events_per_s:,.0f} events/s in batches"
    yield _tile("an event alone", f"{one.latency.p50_ms:.1f} ms", f"median; {speed}")


def _tile(what: str, figure: str, detail: str) -> str:
    return f'<div class="tile"><b>{figure}</b><span class="what">{what}</span><small>{detail}</small></div>'


def _decisions(one: DomainFigures) -> str:
    rows = one.rows - one.unlabelled
    parts = [
        ("accepted, right", (one.accepted.rows - one.accepted.errors) / rows, "ours"),
        ("accepted, wrong", one.accepted.errors / rows, "wrong"),
        *(
            (
                f"escalated: {REASONS.get(reason, reason)}",
                share,
                REASON_COLOURS[number % len(REASON_COLOURS)],
            )
            for number, (reason, share) in enumerate(one.escalations.items())
        ),
    ]
    bar = "".join(
        f'<i style="width:{share:.3%};background:var(--{colour})" title="{escape(name)} {share:.1%}"></i>'
        for name, share, colour in parts
        if share
    )
    legend = _legend((name, colour, "", f"{share:.1%}") for name, share, colour in parts if share)
    aurc = f"AURC {one.selective.aurc:.4f}" + (
        f", TF-IDF {one.baseline.aurc:.4f}" if one.baseline else ""
    )
    return (
        f'<h4>What becomes of the events</h4><div class="bar" role="img" aria-label="Accepted and escalated">{bar}'
        f'</div>{legend}{_at_accuracies(one)}<p class="facts">{aurc}; all rows {one.selective.accuracy:.2%} right.</p>'
    )


def _at_accuracies(one: DomainFigures) -> str:
    orders: list[tuple[str, str, Selective]] = [("this model", "ours", one.selective)]
    if one.baseline:
        orders.append(("TF-IDF", "base", one.baseline))
    head = "".join(f"<th>{name}</th>" for name, _, _ in orders)
    lines = "".join(
        f"<tr><td>{accuracy}% right</td>"
        + "".join(
            f"<td>{_meter(getattr(order, f'coverage_at_{accuracy}'), style)}</td>"
            for _, style, order in orders
        )
        + "</tr>"
        for accuracy in (95, 97, 98)
    )
    return f'<div class="scroll"><table><thead><tr><th>could be accepted at</th>{head}</tr></thead>{lines}</table></div>'


def _curve(one: DomainFigures) -> str:
    accuracy = one.accepted.accuracy
    served = None if accuracy is None else Point(coverage=one.accepted.coverage, risk=1 - accuracy)
    drawn = plots.risk_coverage(
        one.curve, one.baseline_curve, alpha=one.promise.alpha, served=served
    )
    legend = [("this model", "ours", "stroke", "")]
    if one.baseline:
        legend.append(("TF-IDF with logistic regression", "base", "stroke", ""))
    legend.append(
        (f"promised: at most {_terse(one.promise.alpha)} wrong", "wrong", "stroke dashed", "")
    )
    if served:
        legend.append(("where it is served", "wrong", "dot", ""))
    return f"<figure><h4>Risk and coverage</h4>{_legend(iter(legend))}{drawn}</figure>"


def _legend(entries: Iterator[tuple[str, str, str, str]]) -> str:
    return "".join([
        '<ul class="legend">',
        *(
            f'<li><i class="{shape}" style="background:var(--{colour});border-color:var(--{colour})"></i>'
            f"{escape(name)} {figure}</li>"
            for name, colour, shape, figure in entries
        ),
        "</ul>",
    ])  # fmt: skip


HEAD = (
    "<th>rows</th><th>accuracy</th>{f1}<th>ECE</th><th>AURC</th>"
    "<th>at 95%</th><th>at 97%</th><th>at 98%</th></tr></thead><tbody>"
)


def _table(one: DomainFigures) -> str:
    lines = []
    for axis in one.axes.values():
        styles = " ".join(["decides"] * axis.decides + ["joined"] * (axis.baseline is not None))
        lines.append(
            f'<tr class="{styles}"><td>{escape(axis.title)}</td>{_cells(axis.overall)}</tr>'
        )
        if base := axis.baseline:
            reads = f"TF-IDF, {escape(base.reads)}"
            lines.append(f'<tr class="base joined"><td>{reads}</td>{_cells(base.scores)}</tr>')
            majority = (
                f"<td>{base.scores.n:,}</td><td>{base.majority_accuracy:.4f}</td>" + "<td></td>" * 6
            )
            lines.append(
                f'<tr class="base"><td>majority, {escape(base.majority_label)}</td>{majority}</tr>'
            )
    head = HEAD.format(f1="<th>macro-F1</th>")
    return f'<h4>Axes</h4><div class="scroll"><table><thead><tr><th>axis</th>{head}{"".join(lines)}</tbody></table></div>'


def _cells(scores: Scores, *, macro_f1: bool = True) -> str:
    figures = (scores.accuracy, *([scores.macro_f1] if macro_f1 else []), scores.ece, scores.aurc)
    shares = (scores.coverage_at_95, scores.coverage_at_97, scores.coverage_at_98)
    return (
        f"<td>{scores.n:,}</td>"
        + "".join(f"<td>{figure:.4f}</td>" for figure in figures)
        + "".join(f"<td>{_share(share)}</td>" for share in shares)
    )


def _axis(axis: AxisFigures) -> Iterator[str]:
    scores = axis.overall
    unknown = (
        f"; {_count(axis.unknown)} rows have a label the model does not know"
        if axis.unknown
        else ""
    )
    yield f'<div class="card"><h3>{escape(axis.title)}</h3>'
    yield f'<p class="facts">{_count(scores.n)} rows, {scores.accuracy:.2%} right, ECE {scores.ece:.4f}{unknown}</p>'
    yield f'<div class="pair"><figure><h4>Reliability</h4>{plots.reliability(axis.reliability)}</figure>'
    yield f"{_confusion(axis)}</div>"
    yield f"{_sources(axis.sources)}</div>"


def _confusion(axis: AxisFigures) -> str:
    found = axis.confusion
    if found.labels:
        drawn = f'<div class="scroll map">{plots.heat_map(found)}</div>'
        note = "Gold labels down, answers across; a cell is as full as its share of the row."
        return f"<figure><h4>Confusion</h4>{drawn}<figcaption>{note}</figcaption></figure>"
    most = found.pairs[0].rows if found.pairs else 1
    lines = "".join(
        f'<tr><td>{_breakable(pair.gold)}</td><td class="text">{_breakable(pair.value)}</td>'
        f'<td><span class="meter wrong"><i style="width:{pair.rows / most:.0%}"></i></span>{pair.rows}</td></tr>'
        for pair in found.pairs
    )
    head = '<tr><th>gold</th><th class="text">answered</th><th>rows</th></tr>'
    return (
        '<figure><h4>Most confused</h4><div class="scroll">'
        f'<table class="pairs"><thead>{head}</thead><tbody>{lines}</tbody></table></div></figure>'
    )


def _breakable(name: str) -> str:
    """Labels are long and have no spaces."""
    return escape(name).replace("_", "_<wbr>").replace("-", "-<wbr>")


def _sources(sources: Mapping[str, Scores]) -> str:
    lines = "".join(
        f"<tr><td>{escape(source)}</td>{_cells(scores, macro_f1=False)}</tr>"
        for source, scores in sources.items()
    )
    head = HEAD.format(f1="")
    return (
        f'<h4 style="margin-top:18px">By source</h4><div class="scroll"><table><thead><tr><th>source</th>{head}'
        f"{lines}</tbody></table></div>"
    )


def _meter(share: float, style: str) -> str:
    full = f'<i style="width:{share:.1%}"></i>'
    return f'<span class="meter {style}">{full}</span><span class="figure">{_share(share)}</span>'


def _share(share: float) -> str:
    return f"{share:.1%}"


def _terse(share: float) -> str:
    return f"{share * 100:.3g}%"


def _count(count: int) -> str:
    return f"{count:,}"
