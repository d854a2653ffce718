"""The dashboard over a real Prometheus that scrapes a whole line: controller, gateways, agents and
line adapter.
"""

import json
import subprocess
import urllib.parse
import urllib.request

import pytest

from framegate_simulators.plant.line_plant import LinePlant
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError, free_port, wait_for
from framegate_simulators.plant.scraping import scrape_config
from support.paths import ROOT
from support.scrape import promtool_is_pleased, tool

pytestmark = [pytest.mark.swtpm, pytest.mark.alone]
BOARD = json.loads((ROOT / "monitoring/dashboard.json").read_text())
PANELS = [
    (panel["title"], target["expr"])
    for panel in BOARD["panels"]
    for target in panel.get("targets", ())
]


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
        return reply.read().decode()


def fetched(port: int, path: str) -> str:
    try:
        return fetch(port, path)
    except OSError:
        return ""


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Plant(interval_s=3.0, logs=tmp_path_factory.mktemp("logs")) as plant, plant.explained():
        plant.metrics = {}
        with LinePlant(plant) as plant_line:
            yield plant_line


@pytest.fixture(scope="module")
def query(line, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    rules = ROOT / "monitoring/alerts.yml"
    config = folder / "prometheus.yml"
    config.write_text(scrape_config(line.plant.metrics, rules, every=1))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for("Prometheus", lambda: fetched(port, "/-/ready"), 30)

        def ask(expr: str):
            body = fetch(port, f"/api/v1/query?query={urllib.parse.quote(expr)}")
            return json.loads(body)["data"]["result"]

        yield ask
    finally:
        process.terminate()
        process.wait(30)


def test_every_expression_of_the_dashboard_has_data(line, query):
    left = dict(PANELS)

    def all_have_data():
        line.conveyor.run(2)
        line.plant.ask("camera", "list")
        for title, expr in list(left.items()):
            rows = query(expr)
            if rows and all(row["value"][1] not in {"NaN", "+Inf"} for row in rows):
                del left[title]
        return not left

    try:
        wait_for("data in every panel", all_have_data, 90, 1)
    except PlantError as error:
        raise AssertionError(f"panels without data: {left}") from error


def test_all_programs_are_up_and_ready(line, query):
    wait_for("all to be up", lambda: len(query("up == 1")) == len(line.plant.metrics), 30)
    for name, port in line.plant.metrics.items():
        assert fetch(port, "/livez") == "ok\n", name
        wait_for(f"{name} to be ready", lambda p=port: fetched(p, "/readyz") == "ok\n", 30)


def test_promtool_has_nothing_to_say_of_any_program(line):
    for port in line.plant.metrics.values():
        promtool_is_pleased(fetch(port, "/metrics"))


def test_a_gateway_that_is_killed_is_an_alert_that_waits(line, query):
    line.plant.stop("gateway-gw2")
    wait_for("the alert", lambda: query('ALERTS{alertname="FramegateDown"}'), 60, 1)
