"""Custom resources of other projects that OddJob's chart makes objects of, as those projects publish them.

They are taken from the projects' Go modules at the versions below, through the module cache (`go mod download`),
whose sums are compared with those here. ${ODDJOB_TEST_CRDS} names a folder with the files instead.
"""

import json
import os
import pathlib

import yaml

import build

MODULES = [
    ("github.com/prometheus-operator/prometheus-operator", "v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
     ["example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
      "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"]),
    ("github.com/cert-manager/cert-manager", "v1.17.1", "h1:Aig+lWMoLsmpGd9TOlTvO4t0Ah3D+/vGB37x/f+ZKt0=",
     ["deploy/crds/crd-certificates.yaml"]),
]


def documents():
    """The CustomResourceDefinitions of ServiceMonitor, PrometheusRule and Certificate. Errors: build.BuildError."""
    return [document for module in MODULES for path in _files(*module) for document in _read(path)]


def _files(module, version, wanted, names):
    given = os.environ.get("ODDJOB_TEST_CRDS")
    if given:
        return [pathlib.Path(given, pathlib.Path(name).name) for name in names]
    said = build.Go(lambda line: None).run("mod", "download", "-json", f"{module}@{version}", cwd="/")
    found = json.loads(said)
    if found["Sum"] != wanted:
        raise build.BuildError(f"{module}@{version} has the sum {found['Sum']}, not {wanted}: it is not what was tried before")
    return [pathlib.Path(found["Dir"], name) for name in names]


def _read(path):
    for document in yaml.safe_load_all(path.read_text()):
        # What remains of a project's own packaging, such as the templates in labels, is not taken along.
        document["metadata"] = {k: v for k, v in document["metadata"].items() if k == "name"}
        yield document
