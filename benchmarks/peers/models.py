"""The peers' classifiers: a domain and texts in, a queue with its probability per text out.

This module runs in a peer's environment.
"""

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Answers = list[tuple[str, float]]
Classify = Callable[[str, Sequence[str]], Answers]

MAX_TOKENS = 96
"""As many tokens as the shipped model reads."""
DOMAINS = ("alerts", "tickets")


def open_model(name: str, directory: Path, batch: int, threads: int) -> Classify:
    """The classifier called `name`, whose files are in `directory`."""
    return OPENERS[name](directory, batch, threads)


def _open_transformers(directory: Path, batch: int, threads: int) -> Classify:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    torch.set_num_threads(threads)
    models = {
        domain: AutoModelForSequenceClassification.from_pretrained(directory / domain)
        for domain in DOMAINS
    }
    # Both have the same encoder: one copy of it in memory is enough.
    models["tickets"].bert = models["alerts"].bert
    tokenizer = AutoTokenizer.from_pretrained(directory / "alerts")
    pipelines = {
        domain: pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
        for domain, model in models.items()
    }

    def classify(domain: str, texts: Sequence[str]) -> Answers:
        answers = pipelines[domain](
            list(texts), batch_size=batch, truncation=True, max_length=MAX_TOKENS
        )
        return [(answer["label"], answer["score"]) for answer in answers]

    return classify


def open_pooled(directory: Path, batch: int, threads: int) -> Callable[[Sequence[str]], Any]:
    """The int8 encoder: texts in, float32 vectors of shape (texts, width) out."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        directory / "model-int8.onnx", options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()

    def pooled(texts: Sequence[str]) -> Any:
        vectors = []
        for start in range(0, len(texts), batch):
            encoded = tokenizer.encode_batch(list(texts[start : start + batch]))
            inputs = {
                "input_ids": np.array([each.ids for each in encoded], np.int64),
                "attention_mask": np.array([each.attention_mask for each in encoded], np.int64),
            }
            vectors.append(session.run(["pooled"], inputs)[0])
        return np.concatenate(vectors)

    return pooled


def _open_onnx(directory: Path, batch: int, threads: int) -> Classify:
    return _with_heads(directory, open_pooled(directory, batch, threads))


def _open_model2vec(directory: Path, _batch: int, _threads: int) -> Classify:
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(directory)
    return _with_heads(directory, lambda texts: model.encode(list(texts)))


def _with_heads(directory: Path, embed: Callable[[Sequence[str]], Any]) -> Classify:
    """The linear heads in `DOMAIN.npz` on vectors of texts."""
    import numpy as np

    heads = {domain: dict(np.load(directory / f"{domain}.npz")) for domain in DOMAINS}

    def classify(domain: str, texts: Sequence[str]) -> Answers:
        head = heads[domain]
        logits = embed(texts) @ head["weight"].T + head["bias"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return _best(powers / powers.sum(axis=1, keepdims=True), head["labels"])

    return classify


def _open_tfidf(directory: Path, _batch: int, _threads: int) -> Classify:
    # The file was written by `fitting.py` on this machine.
    models = pickle.loads((directory / "models.pickle").read_bytes())  # noqa: S301

    def classify(domain: str, texts: Sequence[str]) -> Answers:
        vectorizer, regression = models[domain]
        probabilities = regression.predict_proba(vectorizer.transform(texts))
        return _best(probabilities, list(regression.classes_))

    return classify


def _best(probabilities: Any, labels: Sequence[str]) -> Answers:
    best = probabilities.argmax(axis=1)
    return [
        (str(labels[index]), float(row[index]))
        for index, row in zip(best, probabilities, strict=True)
    ]


OPENERS: dict[str, Callable[[Path, int, int], Classify]] = {
    "transformers": _open_transformers,
    "onnx": _open_onnx,
    "model2vec": _open_model2vec,
    "tfidf": _open_tfidf,
}
