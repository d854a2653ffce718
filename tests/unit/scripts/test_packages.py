"""What `make deb` is told, and what it writes beside an environment; no package is built here."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from typer.testing import CliRunner

from framegate_host.programs import PROGRAMS as PROGRAMS_OF_OURS
from framegate_host.programs import way_to
from framegate_host.setting_records import declared
from framegate_host.setting_values import toml_of
from support.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import exposure
import packages as build_packages
from blocks import page_of
from made.commands import programs
from made.settings import RECORDS
from packaged import environment
from packaged.bill import bill
from packaged.closure import closure, pinned, pins
from packaged.completion import completion
from packaged.control import Package, _scripts
from packaged.manual import manual
from packaged.specs import PACKAGING, held_beside, specs
from packaged.tree import settings_file, sysusers, tmpfiles

pytestmark = pytest.mark.slow

SPECS = specs()
SERVICES = [s for s in SPECS.values() if s.unit]
PROGRAMS = [n for s in SPECS.values() for n in s.programs]
REQUIREMENTS = ROOT / "requirements.txt"


def unit_of(spec):
    return (PACKAGING / f"systemd/{spec.unit}.service").read_text()


def test_each_package_holds_what_its_machine_needs():
    assert "opencv-python-headless" not in closure(SPECS["framegate-agent"].extras)
    assert "opencv-python-headless" in closure(SPECS["framegate-agent-camera"].extras)
    assert closure(SPECS["framegate-operator"].extras).isdisjoint({"sqlalchemy", "numpy"})
    assert "sqlalchemy" in closure(SPECS["framegate-controller"].extras)
    assert SPECS["framegate-line"].code == ("framegate", "framegate_host", "framegate_line")


def test_a_packaged_controller_has_what_its_settings_choose_from():
    base = closure(SPECS["framegate-controller"].extras)
    assert {"psycopg", "python-pkcs11", "opentelemetry-sdk"} <= base
    assert "opentelemetry-sdk" in closure(SPECS["framegate-gateway"].extras)
    assert "opentelemetry-sdk" in closure(SPECS["framegate-agent"].extras)
    assert "tpm2-pytss" in closure(SPECS["framegate-controller-tpm"].extras) - base
    assert "confluent-kafka" in closure(SPECS["framegate-controller-kafka"].extras) - base


def test_an_environment_has_nothing_that_only_compilers_and_type_checkers_read(
    tmp_path, monkeypatch
):
    """In our own code as in other people's."""

    def install(build, needed, packages):
        for name in ("run.py", "run.pyi", "run.c", "tests/test_run.py"):
            file = packages / "cbor2" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    monkeypatch.setattr(environment, "_install", install)
    monkeypatch.setattr(environment, "run", lambda *a, **how: None)
    with zipfile.ZipFile(tmp_path / "ours.whl", "w") as wheel:
        for name in ("framegate_proto/v1/wire.py", "framegate_proto/v1/wire.pyi"):
            wheel.writestr(name, "")
    into, spec = tmp_path / "root", SPECS["framegate-operator"]
    build = environment.Build(tmp_path, tmp_path, 0)
    environment.fill(build, spec, tmp_path / "ours.whl", into)
    packages = next((into / spec.home).glob("lib/*/site-packages"))
    laid = {str(f.relative_to(packages)) for f in packages.rglob("*") if f.is_file()}
    assert laid == {"cbor2/run.py", "framegate_proto/v1/wire.py"}


@pytest.mark.parametrize(("megabytes", "code"), [(80, 0), (80.01, 1)])
def test_packages_that_are_too_large_are_no_packages_to_go_on_with(
    tmp_path, monkeypatch, capsys, megabytes, code
):
    """Their list is what `make units-test` and its like look for."""
    file = tmp_path / "framegate-operator_0.1.0_amd64.deb"
    built = Package("framegate-operator", file, 1, round(megabytes * 1e6), "00")
    monkeypatch.setattr(build_packages, "OUT", tmp_path)
    monkeypatch.setattr(build_packages, "build_packages", lambda *a: [built])
    monkeypatch.setattr(build_packages, "_linted", lambda built: [])
    (tmp_path / "packages.json").write_text("[]")
    assert build_packages.main([]) == code
    assert (tmp_path / "packages.json").exists() == (code == 0)
    told = "80.01 MB installed, at most 80: what came along?"
    assert (told in capsys.readouterr().err) == (code == 1)


