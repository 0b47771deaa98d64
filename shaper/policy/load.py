"""Policy files: YAML text into a Policy, or one PolicyError with place, line, subject, problem and remedy.

The only file that knows YAML. It reads a subset that cannot surprise: one document of mappings, lists and scalars,
without tags, anchors, aliases or duplicate keys, bounded in size and depth. Keys are text; plain scalars are text
unless they are `true`, `false`, `null` or decimal numbers. Whatever the bytes, no other error leaves this file.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError, shown

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 16

type Where = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads 10,000 host patterns ten times faster
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?")


class PolicyError(Exception):
    """Why a policy cannot be used, on one line; `further` holds the other problems found in the same file."""

    def __init__(self, place: str, line: int | None, subject: str, problem: str, remedy: str) -> None:
        where = place if line is None else f"{place}:{line}"
        super().__init__(f"{where}: {subject}: {problem}; {remedy}" if subject else f"{where}: {problem}; {remedy}")
        self.place = place
        self.line = line
        self.subject = subject
        self.problem = problem
        self.remedy = remedy
        self.further: tuple[PolicyError, ...] = ()


def load(path: Path) -> Policy:
    """Read the policy file, or raise PolicyError."""
    return load_as(Policy, path)


def load_as[T: BaseModel](model: type[T], path: Path) -> T:
    """Read a file of another shape, with the same care."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise PolicyError(str(path), None, "", f"cannot be read: {problem}", "check the path") from None
    return loads_as(model, content, str(path))


def loads(content: str | bytes, place: str) -> Policy:
    """Read a policy from YAML, or raise PolicyError. `place` is how errors name it."""
    return loads_as(Policy, content, place)


def loads_as[T: BaseModel](model: type[T], content: str | bytes, place: str) -> T:
    """Read YAML of another shape, with the same care."""
    document = _Document(_text(content, place), place)
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        found = [document.explain(details) for details in _relevant(error)]
        first, *others = sorted(found, key=attrgetter("line"))
        first.further = tuple(others)
        raise first from None


def quick(limits: Sequence[str]) -> Policy:
    """Return the policy that `shaper run --limit` asks for, each as in "image,video *.twimg.com 150 kbit/s"."""
    example = 'write for example "image,video *.twimg.com 150 kbit/s"'
    targets: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    for number, limit in enumerate(limits, 1):
        try:
            media, hosts, rate = limit.split(maxsplit=2)
        except ValueError:
            raise PolicyError("--limit", None, "", f"{shown(limit)} is not a limit", example) from None
        targets[f"limit-{number}"] = {"hosts": hosts.split(",")}
        rules.append(
            {
                "name": f"limit-{number}",
                "target": f"limit-{number}",
                "media": media.split(","),
                "caps": [{"rate": rate}],
            }
        )
    try:
        return Policy.model_validate({"version": 1, "study": "quick", "targets": targets, "rules": rules})
    except ValidationError as error:
        problem, remedy, _ = _reason(_relevant(error)[0])
        raise PolicyError("--limit", None, "", problem, remedy if limits else example) from None


def _text(content: str | bytes, place: str) -> str:
    if len(content) > MAX_BYTES:
        raise PolicyError(place, None, "", "larger than 4 MiB", "split the study into several policies")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        text.encode()
    except UnicodeError:
        raise PolicyError(place, None, "", "not UTF-8 text", "save the file as UTF-8") from None
    return text


