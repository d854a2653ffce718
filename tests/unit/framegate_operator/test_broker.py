"""The broker's access list."""

from pathlib import Path

from framegate_operator.broker import mosquitto_acl
from framegate_operator.broker_config import BrokerFiles, mosquitto_conf


def test_each_machine_publishes_only_as_itself():
    acl = mosquitto_acl(
        ["gateway.line-1.gw1", "camera.line-1.cam1", "camera.line-1.cam2"],
        ["press-7"],
        ["operator.anna"],
    )
    users = {block.split("\n", 1)[0]: block.split("\n")[1:] for block in acl.split("\nuser ")[1:]}
    for user, rules in users.items():
        for written in (
            r.removeprefix("topic write ").strip() for r in rules if r.startswith("topic write")
        ):
            assert user in written or (
                user in {"line.press-7", "line.press-7-plc"} and "/lines/press-7/" in written
            ), (user, written)
    assert not any(
        r.startswith(("topic write", "topic readwrite", "pattern")) for r in users["operator.anna"]
    ) and "#" not in "".join(r for r in users["camera.line-1.cam1"])


def test_gateways_hear_what_lines_say_of_themselves_and_only_a_line_says_it():
    acl = mosquitto_acl(["gateway.line-1.gw1", "camera.line-1.cam1"], ["press-7"])
    state = "framegate/v1/lines/press-7/state"
    users = {b.split("\n", 1)[0]: b for b in acl.split("\nuser ")[1:]}
    assert "topic read framegate/v1/lines/+/state" in users["gateway.line-1.gw1"]
    assert [u for u, rules in users.items() if f"topic write {state}" in rules] == ["line.press-7"]
    assert "lines/" not in users["camera.line-1.cam1"]


def test_the_longest_silence_is_not_what_a_connection_begins_with():
    """Else mosquitto 2.0.21, Debian 13's, ends connections in their first second, at random."""
    files = BrokerFiles(folder=Path("/f"), name="broker", acl=Path("/f/acl"))
    lines = mosquitto_conf(files, ("127.0.0.1", 8883)).splitlines()
    (longest,) = (line for line in lines if line.startswith("max_keepalive "))
    assert int(longest.split()[1]) > 60
