"""Random encoders as Hugging Face directories, one of each type, and their forward pass."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from streams.cli.convert import read_texts

LAYERS, WIDTH, HEADS, HIDDEN, POSITIONS = 2, 32, 4, 64, 80
EPSILON = 1e-5
OFFSETS = {"roberta": 2, "camembert": 2, "xlm-roberta": 2}
"""The number of the first position. RoBERTa and its variants start after the padding id, 1."""

SPECIALS = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Array = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[np.float32]]

# The parts of a layer that have other names in DistilBERT than in BERT.
DISTILBERT = {
    "encoder.layer.": "transformer.layer.",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def write_encoder(
    directory: Path, vocab_size: int, *, model_type: str = "bert", prefix: str = ""
) -> Arrays:
    """Write `config.json` and `model.safetensors`. Return the weights by their names in BERT.

    No weight is zero or one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = random_weights(vocab_size, model_type)
    save_file(
        {prefix + spell(name, model_type): value for name, value in weights.items()},
        weights_file(directory),
    )
    write_json(directory / "config.json", config(vocab_size, model_type))
    return weights


def random_weights(vocab_size: int, model_type: str) -> Arrays:
    """The arrays of one encoder. They are the same in every call."""
    generator = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocab_size, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        **norm("embeddings.LayerNorm"),
    }
    if model_type != "distilbert":
        token_types = 2
        if model_type in OFFSETS:
            token_types = 1
        shapes["embeddings.token_type_embeddings.weight"] = (token_types, WIDTH)
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            shapes |= linear(f"{at}attention.self.{name}", WIDTH, WIDTH)
        shapes |= linear(f"{at}attention.output.dense", WIDTH, WIDTH)
        shapes |= norm(f"{at}attention.output.LayerNorm")
        shapes |= linear(f"{at}intermediate.dense", HIDDEN, WIDTH)
        shapes |= linear(f"{at}output.dense", WIDTH, HIDDEN)
        shapes |= norm(f"{at}output.LayerNorm")
    return {
        name: (generator.normal(size=shape) * 0.2).astype(np.float32)
        for name, shape in shapes.items()
    }


def config(vocab_size: int, model_type: str) -> dict[str, Any]:
    """The fields of `config.json` that the converter reads, as transformers writes them."""
    common = {
        "model_type": model_type,
        "vocab_size": vocab_size,
        "max_position_embeddings": POSITIONS,
    }
    if model_type == "distilbert":
        return common | {
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "dim": WIDTH,
            "activation": "gelu",
            "pad_token_id": 0,
        }
    pad_id = 0
    if model_type in OFFSETS:
        pad_id = 1
    return common | {
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_size": WIDTH,
        "hidden_act": "gelu",
        "layer_norm_eps": EPSILON,
        "pad_token_id": pad_id,
    }


def forward(weights: Arrays, ids: list[int], model_type: str = "bert") -> Array:
    """The hidden states (ids, width) of BERT in float64, as in the paper (Devlin et al., 2019)."""
    wide = {name: value.astype(np.float64) for name, value in weights.items()}
    epsilon = 1e-12 if model_type == "distilbert" else EPSILON

    def apply(name: str, x: Array) -> Array:
        return x @ wide[f"{name}.weight"].T + wide[f"{name}.bias"]

    def normalise(name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        return scaled * wide[f"{name}.weight"] + wide[f"{name}.bias"]

    def split(x: Array) -> Array:
        return x.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)

    first = OFFSETS.get(model_type, 0)
    x = wide["embeddings.word_embeddings.weight"][ids]
    x = x + wide["embeddings.position_embeddings.weight"][first : first + len(ids)]
    if model_type != "distilbert":
        x = x + wide["embeddings.token_type_embeddings.weight"][0]
    x = normalise("embeddings.LayerNorm", x)
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        query, key, value = (
            split(apply(f"{at}attention.self.{name}", x)) for name in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH / HEADS))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        attended = apply(
            f"{at}attention.output.dense", mixed.transpose(1, 0, 2).reshape(len(ids), WIDTH)
        )
        x = normalise(f"{at}attention.output.LayerNorm", x + attended)
        hidden = apply(f"{at}intermediate.dense", x)
        active = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = normalise(f"{at}output.LayerNorm", x + apply(f"{at}output.dense", active))
    return np.asarray(x)


def sample_texts() -> list[str]:
    """The input texts of the shipped sample events."""
    return [text for _, text in read_texts(None)]


def wordpiece_vocabulary(texts: list[str], *, words: int = 300) -> list[str]:
    """A WordPiece vocabulary that has every character of these texts, in both cases."""
    text = " ".join(texts)
    chars = sorted(
        {part for char in text for part in (char, char.lower(), char.upper()) if len(part) == 1}
        - set(" \n")
    )
    counted = Counter(re.findall(r"\w{2,}", f"{text} {text.lower()}"))
    common = sorted(word for word, _ in counted.most_common(words))
    parts = sorted(
        {word[at : at + 3] for word in common for at in range(1, len(word) - 1)} - set(chars)
    )
    return [
        *SPECIALS,
        *chars,
        *(f"##{char}" for char in chars),
        *common,
        *(f"##{part}" for part in parts),
    ]


def write_wordpiece(directory: Path, tokens: list[str]) -> None:
    """Write `vocab.txt`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8")


def write_json(file: Path, value: Any) -> None:
    """Write a JSON file."""
    file.write_bytes(msgspec.json.encode(value))


def weights_file(directory: Path) -> Path:
    """The path of an encoder's weights."""
    return directory / "model.safetensors"


def spell(name: str, model_type: str) -> str:
    """The name of a weight in this type of encoder."""
    if model_type == "distilbert":
        for bert, distilbert in DISTILBERT.items():
            # Replaced only at the start of the name, or after the number of a layer.
            part = re.escape(bert)
            name = re.sub(rf"(?<![a-z.]){part}|(?<=\d\.){part}", distilbert, name)
    return name


def linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    """The shapes of one linear layer."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of one layer norm."""
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
