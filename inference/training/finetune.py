"""Fine-tuning: one encoder shared by every axis of every domain, a linear head an axis. Needs the `finetune` extra.

What is served decides what is trained: the served tokenizer cuts the served view, vectors are pooled and scaled to
length one as in serving, and the heads read them as they will. What comes out is a running average of the weights:
averages lie in flatter minima, which hold better on sources never seen (Cha et al., 2021, "SWAD: Domain Generalization
by Seeking Flat Minima").
"""

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from inference.errors import ModelError
from inference.labelled import LabelledRow, Labels
from inference.model.input_text import render
from inference.model.tokenizer import Tokenizer
from inference.progress import Progress
from inference.training.augmentation import batches, variant, worn
from inference.training.network import (
    Network,
    bf16_is_quicker,
    heads_of,
    keep_freed_memory,
    open_network,
    save_encoder,
)

STATE = "state.pt"
BEST = "best.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How the encoder is fine-tuned; the defaults are what the shipped model was made with."""

    epochs: int = 4
    patience: int = 2
    learning_rate: float = 2e-4
    head_learning_rate: float = 2e-3
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup_share: float = 0.08
    batch_rows: int = 32
    label_smoothing: float = 0.05
    token_dropout: float = 0.08
    dropout: float = 0.1
    averaging: float = 0.998
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tuned:
    """A fine-tuned encoder in Hugging Face layout, and its heads as `heads[domain][axis] = (weight, bias)`.

    `weight` has shape (labels, width) and reads vectors of length one. `log_loss` is the tuning half's after each
    epoch, the mean over axes; `epoch` the one that was kept.
    """

    encoder: Path
    heads: dict[str, dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]]
    epoch: int
    log_loss: tuple[float, ...]


@dataclass(slots=True)
class _Progressed:
    """Where training stands: all that has to be kept to go on after an interruption."""

    fingerprint: str
    bf16: bool = False
    epoch: int = 0
    log_loss: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        return min(range(len(self.log_loss)), key=self.log_loss.__getitem__)


def fine_tune(
    source: Path,
    rows: Sequence[LabelledRow],
    labels: Labels,
    tokenizer: Tokenizer,
    work: Path,
    *,
    pad_id: int,
    pooling: str,
    tuning: Tuning,
    progress: Progress,
) -> Tuned:
    """Fine-tune the Hugging Face encoder in `source` on the training rows; `work` keeps what is needed to resume.

    Started again with the same rows, encoder and settings it goes on after the last whole epoch.

    Raises:
        ModelError: transformers cannot load the encoder, or `work` holds another training.
    """
    torch.manual_seed(tuning.seed)
    keep_freed_memory()
    network = open_network(source, labels, pooling, tuning.dropout)
    work.mkdir(parents=True, exist_ok=True)
    trainer = _Trainer(
        network,
        labels,
        tokenizer,
        pad_id,
        tuning,
        _fingerprint(source, rows, labels, pooling, tuning),
    )
    trainer.train(rows, work, progress)
    network.load_state_dict(load_file(work / BEST))
    return Tuned(
        save_encoder(network, source, work),
        heads_of(network),
        trainer.at.best,
        tuple(trainer.at.log_loss),
    )


