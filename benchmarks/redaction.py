"""`python -m benchmarks.redaction`: which kinds of value redaction replaces, and which get out.

It prints the table of docs/how-to/llm.md. The same seed gives the same values.
"""

import argparse
from collections import Counter

from tests.carriers import PROMISED, UNPROMISED, Carrier, leaks

SEED, PER_KIND = 18, 50


def table(
    carriers: dict[str, Carrier] = UNPROMISED, count: int = PER_KIND, seed: int = SEED
) -> str:
    """A Markdown table with the kind, how many values were tried, and how many got out."""
    got_out = Counter(dict.fromkeys(carriers, 0))
    for kind, leak in leaks(carriers, count, seed):
        got_out[kind] += leak is not None
    rows = [f"| {kind} | {count} | {got_out[kind]} |" for kind in carriers]
    return "\n".join(["| kind | tried | got out |", "|---|--:|--:|", *rows])


def main() -> None:
    """Print the tables of both groups of kinds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redaction", description=main.__doc__
    )
    parser.add_argument("--seed", type=int, default=SEED, help="the seed of the values")
    parser.add_argument("--count", type=int, default=PER_KIND, help="how many values of each kind")
    arguments = parser.parse_args()
    for title, carriers in (("promised", PROMISED), ("not promised", UNPROMISED)):
        print(f"{title}, seed {arguments.seed}\n")
        print(table(carriers, arguments.count, arguments.seed) + "\n")


if __name__ == "__main__":
    main()
