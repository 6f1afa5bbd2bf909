"""The series of the metrics that alerts are about, and a case of a test."""

from dataclasses import dataclass, field

LATER = "45m"  # long after any `for`
DAY = 86400
HTTP = 'pneumo_request_seconds_count{instance="app-0", job="api", route="/v1/predictions", method="POST", status="%s"}'
READY = 'pneumo_request_seconds_count{instance="app-0", job="api", route="/readyz", method="GET", status="502"}'
FILES = 'pneumo_predictions_total{instance="app-0", job="api", outcome="%s", model="v"}'
REVIEWS = 'pneumo_reviews_total{instance="app-0", job="api", says="%s", model="v"}'
SCORES = 'pneumo_scores_total{instance="app-0", job="api", bin="%s", model="v"}'
EXPECTED = 'pneumo_validation_scores_ratio{instance="%s", job="api", bin="%s", model="v"}'
SCORE = 'pneumo_stage_seconds_bucket{instance="app-0", job="api", stage="score", le="%s"}'
CHECK = 'pneumo_checks_total{instance="app-0", job="api", check="%s", outcome="%s"}'
FAILED = 'pneumo_received_failed{instance="app-0", job="api"}'
WAITED = 'pneumo_received_oldest_seconds{instance="app-0", job="api"}'
CLOCK = 'pneumo_clock_error_seconds{instance="app-0", job="api"}'
ON = 'up{instance="train-0", job="node", role="train"}'
LEASE = 'pneumoctl_gpu_lease_expires_seconds{instance="train-0", job="node"}'
STEPS = 'pneumoctl_training_steps_total{instance="train-0", job="node"}'


@dataclass(frozen=True)
class Case:
    """Series by minute in promtool's notation ("0+5x60": from 0, 5 more each minute); what a person then reads."""

    about: str
    series: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    at: str = LATER


def up(job: str, value: str, role: str = "app", instance: str = "app-0") -> dict[str, str]:
    return {f'up{{instance="{instance}", job="{job}", role="{role}"}}': value}


def disk(size: int, left: int, kind: str = "ext4") -> dict[str, str]:
    labels = f'{{instance="app-0", job="node", mountpoint="/", fstype="{kind}"}}'
    return {f"node_filesystem_size_bytes{labels}": f"{size}x60", f"node_filesystem_avail_bytes{labels}": f"{left}x60"}


def memory(total: int, left: int) -> dict[str, str]:
    labels = '{instance="app-0", job="node"}'
    return {
        f"node_memory_MemTotal_bytes{labels}": f"{total}x60",
        f"node_memory_MemAvailable_bytes{labels}": f"{left}x60",
    }


def certificate(end: int) -> dict[str, str]:
    return {'pneumoctl_certificate_expires_seconds{instance="nginx", job="node"}': f"{end}x60"}


def redis(**values: str) -> dict[str, str]:
    return {f'redis_{name}{{instance="app-0", job="redis"}}': value for name, value in values.items()}


APP = {"instance": "app-0"}
NODE = {**APP, "job": "node"}
HOST = {**NODE, "role": "app"}
NGINX = {"instance": "nginx", "job": "node"}
GPU = {"instance": "train-0", "job": "node", "role": "train"}
API = {"instance": "app-0", "job": "api"}
REDIS = {"instance": "app-0", "job": "redis"}
