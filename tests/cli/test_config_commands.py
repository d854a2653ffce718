"""The settings of the four programs: config check and show, flags, page, example and schema."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import tomli_w
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import framegate_agent.main
import framegate_controller.main
import framegate_gateway.main
import framegate_line.main
import framegate_segment.main
from framegate.errors import Refused
from framegate_agent.settings import AgentSettings
from framegate_controller.settings import ControllerSettings
from framegate_gateway.settings import GatewaySettings
from framegate_host.setting_records import declared
from framegate_host.setting_values import Shape
from framegate_host.settings import Given, resolve
from framegate_line.settings import LineSettings
from framegate_segment.settings import SegmentSettings
from support.paths import ROOT

PROGRAMS = {
    AgentSettings: framegate_agent.main.app,
    ControllerSettings: framegate_controller.main.app,
    GatewaySettings: framegate_gateway.main.app,
    LineSettings: framegate_line.main.app,
    SegmentSettings: framegate_segment.main.app,
}
REFERENCE = ROOT / "docs/reference"
EVERY = [(record, one) for record in PROGRAMS for one in declared(record).values()]
VARIABLES = {
    "FRAMEGATE_AGENT_STATE": "state",
    "FRAMEGATE_TCTI": "tcti",
    "FRAMEGATE_BOOT_LOG": "boot_log",
    "FRAMEGATE_IMA": "ima",
    "FRAMEGATE_GATEWAY_SOCKET": "gateway_socket agent_socket",
    "FRAMEGATE_CONTROLLER_STATE": "state",
    "FRAMEGATE_KEY_PASSPHRASE_FILE": "passphrase_file",
    "FRAMEGATE_GATEWAY_STATE": "state",
    "FRAMEGATE_LINE": "line",
    "FRAMEGATE_LINE_LEDGER": "ledger",
}
"""Names of the environment that people have in their units since before there was a rule."""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    import os

    for name in [n for n in os.environ if n.startswith("FRAMEGATE_")]:
        monkeypatch.delenv(name)


def command(record, *argv, code=0, **environment):
    done = CliRunner().invoke(PROGRAMS[record], list(map(str, argv)), env=environment)
    assert done.exit_code == code, done.output
    return done


def written(folder: Path, body: dict) -> Path:
    file = folder / "settings.toml"
    file.write_text(tomli_w.dumps(body))
    return file


def faults(record, file: Path):
    """What is wrong with a file, but for what is not on this machine."""
    return [f for f in resolve(record, Given(file)).problems if "that is there" not in f.expected]


@pytest.mark.parametrize("record", PROGRAMS)
def test_every_flag_of_run_has_a_key_and_every_key_a_flag(record):
    run = typer.main.get_command(PROGRAMS[record]).get_command(None, "run")
    spelled = [p.opts[0] for p in run.params if not p.hidden]
    assert spelled == ["--config", *(one.flag for one in declared(record).values())]
    back = {p.opts[0] for p in run.params if p.hidden}
    assert back == {f"--no-{o.flag[2:]}" for o in declared(record).values() if o.kind.base is bool}
    assert all(p.help for p in run.params if not p.hidden)


def test_names_that_were_there_before_the_rule_stay():
    known = {v: one.name for _, one in EVERY for v in one.variables}
    for variable, name in VARIABLES.items():
        assert known[variable] in name.split()


@pytest.mark.parametrize("record", PROGRAMS)
def test_the_example_is_accepted_and_so_is_each_line_of_it_that_is_a_comment(record, tmp_path):
    example = REFERENCE / "examples" / f"{record.PROGRAM}.toml"
    shown = command(record, "config", "check", example)
    assert "nothing wrong" in shown.output and "needed" not in shown.output
    whole = tmp_path / "whole.toml"
    whole.write_text(re.sub(r"(?m)^# (?=[a-z0-9_]+ = )", "", example.read_text()))
    assert tomllib.loads(whole.read_text()).keys() == declared(record).keys()
    assert faults(record, whole) == []


@pytest.mark.parametrize("record", PROGRAMS)
def test_the_page_has_every_setting(record):
    page = (REFERENCE / "configuration.md").read_text()
    for one in declared(record).values():
        assert f"`{one.name}`" in page and f"`{one.flag}`" in page
        assert all(f"`{variable}`" in page for variable in one.variables)


@pytest.mark.parametrize("record", PROGRAMS)
def test_check_says_every_problem(record, tmp_path):
    one = next(iter(declared(record)))
    file = written(tmp_path, {f"{one}x": 1, one: 3, "password": "hunter2", "zzz": {}})
    done = command(record, "config", "check", file, code=2)
    assert f"did you mean {one}?" in done.output and "4 problems" in done.output
    assert "no secret" in done.output and "hunter2" not in done.output
    command(record, "config", "check", tmp_path / "none", code=2)
    command(record, "config", "check", written(tmp_path, {}))


def test_check_is_of_the_file_alone_and_names_what_is_still_needed(tmp_path):
    file = written(tmp_path, {"threads": 3})
    done = command(GatewaySettings, "config", "check", file, FRAMEGATE_GATEWAY_THREADS="x")
    assert "1 setting, nothing wrong" in done.output and "--agent-socket" in done.output


def test_show_says_where_each_value_comes_from(tmp_path):
    file = written(tmp_path, {"threads": 3, "keep": {"DEFECT": 30}, "models": ["m"]})
    variables = {"FRAMEGATE_GATEWAY_SOCKET": "/s", "FRAMEGATE_GATEWAY_CONFIG": str(file)}
    body = json.loads(command(GatewaySettings, "config", "show", "-o", "json", **variables).stdout)
    assert body.keys() == declared(GatewaySettings).keys()
    assert body["threads"] == {"value": 3, "from": "file", "name": str(file)}
    assert body["agent_socket"]["name"] == "FRAMEGATE_GATEWAY_SOCKET"
    assert body["keep"]["value"] == {"PASS": 7, "DEFECT": 30, "UNINSPECTED": 7}
    assert body["port"] == {"value": 7445, "from": "default", "name": ""}
    table = command(GatewaySettings, "config", "show", "--config", file).stdout
    assert "has to be given" in table and "7445" in table
    broken = written(tmp_path, {"threads": 0, "port": 1})
    done = command(GatewaySettings, "config", "show", "--config", broken, code=2)
    assert "from 1 to 64" in done.output


@pytest.mark.parametrize("record", PROGRAMS)
def test_run_refuses_what_check_refuses(record, tmp_path):
    file = written(tmp_path, {"password": "hunter2", "zzz": 1})
    done = command(record, "run", "--config", file, code=2)
    assert "'zzz'" in done.output and "hunter2" not in done.output
    variable = {f"FRAMEGATE_{record.PROGRAM.upper()}_CONFIG": str(file)}
    assert "'zzz'" in command(record, "run", code=2, **variable).output


def test_run_takes_what_is_typed_before_the_file(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        framegate_gateway.main, "GatewayProcess", lambda s, *_: seen.append(s) or None
    )
    body = {"agent_socket": "/s", "threads": 3, "verbose": True, "frames_over_broker": True}
    file = written(
        tmp_path, body | {"broker": "b:1", "broker_name": "b", "golden": [str(tmp_path)]}
    )
    argv = [
        "run",
        "--config",
        file,
        "--threads",
        4,
        "--no-frames-over-broker",
        "--export-to",
        "a b",
    ]
    command(GatewaySettings, *argv, "--export-to", "c", "--keep", "PASS=1", code=1)
    (settings,) = seen
    assert settings.threads == 4 and not settings.frames_over_broker and settings.verbose
    assert settings.export_to == ("a b", "c") and settings.golden == (tmp_path,)
    assert settings.keep == {"PASS": 1, "DEFECT": 90, "UNINSPECTED": 7}


def test_other_commands_read_the_file_and_need_no_more_than_their_own(tmp_path):
    file = written(tmp_path, {"ledger": str(tmp_path / "none.db")})
    done = command(LineSettings, "status", "--line", "press-7", "--config", file, code=7)
    assert "none.db" in done.output
    assert "--line" in command(LineSettings, "status", "--config", file, code=2).output


@pytest.mark.parametrize(
    ("record", "body", "wanted"),
    [
        (AgentSettings, {"broker": "b:1"}, "--broker-name beside --broker"),
        (AgentSettings, {"broker_name": "b"}, "--broker beside --broker-name"),
        (ControllerSettings, {"host": "0.0.0.0"}, "--advertise beside --host 0.0.0.0"),
        (ControllerSettings, {"oidc_issuer": "https://x"}, "--oidc-client-id beside"),
        (ControllerSettings, {"oidc_client_id": "x"}, "--oidc-issuer beside"),
        (GatewaySettings, {"frames_over_broker": True}, "--broker beside --frames-over-broker"),
        (GatewaySettings, {"broker": "b:1"}, "--broker-name beside --broker"),
        (GatewaySettings, {"backend": "b:1"}, "--unattested-backend beside --backend"),
        (GatewaySettings, {"backend_model": "b"}, "--backend beside settings of a model"),
        (
            LineSettings,
            {"camera": ["camera.a.x", "camera.b.x"]},
            "ids camera.ZONE.NAME of one zone",
        ),
        (LineSettings, {"camera": ["camera.a.x", "camera.a.x"]}, "different cameras"),
        (LineSettings, {"camera": []}, "of one zone"),
        (LineSettings, {"line": "Press 7"}, "a line of 1 to 63"),
        (LineSettings, {"output": ["modbus:plc"]}, "modbus:HOST:PORT"),
        (LineSettings, {"deadline_ms": 0}, "from 1 to 60000"),
    ],
)
def test_what_does_not_go_together(record, body, wanted, tmp_path):
    said = " / ".join(map(str, faults(record, written(tmp_path, body))))
    assert wanted in said


def test_where_cameras_reach_a_gateway():
    def reached(advertise):
        return GatewaySettings(agent_socket=Path("s"), advertise=advertise, port=9).reached

    assert reached("") == ("127.0.0.1", 9) and reached("gw") == ("gw", 9)
    assert reached("gw:80") == ("gw", 80) and reached("[::1]:80") == ("[::1]", 80)


def schema_of(record):
    return json.loads((REFERENCE / "schema" / f"{record.PROGRAM}.schema.json").read_text())


TYPES = {"string": str, "integer": int, "array": list, "object": dict, "boolean": bool}


def agrees(schema, value) -> bool:
    """Whether `value` is of `schema`: the part of JSON Schema that ours use."""
    kind = schema["type"]
    if kind == "number":
        typed = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        typed = isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool)
    if not typed:
        return False
    checks = {
        "enum": lambda limit: value in limit,
        "minimum": lambda limit: value >= limit,
        "maximum": lambda limit: value <= limit,
        "minLength": lambda limit: len(value) >= limit,
        "maxLength": lambda limit: len(value) <= limit,
        "pattern": lambda limit: re.search(limit, value) is not None,
        "not": lambda limit: re.search(limit["pattern"], value) is None,
        "items": lambda limit: all(agrees(limit, each) for each in value),
        "properties": lambda limit: all(
            agrees(limit[n], v) for n, v in value.items() if n in limit
        ),
        "additionalProperties": lambda _: value.keys() <= schema["properties"].keys(),
    }
    said = {"type", "description", "default", "examples", "title", "$schema"}
    assert schema.keys() <= said | checks.keys()
    return all(checks[name](limit) for name, limit in schema.items() if name in checks)


@pytest.mark.parametrize("record", PROGRAMS)
def test_the_schema_accepts_the_example_and_has_every_key(record, tmp_path):
    schema, example = schema_of(record), REFERENCE / "examples" / f"{record.PROGRAM}.toml"
    assert schema["properties"].keys() == declared(record).keys()
    assert agrees(schema, tomllib.loads(example.read_text()))
    assert agrees(
        schema, tomllib.loads(re.sub(r"(?m)^# (?=[a-z0-9_]+ = )", "", example.read_text()))
    )
    assert not agrees(schema, {"zzz": 1})
    for name, one in schema["properties"].items():
        assert all(agrees(one, value) for value in one.get("examples", []))
        if "default" in one:
            assert agrees(one, one["default"]), name


any_text = st.sampled_from(["", "a", "zone", "close", "mqtt", "-", "h:1", "1f" * 32, "a b", "é"])
secrets = st.sampled_from(["rtsp://u:p@h", "-----BEGIN KEY-----", "file:x", "modbus:h:1", "h:x"])
numbers = st.integers(-2, 70_000) | st.floats(-2, 4000).map(lambda x: x + 0.25)
tables = st.dictionaries(st.sampled_from(["PASS", "DEFECT", "x"]), numbers, max_size=2)
any_value = (
    st.booleans() | any_text | secrets | numbers | tables | st.lists(any_text | numbers | secrets)
)


@pytest.mark.parametrize(("record", "one"), EVERY, ids=lambda x: getattr(x, "name", ""))
@given(data=st.data())
def test_the_schema_and_the_loader_say_the_same(record, one, data):
    value = data.draw(any_value)
    try:
        one.of_toml(value)
        taken = True
    except ValueError:
        taken = False
    assert agrees(schema_of(record)["properties"][one.name], value) == taken


def test_no_setting_could_hold_a_secret():
    for record, one in EVERY:
        for variable in (one.name, f"{one.name}s"):
            assert variable not in {"password", "passphrase", "secret", "token", "pin"}
        if one.kind.shape is Shape.ONE and re.search("secret|passphrase", one.name):
            assert one.name.endswith("_file") and one.kind.base is Path, (record, one.name)


def test_files_of_before_are_read(tmp_path):
    """The keys that framegate-line had in its file before there was one loader."""
    text = """
    line = "press-7"
    camera = ["camera.line-1.cam1", "camera.line-1.cam2"]
    deadline_ms = 900
    hold_ms = 500
    stop_after = 5
    credentials = "press-7"
    broker = "HOST:8883"
    broker_name = "broker.plant.framegate"
    ledger = "ledger.db"
    triggers = "-"
    output = ["mqtt", "modbus:10.0.0.2:502", "file:decisions"]
    """
    (tmp_path / "line.toml").write_text(text)
    settings = resolve(LineSettings, Given(tmp_path / "line.toml")).settings()
    assert settings.rules.zone == "line-1" and settings.rules.deadline_ms == 900
    assert settings.triggers == "-" and len(settings.output) == 3
    with pytest.raises(Refused):
        resolve(LineSettings, Given()).settings()