class _Trainer:
    def __init__(
        self,
        network: Network,
        labels: Labels,
        tokenizer: Tokenizer,
        pad_id: int,
        tuning: Tuning,
        fingerprint: str,
    ) -> None:
        self.at = _Progressed(fingerprint, bf16_is_quicker(network))
        self._network, self._labels, self._tokenizer = network, labels, tokenizer
        self._pad_id, self._tuning = pad_id, tuning
        self._optimizer = torch.optim.AdamW(_groups(network, tuning), fused=True)
        self._average = AveragedModel(network, multi_avg_fn=moving(tuning.averaging))

    def train(self, rows: Sequence[LabelledRow], work: Path, progress: Progress) -> None:
        """Epochs until there are enough of them or the tuning half no longer gains."""
        taught = [row for row in rows if row.part == "train"]
        held_out = [row for row in rows if row.part == "tuning"]
        steps = math.ceil(len(taught) / self._tuning.batch_rows) * self._tuning.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: _rate(step, steps, self._tuning)
        )
        self._resume(work, schedule)
        while (
            self.at.epoch < self._tuning.epochs
            and self.at.epoch - self._best_epoch() < self._tuning.patience
        ):
            self._epoch(taught, schedule, lambda done: progress("fine-tuning", done, steps))
            self.at.log_loss.append(self._log_loss(held_out or taught))
            if self.at.best == self.at.epoch:
                save_file(_contiguous(self._average.module.state_dict()), work / BEST)
            self.at.epoch += 1
            self._keep(work, schedule)

    def _best_epoch(self) -> int:
        return self.at.best + 1 if self.at.log_loss else 0

    def _epoch(
        self, rows: Sequence[LabelledRow], schedule: Any, tell: Callable[[int], None]
    ) -> None:
        rng = random.Random(f"{self._tuning.seed} {self.at.epoch}")  # noqa: S311 - it shuffles rows
        torch.manual_seed(self._tuning.seed * 1_000 + self.at.epoch)
        self._network.train()
        ids = self._tokenizer.encode([render(variant(row.event, rng)) for row in rows])
        done = self.at.epoch * math.ceil(len(rows) / self._tuning.batch_rows)
        for batch in batches([len(one) for one in ids], self._tuning.batch_rows, rng):
            loss = self._loss(
                self._network,
                [rows[i] for i in batch],
                [
                    worn(ids[i], rng, self._tokenizer.unknown_id, self._tuning.token_dropout)
                    for i in batch
                ],
                self._tuning.label_smoothing,
            )
            self._optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self._optimizer.step()
            self._average.update_parameters(self._network)
            schedule.step()
            done += 1
            tell(done)

    def _loss(
        self,
        network: Network,
        rows: Sequence[LabelledRow],
        ids: Sequence[Sequence[int]],
        smoothing: float,
    ) -> Any:
        """The mean over the axes present of the cross-entropy with each row's gold labels, weighted alike."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.at.bf16):
            vectors = network(*_tensors(ids, self._pad_id))
        losses = []
        for domain, axes in self._labels.items():
            for axis, names in axes.items():
                taught = [
                    i
                    for i, row in enumerate(rows)
                    if row.domain == domain and set(row.gold.get(axis, ())) & set(names)
                ]
                if taught:
                    target = torch.tensor([_target(rows[i].gold[axis], names) for i in taught])
                    logits = network.heads[f"{domain} {axis}"](vectors[taught])
                    one = functional.cross_entropy(
                        logits.float(), target, label_smoothing=smoothing
                    )
                    losses.append(one * len(taught) / len(rows))
        return torch.stack(losses).sum() if losses else vectors.sum() * 0

    def _log_loss(self, rows: Sequence[LabelledRow]) -> float:
        network = self._average.module.eval()
        ids = self._tokenizer.encode([render(row.event) for row in rows])
        order = sorted(range(len(rows)), key=lambda i: len(ids[i]))
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(order), self._tuning.batch_rows):
                batch = order[start : start + self._tuning.batch_rows]
                total += float(
                    self._loss(network, [rows[i] for i in batch], [ids[i] for i in batch], 0.0)
                ) * len(batch)
        return total / len(rows)

    def _keep(self, work: Path, schedule: Any) -> None:
        state = {"at": asdict(self.at), "network": self._network.state_dict(),
                 "average": self._average.state_dict(),
                 "optimizer": self._optimizer.state_dict(), "schedule": schedule.state_dict()}  # fmt: skip
        torch.save(state, work / f"{STATE}.new")
        (work / f"{STATE}.new").replace(work / STATE)

    def _resume(self, work: Path, schedule: Any) -> None:
        if not (work / STATE).is_file():
            return
        state = torch.load(work / STATE, weights_only=True)
        if state["at"]["fingerprint"] != self.at.fingerprint:
            raise ModelError(
                f"{work} holds a training of other rows or settings; delete it or give another --out"
            )
        self.at = _Progressed(**state["at"])
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])


def moving(decay: float) -> Callable[[Sequence[Any], Sequence[Any], Any], None]:
    """An exponential moving average that reaches back no further than training has gone: a short one is not its start.

    `decay` is the share of the average that stays at each step, once there have been enough of them.
    """

    def update(average: Sequence[Any], current: Sequence[Any], steps: Any) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(list(average), list(current), 1 - kept)

    return update


def _tensors(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    longest = max(len(one) for one in ids)
    padded = torch.tensor([[*one, *[pad_id] * (longest - len(one))] for one in ids])
    mask = torch.tensor([[1.0] * len(one) + [0.0] * (longest - len(one)) for one in ids])
    return padded, mask


def _target(gold: Sequence[str], names: Sequence[str]) -> list[float]:
    known = [name for name in gold if name in names]
    return [1 / len(known) if name in known else 0.0 for name in names]


def _groups(network: Network, tuning: Tuning) -> list[dict[str, Any]]:
    """Word vectors stay as they are: most words that will be read were never taught. Lower layers move less."""
    depth = network.encoder.config.num_hidden_layers
    groups: list[dict[str, Any]] = []
    for name, parameter in network.named_parameters():
        if "word_embeddings" in name:
            parameter.requires_grad_(requires_grad=False)
            continue
        layer = next((int(part) for part in name.split(".") if part.isdigit()), 0)
        rate = tuning.learning_rate * tuning.layer_decay ** (depth - 1 - layer)
        groups.append({
            "params": [parameter],
            "lr": tuning.head_learning_rate if name.startswith("heads.") else rate,
            "weight_decay": 0.0 if parameter.ndim < 2 else tuning.weight_decay,  # noqa: PLR2004 - biases and norms
        })  # fmt: skip
    return groups


def _rate(step: int, steps: int, tuning: Tuning) -> float:
    warmup = max(1, int(steps * tuning.warmup_share))
    return (
        (step + 1) / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))
    )


def _fingerprint(
    source: Path, rows: Sequence[LabelledRow], labels: Labels, pooling: str, tuning: Tuning
) -> str:
    digest = hashlib.sha256(
        repr((asdict(tuning), pooling, {d: dict(axes) for d, axes in labels.items()})).encode()
    )
    digest.update((source / "config.json").read_bytes())
    digest.update(
        f"{[(path.name, path.stat().st_size) for path in sorted(source.glob('*.safetensors'))]}".encode()
    )
    for row in rows:
        digest.update(f"{row.part} {sorted(row.gold.items())} {render(row.event)}\n".encode())
    return digest.hexdigest()


def _contiguous(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.contiguous() for name, value in state.items()}