@pytest.mark.parametrize("program", PROGRAMS_OF_OURS, ids=lambda p: p.name)
def test_what_a_packaged_program_lacks_is_a_package_that_there_is(program):
    home = next((s for s in SPECS.values() if program.name in s.programs), None)
    if home is None:
        pytest.skip("in no package")
    for extra in {program.extra, *program.ways.values()}:
        named = way_to(extra, f"/{home.home}").split()[-1]
        assert named in SPECS
        assert set(closure((extra,) if extra else ())) <= set(
            closure({*SPECS[named].extras, *home.extras})
        )


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_requirement_is_pinned_by_hash(name):
    for pin in pinned(SPECS[name].extras, REQUIREMENTS):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin.text)


@pytest.mark.parametrize("text", ["cbor2>=6\n", "cbor2==6.0\n", "-r other.txt\n"])
def test_a_requirement_without_version_or_hash_is_refused(tmp_path, text):
    file = tmp_path / "requirements.txt"
    file.write_text(f"# why\n{text}")
    with pytest.raises(ValueError, match="expected NAME==VERSION with hashes"):
        list(pins(file))


def test_of_two_pins_the_one_for_this_python_counts(tmp_path):
    file, hashed = tmp_path / "requirements.txt", f" \\\n    --hash=sha256:{'ab' * 32}\n"
    pins_of = ("numpy==2.4.6 ; python_version < '3'", "numpy==2.5.0 ; python_version >= '3'")
    file.write_text("".join(pin + hashed for pin in pins_of))
    assert [(pin.name, pin.version) for pin in pins(file)] == [("numpy", "2.5.0")]


def test_a_requirement_that_nobody_pinned_is_refused(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("")
    with pytest.raises(ValueError, match="pins no"):
        pinned((), file)


def test_users_have_the_numbers_that_ima_rules_name():
    policy = (ROOT / "agent/framegate_agent/ima-policy").read_text()
    named = {int(n) for n in re.findall(r"uid=(\d+)", policy)}
    uids = {s.name: s.uid for s in SERVICES}
    assert named == {uids["framegate-agent"], uids["framegate-gateway"]}
    assert len(set(uids.values())) == len(uids)
    assert f"u framegate-agent {uids['framegate-agent']} " in sysusers(SPECS["framegate-agent"])
    assert "g tss - -" in sysusers(SPECS["framegate-agent"])
    assert "m framegate-agent tss" in sysusers(SPECS["framegate-agent"])


ROWS = {
    "ours": ("{user}:x:{uid}:{uid}::/var/lib/{user}:/usr/sbin/nologin", 0, ""),
    "ours-of-before": ("{user}:x:999:999::/var/lib/{user}:/bin/false", 0, ""),
    "number-of-another": (
        "anna:x:{uid}:{uid}::/home/anna:/bin/bash\n{user}:x:999:999::/:/usr/sbin/nologin",
        1,
        "expected the number {uid} for {user}, seen: of anna",
    ),
    "shell": (
        "{user}:x:{uid}:{uid}::/home/x:/bin/bash",
        1,
        "expected {user} without a shell, seen: /bin/bash",
    ),
    "hostile-shell": ("{user}:x:{uid}:{uid}::/:/tmp/nologin x", 1, "without a shell"),
    "no-user": ("root:x:0:0::/root:/bin/bash", 1, "seen: none"),
}


@pytest.mark.parametrize("spec", SERVICES, ids=lambda s: s.name)
@pytest.mark.parametrize("row", ROWS)
def test_a_package_is_not_configured_for_a_user_that_is_another(tmp_path, spec, row):
    """Its script, with the system's programs beside it answering as they do there."""
    known, code, said = (
        text.format(user=spec.user, uid=spec.uid) if isinstance(text, str) else text
        for text in ROWS[row]
    )
    (tmp_path / "passwd").write_text(known + "\n")
    (tmp_path / "called").write_text("")
    getent = """awk -F: -v k="$2" '$1 == k || $3 == k' "$(dirname "$0")/passwd"\n"""
    tell = 'echo "$(basename "$0") $*" >> "$(dirname "$0")/called"\n'
    for name, text in (
        ("getent", getent),
        ("systemd-sysusers", tell),
        ("systemd-tmpfiles", tell),
        ("deb-systemd-helper", tell),
        ("systemctl", tell),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "postinst").write_text(_scripts(spec)["postinst"])
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "postinst"), "configure"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    called = (tmp_path / "called").read_text()
    assert (done.returncode, called.count("systemd-tmpfiles")) == (code, 1 - code), done.stderr
    assert said in done.stderr and ("dpkg --configure" in done.stderr) == bool(code)


