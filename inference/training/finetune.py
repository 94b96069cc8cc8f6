"""Fine-tuning an encoder that all axes of all domains share, with one linear head per axis.

It needs the `finetune` extra.

Training works on what serving uses: the same tokenizer and input text, and vectors that are pooled
and scaled to length one in the same way. The result is a running average of the weights. Such
averages lie in flatter minima, which hold better on unseen sources (Cha et al., 2021, "SWAD: Domain
Generalization by Seeking Flat Minima").
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
    """How the encoder is fine-tuned. The shipped model was made with the defaults.

    Attributes:
        epochs: the most passes over the training rows.
        patience: training stops after this many epochs without a smaller log loss.
        learning_rate: the learning rate of the encoder's top layer.
        head_learning_rate: the learning rate of the heads.
        layer_decay: the learning rate of a layer is that of the layer above, times this.
        weight_decay: the weight decay of AdamW. Biases and norms have none.
        warmup_share: the share of the steps in which the learning rates rise.
        batch_rows: the number of rows in a step.
        label_smoothing: the share of the target that is spread over all labels.
        token_dropout: the share of tokens that are replaced by the unknown token.
        dropout: the share of a pooled vector's components that are set to zero.
        averaging: the share of the running average that stays in each step; see `moving`.
        seed: the seed of everything random.
    """

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
    """A fine-tuned encoder and its heads.

    Attributes:
        encoder: the directory of the encoder, in Hugging Face layout.
        heads: `heads[domain][axis]` is (weight, bias). The weight has shape (labels, width) and is
            for vectors of length one. The bias has shape (labels,).
        epoch: the epoch that was kept, counted from 0.
        log_loss: the log loss on the tuning split after each epoch. It is the mean over the rows;
            the losses of a row's axes are added up.
    """

    encoder: Path
    heads: dict[str, dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]]
    epoch: int
    log_loss: tuple[float, ...]


@dataclass(slots=True)
class _State:
    """How far the training is. It is part of the checkpoint, with the field names as keys."""

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
    """Fine-tune the Hugging Face encoder in `source` on the training rows.

    The checkpoint is kept in the directory `work`. If this is called again with the same rows,
    encoder and settings, training continues after the last whole epoch.

    Raises:
        ModelError: transformers cannot load the encoder, or `work` holds the checkpoint of a
            training with other rows or settings.
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
        trainer.state.best,
        tuple(trainer.state.log_loss),
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
        self.state = _State(fingerprint, bf16_is_quicker(network))
        self._network, self._labels, self._tokenizer = network, labels, tokenizer
        self._pad_id, self._tuning = pad_id, tuning
        self._optimizer = torch.optim.AdamW(_parameter_groups(network, tuning), fused=True)
        self._average = AveragedModel(network, multi_avg_fn=moving(tuning.averaging))

    def train(self, rows: Sequence[LabelledRow], work: Path, progress: Progress) -> None:
        """Train until all epochs are done or the tuning split no longer improves.

        If there are no tuning rows, the training rows choose the best epoch.
        """
        training_rows = [row for row in rows if row.part == "train"]
        tuning_rows = [row for row in rows if row.part == "tuning"]
        steps = math.ceil(len(training_rows) / self._tuning.batch_rows) * self._tuning.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: _rate_factor(step, steps, self._tuning)
        )
        self._resume(work, schedule)
        while (
            self.state.epoch < self._tuning.epochs
            and self.state.epoch - self._epochs_until_best() < self._tuning.patience
        ):
            self._train_epoch(
                training_rows, schedule, lambda done: progress("fine-tuning", done, steps)
            )
            self.state.log_loss.append(self._log_loss(tuning_rows or training_rows))
            if self.state.best == self.state.epoch:
                save_file(_contiguous(self._average.module.state_dict()), work / BEST)
            self.state.epoch += 1
            self._save_checkpoint(work, schedule)

    def _epochs_until_best(self) -> int:
        """How many epochs were done when the best log loss was reached."""
        return self.state.best + 1 if self.state.log_loss else 0

    def _train_epoch(
        self, rows: Sequence[LabelledRow], schedule: Any, report: Callable[[int], None]
    ) -> None:
        rng = random.Random(f"{self._tuning.seed} {self.state.epoch}")  # noqa: S311 - order
        torch.manual_seed(self._tuning.seed * 1_000 + self.state.epoch)
        self._network.train()
        ids = self._tokenizer.encode([render(variant(row.event, rng)) for row in rows])
        done = self.state.epoch * math.ceil(len(rows) / self._tuning.batch_rows)
        for batch in batches([len(tokens) for tokens in ids], self._tuning.batch_rows, rng):
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
            report(done)

    def _loss(
        self,
        network: Network,
        rows: Sequence[LabelledRow],
        ids: Sequence[Sequence[int]],
        smoothing: float,
    ) -> Any:
        """The cross-entropy with the gold labels: added up over axes, the mean over rows.

        If a row has several gold labels on an axis, they have equal weight.
        """
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.state.bf16):
            vectors = network(*_tensors(ids, self._pad_id))
        losses = []
        for domain, axes in self._labels.items():
            for axis, names in axes.items():
                labelled = [
                    i
                    for i, row in enumerate(rows)
                    if row.domain == domain and set(row.gold.get(axis, ())) & set(names)
                ]
                if labelled:
                    target = torch.tensor([_target(rows[i].gold[axis], names) for i in labelled])
                    logits = network.heads[f"{domain} {axis}"](vectors[labelled])
                    loss = functional.cross_entropy(
                        logits.float(), target, label_smoothing=smoothing
                    )
                    losses.append(loss * len(labelled) / len(rows))
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

    def _save_checkpoint(self, work: Path, schedule: Any) -> None:
        checkpoint = {
            "at": asdict(self.state),
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        }
        torch.save(checkpoint, work / f"{STATE}.new")
        (work / f"{STATE}.new").replace(work / STATE)

    def _resume(self, work: Path, schedule: Any) -> None:
        if not (work / STATE).is_file():
            return
        checkpoint = torch.load(work / STATE, weights_only=True)
        if checkpoint["at"]["fingerprint"] != self.state.fingerprint:
            raise ModelError(
                f"{work} holds a training of other rows or settings; "
                "delete it or give another --out"
            )
        self.state = _State(**checkpoint["at"])
        self._network.load_state_dict(checkpoint["network"])
        self._average.load_state_dict(checkpoint["average"])
        self._optimizer.load_state_dict(checkpoint["optimizer"])
        schedule.load_state_dict(checkpoint["schedule"])


