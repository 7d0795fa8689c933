"""What `doctor` asks about a backend, answered by a process that may import it."""

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

from generation.errors import BackendUnavailable
from generation.safety.screen import SafetySpec, open_classifier
from generation.worker.backend import BackendSpec, Finding, open_backend


def check_backend(
    spec: BackendSpec,
    *,
    more: Mapping[str, BackendSpec] | None = None,
    device: str,
    timeout_s: float = 60.0,
) -> Sequence[Finding]:
    """Whether the backend could load on the device; blocks until known, `timeout_s` at most.

    more: other models, whose names stand in the subjects of what is found of them.

    Never raises for a backend at fault: that is a finding. The calling process imports no model
    library, and the process that does is gone on return.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_report, args=(spec, more or {}, device, theirs), name="backend-check", daemon=True
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(timeout_s):
            return [_failure(f"no answer within {timeout_s:g} s")]

        findings: list[Finding] = ours.recv()
    except EOFError:
        return [_failure("the process that looked ended without an answer")]
    finally:
        process.kill()
        process.join()
        ours.close()

    return findings


def _report(
    spec: BackendSpec,
    more: Mapping[str, BackendSpec],
    device: str,
    pipe: "Connection[Sequence[Finding], object]",
) -> None:
    findings = list(_found(spec, device))
    for name, other in more.items():
        findings += [
            replace(finding, subject=f"{finding.subject} {name}")
            for finding in _found(other, device)
            if finding.subject != "device"
        ]

    if spec.safety is not None:
        findings.append(_check_safety(spec.safety, device=device))

    pipe.send(findings)


def _found(spec: BackendSpec, device: str) -> Sequence[Finding]:
    try:
        return open_backend(spec, device=device).check()
    except Exception as exc:  # noqa: BLE001 - the finding tells it
        return [_failure(f"{type(exc).__name__}: {exc}")]


def _check_safety(spec: SafetySpec, *, device: str) -> Finding:
    try:
        detail = open_classifier(spec, device=device).check()
    except BackendUnavailable as exc:
        return Finding(subject="safety", ok=False, detail=exc.reason)
    except Exception as exc:  # noqa: BLE001 - the finding tells it
        return Finding(subject="safety", ok=False, detail=f"{type(exc).__name__}: {exc}")

    withheld = f"images that score {spec.threshold:g} or more are withheld"

    return Finding(subject="safety", ok=True, detail=f"{detail}; {withheld}")


def _failure(detail: str) -> Finding:
    return Finding(subject="backend", ok=False, detail=detail)
