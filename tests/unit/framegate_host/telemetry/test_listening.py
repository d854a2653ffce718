"""Metrics leave a machine only to who shows a certificate."""

from pathlib import Path

import pytest

from framegate_controller.settings import ControllerSettings
from framegate_host.telemetry.listening import is_loopback


@pytest.mark.parametrize("at", ["127.0.0.1:9464", "127.9.9.9:1", "[::1]:9464"])
def test_loopback_needs_no_certificate(at):
    assert is_loopback(at)
    assert not list(ControllerSettings(metrics=at).problems())


@pytest.mark.parametrize(
    "at", ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "localhost:9464", "plant.example:9464"]
)
def test_anything_else_does(at):
    (problem,) = ControllerSettings(metrics=at).problems()
    assert "--metrics-tls" in problem.expected
    assert not list(ControllerSettings(metrics=at, metrics_tls=Path("x")).problems())


def test_certificates_without_an_address_are_said():
    (problem,) = ControllerSettings(metrics_tls=Path("x")).problems()
    assert "--metrics" in problem.expected