def moving(decay: float) -> Callable[[Sequence[Any], Sequence[Any], Any], None]:
    """The update of an exponential moving average, for `AveragedModel`.

    `decay` is the share of the average that stays in each step. In the first steps a smaller share
    stays. Otherwise the average of a short training would stay close to the start.
    """

    def update(average: Sequence[Any], current: Sequence[Any], steps: Any) -> None:
        share = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(list(average), list(current), 1 - share)

    return update


def _tensors(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    """The padded token ids and their mask, both of shape (rows, tokens)."""
    longest = max(len(tokens) for tokens in ids)
    padded = torch.tensor([[*tokens, *[pad_id] * (longest - len(tokens))] for tokens in ids])
    mask = torch.tensor([[1.0] * len(tokens) + [0.0] * (longest - len(tokens)) for tokens in ids])
    return padded, mask


def _target(gold: Sequence[str], names: Sequence[str]) -> list[float]:
    """The probability of each label: the gold labels that the head knows share 1 equally."""
    known = [name for name in gold if name in names]
    return [1 / len(known) if name in known else 0.0 for name in names]


def _parameter_groups(network: Network, tuning: Tuning) -> list[dict[str, Any]]:
    """The parameters with their learning rates and weight decays.

    Word vectors are frozen, because most words that serving will read are not in the training
    rows. Lower layers get smaller learning rates.
    """
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
            # Biases and norms are vectors. They have no weight decay.
            "weight_decay": (
                0.0 if parameter.ndim < 2 else tuning.weight_decay  # noqa: PLR2004 - a vector
            ),
        })  # fmt: skip
    return groups


def _rate_factor(step: int, steps: int, tuning: Tuning) -> float:
    """The factor on the learning rates: it rises during the warm-up, then falls to 0."""
    warmup = max(1, int(steps * tuning.warmup_share))
    return (
        (step + 1) / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))
    )


def _fingerprint(
    source: Path, rows: Sequence[LabelledRow], labels: Labels, pooling: str, tuning: Tuning
) -> str:
    """A digest of all that the result depends on, to recognise the checkpoint of this training."""
    digest = hashlib.sha256(
        repr((asdict(tuning), pooling, {d: dict(axes) for d, axes in labels.items()})).encode()
    )
    digest.update((source / "config.json").read_bytes())
    sizes = [(path.name, path.stat().st_size) for path in sorted(source.glob("*.safetensors"))]
    digest.update(f"{sizes}".encode())
    for row in rows:
        digest.update(f"{row.part} {sorted(row.gold.items())} {render(row.event)}\n".encode())
    return digest.hexdigest()


def _contiguous(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.contiguous() for name, value in tensors.items()}
