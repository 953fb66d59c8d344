"""Dockerfile, Compose file and Kubernetes manifest, read as their programs would read them; no container engine is needed.

What they set is given to the very code that reads it, so a variable that the gateway would refuse is noticed here.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pir_serve.settings import Settings
from tests.box.play import needed, steps

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
TARGETS = ("core", "local", "ui")
LOCKS = {"core": ("postgres", "otel"), "local": ("postgres", "otel", "local"), "ui": ("ui",)}
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
MANIFEST = list(yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text()))


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s\\;]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if hadolint is None:
        pytest.skip("hadolint does not come for Windows")
    return subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True, check=False)


def test_the_dockerfile_passes_hadolint(tmp_path: Path) -> None:
    assert lint(DOCKERFILE).stdout == ""
    bad = tmp_path / "Dockerfile"
    bad.write_text(DOCKERFILE.read_text() + "RUN cd /x && pip install flask\n")
    found = lint(bad)
    assert found.returncode == 1 and "DL3013" in found.stdout and "DL3003" in found.stdout


def instructions(target: str, kind: str) -> Iterator[str]:
    """Of a stage and those it is made of, in order."""
    stages, name = needed(DOCKERFILE, target), ""
    for step in steps(DOCKERFILE):
        if step["instruction"] == "FROM":
            name = step["value"].partition(" AS ")[2]
        if name in stages and step["instruction"] == kind:
            yield step["value"]


def image_env(target: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions(target, "ENV"))))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_is_not_root_is_watched_and_installs_hashed_files_only(target: str) -> None:
    assert list(instructions(target, "USER")) == ["10001:10001"]
    assert len(list(instructions(target, "HEALTHCHECK"))) == 1
    assert list(instructions(target, "ENTRYPOINT")) == ['["pir"]']
    installs = [
        part for run in instructions(target, "RUN") for part in run.split("&&") if "pip" in part and " install " in part
    ]
    assert len(installs) >= 3
    assert all("--require-hashes --no-deps" in part or "--no-index --no-deps" in part for part in installs)
    assert any(f"/locks/{target}.txt" in part for part in installs)


def test_the_default_image_is_the_gateway_alone() -> None:
    last = [step["value"] for step in steps(DOCKERFILE) if step["instruction"] == "FROM"][-1]
    assert last.endswith(" AS core")
    assert not {"torch", "transformers", "gradio"} & pins(ROOT / "deploy/locks/core.txt").keys()


def test_what_is_copied_is_there_and_let_through() -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for target in TARGETS:
        for copy in instructions(target, "COPY"):
            if not copy.startswith("--from="):
                for source in copy.split()[:-1]:
                    assert (ROOT / source).exists() and source in let_through, source


@pytest.mark.parametrize("lock", [*LOCKS, "build"])
def test_a_lock_has_the_pins_that_the_tests_ran_with_each_with_hashes(lock: str) -> None:
    path = ROOT / "deploy/locks" / f"{lock}.txt"
    locked, tested = pins(path), pins(ROOT / "requirements.txt")
    assert {n: v.removesuffix("+cpu") for n, v in locked.items()} == {n: tested[n] for n in locked}, "run: make lock"
    entries = re.split(r"\n(?=[\w.-]+==)", re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_pins_install_on_every_python_3_11() -> None:
    """Debian's is 3.11.2; a pin that wants 3.11.5 leaves its users with a conflict that names neither."""
    wanted = {}
    for name in pins(ROOT / "requirements.txt"):
        try:
            wanted[name] = metadata(name).get("Requires-Python") or ""
        except PackageNotFoundError:
            continue
    assert len(wanted) > 100
    assert not {name: python for name, python in wanted.items() if not SpecifierSet(python).contains("3.11.0")}


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info[:2] != (3, 11), reason="the images' Python and system")
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_all_that_its_image_needs(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in LOCKS[lock] for r in project["optional-dependencies"][extra])]
    # sqlite-utils wants pip for its own plug-ins.
    rest, seen = [Requirement(text) for text in wanted], set()
    locked = pins(ROOT / "deploy/locks" / f"{lock}.txt")
    while rest:
        requirement = rest.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        if (
            name == "pip"
            or (name, *extras) in seen
            or (requirement.marker and not requirement.marker.evaluate({"extra": ""}))
        ):
            continue
        seen.add((name, *extras))
        assert name in locked, f"{name} is not in {lock}.txt; run: make lock"
        for text in requires(name) or ():
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                further.marker = None
                rest.append(further)
    assert len(seen) > 30


# Compose

_REQUIRED = {"PIR_API_KEY": "a-client-s-key", "PIR_SECRET": "0123456789abcdef", "POSTGRES_PASSWORD": "p"}


