"""The network that is fine-tuned: read from a Hugging Face directory and written back to one.

It needs the `finetune` extra.
"""

import ctypes
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel
from transformers.utils import logging as hugging_face

from inference.errors import ModelError
from inference.labelled import Labels

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h of glibc

TOKENIZER_FILES = (
    "sentencepiece.model",
    "vocab.txt",
    "vocabulary.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


class Network(nn.Module):  # type: ignore[misc]
    """The encoder and its heads. Each head maps the vector of a text to one logit per label."""

    def __init__(self, encoder: Any, labels: Labels, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        width = encoder.config.hidden_size
        self.scale = math.sqrt(width)
        self.heads = nn.ModuleDict({
            f"{domain} {axis}": nn.Linear(width, len(names))
            for domain, axes in labels.items()
            for axis, names in axes.items()
        })  # fmt: skip

    def forward(self, ids: Any, mask: Any) -> Any:
        """Pooled vectors of length sqrt(width), float32 of shape (rows, width), with dropout.

        `ids` and `mask` have shape (rows, tokens). The heads are applied by the caller.
        """
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return self.dropout(functional.normalize(pooled, dim=-1) * self.scale)


def open_network(source: Path, labels: Labels, pooling: str, dropout: float) -> Network:
    """The Hugging Face encoder in `source`, with a new head of random weights for each axis.

    Raises:
        ModelError: transformers cannot load the encoder.
    """
    # transformers warns of missing weights, but they belong to heads that are not used here. Its
    # progress bars would overwrite ours.
    hugging_face.set_verbosity_error()
    hugging_face.disable_progress_bar()
    try:
        encoder = AutoModel.from_pretrained(
            source,
            dtype=torch.float32,
            local_files_only=True,
            # On a CPU the backward pass of fused attention has half the speed.
            attn_implementation="eager",
            # The dropout masks of the layers would take a third of a step. Dropout is applied to
            # tokens and pooled vectors instead.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{source} holds no encoder transformers can load: {str(error).splitlines()[0]}"
        ) from None
    return Network(encoder, labels, pooling, dropout)


def save_encoder(network: Network, source: Path, work: Path) -> Path:
    """Write the encoder below `work` in Hugging Face layout, with the tokenizer of `source`."""
    out = work / "encoder"
    network.encoder.save_pretrained(out)
    # The config.json that transformers writes lacks keys that older converters need. The
    # architecture is the same, so the source's file still fits.
    shutil.copyfile(source / "config.json", out / "config.json")
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    return out


def heads_of(
    network: Network,
) -> dict[str, dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]]:
    """The heads as `heads[domain][axis]`: the weight (labels, width) and the bias (labels,).

    The weights are for vectors of length one.
    """
    heads: dict[str, dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]] = {}
    for name, head in network.heads.items():
        domain, axis = name.split(" ", 1)
        weight = (head.weight.detach() * network.scale).numpy()
        heads.setdefault(domain, {})[axis] = (weight, head.bias.detach().numpy())
    return heads


def bf16_is_quicker(network: Network) -> bool:
    """Whether a forward pass is faster in bf16 than in float32 on this CPU.

    This is measured, because CPUs without bf16 instructions also run it, a hundred times slower.
    """
    return min(_forward_s(network, bf16=True) for _ in range(3)) < min(
        _forward_s(network, bf16=False) for _ in range(3)
    )


def _forward_s(network: Network, *, bf16: bool) -> float:
    ids, mask = torch.full((16, 64), 5), torch.ones(16, 64)
    started_s = time.perf_counter()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        network(ids, mask)
    return time.perf_counter() - started_s


def keep_freed_memory() -> None:
    """Let glibc keep the memory of large arrays for the next ones.

    By default it returns each large array to the kernel and requests it again. On a CPU that takes
    half the time of a step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return
    for parameter, value in ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1)):
        mallopt(parameter, value)
