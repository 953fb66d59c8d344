"""Plays a Dockerfile without a container engine: each stage is a folder, a copy of the one it is built from, and RUN
happens in it by chroot, in namespaces of its own. As root, on Linux:

    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip bookworm out/box/base
    python -m tests.box.play --base out/box/base --target core --into out/box --share /etc/resolv.conf

What it does not do: pull the base image (`--base` stands for it), layers, and .dockerignore, but for names that begin with a
dot. `--share` shows a file or folder of this machine in the stages, `--env` passes variables on, for a package index say.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


@dataclass
class Player:
    base: Path
    into: Path
    shared: list[str]
    passed: dict[str, str]
    stages: dict[str, Stage] = field(default_factory=dict)

    def play(self, dockerfile: Path, target: str) -> Stage:
        """The stage, with those that it needs and that have not been played yet."""
        wanted = needed(dockerfile, target) - self.stages.keys()
        stage: Stage | None = None
        for step in steps(dockerfile):
            kind, value = step["instruction"], step["value"]
            if kind == "FROM":
                image, _, name = value.partition(" AS ")
                stage = self._begin(image, name) if name in wanted else None
            elif stage is not None:
                print(f"{stage.folder.name:12} {kind} {value[:100]}", flush=True)
                getattr(self, f"_{kind.lower()}")(stage, value)
        return self.stages[target]

    def run(self, stage: Stage, command: list[str], *, user: str = "0:0", env: dict[str, str] | None = None) -> int:
        """In the stage, in mount and process namespaces that end with the command."""
        mounts = ["mount -t proc proc proc", "mount --bind /dev dev"]
        for path in self.shared:
            at = stage.folder / path.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.mkdir(exist_ok=True) if Path(path).is_dir() else at.touch()
            mounts.append(f"mount --bind {path} .{path}")
        uid, gid = user.split(":")
        script = " && ".join(["cd " + str(stage.folder), *mounts, f'exec chroot --userspec={uid}:{gid} . "$@"'])
        inside = ["/bin/sh", "-c", f'cd {stage.workdir} && exec "$@"', "sh", *command]
        path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        variables = {"PATH": path, "HOME": "/root", **self.passed, **stage.env, **(env or {})}
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]
        return subprocess.run([*isolated, *inside], env=variables, check=False).returncode

    def _begin(self, image: str, name: str) -> Stage:
        before = self.stages.get(image)
        folder = self.into / name
        subprocess.run(["rm", "-rf", folder], check=True)
        self.into.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--reflink=auto", before.folder if before else self.base, folder], check=True)
        stage = Stage(folder)
        if before:
            stage = Stage(folder, dict(before.env), before.workdir, before.user, before.entrypoint, before.command)
        else:  # as the official Python images have it
            (folder / "usr/local/bin/python").unlink(missing_ok=True)
            (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        self.stages[name] = stage
        return stage

    def _run(self, stage: Stage, value: str) -> None:
        began = time.monotonic()
        if code := self.run(stage, ["/bin/sh", "-c", value], user=stage.user):
            sys.exit(f"exit code {code}: {value}")
        print(f"{'':12} {time.monotonic() - began:.0f} s", flush=True)

    def _copy(self, stage: Stage, value: str) -> None:
        words = value.split()
        source = ROOT
        if words[0].startswith("--from="):
            source = self.stages[words.pop(0).removeprefix("--from=")].folder
        *names, to = words
        target = stage.folder / str(Path(stage.workdir) / to).lstrip("/")
        for name in names:
            path = source / name.lstrip("/")
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(
                    path, target, symlinks=True, dirs_exist_ok=True, ignore=None if source != ROOT else ignored
                )
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)

    def _env(self, stage: Stage, value: str) -> None:
        for name, text in re.findall(r"(\w+)=(\S+)", value):
            path = stage.env.get("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            stage.env[name] = text.replace("$PATH", path)

    def _workdir(self, stage: Stage, value: str) -> None:
        stage.workdir = value
        (stage.folder / value.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, stage: Stage, value: str) -> None:
        stage.user = value

    def _entrypoint(self, stage: Stage, value: str) -> None:
        stage.entrypoint = json.loads(value)

    def _cmd(self, stage: Stage, value: str) -> None:
        stage.command = json.loads(value)

    def _healthcheck(self, stage: Stage, value: str) -> None:
        stage.healthcheck = json.loads(value.partition("CMD ")[2])

    def _arg(self, stage: Stage, value: str) -> None:
        """Comes with what is passed on."""

    def _expose(self, stage: Stage, value: str) -> None:
        """Nothing to do: the network is the machine's."""

    _volume = _expose


def steps(dockerfile: Path) -> list[dict[str, str]]:
    parser = DockerfileParser(str(dockerfile), cache_content=True)
    return [step for step in parser.structure if step["instruction"] != "COMMENT"]


def needed(dockerfile: Path, target: str) -> set[str]:
    """Names of the stages that one is made of, itself included."""
    uses: dict[str, set[str]] = {}
    name = ""
    for step in steps(dockerfile):
        if step["instruction"] == "FROM":
            image, _, name = step["value"].partition(" AS ")
            uses[name] = {image}
        elif step["instruction"] == "COPY" and step["value"].startswith("--from="):
            uses[name].add(step["value"].split()[0].removeprefix("--from="))
    found: set[str] = set()
    rest = [target]
    while rest:
        if (stage := rest.pop()) in uses and stage not in found:
            found.add(stage)
            rest += uses[stage]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="Folder that stands for the base image.")
    parser.add_argument("--into", type=Path, required=True, help="Folder for the stages.")
    parser.add_argument("--target", action="append", help="A stage of the Dockerfile; repeatable. Default: core.")
    parser.add_argument("--share", action="append", default=[], help="A path of this machine that stages see.")
    parser.add_argument("--env", action="append", default=[], help="A variable to pass on, or NAME=VALUE.")
    parser.add_argument("command", nargs="*", help="What to run in each in the end, in place of its own command.")
    given = parser.parse_args()
    passed = dict(pair.split("=", 1) if "=" in pair else (pair, os.environ[pair]) for pair in given.env)
    player = Player(given.base.resolve(), given.into.resolve(), given.share, passed)
    for target in given.target or ["core"]:
        stage = player.play(ROOT / "Dockerfile", target)
        print(f"{target}: entrypoint {stage.entrypoint}, command {stage.command}, user {stage.user}", flush=True)
        if given.command and (code := player.run(stage, [*stage.entrypoint, *given.command], user=stage.user)):
            sys.exit(code)


if __name__ == "__main__":
    main()