def filled(text: str) -> str:
    """As Compose fills in variables: the needed ones, else their defaults."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: _REQUIRED.get(found[1]) or (found[3] if found[2] == "-" else "given"),
        text,
    )


@pytest.mark.parametrize("service", ["gateway", "gateway-gpu"])
def test_the_gateway_takes_what_compose_sets(service: str) -> None:
    described = COMPOSE["services"][service]
    given = {name: filled(str(value)) for name, value in described["environment"].items()}
    settings = Settings.from_env(image_env(described["build"]["target"]) | given)
    assert settings.host == "0.0.0.0" and settings.api_key and settings.database
    assert settings.port == 8000 and described["ports"] == ["127.0.0.1:8000:8000"]


def test_compose_needs_every_secret_to_be_named_and_tells_others_nothing() -> None:
    text = (ROOT / "compose.yaml").read_text()
    example = (ROOT / "deploy/env.example").read_text()
    named = set(re.findall(r"\$\{(\w+)", text))
    assert named | {"COMPOSE_PROFILES"} == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert not re.findall(r"^\w*(?:KEY|SECRET|PASSWORD)=.+", example, re.MULTILINE)
    for name in ("PIR_API_KEY", "PIR_SECRET", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD"):
        assert f"${{{name}:?" in text, f"{name} has a default"
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_compose_names_what_there_is() -> None:
    services, volumes = COMPOSE["services"], COMPOSE["volumes"]
    for name, service in services.items():
        image = service["image"]
        assert re.search(r":[\w.-]*\d|:(?:core|local|ui)$", image) and not image.endswith(":latest"), image
        if "build" in service:
            assert service["build"]["target"] in TARGETS and image == f"pir-serve:{service['build']['target']}"
        for other in service.get("depends_on", {}):
            # One that may be asked to wait for a service of a profile must be in that profile too.
            assert set(service.get("profiles", ())) <= set(services[other].get("profiles", service.get("profiles", ())))
            assert "healthcheck" in services[other], f"{name} waits for {other} to be healthy"
        for volume in service.get("volumes", ()):
            source = filled(volume).split(":")[0]
            if source.startswith("./deploy") or source.startswith("./docs"):
                assert (ROOT / source).is_file(), source
            elif not source.startswith("."):
                assert source in volumes, source


def test_the_example_of_users_is_one_that_the_web_app_reads() -> None:
    accounts = tomllib.loads((ROOT / "deploy/users.example.toml").read_text())
    assert all(set(account) == {"password", "api_key"} for account in accounts.values()) and accounts
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert COMPOSE["secrets"]["users"]["file"].removeprefix("./") in ignored and ".env" in ignored
    command = COMPOSE["services"]["ui"]["command"]
    assert command[command.index("--users") + 1] == "/run/secrets/users"


def test_prometheus_scrapes_services_and_grafana_reads_prometheus() -> None:
    hosts = set(COMPOSE["services"])
    for service in COMPOSE["services"].values():
        hosts |= set(service.get("networks", {}).get("default", {}).get("aliases", ()))
    scraped = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for config in job["static_configs"] for target in config["targets"]]
    assert targets and all(target.partition(":")[0] in hosts for target in targets)
    (source,) = yaml.safe_load((ROOT / "deploy/grafana/datasource.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus" and source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/dashboards.yaml").read_text())["providers"]
    mounted = [volume.split(":") for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert any(
        at.startswith(provider["options"]["path"]) and source == "./docs/grafana.json" for source, at, *_ in mounted
    )


# Kubernetes


def workloads() -> list[dict[str, Any]]:
    return [item for item in MANIFEST if item["kind"] == "Deployment"]


@pytest.mark.parametrize("item", MANIFEST, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_the_manifest_is_valid(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, "1.33", strict=True)


def test_selectors_and_ports_meet() -> None:
    pods = {d["metadata"]["name"]: d["spec"]["template"] for d in workloads()}
    for item in MANIFEST:
        if item["kind"] == "Service":
            (pod,) = [p for p in pods.values() if item["spec"]["selector"].items() <= p["metadata"]["labels"].items()]
            names = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= names
    services = {item["metadata"]["name"] for item in MANIFEST if item["kind"] == "Service"}
    (gateway,) = pods["pir-gateway"]["spec"]["containers"]
    settings = {pair["name"]: pair["value"] for pair in gateway["env"]}
    assert re.fullmatch(r"http://([\w-]+):8000", settings["PIR_ENGINE_URL"])[1] in services  # type: ignore[index]


def test_pods_are_hardened_and_end_in_time() -> None:
    for workload in workloads():
        spec = workload["spec"]["template"]["spec"]
        assert spec["enableServiceLinks"] is False  # PIR_..._SERVICE_HOST would be an unknown setting
        assert all(
            fnmatch.fnmatch(c["image"], "*:*") and not c["image"].endswith(":latest") for c in spec["containers"]
        )
    spec = workloads()[0]["spec"]["template"]["spec"]
    (gateway,) = spec["containers"]
    assert spec["securityContext"]["runAsUser"] == 10001 and gateway["securityContext"]["readOnlyRootFilesystem"]
    given = {pair["name"]: pair["value"] for pair in gateway["env"]}
    secret = {"PIR_API_KEY": "a-client-s-key", "PIR_SECRET": "0123456789abcdef", "PIR_DATABASE": "postgresql://d/pir"}
    settings = Settings.from_env(image_env("core") | given | secret)
    pause = float(gateway["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + settings.shutdown_s < spec["terminationGracePeriodSeconds"]
    assert (
        gateway["readinessProbe"]["httpGet"]["path"] == "/ready"
        and gateway["livenessProbe"]["httpGet"]["path"] == "/health"
    )
