"""Checks a backend for `oxherd doctor`, in a process that may import it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

from generation.errors import BackendUnavailable
from generation.safety.screen import SafetySpec, open_classifier
from generation.worker.backend import Finding, open_backend
from generation.worker.check_process import NoAnswer, answer_of
from generation.worker.specs import BackendSpec


def check_backend(
    models: Mapping[str, BackendSpec],
    *,
    device: str,
    timeout_s: float = 60.0,
) -> Sequence[Finding]:
    """Check whether the models could load on the device; blocks for `timeout_s` at most.

    models: by name, the default first; the subjects of the other models' findings contain their
        names.

    A faulty backend is a finding, never an exception. The calling process imports no model
    library, and the process that does is gone on return.
    """
    try:
        findings: Sequence[Finding] = answer_of(
            _check, models, device, name="backend-check", within_s=timeout_s
        )
    except NoAnswer as exc:
        return [_failure(str(exc))]

    return findings


def _check(
    models: Mapping[str, BackendSpec],
    device: str,
    pipe: "Connection[Sequence[Finding], object]",
) -> None:
    (_, default), *others = models.items()
    findings = list(_check_model(default, device))
    for name, other in others:
        findings += [
            replace(finding, subject=f"{finding.subject} {name}")
            for finding in _check_model(other, device)
            if finding.subject != "device"
        ]

    if default.safety is not None:
        findings.append(check_safety(default.safety, device=device))

    pipe.send(findings)


def _check_model(spec: BackendSpec, device: str) -> Sequence[Finding]:
    try:
        return open_backend(spec, device=device).check()
    except Exception as exc:  # noqa: BLE001 - reported in the finding
        return [_failure(f"{type(exc).__name__}: {exc}")]


def check_safety(spec: SafetySpec, *, device: str) -> Finding:
    """Check in this process whether the classifier could load on the device."""
    try:
        detail = open_classifier(spec, device=device).check()
    except BackendUnavailable as exc:
        return Finding(subject="safety", ok=False, detail=exc.reason)
    except Exception as exc:  # noqa: BLE001 - reported in the finding
        return Finding(subject="safety", ok=False, detail=f"{type(exc).__name__}: {exc}")

    withheld = f"images that score {spec.threshold:g} or more are withheld"
    if spec.doubtful is not None:
        withheld += f", and from {spec.doubtful:g} on they are doubtful"

    return Finding(subject="safety", ok=True, detail=f"{detail}; {withheld}")


def _failure(detail: str) -> Finding:
    return Finding(subject="backend", ok=False, detail=detail)
