"""Labelled rows of spot checks, for tests."""

from typing import Any

from schemas.label_record import LabelRecord
from schemas.triaged import CalibrationInfo, Label


def row(number: int = 0, **changes: Any) -> LabelRecord:
    """The row of a spot check that confirms the small model."""
    fields: dict[str, Any] = {
        "id": f"t-{number}",
        "domain": "tickets",
        "tenant": "default",
        "source": None,
        "labels": {"queue": "billing"},
        "decided_by": "human",
        "by": "ana",
        "decided_at": f"2026-01-01T00:00:{number % 60:02}.{number:06}Z",
        "chosen": "spot_check",
        "probability": 0.02,
        "proposed": {
            "queue": Label(value="billing", confidence=0.99),
            "priority": Label(value="low", confidence=0.9),
        },
        "risk": 0.01,
        "accepted": True,
        "calibration": CalibrationInfo(alpha=0.02, delta=0.1, n=9, threshold=0.5, digest="c"),
    }
    return LabelRecord(**{**fields, **changes})
