#!/usr/bin/env python3
"""Fetches the two native libraries mnas needs, once, and links them into `.deps/`.

libtorch (CPU part) and libLiteRt.so come out of pinned, hash-checked wheels (requirements.txt) and live in
$MNAS_CACHE, by default ~/.cache/mnas, so that every checkout shares them. An existing LIBTORCH, LIBTORCH_USE_PYTORCH=1
or LITERT_LIBRARY is respected and its wheel is not fetched. `--tools` also fetches what only `make test` needs: the
spelling checker, and adb with what plays phones for it (android.py).
"""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

import android

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
CACHE = pathlib.Path(
    os.environ.get("MNAS_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mnas"
)


def pinned():
    """The requirement lines of requirements.txt by package name."""
    lines = (HERE / "requirements.txt").read_text().splitlines()
    return {line.split("==")[0]: line for line in lines if "==" in line and not line.startswith("#")}


def version(package):
    return pinned()[package].split("==")[1].split()[0]


def stop(message):
    sys.exit(f"setup: {message}")


def download(packages, folder):
    """Downloads the pinned wheels of `packages` into `folder`; pip checks their hashes."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        stop(
            f"the pinned wheels are for Linux on x86-64, this is {platform.system()} on {platform.machine()}. "
            "Install libtorch 2.11 and LiteRT 2.1.6 or newer yourself and set LIBTORCH and LITERT_LIBRARY."
        )
    lines = [pinned()[package] for package in packages]
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
    # pip matches a platform tag exactly, so every tag that one of the wheels carries is named.
    for tag in ("2_28", "2_27", "2_25", "2_17"):
        command += ["--platform", f"manylinux_{tag}_x86_64"]
    command += ["--platform", "manylinux2014_x86_64", "-r", str(requirements), "-d", str(folder)]
    print(f"setup: fetching {', '.join(packages)}", file=sys.stderr)
    if subprocess.run(command, env={**os.environ, "PIP_NO_CACHE_DIR": "1"}).returncode != 0:
        stop("pip could not fetch the wheels (its message is above); check the network and that python3 has pip, then run again")
    return sorted(folder.glob("*.whl"))


def unpack(wheel, members, target):
    """Extracts the members of `wheel` for which `members(name)` gives a relative target path."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            relative = members(name)
            if relative is None or name.endswith("/"):
                continue
            path = target / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def torch_member(name):
    """Headers and the CPU libraries; libtorch.so is made a link, since the wheel's drags CUDA in."""
    if name.startswith("torch/include/"):
        return name.removeprefix("torch/")
    file = name.rsplit("/", 1)[-1]
    wanted = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13")
    return f"lib/{file}" if "/lib/" in name and file in wanted else None


def build(name, packages, member, finish=lambda folder: None):
    """Makes CACHE/name from wheels unless it is there; a half-made one is never seen under that name."""
    target = CACHE / name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            scratch = pathlib.Path(scratch)
            made = scratch / "made"
            for wheel in download(packages, scratch):
                unpack(wheel, member, made)
            finish(made)
            settle(made, target)
    return target


def settle(made, target):
    """Gives a finished folder its name."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():  # else another setup was faster
            raise


def libtorch():
    def finish(folder):
        (folder / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
        (folder / "build-version").write_text(version("torch") + "\n")

    return build(f"libtorch-{version('torch')}", ["torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti"], torch_member, finish)


def litert():
    def member(name):
        return "libLiteRt.so" if name == "ai_edge_litert/libLiteRt.so" else None

    return build(f"litert-{version('ai-edge-litert')}", ["ai-edge-litert"], member)


def typos():
    def member(name):
        return "typos" if name.endswith("/scripts/typos") else None

    return build(f"typos-{version('typos')}", ["typos"], member, lambda folder: (folder / "typos").chmod(0o755))


def phones():
    """adb and what plays phones for it, or adb alone; none if neither can be had, which is no reason to stop."""
    for kind, packages in {"phones": android.PHONE, "adb": ["adb"]}.items():
        target = CACHE / f"android-{kind}-{android.codename()}"
        try:
            return target if target.exists() else phone_tools(target, packages, backports=kind == "phones")
        except android.Unavailable as problem:
            print(f"setup: {', '.join(packages)} cannot be had: {problem}", file=sys.stderr)
    print(
        f"setup: tests with phones will be skipped; to have them run, install {', '.join(android.PHONE)} or their packages "
        "(adbd is in Debian's backports) and run this again",
        file=sys.stderr,
    )
    return None


def phone_tools(target, packages, backports):
    """What is installed of `packages`, or else `target`, made of what apt has."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        scratch = pathlib.Path(scratch)
        made = scratch / "made"
        made.mkdir()
        programs = android.installed(packages)
        if programs:
            # Afresh every time, since an upgrade may have replaced them.
            target = CACHE / "android-installed"
            shutil.rmtree(target, ignore_errors=True)
            android.copy(programs, made)
        else:
            android.unpack(android.fetch(packages, backports, scratch), made)
        android.check(made)
        settle(made, target)
    return target


def link(name, target):
    """Points REPOSITORY/.deps/name at `target`."""
    path = REPOSITORY / ".deps" / name
    path.parent.mkdir(exist_ok=True)
    if path.is_symlink() or path.exists():
        if path.resolve() == target.resolve():
            return
        path.unlink()
    path.symlink_to(target)


def main():
    unknown = [word for word in sys.argv[1:] if word != "--tools"]
    if unknown:
        stop(f"unknown option {unknown[0]}; the only one is --tools")
    if not (os.environ.get("LIBTORCH") or os.environ.get("LIBTORCH_USE_PYTORCH")):
        link("libtorch", libtorch())
    if os.environ.get("LITERT_LIBRARY"):
        if not pathlib.Path(os.environ["LITERT_LIBRARY"]).is_file():
            stop(f"LITERT_LIBRARY names {os.environ['LITERT_LIBRARY']}, which is not a file; correct it or unset it")
    else:
        link("litert", litert())
    if "--tools" in sys.argv[1:]:
        link("typos", typos())
        tools = phones()
        if tools:
            link("android", tools)


if __name__ == "__main__":
    main()
