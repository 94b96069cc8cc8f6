"""The comparison of a converted encoder with transformers on torch."""

import contextlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference.training.convert.parity import MAX_TEXTS_IN_TORCH, compare_with_torch


class FakeTensor:
    """The part of a torch tensor that is used."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, np.float32)

    def __getitem__(self, index: int) -> "FakeTensor":
        return FakeTensor(self.values[index])

    def mean(self, dim: int) -> "FakeTensor":
        """The mean along one dimension."""
        return FakeTensor(self.values.mean(axis=dim))

    def numpy(self) -> Any:
        """The numbers as an array."""
        return self.values


class FakeAutoModel:
    """An encoder of transformers: the hidden state of an id is the id, and one more."""

    def __init__(self, fails: Exception | None) -> None:
        self.fails = fails

    def from_pretrained(self, _: str, *, local_files_only: bool) -> "FakeAutoModel":
        """Load it, and download nothing."""
        assert local_files_only
        if self.fails:
            raise self.fails
        return self

    def float(self) -> "FakeAutoModel":
        """Compute in float32."""
        return self

    def eval(self) -> "FakeAutoModel":
        """Compute without dropout."""
        return self

    def __call__(self, input_ids: FakeTensor) -> Any:
        """The hidden states of each text."""
        hidden = np.stack([input_ids.values, input_ids.values + 1], axis=-1)
        return SimpleNamespace(last_hidden_state=FakeTensor(hidden))


def fake_torch(monkeypatch: pytest.MonkeyPatch, *, fails: Exception | None = None) -> None:
    """Put stand-ins for torch and transformers in their places."""
    torch: Any = ModuleType("torch")
    torch.tensor, torch.no_grad = FakeTensor, contextlib.nullcontext
    transformers: Any = ModuleType("transformers")
    quiet = SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)
    transformers.utils = SimpleNamespace(logging=quiet)
    transformers.AutoModel = FakeAutoModel(fails)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "transformers", transformers)


@pytest.mark.parametrize(("pooling", "vectors"), [("cls", [3, 4]), ("mean", [5, 6])])
def test_vectors_are_compared_with_those_of_transformers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pooling: Any, vectors: list[float]
) -> None:
    """Vectors of another pooling would be compared, and every conversion look wrong."""
    fake_torch(monkeypatch)
    count = MAX_TEXTS_IN_TORCH + 1
    ours = np.array([vectors] * count, np.float32)
    ours[-1] = -1
    closeness = compare_with_torch(tmp_path, [[3, 5, 7]] * count, ours, pooling)
    assert closeness is not None
    assert closeness.mean_cosine == pytest.approx(1)
    assert closeness.max_difference == 0


@pytest.mark.parametrize("fails", [OSError("no such type"), ValueError("no weights")])
def test_what_transformers_cannot_load_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: Exception
) -> None:
    """An encoder that we can convert would be refused because transformers cannot load it."""
    fake_torch(monkeypatch, fails=fails)
    assert compare_with_torch(tmp_path, [[3]], np.ones((1, 2), np.float32), "cls") is None
