"""Asks a cluster without a token: `python -m generation.cluster.probe ADDRESS`.

A process of its own, because Ray decides once for a process whether it sends a token. The exit
status is the answer.
"""

import os
import sys

ANSWERS_ANYBODY, ASKS_FOR_A_TOKEN, DOES_NOT_ANSWER = 0, 3, 4


def main(address: str) -> int:
    """Whether the cluster answers anybody."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    from ray._raylet import GcsClient
    from ray.exceptions import AuthenticationError

    try:
        GcsClient(address=address).get_all_node_info(timeout=5)
    except AuthenticationError:
        return ASKS_FOR_A_TOKEN
    except Exception:  # noqa: BLE001 - whatever it is, the real connection says it better
        return DOES_NOT_ANSWER

    return ANSWERS_ANYBODY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
