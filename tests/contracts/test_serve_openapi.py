"""The server against its own OpenAPI document: every example works, and made-up requests find no
answer that the document does not know.

``CAIRN_API_EXAMPLES`` sets how many requests are made up for each operation; ``make reliability``
asks for many.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from cairn.manifest import Manifest
from cairn.serve.app import create_app
from cairn.serve.server import Server
from cairn.serve.settings import ServeSettings
from measuring.small_gallery import jpeg, make_gallery, serving

EXAMPLES = int(os.environ.get("CAIRN_API_EXAMPLES", "4"))
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    return make_gallery(tmp_path_factory.mktemp("served"), pictures)


@pytest.fixture(scope="module")
def client(gallery: Path) -> Iterator[TestClient]:
    with serving(gallery) as made:
        yield made


@pytest.fixture(scope="module")
def api(gallery: Path) -> Iterator[Any]:
    server = Server(gallery, ServeSettings(), backend="torch", device="cpu")
    app = create_app(server)
    with TestClient(app):  # which starts and stops it, once

        async def running(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await app(scope, receive, send)
                return
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})

        yield schemathesis.openapi.from_asgi("/openapi.json", running)


def test_made_up_requests_are_answered_as_the_document_says(api: Any) -> None:
    count = 0
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)

        send()
        count += 1
    assert count >= 22


def test_every_example_of_the_document_works(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    sent = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            for example in content.get("application/json", {}).get("examples", {}).values():
                value = example["value"]
                where = path.replace("{landmark_id}", "landmark0")
                if "into" in value:
                    value = {"into": "landmark1"}
                if "name" in value:
                    where = path.replace("{landmark_id}", "landmark1")
                if value.get("version") == "good" or "folder" in value:
                    continue  # a tag and a folder that are not here
                answer = client.request(method, where, json=value)
                assert answer.status_code == 200, (path, answer.text)
                sent += 1
    assert sent >= 5


def test_every_operation_says_what_it_answers(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert len(document["paths"]) >= 18
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            problems = operation["responses"]["4XX"]["content"]
            assert list(problems) == ["application/problem+json"]


def test_a_client_of_google_s_can_switch(client: TestClient) -> None:
    """The request as Google's documentation shows it, and the members that its clients read."""
    body = {
        "requests": [
            {
                "image": {"content": base64.b64encode(jpeg(3)).decode()},
                "features": [
                    {"maxResults": 10, "type": "LANDMARK_DETECTION", "model": "builtin/stable"}
                ],
            }
        ]
    }
    (answer,) = client.post("/v1/images:annotate", json=body).json()["responses"]
    for found in answer["landmarkAnnotations"]:
        assert {"mid", "description", "score", "boundingPoly"} <= set(found)
        assert isinstance(found["score"], float)
        for place in found.get("locations", []):
            assert set(place["latLng"]) == {"latitude", "longitude"}
