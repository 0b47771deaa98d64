"""The control API as a Flask application: the table of operations turned into routes behind the guard, and the page."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, abort, request
from pydantic import BaseModel, ValidationError

from shaper.onboarding.control.api import Api, ConflictError
from shaper.onboarding.control.audit import AuditLog
from shaper.onboarding.control.controls import Controls
from shaper.onboarding.control.guard import HOSTS, Refusals, guard
from shaper.onboarding.control.operation import JSON, OPERATIONS, YAML, Operation, document
from shaper.onboarding.control.page import add_page
from shaper.onboarding.roster import Roster
from shaper.onboarding.worksheet import Configuration
from shaper.policy.load import MAX_BYTES, PolicyError
from shaper.policy.refused import RefusedError


def make_control(
    controls: Controls,
    configuration: Configuration,
    token: str,
    audit: AuditLog,
    *,
    roster: Roster | None = None,
    count: Callable[[int], None] = lambda _status: None,
) -> Flask:
    """Return the application. `count` is told the status of every refusal."""
    app = Flask(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BYTES,
        TRUSTED_HOSTS=HOSTS,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    refusals = Refusals(count)
    guard(app, token, refusals)
    api = Api(controls, configuration, audit, roster, refusals)
    for operation in OPERATIONS:
        app.add_url_rule(
            operation.path, operation.name, _view(operation, getattr(api, operation.name)), methods=[operation.method]
        )
    add_page(app, api, token, refusals)
    description = document()
    app.add_url_rule("/openapi.json", "openapi", lambda: description)
    return app


def _view(operation: Operation, handle: Callable[..., BaseModel]) -> Callable[[], Response]:
    def view() -> Response:
        try:
            answer = handle(**_arguments(operation))
        except (PolicyError, RefusedError) as error:
            abort(422, str(error))
        except ConflictError as error:
            abort(409, str(error))
        return Response(answer.model_dump_json() + "\n", content_type=JSON)

    return view


def _arguments(operation: Operation) -> Mapping[str, Any]:
    """Read what the operation takes, strictly, or refuse."""
    if operation.limit:
        return {"limit": _limit(request.args.get("limit", "100"))}
    if operation.body is None:
        return {}
    expected = YAML if operation.body == "policy" else JSON
    if request.mimetype != expected:
        abort(415, f"Send it as {expected}.")
    body = request.get_data()
    if operation.body == "policy":
        return {"text": body}
    try:
        return {"body": operation.body.model_validate_json(body)}
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        abort(400, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= 1000):
        abort(400, "limit: write a number from 1 to 1000")
    return int(text)
