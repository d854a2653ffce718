"""What lies beside a package's environment: unit, users, folders, settings, manual, completion."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Final

from framegate_host.setting_records import Settings, declared
from framegate_host.setting_values import toml_of
from made.commands import programs
from made.settings import RECORDS, example_of, schema_of
from packaged.completion import completion
from packaged.manual import manual
from packaged.specs import MAINTAINER, PACKAGING, ROOT, Spec

_RECORDS: Final = {record.PROGRAM: record for record in RECORDS}


def lay(spec: Spec, into: Path, version: str, epoch: int) -> None:
    """Everything of `spec` but its environment, below the folder `into`, which becomes /."""
    for name in spec.programs:
        _put(into / f"usr/bin/{name}", f"/{spec.home}/bin/{name}", link=True)
        command = programs()[name]
        date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
        about = spec.about if name == spec.programs[0] else "train and look at model bundles"
        page = manual(command, version, about, date)
        _gzipped(into / f"usr/share/man/man1/{name}.1.gz", page.encode())
        _put(into / f"usr/share/bash-completion/completions/{name}", completion(command))
    if spec.unit:
        unit = (PACKAGING / f"systemd/{spec.unit}.service").read_text("utf-8")
        _put(into / f"lib/systemd/system/{spec.unit}.service", unit)
    for dropin in spec.dropins:
        text = (PACKAGING / "systemd" / dropin).read_text("utf-8")
        _put(into / f"lib/systemd/system/{dropin}", text)
    if spec.user:
        _put(into / f"usr/lib/sysusers.d/{spec.user}.conf", sysusers(spec))
        _put(into / f"usr/lib/tmpfiles.d/{spec.user}.conf", tmpfiles(spec))
    if spec.joins:
        _put(into / f"usr/lib/sysusers.d/{spec.name}.conf", sysusers(spec))
    if spec.settings:
        _settings(spec, into)
    for source, place in spec.files.items():
        _put(into / place, (ROOT / source).read_text("utf-8"))
    documents = into / f"usr/share/doc/{spec.name}"
    _put(documents / "copyright", (PACKAGING / "copyright").read_text("utf-8"))
    _gzipped(documents / "CHANGELOG.md.gz", (ROOT / "CHANGELOG.md").read_bytes())
    _gzipped(documents / "changelog.gz", _changelog(spec, version, epoch).encode())
    overrides = (PACKAGING / "lintian/overrides").read_text("utf-8").splitlines()
    lines = [line if line.startswith("#") else f"{spec.name}: {line}" for line in overrides]
    _put(into / f"usr/share/lintian/overrides/{spec.name}", "\n".join(lines) + "\n")


def _changelog(spec: Spec, version: str, epoch: int) -> str:
    """As deb-changelog(5) has it; what changed stands in the other file."""
    when = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(epoch))
    told = f"  * What changed: /usr/share/doc/{spec.name}/CHANGELOG.md.gz"
    return (
        f"{spec.name} ({version}) unstable; urgency=medium\n\n{told}\n\n -- {MAINTAINER}  {when}\n"
    )


def sysusers(spec: Spec) -> str:
    """Its user, whose number IMA rules name, and the groups of the devices it opens: a service
    could get them from its unit, the commands that are run as that user could not.
    """
    lines = [f"g {group} - -" for group in spec.groups]
    if spec.user:
        lines.append(f'u {spec.user} {spec.uid} "Framegate {spec.folder}" /var/lib/{spec.user}')
    lines += [f"m {spec.user or spec.joins} {group}" for group in spec.groups]
    return "\n".join(lines) + "\n"


def tmpfiles(spec: Spec) -> str:
    """Its state, which commands write before the service first runs, folders for secrets that root
    hands to it, and the kernel's logs that its group reads.
    """
    lines = [f"d /var/lib/{spec.user} 0700 {spec.user} {spec.user} -"]
    lines += [f"d /{folder} 0700 root root -" for folder in spec.folders]
    lines += [f"z {file} 0440 root {group} -" for group, at in spec.logs.items() for file in at]
    return "\n".join(lines) + "\n"


def settings_file(spec: Spec) -> str:
    """Every setting as a comment, but those that the package itself gives; what has to be given is
    said so, and the program says it again.
    """
    record = _RECORDS[spec.settings]
    schema = f"#:schema /usr/share/{spec.name}/{spec.settings}.schema.json\n"
    lines = []
    for line in example_of(record).splitlines():
        key = line.split(" = ")[0].removeprefix("# ")
        if key in spec.holds:
            lines.append(f"{key} = {toml_of(spec.holds[key])}")
        else:
            lines.append(f"# {line}" if _is_given(record, line) else line)
    return schema + "\n".join(lines) + "\n"


def _is_given(record: type[Settings], line: str) -> bool:
    return not line.startswith("#") and line.split(" = ", maxsplit=1)[0] in declared(record)


def _settings(spec: Spec, into: Path) -> None:
    _put(into / f"etc/framegate/{spec.settings}.toml", settings_file(spec))
    schema = json.dumps(schema_of(_RECORDS[spec.settings]), indent=1, ensure_ascii=False)
    _put(into / f"usr/share/{spec.name}/{spec.settings}.schema.json", schema + "\n")


def _put(path: Path, text: str, *, link: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if link:
        path.symlink_to(text)
    else:
        path.write_text(text, "utf-8")


def _gzipped(path: Path, data: bytes) -> None:
    """Without the name and the time that gzip would keep."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 9, mtime=0))
