"""The settings of each program: reference page, JSON schema, and a commented example file."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from framegate_agent.settings import AgentSettings
from framegate_console.settings import ConsoleSettings
from framegate_controller.settings import ControllerSettings
from framegate_gateway.settings import GatewaySettings
from framegate_host.setting_records import Declared, Place, Settings, declared
from framegate_host.setting_values import MAX_TEXT, SECRET_TEXT, Shape, text_of, toml_of
from framegate_line.settings import LineSettings
from framegate_segment.settings import SegmentSettings
from made.markdown import code, plain, table, wrapped

RECORDS: Final[tuple[type[Settings], ...]] = (
    AgentSettings,
    ControllerSettings,
    GatewaySettings,
    LineSettings,
    SegmentSettings,
    ConsoleSettings,
)
PAGE: Final = "docs/reference/configuration.md"
SCHEMAS: Final = "docs/reference/schema"
EXAMPLES: Final = "docs/reference/examples"
HEAD: Final = """# Configuration

Made from the records of settings in `framegate_agent`, `framegate_controller`, `framegate_gateway`,
`framegate_line`, `framegate_segment` and `framegate_console` by `make pages`; do not edit.

A setting is told in three ways. A flag comes before a variable of the environment, a variable
before the file, the file before the default. A variable that is set to nothing is not set.

| way | form | a list | a switch |
|---|---|---|---|
| flag | `--threads 4` | the flag again for each | `--repeat`, or `--no-repeat` to take it back |
| environment | `FRAMEGATE_GATEWAY_THREADS=4` | one value, or a TOML array | `true` or `false` |
| file | `threads = 4` | `golden = ["boards", "plates"]` | `repeat = true` |

The file is named by `--config FILE` or by a variable, `FRAMEGATE_GATEWAY_CONFIG`. Its keys stand
in no section, but for a setting that is a table: `keep = { DEFECT = 30 }`, or a section `[keep]`.
Elsewhere such a setting is `DEFECT=30`, in a variable more than one with spaces between; what it
does not name stays as the weaker place has it. A path counts from the folder in which the program
was started.

`framegate-gateway config check FILE` says everything that is wrong with a file, and exits with 2
where something is. `framegate-gateway config show` shows what holds and where each value comes
from; `-o json` says it to programs. A key, a section, or a variable that begins like a program's
and names no setting is an error, and the nearest name is told.

A secret is in no setting: not in the file, not in a variable, not in a flag. Settings name the
file that holds it, which only the service may read. A camera's address with a password is such a
secret: `source = ["address:FILE"]` names the file with the address. A key that looks like a
secret, a key in PEM and a password in an address are refused, and not shown.

On Kubernetes, a service that is called `framegate-gateway` sets variables such as
`FRAMEGATE_GATEWAY_PORT` in every pod: call it something else, or set `enableServiceLinks: false`.
"""
JSON_TYPES: Final = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    Path: "string",
}


def pages() -> dict[str, str]:
    """Every page by its path."""
    texts = {PAGE: HEAD + "".join(map(_section, RECORDS))}
    for record in RECORDS:
        schema = json.dumps(schema_of(record), indent=1, ensure_ascii=False)
        texts[f"{SCHEMAS}/{record.PROGRAM}.schema.json"] = f"{schema}\n"
        texts[f"{EXAMPLES}/{record.PROGRAM}.toml"] = example_of(record)
    return texts


def schema_of(record: type[Settings]) -> dict[str, Any]:
    """The JSON schema (2020-12) of a file of settings.

    What has to be given is not required of the file: a flag or a variable may give it.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Settings of framegate-{record.PROGRAM}",
        "description": _first_line(record),
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(one) for name, one in declared(record).items()},
    }


def example_of(record: type[Settings]) -> str:
    """A file with every setting, those that need not be given as comments."""
    program = f"framegate-{record.PROGRAM}"
    head = f"Settings of {program}. {_first_line(record)}"
    parts = [f"{_commented(head)}\n# Look a copy over: {program} config check FILE\n"]
    for one in declared(record).values():
        about = "has to be given" if one.required else f"default {_default(one)}"
        about = "; ".join(filter(None, (_type(one), about if about[8:] else "")))
        unit = f", in {one.setting.unit}" if one.setting.unit else ""
        mark = "" if one.required else "# "
        lines = (_commented(one.setting.help), _commented(about + unit))
        parts.append("\n".join((*lines, f"{mark}{one.written(Place.FILE)}\n")))
    return "\n".join(parts)


def _section(record: type[Settings]) -> str:
    program = f"framegate-{record.PROGRAM}"
    head = ("key", "type", "default", "unit", "environment", "flag", "meaning")
    rows = [
        (
            code(one.name),
            plain(_type(one)),
            code(_default(one)) or ("**to be given**" if one.required else "none"),
            one.setting.unit,
            ", ".join(code(variable) for variable in one.variables),
            ", ".join(code(flag) for flag in (one.flag, one.setting.short) if flag),
            plain(one.setting.help),
        )
        for one in declared(record).values()
    ]
    name = record.PROGRAM
    links = f"[Example](examples/{name}.toml), [JSON schema](schema/{name}.schema.json)."
    about = wrapped(f"{_first_line(record)} {links}")
    return f"\n## {program}\n\n{about}\n\n{table(head, rows)}"


def _first_line(record: type[Settings]) -> str:
    return (record.__doc__ or "").strip().splitlines()[0]


def _type(one: Declared) -> str:
    return one.expectation.removeprefix("a ")


def _default(one: Declared) -> str:
    if one.required or one.default in (None, "", ()):
        return ""
    return toml_of(one.default)


def _commented(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ")


def _property(one: Declared) -> dict[str, Any]:
    unit = f" In {one.setting.unit}." if one.setting.unit else ""
    body: dict[str, Any] = {"description": one.setting.help + unit}
    single = _single(one)
    if one.kind.shape is Shape.MANY:
        body |= {"type": "array", "items": single}
    elif one.kind.shape is Shape.TABLE:
        body |= {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(one.setting.names, single),
        }
    else:
        body |= single
    if not one.required and one.default is not None:
        body["default"] = _plain(one.default)
    if one.setting.example is not None:
        body["examples"] = [_plain(one.setting.example)]
    return body


def _single(one: Declared) -> dict[str, Any]:
    body: dict[str, Any] = {"type": JSON_TYPES[one.kind.base]}
    if one.kind.choices:
        return body | {"enum": list(one.kind.choices)}
    if one.kind.base in {int, float}:
        limits = {"minimum": one.setting.least, "maximum": one.setting.most}
        return body | {name: limit for name, limit in limits.items() if limit is not None}
    if one.kind.base in {str, Path}:
        blank = one.default == ""
        body |= {"minLength": 0 if blank else 1, "maxLength": MAX_TEXT}
        if one.setting.form:
            pattern = one.setting.form.pattern
            body["pattern"] = f"^({pattern})?$" if blank else f"^({pattern})$"
        body["not"] = {"pattern": SECRET_TEXT.pattern}
    return body


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return dict(value)
    return text_of(value) if isinstance(value, Path) else value
