"""The operations of the control API and its OpenAPI document, from one table.

What is not in the table is neither served nor described.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.json_schema import models_json_schema

from shaper import __version__
from shaper.onboarding.budget import Terms
from shaper.onboarding.control.audit import AuditEntry
from shaper.onboarding.control.controls import Status, Underway
from shaper.onboarding.worksheet import Configuration
from shaper.policy.dry_run import Change
from shaper.policy.model import Policy

YAML, JSON, PROBLEM = "application/yaml", "application/json", "application/problem+json"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PhaseBody(Body):
    phase: str | None = Field(max_length=64)


class PauseBody(Body):
    paused: bool


class Answer(BaseModel):
    """What an operation returns."""


class StatusAnswer(Answer):
    proxy: Status
    volunteers: dict[str, int]
    refused: dict[str, int]


class PolicyAnswer(Answer):
    digest: str
    policy: dict[str, Any]


class ConfigurationAnswer(Answer):
    configuration: Configuration
    terms: Terms


class Applied(Answer):
    digest: str
    replaced: str


class DryRun(Answer):
    digest: str
    in_force: str
    decisions: int
    changed: int
    changes: list[Change]


class PhaseHeld(Answer):
    phase: str | None


class Paused(Answer):
    paused: bool


class Transfers(Answer):
    transfers: list[Underway]


class Person(BaseModel):
    pseudonym: str
    state: str
    arm: str | None
    access: str | None
    consent_expires: float | None
    used_today: int


class Volunteers(Answer):
    volunteers: list[Person]


class Cell(BaseModel):
    state: str
    arm: str | None
    access: str | None
    volunteers: int


class Export(Answer):
    least: int
    cells: list[Cell]
    suppressed: int


class Audit(Answer):
    entries: list[AuditEntry]


class AuditVerified(Answer):
    lines: int
    last: str


class Problem(Answer):
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is the handler's name, too. `body` is JSON, unless it is POLICY: a policy file."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    name: str
    summary: str
    answer: type[Answer]
    body: type[Body] | Literal["policy"] | None = None
    limit: bool = False  # takes ?limit=
    refusals: tuple[int, ...] = ()


OPERATIONS = (
    Operation("GET", "/v1/status", "status", "The proxy and the study at a glance.", StatusAnswer),
    Operation("GET", "/v1/configuration", "configuration", "What the proxy was started with.", ConfigurationAnswer),
    Operation("GET", "/v1/policy", "policy", "The policy in force, with its digest.", PolicyAnswer),
    Operation(
        "PUT", "/v1/policy", "apply", "Put a policy in force; transfers under way keep their verdict.", Applied,
        body="policy", refusals=(409, 422),
    ),
    Operation(
        "POST", "/v1/policy/dry-run", "dry_run", "What a policy would have changed of the latest decisions.", DryRun,
        body="policy", refusals=(422,),
    ),
    Operation("POST", "/v1/policy/reload", "reload", "Read the policy file again.", Applied, refusals=(409, 422)),
    Operation(
        "PUT", "/v1/phase", "phase", "Hold study time in a phase, or let it go on (null).", PhaseHeld,
        body=PhaseBody, refusals=(422,),
    ),
    Operation("PUT", "/v1/pause", "pause", "Let everything pass unshaped, or shape again.", Paused, body=PauseBody),
    Operation("GET", "/v1/transfers", "transfers", "The transfers of targets that are under way.", Transfers),
    Operation("GET", "/v1/volunteers", "volunteers", "Everybody in the study, by pseudonym.", Volunteers),
    Operation("GET", "/v1/export", "export", "Counts of volunteers; small cells are suppressed.", Export),
    Operation("GET", "/v1/audit", "audit", "The newest lines of the audit log.", Audit, limit=True),
    Operation(
        "GET", "/v1/audit/verify", "verify", "Whether every line of the audit log follows from the one before.",
        AuditVerified, refusals=(409,),
    ),
)  # fmt: skip

TITLES = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    404: "There is no such thing here.",
    405: "Not with this method.",
    409: "It does not fit the running proxy.",
    413: "The body is too large.",
    415: "The body is of another type.",
    422: "The body can be read, but is not valid.",
}

EXAMPLE = {
    "version": 1,
    "study": "study",
    "targets": {"pictures": {"hosts": ["*.cdn.example"]}},
    "rules": [{"name": "slow", "target": "pictures", "media": ["image"], "caps": [{"rate": "150 kbit/s"}]}],
}


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    answers: list[type[BaseModel]] = [one.answer for one in OPERATIONS]
    bodies: list[type[BaseModel]] = [one.body for one in OPERATIONS if isinstance(one.body, type)]
    models: list[type[BaseModel]] = list(dict.fromkeys([*answers, *bodies, Policy, Problem]))
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "shaper control API", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas["$defs"],
        },
    }


def _described(one: Operation) -> dict[str, Any]:
    refusals: Sequence[int] = (400, 401, *((413, 415) if one.body else ()), *one.refusals)
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "responses": {
            "200": {"description": "Done.", "content": {JSON: {"schema": _ref(one.answer)}}},
            **{
                str(status): {"description": TITLES[status], "content": {PROBLEM: {"schema": _ref(Problem)}}}
                for status in sorted(refusals)
            },
        },
    }
    if one.body == "policy":
        # Spelled out once; twice would double the document and every test that is made from it.
        schema = _ref(Policy) if one.method == "PUT" else {"type": "object", "description": "As for PUT /v1/policy."}
        described["requestBody"] = {"required": True, "content": {YAML: {"schema": schema, "example": EXAMPLE}}}
    elif one.body:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(one.body)}}}
    if one.limit:
        schema = TypeAdapter(int).json_schema() | {"minimum": 1, "maximum": 1000, "default": 100}
        described["parameters"] = [{"name": "limit", "in": "query", "required": False, "schema": schema}]
    return described


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
