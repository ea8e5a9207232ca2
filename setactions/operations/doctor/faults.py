"""What mends each reason for which a cluster cannot be reached."""

from urllib.parse import urlsplit

from setactions.tms import unsent
from setactions.tms.clusters import Cluster

_CORRECT = "Correct TMS_CLUSTERS in .env ({name}={origin}), or ask whoever runs the cluster."
_PROXY = "Correct TMS_PROXY in .env, or ask whoever runs the proxy."
_SAVE = "openssl s_client -connect {address} -showcerts </dev/null | openssl x509 >>AUTHORITIES.pem"
MENDS = {
    "cluster.certificate_expired": "Ask whoever runs the cluster to renew it. If it is new: timedatectl set-ntp true",
    "cluster.certificate_not_yet_valid": "timedatectl set-ntp true; if the clock is right, ask who runs the cluster.",
    "cluster.certificate_name": "Write the name that its certificate has into TMS_CLUSTERS: {name}=https://NAME",
    "cluster.certificate_self_signed": f"If it is theirs: {_SAVE}; then TMS_CA_BUNDLE=AUTHORITIES.pem in .env",
    "cluster.authority_unknown": "TMS_CA_BUNDLE=FILE in .env, with the certificate of that authority in PEM in it",
    "cluster.certificate": "Ask whoever runs the cluster for a sound certificate; look at TMS_CA_BUNDLE.",
    "cluster.no_tls": "Correct scheme and port in TMS_CLUSTERS: {name}=https://HOST:PORT",
    "cluster.tls_version": "Ask whoever runs the cluster to offer TLS 1.2 or later.",
    "cluster.tls": "Ask whoever runs the cluster to look at the TLS settings there.",
    "cluster.bundle": "TMS_CA_BUNDLE=FILE in .env, FILE holding certificates in PEM that the site's user can read",
    "cluster.name": "Correct the host in TMS_CLUSTERS in .env; to try it: getent hosts {host}",
    "cluster.no_name_server": "Look at this host's DNS: resolvectl status; to try it: getent hosts {host}",
    "cluster.refused": _CORRECT,
    "cluster.no_route": "Look at this host's network: ip route get {host}; or TMS_PROXY=http://PROXY:PORT in .env",
    "cluster.timeout": "Open the firewall to {address}; or TMS_PROXY=http://PROXY:PORT in .env",
    "cluster.handshake_timeout": _CORRECT,
    "cluster.closed": _CORRECT,
    "proxy.sign_in": "TMS_PROXY=http://USER:PASSWORD@PROXY:PORT in .env",
    "proxy.refused": _PROXY,
    "proxy.failed": _PROXY,
    "proxy.unreachable": _PROXY,
    "cluster.no_room": "Raise the limit of open files: LimitNOFILE= of the unit, or ulimit -n",
    "cluster.unreachable": _CORRECT,
    "cluster.no_answer": "Ask whoever runs the cluster whether TMS is running behind its gateway; look at its port.",
}
_NAMES = {
    unsent.EXPIRED: "cluster.certificate_expired",
    unsent.NOT_YET_VALID: "cluster.certificate_not_yet_valid",
    unsent.WRONG_NAME: "cluster.certificate_name",
    unsent.SELF_SIGNED: "cluster.certificate_self_signed",
    unsent.UNTRUSTED: "cluster.authority_unknown",
    unsent.NOT_ACCEPTED: "cluster.certificate",
    unsent.NOT_TLS: "cluster.no_tls",
    unsent.TLS_VERSION: "cluster.tls_version",
    unsent.TLS_FAILED: "cluster.tls",
    unsent.BUNDLE: "cluster.bundle",
    unsent.UNKNOWN_NAME: "cluster.name",
    unsent.NO_NAME_SERVER: "cluster.no_name_server",
    unsent.REFUSED: "cluster.refused",
    unsent.UNREACHABLE: "cluster.no_route",
    unsent.CONNECT_TIMEOUT: "cluster.timeout",
    unsent.HANDSHAKE_TIMEOUT: "cluster.handshake_timeout",
    unsent.CLOSED: "cluster.closed",
    unsent.PROXY_SIGN_IN: "proxy.sign_in",
    unsent.PROXY_REFUSED: "proxy.refused",
    unsent.PROXY_FAILED: "proxy.failed",
    unsent.OUT_OF_MEANS: "cluster.no_room",
    unsent.OTHER: "cluster.unreachable",
}


def name_of(cause: str) -> str:
    """Return the id of a finding whose cause is this sentence of `unsent`."""
    return _NAMES[cause]


def mend_of(name: str, cluster: Cluster) -> str:
    """Return what mends a finding with this id, for a cluster."""
    parts = urlsplit(cluster.origin)
    address = f"{parts.netloc}" if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
    return MENDS[name].format(name=cluster.name, origin=cluster.origin, host=parts.hostname, address=address)
