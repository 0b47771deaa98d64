"""Whatever is thrown at the control API, it answers as its own OpenAPI document says, and never with a 5xx."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from remembering_proxy import TOKEN

from shaper.onboarding.control.operation import EXAMPLE
from shaper.onboarding.site.server import serve

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,ignored_auth,unsupported_method"
)


@pytest.fixture
def url(app):
    serving = serve(app)
    yield f"http://127.0.0.1:{serving.port}"
    serving.close()


@pytest.mark.timeout(300)  # about 6 s alone, and six times as long beside a busy machine's other tests
def test_schemathesis_finds_no_answer_that_the_document_does_not_allow(url, tmp_path):
    schemathesis = Path(sys.executable).with_name("st")
    command = [
        schemathesis, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}",
        "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1",
        "--generation-database", "none", "--workers", "1", "--no-color",
    ]  # fmt: skip
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert re.search(r"Tested: +13\b", result.stdout)
    assert "Unresolvable" not in result.stdout


def test_the_documents_example_of_a_policy_is_one(ask, lab):
    body = json.dumps(EXAMPLE)
    assert ask("PUT", "/v1/policy", data=body, content_type="application/yaml").status_code == 200
    assert list(lab.current.targets) == ["pictures"]
