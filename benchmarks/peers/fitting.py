"""Makes the peers' models from labelled rows, and answers the test rows with them.

`python -m benchmarks.peers.fitting STEP DIRECTORY …` runs in a peer's environment. The rows are in
`DIRECTORY/rows.ndjson`, one object each with `domain`, `text`, `part` (`train` or `test`) and
`queue`; each model has a directory of its own beside that file.
"""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.models import DOMAINS, open_model, open_pooled

BATCH = 32
INVERSE_REGULARISATION = 30.0
"""Of the logistic regression on vectors of an encoder."""


def export_onnx(directory: Path, encoder: Path) -> None:
    """The frozen encoder as an ONNX graph in float32. It gives tanh of the first token's vector.

    That is what the head of `BertForSequenceClassification` reads if the pooler is the identity.
    """
    import torch

    class Pooled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, bert: Any) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.bert(input_ids, attention_mask=attention_mask).pooler_output

    out = directory / "onnx"
    out.mkdir(exist_ok=True)
    bert, tokenizer = _open_encoder(encoder)
    tokenizer.save_pretrained(out)
    ids = torch.ones(2, 16, dtype=torch.int64)
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        Pooled(bert),
        (ids, torch.ones_like(ids)),
        str(out / "model.onnx"),
        input_names=["input_ids", "attention_mask"],
        output_names=["pooled"],
        dynamic_shapes={"input_ids": shape, "attention_mask": shape},
        external_data=False,
    )


def quantize_onnx(directory: Path) -> None:
    """Dynamic quantisation to int8, with the calls of ONNX Runtime's documentation."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    out = directory / "onnx"
    prepared = out / "model-prepared.onnx"
    quant_pre_process(out / "model.onnx", prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, out / "model-int8.onnx", weight_type=QuantType.QInt8)


def embed(directory: Path) -> None:
    """The vectors of the training rows, in int8: in float32 it would take an hour."""
    import numpy as np

    # Two threads wait for each other in a busy loop, which is slow on a machine with other work.
    pooled = open_pooled(directory / "onnx", BATCH, 1)
    for domain in DOMAINS:
        texts = [row["text"] for row in _training_rows(directory, domain)]
        order = _by_length(texts)
        vectors = pooled([texts[place] for place in order])
        np.save(directory / "onnx" / f"{domain}.npy", vectors[np.argsort(order)])


def fit_transformers(directory: Path, encoder: Path) -> None:
    """A linear head per domain on the frozen encoder, for `onnx` and as a Hugging Face model.

    The head is a logistic regression on the vectors of `embed`. For the pipeline it is written
    into the linear layer of a `BertForSequenceClassification` whose pooler is the identity.
    """
    import numpy as np
    import torch
    from transformers import AutoConfig, BertForSequenceClassification

    bert, tokenizer = _open_encoder(encoder)
    for domain in DOMAINS:
        vectors = np.load(directory / "onnx" / f"{domain}.npy")
        labels, weight, bias = _fit_head(vectors, directory, domain, "onnx")
        config = AutoConfig.from_pretrained(encoder, id2label=dict(enumerate(labels)))
        model = BertForSequenceClassification(config)
        model.bert = bert
        with torch.no_grad():
            model.classifier.weight.copy_(torch.from_numpy(weight))
            model.classifier.bias.copy_(torch.from_numpy(bias))
        out = directory / "transformers" / domain
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)


def fit_model2vec(directory: Path, encoder: Path) -> None:
    """Static vectors distilled from the encoder, and a logistic regression on them per domain."""
    from model2vec.distill import distill_from_model

    bert, tokenizer = _open_encoder(encoder)
    model = distill_from_model(bert, tokenizer, device="cpu")
    model.save_pretrained(directory / "model2vec")
    for domain in DOMAINS:
        texts = [row["text"] for row in _training_rows(directory, domain)]
        _fit_head(model.encode(texts), directory, domain, "model2vec")


def fit_tfidf(directory: Path) -> None:
    """Words, pairs of words and characters of words, and a logistic regression per domain."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import FeatureUnion

    models = {}
    for domain in DOMAINS:
        rows = _training_rows(directory, domain)
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
        characters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2
        )
        vectorizer = FeatureUnion([("words", words), ("characters", characters)])
        features = vectorizer.fit_transform([row["text"] for row in rows])
        regression = LogisticRegression(
            C=10.0, solver="saga", tol=1e-3, max_iter=50, random_state=0
        )
        regression.fit(features, [row["queue"] for row in rows])
        models[domain] = vectorizer, regression
    out = directory / "tfidf"
    out.mkdir(exist_ok=True)
    (out / "models.pickle").write_bytes(pickle.dumps(models))


def answer(directory: Path, name: str) -> None:
    """Write `answers.json`: per domain, the queue and the probability for each test row."""
    out = directory / name
    classify = open_model(name, out, BATCH, 2)
    answers = {}
    for domain in DOMAINS:
        texts = [row["text"] for row in _rows(directory, domain, "test")]
        order = _by_length(texts)
        answered = classify(domain, [texts[place] for place in order])
        of_place = dict(zip(order, answered, strict=True))
        answers[domain] = [of_place[place] for place in range(len(texts))]
    (out / "answers.json").write_text(json.dumps(answers), "utf-8")


def _open_encoder(encoder: Path) -> tuple[Any, Any]:
    """The encoder in float32 with the identity as its pooler, and its tokenizer."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    bert = AutoModel.from_pretrained(encoder, dtype=torch.float32).eval()
    with torch.no_grad():
        bert.pooler.dense.weight.copy_(torch.eye(bert.config.hidden_size))
        bert.pooler.dense.bias.zero_()
    return bert, AutoTokenizer.from_pretrained(encoder)


def _fit_head(vectors: Any, directory: Path, domain: str, model: str) -> tuple[list[str], Any, Any]:
    """Labels, weight of shape (labels, width) and bias (labels,) of a logistic regression."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1_000)
    regression.fit(vectors, [row["queue"] for row in _training_rows(directory, domain)])
    labels = [str(label) for label in regression.classes_]
    weight, bias = regression.coef_.astype(np.float32), regression.intercept_.astype(np.float32)
    np.savez(directory / model / f"{domain}.npz", labels=labels, weight=weight, bias=bias)
    return labels, weight, bias


def _by_length(texts: list[str]) -> list[int]:
    """The places of the texts, the shortest first: batches of them are padded little."""
    return sorted(range(len(texts)), key=lambda place: len(texts[place]))


def _training_rows(directory: Path, domain: str) -> list[dict[str, str]]:
    return _rows(directory, domain, "train")


def _rows(directory: Path, domain: str, part: str) -> list[dict[str, str]]:
    lines = (directory / "rows.ndjson").read_text("utf-8").splitlines()
    rows = map(json.loads, lines)
    return [row for row in rows if row["domain"] == domain and row["part"] == part]


STEPS: dict[str, Callable[..., None]] = {
    "export_onnx": export_onnx,
    "quantize_onnx": quantize_onnx,
    "embed": embed,
    "fit_transformers": fit_transformers,
    "fit_model2vec": fit_model2vec,
    "fit_tfidf": fit_tfidf,
}

if __name__ == "__main__":
    step, directory_, *rest = sys.argv[1:]
    if step == "answer":
        answer(Path(directory_), rest[0])
    else:
        STEPS[step](Path(directory_), *map(Path, rest))
