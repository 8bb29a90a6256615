"""What the tests play phones with: adb, Debian's adbd, and the shell and tools that Android has (mksh, toybox).

What is installed is used. Else apt fetches it, signatures checked, from the mirrors this machine already uses and from the
backports beside them; it is unpacked, not installed, so that no root is needed. Either way a folder has the programs in
`programs/`, and in `libraries/` those that only unpacked programs need.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

PHONE = ["adb", "adbd", "mksh", "toybox"]
SOURCES = pathlib.Path("/etc/apt")


class Unavailable(Exception):
    """Says why the packages cannot be had."""


def codename():
    """Of this machine's release, such as bookworm."""
    try:
        release = pathlib.Path("/etc/os-release").read_text()
    except OSError:
        release = ""
    found = re.search(r"^VERSION_CODENAME=\"?([\w.-]+)", release, re.MULTILINE)
    return found.group(1) if found else None


def sources(release, suites):
    """This machine's sources of `release`, for `suites` instead, as texts of .list and .sources files."""
    lines, stanzas = [], []
    for path in [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*.list"))]:
        for line in path.read_text().splitlines() if path.is_file() else []:
            entry = re.match(r"deb\s+(\[.*?\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
            if entry and entry.group(3) == release:
                options, place, _, components = entry.groups()
                lines += [f"deb {options or ''}{place} {suite} {components}" for suite in suites]
    for path in sorted((SOURCES / "sources.list.d").glob("*.sources")):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        for stanza in re.split(r"\n\s*\n", text):
            named = re.search(r"^Suites:(.*)$", stanza, re.MULTILINE | re.IGNORECASE)
            disabled = re.search(r"^Enabled:\s*(no|false|0)", stanza, re.MULTILINE | re.IGNORECASE)
            if named and release in named.group(1).split() and not disabled:
                stanzas.append(stanza.replace(named.group(0), "Suites: " + " ".join(suites)).strip())
    return "\n".join(lines) + "\n", "\n\n".join(stanzas) + "\n"


def installed(packages):
    """Where the programs of `packages` are installed; none unless all are."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=path) for name in packages}
    return found if all(found.values()) else None


def copy(programs, folder):
    """Copies installed programs: a phone sees this folder, and of the machine only its libraries."""
    (folder / "programs").mkdir()
    (folder / "libraries").mkdir()
    for name, path in programs.items():
        shutil.copy(path, folder / "programs" / name)


def run(command):
    """Runs a command silently; `Unavailable` with its first complaint if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith("E:")] or done.stdout.splitlines()
        raise Unavailable(lines[0] if lines else f"{command[0]} ended with {done.returncode}")


def fetch(packages, backports, scratch):
    """Downloads `packages` with what they need and this machine lacks; apt's state is kept in `scratch`."""
    release = codename()
    suites = [release, f"{release}-backports"] if backports else [release]
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and release):
        raise Unavailable("this is no Debian or Ubuntu")
    for folder in ("lists/partial", "archives/partial", "sources"):
        (scratch / folder).mkdir(parents=True)
    for name, text in zip(("own.list", "own.sources"), sources(release, suites)):
        (scratch / "sources" / name).write_text(text)
    options = {
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch,
        "Dir::Cache::archives": scratch / "archives",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": scratch / "sources",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "20",
        "Acquire::Retries": "1",
        "APT::Update::Error-Mode": "any",
    }
    apt = ["apt-get", "-qq"] + [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    print(f"setup: fetching {', '.join(packages)}", file=sys.stderr)
    run([*apt, "update"])
    run([*apt, "-y", "--download-only", "--no-install-recommends", "-t", suites[-1], "install", *packages])
    return sorted((scratch / "archives").glob("*.deb"))


def unpack(archives, folder):
    """Unpacks the packages into `folder` and links their programs and libraries into `programs/` and `libraries/`."""
    for archive in archives:
        run(["dpkg-deb", "-x", str(archive), str(folder)])
    shutil.rmtree(folder / "usr" / "share", ignore_errors=True)
    for name in ("adb", "adbd", "mksh", "toybox"):
        found = sorted(path for path in folder.glob(f"**/{name}") if path.is_file() and os.access(path, os.X_OK))
        # Packages carry variants for other C libraries beside the usual one, which has the shortest path.
        for path in sorted(found, key=lambda path: len(path.parts))[:1]:
            place(path, folder / "programs" / name)
    for path in sorted(folder.glob("usr/lib/**/*.so*")):
        place(path, folder / "libraries" / path.name)


def place(path, link):
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(os.path.relpath(path, link.parent))


def check(folder):
    """Whether the unpacked adb starts; `Unavailable` with what it says if not."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "libraries")}
    try:
        done = subprocess.run([folder / "programs" / "adb", "version"], env=environment, capture_output=True, text=True)
    except OSError as error:
        raise Unavailable(f"adb does not start: {error}")
    if done.returncode != 0:
        raise Unavailable(f"adb does not start: {done.stderr.strip()}")
