"""A real but tiny model directory, for tests where the shipped model would only cost time.

The real converter, manifest, tokenizer and encoder make it. Its labels mean nothing, but its
confidences vary: in both domains, about two thirds of the shipped sample events are accepted, and
the others are escalated.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import sentencepiece
from safetensors.numpy import save_file

from inference.acceptance.samples import CALIBRATION_SPLITS
from inference.arrays import DECIMALS, Floats, Vectors
from inference.model.artifact import (
    CALIBRATION_ROWS_FILE,
    CARD,
    HEADS_FILE,
    load_artifact,
    write_calibration,
    write_manifest,
)
from inference.model.encoder import Encoder, open_encoder, open_tokenizer, start_encoder
from inference.model.heads import AxisLogits, Head, Heads, calibrated, unit
from inference.model.input_text import INPUT_TEXT_FORMAT, read_content, render
from inference.model.manifest import (
    AxisCalibration,
    AxisSpec,
    DomainCalibration,
    DomainSpec,
    EncoderSpec,
)
from inference.model.ngrams import BUCKETS, NgramHead, columns_of
from inference.model.out_of_distribution import Centres
from inference.training.convert import convert
from schemas.errors import InvalidEvent
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Event, Origin
from schemas.formats import read_event

SAMPLES = Path(__file__).parents[1] / "streams" / "samples"
LAYERS, WIDTH, ATTENTION_HEADS, HIDDEN = 2, 32, 2, 64
MAX_TOKENS, POSITIONS = 64, 512
PIECES = 400
PAD_ID, UNKNOWN_ID, BEGIN_ID, END_ID = range(4)
COVERAGE = 0.67
REPEATS = 5
"""How often each sample text is in each split of the calibration rows; a promise needs many."""

NGRAM_AXES = ("queue", "severity", "priority")
"""The axes that have n-gram columns."""

Arrays = dict[str, npt.NDArray[np.float32]]

LABELS: dict[Domain, dict[str, tuple[str, ...]]] = {
    "alerts": {
        "queue": (
            "endpoint", "cloud", "identity", "network", "email", "saas", "posture", "application",
        ),
        "tactic": ("initial-access", "execution", "persistence", "exfiltration", "impact"),
        "severity": ("informational", "low", "medium", "high", "critical"),
    },
    "tickets": {
        "queue": (
            "access_identity", "card_orders", "card_problems", "cash_atm", "fees_fx", "fraud_lost",
            "refunds_disputes", "top_up", "transfers", "out_of_scope",
        ),
        "intent": (
            "activate_my_card", "card_arrival", "exchange_rate", "lost_or_stolen_card",
            "top_up_failed",
        ),
        "priority": ("urgent", "high", "normal", "low"),
    },
}  # fmt: skip


def sample_events(domain: Domain) -> list[Event]:
    """The shipped sample events of a domain, without the malformed ones."""
    lines = (SAMPLES / f"{domain}.ndjson").read_bytes().splitlines()
    events = []
    for offset, line in enumerate(lines):
        try:
            event = read_event(
                line, origin=Origin(topic="samples", offset=offset), kind=KIND_OF_DOMAIN[domain]
            )
        except InvalidEvent:
            continue
        events.append(event)
    return events


def build_tiny_model(directory: Path, *, seed: int = 0) -> Path:
    """Write a model of two layers of width 32 into `directory`, in about a second.

    The same seed gives the same model.
    """
    generator = np.random.default_rng(seed)
    texts = {domain: [render(event) for event in sample_events(domain)] for domain in DOMAINS}
    source = directory / "source"
    source.mkdir(parents=True)
    vocabulary = _train_pieces([text for domain in DOMAINS for text in texts[domain]], source)
    _write_bert(source, vocabulary, generator)
    convert(source, directory)
    for file in source.iterdir():
        file.unlink()
    source.rmdir()
    spec = EncoderSpec(
        width=WIDTH,
        pooling="mean",
        max_tokens=MAX_TOKENS,
        prefix_ids=[BEGIN_ID],
        suffix_ids=[END_ID],
        pad_id=PAD_ID,
        vocab_size=len(vocabulary),
        compute_type="int8",
    )
    tokenizer, encoder = open_tokenizer(directory, spec), start_encoder(directory, spec)
    vectors = {domain: encoder.embed(tokenizer.encode(texts[domain])) for domain in DOMAINS}
    domains, calibrations = _write_heads(directory, vectors, generator)
    (directory / CARD).write_text("# tiny\n\nRandom weights, for tests only.\n", "utf-8")
    write_manifest(
        directory, name=f"tiny-{seed}", encoder=spec, domains=domains, training={"seed": seed}
    )
    write_calibration(directory, calibrations, {"rows": "sample events"})
    return directory


def open_tiny_encoder(directory: Path, *, replicas: int = 2) -> Encoder:
    """The encoder of a tiny model, with one thread per replica."""
    return open_encoder(load_artifact(directory), replicas=replicas, threads_per_replica=1)


def _train_pieces(texts: list[str], out: Path) -> list[str]:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in texts for line in text.splitlines()]),
        model_writer=model,
        vocab_size=PIECES,
        model_type="bpe",
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        pad_id=PAD_ID,
        unk_id=UNKNOWN_ID,
        bos_id=BEGIN_ID,
        eos_id=END_ID,
        pad_piece="[PAD]",
        unk_piece="[UNK]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
    )
    (out / "sentencepiece.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [pieces.id_to_piece(i) for i in range(len(pieces))]


def _write_bert(out: Path, vocabulary: list[str], generator: np.random.Generator) -> None:
    """Write a Hugging Face BERT directory of random weights."""
    config = {
        "model_type": "bert",
        "num_hidden_layers": LAYERS,
        "num_attention_heads": ATTENTION_HEADS,
        "hidden_size": WIDTH,
        "vocab_size": len(vocabulary),
        "pad_token_id": PAD_ID,
    }
    (out / "config.json").write_bytes(msgspec.json.encode(config))
    (out / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary))
    weights: Arrays = {}
    for name, rows in (("word", len(vocabulary)), ("position", POSITIONS), ("token_type", 2)):
        # Words have the largest weights. If positions had them, a vector would mostly depend on
        # the length of its text, and all confidences would be alike.
        scale = np.float32(0.1)
        if name == "word":
            scale = np.float32(1.0)
        weights[f"embeddings.{name}_embeddings.weight"] = scale * _random(generator, rows, WIDTH)
    weights |= _norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        for name in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ):
            weights |= _linear(generator, f"{prefix}.{name}", WIDTH, WIDTH)
        weights |= _norm(f"{prefix}.attention.output.LayerNorm")
        weights |= _linear(generator, f"{prefix}.intermediate.dense", HIDDEN, WIDTH)
        weights |= _linear(generator, f"{prefix}.output.dense", WIDTH, HIDDEN)
        weights |= _norm(f"{prefix}.output.LayerNorm")
    save_file(weights, out / "model.safetensors")


def _random(generator: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return generator.standard_normal(shape, dtype=np.float32)


def _linear(generator: np.random.Generator, name: str, out: int, into: int) -> Arrays:
    weight = _random(generator, out, into) / np.float32(np.sqrt(into))
    return {f"{name}.weight": weight, f"{name}.bias": np.zeros(out, np.float32)}


def _norm(name: str) -> Arrays:
    return {
        f"{name}.weight": np.ones(WIDTH, np.float32),
        f"{name}.bias": np.zeros(WIDTH, np.float32),
    }


def _write_heads(
    out: Path, vectors: dict[Domain, Vectors], generator: np.random.Generator
) -> tuple[dict[str, DomainSpec], dict[str, DomainCalibration]]:
    tensors: dict[str, npt.NDArray[Any]] = {}
    rows: dict[str, npt.NDArray[Any]] = {}
    domains: dict[str, DomainSpec] = {}
    calibrations: dict[str, DomainCalibration] = {}
    for domain, axes in LABELS.items():
        heads = _heads(domain, vectors[domain], generator)
        for axis, (weight, bias) in heads.arrays().items():
            tensors |= {f"{domain}.{axis}.weight": weight, f"{domain}.{axis}.bias": bias}
        ngram_head = heads.ngram_head
        tensors |= {
            f"{domain}.centres": heads.centres.vectors,
            f"{domain}.lexical.idf": ngram_head.idf,
            f"{domain}.lexical.weights": ngram_head.weights,
            f"{domain}.lexical.scales": ngram_head.scales.astype(np.float32),
            f"{domain}.lexical.bias": ngram_head.bias.astype(np.float32),
        }
        specs = {
            axis: AxisSpec(labels=list(names), ngrams=axis in NGRAM_AXES)
            for axis, names in axes.items()
        }
        domains[domain] = DomainSpec(input_text=INPUT_TEXT_FORMAT, axes=specs)
        features = [ngram_head.features(read_content(event)) for event in sample_events(domain)]
        axis_logits = heads.logits(vectors[domain], features)
        calibrations[domain], arrays = _calibrate(axis_logits, axes)
        rows |= {
            f"{domain}.{split}.{name}": array
            for split in CALIBRATION_SPLITS
            for name, array in arrays.items()
        }
    save_file(tensors, out / HEADS_FILE)
    save_file(rows, out / CALIBRATION_ROWS_FILE)
    return domains, calibrations


def _heads(domain: Domain, vectors: Vectors, generator: np.random.Generator) -> Heads:
    units = np.array([unit(vector) for vector in vectors])
    heads = {}
    for axis, names in LABELS[domain].items():
        weight, bias = _head(units, len(names), generator)
        heads[axis] = Head(names, weight.astype(np.float64), bias.astype(np.float64))
    labels = {axis: names for axis, names in LABELS[domain].items() if axis in NGRAM_AXES}
    columns = sum(len(names) for names in labels.values())
    ngram_head = NgramHead(
        np.ones(BUCKETS, np.float32),
        generator.integers(-127, 128, (BUCKETS, columns), dtype=np.int8),
        np.full(columns, np.float32(0.05)).astype(np.float64),
        np.zeros(columns),
        columns_of(labels),
    )
    return Heads(heads, ngram_head, Centres(units[:8].astype(np.float32)))


def _calibrate(
    axis_logits: AxisLogits, axes: Mapping[str, Sequence[str]]
) -> tuple[DomainCalibration, dict[str, npt.NDArray[Any]]]:
    """A calibration, and the arrays of each split of its rows.

    The least confident third of the rows is wrong and all others are right. Every axis then
    supports a threshold in between.
    """
    mixtures = {axis: AxisCalibration(ngram_share=0.5, temperature=1.0, shares=[]) for axis in axes}
    error_probabilities = []
    for axis, probabilities in calibrated(axis_logits, mixtures).items():
        counts = np.bincount(probabilities.argmax(axis=1), minlength=len(axes[axis]))
        shares = (counts / len(probabilities)).round(DECIMALS).tolist()
        mixtures[axis] = msgspec.structs.replace(mixtures[axis], shares=shares)
        error_probabilities.append(1.0 - probabilities.max(axis=1))
    error_probability = np.stack(error_probabilities, axis=1)
    error_probability = np.tile(error_probability, (REPEATS, 1)).astype(np.float32)
    limits = np.quantile(error_probability, COVERAGE, axis=0)
    # No event with words reaches these limits, so none is out of distribution.
    calibration = DomainCalibration(
        axes=mixtures, max_excess_tokens=1000.0, max_distance=1000.0, tenants=[]
    )
    return calibration, {
        "doubt": error_probability,
        "correct": (error_probability <= limits).astype(np.int8),
        "tenant": np.full(len(error_probability), -1, np.int32),
        "unseen": np.zeros(len(error_probability), np.uint8),
    }


def _head(
    units: Floats, labels: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Random directions, centred and scaled on the sample texts.

    Centred, no label always wins. Scaled, some labels win with high confidence.
    """
    weight = generator.standard_normal((labels, units.shape[1]))
    logits = units @ weight.T
    scale = 4.0 / logits.std(axis=0).mean()
    return (weight * scale).astype(np.float32), (-logits.mean(axis=0) * scale).astype(np.float32)
