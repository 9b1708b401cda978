"""Options of rtpengine that icerelay knows by name only.

An existing start line or file still works with them: they are named once at
start and ignored. Names of releases 10.5 to 13.
"""

from __future__ import annotations

_FLAGS = """
    active-switchover codecs debug-srtp dtls-passive dtmf-log-ng-tcp dtmf-no-log-injects dtmf-no-suppress
    foreground homer-disable-rtcp-stats homer-enable-ng io-uring jb-clock-drift log-srtp-keys log-stderr
    measure-rtp no-fallback no-log-timestamps no-redis-required player-cache poller-per-thread
    record-egress reject-invalid-sdp save-interface-ports sip-source split-logs
"""
FLAGS = frozenset(_FLAGS.split())
"""Options without a value."""

_VALUES = """
    amr-dtx audio-buffer-delay audio-buffer-length audio-player b2b-url cn-payload codec-num-threads
    control-pmtu control-tos dtls-cert-cipher dtls-ciphers dtls-mtu dtls-rsa-key-size dtls-signature
    dtmf-digit-delay dtmf-log-dest dtx-buffer dtx-cn-params dtx-delay dtx-lag dtx-shift endpoint-learning
    evs-lib-path graphite graphite-interval graphite-prefix graphite-timeout homer homer-id
    homer-ng-capture-proto homer-protocol http-threads https-cert https-key idle-priority idle-scheduling
    io-uring-buffers iptables-chain janus-secret jitter-buffer kernel-player kernel-player-media
    listen-cli listen-https listen-tcp listen-tcp-ng listen-udp log-facility log-facility-cdr
    log-facility-dtmf log-facility-rtcp log-format log-level-codec log-level-control log-level-core
    log-level-crypto log-level-dtx log-level-ffmpeg log-level-http log-level-ice log-level-internals
    log-level-rtcp log-level-spandsp log-level-srtp log-level-transcoding log-mark-prefix log-mark-suffix
    log-name max-bandwidth max-cpu max-dtx max-load max-log-line-length max-recv-iters max-sessions
    media-num-threads mos mqtt-cafile mqtt-capath mqtt-certfile mqtt-host mqtt-id mqtt-keepalive
    mqtt-keyfile mqtt-pass mqtt-port mqtt-publish-interval mqtt-publish-qos mqtt-publish-scope
    mqtt-publish-topic mqtt-tls-alpn mqtt-user mysql-host mysql-pass mysql-port mysql-query mysql-user
    num-media-threads poller-size priority recording-dir recording-format recording-method redis
    redis-allowed-errors redis-cmd-timeout redis-connect-timeout redis-delete-async
    redis-delete-async-interval redis-disable-time redis-expires redis-num-threads redis-write
    rtcp-interval scheduling silence-detect socket-cpu-affinity software-id subscribe-keyspace table
    thread-stack xmlrpc-format
"""
VALUES = frozenset(_VALUES.split())
"""Options with a value."""

NAMES = FLAGS | VALUES

SHORT = {
    "b2b-url": "b",
    "foreground": "f",
    "graphite": "g",
    "graphite-interval": "G",
    "listen-cli": "c",
    "listen-tcp": "l",
    "listen-tcp-ng": "N",
    "listen-udp": "u",
    "log-stderr": "E",
    "no-fallback": "F",
    "no-redis-required": "q",
    "redis": "r",
    "redis-delete-async": "y",
    "redis-write": "w",
    "save-interface-ports": "S",
    "subscribe-keyspace": "k",
    "table": "t",
    "xmlrpc-format": "x",
}
"""One-letter forms."""