class _Document:
    """The plain data of one YAML document, and the line on which each part of it stands."""

    def __init__(self, text: str, place: str) -> None:
        self.place = place
        self.lines: dict[Where, int] = {(): 1}
        events = self._events(text)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            raise self._error(1, "empty", "write a policy; policies/example.yaml is one")
        self.data = self._value(next(events), events, ())
        next(events)  # the end of the document
        if not isinstance(event := next(events), yaml.StreamEndEvent):
            raise self._error(event.start_mark.line + 1, "a second document begins", "keep one policy in a file")

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            problem = f"not YAML: {error.problem or error.context}"
            raise self._error(line, problem, "check indentation, colons and quotes") from None
        except yaml.reader.ReaderError as error:
            line = text[: error.position].count("\n") + 1
            raise self._error(line, "holds a control character", "remove it") from None

    def _value(self, event: Any, events: Iterator[Any], path: Where) -> Any:
        line = event.start_mark.line + 1
        self.lines.setdefault(path, line)
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._error(line, "anchors and aliases are not read", "write the value out", path)
        if event.tag:
            raise self._error(line, f"the tag {shown(event.tag)} is not read", "remove it", path)
        if len(path) > MAX_DEPTH:
            raise self._error(line, "nested too deeply", "see docs/policy.md for the shape", path)
        match event:
            case yaml.ScalarEvent():
                return _scalar(event.value) if event.implicit[0] else event.value
            case yaml.SequenceStartEvent():
                return self._sequence(events, path)
            case _:
                return self._mapping(events, path)

    def _sequence(self, events: Iterator[Any], path: Where) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: Where) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
                raise self._error(line, "a key is not plain text", "write key: value", path)
            key = event.value
            if key in entries:
                first = self.lines[*path, key]
                problem = f"the key {shown(key)} is there twice, first on line {first}"
                raise self._error(line, problem, "keep one of them", path)
            self.lines[*path, key] = line
            entries[key] = self._value(next(events), events, (*path, key))
        return entries

    def explain(self, details: ErrorDetails) -> PolicyError:
        """Return the PolicyError for what pydantic found."""
        problem, remedy, at = _reason(details)
        path: Where = ()
        for part in (*details["loc"], *at):
            if (*path, part) in self.lines:  # pydantic also names union members, which the file does not
                path = (*path, part)
        return self._error(self.lines[path], problem, remedy, path)

    def _error(self, line: int | None, problem: str, remedy: str, path: Where = ()) -> PolicyError:
        return PolicyError(self.place, line, self._subject(path), problem, remedy)

    def _subject(self, path: Where) -> str:
        match path:
            case ("rules" | "phases" as kind, int(index), *_):
                name = self._at(kind, index, "name")
                return f"{kind[:-1]} {shown(name) if isinstance(name, str) else index + 1}"
            case ("targets" | "arms" as kind, str(name), *_):
                return f"{kind[:-1]} {shown(name)}"
            case (str(key), *_):
                return key
            case _:
                return ""

    def _at(self, *path: str | int) -> Any:
        value: Any = getattr(self, "data", None)
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def _scalar(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if number := _NUMBER.fullmatch(text):
        return float(text) if number[1] else int(text)
    return text


def _relevant(error: ValidationError) -> list[ErrorDetails]:
    """Return what was found, less the lists that pydantic takes for empty because their items are at fault."""
    return [details for details in error.errors() if details["type"] != "too_short" or not details["input"]]


def _reason(details: ErrorDetails) -> tuple[str, str, Where]:
    """Return the problem, the remedy and where, below pydantic's location, it is."""
    context, kind, value = details.get("ctx", {}), details["type"], shown(details["input"])
    if isinstance(error := context.get("error"), RefusedError):
        return error.problem, error.remedy, error.at
    if kind in _ASKED:
        key = next((part for part in reversed(details["loc"]) if isinstance(part, str)), "")
        problem, remedy = _ASKED[kind]
        return problem.format(key=key, value=value), remedy, ()
    if kind in {"enum", "literal_error"}:
        expected = str(context["expected"]).replace("'", '"')
        near = get_close_matches(str(details["input"]), re.findall(r'"(.*?)"', expected))
        return f"{value} is not known", f'did you mean "{near[0]}"?' if near else f"write {expected}", ()
    return f"{value}: {details['msg'][:1].lower()}{details['msg'][1:]}", "see docs/policy.md", ()


_ASKED = {
    "missing": ('"{key}" is missing', "add it"),
    "too_short": ("no {key}", "write at least one"),
    "string_pattern_mismatch": ("{value} is not a name", 'use up to 64 of A-Z, a-z, 0-9, ".", "_" and "-"'),
    "tuple_type": ("{value} is not a list", "put it in [ ]"),
    "string_type": ("{value} is not text", "put it in quotes"),
    "dict_type": ("{value} is not a mapping", "write key: value"),
    "model_type": ("{value} is not a mapping", "write key: value"),
}