def test_commands_read_the_kernels_logs_as_the_service_does():
    told = tmpfiles(SPECS["framegate-agent"])
    for log in re.findall(
        r"ExecStartPre=-\+/usr/bin/chgrp tss (\S+)", unit_of(SPECS["framegate-agent"])
    ):
        assert f"z {log} 0440 root tss -" in told


@pytest.mark.parametrize("spec", SERVICES, ids=lambda s: s.name)
def test_a_unit_runs_its_packages_program_as_its_packages_user(spec):
    unit = unit_of(spec)
    start = f"/{spec.home}/bin/{spec.unit} run --config /etc/framegate/{spec.settings}.toml"
    for line in (f"User={spec.user}", f"ExecStart={start}", "Type=notify", "WatchdogSec=30"):
        assert f"\n{line}\n" in unit
    assert f"d /var/lib/{spec.user} 0700 {spec.user} {spec.user} -" in tmpfiles(spec)


def test_the_tpms_group_is_given_to_the_controllers_user():
    told = sysusers(SPECS["framegate-controller-tpm"])
    assert told == "g tss - -\nm framegate-controller tss\n"


def test_secrets_that_root_hands_over_lie_where_root_alone_reads():
    spec = SPECS["framegate-controller"]
    handed = re.findall(r"LoadCredential=\w+:/(\S+)/[^/\s]+", unit_of(spec))
    assert handed == list(spec.folders)
    assert f"d /{handed[0]} 0700 root root -" in tmpfiles(spec)


