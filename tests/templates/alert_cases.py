"""Test series for each alert: those with which it must fire, and those with which it must not."""

from tests.templates.alert_series import (
    API,
    APP,
    CHECK,
    CLOCK,
    DAY,
    EXPECTED,
    FAILED,
    FILES,
    GPU,
    HOST,
    HTTP,
    LEASE,
    NGINX,
    NODE,
    ON,
    READY,
    REDIS,
    REVIEWS,
    SCORE,
    SCORES,
    STEPS,
    WAITED,
    Case,
    certificate,
    disk,
    memory,
    redis,
    up,
)

# A third in each of three tenths, as two hosts state it.
STATED = {
    EXPECTED % (host, place): f"{share}x200"
    for host in ("app-0", "app-1")
    for place, share in (("0.0", 0.3), ("0.5", 0.3), ("0.9", 0.4))
}
FIRES = {
    "HostDown": [Case("no answer", up("node", "1x9 0x60"), labels=HOST, summary="app-0 does not answer")],
    "DiskNearlyFull": [
        Case(
            "5 % left",
            disk(100, 5),
            labels={"instance": "app-0", "job": "node", "mountpoint": "/", "fstype": "ext4"},
            summary="/ of app-0 has 5% left",
        )
    ],
    "MemoryNearlyFull": [
        Case(
            "5 % left",
            memory(100, 5),
            labels=NODE,
            summary="app-0 has 5% of its memory left",
        )
    ],
    "CertificateExpiring": [
        Case(
            "in ten days",
            certificate(10 * DAY),
            labels=NGINX,
            summary="the front door's certificate ends in 9d 23h 15m 0s",
        ),
        Case("it has ended", certificate(60), labels=NGINX, summary="the front door's certificate has ended"),
    ],
    "ServiceDown": [
        Case("the API", up("api", "0x60"), labels={**API, "role": "app"}, summary="api on app-0 does not answer"),
        Case(
            "the page",
            up("ui", "0x60", "web", "web-1"),
            labels={"instance": "web-1", "job": "ui", "role": "web"},
            summary="ui on web-1 does not answer",
        ),
        Case(
            "nginx, whose exporter lives",
            up("nginx", "1x60", "nginx", "nginx") | {'nginx_up{instance="nginx", job="nginx", role="nginx"}': "0x60"},
            labels={"instance": "nginx", "job": "nginx", "role": "nginx"},
            summary="nginx on nginx does not answer",
        ),
        Case(
            "Redis, whose exporter lives",
            up("redis", "1x60") | redis(up="0x60"),
            labels=REDIS,
            summary="redis on app-0 does not answer",
        ),
    ],
    "RequestsFail": [
        Case(
            "one in ten",
            {HTTP % 201: "0+90x60", HTTP % 500: "0+10x60"},
            labels=API,
            summary="10% of the requests to api on app-0 fail",
        ),
        Case("each", {HTTP % 504: "0+1x60"}, labels=API, summary="100% of the requests to api on app-0 fail"),
    ],
    "PredictionErrors": [
        Case(
            "one in ten",
            {FILES % "no pneumonia": "0+9x60", FILES % "error": "0+1x60"},
            labels=APP,
            summary="10% of the files sent to app-0 have no result",
        ),
    ],
    "ApiSlow": [
        Case(
            "one in ten takes between 2.5 and 5 seconds",
            {SCORE % "2.5": "0+9x60", SCORE % "5.0": "0+10x60", SCORE % "+Inf": "0+10x60"},
            labels=APP,
            summary="one picture in twenty takes 3.75s to score on app-0",
        )
    ],
    "QueueFull": [
        Case(
            "many are answered with 503",
            {HTTP % 503: "0+10x60"},
            labels=APP,
            summary="app-0 answered 50 uploads within 5 minutes with 503",
        )
    ],
    "RefusalsHigh": [
        Case(
            "half of many",
            {FILES % "refused": "0+1x120", FILES % "pneumonia": "0+1x120"},
            summary="50% of the files of the last hour were refused",
            at="100m",
        )
    ],
    "ReviewsContradict": [
        Case(
            "half of many",
            {REVIEWS % "contradicts": "0+1x120", REVIEWS % "agrees": "0+1x120"},
            labels={"model": "v"},
            summary="50% of the reviews of the last day contradict the model v",
            at="100m",
        )
    ],
    "KnownPictureOutOfBand": [
        Case(
            "it began to fail lately",
            {CHECK % ("known_picture", "ok"): "0+4x40 160x20", CHECK % ("known_picture", "fault"): "0x42 4+4x20"},
            labels={**API, "check": "known_picture", "outcome": "fault"},
            summary="the known picture does not score on app-0 as it did when the model was made",
        )
    ],
    "StoreUnavailable": [
        Case(
            "it fails",
            {CHECK % ("store", "fault"): "0+4x60"},
            labels={**API, "check": "store", "outcome": "fault"},
            summary="the API on app-0 cannot store results: Redis is down, full, or cannot write",
        )
    ],
    "ReceivedFilmsFailed": [
        Case("one failed", {FAILED: "0x30 1x30"}, summary="films that were sent by DICOM have no result: 1")
    ],
    "ReceivedFilmsWait": [
        Case(
            "nothing is scored",
            {WAITED: "0+60x60"},
            summary="the oldest film that was sent by DICOM has waited 45m 0s",
        )
    ],
    "ClockWrong": [
        Case(
            "ahead",
            {CLOCK: "3600x60"},
            labels=API,
            summary="the clock of app-0 is wrong by 1h 0m 0s, or was set: results may be hidden",
        ),
        Case(
            "behind",
            {CLOCK: "-90x60"},
            labels=API,
            summary="the clock of app-0 is wrong by 1m 30s, or was set: results may be hidden",
        ),
        Case(
            "the clock was set, and one of two workers has started since",
            {CLOCK: " ".join(["3600", "0"] * 30)},
            labels=API,
            summary="the clock of app-0 is wrong by 1h 0m 0s, or was set: results may be hidden",
        ),
    ],
    "ScoresDrift": [
        Case(
            "nearly all are in one tenth, and none in another",
            STATED | {SCORES % "0.9": "0+9x200", SCORES % "0.5": "0+1x200"},
            labels={"model": "v"},
            summary="the probabilities of the model v are spread otherwise than on its validation films (PSI 2.716)",
            at="180m",
        )
    ],
    "RedisMemoryNearLimit": [
        Case(
            "90 %",
            redis(memory_used_bytes="90x60", memory_max_bytes="100x60"),
            labels=REDIS,
            summary="the store on app-0 is 90% full",
        ),
        Case(
            "80 %, as `status` and the page say, too",
            redis(memory_used_bytes="80x60", memory_max_bytes="100x60"),
            labels=REDIS,
            summary="the store on app-0 is 80% full",
        ),
    ],
    "RedisCannotWrite": [
        Case(
            "a write failed",
            redis(aof_last_write_status="0x60"),
            labels=REDIS,
            summary="Redis on app-0 could not write its file",
        ),
        Case(
            "so did rewriting the file",
            redis(aof_last_bgrewrite_status="0x60"),
            labels=REDIS,
            summary="Redis on app-0 could not write its file",
        ),
    ],
    "RedisRefusesConnections": [
        Case(
            "some a minute",
            redis(rejected_connections_total="0x40 1+1x20"),
            labels=REDIS,
            summary="Redis on app-0 refused 5 connections: its limit is reached",
        )
    ],
    "GpuBillsForNothing": [
        Case("on, with no exporter", {ON: "1x60"}, labels=GPU, summary="train-0 is on, and nothing trains there"),
        Case(
            "trains, but nobody holds the lease any more",
            {ON: "1x60", LEASE: "600x60", STEPS: "0+100x60"},
            labels=GPU,
            summary="train-0 is on, and nothing trains there",
        ),
        Case(
            "leased, but stands still",
            {ON: "1x60", LEASE: "600+60x60", STEPS: "500x60"},
            labels=GPU,
            summary="train-0 is on, and nothing trains there",
        ),
    ],
}

