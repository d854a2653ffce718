"""What leaves the house in a support bundle, and what does not."""

import base64
import json
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.pem import private_pem
from framegate_host import support
from framegate_host.support import bundle_parts, without_secrets
from framegate_line.settings import LineSettings

KEY = private_pem(ec.generate_private_key(ec.SECP256R1())).decode()


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        KEY[: len(KEY) // 2],  # cut off: its end never comes
        "rtsp://anna:correct-horse@10.0.0.7/stream",
        base64.b64encode(secrets.token_bytes(32)).decode(),
        base64.urlsafe_b64encode(secrets.token_bytes(48)).decode(),
    ],
    ids=["key", "cut-off", "address", "base64", "base64url"],
)
def test_no_secret_of_a_log_is_left(secret):
    text = without_secrets(f"10:00 WARNING it said {secret} and went on")
    body = secret.replace("-----BEGIN PRIVATE KEY-----", "")
    assert body not in text and "correct-horse" not in text
    assert "10:00 WARNING it said" in text


@pytest.mark.parametrize(
    "line",
    [
        "Environment=MQTT_PASSWORD=hunter2",
        'Environment="MQTT_PASSWORD=hunter2 and more hunter2" "LANG=C"',
        "Environment='SINK_TOKEN=hunter2'",
        'Environment=API_KEY="hunter2"',
        "Environment=apikey=hunter2 LANG=C",
        "SetCredential=controller-passphrase:hunter2 and hunter2",
        "Environment=https_proxy=http://anna:hunter2@10.0.0.9:3128",
        "ExecStart=/usr/bin/x --to mqtt://b?password=hunter2",
    ],
)
def test_what_somebodys_drop_in_hands_over_is_left_out(line):
    told = without_secrets(f"[Service]\n{line}\nRestart=always\n")
    assert "hunter2" not in told
    assert told.startswith(f"[Service]\n{line.split('=')[0]}=") and "\nRestart=always\n" in told
    assert ("LANG=C" in told) == ("LANG=C" in line)


@pytest.mark.parametrize(
    "harmless",
    [
        "model 1f2e3d4c, digest " + "ab" * 32,
        "/opt/framegate/agent/lib/python3.11/site-packages/framegate/ima/allowlist.py",
        "camera.line-1.cam1 is trusted, certificate 118 s left",
        "LoadCredential=controller-passphrase:/etc/framegate/credentials/controller-passphrase",
        "Environment=FRAMEGATE_CONTROLLER_STORE_PASSWORD_FILE=/etc/framegate/store-password",
        "the token of ca-keys=pkcs11:token=",
    ],
)
def test_what_helps_stays(harmless):
    assert without_secrets(harmless) == harmless


def test_settings_are_told_and_what_is_wrong_with_them(tmp_path, monkeypatch):
    monkeypatch.setattr(support, "_said", lambda *argv: " ".join(argv))
    file = tmp_path / "line.toml"
    file.write_text('line = "press-7"\nlin = 3\n')
    parts = bundle_parts(LineSettings, file)
    told = json.loads(parts["settings.json"])
    assert told["settings"]["line"]["value"] == "press-7" and "lin" in told["problems"][0]
    assert "framegate" in parts["versions.txt"]
    assert parts["log.txt"].endswith("framegate-line.service")


def test_a_system_without_a_journal_is_no_fault(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert bundle_parts(LineSettings, None)["log.txt"] == "journalctl: FileNotFoundError\n"