@pytest.mark.parametrize("spec", SERVICES, ids=lambda s: s.name)
def test_a_file_of_settings_is_comments_but_for_what_the_package_gives(spec, tmp_path):
    text = settings_file(spec)
    assert tomllib.loads(text) == dict(spec.holds)
    assert text.startswith(f"#:schema /usr/share/{spec.name}/{spec.settings}.schema.json\n")
    file = tmp_path / "settings.toml"
    for given in re.findall(r'"(/etc/[^"]+)"', "\n".join(map(toml_of, spec.holds.values()))):
        (tmp_path / "given").touch()  # what its unit waits for (ConditionPathExists)
        assert f"\nConditionPathExists={given}\n" in unit_of(spec)
        text = text.replace(given, str(tmp_path / "given"))
    file.write_text(text)
    module = __import__(spec.module, fromlist=["app"])
    checked = CliRunner().invoke(module.app, ["config", "check", str(file)])
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_manual_names_every_command_and_option(name):
    program = programs()[name]
    page = manual(program, "1.0", "what it is", "2026-11-01")
    assert page.startswith(f".TH {name.upper()} 1 2026-11-01".replace("-", "\\-", name.count("-")))
    shown = page.replace("\\-", "-")
    for leaf in program.leaves():
        assert leaf.path.removeprefix(f"{name} ") in shown
        for option in leaf.options - {"--help"}:
            assert option in shown
    assert not re.search(r"(?m)^['.](?!TH|SH|SS|TP|PP|B|I)", page)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("framegate camera re", ["release", "replace", "retire"]),
        ("framegate release verify --k", ["--key"]),
        ("framegate nonsense --h", ["--help"]),
    ],
)
def test_a_tab_offers_the_commands_words(tmp_path, line, offered):
    script = tmp_path / "framegate"
    script.write_text(completion(programs()["framegate"]))
    words = line.split(" ")
    typed = " ".join(f"'{w}'" for w in words)
    asked = f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _framegate"
    done = subprocess.run(
        ["bash", "-c", f'. {script}; {asked}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        check=True,
        capture_output=True,
        text=True,
    )
    assert sorted(done.stdout.split()) == offered


def test_a_bill_has_every_pin_once_with_hash_and_licence_and_is_the_same_each_time():
    some = pinned((), REQUIREMENTS)
    text = bill("framegate-operator", "1.0", some)
    assert text == bill("framegate-operator", "1.0", some)
    body = json.loads(text)
    assert body["bomFormat"] == "CycloneDX" and body["specVersion"] == "1.6"
    assert [c["name"] for c in body["components"]] == [p.name for p in some]
    references = {c["bom-ref"] for c in body["components"]}
    for component in body["components"]:
        assert component["hashes"] and component["licenses"]
    for edge in body["dependencies"]:
        assert set(edge["dependsOn"]) <= references


@pytest.mark.parametrize(
    ("name", "brings"),
    [
        ("framegate-controller-kafka", {"confluent-kafka"}),
        ("framegate-agent-camera", {"numpy", "opencv-python-headless"}),
    ],
)
def test_a_bill_names_what_is_in_the_package_and_not_what_it_stands_beside(name, brings):
    every = specs()
    some = pinned(every[name].extras, REQUIREMENTS, held_beside(every[name], every))
    body = json.loads(bill(name, "1.0", some))
    assert {c["name"] for c in body["components"]} == brings
    references = {c["bom-ref"] for c in body["components"]}
    assert all(set(edge["dependsOn"]) <= references for edge in body["dependencies"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_no_unit_exposes_more_than_it_may():
    levels = {e.name: e.level for e in exposure.exposures()}
    assert set(levels) == {
        *(f"{s.unit}.service" for s in SERVICES),
        "framegate-agent.service, on a gateway's host",
        "framegate-controller.service, with its CAs in a TPM",
    }
    assert max(levels.values()) <= exposure.MOST


def test_a_unit_that_forbids_the_childrens_namespaces_is_none_that_has_children_in_cages():
    for spec in SERVICES:
        caged = spec.name in {"framegate-agent", "framegate-gateway"}
        allowed = "\nRestrictNamespaces=user mnt net ipc uts\n" in unit_of(spec)
        assert allowed == caged


GUIDE = ROOT / "docs/guides/operators/install.md"


@pytest.mark.skipif(shutil.which("nft") is None, reason="nftables is not installed")
def test_the_firewall_of_the_guide_is_one_that_nftables_takes():
    """In a network namespace of its own, where nothing is loaded: it is only checked."""
    blocks = page_of("install.md", GUIDE.read_text()).blocks
    (rules,) = [block.text for block in blocks if block.text.startswith("table inet framegate")]
    argv = ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", "--file", "-"]
    if subprocess.run([*argv[:4], "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no namespaces")
    done = subprocess.run(argv, input=rules, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for port in re.findall(r"\d{4}", rules):
        assert f"| {port}/tcp |" in GUIDE.read_text()


def test_the_settings_of_the_guides_machines_are_settings():
    named = re.findall(r"^\| (\S+) \| 10\.\S+ \| ([^|]+) \| ([^|]+) \|$", GUIDE.read_text(), re.M)
    assert len(named) == 3
    records = {r.PROGRAM: declared(r) for r in RECORDS}
    for _host, packages, told in named:
        programs_there = [p.split("-")[0].strip() for p in packages.split(",")]
        for setting in re.findall(r"`(\w+) = ", told):
            assert any(setting in records.get(p, {}) for p in programs_there), setting