SILENT = {
    "HostDown": [
        Case("all answer", up("node", "1x60")),
        Case("a moment's silence", up("node", "1x42 0x2 1x20")),
        Case("a stopped GPU host", up("node", "0x60", "train", "train-0")),
        Case("a service that is down", up("api", "0x60")),
    ],
    "DiskNearlyFull": [Case("a fifth is left", disk(100, 20)), Case("no disk, but memory", disk(100, 1, "tmpfs"))],
    "MemoryNearlyFull": [Case("a fifth is left", memory(100, 20))],
    "CertificateExpiring": [Case("in a month", certificate(30 * DAY))],
    "ServiceDown": [
        Case(
            "all answer",
            up("api", "1x60") | up("redis", "1x60") | redis(up="1x60") | {'nginx_up{instance="nginx"}': "1x60"},
        ),
        Case("a restart", up("api", "1x43 0 1x20")),
        Case("a stopped GPU host", up("node", "0x60", "train", "train-0")),
    ],
    "RequestsFail": [
        Case("one in a hundred", {HTTP % 201: "0+99x60", HTTP % 500: "0+1x60"}),
        Case("it is too busy, and says so", {HTTP % 201: "0+50x60", HTTP % 503: "0+50x60"}),
        Case("its store is full, and it says so", {HTTP % 201: "0+50x60", HTTP % 507: "0+50x60"}),
        Case("others send nonsense", {HTTP % 400: "0+50x60", HTTP % 401: "0+50x60"}),
        Case("nobody asks", {HTTP % 201: "7x60"}),
        Case("it says that it is not ready", {READY: "0+50x60"}),
    ],
    "PredictionErrors": [
        Case("one in a hundred", {FILES % "no pneumonia": "0+99x60", FILES % "error": "0+1x60"}),
        Case("nobody sends any", {FILES % "error": "7x60"}),
    ],
    "ApiSlow": [
        Case("all within a second", {SCORE % "1.0": "0+10x60", SCORE % "2.5": "0+10x60", SCORE % "+Inf": "0+10x60"}),
        Case("nobody sends any", {SCORE % "2.5": "7x60", SCORE % "+Inf": "9x60"}),
    ],
    "QueueFull": [
        Case("one now and then", {HTTP % 503: "0x20 1x20 2x20"}),
        Case("all are taken", {HTTP % 201: "0+100x60"}),
    ],
    "RefusalsHigh": [
        Case("a tenth of many", {FILES % "refused": "0+1x120", FILES % "no pneumonia": "0+9x120"}, at="100m"),
        Case("all of a handful", {FILES % "refused": "0x60 5x60"}, at="100m"),
    ],
    "ReviewsContradict": [
        Case("a tenth of many", {REVIEWS % "contradicts": "0+1x120", REVIEWS % "agrees": "0+9x120"}, at="100m"),
        Case("all of a handful", {REVIEWS % "contradicts": "0x60 5x60"}, at="100m"),
        Case("most are unsure", {REVIEWS % "contradicts": "0x60 5x60", REVIEWS % "unsure": "0+9x120"}, at="100m"),
    ],
    "KnownPictureOutOfBand": [
        Case("it scores as it should", {CHECK % ("known_picture", "ok"): "0+4x60"}),
        Case("another check fails", {CHECK % ("store", "fault"): "0+4x60"}),
        Case("it failed long ago", {CHECK % ("known_picture", "fault"): "0+4x9 36x60"}),
    ],
    "StoreUnavailable": [Case("it is there", {CHECK % ("store", "ok"): "0+4x60"})],
    "ReceivedFilmsFailed": [Case("none failed", {FAILED: "0x60"}), Case("an earlier API", {HTTP % 201: "0+1x60"})],
    "ReceivedFilmsWait": [Case("they are scored", {WAITED: "0 120 290 3 0x56"})],
    "ClockWrong": [Case("it is right", {CLOCK: "0.2x60"}), Case("results do not expire", {HTTP % 201: "0+1x60"})],
    "ScoresDrift": [
        Case(
            "as on the validation films",
            STATED | {SCORES % "0.0": "0+3x200", SCORES % "0.5": "0+3x200", SCORES % "0.9": "0+4x200"},
            at="180m",
        ),
        Case("few films", STATED | {SCORES % "0.9": "0x60 190x140"}, at="180m"),
        Case("a bundle that does not state its scores", {SCORES % "0.9": "0+9x200"}, at="180m"),
    ],
    "RedisMemoryNearLimit": [
        Case("79 %", redis(memory_used_bytes="79x60", memory_max_bytes="100x60")),
        Case("it has no limit", redis(memory_used_bytes="50x60", memory_max_bytes="0x60")),
    ],
    "RedisCannotWrite": [Case("it can", redis(aof_last_write_status="1x60", aof_last_bgrewrite_status="1x60"))],
    "RedisRefusesConnections": [Case("none since long", redis(rejected_connections_total="3x60"))],
    "GpuBillsForNothing": [
        Case("leased and training", {ON: "1x60", LEASE: "600+60x60", STEPS: "0+100x60"}),
        Case("just started", {ON: "_x40 1x20"}),
        Case("stopped", {ON: "0x60"}),
        Case("stopped after a run", {ON: "1x20 0x60", LEASE: "600+60x20", STEPS: "0+100x20"}),
        Case("another host is on", up("node", "1x60")),
    ],
}
